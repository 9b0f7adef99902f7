"""Null arms, prompt baseline and audits on the planted model: what is true of it is found, what is not is caught."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.benchmarks import Ask, planted
from vprobe.cli import audits as command
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline import _audit, _audited, _check, _extract, _nulls, _prompted, _study, _untried
from vprobe.pipeline._common import load_benchmarks
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._trial import rated
from vprobe.types import AuditRow, ChangeRow, DoseRow, NullRow, PromptRow
from vprobe.values import SCHWARTZ

from tests.test_check import change

VALUE = "benevolence"


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    """A run on items whose labels are free of noise, with a sweep of all null arms and audits."""
    place = tmp_path_factory.mktemp("audit")
    drawn = organism.draw(36, seed=6, reliability=1.0)
    planted.write(place / "planted.json", drawn.records, drawn.reliability)
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), data=str(place), out=str(place / "run"),
        sites=("resid_post:1",), draws=3, method=("partial",), map=False, device="cpu", folds=3, steer_method="partial",
        steer_versions=("v1",), steer_positions="response", strengths=(-0.03, 0.0, 0.03), steer_limit=0,
        steer_value=(VALUE,), null_arms=("all",), null_draws=2, claim_draws=50, untrained=False,
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    pipeline.steer_sweep(Path(config.out), config, backend=backend)
    few = tuple(ask for ask in organism.asks() if ask.value in ("", VALUE, "power"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_audit, "asks_of", lambda _: few)
        pipeline.steer_audit(Path(config.out), both_orders(config), backend=backend)
    return config


def both_orders(config: RunConfig) -> RunConfig:
    return replace(config, steer_versions=("v1", "v1_reversed"))


def swept(config: RunConfig) -> tuple[DoseRow, ...]:
    return store.load_rows(Path(config.out), "steering", DoseRow)


def tried(config: RunConfig, backend: Backend) -> _nulls.Trial:
    folder = Path(config.out)
    known = _study.study(folder, as_probed(folder, config))
    return _nulls.prepare(folder, config, known, VALUE, backend, load_benchmarks(config))


@pytest.fixture(scope="module")
def trial(config: RunConfig, backend: Backend) -> _nulls.Trial:
    """The value's vector and the items it is tried on, without nulls."""
    return tried(replace(config, null_arms=()), backend)


# --- null arms ------------------------------------------------------------------------------------------------------


def test_every_arm_has_the_vectors_length_site_and_tokens(config: RunConfig) -> None:
    rows = swept(config)
    sizes = {abs(row.coefficient) for row in rows if row.strength and row.arm != "prompted"}
    assert max(sizes) == pytest.approx(min(sizes))
    arms = {row.arm: {(r.site, r.positions) for r in rows if r.arm == row.arm} for row in rows}
    assert {arms[arm] == {("resid_post.1", "response")} for arm in arms if arm != "prompted"} == {True}
    draws = {arm: len({row.draw for row in rows if row.arm == arm}) for arm in arms}
    assert draws == {"baseline": 1, "steered": 1, "shuffled": 2, "random": 2, "isotropic": 2, "orthogonal": 2,
                     "other": 9, "acquiescence": 1, "prompted": 1}  # fmt: skip
    assert {row.of for row in rows if row.arm == "other"} == set(SCHWARTZ) - {VALUE}


def test_the_planted_value_goes_beyond_every_arm_and_permuted_labels_do_not(config: RunConfig) -> None:
    found = {row.arm: row for row in store.load_rows(Path(config.out), "nulls", NullRow)}
    assert {arm for arm, row in found.items() if row.beyond} == set(found) - {"steered", "prompted"}
    null = found["shuffled"]
    assert abs(null.mean) < null.largest < found["steered"].mean
    assert found["steered"].anti == 0 and null.anti > 0.1


def test_the_acquiescence_vector_moves_all_items_alike_and_no_label(config: RunConfig) -> None:
    rows = {row.strength: row for row in swept(config) if row.arm == "acquiescence"}
    assert rows[0.03].mean_shift > 0.5 > -0.5 > rows[-0.03].mean_shift
    assert all(abs(row.effect) < 0.06 for row in rows.values())
    steered = next(row for row in swept(config) if row.arm == "steered" and row.strength == 0.03)
    assert abs(steered.mean_shift) < 0.3 < steered.effect / 0.5


