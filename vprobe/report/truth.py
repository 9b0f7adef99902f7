"""What was planted, beside what was estimated: a hollow diamond in every figure, a dashed line where it runs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vprobe.report import style
from vprobe.types import TruthRow

SIGN = "\N{WHITE DIAMOND}"
"""The same mark where it stands in text."""

SIZE = 8.5
DASHES = (0, (5, 2.2))


@dataclass(frozen=True)
class Truth:
    """The table `truth`: nothing in it unless the model's values were planted.

    Args:
        rows: Its rows.
    """

    rows: tuple[TruthRow, ...] = ()

    @cached_property
    def _numbers(self) -> dict[tuple[str, str, str], float]:
        return {(row.quantity, row.value, row.subject): row.truth for row in self.rows}

    def number(self, quantity: str, value: str, subject: str = "") -> float:
        """Return what is true, NaN where nothing is known.

        Args:
            quantity: What it is the truth of, such as "probe~label".
            value: Canonical value name; empty for an item's rating.
            subject: Item, condition, strength or method; empty when none.
        """
        return self._numbers.get((quantity, value, subject), math.nan)

    def knows(self, quantity: str) -> bool:
        """Whether any finite number of this quantity is there."""
        return any(row.quantity == quantity and math.isfinite(row.truth) for row in self.rows)


NONE = Truth()


def mark(axes: Axes, x: float, y: float) -> None:
    """Draw one truth; nothing where it is not known."""
    if math.isfinite(x) and math.isfinite(y):
        axes.plot([x], [y], "D", ms=SIZE, mfc="none", mec=style.INK, mew=1.1, zorder=6)


def line(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw truths that belong together, from left to right."""
    axes.plot(x, y, color=style.INK, lw=1.0, ls=DASHES, zorder=5)
    for at, height in zip(x, y, strict=True):
        mark(axes, at, height)


def handle(label: str = "truth", *, dashed: bool = False) -> Line2D:
    """Return the entry of a legend.

    Args:
        label: What it says.
        dashed: True where a line joins the marks.
    """
    width = 1.0 if dashed else 0.0
    return Line2D(
        [], [], marker="D", ms=SIZE - 1, mfc="none", mec=style.INK, mew=1.1, lw=width, ls=DASHES, color=style.INK,
        label=label,
    )  # fmt: skip
