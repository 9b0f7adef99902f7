"""One frozen `RunConfig`: read from TOML, written to TOML, and the source of every CLI option's default and help."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vprobe.errors import READABLE, InputError, reason, unknown

PLUG_INS = ("method", "steer_method", "steer_operation", "benchmark", "backend")
"""Fields that name plug-ins."""
_FLAGS = {"steer_value": "--values", "steer_positions": "--on", "steer_options": "--option", "persona_limit": "--limit"}
"""Command-line options that are spelled otherwise than their field."""


def _opt(default: Any, help: str, **extra: Any) -> Any:
    return field(default=default, metadata={"help": help, **extra})


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on. `out` is where it goes and is no part of what it is."""

    model: str = _opt("", "Model: a local folder, a hub id, or organism (ships with vprobe).")
    revision: str = _opt("", "Hub commit, branch or tag of the model; pin a commit for a result you publish.")
    dtype: str = _opt("auto", "Number format: auto, float32, bfloat16 or float16.")
    device: str = _opt("auto", "Where the model runs: auto, cpu, cuda, cuda:0, ...")
    backend: str = _opt("hf", "Engine that runs the model.")
    trust_remote_code: bool = _opt(False, "Run code that comes with the model.")
    device_map: str = _opt("", "Blocks over several devices: auto, balanced, sequential, or a JSON object.")
    tp_plan: str = _opt("", "auto: every block over all ranks of a torchrun (tensor parallel).")
    quantize: str = _opt("", "Weights in fewer bits: int8 (torchao), nf4 or llm-int8 (bitsandbytes).")
    remote: str = _opt("", "Where the nnsight engine runs the model: here, ndif, or local (acts as if at NDIF).")
    benchmark: tuple[str, ...] = _opt(("value-portrait",), "Instrument; give it again for several.")
    data: str = _opt("", "Folder of the benchmark's files instead of the user's cache.")
    out: str = _opt("", "Run folder.")
    template: str = _opt(
        "response", "What is recorded: 'response' (query and response) or a rating version such as v1."
    )
    sites: tuple[str, ...] = _opt(("resid_post:all",), "Sites to record, such as resid_post:all, attn_out:4-12, embed.")
    layers: str = _opt("", "Keep only these layers of the sites, such as 4-12 or 3,5.")
    positions: tuple[str, ...] = _opt(
        ("response_mean",), "What to average over: response_mean, last_prompt, last_content, option_span."
    )
    batch_tokens: int = _opt(0, "Most tokens in a batch, padding counted; 0 lets the device decide.")
    untrained: bool = _opt(True, "Also read an untrained model of the same shape, for the baseline card of `probe`.")
    embedding: str = _opt("", "Encoder whose frozen sentence embeddings join the baseline card: a folder or hub id.")
    limit: int = _opt(0, "Only the first N queries, whole and in file order; 0 is all.")
    too_long: str = _opt("skip", "Prompts beyond the model's context: skip (and count) or error. Never cut.")
    versions: tuple[str, ...] = _opt(("all",), "Rating versions to ask, or all.")
    greedy: bool = _opt(True, "Also let the model answer in words, and parse the answer.")
    temperature: float = _opt(0.0, "Sampling temperature of answers in free text; 0 is greedy.")
    stop: tuple[str, ...] = _opt(
        (), "Text that ends what the model writes, itself left out; may be repeated. \\n is a new line, \\t a tab."
    )
    generation: bool = _opt(False, "Also take the log-probability of every response given its query.")
    correct_order: bool = _opt(False, "Also score without the preference for places in the list of options.")
    method: tuple[str, ...] = _opt(("mean-difference", "covariance", "ridge"), "Direction methods.")
    values: tuple[str, ...] = _opt(("schwartz",), "Values, or a family: schwartz, higher_order, big_five, all.")
    folds: int = _opt(5, "Folds; whole queries are held out.")
    hold_out: str = _opt("query", "What folds hold out whole: query, or block (rater group, construction).")
    final: float = _opt(
        0.0, "Share of blocks (of queries without blocks) set aside: no probe sees it until `probe --open-final`."
    )
    draws: int = _opt(200, "Null draws: label rows shuffled jointly through the whole fit.")
    seed: int = _opt(0, "Seed of everything drawn.")
    steer_value: tuple[str, ...] = _opt(
        (), "Values to steer; empty is the one best decoded. 'all' is every Schwartz value."
    )
    steer_method: str = _opt("mean-difference", "Direction method used for steering.")
    steer_site: str = _opt("", "Site to steer, such as resid_post.3; empty is the one inner folds picked most often.")
    steer_vector: str = _opt(
        "", "File whose direction is steered with in place of the run's own: any format of `vprobe vectors`."
    )
    steer_positions: str = _opt(
        "all", "Tokens steered: all, prompt, response, after_prompt, last_prompt, option_span, from:K."
    )
    steer_operation: str = _opt(
        "add",
        "What is done with the vector: add, norm-preserving-add, rotate, angular, project-out, clamp, cap, leace, "
        "minimal-dose, relu-dose. Strengths count residual norms where it adds, degrees where it turns, else shares.",
    )
    steer_options: tuple[str, ...] = _opt(
        (),
        "NAME=VALUE: probability, below, target, low, high (SDs of the scores), angle, second, each, gate_above, "
        "gate_below, gate_each.",
    )
    steer_neurons: str = _opt(
        "", "Neurons of a site such as mlp_neurons.3: 1,5,7, or found: those that tell high items from low in the run."
    )
    steer_heads: str = _opt("", "Attention heads of a site such as head_out.3: 0,2; directions are fitted per head.")
    steer_gate: str = _opt("none", "When a change acts: none, probability, cosine; bounds are options.")
    steer_conflict: str = _opt(
        "sequence", "Several changes at one site and token: sequence, sum, mean, strongest, first, refuse."
    )
    steer_versions: tuple[str, ...] = _opt(
        ("v1", "v1_reversed"), "Rating versions asked at every dose; keep both orders."
    )
    strengths: tuple[float, ...] = _opt(
        (-0.5, -0.25, 0.0, 0.25, 0.5), "Doses: coefficient over the median residual norm at the site."
    )
    dose: str = _opt(
        "", "Unit of strengths: empty is the residual norm; kl=1.0 is the coefficient that costs 1 nat on neutral text."
    )
    damage_limit: int = _opt(0, "Only the first N neutral texts, questions and requests that show damage; 0 is all.")
    steer_limit: int = _opt(12, "Queries rated at every dose; 0 is all.")
    null_draws: int = _opt(20, "Null vectors of each kind in the steering sweep; a causal claim asks for 20.")
    null_arms: tuple[str, ...] = _opt(
        ("shuffled", "random"),
        "Kinds of null vectors: shuffled (labels), random (covariance-matched), isotropic, orthogonal (to all values' "
        "vectors), other (values' vectors), acquiescence (what goes with high ratings), or all.",
    )
    personas: int = _opt(0, "Persona system prompts under which the model is read and asked; 0 is none.")
    persona_limit: int = _opt(12, "Queries rated under every persona; 0 is all.")
    map: bool = _opt(True, "Lay the responses out in the plane (UMAP): a picture, seconds to minutes.")
    alpha: float = _opt(0.001, "Family-wise level at which a claim is made.")
    claim_draws: int = _opt(2000, "Permutations behind a claim; at least 2 / alpha.")

    @property
    def stored(self) -> tuple[tuple[str, Any], ...]:
        """What goes into the manifest: every field but the output folder, lists for tuples."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ("out", "data"))
        return tuple((name, list(value) if isinstance(value, tuple) else value) for name, value in pairs)

    def changed(self, other: dict[str, Any], *, path: str = "") -> RunConfig:
        """Return a copy with some fields replaced; None leaves a field as it is.

        Args:
            other: Field names and values.
            path: File they were read from, which errors name; empty where they are a command's options.

        Raises:
            InputError: Unknown field or wrong type.
        """
        given = {key: value for key, value in other.items() if value is not None}
        return dataclasses.replace(self, **{key: _checked(key, value, path) for key, value in given.items()})


def names() -> tuple[str, ...]:
    """List the fields of `RunConfig`."""
    return tuple(f.name for f in fields(RunConfig))


def help_of(name: str) -> str:
    """Return the one-line help of a field."""
    return next(f.metadata["help"] for f in fields(RunConfig) if f.name == name)


def default_of(name: str) -> Any:
    """Return the default of a field."""
    return next(f.default for f in fields(RunConfig) if f.name == name)


def flag_of(name: str) -> str:
    """Return the command-line option of a field, such as `--limit`: what steers goes without `steer` there."""
    return _FLAGS.get(name) or "--" + name.removeprefix("steer_").removeprefix("damage_").replace("_", "-")


def _checked(key: str, value: Any, path: str) -> Any:
    """Return the value as the field's type, or say what was expected."""
    default = default_of(key)
    where = f"{path}, key {key}" if path else flag_of(key)
    like = "words, none of them empty" if default == () else f"something like {default!r}"
    wrong = InputError(f"{value!r}", where=where, expected=like, do=help_of(key))
    if isinstance(default, tuple):
        value = (value,) if isinstance(value, (str, int, float)) else value
        if not isinstance(value, (list, tuple)):
            raise wrong
        if key == "strengths":
            if not all(type(one) in (int, float) and math.isfinite(one) for one in value):
                raise wrong
            return tuple(float(one) for one in value)
        if not all(isinstance(one, str) and (one or key != "stop") for one in value):
            raise wrong
        return tuple(dict.fromkeys(_plain_name(key, one) for one in value))
    if isinstance(default, bool) or isinstance(value, bool):
        if type(default) is not type(value):
            raise wrong
        return value
    if isinstance(default, float) and isinstance(value, int):
        value = float(value)
    if not isinstance(value, type(default)):
        raise wrong
    if isinstance(value, float) and not 0 <= value < math.inf:
        raise InputError(f"{value}", where=where, expected="a number from 0", do=help_of(key))
    if isinstance(value, int) and not 0 <= value < 2**32:
        raise InputError(f"{value}", where=where, expected="a whole number from 0", do=help_of(key))
    return _plain_name(key, value) if isinstance(value, str) else value


