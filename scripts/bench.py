"""Time vprobe's engine beside what a user would otherwise write or install: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. All sides run in turns on the same texts, one thread
each on a CPU; a figure is the median of the ratios of one round, with the lowest and the highest. On a CPU times are
processor seconds, which other work on the machine disturbs less than the clock; on a GPU they are wall seconds.

Texts are Value Portrait's queries and responses where they are found (`--data`, VPROBE_SHARED or ../shared), else
`everyday`'s. The CPU preset is a random Llama of 12 blocks x 512 with 32,000 tokens; `--preset gpu` is a random model
of 7B shape in bfloat16; `--preset tiny` walks the GPU preset's way on a CPU with a model of no size, and none of its
figures count. `--queries` and `--rounds` set the sizes, `--quick` takes few of both (some minutes); `--only PART;PART`
makes the rows whose name has one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from vprobe import activations, backends, batching, prompts, responses, steering
from vprobe import benchmarks as shelf
from vprobe.types import Answers, Benchmark, Direction, Prompt, Site, Steering, Tokens

ROOT = Path(__file__).resolve().parent.parent
POSITIONS = ("response_mean", "last_prompt")
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
READING = "The Value Portrait reading job (104 queries x 5 responses x the chat template, all layers, two positions)"
RATING = "The rating job (520 items x 6 versions x 6 labels)"
NOT_RUN = ("not run", False)
DRAWS = 60
Shown = tuple[str, bool]

READ_BY = (
    ("output_hidden_states loop",
     ">= 3.5x an `AutoModelForCausalLM(output_hidden_states=True)` loop in batches of 8 in file order"),
    ("TransformerLens", ">= 4x TransformerLens `run_with_cache`"),
    ("nnsight", ">= 3.5x an nnsight trace on the same batches"),
    ("activations", "same activations to relative 1e-4"),
)  # fmt: skip
RATED_BY = (
    ("per label",
     ">= 12x one full forward per label on the CPU preset (a throw-away token tree reached 13.0x), "
     ">= .85 of the printed token ratio elsewhere"),
    ("per prompt", ">= 1.4x one forward per prompt"),
    ("log-probs", "same log-probs to 1e-4"),
)  # fmt: skip
ROWS: dict[str, list[tuple[str, str]]] = {
    "recording": [
        ("Recording all layers", "median >= .95 and the paired-ratio 95 % interval reaching .97 of the bare base-model "
         "forward on the same batches; peak memory within 10 % of it"),
    ],
    "reading": [(f"{READING}: {name}", target) for name, target in READ_BY],
    "rating": [(f"{RATING}: {name}", target) for name, target in RATED_BY],
    "generation": [("Steered generation", ">= .95 of unsteered tokens/s")],
    "linear": [
        ("Cost in items", "Cost grows linearly in items (slope over 1x, 4x, 16x within 10 %), memory flat"),
    ],
    "large": [
        ("7B shape in bf16 on an H200-class GPU",
         "the reading job in seconds, at >= 40 % of the card's own measured bf16 matmul rate"),
    ],
    "help": [("`vprobe --help`", "<= .3 s warm; no heavy import unless used")],
    "kill": [
        ("Many machines", "Kill any rank of a two-rank run at 10 random moments; resume; the store equals a "
         "single-process run's bytes"),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure: what is shown, what it must be, what it was, and whether that is ok."""

    name: str
    target: str
    value: str
    ok: bool


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
        groups = list(dict.fromkeys(item.group for item in self.found.items))
        count = min(count, len(groups))
        draws = np.random.default_rng([3, number])
        drawn = [set(draws.choice(len(groups), count, replace=False).tolist()) for _ in range(DRAWS)]
        code = {group: i for i, group in enumerate(groups)}
        parts = [[i for i, item in enumerate(self.found.items) if code[item.group] in one] for one in drawn]
        wanted = np.prod(waste(self.said))
        return min(parts, key=lambda part: abs(np.prod(waste([self.said[i] for i in part])) - wanted))


