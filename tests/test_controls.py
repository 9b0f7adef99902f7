"""Null draws break the tie between labels and texts and keep everything else."""

import numpy as np
import pytest
from vprobe import controls, stats
from vprobe.errors import RefusedError

GROUPS = (*(f"q{i // 5}" for i in range(100)), "x", "x", "y", "y", "z")


def labels(seed=0, values=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((105, values)) @ rng.standard_normal((values, values))


def test_label_rows_move_together_so_correlations_between_values_stay():
    y = labels()
    for draw in controls.shuffle_labels(y, GROUPS, draws=20, seed=0):
        assert sorted(map(tuple, draw)) == sorted(map(tuple, y))
        np.testing.assert_allclose(np.corrcoef(draw.T), np.corrcoef(y.T), atol=1e-12)


def test_queries_stay_whole_and_change_places_only_with_queries_of_their_size():
    code = stats.codes(GROUPS).astype(float)[:, None]
    moved = 0
    for draw in controls.shuffle_labels(code, GROUPS, draws=20, seed=1)[:, :, 0]:
        sizes = np.bincount(stats.codes(GROUPS))
        for group in set(GROUPS):
            rows = [i for i, g in enumerate(GROUPS) if g == group]
            assert len(set(draw[rows])) == 1
            assert sizes[int(draw[rows[0]])] == len(rows)
        moved += np.mean(draw != code[:, 0]) / 20
    assert moved > 0.8
    assert draw[104] == code[104, 0]


def test_rows_within_a_query_are_shuffled_too():
    position = (np.arange(105) % 5).astype(float)[:, None]
    draws = controls.shuffle_labels(position, GROUPS, draws=400, seed=2)[:, :100, 0]
    assert np.abs(draws.mean(axis=0) - 2.0).max() < 0.35
    assert draws.std(axis=0).min() > 1.2


def test_ratings_stay_in_their_query():
    ratings = np.random.default_rng(3).standard_normal(105)
    for draw in controls.shuffle_ratings(ratings, GROUPS, draws=10, seed=3):
        assert not np.array_equal(draw, ratings)
        for group in set(GROUPS):
            rows = [i for i, g in enumerate(GROUPS) if g == group]
            assert sorted(draw[rows]) == sorted(ratings[rows])


def test_draws_repeat_with_a_seed_and_differ_without():
    y = labels()
    first, again, other = (controls.shuffle_labels(y, GROUPS, draws=4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len({draw.tobytes() for draw in first}) == 4


def test_stacking_and_unstacking_are_inverse_with_the_real_labels_first():
    y = labels()
    draws = controls.shuffle_labels(y, GROUPS, draws=4, seed=1)
    back = controls.unstack(controls.stack(y, draws), 3)
    assert np.array_equal(back[0], y) and np.array_equal(back[1:], draws)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_matched_directions_are_as_concentrated_as_the_activations_and_isotropic_ones_are_not(power):
    rng = np.random.default_rng(4)
    spectrum = np.arange(1, 129) ** -power
    x = rng.standard_normal((4000, 128)) * np.sqrt(spectrum)
    expected = np.sqrt((spectrum**2).sum()) / spectrum.sum()
    for found, target in (
        (controls.matched_directions(x, np.repeat(np.arange(800), 5), draws=300, seed=0), expected),
        (controls.random_directions(128, draws=300, seed=0), 1 / np.sqrt(128)),
    ):
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
        cosines = (found @ found.T)[np.triu_indices(300, 1)]
        assert cosines.std() == pytest.approx(target, rel=0.25)  # the formula is for ratios of means


def test_turned_signs_keep_every_labels_size_its_query_mean_and_the_ties_between_values() -> None:
    rng = np.random.default_rng(0)
    y, groups = rng.standard_normal((12, 3)), np.repeat(np.arange(4), 3)
    y[5, 1] = np.nan
    found = controls.flip_labels(y, groups, draws=40, seed=1)
    centred = stats.centre(y, groups)
    for draw in found:
        np.testing.assert_allclose(np.abs(stats.centre(draw, groups)), np.abs(centred), atol=1e-12)
        np.testing.assert_allclose(draw - stats.centre(draw, groups), y - centred, atol=1e-12)
    turned = np.array(
        [[np.sign((draw - y + centred)[g * 3, 0] / centred[g * 3, 0]) for g in range(4)] for draw in found]
    )
    assert set(np.unique(turned)) == {-1.0, 1.0}
    assert abs(turned.mean()) < 0.3 and len({tuple(row) for row in turned}) > 8
    both = stats.centre(found[:, :, 0].T, groups) * stats.centre(found[:, :, 2].T, groups)
    np.testing.assert_allclose(both, (centred[:, [0]] * centred[:, [2]]).repeat(40, axis=1), atol=1e-12)


WORDS = ["river", "stone", "lamp", "cloud", "bread", "horse", "paper", "glass"]


def said(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=6)) for _ in range(n)]


def test_control_labels_are_a_function_of_the_words_that_holds_everywhere() -> None:
    texts, groups = said(60, 1), tuple(f"q{i // 5}" for i in range(60))
    y = np.random.default_rng(2).standard_normal((60, 3))
    texts[40] = " ".join(reversed(texts[7].split()))
    y[5, 1] = np.nan
    made = controls.control_task(texts, y, groups, reliability=np.full(3, np.nan), draws=4, seed=0)
    np.testing.assert_allclose(made[:, 40], made[:, 7], atol=1e-12)
    assert np.isnan(made[:, 5, 1]).all() and np.isfinite(np.delete(made, 5, axis=1)).all()
    counts = controls.word_counts(texts)
    left = made[0][:, [0]] - counts @ np.linalg.lstsq(counts, made[0][:, [0]], rcond=None)[0]
    assert np.abs(left).max() < 1e-10, "word counts tell them entirely"
    again = controls.control_task(texts, y, groups, reliability=np.full(3, np.nan), draws=4, seed=1)
    assert not np.allclose(made[:, :, 0], again[:, :, 0])


def test_control_labels_are_as_noisy_as_the_real_ones() -> None:
    texts, groups = said(2000, 3), tuple(f"q{i // 5}" for i in range(2000))
    y = np.random.default_rng(2).standard_normal((2000, 2))
    clean, noisy = (
        controls.control_task(texts, y, groups, reliability=np.array(given), draws=1, seed=0)[0]
        for given in ((np.nan, np.nan), (0.25, 1.0))
    )
    np.testing.assert_allclose(stats.within_r(clean, noisy, groups) ** 2, [0.25, 1.0], atol=0.06)


def test_texts_without_words_have_no_control_task_and_kinds_are_columns() -> None:
    with pytest.raises(RefusedError, match="no words"):
        controls.word_counts(["", "!"])
    np.testing.assert_array_equal(controls.kinds(["b", "a", "b"]), [[0, 1], [1, 0], [0, 1]])