def test_orthogonal_vectors_have_nothing_of_any_value(config: RunConfig, backend: Backend) -> None:
    trial = tried(replace(config, null_arms=("orthogonal", "other")), backend)
    drawn, values = (
        np.stack([one.vector.vector for one in trial.nulls if one.arm == arm]) for arm in ("orthogonal", "other")
    )
    assert np.abs(drawn @ values.T).max() < 1e-5 and np.abs(drawn @ trial.target.vector).max() < 1e-5


def test_arms_are_chosen_by_name_and_a_wrong_one_is_answered() -> None:
    assert _nulls.wanted_arms(RunConfig()) == ("shuffled", "random")
    assert len(_nulls.wanted_arms(RunConfig(null_arms=("all",)))) == 6
    with pytest.raises(InputError, match="acquiescence"):
        _nulls.wanted_arms(RunConfig(null_arms=("aquiescence",)))


# --- prompt baseline ------------------------------------------------------------------------------------------------


def test_asking_for_the_value_moves_what_its_vector_moves(config: RunConfig) -> None:
    (row,) = store.load_rows(Path(config.out), "prompted", PromptRow)
    assert row.low > 0 and row.vector_low > 0 and row.r_low > 0.7
    assert row.cosine > 0.8 > row.cosine_null and row.asked_by == "system prompt" and row.n_prompts == 2
    asked = {row.of: row for row in swept(config) if row.arm == "prompted"}
    assert asked[f"{VALUE}+1"].effect > 0 > asked[f"{VALUE}-1"].effect
    assert asked[f"{VALUE}+1"].n_items == 60 and asked[f"{VALUE}+1"].unit == "system prompt"


def test_asking_for_another_value_does_not(config: RunConfig, backend: Backend, trial, monkeypatch) -> None:
    other = [replace(ask, value=VALUE) for ask in organism.asks() if ask.value == "security"]
    monkeypatch.setattr(_prompted, "asks_of", lambda _: tuple(other))
    done = _prompted.Dosed((swept(config)[0],), tuple(steered(config)), base_of(trial, backend, config))
    few = few_of(config, trial, backend)
    found = _prompted.prompted(config, trial, done, backend, few, 0).beside[0]
    assert abs(found.effect) < 0.5 and abs(found.r) < 0.5 and abs(found.cosine) < 0.4


def steered(config: RunConfig) -> list[ChangeRow]:
    rows = store.load_rows(Path(config.out), "prompted_items", ChangeRow)
    return [row for row in rows if row.arm == "steered"]


def base_of(trial: _nulls.Trial, backend: Backend, config: RunConfig) -> np.ndarray:
    return rated(config, trial.on, backend, [()], lambda *_: None)[0].expected


def few_of(config: RunConfig, trial: _nulls.Trial, backend: Backend):
    folder = Path(config.out)
    known = _study.study(folder, as_probed(folder, config))
    return _untried.untried(folder, config, known, load_benchmarks(config), trial.on, backend, queries=4)


def test_a_value_nobody_asks_for_and_prompts_that_do_not_fit_are_counted(config, backend, trial, monkeypatch) -> None:
    done = _prompted.Dosed((swept(config)[0],), tuple(steered(config)), np.zeros(60))
    monkeypatch.setattr(_prompted, "asks_of", lambda _: ())
    found = _prompted.prompted(config, trial, done, backend, None, 0)
    assert found.rows == () and found.counts[0].reason == "no prompt asks for this value"
    long = Ask("long", VALUE, 1, "You are a baker. " * 100)
    monkeypatch.setattr(_prompted, "asks_of", lambda _: (long,))
    found = _prompted.prompted(config, trial, done, backend, None, 0)
    assert found.rows == () and (found.counts[0].n, found.counts[0].of) == (60, 60)


# --- audits ---------------------------------------------------------------------------------------------------------


def verdicts(rows) -> dict[tuple[str, str], str]:
    return {(row.arm, row.audit): row.verdict for row in rows}


def test_the_fitted_vector_and_the_prompt_pass_every_audit_and_acquiescence_is_caught(config: RunConfig) -> None:
    found = verdicts(store.load_rows(Path(config.out), "audits", AuditRow))
    for arm in ("steered", "prompted", "told"):
        assert found[arm, "options"] == "follows the meaning", arm
        assert found[arm, "reversed items"] == "flips with the item", arm
    assert found["acquiescence", "reversed items"] == "yes-bias: does not flip"
    assert found["told", "compliance"] == "the value's own"


