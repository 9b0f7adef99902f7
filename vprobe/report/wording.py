"""How numbers and short lists are written: never a zero for a number that does not exist."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

MISSING = "n/a"
SPACE = "\N{NO-BREAK SPACE}"


def number(x: float | None, digits: int = 2) -> str:
    """Return a number with a fixed count of decimals, "n/a" when it does not exist.

    Args:
        x: Any unit.
        digits: Decimals.
    """
    if x is None or not math.isfinite(x):
        return MISSING
    text = f"{x:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def tick(x: float) -> str:
    """Return a number beside an axis with as many decimals as it takes to tell it from zero, at most three digits."""
    if x == 0 or not math.isfinite(x):
        return "0"
    small = abs(x) < 0.005
    text = f"{x:.1e}".replace("e-0", "e-").replace(".0e", "e") if small else f"{x:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def share(x: float | None, digits: int = 2) -> str:
    """Return a number that lies between -1 and 1, such as a correlation, without its leading zero."""
    text = number(x, digits)
    return text.replace("0.", ".", 1) if text.lstrip("\N{MINUS SIGN}").startswith("0.") else text


def chance(p: float | None) -> str:
    """Return a p value to three decimals, "< .001" below that."""
    if p is not None and math.isfinite(p) and p < 0.0005:
        return "< .001"
    return share(p, 3)


def equals(p: float | None) -> str:
    """Return a p value ready to follow the letter p: "= .041", "< .001" or "n/a"."""
    text = chance(p)
    text = text if text.startswith("<") or text == MISSING else f"= {text}"
    return text.replace(" ", SPACE)


def yes_no(x: float) -> str:
    """Return "yes" for 1, "no" for 0, "n/a" where it is not known."""
    return MISSING if math.isnan(x) else ("yes" if x else "no")


def interval(low: float | None, high: float | None, *, unit: bool = False, digits: int = 2) -> str:
    """Return an interval in brackets.

    Args:
        low: Lower end.
        high: Upper end.
        unit: True for numbers in a unit, which keep their leading zero.
        digits: Decimals.
    """
    form = number if unit else share
    ends = form(low, digits), form(high, digits)
    return MISSING if ends == (MISSING, MISSING) else f"[{ends[0]}, {ends[1]}]"


def listing(names: Sequence[str]) -> str:
    """Return names as a sentence has them: "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def many(n: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: "1 item", "1,204 items"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def short(text: str, length: int = 160) -> str:
    """Return the text on one line, ending in an ellipsis when it is longer than `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def setting(x: object) -> str:
    """Return a setting as printed in the provenance; a path of one machine keeps only its last part."""
    if isinstance(x, list | tuple):
        return ", ".join(setting(one) for one in x) or "(none)"
    if isinstance(x, bool) or x is None:
        return {True: "yes", False: "no", None: "not set"}[x]
    text = str(x)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute() and kind(text).name:
            return "\N{HORIZONTAL ELLIPSIS}/" + kind(text).name
    return text or "(empty)"