def waste(rows: Sequence[Tokens]) -> tuple[float, float]:
    """Return tokens per distinct token, and how far batches of 8 in file order pad."""
    ids = [row.ids for row in rows]
    total, once = sum(map(len, ids)), batching.distinct(ids, [range(len(ids))], least=1)
    wide = sum(max(len(row.ids) for row in part) * len(part) for part in eights(rows))
    return total / once, wide / total


# --- what is timed, and how -----------------------------------------------------------------------------------------


def benchmark(data: Path | None) -> Benchmark:
    shared = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared")) / "value_portrait" / "upstream"
    folder = data or (shared if shared.is_dir() else None)
    return shelf.load("value-portrait", folder=folder) if folder else shelf.load("everyday")


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


# --- recording ------------------------------------------------------------------------------------------------------


def same_batches(bench: Bench) -> list[list[Tokens]]:
    some = [bench.said[i] for i in bench.sample(0, min(bench.queries, 8))]
    plan = batching.plan([len(row.ids) for row in some], bench.engine.default_batch_tokens)
    return [[some[i] for i in batch] for batch in plan]


def bare(bench: Bench, batches: Sequence[Sequence[Tokens]]) -> None:
    base = bench.engine._anatomy.base
    with torch.inference_mode():
        for rows in batches:
            ids, mask = padded(rows, base.device)
            base(input_ids=ids, attention_mask=mask, use_cache=False)


def record(bench: Bench, batches: Sequence[Sequence[Tokens]]) -> None:
    sites = [Site(i) for i in range(bench.engine.info.n_layers)]
    for rows in batches:
        bench.engine.read(rows, sites, POSITIONS)


def recording(bench: Bench) -> list[Shown]:
    """Read whole rows, nothing shared, against the bare forward of the same rows."""
    batches = same_batches(bench)
    kept, bench.engine.unshared = bench.engine.unshared, "the same batches as the bare forward"
    try:
        took = turns(bench, [lambda _: bare(bench, batches), lambda _: record(bench, batches)], 2 * bench.rounds + 3)
    finally:
        bench.engine.unshared = kept
    ratios = took[:, 0] / took[:, 1]
    low, high = interval(ratios)
    peaks = [peak_of(bench, side) for side in ("bare", "record")]
    grown = peaks[1] / peaks[0]
    text = (
        f"{spread(ratios)}, 95 % interval {low:.3f} to {high:.3f}; {sum(map(len, batches))} texts in {len(batches)} "
        f"batches; peak memory {peaks[1] / 2**20:.0f} against {peaks[0] / 2**20:.0f} MiB ({grown:.3f})"
    )
    return [(text, bool(np.median(ratios) >= 0.95 and high >= 0.97 and grown <= 1.1))]


def peak_of(bench: Bench, side: str) -> float:
    """Return the peak memory in bytes of a process of its own that runs one side; on a GPU, of this one."""
    if bench.gpu:
        torch.cuda.reset_peak_memory_stats()
        (bare if side == "bare" else record)(bench, same_batches(bench))
        return float(torch.cuda.max_memory_allocated())
    given = [sys.executable, __file__, "--peak-of", side, "--model", str(bench.folder), "--queries", str(bench.queries)]
    return float(subprocess.run(given, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# --- the reading job ------------------------------------------------------------------------------------------------


def eights(rows: Sequence[Tokens]) -> list[Sequence[Tokens]]:
    return [rows[i : i + 8] for i in range(0, len(rows), 8)]


def hidden_states(model: Any, rows: Sequence[Tokens]) -> np.ndarray:
    """Read as most scripts do; the last layer of this is after the final norm and is left out of the comparison."""
    out: list[np.ndarray] = []
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, model.device)
            found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
            out += pooled(found[1:], part)
    return np.stack(out)


def run_with_cache(bridge: Any, rows: Sequence[Tokens], layers: int) -> np.ndarray:
    out: list[np.ndarray] = []
    names = [f"blocks.{i}.hook_resid_post" for i in range(layers)]
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, bridge.original_model.device)
            _, cache = bridge.run_with_cache(ids, attention_mask=mask, names_filter=names)
            out += pooled([cache[name] for name in names], part)
    return np.stack(out)


