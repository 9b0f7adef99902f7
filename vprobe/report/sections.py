"""The sections of the page in order: how to read each, its figures and tables, or why it is empty."""

from __future__ import annotations

from vprobe.report import (
    agreed,
    card,
    causal,
    circumplex,
    claimed,
    conditions,
    costs,
    forest,
    given,
    grids,
    heatmap,
    instruments,
    planted,
    profile,
    ratings,
    readings,
    scatter,
    steered,
)
from vprobe.report.forest import COMPARISONS
from vprobe.report.parts import Panel, Section
from vprobe.report.tables import Tables, above_family
from vprobe.report.truth import SIGN
from vprobe.report.wording import SPACE, share

RATE = "vprobe rate --model M --benchmark B --out RUN"
PROBE = "vprobe probe RUN"
AGREE = "vprobe agree RUN"
SWEEP = "vprobe steer sweep --model M --run RUN --benchmark B"


def build(tables: Tables) -> tuple[Section, ...]:
    """Return every section after the headline, in the order of the report."""
    said = (_claims,) if tables.claims else ()
    across = (*agreed.detailed(tables), *((_conditions,) if tables.conditions else ()), *agreed.across(tables))
    first = (*said, _layers, *((card.section,) if tables.baselines else ()), _profile)
    costly = (lambda tables: costs.section(tables.damage),) if tables.damage else ()
    audited = (lambda tables: steered.audits(tables.audits),) if tables.audits else ()
    taken = (causal.section,) if tables.ablations or tables.interchange or tables.positions else ()
    then = (_circle, _agreement, *across, _doses, *audited, *taken, *costly, _map)
    told, last = _told(tables), (_counts(tables), _provenance(tables))
    if tables.cannot_probe:  # nothing is recommended that would be refused
        read = (readings.section(tables),) if tables.recorded or tables.readings else ()
        shown = tuple(one for one in (part(tables) for part in (*first, *then)) if one.panels)
        return (*told, *read, *shown, *last)
    return (*(part(tables) for part in first), *told, *(part(tables) for part in then), *last)


def _told(tables: Tables) -> tuple[Section, ...]:
    """Return the sections on instrument scores and on what was given to the model, where there are any."""
    scored = (instruments.section(tables.scales),) if tables.scales else ()
    induced = (given.induced(tables.induced),) if tables.induced else ()
    people = given.demographics(tables.demographics, tables.people, tables.trends, tables.axes)
    return (*scored, *induced, *((people,) if tables.demographics else ()))


def _planted(tables: Tables, quantity: str, words: str) -> str:
    """Return what the diamonds of a figure are, as the last sentence of its caption; empty where there are none."""
    return f" {SIGN} Truth: {words}" if tables.truth.knows(quantity) else ""


def _claims(tables: Tables) -> Section:
    return Section(
        "claims",
        "What may be said",
        "This shows which claims about values this run bears out and which it does not. A claim that rests on a test "
        "is tested at the family-wise level given, all values of a kind together. A refusal is a result: its reason "
        "says what would have to be otherwise.",
        grids=claimed.grids(tables.claims),
    )


def _missing(tables: Tables, *chain: tuple[str, str]) -> tuple[str, ...]:
    """Return the commands of the tables that are not there, and always the last, in the order to run them."""
    needed = [command for name, command in chain if name not in tables.present]
    return tuple(dict.fromkeys((*needed, chain[-1][1])))