def audited(config: RunConfig, trial: _nulls.Trial, backend: Backend, asks=None) -> list[AuditRow]:
    few = few_of(config, trial, backend)
    one = _audit.audit_trial(config, trial, few, backend, lambda *_: None, asks)
    return _audited.audit_rows(one.changes, one.carried, seed=0)


def test_the_true_direction_follows_the_meaning_and_flips(config: RunConfig, backend: Backend) -> None:
    wanted = both_orders(replace(config, null_arms=(), strengths=(0.03,)))
    trial = tried(wanted, backend)
    truth = organism.read_card(Path(config.model)).u[SCHWARTZ.index(VALUE)].astype(np.float32)
    rows = audited(wanted, replace(trial, target=replace(trial.target, vector=truth)), backend, ())
    found = verdicts(rows)
    assert found["told", "compliance"] == "not asked" and any("none asks" in row.note for row in rows)
    assert found["steered", "options"] == "follows the meaning"
    assert found["steered", "reversed items"] == "flips with the item"
    figure = {row.measure: row.estimate for row in rows if (row.arm, row.audit) == ("steered", "options")}
    assert abs(figure["by place"]) < 0.01 * figure["by meaning"]


def test_a_prompt_that_says_the_same_whatever_it_asks_for_is_instruction_following(config, backend, trial) -> None:
    same = next(ask.text for ask in organism.asks() if (ask.value, ask.sign) == (VALUE, 1))
    asks = [replace(ask, text=same) for ask in organism.asks() if ask.value in SCHWARTZ[4:8] and ask.sign > 0]
    wanted = replace(config, null_arms=(), strengths=(0.03,))
    found = [row for row in audited(wanted, trial, backend, asks) if row.audit == "compliance"]
    assert {row.verdict for row in found} == {"mostly instruction-following"}
    figure = {row.measure: row.estimate for row in found}
    assert abs(figure["share of the effect left"]) < 0.05 and figure["cosine with what instructions share"] > 0.99


def test_audits_ask_for_a_dose_in_residual_norms(config: RunConfig, backend: Backend) -> None:
    for wrong in ({"strengths": (0.0,)}, {"dose": "kl=1"}, {"steer_operation": "rotate"}, {"steer_gate": "cosine"}):
        with pytest.raises(InputError, match="audit"):
            pipeline.steer_audit(Path(config.out), replace(config, **wrong), backend=backend)


# --- stored, checked, shown -----------------------------------------------------------------------------------------


def test_summaries_are_made_again_without_the_model_and_an_edit_shows(config, tmp_path: Path, monkeypatch) -> None:
    steps = tuple(step for step in _check.STEPS if step.stage in ("steer", "audit"))
    monkeypatch.setattr(_check, "STEPS", steps)
    copy = Path(shutil.copytree(config.out, tmp_path / "run"))
    found = {one.table: one.verdict for one in pipeline.check_run(copy)}
    assert {found[name] for name in ("nulls", "prompted", "audits")} == {"ok"}
    assert {found[name] for name in ("steering", "prompted_items", "audit_items")} == {"as written"}
    edits = (("nulls", "mean"), ("prompted", "r"), ("audits", "estimate"))
    for name, column in edits:
        change(copy / f"{name}.parquet", column, 0, 7.0)
    again = {one.table: one for one in pipeline.check_run(copy)}
    for name, column in edits:
        assert again[name].verdict == "differs" and f"column {column}" in again[name].where


def test_arms_prompts_and_audits_are_printed_and_stand_in_the_report(config: RunConfig, capsys) -> None:
    command.beside(Path(config.out))
    command.figures(Path(config.out))
    said = capsys.readouterr().out
    assert "acquiescence" in said and "effect of asking" in said and "flips with" in said
    page = pipeline.write_report(Path(config.out)).read_text("utf-8")
    for words in ("Prompt baseline", "cleared of all values", "Audits of steering", "yes-bias: does not flip"):
        assert words in page


def test_new_activations_take_arms_prompts_and_audits_away(config: RunConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(config.out, tmp_path / "run"))
    store.drop(copy, _extract.STALE)
    assert not any(store.has(copy, name) for name in ("nulls", "prompted", "prompted_items", "audits", "audit_items"))
