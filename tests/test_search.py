"""Site and penalty are chosen together on inner folds, and shuffled labels go through the same choice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vprobe import agreement, controls, directions, splits, stats, sweeps
from vprobe.directions.ridge import GRID
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline import _search as search
from vprobe.sweeps import _within
from vprobe.types import Site


def groups_of(queries: int, each: int = 5) -> tuple[str, ...]:
    return tuple(f"q{i // each}" for i in range(queries * each))


def planted(seed: int, *, queries: int = 24, sites: int = 3, d: int = 12, knows: int = 1, signal: float = 1.5):
    """Activations of which one site alone knows the labels, and it knows the query too."""
    rng = np.random.default_rng(seed)
    groups = groups_of(queries)
    y = rng.standard_normal((len(groups), 2))
    x = rng.standard_normal((sites, len(groups), d))
    x += np.repeat(rng.standard_normal((sites, queries, d)), 5, axis=1)
    x[knows, :, :2] += signal * y
    return list(x), y, groups, splits.by_group(groups, k=4, seed=0)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("d", [12, 200])
def test_one_site_by_itself_gives_what_the_ridge_method_gives(d: int, blocks: bool) -> None:
    xs, y, groups, folds = planted(1, sites=1, knows=0, d=d)
    if blocks:
        folds = splits.by_group(tuple(int(group[1:]) // 3 for group in groups), k=4, seed=0, inside=True)
    y = np.column_stack([y, y[:, 1] ** 2])
    told = sweeps.search(xs, y, groups, folds, GRID, seed=3)
    wanted = directions.held_out(xs[0], y, groups, folds, method="ridge", seed=3)
    np.testing.assert_allclose(told.scores, wanted, atol=1e-8)
    assert (told.site == 0).all() and told.r.shape == (len(GRID), 3, 1)


def test_the_site_that_knows_is_chosen_and_the_figure_is_that_of_the_choice() -> None:
    xs, y, groups, folds = planted(2)
    seen: dict[int, np.ndarray] = {}
    told = sweeps.search(xs, y, groups, folds, GRID, seed=0, each=seen.__setitem__)
    assert (told.site == 1).all() and set(seen) == {0, 1, 2}
    np.testing.assert_array_equal(told.scores, seen[1])
    assert stats.within_r(told.scores, y, groups).min() > 0.6
    assert np.abs(stats.within_r(seen[0], y, groups)).max() < 0.35


def in_blocks(seed: int, *, blocks: int = 8):
    """Of two sites one knows the labels anew in each block of queries, the other a little, and everywhere alike."""
    rng = np.random.default_rng(seed)
    groups = groups_of(blocks * 6)
    block = tuple(f"b{i // 30}" for i in range(len(groups)))
    y = rng.standard_normal((len(groups), 2))
    rows, at = np.arange(len(groups)), np.arange(len(groups)) // 30
    own = np.zeros((len(groups), 2, blocks))
    own[rows, :, at] = 3 * rng.choice((-1.0, 1.0), (blocks, 2))[at] * y
    first = own.reshape(len(groups), -1) + rng.standard_normal((len(groups), 2 * blocks))
    second = rng.standard_normal((len(groups), 2 * blocks))
    second[:, :2] += 0.6 * y
    return [first, second], y, groups, block


@pytest.mark.parametrize("method", ["ridge", "covariance"])
def test_inner_folds_hold_out_what_the_outer_ones_do(method: str) -> None:
    """Positive control: inner folds of whole queries choose the site that knows each block by itself."""
    xs, y, groups, block = in_blocks(0)
    picked, r = {}, {}
    for inside in (False, True):
        folds = splits.by_group(block, k=4, seed=0, inside=inside)
        found = search.search(xs, y, groups, folds, method=method, seed=0, block=2)
        picked[inside], r[inside] = found.nested.sites, stats.within_r(found.nested.scores, y, groups)
    assert (picked[False] == 0).all() and (picked[True] == 1).all()
    assert r[True].min() > 0.3 > r[False].mean() + 0.1


@pytest.mark.parametrize("method", ["ridge", "covariance"])
def test_few_blocks_make_few_inner_folds_and_one_makes_none(method: str) -> None:
    xs, y, groups, block = in_blocks(1)
    for kept, fails in ((3, False), (2, True)):
        rows = np.flatnonzero([name < f"b{kept}" for name in block])
        some, names = [x[rows] for x in xs], tuple(groups[i] for i in rows)
        folds = splits.by_group(tuple(block[i] for i in rows), k=kept, seed=0, inside=True)
        if fails:
            with pytest.raises(RefusedError, match="1 groups"):
                search.search(some, y[rows], names, folds, method=method, seed=0, block=2)
        else:
            assert search.search(some, y[rows], names, folds, method=method, seed=0, block=2).nested.sites.min() >= 0


@pytest.mark.parametrize("method", ["ridge", "logistic", "haufe"])
def test_a_penalty_is_chosen_on_the_folds_a_probe_is_given(method: str) -> None:
    xs, y, groups, block = in_blocks(2)
    plain, kept = (splits.by_group(block, k=4, seed=0, inside=inside) for inside in (False, True))
    same = tuple(type(fold)(fold.train, fold.test, stats.codes(groups)[fold.train]) for fold in plain)
    held = [directions.held_out(xs[0], y, groups, folds, method=method, seed=0) for folds in (plain, same, kept)]
    np.testing.assert_array_equal(held[0], held[1])
    assert np.abs(held[2] - held[0]).max() > 1e-3


def test_columns_in_chunks_change_nothing(monkeypatch) -> None:
    xs, y, groups, folds = planted(3)
    columns = controls.stack(y, controls.shuffle_labels(y, groups, draws=4, seed=0))
    whole = sweeps.search(xs, columns, groups, folds, GRID, seed=0)
    monkeypatch.setattr(_within, "NUMBERS", 3 * len(GRID) * len(y))
    parts = sweeps.search(xs, columns, groups, folds, GRID, seed=0)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-10)
    np.testing.assert_array_equal(parts.site, whole.site)


def test_a_label_not_known_is_left_out_of_the_fit_and_scored_all_the_same() -> None:
    xs, y, groups, folds = planted(4)
    y[::7, 0] = np.nan
    told = sweeps.search(xs, y, groups, folds, GRID, seed=0)
    assert np.isfinite(told.scores).all() and stats.within_r(told.scores, y, groups).min() > 0.6
    y[:, 1] = np.nan
    told = sweeps.search(xs, y, groups, folds, GRID, seed=0)
    assert np.isnan(told.scores[:, 1]).all() and (told.site[:, 1] == -1).all() and (told.site[:, 0] == 1).all()


def test_nothing_to_search_and_divided_queries_are_refused() -> None:
    xs, y, groups, folds = planted(5)
    with pytest.raises(InputError, match="no sites"):
        sweeps.search([], y, groups, folds, GRID, seed=0)
    with pytest.raises(RefusedError, match="divides a query"):
        sweeps.search(xs, y, groups, splits.by_row(len(y), k=4, seed=0, unsafe=True), GRID, seed=0)


@pytest.mark.parametrize("method", ["ridge", "covariance"])
def test_the_grid_says_how_often_a_cell_was_chosen_and_what_chance_finds_anywhere(method: str) -> None:
    xs, y, groups, folds = planted(6)
    columns = controls.stack(y, controls.shuffle_labels(y, groups, draws=39, seed=0))
    sites, names = [Site(i) for i in range(3)], ("power", "security")
    found = search.search(
        xs, columns, groups, folds, method=method, seed=0, block=2, each=lambda number, scores: None
    )  # fmt: skip
    rows = search.cells(found, sites, names, y, method)
    assert len(rows) == len(sites) * len(names) * len(found.grid)
    for name in names:
        mine = [row for row in rows if row.value == name]
        assert sum(row.picked for row in mine) == len(folds)
        assert {row.site for row in mine if row.picked} == {"resid_post.1"}
        assert max(mine, key=lambda row: row.r).p == pytest.approx(1 / 40)
        assert min(row.p for row in mine if row.site == "resid_post.0") > 0.05
    flat = np.abs(found.r.reshape(len(found.grid), -1, 2, 3)).transpose(1, 2, 3, 0).reshape(40, -1)  # draw, cell
    own = stats.permutation_p(flat[0], flat[1:])
    p = np.array([row.p for row in rows])
    assert (p >= own - 1e-12).all() and (p > own + 0.2).any(), "the best of many is judged as the best of many"
    chosen = search.picks(found, sites, names, method)
    assert len(chosen) == 2 * len(folds) and {pick.site for pick in chosen} == {"resid_post.1"}
    assert all(math.isnan(pick.penalty) is (method != "ridge") for pick in chosen)


@pytest.mark.parametrize("method", ["ridge", "covariance"])
def test_joint_shuffles_through_the_whole_search_reject_a_true_null_no_more_than_they_should(method: str) -> None:
    """Positive control: the best cell looked at afterwards is too high. Negative: the nested figure is not."""
    ps, best, nested = [], [], []
    for seed in range(40):
        xs, y, groups, folds = planted(100 + seed, queries=12, d=6, signal=0.0)
        shuffled = controls.shuffle_labels(y, groups, draws=19, seed=seed)
        found = search.search(
            xs, controls.stack(y, shuffled), groups, folds, method=method, seed=0, block=2,
            each=lambda number, scores: None,
        )  # fmt: skip
        by_draw = controls.unstack(found.nested.scores, 2)
        r, null = stats.within_r(by_draw[0], y, groups), agreement.draws(by_draw[1:], shuffled, groups)
        ps += list(stats.permutation_p(r, null))
        nested += list(r)
        best.append(np.nanmax(found.r[:, :2]))
    share = np.mean(np.array(ps) <= 0.1)
    assert 0.02 <= share <= 0.2, share
    assert abs(np.mean(nested)) < 0.06 and np.mean(best) > 0.15
