"""Rows of the multitrait-multimethod tables: values are the traits, ways of measuring them the methods."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class MethodRow:
    """One correlation of the multitrait-multimethod matrix, over conditions or models.

    Args:
        first: A method, such as "probe" or "portraits".
        first_value: Canonical value name measured by it.
        second: Another method, or the same.
        second_value: Canonical value name measured by that.
        relation: "same" value, or how far apart they are on the circle: "adjacent" (up to 40 degrees), "middle" (80)
            or "opposite" (120 and more).
        r: Correlation over units; NaN where a side does not vary or fewer than five units have both.
        n: Units with both.
    """

    first: str
    first_value: str
    second: str
    second_value: str
    relation: str
    r: float
    n: int


@dataclass(frozen=True)
class ValidityRow:
    """Campbell and Fiske's criteria for one value and two methods.

    Neighbours on the circle legitimately correlate, so comparisons with them are counted apart.

    Args:
        first: A method.
        second: Another.
        value: Canonical value name.
        r: Its correlation between the two methods (convergent validity).
        p: One-sided p of that against units shuffled jointly over all values of one method.
        p_family: The same against the largest over all values.
        won_apart: Comparisons with other values, 80 degrees or more away, between the methods that r exceeds.
        of_apart: Comparisons of that kind; chance wins half.
        won_adjacent: The same with neighbours.
        of_adjacent: Comparisons of that kind.
        won_inside: Comparisons with correlations within one method, values 80 degrees or more away, that r exceeds.
        of_inside: Comparisons of that kind.
        won_inside_adjacent: The same with neighbours.
        of_inside_adjacent: Comparisons of that kind.
        n: Units with both.
    """

    first: str
    second: str
    value: str
    r: float
    p: float
    p_family: float
    won_apart: int
    of_apart: int
    won_adjacent: int
    of_adjacent: int
    won_inside: int
    of_inside: int
    won_inside_adjacent: int
    of_inside_adjacent: int
    n: int


@dataclass(frozen=True)
class TraitPairRow:
    """Whether two values are told apart over methods.

    Args:
        first: Canonical value name.
        second: Another.
        relation: See `MethodRow`.
        htmt: Heterotrait-monotrait ratio: mean correlation of the two between methods, over the geometric mean of each
            one's with itself between methods. Strictly they are two where its size stays below .85, leniently .90. NaN
            where a value does not agree with itself.
        low: Lower end of the 95 % interval over units.
        high: Upper end.
        n_methods: Methods.
        n: Units with all of it.
    """

    first: str
    second: str
    relation: str
    htmt: float
    n_methods: int
    n: int
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class PatternRow:
    """Whether values correlate in the same pattern in two blocks of the matrix (Campbell and Fiske's fourth criterion).

    Args:
        first: A block: a method, or two methods with a tilde.
        second: Another block.
        rho: Rank correlation of the two blocks over pairs of values.
        p: One-sided p, values dealt out at random in the second block (Mantel).
        n: Pairs of values.
    """

    first: str
    second: str
    rho: float
    p: float
    n: int
