"""Show that several processes make the run that one process makes, whichever of them dies: one row per figure.

Exits with 1 when a row is not ok; a row that was not run is not. `--quick` kills twice in place of ten times; `--only
PART` runs the rows whose name contains PART. Every kill is a SIGKILL (where texts are written every second one a
SIGTERM) at a moment drawn over the time that an undisturbed pair takes. In every second trial the other rank goes on
alone, and the dead one is started again; in the others both die and both are started again. A disk fills where files
may grow no further (RLIMIT_FSIZE), which needs no rights. Processes are forked from one that has imported everything,
so that the moments fall into the work and not into the imports.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import NOT_RUN, Row, closed

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

KILLS, QUICK_KILLS = 10, 2
TRIES = 3
"""A rank that ended before its moment, as on a machine that has become faster since, is killed in a new run, sooner."""
KILLED = "Kill any rank of a two-rank run at 10 random moments; resume; the store equals a single-process run's bytes."
TORCHRUN = "Data parallel by `torchrun` with the same command line: ranks take shards of the plan, write to one store."
EXTRACT = ("extract", "--model", "organism", "--benchmark", "everyday", "--limit", "12", "--batch-tokens", "256")
DIES = "ranks take shards of the plan, write to one store, any rank may die and be rerun"
WRITE = (
    "rate", "--model", "organism", "--benchmark", "everyday", "--limit", "4", "--versions", "v1,v1_reversed",
    "--batch-tokens", "512",
)  # fmt: skip
RATE = (*WRITE, "--no-greedy")
RUN = "{run}"
"""Stands for the run's folder in a command line that does not name it by --out."""
PROBED = (
    ("extract", "--model", "organism", "--benchmark", "planted", "--limit", "20", "--layers", "1", "--no-untrained"),
    ("probe", RUN, "--values", "benevolence,power", "--method", "covariance", "--draws", "5"),
)
STEER = (
    "steer", "sweep", "--run", RUN, "--model", "organism", "--benchmark", "planted", "--values", "benevolence",
    "--strengths=-0.05,0.05", "--versions", "v1", "--limit", "4", "--method", "covariance", "--null-draws", "1",
    "--null-arms", "random",
)  # fmt: skip
NOT_RESULTS = ("timing.json",)
"""The one file of a run with clock and host."""


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run, hidden ones too."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_RESULTS]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


