"""Instruments asked of a model: scored, recorded, given values and personas, and put on the page."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, benchmarks, ess, generation, organism, pipeline, prompts, responses, store
from vprobe.cli import tables
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError
from vprobe.lexicon import Elicited
from vprobe.pipeline import _induce
from vprobe.types import Direction, Generation, InduceRow, Response, ScaleRow, ScoreRow
from vprobe.values import SCHWARTZ

from tests import tiny

WORDS = "How much is this like you? Take one of nine: A B C I receive points and the other receives points."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [item.response for item in benchmarks.load("everyday").items]
    return tiny.untrained(tmp_path_factory.mktemp("model") / "tiny", [*texts, WORDS])


@pytest.fixture(scope="module")
def backend(model: Path):
    return backends.load(str(model), device="cpu")


@pytest.fixture(scope="module")
def planted():
    return backends.load(str(organism.HOME), device="cpu")


def config(model: Path, out: Path, name: str, **more) -> RunConfig:
    return RunConfig(model=str(model), benchmark=(name,), out=str(out), device="cpu", **more)


# rate, extract, report


@pytest.mark.parametrize(
    ("name", "kind"),
    [("svo", "choice"), ("choices", "choice"), ("portraits", "self_report"), ("everyday", "rating")],
)
def test_an_instrument_is_asked_scored_recorded_and_reported(model, backend, tmp_path, name, kind) -> None:
    given = config(model, tmp_path, name, limit=6, versions=("v1", "v1_reversed"), sites=("resid_post:0",))
    pipeline.extract(given, backend=backend)
    pipeline.rate(given, backend=backend)
    rows = store.load_rows(tmp_path, "scales", ScaleRow)
    assert {row.kind for row in rows} == {kind} and {row.instrument for row in rows} == {name}
    first = "most probable option" if kind == "choice" else "option probabilities"
    assert {row.readout for row in rows} == {first, "its words"}
    assert all(row.respondent == model.name for row in rows)
    said = [row for row in rows if row.readout == first]
    assert all(0.0 < row.option_mass < 1.0 for row in said)
    page = pipeline.write_report(tmp_path).read_text("utf-8")
    assert "What the instruments say" in page and kind.replace("_", "-") in page
    assert ("vprobe probe RUN</code>" in page) == (name == "everyday"), "what would be refused is not recommended"
    assert ("vprobe probe RUN --from OTHER" in page) == (name != "everyday")
    assert (tmp_path / "tables" / "scales.csv").is_file()


def test_completions_are_the_models_own_and_what_is_read_is_what_it_said(model, backend, tmp_path) -> None:
    given = config(model, tmp_path, "valuelex", limit=5, versions=("v1",), sites=("resid_post:0",))
    pipeline.extract(given, backend=backend)
    stored = store.load_items(tmp_path).items
    asked = prompts.render(benchmarks.load("valuelex", limit=5), template="v1")
    for item, prompt in zip(stored, asked, strict=True):
        row = prompts.encode(backend.tokenizer, prompt)
        said = backend.generate([row], max_new_tokens=40, temperature=0.0)[0].text.strip()
        assert (item.text, item.response) == (prompt.messages[0].content, said)
    acts = store.load_activations(tmp_path, "response_mean")
    assert [one.split("/")[0] for one in acts.sample_ids] == [item.id for item in stored if item.response]
    for _ in range(2):  # asking again is no other question
        pipeline.rate(given, backend=backend)
    found = store.load_rows(tmp_path, "responses", Response)
    assert all(one.logprobs is None and one.ratings == () and one.text is not None for one in found)
    assert {row.kind for row in store.load_rows(tmp_path, "scales", ScaleRow)} == {"generation"}


def test_free_text_is_sampled_anew_in_every_batch_and_the_same_in_every_run(model, backend, tmp_path) -> None:
    said = []
    for name, temperature, seed in (("a", 1.0, 0), ("b", 1.0, 0), ("c", 1.0, 1), ("d", 0.0, 0)):
        given = config(
            model, tmp_path / name, "valuelex", limit=4, versions=("v1",), temperature=temperature, seed=seed
        )
        pipeline.rate(given, backend=backend)
        said.append([one.text for one in store.load_rows(tmp_path / name, "responses", Response)])
    assert said[0] == said[1] and said[0] != said[2] and said[0] != said[3]


def test_sampled_text_is_the_same_whatever_the_batch_and_differs_from_prompt_to_prompt(
    model, backend, tmp_path
) -> None:
    said, heard = [], []
    for size in (1, 4000):
        given = config(model, tmp_path / str(size), "valuelex", limit=6, versions=("v1",), temperature=1.0,
                       batch_tokens=size)  # fmt: skip
        pipeline.rate(given, backend=backend)
        said.append([one.text for one in store.load_rows(tmp_path / str(size), "responses", Response)])
        pipeline.elicit(replace(given, out=str(tmp_path / f"e{size}")), temperatures=(1.0,), backend=backend)
        heard.append([one.text for one in store.load_rows(tmp_path / f"e{size}", "elicited", Elicited)])
    assert said[0] == said[1] and len(set(said[0])) > 3
    assert heard[0] == heard[1] and len(set(heard[0])) > 10


def test_items_the_model_leaves_empty_are_counted_and_a_silent_model_is_refused(model, backend, tmp_path, monkeypatch):
    def gen(row, text):
        return Generation(row.prompt_id, (), text, True)

    def mute(rows, **_):
        return [gen(row, "" if i else "kind") for i, row in enumerate(rows)]

    given = config(model, tmp_path / "a", "valuelex", limit=5, sites=("resid_post:0",))
    monkeypatch.setattr(backend, "generate", mute)
    done = pipeline.extract(given, backend=backend)
    assert sum(one.n for one in done.counts) >= 1 and done.counts[0].reason == "the model answered with nothing"
    held = store.load_items(tmp_path / "a").items
    assert len(held) > len(store.load_activations(tmp_path / "a", "response_mean").sample_ids) >= 1
    monkeypatch.setattr(backend, "generate", lambda rows, **_: [gen(row, "") for row in rows])
    with pytest.raises(ModelError, match="answers no item"):
        pipeline.extract(config(model, tmp_path / "b", "valuelex", limit=5), backend=backend)


@pytest.mark.parametrize(("name", "words"), [("portraits", "has one response"), ("svo", "load on no value")])
def test_what_has_nothing_to_fit_a_probe_on_says_so(model, backend, tmp_path, name, words) -> None:
    given = config(model, tmp_path, name, limit=6, sites=("resid_post:0",))
    pipeline.extract(given, backend=backend)
    with pytest.raises(InputError, match=words):
        pipeline.probe(tmp_path, given)


# generation read-out


def test_the_generation_read_out_is_the_log_probability_of_each_response_alone(model, backend) -> None:
    found = benchmarks.load("everyday", limit=3)
    asked = generation.ask(found)
    encoded = [prompts.encode_answers(backend.tokenizer, one) for one in asked]
    rows = generation.collect(backend, found, asked, encoded)
    assert [row.item_id for row in rows] == [item.id for item in found.items]
    for query, one in zip(asked, encoded, strict=True):
        mine = [row for row in rows if row.group == query.group]
        logs = backend.choose([one])[0]
        np.testing.assert_allclose([row.logprob for row in mine], logs, atol=1e-4)
        per_token = np.array([row.logprob / row.n_tokens for row in mine])
        np.testing.assert_allclose([row.score for row in mine], (per_token - per_token.mean()) / per_token.std())
        assert [row.n_tokens for row in mine] == [len(option) for option in one.options]


def test_a_model_that_says_what_a_value_asks_for_scores_high_on_it_and_queries_apart_change_nothing() -> None:
    found = benchmarks.load("everyday")
    rng = np.random.default_rng(0)

    def said(lift: float) -> tuple[ScaleRow, ...]:
        rows = []
        for query in generation.ask(found):
            items = [item for item in found.items if item.group == query.group]
            logs = [-60.0 + 15.0 * lift * item.loading("benevolence") + rng.normal(0, 3) for item in items]
            rows += generation._rows(items, logs, [20] * len(items))
        return generation.profile(rows, found, respondent="m", seed=0)

    lifted = {row.scale: row for row in said(1.0)}
    assert lifted["benevolence"].low > 0.3 and lifted["benevolence"].reliability > 0.8
    assert lifted["benevolence"].estimate == max(row.estimate for row in lifted.values())
    plain = said(0.0)
    assert sum(row.low <= 0 <= row.high for row in plain) >= 8
    assert all(row.kind == "generation" and row.n == 360 and row.n_unscored == 0 for row in plain)


def test_alike_responses_have_no_score_and_a_query_with_one_response_is_refused() -> None:
    items = benchmarks.load("everyday", limit=1).items
    assert all(math.isnan(row.score) for row in generation._rows(items, [-5.0] * 5, [5] * 5))
    with pytest.raises(InputError, match="1 responses"):
        generation.ask(benchmarks.load("portraits", limit=1))


# inducing values


def test_the_organism_takes_on_a_type_by_steering_and_not_by_words_it_does_not_know(
    planted, tmp_path, monkeypatch, capsys
):
    card = organism.read_card(organism.HOME)

    def truth(folder, value, **_):
        vector = card.u[SCHWARTZ.index(value)].astype(np.float32)
        return Direction(vector / np.linalg.norm(vector), card.site, value, "planted", "write", unit=1.0)

    monkeypatch.setattr(_induce, "direction", truth)
    given = config(organism.HOME, tmp_path, "svo", versions=("v3",), greedy=False)
    stage = pipeline.induce(given, ways=("word", "steering"), directions=tmp_path, strength=1.0, backend=planted)
    assert "hardly any of the model's probability" in dict(stage.facts)["choices say little"]
    tables.induced(tmp_path)
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    for kind in ("altruistic", "competitive", "individualistic", "prosocial"):  # a type's own value comes first
        assert [line[1] for line in said if line[:1] == [kind]][:3] == ["value", "wrong", "no"], kind
    rows = {(row.way, row.target, row.arm): row for row in store.load_rows(tmp_path, "induced", InduceRow)}
    angle = {arm: rows["steering", "altruistic", arm].angle for arm in ("value", "no_value", "wrong_value")}
    assert angle["value"] > angle["no_value"] + 5 > angle["wrong_value"] + 10
    near = {arm: rows["steering", "altruistic", arm].chance_corrected for arm in angle}
    assert near["value"] > near["no_value"] > near["wrong_value"]
    words = {arm: rows["word", "altruistic", arm].angle for arm in angle}
    assert max(words.values()) - min(words.values()) < 2.0
    assert all(row.n == 1 and row.n_unscored == 0 for row in rows.values())
    assert len(rows) == 2 * 4 * 3
    for (way, target, arm), row in rows.items():
        plain = rows[way, target, "no_value"]
        assert row.n_paired == (arm != "no_value") and math.isnan(row.nearer_low)  # one version
        assert (
            math.isnan(row.nearer) if arm == "no_value" else row.nearer == pytest.approx(plain.distance - row.distance)
        )
    page = pipeline.write_report(tmp_path).read_text("utf-8")
    assert "Social values given to the model" in page and "wrong value" in page
    assert "vprobe probe" not in page and "vprobe rate" not in page and "no items of a benchmark" in page


def test_a_type_is_given_by_any_operation_and_dose(planted, tmp_path, monkeypatch) -> None:
    card, shared = organism.read_card(organism.HOME), {"versions": ("v3",), "greedy": False}

    def truth(folder, value, **_):
        vector = card.u[SCHWARTZ.index(value)].astype(np.float32)
        return Direction(vector / np.linalg.norm(vector), card.site, value, "planted", "write", unit=1.0)

    monkeypatch.setattr(_induce, "direction", truth)
    given = config(
        organism.HOME, tmp_path, "svo", **shared, steer_operation="norm-preserving-add", dose="kl=0.05",
        damage_limit=10, steer_conflict="sum",
    )  # fmt: skip
    pipeline.induce(given, ways=("steering",), directions=tmp_path, strength=1.0, backend=planted)
    made = dict(store.load_info(tmp_path, "induce").config)
    assert made["dose"] == "kl=0.05" and all("norm-preserving-add" in push for push in made["pushes"])
    assert len({push.split(" ")[2] for push in made["pushes"]}) > 1  # as costly as each other, not as long
    angle = {r.arm: r.angle for r in store.load_rows(tmp_path, "induced", InduceRow) if r.target == "altruistic"}
    assert angle["value"] > angle["no_value"] > angle["wrong_value"]
    with pytest.raises(InputError, match="did you mean 'add'"):
        pipeline.induce(replace(given, steer_operation="ad"), ways=("steering",), directions=tmp_path, backend=planted)


def test_inducing_a_model_that_has_no_room_for_any_choice_is_refused_and_leaves_nothing(
    model, backend, tmp_path, monkeypatch
) -> None:
    def full(*_) -> None:
        raise ModelError("none of the 6 prompts fits", where="induce")

    monkeypatch.setattr(_induce, "fitting", full)
    with pytest.raises(ModelError, match="nothing could be asked: none of the 6 prompts fits"):
        pipeline.induce(config(model, tmp_path, "svo"), ways=("word",), backend=backend)
    assert not (tmp_path / "induced.parquet").exists()


def test_inducing_needs_a_known_way_and_directions_to_steer_with(model, backend, tmp_path) -> None:
    given = config(model, tmp_path, "svo")
    with pytest.raises(InputError, match="did you mean 'word'"):
        pipeline.induce(given, ways=("wrd",), backend=backend)
    for ways in ((), ("word", "word")):
        with pytest.raises(InputError, match="each once"):
            pipeline.induce(given, ways=ways, backend=backend)
    with pytest.raises(InputError, match="name a run with directions"):
        pipeline.induce(given, ways=("steering",), backend=backend)


# demographics


def test_personas_move_a_model_by_what_it_answers_under_them_less_what_it_answers_alone(model, backend, tmp_path):
    given = config(model, tmp_path, "portraits", versions=("v1",))
    done = pipeline.demographics(given, axes=("gender",), backend=backend)
    rows = store.load_rows(tmp_path, "demographics", ess.Effect)
    assert {(row.axis, row.level) for row in rows} == {("gender", "woman"), ("gender", "man")} and len(rows) == 20
    found = benchmarks.load("portraits")
    asked = prompts.render(found, template="v1")
    who = next(one for one in benchmarks.demographics() if one.id == "gender-woman")
    ratings = [
        np.array([one.expected for one in responses.collect(backend, given_prompts)])
        for given_prompts in (asked, [prompts.with_system(one, who.text, name=who.id) for one in asked])
    ]
    keys = found.loadings(tuple(item.id for item in found.items), found.values)
    gap = (ratings[1] - ratings[0])[:, None] * np.sign(keys)
    expected = gap.sum(axis=0) / np.abs(np.sign(keys)).sum(axis=0) - gap.sum() / np.abs(np.sign(keys)).sum()
    mine = [row.difference for row in rows if row.level == "woman"]
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    assert dict(done.facts)["personas"] == 2
    few = config(model, tmp_path / "few", "portraits", versions=("v1",), values=("benevolence",))
    pipeline.demographics(few, axes=("gender",), backend=backend)
    alone = store.load_rows(tmp_path / "few", "demographics", ess.Effect)
    same = [row.difference for row in rows if row.value == "benevolence"]
    assert [row.difference for row in alone] == same, "the other values stay in the baseline"
    assert "Demographic personas" in pipeline.write_report(tmp_path).read_text("utf-8")
    with pytest.raises(InputError, match="did you mean 'gender'"):
        pipeline.demographics(given, axes=("gendre",), backend=backend)


# own words


def test_a_model_is_asked_for_its_values_at_every_temperature_and_under_every_persona(model, backend, tmp_path):
    given = config(model, tmp_path, "everyday", personas=1)
    pipeline.elicit(given, temperatures=(0.0, 1.0), backend=backend)
    rows = store.load_rows(tmp_path, "elicited", Elicited)
    names = sorted({row.respondent for row in rows})
    assert len(names) == 4 and len(rows) == 60 and {row.model for row in rows} == {model.name}
    assert {name.split("/")[1] for name in names} == {"t0", "t1"}
    texts = {name: [row.text for row in rows if row.respondent == name] for name in names}
    plain = [name for name in names if name.endswith("plain")]
    assert texts[plain[0]] != texts[plain[1]], "a temperature changes what is said"
    pipeline.elicit(config(model, tmp_path / "b", "everyday", personas=1), temperatures=(0.0, 1.0), backend=backend)
    assert store.load_rows(tmp_path / "b", "elicited", Elicited) == rows, "the same seed says the same"
    with pytest.raises(InputError, match="temperatures"):
        pipeline.elicit(given, temperatures=(-1.0,), backend=backend)
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["stages"]["elicit"]


# probes read on what a model says


def test_directions_of_one_run_score_what_another_run_recorded(model, backend, tmp_path) -> None:
    fitted = config(model, tmp_path / "a", "everyday", limit=12, sites=("resid_post:0-1",), method=("mean-difference",),
                    draws=10, map=False)  # fmt: skip
    pipeline.extract(fitted, backend=backend)
    pipeline.probe(tmp_path / "a", fitted)
    said = config(model, tmp_path / "b", "valuelex", limit=6, sites=("resid_post:0-1",), method=("mean-difference",))
    pipeline.extract(said, backend=backend)
    pipeline.borrow(tmp_path / "b", said, source=tmp_path / "a")
    rows = store.load_rows(tmp_path / "b", "readings", ScoreRow)
    acts = store.load_activations(tmp_path / "b", "response_mean")
    assert len(rows) == 10 * len(acts.sample_ids) and {row.kind for row in rows} == {"probe"}
    one = pipeline.direction(tmp_path / "a", "benevolence")
    mine = [row.score for row in rows if row.value == "benevolence"]
    np.testing.assert_allclose(mine, one.score(acts.at(one.site)), rtol=1e-6)
    page = pipeline.write_report(tmp_path / "b").read_text("utf-8")
    source = {item.id: item.source for item in store.load_items(tmp_path / "b").items}
    first = [row.score for row in rows if row.value == "benevolence" and source[row.item_id] == source[rows[0].item_id]]
    assert "Read with another run" in page and f"{np.mean(first):.2f}".replace("-", "\u2212") in page
    again = config(model, tmp_path / "c", "everyday", limit=2, sites=("resid_post:0-1",), method=("mean-difference",))
    pipeline.extract(again, backend=backend)
    with pytest.raises(InputError, match="10 items are in both runs"):
        pipeline.borrow(tmp_path / "c", said, source=tmp_path / "a")
    with pytest.raises(InputError, match="leave --from out"):
        pipeline.borrow(tmp_path / "a", said, source=tmp_path / "a")
