"""`vprobe steer damage`: what doses cost on the planted model and on tiny ones; strengths in units of equal damage."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from vprobe import backends, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.benchmarks import choices
from vprobe.cli import app
from vprobe.cli import damage as shown
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline import _costs
from vprobe.types import DamageRow, Direction, DoseRow, Operation, PositionRow, Site, Steering

from tests import tiny


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(tmp_path_factory.mktemp("damage") / "run"),
        sites=("resid_post:1",), draws=2, limit=30, folds=3, values=("benevolence", "power"), method=("partial",),
        map=False, claim_draws=100, device="cpu", untrained=False, steer_method="partial", steer_value=("benevolence",),
        steer_versions=("v1",), steer_limit=2, null_draws=1, strengths=(-0.05, 0.0, 0.05, 0.4), damage_limit=24,
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    return config


def measured(config: RunConfig) -> dict[float, DamageRow]:
    return {row.strength: row for row in store.load_rows(Path(config.out), "damage", DamageRow)}


def test_a_dose_that_moves_the_values_costs_the_planted_model_nothing_and_a_huge_one_breaks_it(config, backend) -> None:
    stage = pipeline.steer_damage(Path(config.out), config, backend=backend)
    found = measured(config)
    assert sorted(found) == [-0.05, 0.05, 0.4], "no dose of nothing, all others once"
    small, large = found[0.05], found[0.4]
    assert 0 <= small.kl < 1e-3 and small.perplexity == pytest.approx(1.0, abs=1e-3)
    assert small.perplexity_ratio == pytest.approx(1.0, abs=1e-3) and small.mass_ratio == pytest.approx(1.0, abs=1e-3)
    assert large.kl > 100 * small.kl and large.perplexity_ratio > 1.1 and large.kl_low < large.kl < large.kl_high
    assert large.coefficient == pytest.approx(8 * small.coefficient) and small.unit == "residual norm"
    assert (small.n_texts, small.n_tokens, small.n_written, small.n_harmful) == (24, 48, 24, 0)
    assert math.isnan(small.accuracy) and math.isnan(small.refused_harmful) and small.n_questions == 0
    assert small.broken == "accuracy not measured"
    assert large.broken.startswith("KL ") and "perplexity" in large.broken
    assert any("knows no words" in count.reason for count in stage.counts)
    told = dict(stage.facts)
    assert told["largest dose towards benevolence inside the budget"].startswith("none of those tried, 0.05 leaving")


def test_the_costs_are_printed_and_stand_in_the_report(config, backend, capsys) -> None:
    if not store.has(Path(config.out), "damage"):
        pipeline.steer_damage(Path(config.out), config, backend=backend)
    shown.costs(Path(config.out))
    out = capsys.readouterr().out
    assert "Benevolence" in out and "n/a -> n/a" in out and "A strength of 1 is: residual norm." in out
    page = pipeline.write_report(Path(config.out)).read_text("utf-8")
    assert "What steering costs" in page and "perplexity" in page and "accuracy not measured" in page


def test_a_strength_of_one_costs_the_nats_asked_for(config, backend) -> None:
    pipeline.steer_damage(Path(config.out), replace(config, dose="kl=1.0", strengths=(1.0, 0.5)), backend=backend)
    found = measured(config)
    assert found[1.0].kl == pytest.approx(1.0, rel=0.01) and found[1.0].unit == "kl=1"
    assert found[0.5].coefficient == pytest.approx(found[1.0].coefficient / 2) and found[0.5].kl < found[1.0].kl


def test_a_sweep_in_units_of_equal_damage_uses_the_same_coefficients(config, backend) -> None:
    doses = replace(config, dose="kl=0.2", strengths=(-1.0, 0.5, 1.0))
    pipeline.steer_damage(Path(config.out), doses, backend=backend)
    costs = measured(config)
    pipeline.steer_sweep(Path(config.out), doses, backend=backend)
    rows = [row for row in store.load_rows(Path(config.out), "steering", DoseRow) if row.arm == "steered"]
    assert [row.strength for row in rows] == [-1.0, 0.5, 1.0] and {row.unit for row in rows} == {"kl=0.2"}
    for row in rows:
        assert row.coefficient == pytest.approx(costs[row.strength].coefficient, rel=1e-6)
    one = pipeline.steer_text(Path(config.out), doses, value="benevolence", strength=1.0, backend=backend)[0]
    assert one.coefficient == pytest.approx(costs[1.0].coefficient, rel=0.2), "of the vector fitted on all items"
    (other,) = pipeline.steer_text(Path(config.out), doses, value="benevolence", strength=-1.0, backend=backend)[:1]
    assert other.coefficient == pytest.approx(costs[-1.0].coefficient, rel=0.4)


def test_a_vector_and_its_opposite_cost_alike_in_units_of_equal_damage(config, backend) -> None:
    wide = replace(config, dose="kl=0.05", strengths=(-1.0, 1.0), steer_positions="response")
    pipeline.steer_damage(Path(config.out), wide, backend=backend)
    found = measured(config)
    assert [found[s].kl for s in (-1.0, 1.0)] == [pytest.approx(0.05, rel=0.01)] * 2
    assert abs(found[-1.0].coefficient / found[1.0].coefficient + 1) > 0.05, "not the same vector turned round"
    pipeline.positions(Path(config.out), wide, backend=backend)
    (row, *_) = store.load_rows(Path(config.out), "positions", PositionRow)
    assert row.unit == "kl=0.05" and row.positions == "all"
    pipeline.positions(Path(config.out), replace(wide, dose="", strengths=(0.02,)), backend=backend)
    (plain, *_) = store.load_rows(Path(config.out), "positions", PositionRow)
    assert plain.unit == "residual norm" and abs(plain.effect / row.effect - 1) > 0.5, "a dose is not passed over"


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"dose": "kl=900"}, "reaches only|levels off"), ({"dose": "half"}, "'half'"), ({"strengths": (0.0,)}, "no dose")],
)
def test_a_dose_that_cannot_be_had_is_said(config, backend, changed: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pipeline.steer_damage(Path(config.out), replace(config, **changed), backend=backend)


def test_the_planted_model_is_asked_what_it_says_whatever_it_values(config, backend) -> None:
    rows, _ = _costs.texts_of(backend, replace(config, damage_limit=0))
    assert len(rows) == 128 and len({row.ids for row in rows}) == 128
    plain = backend.drift(rows, steering=())
    assert np.exp(plain[:, 1].mean()) < 1.001, "sure of its own plain words"
    assert {backend.tokenizer.decode(row.ids[row.prompt_length :]) for row in rows} == {"I would"}


# any other model


def test_another_model_reads_our_texts_and_answers_our_questions_in_both_orders(tmp_path: Path) -> None:
    folder = tiny.untrained(tmp_path / "tiny", ["What is this? The bread lies on a table. A B C D"])
    other = backends.load(str(folder), device="cpu")
    given = RunConfig(model=str(folder), damage_limit=6, device="cpu")
    what = _costs.material(other, given)
    assert len(what.texts) == len(what.harmless) == len(what.harmful) == 6 and what.counts == ()
    assert [prompt.template for prompt in what.questions.prompts[:2]] == ["v1", "v1_reversed"]
    vector = np.zeros(other.info.d_model, np.float32)
    vector[0] = 1.0
    push = Steering(
        Operation("add", lambda x, v, c: x + c * v), Direction(vector, Site(1), "power", "test", "write"), 5.0
    )
    base, moved = _costs.done(other, what, [(), (push,)], given, lambda done, total: None)
    assert base.right.shape == moved.right.shape == (6,) and set(base.right) <= {0.0, 0.5, 1.0}
    assert (base.mass > 0).all() and (base.mass < 1).all() and (base.mass != moved.mass).any()
    assert len(base.harmless) == len(moved.harmful) == 6 and base.harmless != moved.harmless
    whole = other.drift(what.texts, steering=(push,))
    parts = _costs.drift(other, what.texts, (push,), replace(given, batch_tokens=64))
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_the_context_is_counted_and_never_cut(tmp_path: Path) -> None:
    folder = tiny.build("llama", tmp_path / "tiny")
    short = backends.load(str(folder), device="cpu")
    given = RunConfig(model=str(folder), damage_limit=40, device="cpu")
    most = dataclasses.replace(short.info, context=2000)
    short.info = most
    whole = _costs.material(short, given)
    assert whole.counts == () and len(whole.questions.prompts) == 80
    least = min(len(one.prompt.ids) for one in whole.questions.answers)
    short.info = dataclasses.replace(most, context=least)
    what = _costs.material(short, given)
    lost = {count.source: (count.n, count.of) for count in what.counts}
    assert lost["choices"] == (40, 40) and not what.questions.prompts
    texts = [row for row in whole.texts if len(row.ids) <= least]
    assert what.texts == tuple(texts) and lost.get("neutral", (0, 40)) == (40 - len(texts), 40)
    done = _costs.done(short, replace(what, harmless=(), harmful=()), [()], RunConfig(), lambda done, total: None)
    assert len(done[0].right) == 0 and len(done[0].mass) == 0


def test_right_answers_are_the_likeliest_options_of_both_orders(tmp_path: Path) -> None:
    folder = tiny.untrained(tmp_path / "tiny", ["What is this? The bread lies on a table. A B C D"])
    other = backends.load(str(folder), device="cpu")
    what = _costs.material(other, RunConfig(model=str(folder), damage_limit=12, device="cpu"))
    told = _costs.done(other, replace(what, harmless=(), harmful=()), [()], RunConfig(), lambda done, total: None)[0]
    right = {one.id: one.right for one in choices.questions()}
    by_hand: dict[str, list[bool]] = {}
    for prompt, answers in zip(what.questions.prompts, what.questions.answers, strict=True):
        best = int(np.argmax(other.choose([answers])[0]))
        by_hand.setdefault(prompt.item_id, []).append(answers.ratings[best] == right[prompt.item_id])
    assert told.right.tolist() == [np.mean(hits) for hits in by_hand.values()]
    assert 0 < told.right.mean() < 1


def test_the_command_measures_stores_and_prints_for_a_program(config: RunConfig) -> None:
    asked = ["steer", "damage", "--model", "organism", "--run", config.out, "--values", "benevolence", "--method",
             "partial", "--strengths", "0.05", "--limit", "4", "--json"]  # fmt: skip
    done = CliRunner().invoke(app, asked)
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["neutral texts"] == "4 of 8 tokens" and told["strength 1 is"] == "residual norm"
    assert list(measured(config)) == [0.05]
    assert CliRunner().invoke(app, ["steer", "damage", "--run", config.out]).exit_code == 2
