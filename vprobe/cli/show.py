"""What a person or a program sees: progress on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Tell = Callable[[str, int, int], None]
WIDE = 180
"""Characters of a line of a table that goes into a file or to another program; a terminal has its own."""


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Tell]:
    """Give a function that draws one progress bar per stage on standard error.

    Args:
        quiet: Draw nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f}"))
    bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    tasks: dict[str, Any] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    with bars:
        yield tell


def line(text: str = "") -> None:
    """Print one line of a result, as plain text."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print one line that is not a result, to standard error."""
    sys.stderr.write(text + "\n")


def print_json(found: Any) -> None:
    """Print one JSON object; NaN becomes null, for JSON has none."""
    line(json.dumps(_plain(found), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(found: Any) -> Any:
    if isinstance(found, float) and not math.isfinite(found):
        return None
    if isinstance(found, dict):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(value) for value in found]
    return found if isinstance(found, (str, int, float, bool, type(None))) else str(found)


def number(value: Any, digits: int = 2) -> str:
    """Return a number for a table; one that does not exist is n/a."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def chance(p: float, digits: int = 3) -> str:
    """Return a p value for a table: one too small for its digits is "<0.001", never 0; n/a where there is none.

    Args:
        p: The p value.
        digits: Decimals.
    """
    text = number(float(p), digits)
    return text if math.isnan(p) or float(text) else f"<{10.0**-digits:.{digits}f}"


def ends(low: float, high: float, spec: str = "z.3f") -> str:
    """Return both ends of an interval, "n/a" where there is none.

    Args:
        low: Lower end.
        high: Upper end.
        spec: How each is written.
    """
    return "n/a" if math.isnan(low) or math.isnan(high) else f"{low:{spec}} .. {high:{spec}}"


def share_of(share: float, low: float, high: float, spec: str = "z.0%") -> str:
    """Return a share with its interval, "n/a" for what does not exist.

    Args:
        share: The share.
        low: Lower end.
        high: Upper end.
        spec: How each is written.
    """
    return "n/a" if math.isnan(share) else f"{share:{spec}} ({ends(low, high, spec)})"


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table.

    Args:
        title: Above it.
        heads: Column names.
        rows: Cells as text.
        left: How many columns are words, which begin at the left; the others are numbers.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, head in enumerate(heads):
        drawn.add_column(head, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*[Text(cell) for cell in row])
    wide = None if sys.stdout.isatty() else WIDE
    console = Console(width=wide, highlight=False, soft_wrap=False)
    console.print(Text(title, style="bold"), drawn)


def counts(found: Sequence[Any]) -> None:
    """Print what was left out, by stage, reason and source; nothing is ever left out silently."""
    for one in found:
        line(f"  {one.n} of {one.of} from {one.source}: {one.reason} ({one.stage})")


def stage_facts(found: Any) -> dict[str, Any]:
    """Return a finished stage as plain values for JSON."""
    left = [{"stage": c.stage, "reason": c.reason, "source": c.source, "n": c.n, "of": c.of} for c in found.counts]
    return {"stage": found.name, "run": found.folder, **dict(found.facts), "left_out": left}


def stage(found: Any, *, as_json: bool | None) -> None:
    """Print what a stage did and what it left out."""
    if as_json:
        print_json(stage_facts(found))
        return
    line(f"{found.name}: {found.folder}")
    for name, value in found.facts:
        line(f"  {name}: {_fact(value)}")
    counts(found.counts)


def of_rank(found: Any, index: int, *, as_json: bool | None) -> None:
    """Print a stage that several ranks made, once: by the rank that finished it. Until then rank 0 says what is so."""
    if not found.part:
        stage(found, as_json=as_json)
    elif index == 0:
        note(
            "rank 0 has done its part; the rank that ends last finishes the run. Should one have died, "
            "run the same command again: it goes on where it stopped."
        )


def _fact(value: Any) -> str:
    """Return a fact with three digits, however small it is; one that does not exist is n/a."""
    if not isinstance(value, float):
        return str(value)
    return "n/a" if math.isnan(value) else f"{value:.3g}"


def agreement(run: Path, *, comparisons: Sequence[str] = ()) -> None:
    """Print the agreement table of a run: estimate, interval, null, ceiling and n together."""
    from vprobe import store, values
    from vprobe.types import Agreement

    heads = (
        "value",
        "compared",
        "method",
        "r",
        "95 % interval",
        "null 95 %",
        "p",
        "p family",
        "ceiling",
        "n",
        "left out",
    )
    rows = [
        (
            values.title(row.value) if row.level == "item" else "(profile)",
            row.comparison,
            row.method,
            number(row.estimate),
            f"{number(row.low)} .. {number(row.high)}",
            f"{number(row.null_low)} .. {number(row.null_high)}",
            chance(row.p),
            chance(row.p_family),
            number(row.ceiling),
            str(row.n_scored),
            str(row.n_unscored),
        )
        for row in store.load_rows(run, "agreement", Agreement)
        if row.site in ("nested", "") and (not comparisons or row.comparison in comparisons)
    ]
    table(
        "agreement within queries; probes and words are held out by query, sites picked on inner folds only",
        heads,
        rows,
    )
    line("p: against reading labels one-sided, against ratings two-sided; never below 1 / (1 + null draws).")
    line("p family: against the largest of all rows of that comparison. Notes and reasons for n/a: vprobe report.")
    line("(profile): r over the ten values between the probe-keyed and the label-keyed profile; n counts items.")


def doses(run: Path, *, of: str = "steering") -> None:
    """Print the dose-response of a run beside its null arms."""
    from vprobe import store, values
    from vprobe.types import DoseRow

    found = store.load_rows(run, of, DoseRow)
    rows = []
    for row in found:
        if row.arm not in ("baseline", "steered"):
            continue
        null = sorted(
            r.effect for r in found if r.arm == "shuffled" and (r.value, r.strength) == (row.value, row.strength)
        )
        rows.append(
            (
                values.title(row.value),
                row.site,
                number(row.strength),
                number(row.effect, 3),
                f"{number(row.low, 3)} .. {number(row.high, 3)}",
                f"{number(null[0], 3)} .. {number(null[-1], 3)}" if null else "n/a",
                number(row.mean_shift, 3),
                number(row.option_mass),
                str(row.n_items),
            )
        )
    heads = ("value", "site", "strength", "effect", "95 % interval", "shuffled range", "mean shift", "option mass", "n")
    table("change in rating per SD of the value's label, points; mean shift is yes-bias, not value", heads, rows)


def claims(run: Path) -> None:
    """Print which claims stand, and why the others are refused."""
    from vprobe import store, values
    from vprobe.types import ClaimRow

    found = store.load_rows(run, "claims", ClaimRow)
    rows = [
        (row.claim, "all" if row.value == "all" else values.title(row.value), "stands" if row.made else "refused",
         number(row.estimate), chance(row.p, 4), str(row.n), row.reason)
        for row in found
    ]  # fmt: skip
    level = f"family-wise alpha {found[0].alpha:g}" if found else "no claims"
    table(f"what may be said: {level}", ("claim", "value", "", "estimate", "p family", "n", "why not"), rows)


def ladder(found: Any) -> None:
    """Print how far each value of a run climbs on the claim ladder, why not further, and how much was tried."""
    from vprobe import pipeline, values

    rows = [(values.title(one.value), str(one.rung), one.name, one.missing) for one in found.climbs]
    table(
        f"claim ladder of {found.folder.name}, {found.method}", ("value", "rung", "reached", "why not the next"), rows
    )
    for told in pipeline.in_words(found.tried, found.seeds):
        line(told)


def rungs(folder: Path, climbed: Sequence[Any]) -> list[dict[str, Any]]:
    """Return a run's claim ladder as plain values for JSON."""
    import dataclasses

    return [dataclasses.asdict(one) for found in climbed if found.folder == folder for one in found.climbs]


def tried(folder: Path, climbed: Sequence[Any]) -> dict[str, Any]:
    """Return what a run tried and the seeds of its stages as plain values for JSON."""
    import dataclasses

    mine = [found for found in climbed if found.folder == folder]
    return {name: [dataclasses.asdict(one) for found in mine for one in getattr(found, name)]
            for name in ("tried", "seeds")}  # fmt: skip
