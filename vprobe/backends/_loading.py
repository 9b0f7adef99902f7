"""From a folder or hub id to a checked model and tokenizer in memory; every failure says what to do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as hf_logging

from vprobe import ranks
from vprobe.backends import _placed, _products
from vprobe.backends._fingerprint import fingerprint
from vprobe.backends._size import one_reading
from vprobe.errors import ModelError, nearest
from vprobe.types import ONE_DEVICE, Placement

DTYPES = ("auto", "float32", "bfloat16", "float16")
_SANE = range(8, 10_000_000)
_MARK = "vprobemark"


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with its tokenizer.

    Args:
        model: A `AutoModelForCausalLM`.
        tokenizer: Its fast tokenizer.
        revision: Commit of the hub; empty for a local folder.
        stops: Token ids that end a turn.
        fingerprint: SHA-256 over weights, tokenizer and chat template.
    """

    model: Any
    tokenizer: Any
    revision: str
    stops: tuple[int, ...]
    fingerprint: str


def device_of(name: str) -> torch.device:
    """Return the device a user named; "auto" is a GPU when there is one, "auto:2" that of the third process here.

    A process that sees one GPU only takes that one: SLURM shows each of its processes its own.

    Raises:
        ModelError: No such device here.
    """
    kind, numbered, local = name.partition(":")
    many = torch.cuda.device_count()
    if numbered and kind == "auto":
        name = f"cuda:{local if many > 1 else 0}" if many else "auto"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    have = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    have += ["mps"] if torch.backends.mps.is_available() else []
    if name == "cuda" and len(have) > 1 and have[1].startswith("cuda"):
        return torch.device("cuda")
    if name not in have:
        alone = "name one of these, or leave --device out"
        raise ModelError(
            f"no device {name!r}", where="--device", expected="auto, " + ", ".join(have),
            do=alone if ranks.find().alone else "start no more processes than GPUs",
        )  # fmt: skip
    return torch.device(name)


def dtype_of(name: str, device: torch.device) -> Any:
    """Return the number format to load in: a torch dtype, or "auto" for the checkpoint's own.

    Raises:
        ModelError: Not one of `DTYPES`.
    """
    if name not in DTYPES:
        near = nearest(name, DTYPES)
        hint = f"did you mean {near!r}?" if near else ""
        raise ModelError(f"unknown dtype {name!r}", where="--dtype", expected="one of " + ", ".join(DTYPES), do=hint)
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    return getattr(torch, name)


def load(
    name: str,
    *,
    revision: str,
    dtype: str,
    device: torch.device,
    trust_remote_code: bool,
    placement: Placement = ONE_DEVICE,
) -> Loaded:
    """Load model and tokenizer.

    Args:
        name: Local folder or hub id.
        revision: Hub commit, branch or tag; empty is the default.
        dtype: One of `DTYPES`.
        device: Where it runs.
        trust_remote_code: Run code that comes with the model.
        placement: Several devices in place of `device`, or weights in fewer bits.

    Raises:
        ModelError: Anything that keeps the model from being used.
    """
    kind = dtype_of(dtype, device)
    placed = _placed.arguments(placement, device, kind)
    where = _folder(name)
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    with quiet():
        config = attempt(lambda: transformers.AutoConfig.from_pretrained(where, **common), name, "its config.json")
        check_kind(name, config)
        tokenizer = attempt(lambda: transformers.AutoTokenizer.from_pretrained(where, **common), name, "its tokenizer")
        if not tokenizer.is_fast:
            raise ModelError(
                "no fast tokenizer",
                where=name,
                expected="a tokenizer.json",
                do="convert the tokenizer to tokenizer.json",
            )
        model, report = attempt(
            lambda: transformers.AutoModelForCausalLM.from_pretrained(
                where,
                dtype=kind,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, with a readable message
                **placed,
                **common,
            ),
            name,
            "its weights (safetensors)",
        )
    _complete(report, name)
    _placed.check_fewer(model, placement, name)
    model.eval().requires_grad_(False)
    if device.type == "cpu":
        _one_thread_if_small(model)
    if device.type == "cpu" and not placed:
        _products.hasten(model)
    commit = "" if Path(where).is_dir() else str(getattr(config, "_commit_hash", None) or revision)
    if not placed:
        model = attempt(lambda: model.to(device), name, f"room on {device}")
    return Loaded(model, tokenizer, commit, stops_of(model, tokenizer), fingerprint(model, tokenizer))


def _complete(report: Any, name: str) -> None:
    """Refuse weights of another shape than the configuration says, and a model that lacks some."""
    if report["mismatched_keys"]:
        raise ModelError(
            f"{len(report['mismatched_keys'])} weights have another shape than config.json says",
            where=name,
            do="download both files of the same model again",
        )
    if report["missing_keys"]:
        lost = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(
            f"{len(report['missing_keys'])} weights are missing: {lost}", where=name, do="download it again"
        )


