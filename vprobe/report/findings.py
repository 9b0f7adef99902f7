"""The few findings of a run in words, each with its estimate, interval, null, ceiling and n."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vprobe.report import claimed, style
from vprobe.report.grids import Grid, headline, span
from vprobe.report.parts import NO, OPEN, WORDS, YES, Finding
from vprobe.report.tables import Tables, above, beyond
from vprobe.report.wording import SPACE, chance, equals, interval, listing, many, number, share
from vprobe.scores import LITTLE_MASS
from vprobe.types import Agreement, DoseRow

FACTS = (
    "", ">estimate", ">95 % interval", ">null 95 %", ">p", ">family-wise p", ">ceiling", ">items", ">queries",
    ">unscored",
)  # fmt: skip
DOSES = (
    "", ">strength", ">effect", ">95 % interval", ">shuffled labels", ">random directions", ">mean shift",
    ">option mass", ">items", ">unscored",
)  # fmt: skip
SHOWN = 4
"""Most rows of figures under one finding; the tables hold all."""


@dataclass(frozen=True)
class Claim:
    """How one comparison is put into words."""

    comparison: str
    yes: str
    no: str
    none: str
    caution: str


CLAIMS = (
    Claim(
        "probe~label",
        "Decodable above the permutation null: {}.",
        "No value is decodable above the permutation null",
        "Whether any value is decodable cannot be said",
        "Decodable means that a linear probe can read it on queries it never saw, not that the model uses it.",
    ),
    Claim(
        "probe~rating",
        "Probe scores go with the model's own ratings beyond the null for {}.",
        "For no value do probe scores go with the model's own ratings beyond the null",
        "Whether probe scores agree with the model's ratings cannot be said",
        "Probe and rating saw the same text, which alone can make them agree.",
    ),
    Claim(
        "rating~label",
        "The model's ratings follow the labels beyond the null for {}.",
        "For no value do the model's ratings follow the labels beyond the null",
        "Whether the model's ratings follow the labels cannot be said",
        "",
    ),
)


def findings(tables: Tables) -> tuple[Finding, ...]:
    """Return the findings that the tables allow: what claims decide, then what they leave open."""
    out = list(claimed.findings(tables))
    decided = {row.claim for row in tables.claims}
    for claim in CLAIMS:
        rows = headline(tables, claim.comparison)
        if rows and not (claim.comparison == "probe~label" and "decodable" in decided):
            out.append(_item_level(claim, rows, tables))
    top = [row for row in tables.agreement if row.level == "profile"]
    for comparison in dict.fromkeys(row.comparison for row in top):
        out.append(_profile_level([row for row in top if row.comparison == comparison]))
    if "causal" in decided:
        return tuple(out)
    for positions in dict.fromkeys(row.positions for row in tables.doses):
        out += _steering([row for row in tables.doses if row.positions == positions])
    return tuple(out)


def _item_level(claim: Claim, rows: Sequence[Agreement], tables: Tables) -> Finding:
    reads = claim.comparison == "probe~label"
    if claim.comparison == "probe~rating":
        rows = [row for row in rows if row.method == rows[0].method]  # the primary method has the sternest null
    real = sorted((row for row in rows if math.isfinite(row.estimate)), key=_order(reads))
    if not real:
        return Finding(OPEN, f"{claim.none}: no estimate exists.", _figures(()), rows[0].note)
    good = [row for row in real if (above(row) if reads else beyond(row))]
    told = _cautions("", rows) if reads else _join(_cautions("", rows), _option_mass(tables))
    if good:
        names = listing([_with_methods(v, good) for v in style.in_order([r.value for r in good])])
        verdict, words = _words(good, tables) if reads else (YES, "")
        return Finding(verdict, claim.yes.format(names), _best(good), _join(claim.caution, words, told))
    best = real[0]
    estimate = f"r{SPACE}={SPACE}{share(best.estimate)}"
    text = f"{claim.no} (best: {style.title(best.value)} {estimate}, {_p(best)})."
    missed = ""
    if math.isfinite(best.null_high):
        missed = (
            f"The null of one value alone reaches {share(best.null_high)}; for all of them together it reaches further."
        )
    return Finding(NO, text, _figures((best,)), _join(missed, told))


def _order(one_sided: bool) -> Callable[[Agreement], tuple[float, float]]:
    """Sort the largest first; where either sign is a finding, the least likely by chance first."""

    def key(row: Agreement) -> tuple[float, float]:
        p = row.p if math.isnan(row.p_family) else row.p_family
        return (0.0, -row.estimate) if one_sided else (p, -abs(row.estimate))

    return key


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _words(good: Sequence[Agreement], tables: Tables) -> tuple[str, str]:
    """Set probes beside the same labels predicted from words alone: what they do not exceed, the model did not add."""
    alone = {row.value: row for row in tables.rows("text~label") if math.isfinite(row.estimate)}
    if not alone:
        return YES, "There is no text baseline in this run."
    best = {value: max(r.estimate for r in good if r.value == value) for value in dict.fromkeys(r.value for r in good)}
    shown = [f"{style.title(v)} {share(alone[v].estimate)}" for v in best if v in alone][:SHOWN]
    beaten = [v for v in best if v not in alone or best[v] > alone[v].estimate]
    text = f"From words alone, without any model, the same folds give {listing(shown)} (difference not tested)."
    if beaten:
        return YES, text
    return WORDS, f"{text} So nothing here shows more than the words do."


def _option_mass(tables: Tables) -> str:
    """Say when ratings rest on options the model hardly considers."""
    masses = [row.option_mass for row in tables.responses if row.logprobs is not None]
    if not masses or sum(masses) / len(masses) >= LITTLE_MASS:
        return ""
    mass = sum(masses) / len(masses)
    return f"The model gives the answer options only {mass:.2g} of its probability: its ratings say little."


def _with_methods(value: str, rows: Sequence[Agreement]) -> str:
    mine = [row for row in rows if row.value == value]
    name = style.title(value) + (" (against it)" if all(row.estimate < 0 for row in mine) else "")
    methods = sorted(row.method for row in mine if row.method)
    return f"{name} ({', '.join(methods)})" if methods else name


def _best(rows: Sequence[Agreement]) -> Grid:
    """Return the figures of the largest estimate of each value, at most `SHOWN` of them."""
    first = [row for i, row in enumerate(rows) if row.value not in [earlier.value for earlier in rows[:i]]]
    more = (f"{many(len(first) - SHOWN, 'more value')}: see Agreement",) if len(first) > SHOWN else ()
    return _figures(first[:SHOWN], more)


def _cautions(own: str, rows: Sequence[Agreement]) -> str:
    parts = [own] if own else []
    methods = {row.method for row in rows if row.method}
    tried = many(len({row.value for row in rows}), "value")
    if all(math.isnan(row.p_family) for row in rows):
        parts.append(f"The p values are not corrected for the {tried} tested.")
    if len(methods) > 1:
        parts.append(f"{many(len(methods), 'method')} were tried on {tried}.")
    return " ".join(parts)


def _p(row: Agreement) -> str:
    p, name = (row.p, "p") if math.isnan(row.p_family) else (row.p_family, "family-wise p")
    return f"{name}{SPACE}{equals(p)}".replace(" ", SPACE)


def _figures(rows: Sequence[Agreement], more: tuple[str, ...] = ()) -> Grid:
    """Lay out the figures of some rows: estimate, interval, null, p, ceiling and n."""
    cells = []
    for row in rows:
        who = style.title(row.value) + (f", {row.method}" if row.method else "")
        cells.append((
            who, share(row.estimate), interval(row.low, row.high), interval(row.null_low, row.null_high), chance(row.p),
            chance(row.p_family), share(row.ceiling), f"{row.n_scored:,}", f"{row.n_groups:,}", f"{row.n_unscored:,}",
        ))  # fmt: skip
    statistics = listing(list(dict.fromkeys(row.statistic for row in rows)))
    head = (statistics, *FACTS[1:])
    return Grid("", head, tuple(cells), more)


def _profile_level(rows: Sequence[Agreement]) -> Finding:
    """Say whether two profiles agree, all methods in one sentence."""
    what = (
        "probe-keyed and label-keyed"
        if rows[0].comparison == "probe~label"
        else rows[0].comparison.replace("~", " and ")
    )
    caution = "Ten values on a circle are not ten independent points, and assistants share one common profile."
    real = sorted((row for row in rows if math.isfinite(row.estimate)), key=lambda row: -row.estimate)
    if not real:
        text = f"Whether the {what} profiles agree over values cannot be said: no estimate exists."
        return Finding(OPEN, text, _figures(()), rows[0].note or caution)
    good = [row for row in real if above(row)]
    if good:
        methods = sorted(row.method for row in good if row.method)
        of = f" for {len(good)} of {len(rows)} methods ({listing(methods)})" if len(rows) > 1 else ""
        text = f"Over values, the {what} profiles agree above the null{of}."
        return Finding(YES, text, _figures(good[:SHOWN]), caution)
    estimate = f"{real[0].statistic.replace(' ', SPACE)}{SPACE}={SPACE}{share(real[0].estimate)}"
    text = f"Over values, the {what} profiles do not agree above the null (best: {estimate}, {_p(real[0])})."
    return Finding(NO, text, _figures(real[:1]), caution)


def _steering(rows: list[DoseRow]) -> list[Finding]:
    """Judge each steered value at its largest positive strength against every null draw at that strength."""
    top = []
    for value in style.in_order([row.value for row in rows if row.arm == "steered"]):
        mine = [row for row in rows if row.value == value and row.arm == "steered"]
        row = max(mine, key=lambda one: (one.strength > 0, abs(one.strength)))
        top.append((row, _nulls(row, rows)))
    if not top:
        return []
    where = f"on {top[0][0].positions} tokens"
    strengths = listing(list(dict.fromkeys(_strength(row) for row, _ in top)))
    if not any(nulls for _, nulls in top):
        text = f"Steering {where} was run without null vectors, so its effect cannot be judged."
        return [Finding(OPEN, text, _dosed(top))]
    good = [(row, nulls) for row, nulls in top if _beyond(row, nulls)]
    draws = min(len(nulls) for _, nulls in top if nulls)
    caution = (
        f"By chance alone one value in {draws + 1} exceeds all {draws} null draws; {many(len(top), 'value')} "
        f"{'was' if len(top) == 1 else 'were'} steered. The mean shift is a wish to say yes, not a value."
    )
    if good:
        names = listing([style.title(row.value) for row, _ in good])
        moved = "moved the ratings along the label beyond every null draw"
        text = f"Steering {where} at strength {strengths} {moved} for {names}."
        return [Finding(YES, text, _dosed(good), caution)]
    best = max(top, key=lambda pair: _signed(pair[0]))
    text = f"Steering {where} at strength {strengths} moved no value's ratings beyond its null draws."
    return [Finding(NO, text, _dosed([best]), caution)]


JUDGING = ("shuffled", "random")
"""Null arms whose every draw an effect must exceed; the others are in the section on steering."""


def _nulls(row: DoseRow, rows: list[DoseRow]) -> list[DoseRow]:
    mine = [r for r in rows if r.value == row.value and r.arm in JUDGING and r.strength == row.strength]
    return [r for r in mine if math.isfinite(r.effect)]


def _sign(row: DoseRow) -> float:
    return -1.0 if row.strength < 0 else 1.0


def _signed(row: DoseRow) -> float:
    return -math.inf if math.isnan(row.effect) else _sign(row) * row.effect


def _beyond(row: DoseRow, nulls: list[DoseRow]) -> bool:
    """Whether the interval leaves out zero on the expected side and the effect exceeds every null draw."""
    near = _sign(row) * (row.low if row.strength >= 0 else row.high)
    return bool(nulls) and near > 0 and all(_sign(row) * null.effect < _signed(row) for null in nulls)


def _strength(row: DoseRow) -> str:
    return ("+" if row.strength > 0 else "") + number(row.strength, 2)


def _dosed(pairs: Sequence[tuple[DoseRow, list[DoseRow]]]) -> Grid:
    """Lay out what the largest dose did beside the range of either null arm."""
    cells = []
    for row, nulls in pairs[:SHOWN]:
        arms = ([n.effect for n in nulls if n.arm == arm] for arm in JUDGING)
        cells.append((
            f"{style.title(row.value)} at {row.site}", _strength(row), number(row.effect),
            interval(row.low, row.high, unit=True), *(span(arm) for arm in arms), number(row.mean_shift),
            share(row.option_mass), f"{row.n_items:,}", f"{row.n_unscored:,}",
        ))  # fmt: skip
    more = (f"{many(len(pairs) - SHOWN, 'more value')}: see Steering",) if len(pairs) > SHOWN else ()
    units = (
        "Effect: rating points per SD of the label. Null arms: smallest to largest effect (draws) at that strength.",
    )
    return Grid("", DOSES, tuple(cells), (*more, *units))
