"""Folds hold whole queries, about equally many, and dividing queries has to be asked for by name."""

import numpy as np
import pytest
from vprobe import splits
from vprobe.errors import RefusedError

GROUPS = tuple(f"q{i // 5}" for i in range(520))


def test_no_query_lies_on_both_sides_and_each_sample_is_tested_once():
    folds = splits.by_group(GROUPS, k=5, seed=0)
    for fold in folds:
        assert not {GROUPS[i] for i in fold.train} & {GROUPS[i] for i in fold.test}
        assert sorted([*fold.train, *fold.test]) == list(range(520))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(520))


def test_folds_are_balanced_even_when_queries_are_not():
    assert {len(fold.test) for fold in splits.by_group(GROUPS, k=4, seed=3)} == {130}
    uneven = tuple(name for i, name in enumerate("abcdefghij") for _ in range(1 + i))
    sizes = [len(fold.test) for fold in splits.by_group(uneven, k=5, seed=1)]
    assert max(sizes) - min(sizes) <= 3


def test_a_seed_fixes_the_folds_and_row_order_does_not_matter():
    def tested(groups, seed):
        return [frozenset(groups[i] for i in fold.test) for fold in splits.by_group(groups, seed=seed)]

    assert tested(GROUPS, 1) == tested(GROUPS[::-1], 1)
    assert tested(GROUPS, 1) != tested(GROUPS, 2)


def test_fewer_queries_than_folds_is_refused():
    with pytest.raises(RefusedError, match="4 groups for 5 folds"):
        splits.by_group(GROUPS[:20], k=5, seed=0)
    with pytest.raises(RefusedError, match="1 folds"):
        splits.by_group(GROUPS, k=1, seed=0)


def test_dividing_queries_is_refused_unless_asked_for():
    with pytest.raises(RefusedError, match="by_group"):
        splits.by_row(520, seed=0)
    folds = splits.by_row(520, seed=0, unsafe=True)
    assert any({GROUPS[i] for i in fold.train} & {GROUPS[i] for i in fold.test} for fold in folds)


def test_inner_folds_are_told_what_to_keep_whole_only_where_asked():
    blocks = tuple(f"b{i // 65}" for i in range(520))
    assert all(fold.whole is None for fold in splits.by_group(blocks, k=4, seed=0))
    for fold in (
        *splits.by_group(blocks, k=4, seed=0, inside=True),
        splits.aside(blocks, share=0.25, seed=0, inside=True),
    ):
        assert fold.whole is not None and len(fold.whole) == len(fold.train)
        assert {(blocks[i], n) for i, n in zip(fold.train, fold.whole, strict=True)} == {
            (b, int(b[1:])) for b in {blocks[i] for i in fold.train}
        }
