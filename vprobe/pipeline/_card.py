"""The baseline card: what text alone, an untrained model and labels that mean nothing give in a probe's place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, directions, splits, stats, store, sweeps
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline import _beside as beside
from vprobe.pipeline._claims import text_lengths
from vprobe.pipeline._held import REFITTED, Held, held_of
from vprobe.pipeline._search import RIDGE, search
from vprobe.pipeline._study import Study
from vprobe.types import Agreement, BaselineRow, EmbeddingRow, Fold, Site, SitePick

CONTROLS = 10
"""Draws of the control task; its figure is their mean."""
PENALTY = 1.0
"""Of the rows that show what folds that divide queries do: fixed, so that nothing but the folds differs."""
OVER_ITEMS = "r over items"
NOT_READ = (
    ("untrained", "no untrained model was read: vprobe extract --untrained"),
    ("layer 0", "what enters block 0 was not read: vprobe extract again, or with --sites embed"),
    ("embedding", "no sentence embedding was given: vprobe extract --embedding MODEL"),
    ("length", "all texts are of one length"),
    ("source", "the same for all responses to a query, so it tells nothing within queries"),
)


def card(
    folder: Path, known: Study, probes: Sequence[Held], words: Held, picks: Sequence[SitePick], config: RunConfig
) -> list[BaselineRow]:
    """Return what each baseline gives on the labels and folds of a run, beside every method's nested probe.

    Args:
        folder: The run, with what `extract` read beside it.
        known: Labels, folds and shuffled labels.
        probes: Nested held-out scores, one per method.
        words: Held-out scores of the same labels from words and word pairs.
        picks: Sites that inner folds chose.
        config: Seed and folds.
    """
    texts = [("tf-idf", words), *((name, _from_text(known, x, config)) for name, x in _features(folder, known))]
    rows = []
    for name, held in texts:
        base = _rows(known, name, held, config)
        rows += [row for probe in probes for row in _beside(known, base, held, probe, config)]
    for probe in probes:
        for name, place in (("untrained", beside.UNTRAINED), ("layer 0", beside.EMBED)):
            held = _from_model(folder, place, known, probe.method, config)
            base = _rows(known, name, held, config)
            seed = beside.seed_of(folder) if name == "untrained" else -1
            rows += [replace(row, seed=seed) for row in _beside(known, base, held, probe, config)]
        rows += _control(known, probe, config)
    return [*rows, *_leak(known, probes, picks, config)]


def _features(folder: Path, known: Study) -> list[tuple[str, np.ndarray]]:
    """Return features of the text by name; an empty array where they do not exist."""
    items = known.keyed.benchmark.pick(known.keyed.item_ids)
    nothing = np.empty((len(items), 0))
    try:
        counts = controls.word_counts([f"{item.title} {item.text} {item.response}" for item in items])
    except RefusedError:
        counts = nothing
    lengths = text_lengths(known.keyed.benchmark, known.keyed.item_ids)
    spread = lengths.std(axis=0)
    lengths = (lengths - lengths.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    vectors = nothing
    if store.has(folder, "embedding"):
        told = {row.item_id: row.vector for row in store.load_rows(folder, "embedding", EmbeddingRow)}
        if all(item.id in told for item in items):
            vectors = np.array([told[item.id] for item in items])
    kinds = controls.kinds([item.source for item in items])
    return [("unigrams", counts), ("length", lengths), ("source", kinds), ("embedding", vectors)]


def _from_text(known: Study, x: np.ndarray, config: RunConfig) -> Held | None:
    """Score by ridge on the same folds, real and shuffled labels alike."""
    if not x.shape[1]:
        return None
    groups = known.keyed.groups
    scores = directions.held_out(x, known.columns, groups, known.folds, method=RIDGE, seed=config.seed)
    return held_of(known, scores, ("",) * len(known.keyed.values), "")


def _from_model(folder: Path, place: str, known: Study, method: str, config: RunConfig) -> Held | None:
    """Score by the probe's own method and search, on what was read beside the run."""
    acts = beside.load(folder, place, known.acts)
    if acts is None:
        return None
    k = len(known.keyed.values)
    xs = [acts.at(site) for site in acts.sites]
    found = search(
        xs, known.columns, known.keyed.groups, known.folds, method=method, seed=config.seed, block=k
    )  # fmt: skip
    return held_of(known, found.nested.scores, ("nested",) * k, method)


