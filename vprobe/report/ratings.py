"""Ratings of single responses beside the ratings their planted loadings call for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.ticker import MultipleLocator

from vprobe import scores, stats
from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.truth import Truth
from vprobe.types import Response


@dataclass(frozen=True)
class Pairs:
    """The model's rating of each response and the true one.

    Args:
        rated: Mean expected rating over versions of the question, points.
        planted: What the planted profile calls for, points.
    """

    rated: Float[np.ndarray, " sample"]
    planted: Float[np.ndarray, " sample"]

    @property
    def r(self) -> float:
        """Correlation of the two."""
        return stats.pearson(self.rated, self.planted)


def pairs(responses: Sequence[Response], truth: Truth) -> Pairs:
    """Return the responses of which both ratings are known."""
    items = tuple(dict.fromkeys(one.item_id for one in responses)) if truth.knows("rating") else ()
    rated = scores.rate(responses, items).expected if items else np.empty(0)
    planted = np.array([truth.number("rating", "", item) for item in items], dtype=np.float64)
    known = np.isfinite(rated) & np.isfinite(planted)
    return Pairs(rated[known], planted[known])


def draw(both: Pairs) -> style.Drawing:
    """Draw one dot per response; on the dashed line the model rates as its planted profile calls for.

    Args:
        both: At least one pair.
    """
    low, high = (float(end(np.concatenate([both.rated, both.planted]))) for end in (np.min, np.max))
    with style.drawing():
        figure = style.blank(4.6, 5.2)
        axes = figure.subplots()
        axes.scatter(both.planted, both.rated, s=16, color=style.MUTED, alpha=0.5, linewidths=0, label="one response")
        whole = [float(x) for x in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
        true.line(axes, whole, whole)
        axes.set_xlabel("rating the planted profile calls for (points)")
        axes.set_ylabel("the model's rating (points)")
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(1.0))
        axes.grid(color=style.GRID, lw=0.5)
        axes.set_axisbelow(True)
        dots = axes.get_legend_handles_labels()[0]
        axes.legend(handles=[*dots, true.handle(dashed=True)], loc="upper left")
        return style.finish(figure, "ratings", f"The model's ratings of {len(both.rated)} responses beside true ones.")
