"""Ridge probes of every site, value and penalty at once, with the null that many looks need.

    from vprobe import controls, splits, sweeps
    folds = splits.by_group(groups, k=5, seed=0)
    found = sweeps.sweep(sites, y, groups, folds, penalties, seed=0)  # found.nested.r: what may be told
    found = sweeps.search(sites, y, groups, folds, multiples, seed=0)  # the same within queries, as `vprobe probe` does
    null = sweeps.max_t(sites, y, groups, folds, penalties, controls.shuffle_labels(y, groups, draws=1000, seed=1))

One eigendecomposition per fold and site serves all penalties, all values and all shuffled labels, in float64: single
precision is faster and wrong at small penalties. Penalties are scikit-learn's `alpha`; held-out predictions are those
of `sklearn.linear_model.Ridge`. Data too large for memory go through `Moments`. Nothing here starts threads; sites may
be divided among processes and put together again with `join`.
"""

from __future__ import annotations

from vprobe.sweeps._max_t import MaxT, join, max_t
from vprobe.sweeps._moments import Moments, RidgeFit
from vprobe.sweeps._ridge import Nested, Sweep, ridge, sweep
from vprobe.sweeps._within import Search, search

__all__ = ["MaxT", "Moments", "Nested", "RidgeFit", "Search", "Sweep", "join", "max_t", "ridge", "search", "sweep"]