def _layers(tables: Tables) -> Section:
    fixed = tables.rows("probe~label", nested=False)
    nested = tables.rows("probe~label", nested=True)
    panels, excuse = [], ""
    if fixed:
        marked = any(above_family(row) for row in fixed)
        frames = "Framed cells beat the family-wise null (p \N{LESS-THAN OR EQUAL TO} .05)."
        frames = frames if marked else "No cell beats the family-wise null, so none is framed."
        caption = (
            f"Held-out within-query correlation of probe score and label at every layer. {frames} Right: the "
            "97.5 % quantile of each value's own null (smallest to largest over layers) and the ceiling that label "
            "noise sets. The best cell of a map is a choice made after looking; the nested estimate below is not."
        )
        caption += _planted(tables, "probe~label", "the r of a reader who knows what was planted.")
        panels.append(Panel(heatmap.draw(fixed, tables.truth), caption))
    if nested:
        caption = (
            "Nested estimate: the layer is chosen by inner folds and scored once on queries not used for the choice, "
            "one panel per method. Coloured dot: above the null. Grey band: middle 95 % of the permutation null. "
            "Black tick: ceiling."
        )
        words = tables.rows("text~label")
        if words:
            caption += (
                " Last panel: the same labels predicted from words alone; a probe shows something only beyond it."
            )
        caption += _planted(tables, "probe~label", "the r of a reader who knows what was planted.")
        panels.append(Panel(forest.draw((*nested, *words), "nested", by="method", truth=tables.truth), caption))
    if not panels:
        excuse = "No comparison of probes with labels is in this run yet."
    elif not nested:
        excuse = "This run has no nested estimate yet."
    elif not fixed:
        excuse = "This run has no estimates by layer yet."
    return Section(
        "layers",
        "Where values can be read",
        "This shows how well a linear probe, fitted on some queries, orders the responses to queries it never saw. "
        "Compare each number with the null beside it before the colour, and with the ceiling before calling it small.",
        tuple(panels),
        (*planted.directions(tables), *grids.ends(tables)),
        excuse,
        _missing(tables, ("scores", PROBE), ("agreement", AGREE)) if excuse else (),
    )


def _profile_commands(tables: Tables) -> tuple[str, ...]:
    return _missing(tables, ("responses", RATE), ("scores", PROBE), ("profile", AGREE))


def _profile(tables: Tables) -> Section:
    rows = tables.profile
    kinds = {row.kind for row in rows}
    excuse = ""
    if not rows:
        excuse = "The value profile is not in this run yet."
    elif len(kinds) < 2:
        other = "probe-keyed" if "rating" in kinds else "rating-keyed"
        excuse = f"The {other} profile is not in this run yet."
    caption = (
        "Filled dots: responses keyed by their labels. Hollow squares: keyed by the "
        "model's own "
        "held-out probe scores. Bars: 95 % intervals over queries. Right of zero, the model rates responses higher the "
        "more they express the value."
    )
    if any(tables.truth.knows(f"profile {kind}") for kind in kinds):
        caption += (
            f" {SIGN} Truth: what the planted profile gives, with the labels as key or with what was planted as key."
        )
    return Section(
        "profile",
        "Value profile",
        "This shows which values the model's ratings lean towards. The two kinds of points are two keys to the same "
        "ratings: where they differ, the probe and the labels mean different things.",
        (Panel(profile.draw(rows, tables.truth), caption),) if rows else (),
        (grids.profile(rows),) if rows else (),
        excuse,
        _profile_commands(tables) if excuse else (),
    )


def _circle(tables: Tables) -> Section:
    rows = circumplex.fits(tables.profile)
    excuse = "" if rows else "No profile estimate of a Schwartz value is in this run yet."
    caption = (
        "Distance from the centre is the profile estimate, the solid ring is zero, bars are 95 % intervals. "
        "Conformity and "
        "Tradition share one wedge and are drawn a little apart."
    )
    if any(tables.truth.knows(f"profile {row.kind}") for row in rows):
        caption += f" {SIGN} Truth: as in the profile above."
    return Section(
        "circle",
        "Profile on Schwartz's circle",
        "This shows the profile above at the values' angles, so that neighbours can be seen together. "
        "It lays numbers out on a circle; it does not show that the model has one.",
        (Panel(circumplex.draw(rows, tables.truth), caption),) if rows else (),
        (),
        excuse,
        _profile_commands(tables) if excuse else (),
        "A claim of circular structure needs its own null: label rows shuffled jointly over items and "
        "carried through the "
        "whole fit. Directions fitted on these labels inherit the labels' circle even when activations are random.",
    )


