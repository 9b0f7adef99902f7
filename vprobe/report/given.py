"""What was given to the model: a type of social value, or somebody's age, politics and so on; and what it did then."""

from __future__ import annotations

from collections.abc import Sequence

from vprobe import ess
from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.report.wording import SPACE, interval, number, share, yes_no
from vprobe.types import InduceRow


def induced(rows: Sequence[InduceRow]) -> Section:
    """Return the part of the page on values given to the model.

    Args:
        rows: From the table `induced`.
    """
    grids = []
    for readout, way in dict.fromkeys((row.readout, row.way) for row in rows):
        mine = sorted((row for row in rows if (row.readout, row.way) == (readout, way)), key=lambda row: row.target)
        cells = tuple(
            (row.target, row.arm.replace("_", " "), row.given, number(row.angle, 1), number(row.ideal, 1),
             number(row.distance, 1), number(row.nearer, 1),
             interval(row.nearer_low, row.nearer_high, unit=True, digits=1), share(row.normalised),
             share(row.chance_corrected), str(row.n), str(row.n_unscored), share(row.option_mass), row.note)
            for row in mine
        )  # fmt: skip
        head = ("target", "arm", "given", ">angle", ">ideal", ">degrees off", ">nearer by", ">95 % interval",
                ">normalised", ">over chance", ">versions", ">unscored", ">option mass", "note")  # fmt: skip
        grids.append(Grid(f"given by {way}, read from {readout}", head, cells))
    return Section(
        "induced",
        "Social values given to the model",
        "This shows how near its slider choices come to a type after it was given that type, beside no value and a "
        "wrong one. Compare the three arms: a model that answers the same in all has not taken the value on; how many "
        "degrees nearer it came than with no value has a t interval over versions. Over chance, 0 is "
        "what a random responder reaches and 1 is the ideal; normalised flatters the types in the middle.",
        grids=tuple(grids),
    )


def demographics(
    rows: Sequence[ess.Effect],
    people: Sequence[ess.PairMatch],
    trends: Sequence[ess.TrendMatch] = (),
    axes: Sequence[ess.AxisMatch] = (),
) -> Section:
    """Return the part of the page on demographic personas.

    Args:
        rows: From the table `demographics`.
        people: From the table `people_pairs`; empty where no survey was given.
        trends: From the table `people_trends`.
        axes: From the table `people_axes`.
    """
    among = {(one.axis, one.level, one.value): one for one in people}
    grids = []
    for axis in dict.fromkeys(row.axis for row in rows):
        cells = []
        for row in (one for one in rows if one.axis == axis):
            pair = among.get((row.axis, row.level, row.value))
            cells.append(
                (row.level.replace("_", " "), style.title(row.value), number(row.difference),
                 interval(row.low, row.high, unit=True), number(pair.people if pair else None), str(row.n),
                 str(row.n_unscored), share(row.option_mass))
            )  # fmt: skip
        head = ("level", "value", ">model", f">95{SPACE}% interval", ">people", ">n", ">unscored", ">option mass")
        grids.append(Grid(axis, head, tuple(cells), folded=len(cells) > 10))
    return Section(
        "demographics",
        "Demographic personas",
        "This shows how far a one-line persona moves the model's scores from what it answers without one, in centred "
        "rating points, beside how far such people lie from everybody in the survey, where one was given. Intervals "
        "draw whole queries and are not corrected for being many.",
        grids=(*_beside(axes, trends), *grids),
    )


def _beside(axes: Sequence[ess.AxisMatch], trends: Sequence[ess.TrendMatch]) -> tuple[Grid, ...]:
    """Lay out how far personas and people agree, axis by axis and along ordered axes; nothing without a survey."""
    if not axes:
        return ()
    every = tuple(
        (one.axis, share(one.same_sign), str(one.n), share(one.same_sign_clear), str(one.n_clear), share(one.r),
         number(one.ratio))
        for one in axes
    )  # fmt: skip
    head = ("axis", ">same sign", ">of", ">same sign, both clear of 0", ">of", ">r", ">overdrawn")
    notes = (
        "Same sign: share of level and value pairs that go the same way as people; by chance about half. Overdrawn: "
        "slope of personas on people; above 1 the model exaggerates. Values of a level are not independent.",
    )
    along = tuple(
        (one.axis, style.title(one.value), str(one.n_levels), share(one.model), share(one.people),
         yes_no(one.monotone_model), yes_no(one.monotone_people), yes_no(one.same_direction))
        for one in trends
    )  # fmt: skip
    steps = ("axis", "value", ">levels", ">model", ">people", "model steady", "people steady", "same direction")
    told = ("Rank correlation with the order of levels. Steady: every step goes one way.",)
    return (
        Grid("personas beside people, by axis", head, every, notes),
        *((Grid("rise or fall along ordered axes", steps, along, told, folded=True),) if along else ()),
    )
