"""Tables of the instruments' commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vprobe.cli import show


def scales(rows: Sequence[Any]) -> None:
    """Print scale scores: estimate, interval, what was left out, option mass and reliability together."""
    from vprobe import values

    heads = ("scale", "score", "95 % interval", "before centring", "SD", "n", "unscored", "option mass", "reliability")
    for key in dict.fromkeys(_sort(r) for r in rows):
        mine = [r for r in rows if _sort(r) == key]
        respondent, instrument, family, kind, rule, readout, unit = key
        number = show.number
        lines = [
            (values.title(r.scale), number(r.estimate), f"{number(r.low)} .. {number(r.high)}", number(r.raw),
             number(r.spread), str(r.n), str(r.n_unscored), number(r.option_mass), number(r.reliability))
            for r in mine
        ]  # fmt: skip
        show.table(f"{respondent}: {instrument} {family} ({kind}, rule {rule}" + (f", {readout})" if readout else ")"),
              heads, lines)  # fmt: skip
        show.line(f"unit: {unit}")
        for what in dict.fromkeys(r.reliability_of for r in mine if r.reliability_of):
            show.line(f"reliability: {what}")


def judged(found: Any) -> None:
    """Print completions scored several ways, whether the scorers agree, and whether people agree with them."""
    from vprobe import values

    scales(found.scales)
    number = show.number
    if found.agreement:
        show.table("do scorers agree, over completions", ("scorers", "scale", "rank r", "ICC(3,1)", "n", "unscored"), [
            (f"{one.first}, {one.second}", values.title(one.scale), number(one.spearman), number(one.icc), str(one.n),
             str(one.n_unscored))
            for one in found.agreement
        ])  # fmt: skip
    show.table("halo: variance of six scores on one component", ("scorer", "share", "chance", "respondents"), [
        (one.rule, number(one.halo.share), number(one.halo.chance), str(one.halo.n)) for one in found.halos
    ])  # fmt: skip
    if found.people:
        heads = ("scorer", "accuracy", "kappa", "n", "unscored", *(values.title(one) for one in values.VALUELEX_SUB))
        show.table("against people's labels; under each scale the rank r", heads, [
            (one.scorer, number(one.accuracy), number(one.kappa), str(one.n), str(one.n_unscored),
             *(number(r) for r in one.spearman))
            for one in found.people
        ])  # fmt: skip


def judged_facts(found: Any) -> dict[str, Any]:
    """Return completions scored several ways as plain values for JSON."""
    import dataclasses

    parts = {name: [dataclasses.asdict(one) for one in getattr(found, name)] for name in ("scales", "agreement")}
    halos = [
        {"rule": one.rule, "n": one.halo.n, "share": one.halo.share, "chance": one.halo.chance,
         "correlations": one.halo.correlations.tolist(), "centred": one.halo.centred.tolist()}
        for one in found.halos
    ]  # fmt: skip
    return {**parts, "halos": halos, "people": [dataclasses.asdict(one) for one in found.people]}


def left(unread: Sequence[Any], torn: Sequence[Any], n: int, *, explain: bool) -> None:
    """Print how many answers could not be read, and how many say one thing in words and another in numbers."""
    end = "." if explain else "; see --explain."
    show.line(f"{len(unread)} of {n} answers could not be read{end}")
    for one in unread if explain else ():
        where = f"row {one.line}: {one.respondent} {one.version} {one.item_id}"
        show.line(f"  {where}: {one.reason}" + (f": {one.text[:120]!r}" if one.text else ""))
    if torn:
        show.line(torn_note(torn, n) + end)
    for one in torn if explain else ():
        where = f"row {one.line}: {one.respondent} {one.version} {one.item_id}"
        show.line(f"  {where}: scored {one.said:g}, the file's number is {one.given:g}: {one.text[:120]!r}")


def torn_note(torn: Sequence[Any], n: int) -> str:
    """Say how many answers say another number in words than in figures."""
    return (
        f"{len(torn)} of {n} answers say another number in raw_response than in numeric_response; the words are scored"
    )


def _sort(row: Any) -> tuple[str, ...]:
    """Return what scores must share to stand in one table."""
    return (row.respondent, row.instrument, row.family, row.kind, row.rule, row.readout, row.unit)


ARMS = ("value", "wrong_value", "no_value")
"""What a type's own value is printed beside, in this order."""