def _plain_name(key: str, value: str) -> str:
    """Return a plug-in's name as it is listed: `mean_difference` is mean-difference."""
    return value.strip().lower().replace("_", "-") if key in PLUG_INS else value


def read(path: Path) -> RunConfig:
    """Read a run's configuration from a TOML file.

    Args:
        path: The file; one key per field of `RunConfig`, tables are allowed for grouping.

    Raises:
        InputError: No such file, not TOML, an unknown key (the nearest is named) or a value of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {reason(error)}", where=str(path), expected="a TOML file", do=READABLE
        ) from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"is not TOML: {error}", where=str(path), expected='lines such as limit = 7 or model = "organism"'
        ) from None
    flat: dict[str, Any] = {}
    for key, value in found.items():
        for name, setting in (value if isinstance(value, dict) else {key: value}).items():
            if name in flat:
                raise InputError(f"key {name!r} stands twice", where=str(path), expected="each key once")
            flat[name] = setting
    for key in flat:
        if key not in names():
            raise unknown("key", key, names(), where=str(path))
    return RunConfig().changed(flat, path=str(path))


def write(config: RunConfig, path: Path) -> None:
    """Write a configuration as TOML; reading it back gives the same.

    Args:
        config: The configuration.
        path: The file, replaced if it exists.
    """
    import tomli_w

    pairs = {f.name: getattr(config, f.name) for f in fields(config)}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in pairs.items()}
    path.write_text(tomli_w.dumps(plain), encoding="utf-8")