def trace(wrapped: Any, rows: Sequence[Tokens]) -> np.ndarray:
    import nnsight

    out: list[np.ndarray] = []
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, wrapped.device)
            with wrapped.trace(input_ids=ids, attention_mask=mask, use_cache=False):
                found = nnsight.save([layer.output for layer in wrapped.model.layers])
            out += pooled(found, part)
    return np.stack(out)


def ours(bench: Bench, rows: Sequence[Tokens]) -> np.ndarray:
    sites = [Site(i) for i in range(bench.engine.info.n_layers)]
    out = np.empty((len(rows), len(POSITIONS), len(sites), bench.engine.info.d_model), np.float32)
    for batch in activations.batches(bench.engine, rows):
        x = bench.engine.read([rows[i] for i in batch], sites, POSITIONS)
        out[list(batch)] = x.swapaxes(0, 1)
    return out


def reading(bench: Bench) -> list[Shown]:
    import nnsight
    from transformer_lens.model_bridge import TransformerBridge

    kind, place = bench.engine._model.dtype, bench.engine._model.device

    def copy() -> Any:
        return AutoModelForCausalLM.from_pretrained(bench.folder, dtype=kind).to(place).eval()

    plain, layers = copy(), bench.engine.info.n_layers
    bridge: Any = TransformerBridge.boot_transformers(
        str(bench.folder), hf_model=copy(), tokenizer=bench.engine.tokenizer, device=str(place), dtype=kind
    )
    wrapped = nnsight.TransformersModel(copy(), tokenizer=bench.engine.tokenizer)
    ways: list[Callable[[list[Tokens]], np.ndarray]] = [
        lambda rows: hidden_states(plain, rows),
        lambda rows: run_with_cache(bridge, rows, layers),
        lambda rows: trace(wrapped, rows),
        lambda rows: ours(bench, rows),
    ]
    found: dict[tuple[int, int], np.ndarray] = {}

    drawn = {n: [bench.said[i] for i in bench.sample(n, bench.queries)] for n in range(bench.rounds)}
    drawn[-1] = bench.said[:5]

    def side(way: int, number: int) -> None:
        found[way, number] = ways[way](drawn[number])

    took = turns(bench, [lambda number, w=w: side(w, number) for w in range(len(ways))])
    ratios = took[:, :3] / took[:, 3:]
    worst = max(error(found[w, n], found[3, n], last=w > 0) for n in range(len(took)) for w in range(3))
    about = f"{bench.queries} queries a round, {tokens_of(bench)}"
    return [
        (f"{spread(ratios[:, w])}x; {about}", bool(np.median(ratios[:, w]) >= least))
        for w, least in enumerate((3.5, 4.0, 3.5))
    ] + [(f"largest relative difference of a row {worst:.1e}", worst <= 1e-4)]


def error(x: np.ndarray, y: np.ndarray, *, last: bool) -> float:
    """Return the largest relative error of a row; without the last layer where that is after the final norm."""
    x, y = (x, y) if last else (x[:, :, :-1], y[:, :, :-1])
    return float((np.linalg.norm(x - y, axis=-1) / np.linalg.norm(y, axis=-1)).max())


def tokens_of(bench: Bench) -> str:
    one, every = (waste(rows) for rows in ([bench.said[i] for i in bench.sample(0, bench.queries)], bench.said))
    shown = f"{one[0]:.2f} tokens per distinct token, batches of 8 pad by {one[1]:.2f}"
    return f"{shown} (whole job {every[0]:.2f}, {every[1]:.2f})"


