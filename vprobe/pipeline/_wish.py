"""What `steer solve` is to change, what is to stay, and the search for the doses that do it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import effects
from vprobe.errors import InputError, RefusedError
from vprobe.values import find

TOLERANCE = 0.005
"""Points a target may be missed by on the items doses are chosen on."""
ROUNDS = 12
"""Most changes of the doses."""
TARGET, FREE = 1000.0, 0.05
"""Weights of a target, and of a value that is neither target nor to be kept, beside 1."""
STILL = 1e-3
"""Share of the largest dose below which a change of the doses is none."""
SHRINK = (1e-6, 1e9)
"""Weights of the doses themselves between which the one that just keeps the budget is looked for."""
CLOSE = 0.97
"""Share of the budget that is close enough to it."""
BENT = 0.5
"""Share of what small doses promise below which a response is said to have bent."""


@dataclass(frozen=True)
class Wish:
    """What is to change, what is to stay, and what it may cost.

    Args:
        targets: (value, change): rating points per SD of the value's label within queries.
        keep: Values that are to stay as they are.
        max_kl: Most KL(base || steered) of the next token on neutral texts, nats per token.

    Raises:
        InputError: No target, a value twice, a change that is not finite, or a budget that is not above 0.
    """

    targets: tuple[tuple[str, float], ...]
    keep: tuple[str, ...] = ()
    max_kl: float = math.inf

    def __post_init__(self) -> None:
        targets = tuple((find(value, where="--target"), float(change)) for value, change in self.targets)
        keep = tuple(find(value, where="--keep") for value in self.keep)
        names = [value for value, _ in targets] + list(keep)
        if not targets or len(set(names)) != len(names) or not all(math.isfinite(change) for _, change in targets):
            asked = ", ".join(f"{value}={change:g}" for value, change in targets)
            raise InputError(
                f"targets {asked or 'none'}, keep {', '.join(keep) or 'none'}", where="--target and --keep",
                expected="at least one target with a finite change, and every value once",
            )  # fmt: skip
        if not self.max_kl > 0:
            raise InputError(f"{self.max_kl:g} nats", where="--max-kl", expected="a number above 0")
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "keep", keep)

    def role(self, value: str) -> str:
        """Return "target", "keep" or "free"."""
        return "target" if value in dict(self.targets) else "keep" if value in self.keep else "free"

    def wanted(self, values: Sequence[str]) -> Float[np.ndarray, " value"]:
        """Return the change of each value; 0 where it is to stay or free."""
        return np.array([dict(self.targets).get(value, 0.0) for value in values])

    def weights(self, values: Sequence[str]) -> Float[np.ndarray, " value"]:
        """Return how much a miss of each value counts."""
        return np.array([{"target": TARGET, "keep": 1.0, "free": FREE}[self.role(value)] for value in values])


@dataclass(frozen=True)
class Point:
    """Doses that were tried.

    Args:
        doses: Of the values' vectors.
        reached: What they change in each value.
        kl: What they cost, nats per token; NaN where nothing asks.
        rounds: How often doses had been changed.
    """

    doses: Float[np.ndarray, " value"]
    reached: Float[np.ndarray, " value"]
    kl: float = math.nan
    rounds: int = 0


@dataclass(frozen=True)
class Search:
    """The search for doses: bounded least squares on effects that are corrected by what every try really changed.

    Args:
        values: Values, one vector each.
        wish: What is wanted of them.
        most: Largest dose either way.
        moved: What some doses change in each value.
        kl: What some doses cost.
    """

    values: tuple[str, ...]
    wish: Wish
    most: float
    moved: Callable[[Float[np.ndarray, " value"]], Float[np.ndarray, " value"]]
    kl: Callable[[Float[np.ndarray, " value"]], float]

    def run(self, first: Float[np.ndarray, "value measured"]) -> Point:
        """Change the doses until every target is reached, and what is to stay stays, within the tolerance.

        A try that is worse than the best so far only corrects the effects. Each try is inside the budget and bounds.

        Args:
            first: Change of each value per unit of dose of each vector, as small doses show it.

        Raises:
            RefusedError: A target is not reached; the message says how far it comes, and what stops it.
        """
        zero = np.zeros(len(self.values))
        effect, best, held = first.copy(), Point(zero, zero, 0.0), False
        for number in range(1, ROUNDS + 1):
            doses, cost, held = self._proposed(effect, best)
            step = doses - best.doses
            if np.abs(step).max() <= STILL * self.most:
                break
            reached = self.moved(doses)
            effect = effects.turned(effect, step, reached - best.reached)
            if self._loss(reached) < self._loss(best.reached):
                best = Point(doses, reached, cost, number)
            if self._done(best.reached):
                break
        self._check(best, first, held=held)
        return best

    def _proposed(self, effect: np.ndarray, best: Point) -> tuple[np.ndarray, float, bool]:
        """Return the doses that look best from here, their KL where there is a budget, and if that holds them back."""
        goal = self.wish.wanted(self.values) - best.reached + best.doses @ effect
        bounds, weights = np.full(len(self.values), self.most), self.wish.weights(self.values)

        def at(shrink: float) -> tuple[np.ndarray, float]:
            doses = effects.least_leakage(effect, goal, weights, most=bounds, shrink=shrink)
            return doses, self.kl(doses) if math.isfinite(self.wish.max_kl) else math.nan

        free = at(0.0)
        if not free[1] > self.wish.max_kl:
            return *free, False
        low, high = SHRINK
        found = at(high)
        if found[1] > self.wish.max_kl:
            return np.zeros(len(self.values)), 0.0, True
        while high / low > 1.1 and not CLOSE * self.wish.max_kl <= found[1] <= self.wish.max_kl:
            middle = math.sqrt(low * high)
            tried = at(middle)
            if tried[1] > self.wish.max_kl:
                low = middle
            else:
                high, found = middle, tried
        return *found, True

    def _missed(self, reached: np.ndarray) -> np.ndarray:
        return reached - self.wish.wanted(self.values)

    def _loss(self, reached: np.ndarray) -> float:
        return float(self.wish.weights(self.values) @ self._missed(reached) ** 2)

    def _done(self, reached: np.ndarray) -> bool:
        held = [self.wish.role(value) != "free" for value in self.values]
        return bool((np.abs(self._missed(reached))[held] <= TOLERANCE).all())

    def _check(self, best: Point, first: np.ndarray, *, held: bool) -> None:
        """Refuse doses that fall short of a target on the very items they were chosen on."""
        missed = np.abs(self._missed(best.reached))
        for value, change in self.wish.targets:
            i = self.values.index(value)
            if missed[i] <= TOLERANCE:
                continue
            now, straight = float(best.reached[i]), float(best.doses @ first[:, i])
            why, do = f"after {ROUNDS} rounds", "give other --strengths, whose largest sets the first doses tried"
            if held:
                why, do = f"within a KL of {self.wish.max_kl:g} nats per token", "allow more with --max-kl"
            elif np.abs(best.doses).max() >= (1 - STILL) * self.most:
                why, do = f"with a dose of {self.most:g}, the largest of --strengths", "allow larger ones"
            most = f"ask for at most {math.trunc(now * 100) / 100:+z.2f}"
            do = f"{most}, or {do}"
            if straight and now / straight < BENT:
                why += f", where small doses promised {straight:+z.2f}: ratings are near the ends of their scale"
                do = most
            raise RefusedError(
                f"{value} moves by {now:+z.3f} {why}", where="steer solve",
                expected=f"{change:+g} points per SD of label", do=do,
            )  # fmt: skip
