"""Transfer: instruments unused for fitting, each with prediction, interval, null and n; own words with null arms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, benchmarks, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline import _said, _transfer
from vprobe.pipeline import _transfer_measures as measures
from vprobe.pipeline._common import load_benchmarks
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import Fit
from vprobe.types import Direction, Response, SaidRow, Site, TransferRow

from tests import tiny


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(tmp_path_factory.mktemp("transfer") / "run"),
        sites=("resid_post:1",), draws=2, limit=36, folds=3, values=("benevolence", "power"), method=("partial",),
        map=False, device="cpu", untrained=False, steer_method="partial", steer_value=("benevolence",),
        steer_versions=("v1",), steer_positions="response", steer_limit=10, null_draws=2, strengths=(-0.06, 0.06),
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    return config


def test_a_planted_value_moves_instruments_it_was_not_fitted_on_as_predicted(config, backend) -> None:
    asked = ("planted", "everyday", "valuelex", "svo", "value-portrait")
    stage = pipeline.steer_transfer(Path(config.out), config, instruments=asked, backend=backend)
    rows = {row.instrument: row for row in store.load_rows(Path(config.out), "transfer", TransferRow)}
    assert "planted" not in rows, "directions were fitted on it"
    words = rows["valuelex"]
    assert words.predicted == 1 and words.measure == "completions that name social"
    assert words.low < words.estimate < words.high and words.estimate > 0 and words.p < 0.05 and words.n >= 90
    assert math.isnan(words.option_mass) and words.n_nulls == 2 and words.kind == "generation"
    assert words.null_p == pytest.approx(1 / 3) and not words.shown, "two null vectors are too few to show anything"
    everyday = rows["everyday"]
    assert math.isfinite(everyday.estimate) and everyday.option_mass > 0.99 and everyday.n == 10 * 5
    choice = rows["svo"]
    assert not choice.shown and "does not answer" in choice.note and choice.n_nulls == 0
    missing = rows["value-portrait"]
    assert math.isnan(missing.estimate) and missing.kind == "" and "not there" in missing.note
    assert any(name == "left out" for name, _ in stage.facts)
    with pytest.raises(InputError, match="fitted on it"):
        pipeline.steer_transfer(Path(config.out), config, instruments=("planted",), backend=backend)
    with pytest.raises(InputError, match="did you mean 'valuelex'"):
        pipeline.steer_transfer(Path(config.out), config, instruments=("valulex",), backend=backend)


def test_what_a_value_says_nothing_of_has_no_figure(config, backend) -> None:
    nothing = measures.measured(benchmarks.load("valuelex", limit=6), "hedonism", (), (), ())
    assert nothing is None
    assert measures.measured(benchmarks.load("everyday", limit=1), "happiness", (), (), ()) is None


def ratings(found: benchmarks.Benchmark, shift: np.ndarray) -> tuple[Response, ...]:
    """Return answers that put all mass beside 3.5, moved by `shift` for each item."""
    out = []
    for item, more in zip(found.items, shift, strict=True):
        p = np.array([0.5 - more / 2, 0.5 + more / 2])
        out.append(Response(f"{item.id}/v1", item.id, item.group, item.source, "v1", (3.0, 4.0),
                            tuple(np.log(p).tolist()), None, None, ""))  # fmt: skip
    return tuple(out)


def test_a_change_along_the_label_is_found_and_one_of_all_items_alike_is_not() -> None:
    found = benchmarks.load("everyday", limit=30)
    label = np.nan_to_num(found.loadings(tuple(item.id for item in found.items), ("benevolence",))[:, 0])
    up, down = ratings(found, 0.4 * label), ratings(found, -0.4 * label)
    flat = ratings(found, np.zeros(len(label)))
    change = measures.measured(found, "benevolence", flat, up, down)
    assert change is not None
    made = measures.estimate(change, seed=0)
    assert made.value > 0.05 and made.p <= 0.005 and made.low > 0
    alike = measures.measured(found, "benevolence", flat, ratings(found, np.full(len(label), 0.4)), flat)
    assert alike is not None
    none = measures.estimate(alike, seed=0)
    assert abs(none.value) < 1e-9 and none.p > 0.9


def test_own_words_follow_the_doses_of_a_planted_direction_and_nothing_else(config, backend) -> None:
    pipeline.steer_said(Path(config.out), replace(config, strengths=(-0.1, 0.1)), backend=backend)
    rows = store.load_rows(Path(config.out), "said", SaidRow)
    arms = {arm: [row for row in rows if row.arm == arm] for arm in ("steered", "shuffled", "random")}
    assert [row.strength for row in arms["steered"]] == [-0.1, 0.1]
    assert all(len(some) == 4 for some in (arms["shuffled"], arms["random"])), "two draws at every dose"
    for row in arms["steered"]:
        assert row.n_items == row.n_queries * 5 and 0 <= row.anti <= 1 and row.instrument == "planted"
        assert row.low <= row.effect <= row.high and 0 < row.p <= 1
    assert all(math.isnan(row.p) for row in arms["random"])


def test_own_words_are_log_probabilities_per_token_before_and_after(tmp_path: Path) -> None:
    words = [f"{item.text} {item.response}" for item in benchmarks.load("contrast-moods").items]
    folder = tiny.untrained(tmp_path / "tiny", words)
    config = RunConfig(
        model=str(folder), benchmark=("contrast-moods",), out=str(tmp_path / "run"), sites=("resid_post:1",), draws=2,
        folds=3, values=("happiness",), method=("mean-difference",), map=False, device="cpu", untrained=False,
        steer_value=("happiness",), strengths=(0.5,), null_draws=0, steer_limit=2,
    )  # fmt: skip
    other = backends.load(str(folder), device="cpu")
    pipeline.extract(config, backend=other)
    pipeline.probe(tmp_path / "run", config)
    pipeline.steer_said(tmp_path / "run", config, backend=other)
    (row,) = store.load_rows(tmp_path / "run", "said", SaidRow)
    assert (row.n_queries, row.n_items, row.arm, row.strength) == (2, 4, "steered", 0.5)
    by_hand, shift = _by_hand(tmp_path / "run", config, other)
    assert row.effect == pytest.approx(by_hand, rel=1e-4) and row.mean_shift == pytest.approx(shift, rel=1e-4)


def test_own_words_are_those_of_queries_no_vector_was_fitted_on_and_nulls_are_the_values_own(config, backend) -> None:
    folder = Path(config.out)
    known = study(folder, as_probed(folder, config))
    on, queries = _said._tried(config, known, load_benchmarks(config), backend)
    assert set(queries.groups).isdisjoint(known.keyed.groups[i] for i in on.train) and on.held_out
    assert {len(on.train), len(queries.asked)} == {24 * 5, 10}
    other, asked = _said._tried(config, known, [benchmarks.load("everyday", limit=4)], backend)
    assert len(other.train) == 36 * 5 and not other.held_out and len(asked.items) == 20
    fit = Fit(folder, config, known, on, Site(1))
    vectors = [dict(_numbered(_said._vectors(config, known, value, fit))) for value in ("benevolence", "power")]
    for key in vectors[0]:
        same = np.allclose(vectors[0][key].vector, vectors[1][key].vector)
        assert same == (key[0] == "random"), f"{key}: vectors of one value's labels are no other's"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_transfer, "held_out", lambda *_: on)
        arms = [_transfer._arms(folder, config, known, value, backend).pairs for value in ("benevolence", "power")]
    for one, two in zip(*arms, strict=True):
        assert not np.allclose(one[0].direction.vector, two[0].direction.vector)
        assert one[0].coefficient == -one[1].coefficient > 0


def _numbered(every) -> list[tuple[tuple[str, int], Direction]]:
    return [((arm, n), one) for n, (arm, one) in _said._numbered(every)]


def _by_hand(folder: Path, config: RunConfig, backend: Backend) -> tuple[float, float]:
    """Return how much more per token happy replies gained than sad ones, per SD of a label of 1 and 0 in pairs.

    And how much both gained.
    """
    from vprobe import generation, prompts, steering
    from vprobe.pipeline._trial import fit_vectors
    from vprobe.types import Steering

    found = benchmarks.load("contrast-moods")
    on, queries = _said._tried(config, study(folder, as_probed(folder, config)), [found], backend)
    known = study(folder, as_probed(folder, config))
    vector = fit_vectors(folder, config, known, ("happiness",), "mean_difference", on)["happiness"]
    change = (Steering(steering.load("add"), vector, 0.5 * vector.unit, "all"),)
    gains, both = [], []
    for one in generation.ask(found):
        if one.group not in queries.groups:
            continue
        encoded = prompts.encode_answers(backend.tokenizer, one)
        rows = [np.array(backend.choose([encoded], steering=how)[0]) for how in ((), change)]
        per = (rows[1] - rows[0]) / [len(option) for option in encoded.options]
        items = [item for item in found.items if item.group == one.group]
        happy = [item.loading("happiness") for item in items].index(1.0)
        gains.append(per[happy] - per[1 - happy])
        both += list(per)
    n = len(gains)
    return float(np.mean(gains) * np.sqrt(n / 2 / (2 * n - n))), float(np.mean(both))
