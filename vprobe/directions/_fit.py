"""Fitting: estimators run in chunks of columns, then unit norm, sign, midpoint and spread are settled here."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from vprobe import registry, stats
from vprobe.errors import InputError
from vprobe.types import Activations, Benchmark, Direction, Seen

PACKAGE = "vprobe.directions"

CHUNK = 2**23
"""Numbers in the largest array of one chunk of columns: 64 MiB in float64."""


@dataclass(frozen=True)
class Probes:
    """Unit vectors with the mean and standard deviation of the fitted samples' projections; NaN where not fitted."""

    vectors: Float[np.ndarray, "column d_model"]
    midpoint: Float[np.ndarray, " column"]
    spread: Float[np.ndarray, " column"]

    def score(self, x: Float[np.ndarray, "sample d_model"]) -> Float[np.ndarray, "sample column"]:
        """Return projections less the midpoint, in spreads; NaN where nothing was fitted."""
        return (x @ self.vectors.T - self.midpoint) / np.where(self.spread > 0, self.spread, np.nan)


def methods(needs: str = "labels") -> tuple[str, ...]:
    """List the names of the methods, controls among them.

    Args:
        needs: "labels": what is fitted to labels of items; "prompted": what takes two directions of one value, of bare
            and of prompted responses, see `split`.
    """
    return tuple(name for name in registry.names(PACKAGE) if needs == _load(name).NEEDS)


def nulls() -> tuple[str, ...]:
    """List the estimators whose directions mean nothing: random ones and those of shuffled labels.

    Their sign is not settled by labels, so that what they do is 0 on average.
    """
    return tuple(name for name in methods() if _load(name).NULL)


def check(method: str) -> None:
    """Make sure a method can be fitted to labels of items.

    Args:
        method: Plug-in name.

    Raises:
        InputError: Unknown, or it needs something else; the message says what.
    """
    module_of(method)


def fit(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    method: str,
    seed: int,
    block: int | None = None,
) -> Float[np.ndarray, "column d_model"]:
    """Return one unit vector per label column, pointing to more of it.

    More means: within queries, projections and labels of the fitted samples do not go against each other.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        method: Plug-in name, one of `methods()`.
        seed: Seed for estimators that draw folds.
        block: Columns that belong together, the values of one draw; all of them when None.

    Returns:
        Vectors; NaN for a column without usable labels.

    Raises:
        InputError: Unknown method, samples and labels differ in number, or activations are not finite.
    """
    module = module_of(method)
    x, y = checked(x, y, groups)
    width = block_of(y, block) if module.JOINT else 1
    parts = [probes(x, y[:, part], groups, module, seed, width).vectors for part in chunks(x, y, width)]
    return np.concatenate(parts) if parts else np.empty((0, x.shape[1]))


def fit_all(
    acts: Activations,
    benchmark: Benchmark,
    item_ids: Sequence[str],
    *,
    method: str,
    values: Sequence[str],
    seed: int,
    provenance: Literal["intrinsic", "prompted"] = "intrinsic",
) -> tuple[Direction, ...]:
    """Fit one direction per site and value on all samples given.

    Args:
        acts: Activations of the samples.
        benchmark: Where the labels are.
        item_ids: The item of each sample.
        method: Plug-in name, one of `methods()`.
        values: Canonical value names.
        seed: Seed for estimators that draw folds.
        provenance: "prompted" when the responses were given under a system prompt that asks for the value.

    Returns:
        Site by site, value by value. Where labels or activations do not vary there is none: compare the number.

    Raises:
        InputError: Unknown method or item, or a wrong number of item ids.
    """
    module = module_of(method)
    y = benchmark.loadings(tuple(item_ids), tuple(values))
    groups = benchmark.groups(tuple(item_ids))
    check_rows(len(acts.x), y, groups)
    fitted_on = hashlib.sha256("\n".join(acts.sample_ids).encode()).hexdigest()
    found = []
    for index, site in enumerate(acts.sites):
        x = np.asarray(acts.x[:, index], dtype=np.float64)
        one = probes(x, y, groups, module, seed, len(values))
        seen = Seen.of(acts.sample_ids, groups, acts.x[:, index])
        vectors = one.vectors.astype(np.float32)
        along = x @ vectors.astype(np.float64).T  # as it is kept: rounding is not small beside large activations
        for column, value in enumerate(values):
            if not np.isfinite(vectors[column]).all():
                continue
            found.append(
                Direction(
                    vector=vectors[column],
                    site=site,
                    value=value,
                    method=method,
                    role=module.ROLE,
                    effect=module.EFFECT,
                    provenance=provenance,
                    midpoint=float(along[:, column].mean()),
                    spread=float(along[:, column].std()),
                    position=acts.position,
                    fitted_on=fitted_on,
                    seen=seen,
                    model=acts.model,
                )
            )
    return tuple(found)


