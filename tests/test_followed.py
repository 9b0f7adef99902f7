"""How ratings follow what is read over conditions, what ablation leaves of it, and what an interchange says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vprobe import effects
from vprobe.effects import Slope
from vprobe.errors import InputError
from vprobe.pipeline import _under

GROUPS = tuple(f"q{i // 5}" for i in range(60))
SPREAD = np.ones(3)


def world(seed: int, *, slopes: tuple[float, ...] = (0.5, 0.3, 0.0), noise: float = 0.3, conditions: int = 6):
    """Ratings that follow what is read of three values times the item's label, and every condition's own lift."""
    rng = np.random.default_rng(seed)
    labels = rng.standard_normal((60, 3))
    read = np.repeat(rng.standard_normal((conditions, 1, 3)), 60, axis=1)
    read = _under.centred(np.moveaxis(read, -1, 0))
    read = np.moveaxis(read / read.std(axis=(1, 2), keepdims=True), 0, -1)
    told = (read * labels) @ np.array(slopes)
    own = rng.standard_normal((conditions, 1)) + rng.standard_normal(60)
    return labels, read, told + own + noise * rng.standard_normal((conditions, 60))


def followed(ratings: np.ndarray, read: np.ndarray, labels: np.ndarray) -> effects.Followed:
    return effects.followed(_under.centred(ratings), read, labels, GROUPS, seed=0, spread=SPREAD[: labels.shape[1]])


def test_slopes_are_found_and_what_all_items_share_is_not_among_them() -> None:
    found = np.stack([followed(r[None], read, y).effect[0] for y, read, r in map(world, range(40))])
    np.testing.assert_allclose(found.mean(axis=0), [0.5, 0.3, 0.0], atol=0.03)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        labels, read, ratings = world(seed)
        one = followed(ratings[None], read, labels)
        held += list((one.low[0] <= [0.5, 0.3, 0.0]) & (one.high[0] >= [0.5, 0.3, 0.0]))
    assert 0.85 <= np.mean(held) <= 0.99


def test_shares_are_of_the_variance_that_one_value_alone_tells() -> None:
    labels, read, ratings = world(1, noise=0.0, slopes=(0.6, 0.6, 0.0))
    one = followed(ratings[None], read, labels)
    assert one.share[:2].min() > 0.2 and one.share[2] < 1e-6 and one.share.sum() < 1.3
    assert followed(read[None, :, :, 0] * labels[:, 0], read, labels).r[0, 0] == pytest.approx(1.0, abs=0.01)


def test_shares_are_of_the_first_arm_and_slopes_count_in_the_spread_given() -> None:
    labels, read, ratings = world(1)
    alone, both = followed(ratings[None], read, labels), followed(np.stack([ratings, 9 * ratings[::-1]]), read, labels)
    np.testing.assert_allclose(both.share, alone.share)
    wide = effects.followed(
        _under.centred(ratings[None]), read, labels, GROUPS, seed=0, spread=np.array([2.0, 1.0, 0.5])
    )
    np.testing.assert_allclose(wide.effect[0], alone.effect[0] * [2.0, 1.0, 0.5])
    np.testing.assert_array_equal([wide.low, wide.high], np.quantile(wide.draws, (0.025, 0.975), axis=0))


def test_a_reading_that_moves_all_items_of_a_query_alike_is_no_slope_however_they_are_labelled() -> None:
    found = []
    for seed in range(20):
        labels, read, _ = world(seed)
        read = read + 0.5 * np.random.default_rng(seed).standard_normal(read.shape)
        found.append(followed(read[None, :, :, 0], read, labels + 5.0).effect[0, 0])
    assert abs(np.mean(found)) < 0.08


def test_a_value_whose_reading_never_changes_has_no_slope_and_the_others_keep_theirs() -> None:
    labels, read, ratings = world(3)
    read[..., 1] = np.nan
    one, two = followed(ratings[None], read, labels), followed(ratings[None], read[..., [0, 2]], labels[:, [0, 2]])
    assert np.isnan(one.effect[0, 1]) and np.isnan(one.share[1]) and one.n_unscored == 0
    np.testing.assert_allclose(one.effect[0, [0, 2]], two.effect[0])
    none = followed(ratings[None], np.full_like(read, np.nan), labels)
    assert np.isnan(none.effect).all() and (none.n_items, none.n_unscored) == (0, 60)


def test_ablation_takes_away_what_was_there_and_says_so_where_nothing_was() -> None:
    labels, read, ratings = world(2)
    rest = ratings - 0.5 * read[..., 0] * labels[:, 0]
    half = ratings - 0.25 * read[..., 0] * labels[:, 0]
    gone = effects.ablation(followed(np.stack([ratings, rest, half]), read, labels))
    assert gone.there.tolist() == [True, True, False]
    assert gone.removed[0, 0] > 0.95 and abs(gone.removed[0, 1]) < 1e-9 and math.isnan(gone.removed[0, 2])
    assert gone.removed[1, 0] == pytest.approx(0.75, abs=0.06)
    assert (gone.low <= gone.removed)[:, :2].all() and (gone.removed <= gone.high)[:, :2].all()
    assert abs(gone.others[0, 0]) < 1e-9 and gone.others[0, 1] > 0.9
    assert (gone.others_low <= gone.others).all() and (gone.others <= gone.others_high).all()


def test_what_is_far_below_a_hundredth_of_a_point_is_not_followed() -> None:
    labels, read, ratings = world(3, slopes=(0.004, 0.0, 0.0), noise=1e-6)
    one = followed(np.stack([ratings, ratings]), read, labels)
    assert one.low[0, 0] > 0 and not effects.ablation(one).there.any()


def test_items_without_labels_are_counted_and_rows_that_do_not_line_up_are_refused() -> None:
    labels, read, ratings = world(4)
    labels[:7, 1] = np.nan
    one = followed(ratings[None], read, labels)
    assert (one.n_items, one.n_unscored) == (53, 7) and np.isfinite(one.effect).all()
    with pytest.raises(InputError, match="over conditions"):
        effects.followed(ratings[None], read, labels, GROUPS[:50], seed=0, spread=SPREAD[: labels.shape[1]])


def test_a_quantile_of_no_null_vectors_is_no_number() -> None:
    assert math.isnan(effects.reach_of([])) and math.isnan(effects.reach_of([math.nan]))
    assert effects.reach_of([0.0, 1.0, math.nan]) == pytest.approx(0.95)


REAL = Slope(0.4, 0.3, 0.5)


@pytest.mark.parametrize(
    ("exchanged", "whole", "ablated", "reach", "agrees", "says"),
    [
        (REAL, REAL, REAL, 0.1, True, "agree"),
        (REAL, Slope(0.6, 0.5, 0.7), Slope(0.3, 0.2, 0.4), 0.1, True, "agree"),
        (Slope(0.4, -0.1, 0.5), REAL, REAL, 0.1, False, "nothing beyond null vectors"),
        (REAL, REAL, REAL, 0.35, False, "nothing beyond null vectors"),
        (Slope(0.0, -0.1, 0.1), REAL, REAL, 0.1, False, "what matters lies elsewhere"),
        (REAL, Slope(0.0, -0.1, 0.1), REAL, 0.1, False, "dormant pathway: the coordinate moves ratings by +0.40, the"),
        (REAL, Slope(0.1, 0.05, 0.15), REAL, 0.1, False, "dormant pathway"),
        (REAL, REAL, Slope(0.0, -0.1, 0.1), 0.1, False, "taking it out"),
        (REAL, Slope(0.4, -0.1, 0.9), REAL, 0.1, False, "dormant pathway"),
        (REAL, REAL, Slope(0.4, -0.1, 0.9), 0.1, False, "taking it out"),
        (Slope(0.4, math.nan, math.nan), REAL, REAL, 0.1, False, "too few queries"),
    ],
)
def test_a_coordinate_that_does_more_than_the_activation_it_is_of_is_a_dormant_pathway(
    exchanged: Slope, whole: Slope, ablated: Slope, reach: float, agrees: bool, says: str
) -> None:
    found, verdict = effects.agreement_of(exchanged, whole, ablated, reach)
    assert found is agrees and says in verdict


def test_personas_are_chosen_that_differ_in_every_value() -> None:
    rng = np.random.default_rng(0)
    alike = np.outer(rng.choice((-1.0, 1.0), 20), [1.0, 0.02, 0.01, 0.03])
    read = np.vstack([alike, 1.2 * np.eye(4)[1:], [9.0, 0.0, 0.0, 0.0]])
    assert set(range(20, 23)) <= set(_under.apart(read, 4)), "one long row does not stand for all that differ from it"
    assert set(range(20, 23)) - set(np.linspace(0, 23, 4).round().astype(int)), "evenly spread ones miss some"
    assert len(_under.apart(read, 9)) == 9 == len(set(_under.apart(read, 9)))
    assert _under.apart(read, 3) == sorted(_under.apart(read, 3))
