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
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
from vprobe import backends, prompts
from vprobe.backends import _products

from engine_other import generation, help_time, killed, linear
from engine_rating import rating
from engine_reading import bare, large, reading, record, recording, same_batches
from engine_setup import Bench, Shown, benchmark, build, peak
from rows import NOT_RUN, Row, closed

READING = "The Value Portrait reading job (104 queries x 5 responses x the chat template, all layers, two positions)"
RATING = "The rating job (520 items x 6 versions x 6 labels)"

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
    # first, because a process remembers the most memory it ever held
    "linear": [
        ("Cost in items", "Cost grows linearly in items (slope over 1x, 4x, 16x within 10 %), memory flat"),
    ],
    "recording": [
        ("Recording all layers", "median >= .95 and the paired-ratio 95 % interval reaching .97 of the bare base-model "
         "forward on the same batches; peak memory within 10 % of it"),
    ],
    "reading": [(f"{READING}: {name}", target) for name, target in READ_BY],
    "rating": [(f"{RATING}: {name}", target) for name, target in RATED_BY],
    "generation": [("Steered generation", ">= .95 of unsteered tokens/s")],
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


PARTS: dict[str, Callable[[Bench], list[Shown]]] = {
    "recording": recording, "reading": reading, "rating": rating, "generation": generation, "linear": linear,
    "large": large, "help": help_time, "kill": killed,
}  # fmt: skip


def prepared(given: argparse.Namespace, folder: Path) -> Bench:
    found = benchmark(given.data)
    if not (folder / "config.json").exists():
        build(given.preset, folder, [f"{item.text} {item.response}" for item in found.items])
    gpu = given.preset == "gpu"
    kind = "float32" if given.preset == "cpu" else "bfloat16"
    engine = backends.load(str(folder), device="cuda" if gpu else "cpu", dtype=kind)
    said = [prompts.encode(engine.tokenizer, prompt) for prompt in prompts.render(found, template="response")]
    queries = given.queries or (104 if gpu else 2 if given.quick else 26)
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
    if given.peak_of == "bare":
        _products.hasten = lambda model: 0
    with tempfile.TemporaryDirectory() as room:
        bench = prepared(given, given.model or Path(room) / "model")
        if given.peak_of:
            bench.engine.unshared = "the same batches as the bare forward"
            (bare if given.peak_of == "bare" else record)(bench, same_batches(bench))
            print(peak())
            return 0
        rows = measured(bench, given)
        more = f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, torch {torch.__version__}"
        return closed(rows, given.json, some=bool(given.only), more=more)


def measured(bench: Bench, given: argparse.Namespace) -> list[Row]:
    found = []
    for part, rows in ROWS.items():
        made = (
            PARTS[part](bench) if any(asked(name, given.only) for name, _ in rows) else [(NOT_RUN, False)] * len(rows)
        )
        for (name, target), (value, ok) in zip(rows, made, strict=True):
            found.append(Row(name, target, value, ok))
            print(f"{'ok ' if ok else 'NOT'} {name}\n    target {target}\n    {value}", flush=True)
    return found


def asked(name: str, only: str) -> bool:
    return not only or any(part.strip() in name for part in only.split(";"))


if __name__ == "__main__":
    sys.exit(main())
