"""Which items of the Portrait Values Questionnaires ask about which value; the wording of the items is not here.

Source: Schwartz, scoring keys of the PVQ-40 (2021) and the PVQ-RR (2021), and the European Social Survey's note on
computing scores for its 21-item scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

MOST_MISSING = 5 / 21
"""Share of the items that may be missing: 5 of 21, the practice of the European Social Survey; 9 of 40 and 13 of 57."""


@dataclass(frozen=True)
class Scale:
    """A scale and the numbers of its items, from 1."""

    name: str
    items: tuple[int, ...]


@dataclass(frozen=True)
class Combined:
    """A higher-order value and the scales whose means it is the mean of."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """How the items of a questionnaire are scored.

    Args:
        name: Plug-in name, such as "pvq-21".
        n_items: Items.
        scales: The finest scales; every item is in one.
        broad: The ten values of 1992; the same scales again where nothing is finer.
        higher: The four higher-order values.
        keying: +1 per item, or -1 where agreement speaks against the value; empty when all are +1.
    """

    name: str
    n_items: int
    scales: tuple[Scale, ...]
    broad: tuple[Scale, ...]
    higher: tuple[Combined, ...]
    keying: tuple[int, ...] = ()

    def turned(self, items: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, "respondent item"]:
        """Return ratings with those of reverse-keyed items turned round, 7 - x."""
        return np.where(np.array(self.keying or (1,) * self.n_items) > 0, items, 7.0 - items)


def usable(items: Float[np.ndarray, "respondent item"]) -> Bool[np.ndarray, " respondent"]:
    """Tell who answered enough items to be scored: at most 5 of 21 missing, and as large a share of a longer form."""
    missing = (~np.isfinite(items)).sum(axis=1)
    return np.asarray(missing <= np.floor(items.shape[1] * MOST_MISSING + 1e-9))


def means(items: Float[np.ndarray, "respondent item"], scales: tuple[Scale, ...]) -> Float[np.ndarray, "respondent _"]:
    """Return the mean of each scale's answered items; NaN where none is answered or the respondent is not usable.

    Args:
        items: Ratings from 1 to 6, reverse-keyed ones turned round.
        scales: What to average.
    """
    columns = [mean(items[:, [i - 1 for i in scale.items]]) for scale in scales]
    return np.where(usable(items)[:, None], np.stack(columns, axis=1), np.nan)


def mean(items: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, " respondent"]:
    """Return each respondent's mean over the answered items; over all items it is the MRAT that scores are centred on.

    Source: Schwartz (1992), Advances in Experimental Social Psychology 25, on correcting for scale use.
    """
    known = np.isfinite(items)
    n = known.sum(axis=1)
    return np.where(n > 0, np.where(known, items, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _scales(text: str) -> tuple[Scale, ...]:
    """Read lines such as "power 2 17"."""
    parts = [line.split() for line in text.strip().splitlines()]
    return tuple(Scale(one[0], tuple(int(number) for number in one[1:])) for one in parts)


def _pooled(scales: tuple[Scale, ...], text: str) -> tuple[Scale, ...]:
    """Make scales of the items of several others, by lines such as "power power_dominance power_resources"."""
    items = {scale.name: scale.items for scale in scales}
    lines = [line.split() for line in text.strip().splitlines()]
    return tuple(Scale(one[0], tuple(sorted(i for part in one[1:] for i in items[part]))) for one in lines)


HIGHER = (
    Combined("self_enhancement", ("achievement", "power")),
    Combined("self_transcendence", ("universalism", "benevolence")),
    Combined("conservation", ("security", "conformity", "tradition")),
    Combined("openness_to_change", ("self_direction", "stimulation", "hedonism")),
)
"""The mean of value means, as the official keys say; hedonism counts as openness."""

_TEN_OF_21 = _scales("""
power 2 17
achievement 4 13
hedonism 10 21
stimulation 6 15
self_direction 1 11
universalism 3 8 19
benevolence 12 18
conformity 7 16
tradition 9 20
security 5 14
""")
_TEN_OF_40 = _scales("""
power 2 17 39
achievement 4 13 24 32
hedonism 10 26 37
stimulation 6 15 30
self_direction 1 11 22 34
universalism 3 8 19 23 29 40
benevolence 12 18 27 33
conformity 7 16 28 36
tradition 9 20 25 38
security 5 14 21 31 35
""")
_REFINED = _scales("""
self_direction_thought 1 23 39
self_direction_action 16 30 56
stimulation 10 28 43
hedonism 3 36 46
achievement 17 32 48
power_dominance 6 29 41
power_resources 12 20 44
face 9 24 49
security_personal 13 26 53
security_societal 2 35 50
tradition 18 33 40
conformity_rules 15 31 42
conformity_interpersonal 4 22 51
humility 7 38 54
benevolence_dependability 19 27 55
benevolence_care 11 25 47
universalism_concern 5 37 52
universalism_nature 8 21 45
universalism_tolerance 14 34 57
""")
"""The nineteen refined values, in the order of their circle."""
_BROAD = _pooled(_REFINED, """
power power_dominance power_resources
achievement achievement
hedonism hedonism
stimulation stimulation
self_direction self_direction_thought self_direction_action
universalism universalism_nature universalism_concern universalism_tolerance
benevolence benevolence_care benevolence_dependability
conformity conformity_rules conformity_interpersonal
tradition tradition humility
security security_personal security_societal
""")  # fmt: skip
_HIGHER_REFINED = (
    Combined("self_enhancement", ("achievement", "power_dominance", "power_resources")),
    Combined("self_transcendence", ("universalism_nature", "universalism_concern", "universalism_tolerance",
                                    "benevolence_care", "benevolence_dependability")),
    Combined("conservation", ("security_personal", "security_societal", "tradition", "conformity_rules",
                              "conformity_interpersonal")),
    Combined("openness_to_change", ("self_direction_thought", "self_direction_action", "stimulation", "hedonism")),
)  # fmt: skip
"""Humility and face belong to none of the four."""

PVQ_21 = Key("pvq-21", 21, _TEN_OF_21, _TEN_OF_21, HIGHER)
PVQ_40 = Key("pvq-40", 40, _TEN_OF_40, _TEN_OF_40, HIGHER)
PVQ_RR = Key("pvq-rr", 57, _REFINED, _BROAD, _HIGHER_REFINED)
