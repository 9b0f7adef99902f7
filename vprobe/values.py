"""The words of value psychology: Schwartz values and their circle, higher-order values, Big Five, ValueLex.

Source: Schwartz (1992), Advances in Experimental Social Psychology 25; Biedma et al. (2024), arXiv 2404.12744.
"""

from __future__ import annotations

from vprobe.errors import unknown

SCHWARTZ = (
    "power",
    "achievement",
    "hedonism",
    "stimulation",
    "self_direction",
    "universalism",
    "benevolence",
    "conformity",
    "tradition",
    "security",
)
"""The ten values in circle order."""

HIGHER_ORDER = ("self_enhancement", "self_transcendence", "conservation", "openness_to_change")
BIG_FIVE = ("extraversion", "agreeableness", "conscientiousness", "neuroticism", "openness")
VALUELEX = ("competence", "character", "integrity")
VALUELEX_SUB = ("self_competent", "user_oriented", "social", "idealistic", "professional", "ethical")
MOOD = ("happiness",)
"""No value: a mood, the simplest thing a very small model can be steered towards."""

FAMILIES = (
    ("schwartz", SCHWARTZ),
    ("higher_order", HIGHER_ORDER),
    ("big_five", BIG_FIVE),
    ("valuelex", VALUELEX),
    ("valuelex_sub", VALUELEX_SUB),
    ("mood", MOOD),
)
NAMES = tuple(name for _, family in FAMILIES for name in family)

WEDGES = (0, 1, 2, 3, 4, 5, 6, 7, 7, 8)
"""Nine wedges of 40 degrees: Conformity and Tradition share one, with Tradition outside."""

ANGLES = tuple(40.0 * wedge for wedge in WEDGES)
"""Angle of each value of `SCHWARTZ` on the nine-wedge circle, degrees."""

EMPIRICAL_ANGLES = (0.0, 18.9, 54.9, 62.9, 133.0, 170.5, 179.4, 288.6, 251.0, 249.2)
"""Angles of 559 raters' centred PVQ-21 values, degrees from Power, in the order of `SCHWARTZ`.

Classical scaling of d^2 = 2 (1 - r) in two dimensions. A quasi-circle: Conformity lies beyond Security and Tradition.
Source: computed from the profiles released with Han et al. (2025), Value Portrait.
"""

TEN_PLACES = (*SCHWARTZ[:7], "tradition", "conformity", "security")
"""The ten values on ten even places, Tradition beside Benevolence; it serves the correspondence index only."""

HUMAN_COVARIANCE = (
    (0.859, 0.363, 0.087, 0.022, -0.194, -0.432, -0.373, 0.031, -0.205, -0.159),
    (0.363, 0.859, 0.106, 0.139, -0.144, -0.341, -0.343, -0.116, -0.297, -0.225),
    (0.087, 0.106, 0.846, 0.204, -0.030, -0.218, -0.198, -0.310, -0.278, -0.209),
    (0.022, 0.139, 0.204, 0.888, -0.044, -0.149, -0.148, -0.291, -0.240, -0.382),
    (-0.194, -0.144, -0.030, -0.044, 0.624, 0.200, 0.094, -0.327, -0.105, -0.074),
    (-0.432, -0.341, -0.218, -0.149, 0.200, 0.750, 0.319, -0.210, 0.009, 0.072),
    (-0.373, -0.343, -0.198, -0.148, 0.094, 0.319, 0.673, -0.143, 0.089, 0.030),
    (0.031, -0.116, -0.310, -0.291, -0.327, -0.210, -0.143, 1.036, 0.223, 0.106),
    (-0.205, -0.297, -0.278, -0.240, -0.105, 0.009, 0.089, 0.223, 0.671, 0.134),
    (-0.159, -0.225, -0.209, -0.382, -0.074, 0.072, 0.030, 0.106, 0.134, 0.708),
)
"""Covariance of 559 raters' PVQ-21 values, each rater centred on their mean over the ten, in the order of `SCHWARTZ`.

Source: computed from the profiles released with Han et al. (2025), Value Portrait.
"""

_SPELLINGS = (
    ("self direction", "self_direction"),
    ("selfdirection", "self_direction"),
    ("self-competence", "self_competent"),
    ("openness to experience", "openness"),
    ("openness to change", "openness_to_change"),
    ("emotional instability", "neuroticism"),
)


def find(name: str, *, where: str = "") -> str:
    """Return the canonical name of a value, trait or dimension, whatever its case, spaces or hyphens.

    Args:
        name: For example "Self-Direction", "self direction" or "self_direction".
        where: Named in the error.

    Raises:
        InputError: The name is not known; the nearest is named.
    """
    plain = name.strip().lower()
    for spelling, canonical in _SPELLINGS:
        if plain == spelling:
            return canonical
    plain = plain.replace("-", "_").replace(" ", "_")
    if plain not in NAMES:
        raise unknown("value", name, NAMES, where=where)
    return plain


def family(name: str) -> str:
    """Return the family a value belongs to: schwartz, higher_order, big_five, valuelex, valuelex_sub or mood."""
    canonical = find(name)
    return next(label for label, members in FAMILIES if canonical in members)


def angle(name: str) -> float:
    """Return the angle of a Schwartz value on the nine-wedge circle, degrees.

    Raises:
        InputError: The name is not one of the ten Schwartz values.
    """
    canonical = find(name)
    if canonical not in SCHWARTZ:
        raise unknown("Schwartz value", name, SCHWARTZ)
    return ANGLES[SCHWARTZ.index(canonical)]


def circle_distance(a: str, b: str) -> float:
    """Return how far two Schwartz values lie apart on the circle, in degrees."""
    gap = abs(angle(a) - angle(b)) % 360.0
    return min(gap, 360.0 - gap)


def title(name: str) -> str:
    """Return a value's name as people print it: "self_direction" becomes "Self-Direction"."""
    small = name.replace("_to_", " to ")
    return "-".join(part[:1].upper() + part[1:] for part in small.split("_")).replace(" to change", " to Change")