def probes(
    x: np.ndarray,
    y: np.ndarray,
    groups: stats.Groups,
    module: ModuleType,
    seed: int,
    block: int = 1,
    whole: np.ndarray | None = None,
) -> Probes:
    """Run one estimator and settle norm, sign, midpoint and spread; a joint one sees `block` columns together.

    One that chooses a penalty on folds of its own keeps `whole` together in them, queries when None.
    """
    given: dict[str, Any] = {"block": block} if module.JOINT else {}
    if whole is not None and "whole" in inspect.signature(module.estimate).parameters:
        given["whole"] = whole
    raw = module.estimate(x, y, groups, seed=seed, **given)
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        vectors = np.where(norm > 0, raw / norm, np.nan)
    projected = x @ vectors.T
    labels = stats.centre(y, groups)
    together = (projected * np.where(np.isfinite(labels), labels, 0.0)).sum(axis=0)
    # A joint estimator's sign is its own: with other values held constant more may go against the label alone.
    sign = np.where((together < 0) & (not module.JOINT), -1.0, 1.0)
    flat = ~(stats.centre(projected, groups) != 0).any(axis=0)  # rounding of a projection that never varies
    vectors[flat], projected[:, flat] = np.nan, np.nan
    return Probes(vectors * sign[:, None], projected.mean(axis=0) * sign, projected.std(axis=0))


def module_of(method: str) -> ModuleType:
    """Import an estimator by name.

    Raises:
        InputError: Unknown method, or one that is not fitted to labels of items; the message says what it needs.
    """
    module = _load(method)
    if module.NEEDS != "labels":
        raise InputError(
            f"{method} is not fitted to labels of items",
            where="direction method",
            expected="one of " + ", ".join(methods()),
            do="it takes two directions of one value, of bare and of prompted responses: directions.split",
        )
    return module


def _load(method: str) -> ModuleType:
    return registry.load(PACKAGE, method, kind="direction method")


def chunks(x: np.ndarray, y: np.ndarray, block: int = 1) -> Iterator[slice]:
    """Divide label columns, whole blocks, so that no array of (columns, samples or d_model) exceeds `CHUNK` numbers."""
    width = max(1, CHUNK // max(*x.shape, 1) // block) * block
    return (slice(start, start + width) for start in range(0, y.shape[1], width))


def block_of(y: np.ndarray, block: int | None) -> int:
    """Return how many columns belong together.

    Raises:
        InputError: The columns are not whole blocks.
    """
    width = y.shape[1] if block is None else block
    if y.shape[1] and (width < 1 or y.shape[1] % width):
        raise InputError(
            f"{y.shape[1]} label columns in blocks of {width}", where="directions", expected="whole blocks"
        )
    return max(width, 1)


def checked(x: np.ndarray, y: np.ndarray, groups: stats.Groups) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and labels in float64.

    Raises:
        InputError: Samples, labels and groups do not line up, or activations are not finite.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2:
        raise InputError(
            f"activations {x.shape}, labels {y.shape}",
            where="directions",
            expected="(samples, width) and (samples, columns)",
        )
    check_rows(len(x), y, groups)
    check_finite(x)
    return x, y


def check_rows(n: int, y: np.ndarray, groups: stats.Groups) -> None:
    """Refuse samples, labels and groups that do not line up."""
    if len(y) != n or len(groups) != n:
        raise InputError(
            f"{n} samples, {len(y)} label rows, {len(groups)} groups",
            where="directions",
            expected="one row and one group per sample",
        )


def check_finite(x: np.ndarray) -> None:
    """Refuse activations with NaN or infinite numbers: unlike labels they cannot be unknown."""
    n = int(np.size(x) - np.isfinite(x).sum())
    if n:
        raise InputError(f"{n} activations are NaN or infinite", where="directions", expected="finite numbers")
