"""`agree`: what probes read and what human labels say, against how the model rates, item by item and as profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vprobe import agreement, controls, scores, store
from vprobe.config import RunConfig
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._detail import TABLE, detail
from vprobe.pipeline._find import REFITTED, nested, of_probe
from vprobe.pipeline._lookup import as_probed, held_out_scores, save_agreement
from vprobe.pipeline._study import LABEL_UNIT, Keyed, Study, keyed, study
from vprobe.types import Agreement, ProfileRow, Response, Scores
from vprobe.values import SCHWARTZ

TOGETHER = "label rows and ratings shuffled together, probes refitted"
SHUFFLED = "ratings shuffled within queries"


def agree(folder: Path, config: RunConfig, *, tell: Tell = quiet) -> Stage:
    """Compare held-out probe scores and human labels with the model's ratings, item by item and as profiles.

    Args:
        folder: A run with ratings; with probe scores too, unless only ratings and labels are to be compared.
        config: Draws and seed; everything else is taken from the run's own `probe`.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: The run has no ratings, or its items have no labels.
    """
    answered = store.load_rows(folder, "responses", Response)
    with store.timed(folder, "agree"):
        probed = as_probed(folder, config) if store.has(folder, "scores") else None
        known = study(folder, probed) if probed else None
        rated = tuple(dict.fromkeys(one.item_id for one in answered))
        items = known.keyed if known else keyed(folder, rated, config.values)
        behavior = scores.rate(answered, items.item_ids)
        rows, profiles = _on_labels(items, behavior.expected, config)
        if known and probed:
            more, probe_keyed = _on_probes(folder, known, behavior.expected, probed, config, tell)
            rows, profiles = rows + more, profiles + probe_keyed
        save_agreement(folder, rows, keep=lambda row: of_probe(row) or row.level == "condition")
        store.save_rows(folder, "profile", profiles, ProfileRow)
        methods = probed.method if probed else ()
        more = detail(folder, items, known, answered, profiles, methods, config)
        store.save_rows(folder, TABLE, more, Agreement)
        store.save_info(folder, info("agree", config), "agree")
    facts = (
        ("items rated", len(behavior.item_ids) - behavior.n_unscored),
        ("items unscored", behavior.n_unscored),
        ("option mass", behavior.option_mass),
        ("order effect, points", behavior.order_effect),
        ("expected~greedy r", behavior.greedy_r),
        ("expected-greedy mean absolute difference, points", behavior.greedy_mad),
        ("ICC(3,k) over versions", behavior.icc_versions),
        ("answers without a label", behavior.n_unparsed),
    )
    return Stage("agree", folder, facts)


def _on_labels(items: Keyed, ratings: np.ndarray, config: RunConfig) -> tuple[list[Agreement], list[ProfileRow]]:
    """Compare human labels with the ratings, and key the model's profile by them."""
    mixed = controls.shuffle_ratings(ratings, items.groups, draws=config.draws, seed=config.seed + 1)
    null = _shuffled(items, items.y, mixed)
    rows = agreement.measure(
        items.y, ratings[:, None], items.groups, [null], comparison="rating~label",
        two_sided=True, values=items.values,
        reliability=items.benchmark.reliability, seed=config.seed,
    )  # fmt: skip
    labels = Scores(items.y, items.item_ids, items.values, "label", LABEL_UNIT)
    return list(rows), list(scores.profile(ratings, labels, items.groups, seed=config.seed))


def _on_probes(
    folder: Path, known: Study, ratings: np.ndarray, probed: RunConfig, config: RunConfig, tell: Tell
) -> tuple[list[Agreement], list[ProfileRow]]:
    """Compare probe scores with the ratings, item by item and as profiles.

    The first method is the primary one: its probes are fitted again on every shuffled copy of the labels, which is the
    sterner null, and its profile is compared. The others stand against ratings shuffled within queries.
    """
    items, methods = known.keyed, probed.method
    mixed = controls.shuffle_ratings(ratings, items.groups, draws=config.draws, seed=config.seed + 1)
    by_draw = controls.unstack(nested(known, methods[0], probed.seed).scores, len(items.values))
    # One more column through the same seeded shuffle moves the ratings exactly as the label rows were moved.
    beside = np.column_stack([items.y, ratings])
    moved = controls.shuffle_labels(beside, items.groups, draws=len(known.shuffled), seed=probed.seed)[:, :, -1]
    refit = (
        agreement.Null(REFITTED, agreement.draws(by_draw[1:], ratings[None, :, None], items.groups)),
        agreement.Null(TOGETHER, agreement.draws(by_draw[1:], moved[:, :, None], items.groups)),
    )
    rows: list[Agreement] = []
    for number, method in enumerate(methods):
        tell("agree", number, len(methods))
        x = held_out_scores(folder, items, method)
        rows += agreement.measure(
            x,
            ratings[:, None],
            items.groups,
            [_shuffled(items, x, mixed), *(refit if number == 0 else ())],
            comparison="probe~rating",
            two_sided=True,
            values=items.values,
            sites=["nested"] * len(items.values),
            method=method,
            seed=config.seed,
        )
    ten = [items.values.index(value) for value in SCHWARTZ if value in items.values]
    rows.append(
        agreement.profile(
            by_draw[0][:, ten],
            items.y[:, ten],
            ratings,
            items.groups,
            refitted=by_draw[1:][:, :, ten],
            shuffled_labels=known.shuffled[:, :, ten],
            shuffled_ratings=mixed,
            moved_ratings=moved,
            site="nested",
            method=methods[0],
            seed=config.seed,
        )
    )
    probe = Scores(by_draw[0], items.item_ids, items.values, "probe", scores.PROBE_UNIT)
    tell("agree", len(methods), len(methods))
    return rows, list(scores.profile(ratings, probe, items.groups, seed=config.seed))


def _shuffled(items: Keyed, x: np.ndarray, mixed: np.ndarray) -> agreement.Null:
    return agreement.Null(SHUFFLED, agreement.draws(x[None], mixed[:, :, None], items.groups))