def _rows(known: Study, name: str, held: Held | None, config: RunConfig) -> list[BaselineRow]:
    """Set a baseline's held-out scores against the labels, values one by one."""
    items, why = known.keyed, dict(NOT_READ).get(name, "the texts have no words")
    if held is None:
        n = [int(v) for v in np.isfinite(items.y).sum(axis=0)]
        return [_nothing(name, value, n[i], why) for i, value in enumerate(items.values)]
    found = agreement.measure(
        held.scores, items.y, items.groups, [agreement.Null(REFITTED, held.null)], comparison=name,
        values=items.values, seed=config.seed,
    )  # fmt: skip
    return [_of(name, row, why) for row in found]


def _of(name: str, row: Agreement, why: str) -> BaselineRow:
    return BaselineRow(
        name, row.value, "", row.statistic, row.estimate, row.low, row.high, row.n_scored, row.n_unscored, row.n_groups,
        row.null_mean, row.null_low, row.null_high, row.p, note=why if math.isnan(row.estimate) else "",
    )  # fmt: skip


def _nothing(name: str, value: str, n: int, why: str) -> BaselineRow:
    return BaselineRow(name, value, "", agreement.STATISTIC, math.nan, math.nan, math.nan, 0, n, 0, note=why)


def _beside(
    known: Study, rows: Sequence[BaselineRow], held: Held | None, probe: Held, config: RunConfig
) -> list[BaselineRow]:
    """Say of each row by how much the probe tells more, on the items both score, drawn together by query."""
    out, items = [], known.keyed
    for column, row in enumerate(rows):
        row = replace(row, method=probe.method)
        if held is not None and math.isfinite(row.estimate):
            pair = np.stack([probe.scores[:, column], held.scores[:, column]])
            row = _with_excess(row, pair, np.stack([items.y[:, column]] * 2), items.groups, config.seed)
        out.append(row)
    return out


def _with_excess(
    row: BaselineRow, scores: np.ndarray, labels: np.ndarray, groups: stats.Groups, seed: int
) -> BaselineRow:
    """Add the first r less the mean of the others, with the interval of their difference."""
    known = (np.isfinite(scores) & np.isfinite(labels)).all(axis=0)
    parts = _sums(np.where(known, scores, np.nan).T, np.where(known, labels, np.nan).T, groups)

    def more(totals: np.ndarray) -> np.ndarray:
        r = stats.correlation_of(totals.reshape(*totals.shape[:-1], -1, 4))
        return np.asarray(r[..., 0] - r[..., 1:].mean(axis=-1))

    ends = stats.interval(parts, more, seed=seed)
    return replace(row, excess=float(more(parts.sum(axis=0))), excess_low=ends.low, excess_high=ends.high)


def _sums(scores: np.ndarray, labels: np.ndarray, groups: stats.Groups) -> Float[np.ndarray, "group part"]:
    """Return (df, xx, yy, xy) of every column per query, as one row; queries that tell nothing are left out."""
    sums = stats.within(scores, labels, groups)
    parts = np.stack([sums.df, sums.xx, sums.yy, sums.xy], axis=2)
    return parts[(sums.df > 0).any(axis=1)].reshape(-1, parts.shape[1] * 4)


def _control(known: Study, probe: Held, config: RunConfig) -> list[BaselineRow]:
    """Fit the same search to labels that are random functions of the words, and say how much better real ones do."""
    items, k = known.keyed, len(known.keyed.values)
    within = {one.value: one.estimate for one in items.benchmark.reliability if one.within}
    reliability = np.array([within.get(value, math.nan) for value in items.values])
    texts = [item.response for item in items.benchmark.pick(items.item_ids)]
    try:
        y = controls.control_task(
            texts, items.y, items.groups, reliability=reliability, draws=CONTROLS, seed=config.seed
        )  # fmt: skip
    except RefusedError:
        return [replace(row, method=probe.method) for row in _rows(known, "control task", None, config)]
    columns = np.ascontiguousarray(y.transpose(1, 0, 2)).reshape(len(items.y), -1)
    xs = [known.acts.at(site) for site in known.acts.sites]
    found = search(xs, columns, items.groups, known.folds, method=probe.method, seed=config.seed, block=k)
    scores = controls.unstack(found.nested.scores, k)
    return [_controlled(known, scores, y, i, reliability[i], probe, config.seed) for i in range(k)]


