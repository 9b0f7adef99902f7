"""How reliable the released Value Portrait labels are: the numbers a plan takes when the user has none."""

from __future__ import annotations

from vprobe import values
from vprobe.errors import InputError

RATERS = 46.8
"""People who rated an item of Value Portrait, on average."""

RELIABILITY = (
    ("power", 0.372),
    ("achievement", 0.384),
    ("hedonism", 0.266),
    ("stimulation", 0.300),
    ("self_direction", 0.338),
    ("universalism", 0.485),
    ("benevolence", 0.404),
    ("conformity", 0.225),
    ("tradition", 0.234),
    ("security", 0.173),
    ("self_enhancement", 0.416),
    ("self_transcendence", 0.526),
    ("conservation", 0.298),
    ("openness_to_change", 0.190),
    ("extraversion", 0.119),
    ("agreeableness", 0.329),
    ("conscientiousness", 0.205),
    ("neuroticism", 0.115),
    ("openness", 0.197),
)
"""Share of label variance that is not raters' noise, labels centred within rater groups; standard error about .04.

One less the variance of labels whose raters were shuffled over that of the labels.
Source: computed with `labels.regenerate(kind="group-centred")` from the ratings released with Han et al. (2025).
"""


def label_reliability(value: str) -> float:
    """Return how reliable the released labels of a value are.

    Args:
        value: Any spelling of a Schwartz value, higher-order value or Big Five trait.

    Raises:
        InputError: The name is not known, or the released data have no labels of it.
    """
    name = values.find(value, where="planning")
    known = dict(RELIABILITY)
    if name not in known:
        raise InputError(
            f"no released labels of {name}", where="planning", expected="a reliability", do="give one between 0 and 1"
        )
    return known[name]
