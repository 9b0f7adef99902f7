"""Show that the whole story holds: one row per figure, with its target; exits with 1 when a row is not ok.

A row that was not run is not ok. `--quick` runs the rows that fit into three minutes and judges those alone;
`--only PART` runs the rows whose name contains PART.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rows import NOT_RUN, Row, closed

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared"))
PYTHON = sys.executable
FAMILIES = 14
REAL = 3


@dataclass(frozen=True)
class Check:
    """How one row is made; `quick` rows run in CI."""

    name: str
    target: str
    run: Callable[[Path, bool], tuple[str, bool]]
    quick: bool


def environment(work: Path) -> dict[str, str]:
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "VPROBE_CACHE": str(work / "cache"),
    }


def vprobe(work: Path, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "vprobe", *(str(word) for word in words)]
    done = subprocess.run(command, cwd=ROOT, env=environment(work), capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done


# --- tests by claim --------------------------------------------------------------------------------------------------

CONFORMANCE = "tests/test_backend_hf.py"
_results: dict[str, dict[str, str]] = {}


def results(work: Path, file: str) -> dict[str, str]:
    """Outcome per test of one file; run once, unless a report of a run just made was given."""
    if file not in _results:
        report = work / (Path(file).stem + ".xml")
        command = [PYTHON, "-m", "pytest", file, "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, env=environment(work), capture_output=True, text=True)
        _results[file] = outcomes(report, Path(file).stem)
    return _results[file]


def outcomes(report: Path, module: str) -> dict[str, str]:
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {
        case.get("name", ""): next((c.tag for c in case if c.tag in ("failure", "error", "skipped")), "passed")
        for case in cases
        if case.get("classname", "").endswith(module)
    }


def claim(file: str, test: str, at_least: int) -> Callable[[Path, bool], tuple[str, bool]]:
    """A row that holds when every case of a test passed, and there were enough of them."""

    def run(work: Path, quick: bool) -> tuple[str, bool]:
        found = [out for name, out in results(work, file).items() if re.split(r"\[", name)[0] == test]
        passed, skipped = found.count("passed"), found.count("skipped")
        wanted = at_least if SHARED.is_dir() else min(at_least, FAMILIES if at_least > FAMILIES else at_least)
        value = f"{passed} of {len(found) - skipped} cases passed" + (f", {skipped} skipped" if skipped else "")
        return value, passed >= wanted and passed + skipped == len(found)

    return run


# --- the story -------------------------------------------------------------------------------------------------------


def get_data(work: Path) -> None:
    if not SHARED.is_dir():
        raise RuntimeError(f"no reference folder at {SHARED}")
    vprobe(work, "data", "get", "value-portrait", "--from", SHARED / "value_portrait" / "upstream")


def story(work: Path, quick: bool) -> tuple[str, bool]:
    out, start = work / "story", time.monotonic()
    get_data(work)
    vprobe(
        work,
        "run",
        ROOT / "experiments/001-value-portrait/config.toml",
        "--model",
        SHARED / "models/tinytalk-3m",
        "--out",
        out,
    )
    page, figures = out / "report.html", list((out / "figures").glob("*.png"))
    value = f"report.html {page.stat().st_size / 1e6:.1f} MB, {len(figures)} figures, {time.monotonic() - start:.0f} s"
    return value, page.stat().st_size > 100_000 and len(figures) >= 6


def fitting(model: str, target: int) -> Callable[[Path, bool], tuple[str, bool]]:
    def run(work: Path, quick: bool) -> tuple[str, bool]:
        get_data(work)
        command = [PYTHON, "-c", COUNT, str(SHARED / "models" / model)]
        done = subprocess.run(command, cwd=ROOT, env=environment(work), check=True, capture_output=True, text=True)
        n = int(done.stdout.split()[-1])
        return f"{n} of 520", n == target

    return run


COUNT = """
import sys
from vprobe import backends, benchmarks
from vprobe.errors import ModelError
from vprobe.pipeline._read import ask, fitting
backend, found = backends.load(sys.argv[1]), benchmarks.load("value-portrait")
try:
    kept = fitting(backend, ask([found], ["all"]), "skip", "rate")
    print(len({p.item_id for p in kept.prompts}))
except ModelError:
    print(0)
