"""`truth`: for a model with a truth card, what was planted and what an ideal observer would find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import organism, power, stats, store
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.errors import DataError
from vprobe.pipeline._common import model_path
from vprobe.pipeline._study import Keyed, keyed
from vprobe.types import ConditionRow, Direction, DoseRow, ModelInfo, TruthRow
from vprobe.values import SCHWARTZ

ANOTHER = "the truth card is of the float32 weights, and rounded ones misread texts; no truth is shown beside figures"
RATING, PROFILE, SLOPE, COSINE = "rating points", "profile units", "points per SD of the key", "cosine"


def truth(folder: Path, config: RunConfig) -> tuple[TruthRow, ...]:
    """Write the truth beside what a run estimated; nothing is written for a model or items without known truth.

    A model loaded otherwise than its card says, such as in bfloat16, is one without known truth.

    Args:
        folder: A run.
        config: Model, data and method.
    """
    try:
        card = organism.read_card(Path(model_path(config.model)))
        true = planted.truths(Path(config.data) if config.data else None)
    except DataError:
        return ()
    model = store.load_info(folder).model
    if model is None or not card.holds_for(model):
        return ()
    samples = tuple(sample.item_id for sample in store.load_samples(folder))
    if any(item not in true for item in samples) or config.benchmark != ("planted",):
        return ()
    items = keyed(folder, samples, config.values)
    loadings = np.array([true[item] for item in samples])
    if items.values != SCHWARTZ:
        return ()  # the oracle needs all ten values
    rows = [*_items(card, items, loadings), *_conditions(folder, card, items), *_doses(folder, card, items, true)]
    rows += _cosines(folder, card, items, loadings, config)
    store.save_rows(folder, "truth", rows, TruthRow)
    return tuple(rows)


def untrue(config: RunConfig, model: ModelInfo) -> tuple[tuple[str, str], ...]:
    """Say as a fact that a model with a truth card was loaded otherwise than the card says; nothing of other models.

    Args:
        config: Names the model.
        model: The model as it was loaded.
    """
    try:
        holds = organism.read_card(Path(model_path(config.model))).holds_for(model)
    except DataError:
        return ()
    how = f"--quantize {config.quantize}" if config.quantize else model.dtype
    return () if holds else (("PLANTED VALUES DO NOT HOLD", f"{how}: {ANOTHER}"),)


def _items(card: organism.Card, items: Keyed, loadings: np.ndarray) -> list[TruthRow]:
    """What labels, ratings and profiles would be to an observer who knows loadings and profile."""
    oracle = card.expected_rating(card.default, loadings)
    rows = [TruthRow("rating", "", item, float(r), RATING) for item, r in zip(items.item_ids, oracle, strict=True)]
    by_label = stats.within(items.y, oracle[:, None], items.groups).totals
    by_truth = stats.within(loadings, oracle[:, None], items.groups).totals
    best = stats.within_r(loadings, items.y, items.groups)
    found = (
        ("probe~label", best, "r"), ("rating~label", stats.correlation_of(by_label), "r"),
        ("probe~rating", stats.correlation_of(by_truth), "r"), ("profile rating", stats.slope_of(by_label), SLOPE),
        ("profile probe", stats.slope_of(by_truth), SLOPE),
    )  # fmt: skip
    for name, numbers, unit in found:
        rows += [TruthRow(name, value, "", float(x), unit) for value, x in zip(items.values, numbers, strict=True)]
    return rows


def _conditions(folder: Path, card: organism.Card, items: Keyed) -> list[TruthRow]:
    if not store.has(folder, "conditions"):
        return []
    asked = {row.condition for row in store.load_rows(folder, "conditions", ConditionRow)}
    return [
        TruthRow("condition", value, one.id, float(x), PROFILE)
        for one in card.speakers
        if one.id in asked
        for value, x in zip(items.values, one.profile, strict=True)
    ]


def _doses(folder: Path, card: organism.Card, items: Keyed, true: dict[str, tuple[float, ...]]) -> list[TruthRow]:
    """What adding the planted direction itself would do, on all items, rated by the oracle."""
    if not store.has(folder, "steering"):
        return []
    loadings = np.array([true[item] for item in items.item_ids])
    base, rows = card.expected_rating(card.default, loadings), []
    steered = [row for row in store.load_rows(folder, "steering", DoseRow) if row.arm == "steered"]
    for row in steered:
        if row.site != str(card.site):
            continue
        column = items.values.index(row.value)
        profile = card.default + row.coefficient * np.eye(len(card.default))[column]
        moved = card.expected_rating(profile, loadings) - base
        totals = stats.within(items.y[:, [column]], moved[:, None], items.groups).totals
        rows.append(TruthRow("dose", row.value, f"{row.strength:g}", float(stats.slope_of(totals)[0]), SLOPE))
    return rows


def _cosines(
    folder: Path, card: organism.Card, items: Keyed, loadings: np.ndarray, config: RunConfig
) -> list[TruthRow]:
    """How near each fitted direction comes to the planted one, and how near theory says a partial one comes."""
    if not store.has(folder, "directions"):
        return []
    rows, acts = [], store.load_activations(folder, config.positions[0])
    for one in store.load_directions(folder):
        if one.site == card.site:
            rows.append(_cosine(one, card, items))
    if card.site in acts.sites:
        expected = expected_cosines(acts.at(card.site).astype(np.float64), items.y, loadings, items.groups)
        rows += [
            TruthRow("cosine expected", value, "partial", float(x), COSINE)
            for value, x in zip(items.values, expected, strict=True)
        ]
    return rows


def _cosine(one: Direction, card: organism.Card, items: Keyed) -> TruthRow:
    with_all = card.u @ one.vector.astype(np.float64)
    return TruthRow("cosine", one.value, one.method, float(with_all[items.values.index(one.value)]), COSINE)


def expected_cosines(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample value"],
    loadings: Float[np.ndarray, "sample value"],
    groups: stats.Groups,
) -> Float[np.ndarray, " value"]:
    """Return the cosine theory expects of partial directions, from the truth behind a sample.

    Args:
        x: Activations.
        y: Labels.
        loadings: True loadings; labels are these times a constant, with noise.
        groups: The query of each sample.
    """
    cx, cy, ct = (stats.centre(side, groups) for side in (x, y, loadings))
    scale = (cy * ct).sum() / (ct * ct).sum()
    df = len(x) - len(set(groups))
    score = ct * scale
    encoding = np.linalg.lstsq(score, cx, rcond=None)[0]
    noise = np.diag(((cy - score) ** 2).sum(axis=0)) / df
    left = cx - cy @ np.linalg.lstsq(cy, cx, rcond=None)[0]
    return power.partial_cosine(encoding, score.T @ score / df, noise, float((left**2).sum()) / (df - y.shape[1]), df)
