"""What to expect of a study of one size, and the size a study must have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vprobe import stats, values
from vprobe.errors import InputError, RefusedError
from vprobe.power import _formulas as f
from vprobe.power._released import RATERS, label_reliability

SHARE = 0.02
"""Share of activation variance a value is taken to have when nobody says."""
DIMENSIONS = 41.0
"""Effective dimensions of activations when nobody says: variances falling as 1/k in 2048 dimensions."""
PER_QUERY, ICC, FOLDS, TARGET = 5, 0.3, 5, 0.7


@dataclass(frozen=True)
class Plan:
    """What a probe of one value can be expected to reach, and what was taken for granted to say so.

    Args:
        value: Canonical value name.
        n: Items.
        n_effective: Independent items these are worth.
        reliability: Share of label variance that is true score.
        ceiling: Highest held-out correlation to expect of anything, the root of the reliability.
        cosine: Expected cosine of the covariance direction fitted on all items with the true direction.
        held_out_r: Expected correlation of held-out scores with labels, folds of whole queries.
        null_sd: Standard deviation of such a correlation under chance.
        significant_r: The correlation that is just significant.
        detectable_r: The smallest true held-out correlation found with the power asked for.
        detectable_true_r: The same as a correlation with the true score; above 1 nothing can be found.
        items_needed: Items for the cosine aimed at.
        items_needed_r: Items to find the correlation aimed at; the expected held-out one in `plan`.
        raters_needed: People per item for labels of the reliability aimed at.
        assumptions: Every number taken for granted, in words.
    """

    value: str
    n: int
    n_effective: float
    reliability: float
    ceiling: float
    cosine: float
    held_out_r: float
    null_sd: float
    significant_r: float
    detectable_r: float
    detectable_true_r: float
    items_needed: int
    items_needed_r: int
    raters_needed: int
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class _World:
    """All that is taken for granted; checks itself."""

    share: float
    reliability: float
    dimensions: float
    per_query: int
    icc: float
    folds: int
    raters: float
    target: float
    alpha: float
    power: float

    def __post_init__(self) -> None:
        for name in ("share", "target", "alpha", "power"):
            _between(name, getattr(self, name))
        if not 0.0 < self.reliability <= 1.0:
            raise InputError(f"reliability {self.reliability}", where="planning", expected="above 0, at most 1")
        if not 0.0 <= self.icc <= 1.0:
            raise InputError(f"icc {self.icc}", where="planning", expected="between 0 and 1")
        for name, least in (("dimensions", 1), ("per_query", 1), ("folds", 2), ("raters", 1)):
            if not least <= getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name)}", where="planning", expected=f"at least {least}")
        if self.power <= self.alpha:
            raise InputError(
                f"power {self.power} at alpha {self.alpha}", where="planning", expected="power above alpha"
            )

    def effective(self, n: float) -> float:
        return f.effective_n(n, float(self.per_query), self.icc)

    def items(self, n_effective: float) -> int:
        """Return whole queries of items that are worth so many independent ones, one query per fold at least."""
        items = n_effective * self.per_query / self.effective(float(self.per_query))
        queries = math.ceil(items / self.per_query - 1e-9)
        return self.per_query * max(queries, self.folds)

    def cosine(self, n: float) -> float:
        return f.share_cosine(self.effective(n), self.share, self.reliability)

    def r(self, n: float) -> float:
        """Return the expected held-out r: folds leave a part of the items to fit on."""
        return self.r_at(self.cosine(n * (self.folds - 1) / self.folds))

    def r_at(self, cosine: float) -> float:
        signal = math.sqrt(self.dimensions * self.share / (1.0 - self.share))
        return f.held_out_r(cosine, signal, 1.0, self.reliability)

    def n_for_expected(self, r: float) -> float:
        """Return the independent items at which the expected held-out r is `r`, fitting on all folds but one."""
        signal = self.dimensions * self.share / (1.0 - self.share)
        part = r**2 / self.reliability
        cosine = math.sqrt(part / ((1.0 - part) * signal))
        return f.n_for_cosine(cosine, self.share, self.reliability) * self.folds / (self.folds - 1)

    def n_for_r(self, r: float) -> float:
        return f.n_for_r(r, alpha=self.alpha, power=self.power)


def plan(
    value: str,
    n: int,
    *,
    share: float = SHARE,
    reliability: float | None = None,
    dimensions: float = DIMENSIONS,
    per_query: int = PER_QUERY,
    icc: float = ICC,
    folds: int = FOLDS,
    raters: float = RATERS,
    target: float = TARGET,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """Tell what a probe of one value can be expected to reach with so many items.

    Args:
        value: Any spelling of a value's name.
        n: Items.
        share: Share of the activations' variance that the value has. Nobody knows it: try several.
        reliability: Of the labels; that of the released Value Portrait labels when None.
        dimensions: Effective dimensions of the activations, (trace S)^2 / trace S^2.
        per_query: Items of one query.
        icc: How alike items of one query are.
        folds: Of the held-out scores.
        raters: People per item behind `reliability`.
        target: Cosine of the direction, and reliability of the labels, that the numbers needed are for.
        alpha: Level of the one-sided test.
        power: How often a detectable correlation must be found.

    Raises:
        InputError: An unknown value, a number out of its range, or fewer queries than folds.
    """
    name = values.find(value, where="planning")
    world = _World(share, label_reliability(name) if reliability is None else reliability, dimensions, per_query, icc,
                   folds, raters, target, alpha, power)  # fmt: skip
    return _plan(name, n, world, cosine=target, r=None)


def needed(
    value: str,
    *,
    cosine: float | None = None,
    r: float | None = None,
    share: float = SHARE,
    reliability: float | None = None,
    dimensions: float = DIMENSIONS,
    per_query: int = PER_QUERY,
    icc: float = ICC,
    folds: int = FOLDS,
    raters: float = RATERS,
    target: float = TARGET,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """Return the smallest study that reaches an expected cosine, a held-out correlation, or both.

    A held-out correlation is reached when it is expected and, if it is the true one, found with the power asked for.

    Args:
        value: Any spelling of a value's name.
        cosine: Expected cosine of the direction with the true one; None is not asked for.
        r: Held-out correlation; None is not asked for.
        share: Share of the activations' variance that the value has. Nobody knows it: try several.
        reliability: Of the labels; that of the released Value Portrait labels when None.
        dimensions: Effective dimensions of the activations, (trace S)^2 / trace S^2.
        per_query: Items of one query.
        icc: How alike items of one query are.
        folds: Of the held-out scores.
        raters: People per item behind `reliability`.
        target: Reliability of the labels that `raters_needed` is for.
        alpha: Level of the one-sided test.
        power: How often the correlation must be found.

    Raises:
        InputError: Neither or an impossible cosine or correlation, an unknown value, or a number out of its range.
        RefusedError: No number of items makes one expect that correlation.
    """
    name = values.find(value, where="planning")
    world = _World(share, label_reliability(name) if reliability is None else reliability, dimensions, per_query, icc,
                   folds, raters, target, alpha, power)  # fmt: skip
    if cosine is None and r is None:
        raise InputError("neither a cosine nor an r", where="planning", expected="one of them", do="say what to reach")
    wanted = [world.items(0.0)]
    if cosine is not None:
        wanted.append(_items_for_cosine(world, cosine))
    if r is not None:
        wanted.append(_items_for_r(world, r))
    return _plan(name, max(wanted), world, cosine=target if cosine is None else cosine, r=r)


def _items_for_cosine(world: _World, cosine: float) -> int:
    _between("cosine", cosine)
    return world.items(f.n_for_cosine(cosine, world.share, world.reliability))


def _items_for_r(world: _World, r: float) -> int:
    _between("r", r)
    most = world.r_at(1.0)
    if r >= most:
        raise RefusedError(
            f"a held-out r of {r:.2f}",
            where="planning",
            expected=f"below {most:.3f}, which the true direction has (labels allow {world.reliability**0.5:.2f})",
            do="more raters per item or a value with a larger share of the activations; more items do not help",
        )
    return world.items(max(world.n_for_r(r), world.n_for_expected(r)))


def _plan(name: str, n: int, world: _World, *, cosine: float, r: float | None) -> Plan:
    if n < world.folds * world.per_query:
        raise InputError(
            f"{n} items", where="planning", expected=f"at least {world.folds} queries of {world.per_query} items"
        )
    effective, expected = world.effective(float(n)), world.r(float(n))
    found = f.detectable_r(effective, alpha=world.alpha, power=world.power)
    return Plan(
        value=name,
        n=n,
        n_effective=effective,
        reliability=world.reliability,
        ceiling=math.sqrt(world.reliability),
        cosine=world.cosine(float(n)),
        held_out_r=expected,
        null_sd=f.null_sd(effective),
        significant_r=f.detectable_r(effective, alpha=world.alpha, power=0.5),
        detectable_r=found,
        detectable_true_r=found / math.sqrt(world.reliability),
        items_needed=_items_for_cosine(world, cosine),
        items_needed_r=world.items(world.n_for_r(expected)) if r is None else _items_for_r(world, r),
        raters_needed=math.ceil(f.raters_needed(world.reliability, world.target, world.raters) - 1e-9),
        assumptions=_assumptions(world, cosine, r),
    )


def _assumptions(world: _World, cosine: float, r: float | None) -> tuple[str, ...]:
    told = (
        f"the value has {world.share:.3g} of the activations' variance, which nobody knows beforehand",
        f"label reliability {world.reliability:.2f} with {world.raters:g} raters per item",
        f"activations as if in {world.dimensions:g} equal dimensions",
        f"{world.per_query} items per query, intraclass correlation {world.icc:g}",
        f"null SD {f.NULL_SD:g} for 520 items in fives, falling with the root of the effective number",
        f"{world.folds} folds of whole queries; one-sided level {world.alpha:g}, power {world.power:g}",
        f"items needed are for a cosine of {cosine:g}; raters needed for a reliability of {world.target:g}",
        "items needed for r are to find the expected r" if r is None else f"items needed for r are for one of {r:g}",
    )
    if world.reliability < stats.LEAST_RELIABILITY:
        told += (f"reliability below {stats.LEAST_RELIABILITY:g}: such labels count as unmeasurable",)
    return told


def _between(name: str, number: float) -> None:
    if not 0.0 < number < 1.0:
        raise InputError(f"{name} {number}", where="planning", expected="between 0 and 1, both excluded")
