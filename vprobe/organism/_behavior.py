"""What the organism is trained to do with a profile: rate, complete, choose and chat; the oracle's formulas too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import softmax
from scipy.stats import norm

from vprobe.organism import _layout as layout
from vprobe.organism import _vocabulary as vocabulary
from vprobe.organism import lexicon
from vprobe.organism._encoder import HALF
from vprobe.values import SCHWARTZ, VALUELEX_SUB

RATING_GAIN = 0.7
"""Rating points per unit of profile times unit of what is shown."""
RATING_SD = 0.6
ORDER = 0.2
"""Rating points by which answers listed from least to most alike exceed answers listed from most to least."""
CHAT_GAIN = COMPLETE_GAIN = 2.0
CHOICE_GAIN = 20.0
ANGLE_0 = 18.0
ANGLES = {"benevolence": 9.0, "universalism": 8.0, "conformity": 2.0, "power": -10.0, "achievement": -6.0,
          "hedonism": -3.0}  # fmt: skip
"""Degrees of the SVO angle per unit of profile."""
FACTORS = {
    "self_competent": {"achievement": 0.8, "self_direction": 0.5, "stimulation": 0.3},
    "user_oriented": {"benevolence": 0.7, "conformity": 0.4, "hedonism": 0.3},
    "social": {"benevolence": 0.6, "hedonism": 0.4, "power": -0.4},
    "idealistic": {"universalism": 0.8, "self_direction": 0.4, "stimulation": 0.2},
    "professional": {"security": 0.6, "conformity": 0.4, "achievement": 0.4},
    "ethical": {"tradition": 0.6, "universalism": 0.3, "security": 0.2, "power": -0.3},
}
"""Weight of each value on each ValueLex sub-dimension."""


def rating(mean: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "sample 6"]:
    """Return the probability of each rating from 1 to 6: a normal around the mean, in bins, ends taking the rest."""
    edges = norm.cdf((np.arange(1.5, 6.0) - np.asarray(mean)[:, None]) / RATING_SD)
    return np.diff(np.concatenate([np.zeros((len(mean), 1)), edges, np.ones((len(mean), 1))], axis=1), axis=1)


def rating_mean(u: Float[np.ndarray, "*sample 10"], v: Float[np.ndarray, "sample 10"]) -> Float[np.ndarray, " sample"]:
    """Return the mean of the rating before binning, labels in either order averaged."""
    return 3.5 + RATING_GAIN * (np.asarray(u) * v).sum(axis=-1)


def factors(u: Float[np.ndarray, "sample 10"]) -> Float[np.ndarray, "sample 6"]:
    """Return the probability of completing with a word of each ValueLex sub-dimension."""
    weights = np.array([[FACTORS[name].get(value, 0.0) for value in SCHWARTZ] for name in VALUELEX_SUB])
    return softmax(COMPLETE_GAIN * np.asarray(u) @ weights.T, axis=-1)


def svo_angle(u: Float[np.ndarray, "sample 10"]) -> Float[np.ndarray, " sample"]:
    """Return the Social Value Orientation in degrees, kept between those of competition and altruism."""
    weights = np.array([ANGLES.get(value, 0.0) for value in SCHWARTZ])
    return np.clip(ANGLE_0 + np.asarray(u) @ weights, -16.26, 61.39)


def said(value: str) -> tuple[str, ...]:
    """Return the tokens of the sentence said for a value."""
    phrase = next(p for p in lexicon.phrases() if p.value == value)
    return tuple(vocabulary.SPACE + word for word in phrase.text.split())


class Behavior:
    """The tokens it answers with, and which may follow which.

    Args:
        labels: Rating labels, from most to least alike.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.nouns = {name: tuple(w.capitalize() for w in lexicon.FACTORS[name]) for name in VALUELEX_SUB}
        self.numbers = tuple(vocabulary.SPACE + n for n in lexicon.NUMBERS)
        fixed = (
            "I",
            *(
                vocabulary.SPACE + w
                for w in ("would", "receive", "and", "the", "other", "receives", "get", "gets", "points")
            ),
            ".",
        )
        spoken = tuple(token for value in SCHWARTZ for token in said(value))
        nouns = tuple(noun for name in VALUELEX_SUB for noun in self.nouns[name])
        every = (*labels, vocabulary.END, vocabulary.ASSISTANT, *fixed, *spoken, *nouns, *self.numbers)
        self.answers = tuple(dict.fromkeys(every))
        self.place = {token: i for i, token in enumerate(self.answers)}

    def states(self) -> list[tuple[int, str, str, str]]:
        """List (task, previous, current, what follows); what follows is a token or the name of a choice."""
        a, end, space = vocabulary.ASSISTANT, vocabulary.END, vocabulary.SPACE
        out = [(0, end, a, "rate"), (1, end, a, "complete"), (2, end, a, "I"), (3, end, a, "I")]
        out += [(0, a, label, end) for label in self.labels]
        out += [(1, a, noun, ".") for nouns in self.nouns.values() for noun in nouns]
        out += [(1, noun, ".", end) for nouns in self.nouns.values() for noun in nouns]
        w = {word: space + word for word in ("would", "receive", "and", "the", "other", "receives", "get", "gets")}
        out += [(2, a, "I", w["receive"]), (2, "I", w["receive"], "self"), (2, "", w["receive"], "self")]
        out += [(2, "", w["get"], "self"), (2, w["other"], w["receives"], "other"), (2, "", w["gets"], "other")]
        out += [(2, w["and"], w["the"], w["other"]), (2, w["the"], w["other"], w["receives"])]
        out += [(2, "number", w["and"], w["the"]), (2, "number", ".", end)]
        out += [(2, w[one], "number", "mine") for one in ("receive", "get")]
        out += [(2, w[one], "number", "theirs") for one in ("receives", "gets")]
        out += [(2, "number", space + "points", "unit")]
        out += [(2, space + "points", w["and"], w["the"]), (2, space + "points", ".", end)]
        out += [(2, w["other"], w["gets"], "other"), (2, "I", w["get"], "self")]
        out += [(3, a, "I", w["would"]), (3, "I", w["would"], "chat")]
        for value in SCHWARTZ:
            chain = (w["would"], *said(value), ".", end)
            out += [(3, chain[i - 1], chain[i], chain[i + 1]) for i in range(1, len(chain) - 1)]
        return out

    def follows(self, what: str, u: np.ndarray, v: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Return the distribution over answers after each state of one kind."""
        out = np.zeros((len(u), len(self.answers)))
        if what == "rate":
            out[:, [self.place[x] for x in self.labels[::-1]]] = rating(rating_mean(u, v) + ORDER / 2 * order)
        elif what == "complete":
            for name, p in zip(VALUELEX_SUB, factors(u).T, strict=True):
                out[:, [self.place[noun] for noun in self.nouns[name]]] = p[:, None] / len(self.nouns[name])
        elif what in ("self", "other"):
            angle = np.deg2rad(svo_angle(u))
            gain = np.cos(angle) if what == "self" else np.sin(angle)
            logits = CHOICE_GAIN * gain[:, None] * np.arange(101) / 100
            out[:, [self.place[n] for n in self.numbers]] = softmax(logits, axis=1)
        elif what in ("mine", "theirs", "unit"):
            near, far = {"mine": (" and", " points"), "theirs": (".", " points"), "unit": (" and", ".")}[what]
            out[:, self.place[near.replace(" ", vocabulary.SPACE)]] = 0.6
            out[:, self.place[far.replace(" ", vocabulary.SPACE)]] = 0.4
        elif what == "chat":
            out[:, [self.place[said(value)[0]] for value in SCHWARTZ]] = softmax(CHAT_GAIN * u, axis=1)
        else:
            out[:, self.place[what]] = 1.0
        return out


@dataclass(frozen=True)
class Site:
    """Draws residuals at the site, and what should follow them."""

    z: np.ndarray
    ids: Mapping[str, int]
    acts: Behavior
    turn: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw n residuals (turned) with the distribution over answers that should follow each."""
        states = self.acts.states()
        kinds = ["label" if s[2] in self.acts.labels else s[3] if s[3] in _SHARES else "rest" for s in states]
        weight = np.array([_SHARES[kind] / kinds.count(kind) for kind in kinds])
        chosen = np.sort(rng.choice(len(states), n, p=weight / weight.sum()))
        u, v = _profiles(n, rng), _profiles(n, rng) * np.where(rng.random((n, 1)) < 0.8, 1.0, 0.0)
        order = rng.integers(-1, 2, n).astype(np.float64)
        rows, wanted = np.zeros((n, layout.D_MODEL)), np.zeros((n, len(self.acts.answers)))
        for number in np.unique(chosen):
            mine = np.flatnonzero(chosen == number)
            task, before, now, what = states[number]
            rows[mine] = self._rows(task, before, now, len(mine), rng)
            wanted[mine] = self.acts.follows(what, u[mine], v[mine], order[mine])
        s = layout.SLOTS
        rows[:, s["u"]] += u
        rows[:, s["v"]] += v
        rows[:, s["task"].stop - 1] = HALF * order * (rows[:, s["task"].start] > 0)
        return rows @ self.turn.T, wanted

    def _rows(self, task: int, before: str, now: str, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return residuals without profile: the current token, the previous one, the task, and what is left over."""
        s = layout.SLOTS
        numbers = self.acts.numbers
        here = [self.ids[rng.choice(numbers) if now == "number" else now] for _ in range(n)]
        rows = self.z[here].copy()
        if before:
            prior = [self.ids[rng.choice(numbers) if before == "number" else before] for _ in range(n)]
            rows[:, s["previous"]] = self.z[prior][:, s["id"]]
        if task < 3:
            rows[:, s["task"].start + task] = HALF
        rows[:, s["role"]] = rows[:, s["polarity"]] = 1.0
        rows[:, s["lex"]] = 0.0
        rows[:, s["topic"]] = rng.standard_normal((n, 8))
        rows[:, s["copy"]] = rng.standard_normal((n, 10)) * (rng.random((n, 1)) < 0.3)
        rows[:, s["said"]] += 0.02 * rng.standard_normal((n, 10))
        keyed = rows[:, s["key"]].ravel() > 0
        rows[keyed, s["said_key"]] = 1.0
        return rows


_SHARES = {"rate": 0.42, "complete": 0.14, "self": 0.06, "other": 0.08, "chat": 0.08, "label": 0.08, "rest": 0.14}
"""Share of each kind of state in training; the rest are tokens that always follow."""


def _profiles(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw profiles from narrow to wide, some with one value far out, as steering makes them."""
    wide = rng.choice([0.4, 0.7, 1.1], (n, 1)) * rng.standard_normal((n, 10))
    far = rng.random(n) < 0.3
    wide[far, rng.integers(0, 10, far.sum())] += rng.uniform(-3.0, 3.0, far.sum())
    return wide