"""


def kills(work: Path, quick: bool) -> tuple[str, bool]:
    """Kill `extract` at random moments, half of them while it records, and compare with an uninterrupted run."""
    rng, n = random.Random(0), 3 if quick else 20
    model = subprocess.run(
        [PYTHON, "-c", "from vprobe import organism; print(organism.load())"],
        cwd=ROOT,
        env=environment(work),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[-1]
    words = (
        "extract",
        "--model",
        model,
        "--benchmark",
        "everyday",
        "--sites",
        "resid_post:all",
        "--sites",
        "attn_out:all",
        "--positions",
        "response_mean,last_prompt",
        "--batch-tokens",
        "64",
    )
    start = time.monotonic()
    vprobe(work, *words, "--out", work / "whole")
    whole = time.monotonic() - start
    same = killed = tries = 0
    while killed < n and tries < 4 * n:
        out = work / f"killed-{tries}"
        tries += 1
        killed += stopped(work, [*map(str, words), "--out", str(out)], out, rng, whole, recording=tries % 2 == 0)
        vprobe(work, *words, "--out", out)
        same += identical(work / "whole", out)
        shutil.rmtree(out)
    return f"{same} of {tries} identical, {killed} killed before their end", same == tries and killed == n


def stopped(work: Path, words: list[str], out: Path, rng: random.Random, whole: float, *, recording: bool) -> bool:
    """Kill one extraction at a random moment, or while it records; tell whether it was still running."""
    command = [PYTHON, "-m", "vprobe", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(work), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if recording:
        while process.poll() is None and not (out / "activations" / "journal").exists():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.2 * whole))
    else:
        time.sleep(rng.uniform(0.05, 0.95) * whole)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def identical(one: Path, two: Path) -> bool:
    names = [
        sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file() and p.name != "timing.json")
        for f in (one, two)
    ]
    return names[0] == names[1] and all(filecmp.cmp(one / name, two / name, shallow=False) for name in names[0])


def help_time(work: Path, quick: bool) -> tuple[str, bool]:
    seconds = []
    for _ in range(7):
        start = time.monotonic()
        vprobe(work, "--help")
        seconds.append(time.monotonic() - start)
    return f"{statistics.median(seconds):.2f} s", statistics.median(seconds) < 0.3


def clone(target: str, with_shared: bool) -> Callable[[Path, bool], tuple[str, bool]]:
    """`make TARGET` in a fresh clone; the first target of a clone makes its venv."""

    def run(work: Path, quick: bool) -> tuple[str, bool]:
        if with_shared and not SHARED.is_dir():
            return "no reference folder beside this checkout", False
        home = work / ("with" if with_shared else "without")
        if not home.exists():
            home.mkdir()
            subprocess.run(["git", "clone", "-q", str(ROOT), str(home / "vprobe")], check=True)
            if with_shared:
                (home / "shared").symlink_to(SHARED)
        start = time.monotonic()
        made = dict(os.environ) | {"VPROBE_CACHE": str(home / "cache")}
        made.pop("VPROBE_SHARED", None)
        done = subprocess.run(["make", target], cwd=home / "vprobe", env=made, capture_output=True, text=True)
        last = [line for line in done.stdout.splitlines() if "passed" in line or "report:" in line]
        ok = done.returncode == 0 and (target == "test" or (home / "vprobe/runs/demo/report.html").exists())
        return (
            f"exit {done.returncode}, {time.monotonic() - start:.0f} s; {(last or [done.stderr[-200:]])[-1].strip()}",
            ok,
        )

    return run


CLI = "tests/test_cli.py"
CHECKS = (
    Check("make test, fresh clone, without ../shared", "passes, one command", clone("test", False), False),
    Check("make demo, fresh clone, without ../shared", "ends with a report, one command", clone("demo", False), False),
    Check("make demo, fresh clone, with ../shared", "ends with a report, one command", clone("demo", True), False),
    Check("make test, fresh clone, with ../shared", "passes, one command", clone("test", True), False),
    Check("data get + run 001 on tinytalk-3m", "ends with a report", story, False),
    Check("items that fit tinytalk-3m in all six versions", "259 of 520", fitting("tinytalk-3m", 259), True),
    Check("items that fit craftgpt-5m in all six versions", "0 of 520", fitting("craftgpt-5m", 0), False),
    Check(
        "resid_post L against hidden_states[L+1], all but the last block",
        "equal exactly, every family and 3 real models",
        claim(CONFORMANCE, "test_resid_post_is_the_next_hidden_state_exactly_at_every_token", FAMILIES + REAL),
        True,
    ),
    Check(
        "batch of one against padded batch",
        "relative row error <= 1e-5, every family and 3 real models",
        claim(CONFORMANCE, "test_a_padded_batch_reads_what_single_rows_read", FAMILIES + REAL),
        True,
    ),
    Check(
        "coefficient 0",
        "changes no bit, every family and 3 real models",
        claim(CONFORMANCE, "test_coefficient_zero_changes_no_bit", FAMILIES + REAL),
        True,
    ),
    Check(
        "steered site against x + c * v computed apart",
        "bit for bit, every batch row and generated position",
        claim(
            CONFORMANCE, "test_steering_is_x_plus_c_v_to_the_bit_in_every_row_and_generated_position", FAMILIES + REAL
        ),
        True,
    ),
    Check(
        "hooks after an exception",
        "gone",
        claim(CONFORMANCE, "test_hooks_are_gone_after_every_call_and_after_an_exception", 1),
        True,
    ),
    Check(
        "decoding the response span",
        "gives the response, every template style",
        claim("tests/test_prompts.py", "test_decoding_the_spans_gives_the_words_back", 6),
        True,
    ),
    Check(
        "two runs with one seed",
        "byte-identical except timing.json",
        claim(CLI, "test_two_runs_with_one_seed_are_the_same_bytes_except_timing", 1),
        True,
    ),
    Check(
        "kill -9 at random moments of extract, then resume",
        "final store identical to an uninterrupted one, 20 of 20",
        kills,
        True,
    ),
    Check(
        "bad input: missing model, not a model, wrong layer, ...",
        "no traceback, exit 1",
        claim(CLI, "test_bad_options_of_extract_are_answered_in_words", 11),
        True,
    ),
    Check("bad input: unknown value", "nearest named", claim(CLI, "test_an_unknown_value_names_the_nearest", 1), True),
    Check("bad input: corrupt shard", "named, no traceback", claim(CLI, "test_a_corrupt_shard_is_named", 1), True),
    Check(
        "bad input: truncated download",
        "answered in words",
        claim(
            "tests/test_data_cache.py", "test_a_download_cut_off_every_time_is_an_error_and_the_next_call_resumes", 1
        ),
        True,
    ),
    Check(
        "bad input: wrong hash",
        "answered in words",
        claim("tests/test_data_cache.py", "test_wrong_bytes_never_reach_their_place", 1),
        True,
    ),
    Check(
        "bad input: disk full (small tmpfs)",
        "said before any work",
        claim(CLI, "test_a_full_disk_is_said_before_any_work", 1),
        True,
    ),
    Check(
        "bad input: no chat template",
        "read as plain text",
        claim(CLI, "test_a_model_without_chat_template_is_read_as_plain_text", 1),
        True,
    ),
    Check(
        "bad input: context too short",
        "counted skip or error, never cut",
        claim(CLI, "test_a_context_too_short_is_a_counted_skip_or_an_error_and_never_a_cut", 1),
        True,
    ),
    Check(
        "bad input: RUN of another model",
        "refused, both named",
        claim(CLI, "test_a_run_of_another_model_is_refused", 1),
        True,
    ),
    Check("bad input: empty prompt", "refused", claim(CLI, "test_an_empty_prompt_is_refused", 1), True),
    Check("vprobe --help, warm", "< 0.3 s", help_time, True),
)


def judge(check: Check, work: Path, quick: bool) -> Row:
    try:
        value, ok = check.run(work, quick)
    except Exception as error:
        value, ok = f"{type(error).__name__}: {error}", False
    print(f"{'ok  ' if ok else 'FAIL'} {check.name}\n       target {check.target}\n       value  {value}", flush=True)
    return Row(check.name, check.target, value, ok)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows as a list of {name, target, value, ok}")
    parser.add_argument("--quick", action="store_true", help="only the rows that fit into three minutes; judges those")
    parser.add_argument("--only", default="", help="only rows whose name contains this; judges those")
    parser.add_argument("--junit", type=Path, help="take the outcome of tests from this report of a run just made")
    asked = parser.parse_args()
    if asked.junit:
        files = (CONFORMANCE, CLI, "tests/test_prompts.py", "tests/test_data_cache.py")
        _results.update({file: outcomes(asked.junit, Path(file).stem) for file in files})
    with tempfile.TemporaryDirectory(prefix="vprobe-story-") as place, ThreadPoolExecutor(2) as pool:
        wanted = [c for c in CHECKS if asked.only in c.name and (c.quick or not asked.quick)]
        if asked.quick and not SHARED.is_dir():
            wanted = [c for c in wanted if not c.name.startswith("items that fit")]
        # Fresh clones share nothing with the other rows, so the two kinds run side by side on two cores.
        lanes = [[c for c in wanted if ("fresh clone" in c.name) is fresh] for fresh in (True, False)]
        made = [
            row
            for lane in pool.map(lambda lane: [judge(c, Path(place), asked.quick) for c in lane], lanes)
            for row in lane
        ]
    judged = {row.name: row for row in made}
    rows = [judged.get(c.name, Row(c.name, c.target, NOT_RUN, False)) for c in CHECKS]
    sys.exit(closed(rows, asked.json, some=True))


if __name__ == "__main__":
    main()
