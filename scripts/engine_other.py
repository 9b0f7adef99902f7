"""Rows of the engine's benchmark on all else: steered generation, growth with items, start-up, ranks that die."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from vprobe import activations, backends, batching, prompts, steering
from vprobe.types import Direction, Prompt, Site, Steering, Tokens

import check_scale
from engine_setup import POSITIONS, Bench, Shown, build, peak, seconds, spread, turns


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
    """Record the items of every fourth query, of all, and of all in four wordings, into run folders.

    Every fourth, so that a quarter holds texts as all do: their length and what they share set what a token costs.
    """
    with tempfile.TemporaryDirectory() as room:
        engine = bench.engine
        if bench.quick:
            folder = build("small", Path(room) / "m", [item.text for item in bench.found.items])
            engine = backends.load(str(folder), device=bench.engine.device)
        made = prompts.render(bench.found, template="response")
        query = {group: i for i, group in enumerate(dict.fromkeys(prompt.group for prompt in made))}
        made = sorted(made, key=lambda prompt: query[prompt.group] % 4)
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

        def run(n: int, name: str) -> None:
            activations.record(engine, asked[:n], every[:n], sites=sites, positions=POSITIONS, folder=Path(room) / name)

        for n, name in ((quarter, "warm"), *((n, f"run{n}") for n in sizes)):  # memory is first had while warming up
            times.append(seconds(bench.gpu, lambda n=n, name=name: run(n, name)))
            peaks.append(peak() / 2**20)
        ids = [batching.distinct([t.ids for t in every[:n]], [range(n)]) for n in sizes]
    per = [1e6 * t / n for t, n in zip(times[1:], ids, strict=True)]
    steps = [(times[k + 1] - times[k]) / (sizes[k] - sizes[k - 1]) for k in (1, 2)]
    text = (
        f"{' / '.join(f'{t:.1f}' for t in times[1:])} s for {' / '.join(map(str, sizes))} items: "
        f"{1e3 * steps[0]:.1f} ms an item from first to second, {steps[1] / steps[0]:.3f} of that to the third; "
        f"per distinct token {per[1] / per[0]:.3f} and {per[2] / per[0]:.3f} of the first, for more texts pad less; "
        f"peak memory {' / '.join(f'{p:.0f}' for p in peaks[1:])} MiB"
    )
    flat, dearer = peaks[3] <= 1.1 * peaks[1], max(per[1:]) > 1.1 * per[0]
    return [(text, flat and not dearer and abs(steps[1] / steps[0] - 1) <= 0.1)]


def _rest(prompt: Prompt) -> tuple[Any, ...]:
    return (prompt.item_id, prompt.group, prompt.source, prompt.template, prompt.messages, prompt.marks, prompt.options)


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


def killed(bench: Bench) -> list[Shown]:
    """Kill ranks that record and ranks that rate, as check_scale does."""
    kills, parts, good = check_scale.QUICK_KILLS if bench.quick else check_scale.KILLS, [], True
    for name, words in (("recording", check_scale.EXTRACT), ("rating", check_scale.RATE)):
        with tempfile.TemporaryDirectory(prefix="vprobe-scale-") as place:
            value, ok = check_scale.judged(check_scale.killed(words, Path(place), kills))
        parts.append(f"{name}: {value}")
        good &= ok
    return [("; ".join(parts), good)]
