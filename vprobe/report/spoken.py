"""Answers side by side as a page: every token in the colour of where it lies along the direction, with its number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vprobe.errors import WRITABLE, StoreError, reason
from vprobe.report import pages
from vprobe.types import Piece, SideBySide

LESS = "\N{MINUS SIGN}"
LEVELS = (
    (-2, "less2", 2 * LESS, "2 SDs less"),
    (-1, "less1", LESS, "1 SD less"),
    (1, "more1", "+", "1 SD more"),
    (2, "more2", "++", "2 SDs more"),
)
"""Level, its class, its mark, and what it says."""


def write(path: Path, pairs: Sequence[SideBySide], *, model: str) -> Path:
    """Write a page that needs no other file.

    Args:
        path: The file; replaced when it exists.
        pairs: Prompts with their answers.
        model: Name of the model.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(pairs, model=model), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot be written: {reason(error)}", where=str(path), do=WRITABLE) from None
    return path


def page(pairs: Sequence[SideBySide], *, model: str) -> str:
    """Return the page as text.

    Args:
        pairs: Prompts with their answers.
        model: Name of the model.
    """
    named = {level: (name, mark) for level, name, mark, _ in LEVELS}
    return pages.template("spoken.html.j2").render(
        pairs=pairs, model=model, levels=LEVELS, named=named, mean=_mean,
        about=pairs[0].about if pairs else (), unit=pairs[0].unit if pairs else "",
    )  # fmt: skip


def _mean(pieces: Sequence[Piece]) -> str:
    return f"{sum(p.along for p in pieces) / len(pieces):z.3f}" if pieces else "n/a"