def induced(run: Path) -> None:
    """Print how near choices come to each type, beside no value and a wrong one."""
    from vprobe import store
    from vprobe.types import InduceRow

    number = show.number
    found = store.load_rows(run, "induced", InduceRow)
    heads = ("target", "arm", "angle", "ideal", "degrees off", "nearer by", "95 % interval", "normalised",
             "over chance", "versions", "unscored", "option mass")  # fmt: skip
    for readout, way in dict.fromkeys((row.readout, row.way) for row in found):
        mine = [row for row in found if (row.readout, row.way) == (readout, way)]
        mine.sort(key=lambda row: (row.target, ARMS.index(row.arm)))
        rows = [
            (row.target, row.arm.replace("_", " "), number(row.angle, 1), number(row.ideal, 1),
             number(row.distance, 1), number(row.nearer, 1),
             f"{number(row.nearer_low, 1)} .. {number(row.nearer_high, 1)}", number(row.normalised),
             number(row.chance_corrected), str(row.n), str(row.n_unscored), number(row.option_mass))
            for row in mine
        ]  # fmt: skip
        show.table(f"given by {way}, read from {readout}", heads, rows)
    show.line("nearer by: degrees nearer the ideal than with no value given, mean and t interval over versions.")
    show.line("over chance: 0 is a random responder, 1 is the ideal. Compare each value with the arms beside it.")
    show.line("The distance is degrees from the ideal type; the source leaves its own distance open.")


def demographics(run: Path) -> None:
    """Print how far personas move a model, and where a survey was given how people differ and whether it is alike."""
    from vprobe import ess, store, values

    def rows(name: str, cls: type) -> tuple[Any, ...]:
        return store.load_rows(run, name, cls) if store.has(run, name) else ()

    number = show.number
    among = {(one.axis, one.level, one.value): one.people for one in rows("people_pairs", ess.PairMatch)}
    heads = ("axis", "level", "value", "model", "95 % interval", "people", "n", "unscored", "option mass")
    show.table("score under the persona less score without one, centred rating points", heads, [
        (one.axis, one.level, values.title(one.value), number(one.difference),
         f"{number(one.low)} .. {number(one.high)}", number(among.get((one.axis, one.level, one.value))),
         str(one.n), str(one.n_unscored), number(one.option_mass))
        for one in rows("demographics", ess.Effect)
    ])  # fmt: skip
    trends, axes = rows("people_trends", ess.TrendMatch), rows("people_axes", ess.AxisMatch)
    if trends:
        heads = ("axis", "value", "levels", "model", "people", "same direction")
        show.table("rank correlation with the order of levels", heads, [
            (one.axis, values.title(one.value), str(one.n_levels), number(one.model), number(one.people),
             "n/a" if math.isnan(one.same_direction) else "yes" if one.same_direction else "no")
            for one in trends
        ])  # fmt: skip
    if axes:
        heads = ("axis", "same sign", "of", "same sign, both clear of 0", "of", "r", "overdrawn")
        show.table("personas beside people; by chance about half have one sign", heads, [
            (one.axis, number(one.same_sign), str(one.n), number(one.same_sign_clear), str(one.n_clear), number(one.r),
             number(one.ratio))
            for one in axes
        ])  # fmt: skip
        show.line("overdrawn: slope of personas on people; above 1 the model exaggerates.")


def lexicon(found: Any) -> None:
    """Print a lexicon: whether there are factors, their words, and the words of none."""
    number = show.number
    show.line(f"{found.n_respondents} respondents of {found.n_models} models, {len(found.terms)} terms")
    show.line(f"left out: {found.n_silent} respondents who named none of them, {found.n_rare} terms too rare or common")
    show.line(f"share of talkative models (first component of the plain table): {number(found.verbosity)}")
    if found.parallel:
        first, chance = number(float(found.parallel.observed[0])), number(float(found.parallel.chance[0]))
        show.line(f"largest eigenvalue {first}, chance {chance} (p {show.chance(found.parallel.p)})")
    if found.refused:
        show.line(f"no factors: {found.refused}")
    rows = [
        (one.name, one.dimension or "none", number(one.phi), number(one.phi_low), ", ".join(one.words[:12]))
        for one in found.factors
    ]
    if rows:
        show.table("factors; phi is their congruence when models are drawn anew",
                   ("factor", "group", "phi", "phi 5 %", "words"), rows)  # fmt: skip
    if found.stability:
        show.line(f"agreement of two halves of the models: ARI {number(found.stability.halves)}")
    if found.taxonomy:
        fit = found.taxonomy
        phi = f"mean phi {number(fit.phi_mean)} (chance {number(fit.phi_chance)})"
        ari = f"ARI {number(fit.ari)} (p {show.chance(fit.ari_p)})"
        show.line(f"match with the published 3 x 2 taxonomy: {ari}, {phi}, {fit.n} terms listed")
    spoken = sorted(found.terms, key=lambda term: -term.share)[:15]
    show.line("most named: " + ", ".join(f"{term.word} ({term.share:.0%})" for term in spoken))


def groups(found: Any, fit: Any) -> None:
    """Print the words of a lexicon grouped by meaning, and whether its factors follow the groups."""
    names = [
        (str(group + 1), ", ".join(term.word for term, one in zip(found.terms, fit.group, strict=True) if one == group))
        for group in range(int(max(fit.group)) + 1)
    ]
    show.table("words grouped by meaning", ("group", "words"), names)
    number = show.number
    show.line(f"silhouette {number(fit.silhouette)}, agreement with the factors: ARI {number(fit.ari)}; {fit.n} words")