# --- the rating job -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def per_label(model: Any, rows: Sequence[Answers]) -> list[list[float]]:
    """Run every prompt with every label as a full row, in batches of 8 in file order, all logits."""
    texts = [(row.prompt.ids, option) for row in rows for option in row.options]
    out: list[float] = []
    for start in range(0, len(texts), 8):
        part = texts[start : start + 8]
        whole = [Tokens("", prompt + option, len(prompt)) for prompt, option in part]
        ids, mask = padded(whole, model.device)
        logs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for r, (prompt, option) in enumerate(part):
            at = torch.log_softmax(logs[r, len(prompt) - 1 : len(prompt) + len(option) - 1].float(), dim=-1)
            out.append(float(at.gather(1, torch.tensor(option, device=at.device)[:, None]).sum()))
    return [out[i : i + len(rows[0].options)] for i in range(0, len(out), len(rows[0].options))]


@torch.inference_mode()
def per_prompt(model: Any, rows: Sequence[Answers]) -> list[list[float]]:
    """Run every prompt once and its labels as a batch of continuations of its cache."""
    out = []
    for row in rows:
        ids = torch.tensor([row.prompt.ids], device=model.device)
        start = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        wide, n = max(len(option) for option in row.options), len(row.options)
        tails = torch.tensor([[*option, *[0] * (wide - len(option))] for option in row.options], device=model.device)
        start.past_key_values.batch_repeat_interleave(n)
        ones = torch.ones(n, ids.shape[1] + wide, dtype=torch.long, device=model.device)
        more = model(input_ids=tails, attention_mask=ones, past_key_values=start.past_key_values, use_cache=True).logits
        logs = torch.log_softmax(torch.cat([start.logits.expand(n, 1, -1), more[:, :-1]], dim=1).float(), dim=-1)
        picked = logs.gather(-1, tails[..., None])[..., 0]
        out.append([float(picked[k, : len(option)].sum()) for k, option in enumerate(row.options)])
    return out


