"""The truth card: what was planted, and what an ideal observer would measure; `card.json` beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe.errors import DataError
from vprobe.organism import _behavior as behavior
from vprobe.organism import _layout as layout
from vprobe.organism._encoder import DEFAULT, GAIN, UNHEARD
from vprobe.organism.items import Speaker
from vprobe.types import ModelInfo, Site
from vprobe.values import SCHWARTZ, VALUELEX_SUB


@dataclass(frozen=True)
class Card:
    """What is true of the organism.

    Args:
        u: Unit directions of the profile in the residual stream, one row per value of `SCHWARTZ`, orthonormal.
        v: Unit directions of what is shown to be judged, in the same order.
        site: Where the profile is complete and steering acts.
        default: Profile in force when nobody said anything, profile units.
        gain: Profile units per mean signed code, for the profile and for what is shown alike.
        rating_gain: Rating points per unit of profile times unit of what is shown, before binning.
        rating_sd: Spread of the ratings, points.
        order: Points by which answers listed from least to most alike exceed the other order.
        factors: Weights of the ten values on the six ValueLex sub-dimensions.
        svo: Degrees of the Social Value Orientation angle per unit of profile; `svo_0` is added.
        svo_0: Angle of the zero profile, degrees.
        speakers: Persona prompts with their profiles.
        fingerprint: Of the weights the card belongs to, as `ModelInfo.fingerprint`; empty when not known.
        heard: False in the world where what is shown is not read, and all items count alike.
    """

    u: Float[np.ndarray, "value d_model"]
    v: Float[np.ndarray, "value d_model"]
    site: Site
    default: Float[np.ndarray, " value"]
    gain: float
    rating_gain: float
    rating_sd: float
    order: float
    factors: Float[np.ndarray, "factor value"]
    svo: Float[np.ndarray, " value"]
    svo_0: float
    speakers: tuple[Speaker, ...] = ()
    fingerprint: str = ""
    heard: bool = True

    def holds_for(self, model: ModelInfo) -> bool:
        """Tell whether a model runs with the weights and in the number format the card is true of.

        The head that finds the nearest word for or against tells neighbours apart by 8 in 4,500. Rounded to bfloat16 or
        8 bits it takes others for the nearest and signs turn: the same folder, loaded so, is another model.
        """
        return model.dtype == "float32" and self.fingerprint in ("", model.fingerprint)

    def expected_rating(
        self, profile: Float[np.ndarray, "*sample value"], loadings: Float[np.ndarray, "sample value"]
    ) -> Float[np.ndarray, " sample"]:
        """Return the oracle's mean rating of items, both orders of the labels averaged.

        Args:
            profile: Profile in force, profile units; one for all or one per item.
            loadings: True loadings of the items.
        """
        shown = self.gain * np.asarray(loadings) if self.heard else np.full(np.shape(loadings), UNHEARD)
        mean = behavior.rating_mean(profile, shown)
        both = [behavior.rating(mean + sign * self.order / 2) @ np.arange(1.0, 7.0) for sign in (1.0, -1.0)]
        return np.asarray((both[0] + both[1]) / 2)

    def factor_shares(self, profile: Float[np.ndarray, "sample value"]) -> Float[np.ndarray, "sample factor"]:
        """Return how often a sentence is completed with a word of each ValueLex sub-dimension."""
        return behavior.factors(profile)

    def svo_angle(self, profile: Float[np.ndarray, "sample value"]) -> Float[np.ndarray, " sample"]:
        """Return the Social Value Orientation, degrees."""
        return behavior.svo_angle(profile)


def planted(seed: int, speakers: tuple[Speaker, ...] = (), fingerprint: str = "", *, heard: bool = True) -> Card:
    """Return the card of the organism built with a seed."""
    turn = layout.rotation(seed)
    factors = [[behavior.FACTORS[name].get(value, 0.0) for value in SCHWARTZ] for name in VALUELEX_SUB]
    return Card(
        u=turn[:, layout.SLOTS["u"]].T, v=turn[:, layout.SLOTS["v"]].T, site=Site(layout.SITE_LAYER, "resid_post"),
        default=np.asarray(DEFAULT), gain=GAIN, rating_gain=behavior.RATING_GAIN, rating_sd=behavior.RATING_SD,
        order=behavior.ORDER, factors=np.asarray(factors),
        svo=np.array([behavior.ANGLES.get(x, 0.0) for x in SCHWARTZ]), svo_0=behavior.ANGLE_0,
        speakers=speakers, fingerprint=fingerprint, heard=heard,
    )  # fmt: skip


def save(card: Card, path: Path) -> None:
    """Write a card as JSON."""
    plain = {
        "about": "What was planted in this model. Rows of u and v are unit directions in the order of `values`.",
        "values": list(SCHWARTZ), "factor_names": list(VALUELEX_SUB), "site": str(card.site),
        "fingerprint": card.fingerprint, "heard": card.heard, "default": card.default.tolist(), "gain": card.gain,
        "rating_gain": card.rating_gain, "rating_sd": card.rating_sd, "order": card.order,
        "factors": card.factors.tolist(), "svo": card.svo.tolist(), "svo_0": card.svo_0,
        "speakers": [{"id": s.id, "text": s.text, "profile": [round(p, 6) for p in s.profile]} for s in card.speakers],
        "u": np.round(card.u, 9).tolist(), "v": np.round(card.v, 9).tolist(),
    }  # fmt: skip
    path.write_text(json.dumps(plain, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


def read(folder: Path) -> Card:
    """Read the truth card of a model folder.

    Raises:
        DataError: The folder has none, or one that cannot be read.
    """
    path = Path(folder) / "card.json"
    try:
        it = json.loads(path.read_text(encoding="utf-8"))
        speakers = tuple(Speaker(s["id"], s["text"], tuple(s["profile"])) for s in it["speakers"])
        return Card(
            u=np.array(it["u"]), v=np.array(it["v"]), site=Site.parse(it["site"]), default=np.array(it["default"]),
            gain=it["gain"], rating_gain=it["rating_gain"], rating_sd=it["rating_sd"], order=it["order"],
            factors=np.array(it["factors"]), svo=np.array(it["svo"]), svo_0=it["svo_0"], speakers=speakers,
            fingerprint=it["fingerprint"], heard=it["heard"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"no truth card: {error}", where=str(path), expected="a model planted by vprobe") from None