def compared(found: Any) -> None:
    """Print what a comparison of models shows, what it cannot, and the number of families behind each figure."""
    from vprobe import values

    number, made = show.number, found.made
    models = made.table.models
    guessed = sum(bool(one.guessed) for one in models)
    show.line(f"{len(models)} models of {len({one.family for one in models})} families; {guessed} with guessed facts")
    heads = ("value", "contrast", "estimate", "95 % interval", "p", "p Holm", "models", "families")
    rows = [
        (values.title(row.value), row.contrast, number(row.estimate, 3),
         f"{number(row.low, 3)} .. {number(row.high, 3)}", show.chance(row.p), show.chance(row.p_holm),
         str(row.n_models), str(row.n_families))
        for row in made.effects
    ]  # fmt: skip
    show.table("change of a score with size and stage, families the units", heads, rows)
    heads = ("finding", "", "estimate", "95 % interval", "p", "p Holm", "models", "families", "note")
    told = [
        (row.finding, "stands" if row.stands else "does not stand", number(row.estimate, 3),
         f"{number(row.low, 3)} .. {number(row.high, 3)}", show.chance(row.p), show.chance(row.p_holm),
         str(row.n_models), str(row.n_families), row.reason)
        for row in made.findings
    ]  # fmt: skip
    show.table(
        "published findings on these models, each at .05 by itself; p Holm allows for testing all of them", heads, told
    )
    for row in made.likeness:
        show.line(f"profiles of {row.pairs}: median r {number(row.median_r)}, with the generic profile held constant "
                  f"{number(row.median_r_own)} ({row.n} pairs)")  # fmt: skip
    for row in found.targets:
        where = f"largest {number(row.largest)} at {row.at}, typical {number(row.typical)}, r {number(row.r)}"
        show.line(f"{row.model} beside published scores: {where} ({row.n_values} values)")
    if found.page:
        show.line(f"page: {found.page}")


def labels_facts(made: Any, against: Any) -> dict[str, Any]:
    """Return regenerated labels' reliability and differences as plain values for JSON."""
    return {
        "kind": made.kind, "repaired": made.repaired, "labels": len(against.rows),
        "exact": len(against.rows) - len(against.different),
        "reliability": {one.value: {"estimate": one.estimate, "ceiling": one.ceiling} for one in made.reliability},
        "different": [vars(row) for row in against.different],
    }  # fmt: skip


def labels(made: Any, against: Any, norms: Sequence[Any]) -> None:
    """Print how reliable labels are, how they differ from the published ones, and how people score."""
    from vprobe import values

    number = show.number
    norm = {one.value: one for one in norms}
    rows = [
        (values.title(one.value), number(one.estimate), number(one.ceiling),
         number(norm[one.value].mean, 3) if one.value in norm else "n/a",
         number(norm[one.value].sd) if one.value in norm else "n/a")
        for one in made.reliability
    ]  # fmt: skip
    show.table(f"{made.kind} labels of {len(made.item_ids)} items",
               ("value", "reliability", "ceiling", "people's mean", "SD"), rows)  # fmt: skip
    wrong = against.different
    show.line(f"{len(against.rows) - len(wrong):,} of {len(against.rows):,} published labels come out exactly"
              + (" with the rater of two groups given both profiles" if made.repaired else ""))  # fmt: skip
    if wrong:
        groups = ", ".join(str(group) for group in sorted({row.rater_group for row in wrong}))
        largest = max(abs(row.difference) for row in wrong)
        show.line(f"all {len(wrong)} others are of rater group {groups}, largest difference {number(largest, 3)}; "
                  "one person rated two groups and the profile of the other is kept: see --repaired")  # fmt: skip


def reliability(found: Any) -> None:
    """Print how repeatable answers are, and which scales hold together beyond random sets of items."""
    from vprobe import values

    number = show.number
    rows = [
        (row.respondent, str(row.n_versions), number(row.icc_single), number(row.icc_mean), number(row.order_effect),
         number(row.order_sensitivity), number(row.prompt_effect), number(row.prompt_sensitivity), ", ".join(row.flags))
        for row in found.versions
    ]  # fmt: skip
    heads = ("respondent", "versions", "ICC(2,1)", "ICC(3,k)", "order effect", "order changes", "wording effect",
             "wording changes", "beware")  # fmt: skip
    show.table("how far answers depend on how they were asked", heads, rows)
    if found.note:
        show.line(f"no consistency: {found.note}")
        return
    rows = [
        (values.title(row.scale), row.statistic, row.ratings, number(row.estimate), number(row.null_mean),
         number(row.null_95), row.verdict, str(row.n_items), str(row.n_units))
        for row in found.scales
    ]  # fmt: skip
    heads = ("scale", "", "ratings", "estimate", "random items", "random 95 %", "verdict", "items", "units")
    show.table("do a scale's items hold together more than random items do", heads, rows)
