"""Answers to an instrument, from a model or from a file, and the scale scores made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError
from vprobe.types._arrays import frozen_array

Kind = Literal["probe", "rating", "generation", "self_report", "choice"]
"""Where a score comes from; kinds are never mixed."""


@dataclass(frozen=True)
class AnswerTable:
    """Answers in long form, one row per respondent, version and item; names stand apart from the rows that use them.

    Args:
        respondents: Names of those who answered, such as models, in order of first appearance.
        versions: Wordings they were asked with.
        item_ids: Items they were asked about.
        respondent: Index into `respondents` of each row.
        version: Index into `versions`.
        item: Index into `item_ids`.
        number: The answer on the instrument's scale; NaN is unscored, whatever the reason.
        mass: Total probability of the options; NaN where no log-probs were taken.
        texts: The answer in words; empty where only a number is known.
        line: Line of the file the row came from, from 1; 0 where there was no file.
        error: True where asking failed, as a column of that name says; nothing was answered then.
        overruled: The number a file gave where the answer in words says another, which is scored; NaN elsewhere.

    Raises:
        InputError: Rows of different length.
    """

    respondents: tuple[str, ...]
    versions: tuple[str, ...]
    item_ids: tuple[str, ...]
    respondent: Int[np.ndarray, " row"]
    version: Int[np.ndarray, " row"]
    item: Int[np.ndarray, " row"]
    number: Float[np.ndarray, " row"]
    mass: Float[np.ndarray, " row"]
    texts: tuple[str, ...]
    line: Int[np.ndarray, " row"]
    error: tuple[bool, ...] = ()
    overruled: Float[np.ndarray, " row"] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n = len(self.number)
        sizes = {len(one) for one in (self.respondent, self.version, self.item, self.mass, self.texts, self.line)}
        if not len(self.overruled):
            object.__setattr__(self, "overruled", np.full(n, np.nan))
        if sizes - {n} or len(self.overruled) != n or len(self.error) not in (0, n):
            raise InputError(f"columns of {sorted(sizes | {n})} rows", where="answers", expected="one length")
        for name in ("respondent", "version", "item", "line"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))
        for name in ("number", "mass", "overruled"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))

    def cube(self) -> Float[np.ndarray, "respondent version item"]:
        """Return the answers as a full table; NaN where nothing was answered or nothing could be read."""
        out = np.full((len(self.respondents), len(self.versions), len(self.item_ids)), np.nan)
        out[self.respondent, self.version, self.item] = self.number
        return out

    def masses(self) -> Float[np.ndarray, " respondent"]:
        """Return each respondent's mean option mass; NaN where none is known."""
        known = np.isfinite(self.mass)
        n = np.bincount(self.respondent[known], minlength=len(self.respondents))
        total = np.bincount(self.respondent[known], self.mass[known], minlength=len(self.respondents))
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)


@dataclass(frozen=True)
class ScaleRow:
    """One score of one respondent on one scale of an instrument.

    Args:
        respondent: Who answered: a model, or a model under a persona.
        instrument: Plug-in name.
        family: Scales scored together, against one baseline, such as "pvq" or "higher_pvq".
        scale: Canonical value name, or a name the instrument defines, such as "angle".
        kind: "rating", "self_report", "generation" or "choice".
        rule: Which scoring rule.
        estimate: The score; NaN is unscored.
        raw: The score before centring; NaN where the instrument centres nothing.
        spread: Standard deviation of the item scores (population); NaN where there are no items to vary.
        low: Lower end of the 95 % interval; NaN where none is made.
        high: Upper end.
        n: Items scored.
        n_unscored: Items of the scale without a usable answer.
        option_mass: Mean total probability of the options; NaN where no log-probs were taken.
        reliability: How repeatable the score is; NaN is not known.
        reliability_of: Which reliability, such as "ICC(3,6) over versions"; empty where none is known.
        unit: What 1.0 means.
        readout: Such as "option probabilities" or "its words" of a model that was asked; empty for a file's answers.
    """

    respondent: str
    instrument: str
    family: str
    scale: str
    kind: str
    rule: str
    estimate: float
    raw: float
    spread: float
    n: int
    n_unscored: int
    unit: str
    low: float = math.nan
    high: float = math.nan
    option_mass: float = math.nan
    reliability: float = math.nan
    reliability_of: str = ""
    readout: str = ""


@dataclass(frozen=True)
class InduceRow:
    """How near a model's slider choices come to a type of social value, after it was given that type, none or another.

    Args:
        target: The type the choices are held against.
        way: How a type was given: "word", "elaborated", "goal" or "steering".
        arm: "value" (the target itself was given), "no_value" or "wrong_value".
        given: The type that was given, or "none".
        readout: "most probable option" or "its words".
        angle: Mean angle over the versions answered, degrees; NaN where no version gives one.
        ideal: Ideal angle of the target, degrees.
        distance: Mean distance of the versions' angles from the ideal, degrees.
        normalised: 1 - distance / the largest there is.
        chance_corrected: 1 - distance / that of a random responder: 0 is chance, 1 is best.
        random: Expected distance of a random responder, degrees.
        n: Versions with an angle.
        n_unscored: Versions without one.
        option_mass: Mean total probability of the options.
        note: Why there is nothing to score; empty when there is.
        nearer: How many degrees nearer the ideal than with no value given, mean over versions; NaN for "no_value".
        nearer_low: Lower end of the 95 % t interval over versions, degrees; NaN below three, or where none differs.
        nearer_high: Upper end, degrees.
        n_paired: Versions with an angle in both.
    """

    target: str
    way: str
    arm: str
    given: str
    readout: str
    angle: float
    ideal: float
    distance: float
    normalised: float
    chance_corrected: float
    random: float
    n: int
    n_unscored: int
    option_mass: float
    note: str = ""
    nearer: float = math.nan
    nearer_low: float = math.nan
    nearer_high: float = math.nan
    n_paired: int = 0
