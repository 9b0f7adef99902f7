"""What steering does to the next-token distribution: equal to a naive loop, never negative, nothing at zero."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import backends
from vprobe.backends import Backend, _drift
from vprobe.errors import InputError, ModelError
from vprobe.types import Site, Steering, Tokens

from tests import tiny
from tests.fake_backend import FakeBackend
from tests.test_backend_hf import Case, case, hook_count
from tests.test_backend_hf import llama as llama
from tests.test_backend_hf import one as one

torch.set_num_threads(1)
FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2")


@pytest.fixture(scope="module", params=FAMILIES)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


@torch.inference_mode()
def by_hand(made: Case, row: Tokens, steering: Steering | None) -> list[torch.Tensor]:
    """Log-probabilities of the next token after every prefix, one forward each, float64 softmax."""
    layer, added = 0, None
    if steering is not None:
        layer, added = steering.at.layer, steering.coefficient * torch.from_numpy(steering.direction.vector.copy())
    border = row.prompt_length if steering is not None and steering.positions == "after_prompt" else 0

    def hook(_: Any, __: Any, out: Any) -> Any:
        x = (out[0] if isinstance(out, tuple) else out).clone()
        x[:, border:] += added
        return (x, *out[1:]) if isinstance(out, tuple) else x

    handle = blocks(made.bare)[layer].register_forward_hook(hook) if steering is not None else None
    try:
        return [
            torch.log_softmax(made.bare(torch.tensor([row.ids[:n]]), use_cache=False).logits[0, -1].double(), dim=-1)
            for n in range(1, len(row.ids))
        ]
    finally:
        if handle is not None:
            handle.remove()


def blocks(bare: Any) -> Any:
    inner = bare.base_model
    return next(getattr(inner, name) for name in ("layers", "h") if getattr(inner, name, None) is not None)


def wanted(made: Case, row: Tokens, steering: Steering) -> tuple[float, float, float, int]:
    base, moved = by_hand(made, row, None), by_hand(made, row, steering)
    first = row.prompt_length if row.prompt_length < len(row.ids) else 1
    counted = range(first - 1, len(row.ids) - 1)
    kl = [float((base[i].exp() * (base[i] - moved[i])).sum()) for i in counted]
    nll = [[-float(side[i][row.ids[i + 1]]) for i in counted] for side in (base, moved)]
    return float(np.mean(kl)), float(np.mean(nll[0])), float(np.mean(nll[1])), len(kl)


@pytest.mark.parametrize("positions", ["all", "after_prompt"])
def test_drift_is_the_naive_loop_over_prefixes(small: Case, positions: str) -> None:
    change = small.steering("resid_post.1", 2.0, positions)
    found = small.engine.drift(small.said, steering=[change])
    np.testing.assert_allclose(found, [wanted(small, row, change) for row in small.said], rtol=2e-4, atol=1e-5)
    assert found[:, 0].min() > 1e-4


def test_a_text_without_an_answer_counts_every_token_but_the_first(small: Case) -> None:
    change = small.steering("resid_post.1", 2.0)
    found = small.engine.drift(small.asked, steering=[change])
    np.testing.assert_allclose(found, [wanted(small, row, change) for row in small.asked], rtol=2e-4, atol=1e-5)
    assert found[:, 3].tolist() == [len(row.ids) - 1 for row in small.asked]


def test_a_coefficient_of_zero_gives_exactly_zero_and_kl_is_never_negative(small: Case) -> None:
    for site in ("resid_post.0", "resid_post.2"):
        still = small.engine.drift(small.said, steering=[small.steering(site, 0.0)])
        assert (still[:, 0] == 0).all() and (still[:, 1] == still[:, 2]).all()
        for size in (1e-4, 1e-2, 1.0, 30.0):
            assert small.engine.drift(small.said, steering=[small.steering(site, size)])[:, 0].min() > -1e-6


def test_rows_carry_changes_of_their_own_and_small_batches_give_the_same(
    small: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = small.steering("resid_post.1", 2.0)
    together = small.engine.drift(small.said, steering=[change])
    mixed = small.engine.drift(small.said, steering=[[], [change], [change]])
    assert mixed[0, 0] == 0
    np.testing.assert_allclose(mixed[1:], together[1:], rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(_drift, "_LARGEST", 1)
    alone = [small.engine.drift(small.said, steering=one) for one in ([change], [[], [change], [change]])]
    np.testing.assert_allclose(alone, [together, mixed], rtol=1e-4, atol=1e-6)


def test_one_forward_without_and_one_with_steering(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    run, count = one.engine._model.forward, []

    def forward(*args: Any, **given: Any) -> Any:
        count.append(1)
        return run(*args, **given)

    before = hook_count(one.engine._model)
    monkeypatch.setattr(one.engine._model, "forward", forward)
    one.engine.drift(one.said, steering=[one.steering("resid_post.1")])
    assert len(count) == 2 and hook_count(one.engine._model) == before


def test_the_prompt_is_not_counted_and_a_change_after_it_counts_from_the_second_token_of_the_answer(
    small: Case,
) -> None:
    first = replace(small.said[0], ids=small.said[0].ids[: small.said[0].prompt_length + 1])
    assert small.engine.drift([first], steering=[small.steering("resid_post.1", 3.0, "after_prompt")])[0, 0] == 0
    assert small.engine.drift([first], steering=[small.steering("resid_post.1", 3.0, "response")])[0, 0] > 0
    assert small.engine.drift([first], steering=[small.steering("resid_post.1", 3.0, "response")])[0, 3] == 1


def test_what_cannot_be_measured_is_said(one: Case) -> None:
    change = [one.steering("resid_post.1")]
    with pytest.raises(InputError, match="no token to predict"):
        one.engine.drift([replace(one.said[0], ids=(3,), prompt_length=1)], steering=change)
    with pytest.raises(InputError, match="no token to predict"):
        one.engine.drift([], steering=change)
    with pytest.raises(ModelError, match="a text of"):
        one.engine.drift([replace(one.said[0], ids=(3,) * 500)], steering=change)
    with pytest.raises(ModelError, match="no layer 9"):
        one.engine.drift(one.said, steering=[Steering(change[0].operation, one.direction(Site(9)), 1.0)])
    with torch.no_grad():
        one.engine._model.get_output_embeddings().weight[3] = math.inf
    with pytest.raises(ModelError, match="not finite"):
        one.engine.drift(one.said, steering=change)


@pytest.mark.parametrize("engine", ["nnsight", "transformer-lens"])
def test_other_engines_measure_the_same(engine: str, llama: Path) -> None:
    reference, other = case(llama), backends.load(str(llama), backend=engine, device="cpu")
    change = [reference.steering("resid_post.1", 2.0)]
    wanted_ = reference.engine.drift(reference.said, steering=change)
    np.testing.assert_allclose(other.drift(reference.said, steering=change), wanted_, rtol=1e-3, atol=1e-5)


def test_the_stand_in_offers_it_too() -> None:
    fake = FakeBackend()
    assert isinstance(fake, Backend)
    rows = [Tokens("a", (1, 2, 3), 3)]
    assert fake.drift(rows, steering=[]).tolist() == [[0.0, 2.0, 2.0, 2.0]]


def test_a_text_that_is_all_answer_counts_from_its_second_token(one: Case) -> None:
    row = replace(one.asked[1], prompt_length=0)
    change = one.steering("resid_post.1", 2.0)
    found = one.engine.drift([row], steering=[change])
    np.testing.assert_allclose(found, [wanted(one, replace(row, prompt_length=1), change)], rtol=2e-4, atol=1e-5)
    assert found[0, 3] == len(row.ids) - 1


def test_two_rows_keep_their_own_changes_when_they_run_one_by_one(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    change = one.steering("resid_post.1", 2.0)
    monkeypatch.setattr(_drift, "_LARGEST", 1)
    found = one.engine.drift(one.said[:2], steering=[[], [change]])
    np.testing.assert_allclose(found[1], wanted(one, one.said[1], change), rtol=2e-4, atol=1e-5)
    assert found[0, 0] == 0


def test_short_formats_are_compared_in_float32() -> None:
    rng = np.random.default_rng(0)
    row = Tokens("a", (3, 1, 4, 1, 5), 2)
    base, moved = (torch.from_numpy(rng.normal(0, 4, (5, 40))).to(torch.bfloat16) for _ in range(2))
    p, q = (torch.log_softmax(x[1:4].double(), dim=-1).numpy() for x in (base, moved))
    said = (np.arange(3), [4, 1, 5])
    kl = (np.exp(p) * (p - q)).sum(axis=-1).mean()
    hand = [kl, -p[said].mean(), -q[said].mean(), 3.0]
    assert _drift._of_text(base, moved, row) == pytest.approx(hand, rel=1e-5)
