"""Erasure: the smallest change to activations after which no linear probe reads the labels any more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows
from vprobe.directions._fit import checked
from vprobe.errors import RefusedError


@dataclass(frozen=True)
class Eraser:
    """Takes out of activations what is linear in the labels it was made from (LEACE).

    Args:
        written: What an erased part looks like in activations: orthonormal in the whitened space, led back.
        read: How much of each is in a sample: product of its deviation from the midpoint with these rows.
        midpoint: Mean activation of the samples it was made from; erasing leaves it where it is.
    """

    written: Float[np.ndarray, "erased d_model"]
    read: Float[np.ndarray, "erased d_model"]
    midpoint: Float[np.ndarray, " d_model"]

    def apply(self, x: Float[np.ndarray, "*sample d_model"]) -> Float[np.ndarray, "*sample d_model"]:
        """Return r(x) = x - W^+ P W (x - midpoint)."""
        x = np.asarray(x, dtype=np.float64)
        return x - ((x - self.midpoint) @ self.read.T) @ self.written


def eraser(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups
) -> Eraser:
    """Make an eraser: W = S_xx^(-1/2), P the projector on the columns of W S_xy, all covariances within queries.

    On the samples given nothing linear remains within queries, and no other affine change that does this moves them
    less. The midpoint's choice shifts all samples alike. For the textbook form, which takes differences between
    queries away too, give all samples one group.

    Args:
        x: Activations.
        y: Labels of all that is to be erased together; samples with a NaN are left out.
        groups: The query of each sample.

    Raises:
        InputError: Samples, labels and groups differ in number, or activations are not finite.
        RefusedError: Nothing to erase: no labels vary within queries, or the activations do not.

    Source: Belrose et al. (2023), arXiv 2306.03819, theorem 4.3.
    """
    x, y = checked(x, y, groups)
    rows = np.isfinite(y).all(axis=1)
    if not rows.any():
        raise _nothing(0)
    code = stats.codes(groups)[rows]
    cx, cy = stats.centre(x[rows], code), stats.centre(y[rows], code)
    cy = cy[:, (cy != 0).any(axis=0)]
    if not cy.size or not (cx != 0).any():
        raise _nothing(int(rows.sum()))
    found = _rows.spectrum(cx)
    root = np.sqrt(found.squares)
    shared = found.axes @ (cx.T @ _rows.unit(cy.T).T) / root[:, None]  # W S_xy in principal axes, labels at length 1
    left, size, _ = np.linalg.svd(shared, full_matrices=False)
    kept = left[:, size > stats.ROUND_OFF**0.5 * size.max(initial=0.0)].T
    return Eraser((kept * root) @ found.axes, (kept / root) @ found.axes, x[rows].mean(axis=0))


def _nothing(n: int) -> RefusedError:
    return RefusedError(
        f"{n} samples with all labels, none of which vary within queries",
        where="eraser",
        expected="labels and activations that vary within queries",
        do="leave out the values without labels",
    )
