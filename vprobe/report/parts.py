"""What the page is made of: findings, sections and figures with their captions."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.report.grids import Grid
from vprobe.report.style import Drawing

YES, NO, OPEN = "above the null", "not above the null", "cannot be judged"
WORDS = "above the null, not above words"
STANDS, REFUSED = "stands", "refused"


@dataclass(frozen=True)
class Finding:
    """One sentence and the figures it rests on.

    Args:
        verdict: `YES`, `NO`, `OPEN` or `WORDS`; of claims `STANDS`, `REFUSED` or how many of them stand.
        text: The sentence.
        facts: Those figures, never an estimate without the rest; no rows when there are none.
        caution: What it does not show; may be empty.
    """

    verdict: str
    text: str
    facts: Grid
    caution: str = ""

    @property
    def good(self) -> bool:
        """Whether all of it was found, as the colour of the verdict shows."""
        return self.verdict in (YES, STANDS)


@dataclass(frozen=True)
class Panel:
    """A figure with its caption."""

    drawing: Drawing
    caption: str


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Args:
        key: Anchor.
        title: Heading.
        reads: What it shows and how to read it, one or two plain sentences.
        panels: Figures.
        grids: Tables.
        excuse: Why something is missing; empty when nothing is.
        commands: What would make it.
        footnote: Small print; may be empty.
    """

    key: str
    title: str
    reads: str
    panels: tuple[Panel, ...] = ()
    grids: tuple[Grid, ...] = ()
    excuse: str = ""
    commands: tuple[str, ...] = ()
    footnote: str = ""
