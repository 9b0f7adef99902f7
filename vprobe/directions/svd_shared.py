"""What two directions of one value share, and what each has alone: said unasked, and said when told to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from vprobe import stats

ROLE = "write"
EFFECT = "marginal"
NEEDS = "prompted"


@dataclass(frozen=True)
class Division:
    """Unit vectors of the plane that two directions span, with the two cleared of each other; NaN does not exist.

    The unique ones are two signs of one axis, not two axes: more of the one is less of the other.

    Args:
        shared: First singular vector, pointing to more of both. It leans to the longer of the two; where they point
            apart it is rather their difference, see `cosine`.
        intrinsic_unique: Second singular vector, pointing from the prompted direction to the intrinsic one.
        prompted_unique: Its opposite.
        intrinsic_rest: The intrinsic direction less its part along the prompted one, at the length that is left.
        prompted_rest: The prompted direction less its part along the intrinsic one.
        ratio: First singular value over the second: 1 is nothing shared, infinite the same line twice.
        cosine: Between the two directions.
    """

    shared: Float[np.ndarray, " d_model"]
    intrinsic_unique: Float[np.ndarray, " d_model"]
    prompted_unique: Float[np.ndarray, " d_model"]
    intrinsic_rest: Float[np.ndarray, " d_model"]
    prompted_rest: Float[np.ndarray, " d_model"]
    ratio: float
    cosine: float


def divide(
    intrinsic: Float[np.ndarray, " d_model"],
    prompted: Float[np.ndarray, " d_model"],
    *,
    normalize: Literal["none", "unit"] = "none",
) -> Division:
    """Split the plane of an intrinsic and a prompted direction by the singular vectors of the two.

    Nothing is centred. A sign that the directions do not settle is NaN, and so are unique vectors of two directions on
    one line.

    Args:
        intrinsic: From responses to bare queries.
        prompted: From responses under a system prompt that asks for the value.
        normalize: "none" takes the lengths as they are, as the paper does; "unit" makes both count alike.

    Source: Han et al. (2025), arXiv 2509.24319; the choice of lengths is vprobe's.
    """
    own, told = np.asarray(intrinsic, dtype=np.float64), np.asarray(prompted, dtype=np.float64)
    lengths = np.array([np.linalg.norm(own), np.linalg.norm(told)])
    none = np.full(len(own), np.nan)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        return Division(none, none, none, none, none, float("nan"), float("nan"))
    both = np.stack([own, told]) / (lengths[:, None] if normalize == "unit" else 1.0)
    _, size, axes = np.linalg.svd(both, full_matrices=False)
    apart = len(size) > 1 and size[1] > stats.ROUND_OFF * size[0]
    unique = _towards(axes[1], both[0] - both[1]) if apart else none
    return Division(
        shared=_towards(axes[0], both.sum(axis=0)),
        intrinsic_unique=unique,
        prompted_unique=-unique,
        intrinsic_rest=own - (own @ told) / (told @ told) * told if apart else none,
        prompted_rest=told - (own @ told) / (own @ own) * own if apart else none,
        ratio=float(size[0] / size[1]) if apart else float("inf"),
        cosine=float(own @ told / lengths.prod()),
    )


def _towards(axis: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Turn an axis so that it points with `aim`; NaN when the two are at right angles."""
    along = float(axis @ aim)
    settled = abs(along) > stats.ROUND_OFF**0.5 * np.linalg.norm(aim)
    return axis * np.sign(along) if settled else np.full(len(axis), np.nan)
