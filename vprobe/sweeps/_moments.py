"""Ridge regression and covariance of data too large for memory, from sums that are added up chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg

from vprobe.errors import InputError, RefusedError


@dataclass(frozen=True)
class RidgeFit:
    """A linear probe per value: predictions are x @ weights.T + intercept, in the unit of the labels."""

    weights: Float[np.ndarray, "value d_model"]
    intercept: Float[np.ndarray, " value"]

    def predict(self, x: Float[np.ndarray, "sample d_model"]) -> Float[np.ndarray, "sample value"]:
        """Predict the labels of samples.

        Args:
            x: Activations.
        """
        return np.asarray(x, dtype=np.float64) @ self.weights.T + self.intercept


@dataclass(frozen=True)
class Moments:
    """Means and sums of products of all samples seen so far: enough for covariance and ridge, whatever their number.

        seen = Moments.empty(d_model, n_values)
        for x, y in chunks:
            seen = seen.add(x, y)
        fit = seen.ridge(10.0)

    Sums are of deviations from the mean, in float64, so that large means cost no precision.

    Args:
        n: Samples seen.
        x: Mean activations.
        y: Mean labels.
        xx: Sums of products of activations' deviations from their means.
        xy: Sums of products of activations' and labels' deviations.

    Source: Chan, Golub & LeVeque (1983), Am. Stat. 37, 242-247 (eq. 1.5, pairwise merging).
    """

    n: int
    x: Float[np.ndarray, " d_model"]
    y: Float[np.ndarray, " value"]
    xx: Float[np.ndarray, "d_model d_model"]
    xy: Float[np.ndarray, "d_model value"]

    @classmethod
    def empty(cls, d_model: int, n_values: int) -> Moments:
        """Start with no samples.

        Args:
            d_model: Width of the activations.
            n_values: Label columns.
        """
        zeros = np.zeros
        return cls(0, zeros(d_model), zeros(n_values), zeros((d_model, d_model)), zeros((d_model, n_values)))

    def add(self, x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample value"]) -> Moments:
        """Return the moments with a chunk of samples added.

        Args:
            x: Activations.
            y: Labels.

        Raises:
            InputError: Shapes do not fit, or a number is not finite.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if len(x) != len(y) or x.shape[1] != len(self.x) or y.shape[1] != len(self.y):
            raise InputError(
                f"a chunk of shapes {x.shape} and {y.shape}",
                where="moments",
                expected=f"(n, {len(self.x)}) and (n, {len(self.y)})",
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InputError(
                "numbers that are not finite", where="moments", do="leave samples without a label out, and count them"
            )
        if not len(x):
            return self
        mx, my = x.mean(axis=0), y.mean(axis=0)
        return self._with(len(x), mx, my, x - mx, y - my)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of samples, gathered in two processes say.

        Args:
            other: Moments of other samples, with the same widths.

        Raises:
            InputError: Widths differ.
        """
        if other.xy.shape != self.xy.shape:
            raise InputError(f"moments of shape {other.xy.shape}", where="moments", expected=f"{self.xy.shape}")
        if not other.n:
            return self
        nothing = np.empty((0, len(self.x))), np.empty((0, len(self.y)))
        both = self._with(other.n, other.x, other.y, *nothing)
        both.xx[...] += other.xx
        both.xy[...] += other.xy
        return both

    def _with(self, n: int, mx: np.ndarray, my: np.ndarray, cx: np.ndarray, cy: np.ndarray) -> Moments:
        total = self.n + n
        # The distance between the two means enters as one more row: no second d_model x d_model array.
        pull = np.sqrt(self.n * n / total)
        cx = np.concatenate([cx, pull * (mx - self.x)[None]])
        cy = np.concatenate([cy, pull * (my - self.y)[None]])
        xx, xy = cx.T @ cx, cx.T @ cy
        xx += self.xx
        xy += self.xy
        share = n / total
        return Moments(total, self.x + share * (mx - self.x), self.y + share * (my - self.y), xx, xy)

    def covariance(self) -> Float[np.ndarray, "d_model d_model"]:
        """Return the covariance of the activations (divisor n - 1).

        Raises:
            RefusedError: Fewer than two samples.
        """
        self._enough()
        return self.xx / (self.n - 1)

    def ridge(self, penalty: float) -> RidgeFit:
        """Fit a linear probe of every value, as scikit-learn's `Ridge` does on all samples at once.

        Args:
            penalty: Weight of the squared norm, as `alpha` in scikit-learn.

        Raises:
            InputError: The penalty is not above 0.
            RefusedError: Fewer than two samples.

        Source: Hoerl & Kennard (1970), Technometrics 12.
        """
        self._enough()
        if not (np.isfinite(penalty) and penalty > 0):
            raise InputError(f"penalty {penalty}", where="moments", expected="a finite number above 0")
        inner = self.xx.copy()
        inner.flat[:: len(inner) + 1] += penalty
        weights = linalg.solve(inner, self.xy, assume_a="pos", overwrite_a=True, check_finite=False).T
        return RidgeFit(weights, self.y - weights @ self.x)

    def _enough(self) -> None:
        if self.n < 2:
            raise RefusedError(f"{self.n} samples", where="moments", expected="at least 2", do="add more samples")
