"""Two fitted directions of one value, of bare and prompted responses: what they share and what each has alone."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from vprobe import registry
from vprobe.directions import _fit
from vprobe.errors import InputError
from vprobe.types import Direction


def split(intrinsic: Direction, prompted: Direction, *, method: str = "svd-shared") -> tuple[Direction, ...]:
    """Return the shared, intrinsic-unique and prompted-unique direction of a value, as far as they exist.

    Both count alike, for a record's vector has length 1; to let the longer one count more, as the source does, give
    raw vectors to the method's `divide`. The two unique ones are two signs of one axis. Scores on these directions are
    projections in activation units: midpoint 0, spread 1.

    Args:
        intrinsic: Fitted on responses to bare queries.
        prompted: Fitted on responses under a system prompt that asks for the value.
        method: One of `methods("prompted")`.

    Returns:
        In this order; provenance says which is which. Two directions on one line have no unique part; two that point
        apart (cosine below 0) share nothing and give none.

    Raises:
        InputError: An unknown method, two that are not a value's own pair, or two of different places or models.
    """
    module = registry.load(_fit.PACKAGE, method, kind="direction method")
    if module.NEEDS != "prompted":
        raise InputError(
            f"{method} is fitted to labels of items", where="split", expected=", ".join(_fit.methods("prompted"))
        )
    _check_pair(intrinsic, prompted)
    found = module.divide(intrinsic.vector, prompted.vector, normalize="unit")
    both = "\n".join((intrinsic.fitted_on, prompted.fitted_on))
    parts: tuple[tuple[Literal["shared", "intrinsic", "prompted"], np.ndarray], ...]
    parts = (("shared", found.shared), ("intrinsic", found.intrinsic_unique), ("prompted", found.prompted_unique))
    return tuple(
        Direction(
            vector=vector.astype(np.float32),
            site=intrinsic.site,
            value=intrinsic.value,
            method=method,
            role=module.ROLE,
            effect=module.EFFECT,
            provenance=provenance,
            position=intrinsic.position,
            fitted_on=hashlib.sha256(both.encode()).hexdigest(),
            seen=intrinsic.seen | prompted.seen,
            model=intrinsic.model,
            unit=intrinsic.unit,
        )
        for provenance, vector in parts
        if np.isfinite(vector).all()
    )


def _check_pair(intrinsic: Direction, prompted: Direction) -> None:
    if (intrinsic.provenance, prompted.provenance) != ("intrinsic", "prompted"):
        raise InputError(
            f"provenance {intrinsic.provenance} and {prompted.provenance}", where="split",
            expected="intrinsic and prompted", do="fit the second with fit_all(..., provenance='prompted')",
        )  # fmt: skip
    for name in ("value", "site", "position", "model"):
        one, other = getattr(intrinsic, name), getattr(prompted, name)
        if one != other:
            raise InputError(f"{name} {one} and {other}", where="split", expected=f"the same {name}")
