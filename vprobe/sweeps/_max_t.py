"""The largest correlation that chance gives anywhere in a sweep, from labels shuffled through the whole of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg, sparse

from vprobe import stats
from vprobe.errors import InputError, RefusedError
from vprobe.sweeps._basis import Basis, Kernel, Pattern, basis, check, kernel, known_in, patterns
from vprobe.types import Fold

MAP = 2**23
"""Numbers in the largest map from labels to predictions: 64 MiB."""

OUT = 2**20
"""Numbers in one chunk of predictions: 8 MiB; they are squared, summed and forgotten."""


@dataclass(frozen=True)
class MaxT:
    """Correlations of a sweep beside the largest ones that shuffled labels gave anywhere in it.

    Args:
        penalties: Penalties as given.
        r: Held-out within-query correlation with the real labels; NaN where none exists.
        null: Largest absolute correlation over penalties and sites, per draw; NaN where none exists.
        draws_sha256: Hash of the shuffled labels; parts of a sweep can be joined where it is the same.
    """

    penalties: Float[np.ndarray, " penalty"]
    r: Float[np.ndarray, "penalty value site"]
    null: Float[np.ndarray, "draw value"]
    draws_sha256: str

    @property
    def largest(self) -> Float[np.ndarray, " draw"]:
        """Largest absolute correlation of each draw over the whole sweep; NaN where none exists."""
        top = np.where(np.isfinite(self.null), self.null, -np.inf).max(axis=1, initial=-np.inf)
        return np.where(np.isfinite(top), top, np.nan)

    @property
    def p(self) -> Float[np.ndarray, "penalty value site"]:
        """Family-wise p of each cell, two-sided: how often chance gives more than this anywhere in the sweep.

        Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2.
        """
        cells = np.abs(self.r).reshape(-1, self.r.shape[2])
        top = np.broadcast_to(self.largest[:, None], (len(self.null), len(cells)))
        sites = [stats.max_t_p(one, top) for one in cells.T]
        return np.stack(sites, axis=-1).reshape(self.r.shape)


def max_t(
    sites: Iterable[np.ndarray],
    y: Float[np.ndarray, "sample value"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    penalties: Sequence[float] | Float[np.ndarray, " penalty"],
    draws: Float[np.ndarray, "draw sample value"] | Iterable[np.ndarray],
    *,
    scaled: bool = False,
) -> MaxT:
    """Fit a sweep again on shuffled labels and keep the largest |r| of each draw: the null for the best of many cells.

    The eigendecompositions of the real fit serve all draws, which are columns of one matrix product; of
    the predictions only within-query sums of squares and products are kept.

    Args:
        sites: Activations of each site, all of the same samples; taken one at a time, so an iterator may load them.
        y: Labels, NaN not known.
        groups: The query of each sample.
        folds: Training and held-out samples.
        penalties: Weights of the squared norm, as `alpha` in scikit-learn.
        draws: Labels shuffled together for all values, as `controls.shuffle_labels` gives, or chunks of them; for each
            chunk the sites are gone through again.
        scaled: Penalties are multiples of the mean squared length of the centred training activations.

    Raises:
        RefusedError: A fold divides a query, a sample is held out twice, or draws lack other labels than `y` does.
        InputError: Misaligned or non-finite input, no sites or draws, or chunks of draws with an iterator of sites.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2.
    """
    alphas, y = np.asarray(penalties, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check(y, groups, folds, alphas)
    if not isinstance(draws, np.ndarray) and iter(sites) is sites:
        raise InputError("an iterator of sites with chunks of draws", where="max_t", do="give the sites as a sequence")
    digest, nulls, r = hashlib.sha256(), [], None
    for chunk in [draws] if isinstance(draws, np.ndarray) else draws:
        _check_draws(chunk, y)
        digest.update(np.ascontiguousarray(chunk, dtype=np.float64).data)
        r, null = _chunk(sites, y, groups, folds, alphas, chunk, scaled)
        nulls.append(null)
    if r is None:
        raise InputError("no draws", where="max_t", do="give at least one shuffled copy of the labels")
    return MaxT(alphas, r, np.concatenate(nulls), digest.hexdigest())


def join(parts: Sequence[MaxT]) -> MaxT:
    """Put together the sites of one sweep that were gone through apart, in other processes say.

    Args:
        parts: Results for different sites, all with the same penalties and the same shuffled labels.

    Raises:
        InputError: No parts.
        RefusedError: Penalties or shuffled labels differ: then the largest over parts is of no one draw.
    """
    if not parts:
        raise InputError("no parts", where="join")
    first = parts[0]
    for part in parts:
        if part.draws_sha256 != first.draws_sha256 or not np.array_equal(part.penalties, first.penalties):
            raise RefusedError("parts with different draws or penalties", where="join", do="use the same for all sites")
    null = first.null
    for part in parts[1:]:
        null = np.fmax(null, part.null)
    return MaxT(first.penalties, np.concatenate([part.r for part in parts], axis=-1), null, first.draws_sha256)


def _check_draws(draws: np.ndarray, y: np.ndarray) -> None:
    if draws.ndim != 3 or draws.shape[1:] != y.shape or not len(draws):
        raise InputError(f"draws of shape {draws.shape}", where="max_t", expected=f"(draw, {y.shape[0]}, {y.shape[1]})")
    known = np.isfinite(y)
    if any((np.isfinite(one) != known).any() for one in draws):
        raise RefusedError(
            "shuffled labels that are not known for the same samples as the real ones",
            where="max_t",
            expected="NaN in the same places in every draw",
            do="take the samples that have all labels (of sites, labels, groups and folds alike) and shuffle those",
        )


@dataclass(frozen=True)
class _Held:
    """One fold of one site: held-out samples as contrasts within queries, and the training samples behind them."""

    train: np.ndarray
    test: np.ndarray
    contrasts: sparse.csr_array
    seen: np.ndarray
    basis: Basis


def _chunk(
    sites: Iterable[np.ndarray],
    y: np.ndarray,
    groups: stats.Groups,
    folds: Sequence[Fold],
    penalties: np.ndarray,
    draws: np.ndarray,
    scaled: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return r of the real labels per cell, and the largest |r| per draw and value."""
    real, null = [], np.full((len(draws), y.shape[1]), np.nan)
    code, columns = stats.codes(groups), [(one, *_columns(one, y, draws)) for one in patterns(y)]
    for number, x in enumerate(sites):
        site, cells = kernel(x, len(y), number), np.full((len(penalties), y.shape[1]), np.nan)
        for pattern, labels, size in columns:
            sums, df = np.zeros((3, len(penalties), labels.shape[1])), 0
            for fold in folds:
                held = _held(site, pattern, fold, code, len(y))
                if held is not None:
                    df += len(held.seen)
                    _add(sums, held, labels, size, penalties * held.basis.scale if scaled else penalties)
            found = stats.correlation_of(np.stack([np.full(sums[0].shape, float(df)), *sums], axis=-1))
            found = found.reshape(len(penalties), 1 + len(draws), -1)
            cells[:, pattern.columns] = found[:, 0]
            top = np.fmax.reduce(np.abs(found[:, 1:]), axis=0)
            null[:, pattern.columns] = np.fmax(null[:, pattern.columns], top)
        real.append(cells)
    if not real:
        raise InputError("no sites", where="max_t", do="give the activations of at least one site")
    return np.stack(real, axis=-1), null