def rating(bench: Bench) -> list[Shown]:
    engine, model, found = bench.engine, bench.engine._model, bench.found
    versions = [prompts.render(found, template=name) for name in found.versions[: 2 if bench.quick else None]]
    results: dict[tuple[int, int], Any] = {}
    sizes: list[tuple[int, int]] = []

    kept = {n: bench.sample(n, max(1, bench.queries // 8)) for n in range(bench.rounds)} | {-1: [0]}
    drawn = {n: [version[i] for i in rows for version in versions] for n, rows in kept.items()}

    def side(way: int, number: int) -> None:
        some = drawn[number]
        answers = [prompts.encode_answers(engine.tokenizer, prompt) for prompt in some]
        if way < 2:
            results[way, number] = (per_label, per_prompt)[way](model, answers)
            return
        said = responses.collect(engine, some, answers=answers)
        results[way, number] = [response.logprobs for response in said]
        texts = [row.prompt.ids + option for row in answers for option in row.options]
        sizes.append((sum(map(len, texts)), batching.distinct(texts, [range(len(texts))], least=1)))

    took = turns(bench, [lambda number, w=w: side(w, number) for w in range(3)])
    ratios = took[:, :2] / took[:, 2:]
    numbers = range(len(took))
    worst = max(float(np.abs(np.subtract(results[w, n], results[2, n])).max()) for w in (0, 1) for n in numbers)
    tokens = statistics.median(a / b for a, b in sizes[1:])
    least = 0.85 * tokens if bench.gpu else 12.0
    about = f"{len(drawn[0])} prompts a round, {tokens:.1f} tokens per distinct token"
    return [
        (f"{spread(ratios[:, 0])}x; {about}", bool(np.median(ratios[:, 0]) >= least)),
        (f"{spread(ratios[:, 1])}x; {about}", bool(np.median(ratios[:, 1]) >= 1.4)),
        (f"largest difference {worst:.1e}", worst <= 1e-4),
    ]


# --- generation, growth, size, start-up -----------------------------------------------------------------------------


def generation(bench: Bench) -> list[Shown]:
    engine, count = bench.engine, 24
    asked = [prompts.encode_text(engine.tokenizer, item.text[:200]) for item in bench.found.items[::37][:8]]
    vector = np.random.default_rng(1).standard_normal(engine.info.d_model)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    middle = Site(engine.info.n_layers // 2)
    change = Steering(steering.load("add"), Direction(unit, middle, "benevolence", "bench", "write"), 1.0)
    kept, engine._stops = engine._stops, ()
    try:
        took = turns(
            bench,
            [lambda _: engine.generate(asked, max_new_tokens=count),
             lambda _: engine.generate(asked, max_new_tokens=count, steering=[change])],
            2 * bench.rounds + 3,
        )  # fmt: skip
    finally:
        engine._stops = kept
    ratios = took[:, 0] / took[:, 1]
    rate = len(asked) * count / np.median(took[:, 1])
    text = f"{spread(ratios)} of unsteered; {rate:.0f} tokens/s steered, {len(asked)} texts of {count} new tokens"
    return [(text, bool(np.median(ratios) >= 0.95))]


def linear(bench: Bench) -> list[Shown]:
    """Record a quarter of the items, all of them, and all of them in four wordings, into run folders."""
    with tempfile.TemporaryDirectory() as room:
        folder = build("small", Path(room) / "m", [item.text for item in bench.found.items])
        engine = backends.load(str(folder), device=bench.engine.device)
        made = prompts.render(bench.found, template="response")
        words = [prompts.encode(engine.tokenizer, prompt) for prompt in made]
        mark = words[0].ids[0]
        every = [
            Tokens(f"{copy}/{t.prompt_id}", (mark + 1 + copy, *t.ids[1:]), t.prompt_length, t.spans)
            for copy in range(4) for t in words
        ]  # fmt: skip
        asked = [Prompt(t.prompt_id, *_rest(made[i % len(made)])) for i, t in enumerate(every)]
        quarter = len(made) // 20 * 5
        sizes, times, peaks = (quarter, 4 * quarter, 16 * quarter), [], []
        sites = [Site(i) for i in range(engine.info.n_layers)]

        def run(n: int) -> None:
            activations.record(
                engine, asked[:n], every[:n], sites=sites, positions=POSITIONS, folder=Path(room) / f"run{n}"
            )

        for n in (5, *sizes):
            times.append(seconds(bench.gpu, lambda n=n: run(n)))
            peaks.append(peak() / 2**20)
        ids = [batching.distinct([t.ids for t in every[:n]], [range(n)]) for n in sizes]
    per = [1e6 * t / n for t, n in zip(times[1:], ids, strict=True)]
    slopes = [per[1] / per[0], per[2] / per[0]]
    text = (
        f"{' / '.join(f'{t:.1f}' for t in times[1:])} s for {' / '.join(map(str, sizes))} items, per distinct token "
        f"{slopes[0]:.3f} and {slopes[1]:.3f} of the first; peak memory {' / '.join(f'{p:.0f}' for p in peaks[1:])} MiB"
    )
    flat = peaks[3] <= 1.1 * peaks[1]
    return [(text, flat and all(abs(slope - 1) <= 0.1 for slope in slopes))]


def _rest(prompt: Prompt) -> tuple[Any, ...]:
    return (prompt.item_id, prompt.group, prompt.source, prompt.template, prompt.messages, prompt.marks, prompt.options)


def large(bench: Bench) -> list[Shown]:
    """Read the whole job with the GPU preset's model, beside the card's own rate of matrix products."""
    if bench.preset == "cpu":
        return [NOT_RUN]
    rows = bench.said if bench.gpu else bench.said[:40]
    ours(bench, rows[:20])
    took = seconds(bench.gpu, lambda: ours(bench, rows))
    shape, place = SHAPES[bench.preset], bench.engine._model.device
    weights = sum(p.numel() for p in bench.engine._anatomy.base.parameters())
    weights -= shape["vocab_size"] * shape["hidden_size"]
    once = batching.distinct([row.ids for row in rows], [range(len(rows))])
    size = 8192 if bench.gpu else 256
    a, b = (torch.randn(size, size, device=place).bfloat16() for _ in range(2))
    best = min(seconds(bench.gpu, lambda: [a @ b for _ in range(20)]) for _ in range(3)) / 20
    rate, most = 2 * weights * once / took, 2 * size**3 / best
    text = f"{took:.1f} s for {len(rows)} texts, {once} distinct tokens: {rate / 1e12:.3g} of {most / 1e12:.3g} TFLOP/s"
    card = torch.cuda.get_device_name() if bench.gpu else "a CPU: no figure, not ok"
    return [(f"{text} ({rate / most:.2f}) on {card}", bench.gpu and rate >= 0.4 * most and took < 60)]


def help_time(bench: Bench) -> list[Shown]:
    walls, used = [], []
    code = (
        "import sys, vprobe.cli, vprobe.__main__\n"
        "print(*({'torch', 'transformers', 'numpy', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'nnsight', "
        "'transformer_lens'} & set(sys.modules)))"
    )
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    for _ in range(11):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "vprobe", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - start)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    wall = statistics.median(walls[1:])
    text = f"median {wall:.2f} s (best {min(walls):.2f}), {statistics.median(used):.2f} processor seconds; "
    return [(text + f"imported: {', '.join(heavy) or 'nothing heavy'}", wall <= 0.3 and not heavy)]


PARTS: dict[str, Callable[[Bench], list[Shown]]] = {
    "recording": recording, "reading": reading, "rating": rating, "generation": generation, "linear": linear,
    "large": large, "help": help_time, "kill": lambda bench: [NOT_RUN],
}  # fmt: skip


def prepared(given: argparse.Namespace, folder: Path) -> Bench:
    found = benchmark(given.data)
    if not (folder / "config.json").exists():
        build(given.preset, folder, [f"{item.text} {item.response}" for item in found.items])
    gpu = given.preset == "gpu"
    kind = "float32" if given.preset == "cpu" else "bfloat16"
    engine = backends.load(str(folder), device="cuda" if gpu else "cpu", dtype=kind)
    said = [prompts.encode(engine.tokenizer, prompt) for prompt in prompts.render(found, template="response")]
    queries = given.queries or (104 if gpu else 2 if given.quick else 8)
    rounds = given.rounds or (1 if given.quick else 5)
    return Bench(engine, folder, found, said, queries, rounds, given.preset, given.quick)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--preset", choices=["cpu", "gpu", "tiny"], default="cpu")
    parser.add_argument("--queries", type=int, default=0, help="queries a round")
    parser.add_argument("--rounds", type=int, default=0, help="rounds, 5 when 0")
    parser.add_argument("--quick", action="store_true", help="few queries, one round, two versions")
    parser.add_argument("--only", default="", help="only rows whose name contains this; several with ;")
    parser.add_argument("--data", type=Path, help="folder of Value Portrait's files")
    parser.add_argument("--model", type=Path, help="folder the model is built in, and found again")
    parser.add_argument("--peak-of", choices=["bare", "record"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.preset != "gpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as room:
        bench = prepared(given, given.model or Path(room) / "model")
        if given.peak_of:
            bench.engine.unshared = "the same batches as the bare forward"
            (bare if given.peak_of == "bare" else record)(bench, same_batches(bench))
            print(peak())
            return 0
        return judged(measured(bench, given), given)


def measured(bench: Bench, given: argparse.Namespace) -> list[Row]:
    found = []
    for part, rows in ROWS.items():
        made = PARTS[part](bench) if any(asked(name, given.only) for name, _ in rows) else [NOT_RUN] * len(rows)
        for (name, target), (value, ok) in zip(rows, made, strict=True):
            found.append(Row(name, target, value, ok))
            print(f"{'ok ' if ok else 'NOT'} {name}\n    target {target}\n    {value}", flush=True)
    return found


def asked(name: str, only: str) -> bool:
    return not only or any(part.strip() in name for part in only.split(";"))


def judged(found: Sequence[Row], given: argparse.Namespace) -> int:
    ran = [row for row in found if row.value != "not run"]
    print(f"{sum(row.ok for row in ran)} of {len(ran)} rows ok, {len(found) - len(ran)} not run")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, torch {torch.__version__}")
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 0 if ran and all(row.ok for row in (ran if given.only else found)) else 1


if __name__ == "__main__":
    sys.exit(main())
