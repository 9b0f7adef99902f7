"""What the engine's benchmark is made of: texts, models of a shape, turns between sides, and what a ratio says."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from vprobe import batching
from vprobe import benchmarks as shelf
from vprobe.backends._products import Linear, Turned
from vprobe.types import Benchmark, Tokens

ROOT = Path(__file__).resolve().parent.parent
POSITIONS = ("response_mean", "last_prompt")
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DRAWS = 60
Shown = tuple[str, bool]


@dataclass(frozen=True)
class Bench:
    """A model, its texts and the sizes of a run."""

    engine: Any
    folder: Path
    found: Benchmark
    said: list[Tokens]
    queries: int
    rounds: int
    preset: str
    quick: bool = False

    @property
    def gpu(self) -> bool:
        """True when figures are those of a GPU."""
        return self.preset == "gpu"

    def sample(self, number: int, count: int) -> list[int]:
        """Draw queries for one round and return the indices of their items, in file order.

        Of some draws the one is taken whose texts share and pad most as all texts do, for these two set the ratios.
        """
        return self.alike(number, count, lambda part: float(np.prod(waste([self.said[i] for i in part]))))

    def parts(self) -> list[list[Tokens]]:
        """Divide the whole job, in file order, into a part per round; each begins a new query and a new batch of 8."""
        groups = [item.group for item in self.found.items]
        starts = [i for i in range(0, len(groups), 8) if i == 0 or groups[i] != groups[i - 1]]
        firsts = [int(some[0]) for some in np.array_split(starts, min(self.rounds, len(starts)))]
        return [self.said[a:b] for a, b in zip(firsts, [*firsts[1:], len(groups)], strict=True)]

    def alike(self, number: int, count: int, measure: Callable[[Sequence[int]], float]) -> list[int]:
        """Draw queries for one round: of some draws the one whose items measure most as all items do."""
        groups = list(dict.fromkeys(item.group for item in self.found.items))
        count = min(count, len(groups))
        draws = np.random.default_rng([3, number])
        drawn = [set(draws.choice(len(groups), count, replace=False).tolist()) for _ in range(DRAWS)]
        code = {group: i for i, group in enumerate(groups)}
        parts = [[i for i, item in enumerate(self.found.items) if code[item.group] in one] for one in drawn]
        wanted = measure(range(len(self.found.items)))
        return min(parts, key=lambda part: abs(measure(part) - wanted))


def waste(rows: Sequence[Tokens]) -> tuple[float, float]:
    """Return tokens per distinct token, and how far batches of 8 in file order pad."""
    ids = [row.ids for row in rows]
    total, once = sum(map(len, ids)), batching.distinct(ids, [range(len(ids))], least=1)
    wide = sum(max(len(row.ids) for row in part) * len(part) for part in eights(rows))
    return total / once, wide / total


def eights(rows: Sequence[Tokens]) -> list[Sequence[Tokens]]:
    return [rows[i : i + 8] for i in range(0, len(rows), 8)]


def benchmark(data: Path | None) -> Benchmark:
    shared = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared")) / "value_portrait" / "upstream"
    folder = data or (shared if shared.is_dir() else None)
    return shelf.load("value-portrait", folder=folder) if folder else shelf.load("everyday")


@contextlib.contextmanager
def torch_products(model: Any) -> Iterator[None]:
    """Let PyTorch compute all products of an engine's model, as it does for everybody else."""
    kept: list[tuple[Any, type]] = [
        (part, type(part)) for part in model.modules() if isinstance(part, (Linear, Turned))
    ]
    for module, kind in kept:
        module.__class__ = kind.__mro__[1]
    try:
        yield
    finally:
        for module, kind in kept:
            module.__class__ = kind


def tokenizer(texts: Sequence[str], context: int) -> PreTrainedTokenizerFast:
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(texts, trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=engine, bos_token=special[0], eos_token=special[2], pad_token=special[0],
        model_max_length=context,
    )  # fmt: skip
    words.chat_template = CHAT
    return words


SHAPES = {
    "tiny": {"vocab_size": 4000, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2},
    "cpu": {"vocab_size": 32000, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 12,
            "num_attention_heads": 8, "num_key_value_heads": 8},
    "small": {"vocab_size": 4000, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
              "num_attention_heads": 4, "num_key_value_heads": 4},
    "gpu": {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8},
}  # fmt: skip


def build(shape: str, folder: Path, texts: Sequence[str]) -> Path:
    """Save a random Llama of a shape with a tokenizer of these texts."""
    words = tokenizer(texts, 4096)
    ids = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    config = AutoConfig.for_model("llama", max_position_embeddings=4096, **SHAPES[shape], **ids)
    torch.manual_seed(0)
    kind, place = torch.bfloat16 if shape in ("gpu", "tiny") else torch.float32, "cuda" if shape == "gpu" else "cpu"
    with torch.device(place):
        model = AutoModelForCausalLM.from_config(config, dtype=kind)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def seconds(gpu: bool, run: Callable[[], Any]) -> float:
    clock = time.perf_counter if gpu else time.process_time
    if gpu:
        torch.cuda.synchronize()
    start = clock()
    run()
    if gpu:
        torch.cuda.synchronize()
    return clock() - start


def turns(bench: Bench, sides: Sequence[Callable[[int], Any]], rounds: int = 0) -> np.ndarray:
    """Run all sides in turns, the order reversed every other round; return seconds (round, side)."""
    out = np.zeros((rounds or bench.rounds, len(sides)))
    for side in sides:
        side(-1)  # warm up
    for number in range(len(out)):
        for i in range(len(sides)) if number % 2 == 0 else reversed(range(len(sides))):
            out[number, i] = seconds(bench.gpu, lambda i=i, number=number: sides[i](number))
    return out


def spread(ratios: np.ndarray) -> str:
    return f"median {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f} over {len(ratios)} rounds)"


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval of the median by resampling rounds."""
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(low), float(high)


def padded(rows: Sequence[Tokens], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=device)
    return ids, mask


def pooled(layers: Sequence[torch.Tensor], rows: Sequence[Tokens]) -> list[np.ndarray]:
    """Average one batch's activations (layers of shape (row, token, d)) over both positions, row by row."""
    out = []
    for r, row in enumerate(rows):
        spans = [row.interval(position) for position in POSITIONS]
        out.append(np.stack([[x[r, a:b].float().mean(0).cpu().numpy() for x in layers] for a, b in spans]))
    return out


def peak() -> float:
    """Return the most memory in bytes that this process has held.

    On Linux not as getrusage tells it: there a process starts with what the one that started it held.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