def command(words: tuple[str, ...], folder: Path, rank: int, of: int, room: int = 0) -> None:
    """Be one rank: run the command line as `python -m vprobe` does, in an environment as torchrun makes it.

    The checkout's commit is left out of the run's record: somebody may commit between two runs.

    Args:
        words: The command line.
        folder: The run's.
        rank: Which one.
        of: How many there are.
        room: Bytes a file may have; then what is printed goes beside the folder, into a file of its own. 0 is no limit.
    """
    from vprobe.__main__ import main
    from vprobe.pipeline import _common

    _common._commit = lambda root: ""
    os.environ.update({"RANK": str(rank), "WORLD_SIZE": str(of), "LOCAL_RANK": str(rank)})
    there = [str(folder) if word == RUN else word for word in words]
    sys.argv = ["vprobe", *there, *([] if RUN in words else ["--out", str(folder)])]
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    with (
        (_said(folder, rank) if room else Path(os.devnull)).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        main()


def _said(folder: Path, rank: int) -> Path:
    return folder.with_name(f"{folder.name}.{rank}.txt")


class Ranks:
    """Starts ranks of one command line, by forks of a process that has imported what they need.

    Args:
        words: The command line, without `--out`.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self._fork = multiprocessing.get_context("forkserver")
        self._fork.set_forkserver_preload(
            ["vprobe.pipeline", "vprobe.cli", "torch", "transformers", "vprobe.backends.hf"]
        )

    def start(self, folder: Path, rank: int, of: int, room: int = 0) -> Any:
        """Start one rank and return its process."""
        one = self._fork.Process(target=command, args=(self.words, folder, rank, of, room))
        one.start()
        return one

    def run(self, folder: Path, of: int, room: int = 0) -> list[int]:
        """Run all ranks to their end and return their exit codes."""
        return [_ended(one) for one in [self.start(folder, rank, of, room) for rank in range(of)]]

    def alone(self, folder: Path) -> list[int]:
        """Run a single process to its end."""
        return self.run(folder, 1)


def _ended(one: Any) -> int:
    one.join(timeout=120)
    if one.exitcode is None:
        one.kill()
        one.join()
        return -999
    return one.exitcode


@dataclass(frozen=True)
class Trial:
    """What came of one kill: a rank killed before its end, and a store as one process makes it."""

    died: bool
    same: bool
    codes: tuple[int, ...]


def trial(
    ranks: Ranks,
    folder: Path,
    whole: dict[str, str],
    victim: int,
    moment: float,
    both: bool,
    how: signal.Signals = signal.SIGKILL,
) -> Trial:
    """Start two ranks, kill one or both, start again what was killed, and compare.

    Args:
        ranks: What they run.
        folder: Theirs, new or as an earlier stage left it.
        whole: Hashes of a single process's run.
        victim: The rank killed.
        moment: Seconds from the start.
        both: Kill the other one too, at once.
        how: The signal.
    """
    pair = [ranks.start(folder, rank, 2) for rank in range(2)]
    time.sleep(moment)
    dead = [rank for rank in range(2) if rank == victim or both]
    for rank in dead:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pair[rank].pid, how)
    for rank in dead:
        pair[rank].join()
    died = pair[victim].exitcode == -how
    again = [ranks.start(folder, rank, 2) for rank in dead]
    codes = tuple(_ended(one) for one in (*(pair[rank] for rank in range(2) if rank not in dead), *again))
    return Trial(died, hashes(folder) == whole, codes)


def killed(
    words: tuple[str, ...],
    work: Path,
    kills: int,
    seed: int = 7,
    *,
    before: tuple[tuple[str, ...], ...] = (),
    victims: tuple[int, ...] = (0, 1),
    hows: tuple[signal.Signals, ...] = (signal.SIGKILL,),
) -> list[Trial]:
    """Kill ranks at random moments of the time that an undisturbed pair takes.

    Args:
        words: The command line, without `--out`.
        work: An empty folder.
        kills: How often.
        seed: Of moments and victims.
        before: Command lines that make the run this one goes on with.
        victims: Ranks that may be killed; of a command that is not divided those that work.
        hows: Signals, in turn.
    """
    ranks, draw = Ranks(words), random.Random(seed)
    for earlier in before:
        if Ranks(earlier).alone(work / "base") != [0]:
            raise RuntimeError(f"{earlier[0]} failed")

    def fresh(name: str) -> Path:
        return shutil.copytree(work / "base", work / name) if before else work / name

    if ranks.alone(fresh("one")) != [0]:
        raise RuntimeError("the single process failed")
    whole = hashes(work / "one")
    fresh("two")
    start = time.monotonic()
    if ranks.run(work / "two", 2) != [0, 0]:
        raise RuntimeError("the undisturbed ranks failed")
    took = time.monotonic() - start
    found = [Trial(True, hashes(work / "two") == whole, (0, 0))]
    for kill in range(kills):
        moment = (0.1 + 0.85 * (kill + draw.random()) / kills) * took
        victim = victims[draw.randrange(2) % len(victims)]
        for _ in range(TRIES):
            folder, how = fresh(f"kill-{kill}"), hows[kill % len(hows)]
            one = trial(ranks, folder, whole, victim, moment, both=kill % 2 == 1, how=how)
            shutil.rmtree(folder)
            if one.died or not one.same or any(one.codes):
                break
            moment /= 2
        found.append(one)
    return found[1:] if found[0].same else found


def judged(trials: list[Trial]) -> tuple[str, bool]:
    died, same = sum(one.died for one in trials), sum(one.same for one in trials)
    clean = sum(not any(one.codes) for one in trials)
    value = f"{same} of {len(trials)} stores equal; {died} killed before the end; {clean} ended without an error"
    return value, same == clean == len(trials) and died >= 0.7 * len(trials)


def extract_row(work: Path, quick: bool) -> tuple[str, bool]:
    return judged(killed(EXTRACT, work, QUICK_KILLS if quick else KILLS))


def rate_row(work: Path, quick: bool) -> tuple[str, bool]:
    return judged(killed(RATE, work, QUICK_KILLS if quick else KILLS))


def write_row(work: Path, quick: bool) -> tuple[str, bool]:
    return judged(
        killed(WRITE, work, QUICK_KILLS if quick else KILLS, seed=8, hows=(signal.SIGTERM, signal.SIGKILL)),
    )


def steer_row(work: Path, quick: bool) -> tuple[str, bool]:
    """Kill the one rank that steers; the other one leaves at once."""
    return judged(killed(STEER, work, QUICK_KILLS if quick else KILLS, before=PROBED, victims=(0,)))


def full_row(work: Path, quick: bool) -> tuple[str, bool]:
    """Fill the disk under two ranks, then under three, and let one process end what they began."""
    said, fine = [], []
    for words, sizes in ((EXTRACT, (2000, 2500)), (WRITE, (3000, 4500))):
        ranks, one, run = Ranks(words), work / f"one-{words[0]}", work / f"full-{words[0]}"
        codes = [ranks.alone(one)]
        for of, room in zip((2, 3), sizes, strict=True):
            codes.append(ranks.run(run, of, room))
            fine += ["the disk is full" in _said(run, rank).read_text() for rank in range(of)]
        codes.append(ranks.alone(run))
        same = hashes(run) == hashes(one)
        fine += [same, codes == [[0], [1] * 2, [1] * 3, [0]]]
        said.append(f"{words[0]}: store equal {same}, exits of one, two, three ranks and one {codes}")
    return f"{'; '.join(said)}; every rank said why: {all(fine)}", all(fine)


def torchrun_row(work: Path, quick: bool) -> tuple[str, bool]:
    """Run the very command line by torchrun, and SLURM's environment by hand."""
    vprobe = [sys.executable, "-m", "vprobe"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vprobe"]
    said = [
        subprocess.run([*how, *EXTRACT, "--out", str(work / name)], capture_output=True, text=True)
        for how, name in ((vprobe, "one"), (torchrun, "two"))
    ]
    slurm = []
    for rank in range(2):
        words = {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": str(rank)}
        slurm.append(
            subprocess.Popen(
                [*vprobe, *EXTRACT, "--out", str(work / "three")], env=os.environ | words,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    printed = [one.communicate()[0] for one in slurm]
    codes = [*(one.returncode for one in said), *(one.returncode for one in slurm)]
    same = [hashes(work / "one") == hashes(work / name) for name in ("two", "three")]
    once = sum("samples:" in text for text in printed) == 1 and said[1].stdout.count("samples:") == 1
    value = (
        f"torchrun equal: {same[0]}; SLURM's environment equal: {same[1]}; printed by one rank: {once}; exits {codes}"
    )
    return value, all(same) and once and not any(codes)


ROWS: tuple[tuple[str, str, Callable[[Path, bool], tuple[str, bool]]], ...] = (
    ("ranks killed while recording", KILLED, extract_row),
    ("ranks killed while rating", KILLED, rate_row),
    ("ranks killed while writing texts", KILLED, write_row),
    ("a rank killed while steering", KILLED, steer_row),
    ("a disk that fills under ranks", DIES, full_row),
    ("ranks by torchrun and SLURM", TORCHRUN, torchrun_row),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows as a list of {name, target, value, ok}")
    parser.add_argument("--quick", action="store_true", help="two kills in place of ten")
    parser.add_argument("--only", action="append", default=[], help="only rows whose name contains this")
    asked = parser.parse_args()
    rows = []
    for name, target, make in ROWS:
        row = Row(name, target, NOT_RUN, False)
        if not asked.only or any(part in name for part in asked.only):
            start = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="vprobe-scale-") as place:
                try:
                    row = Row(name, target, *make(Path(place), asked.quick))
                except Exception as error:
                    row = Row(name, target, f"{type(error).__name__}: {error}", False)
            print(f"{'ok  ' if row.ok else 'FAIL'} {name}   ({time.monotonic() - start:.0f} s)")
            print(f"       target {target}\n       value  {row.value}", flush=True)
        rows.append(row)
    sys.exit(closed(rows, asked.json, some=True))


if __name__ == "__main__":
    main()