def untrained(
    name: str, *, seed: int, revision: str, dtype: str, device: torch.device, trust_remote_code: bool
) -> Loaded:
    """Build a model of the same shape whose weights are as drawn before training, with the trained one's tokenizer.

    Args:
        name: Local folder or hub id of the trained model; of it only the configuration and the tokenizer are read.
        seed: Seed of the weights, which are drawn on the CPU and so the same on every device.
        revision: Hub commit, branch or tag; empty is the default.
        dtype: One of `DTYPES`.
        device: Where it runs.
        trust_remote_code: Run code that comes with the model.

    Raises:
        ModelError: Anything that keeps the model from being built.
    """
    kind = dtype_of(dtype, device)
    where = _folder(name)
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    with quiet():
        config = attempt(lambda: transformers.AutoConfig.from_pretrained(where, **common), name, "its config.json")
        check_kind(name, config)
        tokenizer = attempt(lambda: transformers.AutoTokenizer.from_pretrained(where, **common), name, "its tokenizer")
        kind = (getattr(config, "dtype", None) or torch.float32) if kind == "auto" else kind
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            make = transformers.AutoModelForCausalLM.from_config
            model = attempt(
                lambda: make(config, dtype=kind, trust_remote_code=trust_remote_code), name, "random weights"
            )
    model.eval().requires_grad_(False)
    if device.type == "cpu":
        _one_thread_if_small(model)
        _products.hasten(model)
    model = attempt(lambda: model.to(device), name, f"room for an untrained model on {device}")
    return Loaded(model, tokenizer, "", stops_of(model, tokenizer), fingerprint(model, tokenizer))


def _folder(name: str) -> str:
    """Return the path of a local folder, or the name itself when it can be a hub id.

    Raises:
        ModelError: A missing folder, a file, or a folder without config.json.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError("not a model: no config.json", where=name, do="name the folder that holds config.json")
        return str(path)
    hub = re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name) is not None
    if path.exists() or not hub or ("/" in name and path.parent.is_dir()):
        raise ModelError(
            f"no model folder {name!r}", where="model", do="check the path, or give a hub id as owner/name"
        )
    return name


def check_kind(name: str, config: Any) -> None:
    """Refuse what is not a decoder-only language model, by its configuration."""
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    built = tuple(getattr(config, "architectures", None) or ())
    remote = bool(getattr(config, "auto_map", None))
    text = config.get_text_config(decoder=True)
    wrong = not remote and (
        config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or (built and not known.intersection(built))
    )
    if getattr(config, "is_encoder_decoder", False) or wrong:
        raise ModelError(
            f"not a decoder-only language model: {', '.join(built) or config.model_type}",
            where=name,
            expected="a model that AutoModelForCausalLM loads, such as Llama, Qwen, Gemma, Mistral or GPT-2",
            do="choose a causal language model",
        )
    if getattr(text, "is_decoder", None) is False and config.model_type in (
        "bert",
        "roberta",
        "electra",
        "xlm-roberta",
    ):
        raise ModelError("an encoder that sees later words", where=name, expected="a decoder-only language model")


def attempt(step: Any, name: str, what: str) -> Any:
    """Run a step of loading; whatever a library raises there becomes one readable error."""
    try:
        return step()
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        first = lines[0][:300].rstrip(":") if lines else type(error).__name__
        local = Path(name).expanduser().is_dir()
        hint = (
            "the folder may be damaged or incomplete: download it again"
            if local
            else "check the name, the network and HF_HUB_OFFLINE, or give a local folder"
        )
        raise ModelError(f"cannot load {what}: {first}", where=name, do=hint) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own notices and bars away; failures come as errors."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hub_level = hub_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            hf_logging.enable_progress_bar()


def stops_of(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Collect the tokens that end a turn: the model's, the tokenizer's, and what the chat template writes."""
    found: set[int] = set()
    for given in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        found.update([given] if isinstance(given, int) else given or ())
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _MARK}]
        with contextlib.suppress(Exception):  # a template that cannot be rendered is reported where it is used
            _, mark, tail = tokenizer.apply_chat_template(turns, tokenize=False).partition(_MARK)
            ids = tokenizer(tail, add_special_tokens=False).input_ids if mark else []
            special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
            found.update(ids[:1] if ids and ids[0] in special else ())
    return tuple(sorted(found))


def context_of(config: Any, tokenizer: Any) -> int:
    """Return the longest input in tokens that model and tokenizer both take."""
    text = config.get_text_config(decoder=True)
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
    own = next((int(getattr(text, n)) for n in names if isinstance(getattr(text, n, None), int)), 0)
    theirs = int(tokenizer.model_max_length) if tokenizer.model_max_length in _SANE else 0
    return min((n for n in (own, theirs, one_reading(text)) if n > 0), default=2048)


SMALL = 30_000_000
"""Parameters below which one thread beats several on a CPU, by 20 times when the cores are busy."""


def _one_thread_if_small(model: Any) -> None:
    """Run small models on one thread, unless the user has said how many by OMP_NUM_THREADS."""
    if "OMP_NUM_THREADS" not in os.environ and sum(p.numel() for p in model.parameters()) < SMALL:
        torch.set_num_threads(1)