def _columns(pattern: Pattern, y: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay the real labels and all draws side by side around their means; return the size of rounding too."""
    n, v = len(pattern.rows), len(pattern.columns)
    out = np.zeros((len(y), 1 + len(draws), v))  # rows without label stay 0 and are never read
    out[pattern.rows, 0] = y[np.ix_(pattern.rows, pattern.columns)]
    for index, draw in enumerate(draws):
        out[pattern.rows, 1 + index] = draw[np.ix_(pattern.rows, pattern.columns)]
    out = out.reshape(len(y), -1)
    size = stats.ROUND_OFF * np.maximum(out.max(axis=0), -out.min(axis=0))
    out -= out.sum(axis=0) / n
    constant = np.maximum(out[pattern.rows].max(axis=0), -out[pattern.rows].min(axis=0)) <= size
    out[:, constant] = 0.0
    return out, size


def _held(site: Kernel, pattern: Pattern, fold: Fold, code: np.ndarray, n: int) -> _Held | None:
    train, test = known_in(pattern, fold.train, n), known_in(pattern, fold.test, n)
    test = test[np.argsort(code[test], kind="stable")]
    sizes = np.bincount(code[test])
    # Orthonormal contrasts of each query: sums of squares and products are those of deviations from its mean, with
    # one row less per query, and a query with one known response drops out.
    contrasts = sparse.csr_array(sparse.block_diag([linalg.helmert(size) for size in sizes[sizes > 0]] or [[0.0]]))
    if len(train) < 2 or sizes.max(initial=0) < 2:
        return None
    one = basis(site, train, test)
    seen = contrasts @ one.seen
    seen[np.abs(seen) <= stats.ROUND_OFF * np.abs(one.seen).max()] = 0.0
    return _Held(train, test, contrasts, seen, one)


def _add(sums: np.ndarray, held: _Held, labels: np.ndarray, size: np.ndarray, penalties: np.ndarray) -> None:
    """Add one fold's sums of squares and products of predictions and labels, for every penalty and column."""
    (q, rank), n = held.seen.shape, len(held.train)
    block = max(1, MAP // (q * max(n, rank)))
    for lo in range(0, len(penalties), block):
        shrink = 1.0 / (held.basis.squares + penalties[lo : lo + block, None])
        maps = (held.seen * shrink[:, None, :]).reshape(-1, rank)
        # One product straight from labels to predictions, unless going through the basis takes fewer steps.
        through = rank * (n + len(maps)) < n * len(maps)
        maps = maps if through else maps @ held.basis.project
        width = max(64, OUT // len(maps))
        for at in range(0, labels.shape[1], width):
            part = slice(at, at + width)
            truth = held.contrasts @ labels[held.test, part]
            truth[np.abs(truth) <= size[part]] = 0.0
            known = labels[held.train, part]
            out = (maps @ (held.basis.project @ known if through else known)).reshape(len(shrink), q, -1)
            sums[0, lo : lo + block, part] += np.einsum("pqc,pqc->pc", out, out)
            sums[1, lo : lo + block, part] += np.einsum("qc,qc->c", truth, truth)
            sums[2, lo : lo + block, part] += np.einsum("pqc,qc->pc", out, truth)