def _agreement(tables: Tables) -> Section:
    shown = [comparison for comparison, _ in COMPARISONS if grids.headline(tables, comparison)]
    behaviour = [row for c in ("probe~rating", "rating~label") for row in grids.headline(tables, c)]
    caption = (
        "The same reading as the nested estimate above, for the two comparisons that involve the model's own ratings."
    )
    if any(tables.truth.knows(row.comparison) for row in behaviour):
        caption += (
            f" {SIGN} Truth: r of the ratings the planted profile calls for, with what was planted or with the labels."
        )
    figure = [forest.draw(behaviour, "agreement", by="comparison", truth=tables.truth)] if behaviour else []
    panels = (*(Panel(one, caption) for one in figure), *_ratings(tables))
    absent = [f"{comparison} ({words})" for comparison, words in COMPARISONS if comparison not in shown]
    excuse = "Not in this run yet: " + ", ".join(absent) + "." if absent else ""
    commands = _missing(tables, ("responses", RATE), ("scores", PROBE), ("agreement", AGREE))
    return Section(
        "agreement",
        "Agreement",
        "This shows whether what is read inside the model, what the model answers and what people said order the same "
        "responses alike. Read an estimate together with its null and its ceiling; n/a means that the number "
        "does not exist.",
        panels,
        grids.agreements(tables, COMPARISONS),
        excuse,
        commands if absent else (),
    )


def _ratings(tables: Tables) -> tuple[Panel, ...]:
    both = ratings.pairs(tables.responses, tables.truth)
    if not len(both.rated):
        return ()
    caption = (
        f"The model's rating of each of {len(both.rated):,} responses, mean over versions of the question, against the "
        f"rating its planted profile calls for: r{SPACE}={SPACE}{share(both.r, 3)}. {SIGN} Truth: on the dashed "
        "line both are equal."
    )
    return (Panel(ratings.draw(both), caption),)


def _conditions(tables: Tables) -> Section:
    caption = (
        "One dot per condition; both axes are deviations from the value's mean over conditions. On top: r over "
        "conditions with its 95 % interval; null and p are in the table."
    )
    caption += _planted(tables, "condition", "r of either measure with the profiles planted in the conditions.")
    rows = [row for row in tables.agreement if row.level == "condition"]
    methods = list(dict.fromkeys(row.method for row in tables.conditions))
    panels, tabled = [], [conditions.agreement([row for row in rows if row.comparison == one])
                          for one in dict.fromkeys(row.comparison for row in rows)]  # fmt: skip
    for place, method in enumerate(methods):
        mine = [row for row in tables.conditions if row.method == method]
        name = "conditions" if place == 0 else f"conditions-{place + 1}"
        panels.append(Panel(conditions.draw(mine, rows, name, tables.truth), caption))
        if tables.truth.knows("condition"):
            tabled.append(conditions.planted(mine, tables.truth))
    return Section(
        "conditions",
        "Across conditions",
        "This shows whether what is read inside the model moves with what it does when a condition, such as a persona, "
        "changes both. What all conditions share is taken out first, so it cannot make the two agree.",
        tuple(panels),
        tuple(tabled),
        "" if rows else "The agreement over conditions is not in this run.",
    )


def _doses(tables: Tables) -> Section:
    caption = _planted(tables, "dose", "what adding the planted direction itself would do, over all labelled items.")
    return steered.section(tables, caption, _missing(tables, ("scores", PROBE), ("steering", SWEEP)))


def _map(tables: Tables) -> Section:
    caption = (
        "One mark per response, coloured by the value of its largest loading in size; filled when it is positive. "
        "Only neighbourhoods mean something: distances between clouds, their sizes and the axes do not."
    )
    if tables.truth.rows:
        caption += " No truth is drawn here: nothing that was planted says where on such a map a response belongs."
    return Section(
        "map",
        "Map of the responses",
        "This is a picture, not evidence: it shows which responses have similar activations, squeezed into "
        "two dimensions.",
        (Panel(scatter.draw(tables.points), caption),) if tables.points else (),
        (),
        "" if tables.points else "No map is in this run yet.",
        () if tables.points else (PROBE,),
    )


def _counts(tables: Tables) -> Section:
    info = tables.info
    return Section(
        "counts",
        "Unscored and skipped",
        "This shows what was left out, where and why. The findings speak only of what was used.",
        (),
        (grids.counts(info),) if any(one.n for one in info.counts) else (),
        "" if any(one.n for one in info.counts) else "No stage recorded anything as left out.",
    )


def _provenance(tables: Tables) -> Section:
    return Section(
        "provenance",
        "Provenance",
        "This shows what the run was made with, so that it can be made again. Times and machines are kept in "
        "timing.json only.",
        (),
        grids.provenance(tables),
    )
