"""Models compared: their value profiles in one figure, and every number of the comparison in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vprobe import values as words
from vprobe.compare import SIZE, Comparison, EffectRow, FindingRow, ModelFacts, Profiles
from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Panel, Section
from vprobe.report.wording import MISSING, SPACE, chance, interval, listing, many, number, share

NUMBERED = 16
"""With more values than this the numbers would not fit into the cells."""
FIGURE = "models"


def draw(table: Profiles) -> style.Drawing:
    """Draw every model's scores as one row of coloured cells, by family and size, one column per value.

    Args:
        table: The scores.
    """
    limit = _limit(table.x)
    with style.drawing():
        height = 0.24 * len(table.models) + 1.55
        figure = style.blank(height)
        axes = figure.subplots()
        mesh = _cells(axes, table, limit)
        _names(axes, table.models)
        axes.set_xticks(np.arange(len(table.values)) + 0.5, [_title(value) for value in table.values], rotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("left")
        axes.xaxis.tick_top()
        _scale(figure, mesh, axes, table.unit)
        alt = f"Heat map of {len(table.values)} scores of {len(table.models)} models, ordered by family and size."
        return style.finish(figure, FIGURE, alt)


def sections(found: Comparison) -> tuple[Section, ...]:
    """Return the parts of the page: profiles, findings, size, stage and likeness.

    Args:
        found: The comparison.
    """
    table = found.table
    guessed = [one for one in table.models if one.guessed]
    note = (
        f"Read off the names of {many(len(guessed), 'model')}, given by nobody: family, size or stage, where known."
        if guessed
        else ""
    )
    caption = f"Unit: {table.unit}. Models of a family stand together, the smallest first; blank cells have no score."
    profile = Section(
        "profiles", "Profiles", "This shows each model's scores. Blue is above zero, orange below.",
        (Panel(draw(table), caption),), (_models(table),), footnote=note,
    )  # fmt: skip
    size = [row for row in found.effects if row.contrast == SIZE]
    stage = [row for row in found.effects if row.contrast != SIZE]
    return (
        profile,
        _section_of_findings(found),
        _section_of_effects("size", "Size", "how scores change when a model is twice as large", size),
        _section_of_effects("stage", "Stage", "how scores differ between stages of training", stage),
        _section_of_likeness(found),
    )


def _cells(axes: Axes, table: Profiles, limit: float):
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(table.x), cmap=style.DIVERGING, norm=Normalize(-limit, limit), edgecolors=style.PAPER,
        linewidth=0.6,
    )  # fmt: skip
    for (row, column), score in np.ndenumerate(table.x):
        if math.isfinite(score) and len(table.values) <= NUMBERED:
            ink = style.ON_DARK if abs(score) > 0.6 * limit else style.ON_LIGHT
            axes.text(column + 0.5, row + 0.52, share(score), ha="center", va="center", size=8, color=ink)
    axes.set_ylim(len(table.models), 0)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return mesh


def _names(axes: Axes, models: Sequence[ModelFacts]) -> None:
    """Write each model's name, size and stage, and a rule between families."""
    labels = []
    for one in models:
        facts = [f"{one.size:g}{SPACE}B" if math.isfinite(one.size) else "", one.stage]
        labels.append(", ".join(part for part in (one.model.rsplit("/", 1)[-1], *facts) if part))
    axes.set_yticks(np.arange(len(models)) + 0.5, labels)
    for row in range(1, len(models)):
        if models[row].family != models[row - 1].family:
            axes.axhline(row, color=style.INK, lw=1.2)


