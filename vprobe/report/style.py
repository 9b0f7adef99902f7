"""How every figure looks, and how it is saved so that the same tables give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vprobe import values as words

INK, MUTED, GRID, PAPER = "#1f2430", "#6a7180", "#d3d7de", "#fefefe"
"""Colours of text, secondary text, rules and page. The page puts its own in their place, so data never use them."""

BAND = "#9aa3b2"
"""Null bands, drawn half transparent so that they show on light and on dark pages."""

ON_LIGHT, ON_DARK = "#14161b", "#fdfdfd"
"""Numbers written inside coloured cells, whatever the page."""

WIDTH = 10.0
"""Width of every figure, inches; 960 pixels on the page."""

SCHWARTZ_COLOURS = (
    "#9e3d52",
    "#be6436",
    "#bb8a1f",
    "#5f7000",
    "#2f965b",
    "#00a8a2",
    "#00709b",
    "#547ecd",
    "#a184dd",
    "#8e4381",
)
"""One per value in circle order: hue goes round with the circle, lightness alternates so that neighbours differ for
colour-blind readers too."""

OTHER_COLOURS = ("#7a5548", "#5d7f78", "#8c7a3f", "#6b6b9c", "#a0635f", "#4f7d4f", "#7d6a86", "#56748c", "#99754f")
ON_DARK_PAGE = (
    "#d66d80",
    "#dd8351",
    "#d2a23c",
    "#93a63d",
    "#4db578",
    "#2cc0ba",
    "#3d9ccb",
    "#7fa4ee",
    "#b9a0f0",
    "#c274b2",
    "#b08a7c",
    "#86aca5",
    "#b8a564",
    "#9494c6",
    "#cc8d88",
    "#7aac7a",
    "#a893b2",
    "#82a1ba",
    "#c49c73",
)
"""The same colours for a dark page, in the order of `SCHWARTZ_COLOURS` and `OTHER_COLOURS`: lighter, same hue."""

MARKERS = ("o", "s", "^", "D", "v")

DIVERGING = LinearSegmentedColormap.from_list(
    "vprobe", ("#7f3b08", "#b35806", "#e08214", "#fdb863", "#f4f3f1", "#92c5de", "#4393c3", "#2166ac", "#053061")
)
"""Orange is negative, blue is positive, pale grey is zero; safe for the common kinds of colour blindness."""

PAGE_COLOURS = (
    ("ink", INK, "#e4e7ee"),
    ("muted", MUTED, "#a3abba"),
    ("grid", GRID, "#3c4350"),
    ("paper", PAPER, "#15181e"),
    ("band", BAND, "#6a7487"),
    *(
        (f"value-{place}", light, dark)
        for place, (light, dark) in enumerate(zip((*SCHWARTZ_COLOURS, *OTHER_COLOURS), ON_DARK_PAGE, strict=True))
    ),
)
"""Name on the page, colour on a light page, colour on a dark page."""

_RC: tuple[tuple[Any, Any], ...] = (
    ("font.family", "DejaVu Sans"),
    ("font.size", 9.0),
    ("axes.titlesize", 9.5),
    ("axes.titleweight", "bold"),
    ("axes.titlelocation", "left"),
    ("axes.labelsize", 9.0),
    ("axes.edgecolor", MUTED),
    ("axes.labelcolor", INK),
    ("axes.titlecolor", INK),
    ("axes.linewidth", 0.8),
    ("axes.spines.top", False),
    ("axes.spines.right", False),
    ("axes.unicode_minus", True),
    ("xtick.color", MUTED),
    ("ytick.color", MUTED),
    ("xtick.labelcolor", INK),
    ("ytick.labelcolor", INK),
    ("xtick.labelsize", 8.5),
    ("ytick.labelsize", 8.5),
    ("text.color", INK),
    ("legend.frameon", False),
    ("legend.fontsize", 8.5),
    ("figure.facecolor", PAPER),
    ("axes.facecolor", "none"),
    ("svg.hashsalt", "vprobe"),
    ("svg.fonttype", "path"),
    ("path.simplify", False),
    ("mathtext.fontset", "dejavusans"),
)


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Args:
        name: File name without its ending.
        alt: One sentence for readers who cannot see it.
        svg: Bytes of the SVG file.
        png: Bytes of the PNG file.
    """

    name: str
    alt: str
    svg: bytes
    png: bytes

    @property
    def inline(self) -> str:
        """The SVG as part of a page: no prolog, no addresses, ids of its own, and the page's ink instead of its own."""
        text = self.svg.decode("utf-8")
        text = text[text.index("<svg") :]
        text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.S)
        text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        for name, light, _ in PAGE_COLOURS:
            text = text.replace(light, f"var(--{name})")
        return text.strip()


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the house style; whatever settings the caller has are put back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, setting in _RC:
            mpl.rcParams[name] = setting
        yield


def blank(height: float, width: float = WIDTH, *, apart: float = 0.02) -> Figure:
    """Return an empty figure.

    Args:
        height: Inches.
        width: Inches; the page's own width when not given.
        apart: Space between panels, share of a panel.
    """
    return Figure(
        figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=apart, hspace=apart)
    )


def finish(figure: Figure, name: str, alt: str) -> Drawing:
    """Render a figure to SVG and PNG, without a date, a host or a version in either.

    Args:
        figure: Drawn within `drawing()`.
        name: File name without its ending.
        alt: One sentence for readers who cannot see it.
    """
    svg, png = io.BytesIO(), io.BytesIO()
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.set_layout_engine("none")  # laid out once: both files place everything alike
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(150)
    canvas.print_png(png, metadata={"Software": None})
    return Drawing(name, alt, svg.getvalue(), png.getvalue())


def colour(value: str) -> str:
    """Return the colour of a value, the same in every figure."""
    if value in words.SCHWARTZ:
        return SCHWARTZ_COLOURS[words.SCHWARTZ.index(value)]
    others = [name for name in words.NAMES if name not in words.SCHWARTZ]
    return OTHER_COLOURS[others.index(value) % len(OTHER_COLOURS)] if value in others else "#7b8190"


def marker(value: str) -> str:
    """Return the marker of a value, so that colour is never the only cue."""
    return MARKERS[words.NAMES.index(value) % len(MARKERS)] if value in words.NAMES else "o"


def in_order(found: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct values in circle order, other families after them, unknown names last."""
    known = [name for name in words.NAMES if name in found]
    return (*known, *sorted(set(found) - set(known)))


def title(value: str) -> str:
    """Return a value's printed name; "all" is "All values"."""
    return "All values" if value == "all" else words.title(value)


def rows_axis(axes: Axes, found: Sequence[str], *, labels: bool = True) -> None:
    """Give each value one row, the first on top.

    Args:
        axes: Where.
        found: Values in order.
        labels: Whether to write their names.
    """
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_yticks(range(len(found)), [title(v) for v in found] if labels else [""] * len(found))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
