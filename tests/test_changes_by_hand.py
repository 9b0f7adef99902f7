"""Changes to a batch of made-up activations, token by token in numpy: here, and packed for a process elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import steering
from vprobe.backends import _carried
from vprobe.backends._changes import Changer, mixes
from vprobe.backends._made import carry_out
from vprobe.backends._rows import Rows
from vprobe.errors import InputError, ModelError
from vprobe.types import CONFLICTS, Direction, Gate, Operation, Probe, Site, Span, Steering, Tokens

SITE, WIDTH = Site(1), 6
LENGTHS, BORDERS, OWNERS = (7, 4, 5, 6), (4, 3, 5, 2), (2, 0, 3, 1)
SPANS = {2: (1, 3), 0: (0, 2), 3: (2, 4), 1: (3, 5)}
"""Of the texts of the call, whose order is not that of the rows of the batch."""


def way(seed: int) -> Direction:
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return Direction((vector / np.linalg.norm(vector)).astype(np.float32), SITE, "power", "test", "write")


def batch(left: bool = True) -> tuple[torch.Tensor, Rows]:
    wide = max(LENGTHS)
    at, real = np.zeros((4, wide), int), np.zeros((4, wide), bool)
    for r, n in enumerate(LENGTHS):
        where = slice(wide - n, wide) if left else slice(0, n)
        at[r, where], real[r, where] = np.arange(n), True
    x = np.random.default_rng(7).normal(size=(4, wide, WIDTH)).astype(np.float32)
    return torch.from_numpy(x), Rows(*map(torch.tensor, (at, real, list(BORDERS), list(OWNERS))))  # type: ignore[arg-type]


def texts() -> list[Tokens]:
    return [Tokens(str(i), tuple(range(7)), 4, (Span("options", *SPANS[i]),)) for i in range(4)]


def named(rule: str, at: int, border: int, span: tuple[int, int]) -> bool:
    if rule.startswith("from:"):
        k = int(rule[5:])
        return at >= (k if k >= 0 else border + k)
    return {
        "all": True, "prompt": at < border, "response": at >= border - 1, "after_prompt": at >= border,
        "last_prompt": at == border - 1, "option_span": span[0] <= at < span[1],
    }[rule]  # fmt: skip


def shift(one: Steering, token: np.ndarray) -> np.ndarray:
    v = one.direction.vector.astype(np.float64)
    if one.operation.name == "add":
        return one.coefficient * v
    assert one.operation.name == "project-out"
    return -one.coefficient * (token @ v) * v


def by_hand(x: torch.Tensor, rows: Rows, lists: Sequence[Sequence[Steering]]) -> np.ndarray:
    """Every token by itself, every policy spelled out."""
    out = x.double().numpy().copy()
    for r in range(len(out)):
        owner, border = OWNERS[r], BORDERS[r]
        mine = [one for one in lists[owner if len(lists) > 1 else 0] if one.coefficient != 0]
        for c in range(out.shape[1]):
            if not rows.real[r, c]:
                continue
            acting = [one for one in mine if named(one.positions, int(rows.positions[r, c]), border, SPANS[owner])]
            if not acting:
                continue
            token = out[r, c].copy()
            shifts = [shift(one, token) for one in acting]
            policy = acting[0].conflict
            if policy == "sequence":
                for one in acting:
                    token = token + shift(one, token)
                out[r, c] = token
            elif policy == "first":
                out[r, c] += shifts[0]
            elif policy == "strongest":
                out[r, c] += max(shifts, key=np.linalg.norm)
            else:
                out[r, c] += np.sum(shifts, axis=0) / (len(acting) if policy == "mean" else 1)
    return out


def both(x: torch.Tensor, rows: Rows, lists: Sequence[Sequence[Steering]]) -> list[np.ndarray]:
    """Make changes here, and as a process elsewhere would."""
    changer = Changer(lists, texts())
    return [changer.at(SITE, x, rows).numpy(), carry_out(x, _carried.packed(changer, SITE, rows)).numpy()]


RULES = ("all", "prompt", "response", "after_prompt", "last_prompt", "option_span", "from:0", "from:2", "from:-2")


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("policy", [one for one in CONFLICTS if one != "refuse"])
def test_every_token_gets_what_its_row_asks_for_under_every_policy(policy: str, left: bool) -> None:
    x, rows = batch(left)
    add, out = steering.load("add"), steering.load("project-out")

    def one(k: int, size: float, rule: str, operation: Operation = add) -> Steering:
        return Steering(operation, way(k), size, rule, conflict=policy)

    shared = one(9, -1.5, "all")
    for k, rule in enumerate(RULES):
        other = RULES[(k + 4) % len(RULES)]
        for lists in (
            [[one(1, 2.0, rule), one(2, 0.8, other, out), one(3, -3.0, "response")]],
            [
                [one(1, 2.0, rule), shared],
                [],
                [shared, one(4, 0.0, rule)],
                [one(5, 1.0, other, out), one(6, -0.5, rule)],
            ],
            [[shared], [one(1, 1.0, rule), one(2, 1.1, rule), one(3, 1.2, rule)], [shared], [one(7, 4.0, other)]],
        ):
            wanted = by_hand(x, rows, lists)
            for found in both(x, rows, lists):
                np.testing.assert_allclose(found, wanted, atol=1e-5)
                padding = ~rows.real.numpy()
                np.testing.assert_array_equal(found[padding], x.numpy()[padding])


def test_rows_with_policies_of_their_own_share_a_batch() -> None:
    x, rows = batch()
    add = steering.load("add")
    lists = [
        [Steering(add, way(k), 1.0 + k, rule, conflict=policy) for k, rule in enumerate(("all", "response", "prompt"))]
        for policy in ("sum", "mean", "first", "strongest")
    ]
    for found in both(x, rows, lists):
        np.testing.assert_allclose(found, by_hand(x, rows, lists), atol=1e-5)


def test_the_strongest_is_the_longest_shift_whatever_its_signs_and_largest_part() -> None:
    x, rows = batch()
    flat = np.full(WIDTH, 1 / np.sqrt(WIDTH), np.float32)
    spiky, down = np.eye(WIDTH, dtype=np.float32)[0], -flat
    add = steering.load("add")

    def of(vector: np.ndarray, size: float) -> Steering:
        return Steering(add, replace(way(1), vector=vector), size, conflict="strongest")

    for pair, longest in (
        (((spiky, 2.0), (down, 3.0)), 1),
        (((down, 3.0), (flat, 1.0)), 0),
        (((spiky, 2.5), (flat, 2.0)), 0),
    ):
        wanted = x.numpy() + rows.real.numpy()[..., None] * pair[longest][1] * pair[longest][0]
        for found in both(x, rows, [[of(*one) for one in pair]]):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("each", ["token", "prompt"])
@pytest.mark.parametrize("left", [True, False])
def test_what_is_worked_out_at_the_end_of_a_prompt_is_that_of_each_row(left: bool, each: Any) -> None:
    x, rows = batch(left)
    out, opened = steering.load("project-out"), []
    for seed in range(3, 9):
        gates = [steering.gate("probability", probe=Probe(way(k), 2.0), above=0.5, each=each) for k in (seed, seed + 1)]
        up, down = (Steering(out, way(1), 3.0, "response", gate=gate) for gate in gates)
        lists = [[up], [down], [Steering(out, way(2), 4.0, each="prompt")], []]
        wanted = x.double().numpy().copy()
        for r, owner in enumerate(OWNERS):
            real, at = rows.real[r].numpy(), rows.positions[r].numpy()
            end = x[r, int(np.flatnonzero(real & (at == BORDERS[r] - 1))[0])].double().numpy()
            for c in np.flatnonzero(real):
                asked = end if each == "prompt" else wanted[r, c]
                if owner < 2 and at[c] >= BORDERS[r] - 1:
                    opened.append(asked @ way(seed + owner).vector > 0)
                    wanted[r, c] += opened[-1] * shift(lists[owner][0], wanted[r, c])
                elif owner == 2:
                    wanted[r, c] += shift(lists[2][0], end)
        for found in both(x, rows, lists):
            np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert 0 < sum(opened) < len(opened)


def test_a_forward_without_the_end_of_a_prompt_is_not_packed_where_it_is_needed() -> None:
    _, rows = batch()
    tail = rows.columns(4, None)  # the prompts of some rows end before
    once = Changer([[Steering(steering.load("project-out"), way(1), 1.0, each="prompt")]])
    gate = steering.gate("cosine", direction=way(2), above=0.0, each="prompt")
    gated = Changer([[Steering(steering.load("add"), way(1), 1.0, gate=gate)]])
    for changer in (once, gated):
        with pytest.raises(ModelError, match="without the end of a prompt"):
            _carried.packed(changer, SITE, tail)
        assert _carried.packed(changer, SITE, rows)
    assert _carried.packed(Changer([[Steering(steering.load("add"), way(1), 1.0)]]), SITE, tail)
    assert _carried.packed(once, Site(2), rows) == []


def test_only_plain_functions_of_vprobe_travel() -> None:
    for name in ("add", "rotate", "minimal-dose", "cap"):
        apply = __import__(f"vprobe.steering.{name.replace('-', '_')}", fromlist=["apply"]).apply
        made = _carried.plain(apply, name)
        assert made is not apply and made.__module__ == apply.__module__
        assert not set(made.__globals__) & {"__name__", "__file__", "__loader__"}

    def inner(x: Any) -> Any:
        return x

    inner.__module__ = "vprobe.steering.add"
    size = 3.0

    def closing(x: Any) -> Any:
        return size * x

    closing.__module__, closing.__qualname__ = "vprobe.steering.add", "closing"
    for wrong in (inner, closing, Gate, len, test_only_plain_functions_of_vprobe_travel):
        with pytest.raises(ModelError, match="code of your own"):
            _carried.plain(wrong, "it")


def test_what_may_not_stand_side_by_side_is_refused() -> None:
    add = steering.load("add")

    def one(policy: str, size: float = 1.0, site: Site = SITE) -> Steering:
        return Steering(add, way(1), size, conflict=policy, site=site)

    for row in ([one("sum"), one("mean")], [one("sum"), one("mean"), one("first")]):
        with pytest.raises(InputError, match="side by side"):
            mixes([row])
        mixes([[each] for each in row])
    for count in (2, 3):
        with pytest.raises(InputError, match=f"{count} changes at"):
            mixes([[one("refuse")] * count])
    assert mixes([[one("refuse"), one("refuse", 0.0), one("refuse", site=Site(2))]]).keys() == {SITE, Site(2)}
    assert mixes([[one("sum", 0.0)], []]) == {} and mixes([[one("sum", -1.0)]]).keys() == {SITE}
    with pytest.raises(InputError, match="side by side"):  # the embedding is what enters block 0
        mixes([[one("sum", site=Site(0, "embed")), one("mean", site=Site(0, "resid_pre"))]])


def test_rows_are_copied_cut_and_picked() -> None:
    _, rows = batch()
    twice = rows.repeated(3, 10)
    assert twice.owner.tolist() == [o + 10 * c for c in range(3) for o in OWNERS]
    assert twice.prompt_length.tolist() == list(BORDERS) * 3
    assert torch.equal(twice.real, torch.cat([rows.real] * 3))
    assert torch.equal(twice.positions, torch.cat([rows.positions] * 3))
    some = rows.of(torch.tensor([3, 1]))
    assert some.owner.tolist() == [1, 0] and some.prompt_length.tolist() == [2, 3]
    assert torch.equal(some.real, rows.real[[3, 1]]) and torch.equal(some.positions, rows.positions[[3, 1]])
    late = rows.columns(2, 6)
    assert torch.equal(late.positions, rows.positions[:, 2:6]) and torch.equal(late.real, rows.real[:, 2:6])
    assert rows.last.sum(dim=1).tolist() == [1, 1, 1, 1]
    assert [int(rows.positions[r, c]) for r, c in torch.nonzero(rows.last)] == [b - 1 for b in BORDERS]