def _scale(figure: Figure, mesh, axes: Axes, unit: str) -> None:
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", fraction=0.03, pad=0.02, aspect=50)
    bar.set_label(unit, size=8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    bar.ax.tick_params(length=2)


def _limit(x: np.ndarray) -> float:
    """Half the width of the colour scale: covers every score."""
    largest = float(np.nanmax(np.abs(x))) if np.isfinite(x).any() else 1.0
    return math.ceil(largest * 20 - 1e-9) / 20 or 1.0


def _models(table: Profiles) -> Grid:
    rows = tuple(
        (one.model, one.family, f"{one.size:g}" if math.isfinite(one.size) else MISSING, one.stage or "not known",
         listing(one.guessed) or "nothing", str(int(np.isfinite(x).sum())))
        for one, x in zip(table.models, table.x, strict=True)
    )  # fmt: skip
    head = ("model", "family", ">size, billions", "stage", "guessed from the name", ">values scored")
    return Grid("What is known of the models", head, rows, folded=True)


def _section_of_findings(found: Comparison) -> Section:
    reads = (
        "This shows whether findings published about language models hold for these. A finding stands when its number "
        "is above zero with p of .05 or less by itself, for each was predicted by its source; the interval counts "
        "families, not models. Holm's p allows for testing all of them: read it when picking one out after looking."
    )
    if not found.findings:
        excuse = "No published finding speaks of these scales."
        return Section("findings", "Published findings", reads, excuse=excuse)
    head = ("finding", "stands", ">estimate", f">95{SPACE}% interval", ">p", ">p, all findings", ">models", ">families",
            "what it is")  # fmt: skip
    rows = tuple(_finding(row) for row in found.findings)
    sources = listing(tuple(dict.fromkeys(row.source for row in found.findings)))
    return Section("findings", "Published findings", reads, grids=(Grid(f"From {sources}", head, rows),))


def _finding(row: FindingRow) -> tuple[str, ...]:
    what = row.statistic if row.statistic.startswith(row.unit) else f"{row.statistic}, in {row.unit}"
    what = f"{what}; {row.reason}" if row.reason else what
    return (row.finding, "yes" if row.stands else "no", number(row.estimate), interval(row.low, row.high, unit=True),
            chance(row.p), chance(row.p_holm), str(row.n_models), str(row.n_families), what)  # fmt: skip


def _section_of_effects(key: str, title: str, what: str, rows: Sequence[EffectRow]) -> Section:
    reads = (
        f"This shows {what}, within families: each family's own number, then the mean and Student's t over families."
    )
    grids, missing = [], []
    for contrast in dict.fromkeys(row.contrast for row in rows):
        mine = [row for row in rows if row.contrast == contrast]
        reasons = {row.reason for row in mine}
        if len(reasons) == 1 and not any(math.isfinite(row.estimate) for row in mine):
            missing.append(f"{contrast[:1].upper()}{contrast[1:]}: {mine[0].reason}.")
            continue
        head = ("value", ">estimate", f">95{SPACE}% interval", ">p", ">p, all values", ">models", ">families",
                ">of equal size", "note")  # fmt: skip
        cells = tuple(
            (_title(row.value), number(row.estimate, 3), interval(row.low, row.high, unit=True, digits=3),
             chance(row.p), chance(row.p_holm), str(row.n_models), str(row.n_families), str(row.n_matched), row.reason)
            for row in mine
        )  # fmt: skip
        if contrast == SIZE:
            head, cells = (*head[:-2], head[-1]), tuple((*line[:-2], line[-1]) for line in cells)
        grids.append(Grid(f"{contrast[:1].upper()}{contrast[1:]}; unit: {mine[0].unit}", head, cells))
    small = "Of equal size: families in which models of one size were compared; in the others larger and smaller mix."
    excuse = " ".join(missing) if rows else "The models are all of one stage, or of none known."
    return Section(
        key, title, reads, grids=tuple(grids), excuse=excuse,
        footnote=small if grids and key == "stage" else "",
    )  # fmt: skip


def _section_of_likeness(found: Comparison) -> Section:
    reads = (
        "This shows how much of a profile all models share. The generic profile is the mean over all other families; "
        "own is the share of a model's profile it does not explain, noise included."
    )
    medians = tuple(
        (row.pairs, str(row.n), share(row.median_r), share(row.median_r_own)) for row in found.likeness
    )  # fmt: skip
    each = tuple(
        (row.model, row.family, share(row.r_generic), share(row.own), str(row.n_values), row.reason)
        for row in found.own
    )  # fmt: skip
    head = ("model", "family", ">r with the generic profile", ">own", ">values", "note")
    return Section(
        "likeness", "What models share", reads,
        grids=(
            Grid("Median correlation of two models' profiles",
                 ("pairs", ">n", ">r", ">r, generic profile held constant"), medians),
            Grid("Each model", head, each, folded=True),
        ),
        footnote="No p is given: ten values on a circle are not ten independent points.",
    )  # fmt: skip


def _title(value: str) -> str:
    return style.title(value) if value in words.NAMES else value.replace("_", " ")