def _controlled(
    known: Study, scores: np.ndarray, y: np.ndarray, column: int, reliability: float, probe: Held, seed: int
) -> BaselineRow:
    items = known.keyed
    mine, labels = scores[:, :, column], y[:, :, column]
    parts = _sums(mine.T, labels.T, items.groups)

    def mean(totals: np.ndarray) -> np.ndarray:
        return np.asarray(stats.correlation_of(totals.reshape(*totals.shape[:-1], -1, 4)).mean(axis=-1))

    ends, scored = stats.interval(parts, mean, seed=seed), int(np.isfinite(mine).all(axis=0).sum())
    noise = f"as unreliable as the labels ({reliability:.2f})" if math.isfinite(reliability) else "without noise"
    row = BaselineRow(
        "control task", items.values[column], probe.method, agreement.STATISTIC, float(mean(parts.sum(axis=0))),
        ends.low, ends.high, scored, len(items.y) - scored, len(parts), seed=seed,
        note=f"mean of {len(y)} random functions of the words, {noise}",
    )  # fmt: skip
    pair = np.concatenate([probe.scores[None, :, column], mine])
    return _with_excess(row, pair, np.concatenate([items.y[None, :, column], labels]), items.groups, seed)


def _leak(known: Study, probes: Sequence[Held], picks: Sequence[SitePick], config: RunConfig) -> list[BaselineRow]:
    """Show what folds that divide queries would have reported, beside the same figure with whole queries held out."""
    texts = [f"{i.title} {i.text} {i.response}" for i in known.keyed.benchmark.pick(known.keyed.item_ids)]
    try:
        words = _both(known, "tf-idf", controls.text_features(texts), config)
    except RefusedError:
        words = []
    out = []
    for probe in probes:
        names = Counter(pick.site for pick in picks if pick.method == probe.method and pick.site)
        mine = list(words)
        if names:
            mine += _both(known, "probe", known.acts.at(Site.parse(names.most_common(1)[0][0])), config)
        out += [replace(row, method=probe.method) for row in mine]
    return out


def _both(known: Study, name: str, x: np.ndarray, config: RunConfig) -> list[BaselineRow]:
    """Predict by ridge, once with whole queries held out and once item by item."""
    n = len(known.keyed.item_ids)
    unsafe = splits.by_row(n, k=len(known.folds), seed=config.seed, unsafe=True)
    ways = ((known.folds, known.keyed.groups, True), (unsafe, tuple(range(n)), False))
    out = []
    for folds, apart, safe in ways:
        told = sweeps.ridge(x, known.columns, apart, folds, (PENALTY,), scaled=True)[0]
        out += _over_items(known, name, told, folds, safe, config.seed)
    return out


def _spread(null: np.ndarray) -> tuple[float, float, float]:
    """Return mean, 2.5 % and 97.5 % quantile of the null draws that exist; NaN where none was drawn."""
    real = null[np.isfinite(null)]
    if not len(real):
        return math.nan, math.nan, math.nan
    low, high = np.quantile(real, (0.025, 0.975))
    return float(real.mean()), float(low), float(high)


def _over_items(
    known: Study, name: str, told: np.ndarray, folds: Sequence[Fold], safe: bool, seed: int
) -> list[BaselineRow]:
    """Correlate predictions with labels over all items, both as deviations from their fold's mean."""
    items, k = known.keyed, len(known.keyed.values)
    fold = np.zeros(len(told), dtype=np.int64)
    for number, one in enumerate(folds):
        fold[one.test] = number
    r = stats.within_r(told, known.columns, fold)
    null = r[k:].reshape(-1, k)
    p, query = stats.permutation_p(r[:k], null), stats.codes(items.groups)
    note = "" if safe else "UNSAFE: folds divide queries; what is read is the query, not the value"
    out = []
    for i, value in enumerate(items.values):
        both = np.isfinite(told[:, i]) & np.isfinite(items.y[:, i])
        x, y = (stats.centre(side[both][:, [i]], fold[both])[:, 0] for side in (told, items.y))
        sums = [np.bincount(query[both], part) for part in (np.ones(len(x)), x * x, y * y, x * y)]
        ends = stats.interval(np.stack(sums, axis=1), stats.correlation_of, seed=seed)
        mean, low, high = _spread(null[:, i])
        row = BaselineRow(
            name, value, "", OVER_ITEMS, float(r[i]), ends.low, ends.high, int(both.sum()), int((~both).sum()),
            len(set(query[both])), mean, low, high, float(p[i]), safe=safe, note=note,
        )  # fmt: skip
        out.append(row)
    return out
