"""Planted items have the loadings and labels they claim and tell words alone nothing; worlds are what they declare."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from scripts import train_organism
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from vprobe import benchmarks, controls, organism, stats
from vprobe.benchmarks import planted
from vprobe.errors import DataError, InputError
from vprobe.organism import lexicon
from vprobe.values import SCHWARTZ

from tests.talker import TEMPLATES, Organism

VALUE_OF = {phrase.key: SCHWARTZ.index(phrase.value) for phrase in lexicon.phrases()}
HALF_OF = {phrase.key: phrase.half for phrase in lexicon.phrases()}
PREFERS = [re.escape(text.format(x="<x>", y="<y>")) for text in lexicon.CONSTRUCTIONS]
SPEAKS = {1.0: (*lexicon.ALONE[0], *lexicon.PERSONA[1]), -1.0: (*lexicon.ALONE[1], *lexicon.PERSONA[2])}


def signed(text: str) -> list[tuple[str, float]]:
    """Key words of a text with their signs, by taking its sentences apart."""
    found: list[tuple[str, float]] = []
    for sentence in re.findall(r"[^.?]+[.?]", text):
        for form in PREFERS:
            match = re.fullmatch(form.replace("<x>", "(?P<x>.+)").replace("<y>", "(?P<y>.+)"), sentence.strip(), re.I)
            if match:
                found += [(match["x"], 1.0), (match["y"], -1.0)]
                break
        else:
            for sign, frames in SPEAKS.items():
                forms = [re.escape(frame.format(x="<x>")).replace("<x>", "(.+)") for frame in frames]
                found += [(m[1], sign) for form in forms if (m := re.fullmatch(form, sentence.strip(), re.I))]
    keyed = [([w for w in re.findall(r"[a-z]+", phrase.lower()) if w in VALUE_OF], sign) for phrase, sign in found]
    assert all(len(keys) == 1 for keys, _ in keyed), text
    assert sum(w in VALUE_OF for w in re.findall(r"[a-z]+", text.lower())) == len(keyed) > 0, text
    return [(keys[0], sign) for keys, sign in keyed]


def mean_code(text: str) -> np.ndarray:
    keys = signed(text)
    return sum(sign * np.eye(10)[VALUE_OF[key]] for key, sign in keys) / len(keys)


def labels_of(benchmark) -> tuple[np.ndarray, tuple[str, ...]]:
    return np.array([[one.r for one in item.loadings] for item in benchmark.items]), tuple(
        item.group for item in benchmark.items
    )


@pytest.fixture(scope="module")
def drawn() -> organism.Drawn:
    return organism.draw(60, seed=1)


# drawn items


def test_the_same_seed_draws_the_same_items_and_another_seed_others(drawn: organism.Drawn) -> None:
    again = organism.draw(60, seed=1)
    assert again.records == drawn.records and again.reliability == drawn.reliability
    assert again.benchmark == drawn.benchmark
    responses = [{item.response for item in one.benchmark.items} for one in (drawn, organism.draw(60, seed=2))]
    assert len(responses[0] & responses[1]) < 5 and len(responses[0]) > 290
    assert organism.speakers(9, seed=1, gain=4.0) == organism.speakers(9, seed=1, gain=4.0)
    assert organism.speakers(9, seed=1, gain=4.0) != organism.speakers(9, seed=2, gain=4.0)


def test_true_loadings_are_the_mean_signed_codes_of_the_text(drawn: organism.Drawn) -> None:
    for item, loadings, length in zip(drawn.benchmark.items, drawn.loadings, drawn.lengths, strict=True):
        np.testing.assert_allclose(mean_code(item.response), loadings, atol=1e-12, err_msg=item.response)
        assert length == len(item.response.split())
    for who in organism.speakers(60, seed=3, gain=4.0):
        np.testing.assert_allclose(4.0 * mean_code(who.text.partition(". ")[2]), who.profile, atol=1e-12)
    table = np.random.default_rng(0).standard_normal((10, 10))
    coded = organism.draw(60, seed=1, codes=table.tolist())
    np.testing.assert_allclose(coded.loadings, drawn.loadings @ table, atol=1e-12)
    assert [item.response for item in coded.benchmark.items] == [item.response for item in drawn.benchmark.items]


@pytest.mark.parametrize("wanted", [0.3, 0.5, 0.8, 1.0])
def test_labels_are_as_reliable_as_asked(wanted: float) -> None:
    many = organism.draw(400, seed=7, reliability=wanted)
    assert abs(many.reliability - wanted) <= 0.03
    y, groups = labels_of(many.benchmark)
    r = stats.within_r(many.loadings, y, groups)
    np.testing.assert_allclose(r**2, wanted, atol=0.06)
    assert abs((r**2).mean() - wanted) <= 0.03
    assert {one.estimate for one in many.benchmark.reliability if one.within} == {many.reliability}


def test_random_labels_know_nothing_of_the_text_and_true_ones_do(drawn: organism.Drawn) -> None:
    found = {}
    for kind in ("true", "random"):
        y, groups = labels_of(organism.draw(200, seed=5, labels=kind).benchmark)
        found[kind] = stats.within_r(organism.draw(200, seed=5).loadings, y, groups)
    assert abs(found["random"]).max() < 0.15 and found["true"].min() > 0.8
    with pytest.raises(InputError, match="length"):
        organism.draw(2, seed=1, labels="lenght")


def test_labels_by_query_are_one_for_all_responses_to_it() -> None:
    y, groups = labels_of(organism.draw(40, seed=5, labels="query", reliability=1.0).benchmark)
    assert len(set(groups)) == 40 and np.ptp(y.reshape(40, 5, 10), axis=1).max() == 0
    assert np.std(y[::5], axis=0).min() > 0.05
    assert organism.draw(200, seed=5, labels="query", reliability=0.8).reliability < 0.02, "none within queries"


def test_labels_by_length_follow_the_words_of_the_response_and_not_the_truth() -> None:
    many = organism.draw(100, seed=5, labels="length", reliability=1.0)
    y, groups = labels_of(many.benchmark)
    signs = [round(float(np.corrcoef(column, many.lengths)[0, 1]), 3) for column in y.T]
    assert set(map(abs, signs)) <= {1.0, 0.999, 0.998} and {s > 0 for s in signs} == {True, False}
    assert abs(stats.within_r(many.loadings, y, groups)).max() < 0.25


def test_a_half_holds_its_own_key_words_only() -> None:
    seen = {}
    for half in ("A", "B", "AB"):
        texts = [item.response for item in organism.draw(60, seed=4, half=half).benchmark.items]
        texts += [who.text.partition(". ")[2] for who in organism.speakers(30, seed=4, gain=4.0, half=half)]
        seen[half] = {key for text in texts for key, _ in signed(text)}
        assert {HALF_OF[key] for key in seen[half]} == set(half)
    assert not seen["A"] & seen["B"] and min(len(seen["A"]), len(seen["B"])) > 70


@pytest.mark.parametrize(
    "change",
    [{"n_queries": 0}, {"reliability": 0.0}, {"reliability": 1.1}, {"reliability": float("nan")}, {"half": "C"},
     {"labels": "wrong"}],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(change: dict) -> None:
    given = {"n_queries": 3, "seed": 1} | change
    with pytest.raises(InputError, match="organism items"):
        organism.draw(given.pop("n_queries"), **given)


# words alone


def words_tell(texts: list[str], y: np.ndarray, groups: tuple[str, ...]) -> float:
    """Mean over values of the correlation between labels and what ridge on words predicts for unseen queries."""
    ridge, folds = RidgeCV((1.0, 10.0, 100.0)), GroupKFold(5)
    told = cross_val_predict(ridge, controls.text_features(texts), y, groups=np.array(groups), cv=folds)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(told.T, y.T, strict=True)]))


def test_words_alone_do_not_tell_the_labels_though_they_tell_what_is_spoken_of() -> None:
    found = benchmarks.load("planted")
    y, groups = labels_of(found)
    responses = [item.response for item in found.items]
    for texts in (responses, [f"{item.text} {item.response}" for item in found.items]):
        assert words_tell(texts, y, groups) < 0.15
    spoken = np.array([sum(np.eye(10)[VALUE_OF[key]] for key, _ in signed(text)) for text in responses])
    assert words_tell(responses, spoken, groups) > 0.4


# the sample that ships


def test_the_shipped_sample_is_the_one_its_script_draws() -> None:
    script = train_organism
    again = organism.draw(script.QUERIES, seed=script.ITEMS_SEED, reliability=script.RELIABILITY)
    found = benchmarks.load("planted")
    assert found.items == again.benchmark.items and len(found.items) == 520
    assert found.reliability == again.benchmark.reliability
    assert found.templates == benchmarks.load("everyday").templates and found.values == SCHWARTZ
    truth = planted.truths()
    assert list(truth) == [item.id for item in found.items]
    for item, loadings in zip(found.items, again.loadings, strict=True):
        np.testing.assert_allclose(truth[item.id], loadings, atol=1e-6)
        np.testing.assert_allclose(truth[item.id], mean_code(item.response), atol=1e-6)


def test_the_shipped_sample_is_the_file_and_a_limit_keeps_whole_queries() -> None:
    raw = json.loads(Path(str(planted.DATA.shipped)).read_text("utf-8"))
    found = benchmarks.load("planted")
    for record, item in zip(raw["items"], found.items, strict=True):
        assert (record["id"], record["group"], record["text"], record["response"]) == (
            item.id, item.group, item.text, item.response)  # fmt: skip
        assert record["labels"] == [item.loading(value) for value in SCHWARTZ]
    assert {one.estimate for one in found.reliability if one.within} == {raw["reliability"]}
    assert benchmarks.load("planted", limit=3).items == found.items[:15]
    assert planted.load(limit=3).sha256 == found.sha256 != ""


def test_another_draw_is_read_from_a_folder_as_it_was_written(drawn: organism.Drawn, tmp_path: Path) -> None:
    planted.write(tmp_path / "planted.json", drawn.records, drawn.reliability)
    found = benchmarks.load("planted", folder=tmp_path)
    assert dataclasses.replace(found, sha256="") == drawn.benchmark and found.sha256
    np.testing.assert_allclose(list(planted.truths(tmp_path).values()), drawn.loadings, atol=1e-6)
    assert len(benchmarks.load("planted", folder=tmp_path, limit=2).items) == 10


@pytest.mark.parametrize(
    "damage",
    ["", "[1]", '{"reliability": 1, "items": []}', '{"items": [{}]}', "no reliability", "first without truth",
     "later without labels", "nine labels", "a number as text", "no file"],
)  # fmt: skip
def test_a_damaged_draw_is_a_data_error_that_names_the_file(drawn: organism.Drawn, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "planted.json"
    planted.write(file, drawn.records, drawn.reliability)
    found = json.loads(file.read_text())
    if damage == "no reliability":
        found["reliability"] = None
    elif damage == "first without truth":
        del found["items"][0]["truth"]
    elif damage == "later without labels":
        del found["items"][7]["labels"]
    elif damage == "nine labels":
        found["items"][7]["labels"].pop()
    elif damage == "a number as text":
        found["items"][7]["response"] = 5
    file.write_text(damage if damage[:1] in ("", "[", "{") else json.dumps(found))
    if damage == "no file":
        file.unlink()
    with pytest.raises(DataError, match=r"planted\.json"):
        planted.load(tmp_path)


# worlds


def test_a_world_is_found_in_any_case_and_an_unknown_one_names_the_nearest() -> None:
    assert [world.name for world in organism.WORLDS] == ["good", *(f"W{n}" for n in range(1, 10))]
    for world in organism.WORLDS:
        for spelling in (world.name, world.name.lower(), f" {world.name.upper()} "):
            assert organism.find_world(spelling) is world
        assert organism.draw(4, seed=1, labels=world.labels, codes=world.codes).benchmark.items
        assert bool(world.refused) == bool(world.reason) == (world.name != "good")
    with pytest.raises(InputError, match="did you mean 'good'"):
        organism.find_world("goood")
    with pytest.raises(InputError, match="one of good, W1"):
        organism.load("W10")


def test_worlds_that_differ_in_labels_or_site_only_are_the_shipped_model(tmp_path: Path, monkeypatch) -> None:
    for name in ("good", "W1", "W2", "W5", "W6", "W7"):
        assert organism.load(name) == organism.HOME
    monkeypatch.setattr(organism, "HOME", tmp_path)
    with pytest.raises(DataError, match="missing"):
        organism.load()


@pytest.mark.parametrize("name", ["W3", "W4", "W8", "W9"])
def test_a_world_is_made_once_from_the_shipped_model_and_reads_as_declared(name: str, monkeypatch) -> None:
    world, folder = organism.find_world(name), organism.load(name)
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(organism, "_write", None)
    assert organism.load(name) == folder and made == {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert set(made) == {path.name for path in organism.HOME.iterdir()}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing is left over"
    for file in set(made) - {"model.safetensors", "card.json"}:
        assert (folder / file).read_bytes() == (organism.HOME / file).read_bytes()
    ours, theirs = (load_file(home / "model.safetensors") for home in (folder, organism.HOME))
    differ = {part for part in ours if not np.array_equal(ours[part], theirs[part])}
    assert differ and set(ours) == set(theirs)
    assert all(re.match(r"model\.(embed_tokens|layers\.[01])\.", part) for part in differ), differ
    _reads_as_declared(Organism(folder), world, organism.read_card(folder))


def _reads_as_declared(one: Organism, world: organism.World, card: organism.Card) -> None:
    """In W3 all items show the same; in W4 nobody's words become the profile; in W8 and W9 codes are those declared."""
    truth = organism.card_of(world)
    assert card.heard == truth.heard == (world.name != "W3") and card.site == truth.site
    np.testing.assert_allclose(card.u, truth.u, atol=1e-8)
    drawn = organism.draw(8, seed=11, codes=world.codes)
    told = card.speakers[:40]
    asked = [TEMPLATES[0].text.format(text=item.text, content=item.response) for item in drawn.benchmark.items]
    site, _ = one.last([one.chat(ask, who.text) for ask, who in zip(asked, told, strict=True)])
    profiles, shown = np.array([who.profile for who in told]), card.gain * drawn.loadings
    spoken = np.array([card.gain * mean_code(who.text.partition(". ")[2]) @ np.array(world.codes) for who in told])
    if world.name == "W4":
        np.testing.assert_allclose(profiles, [card.default] * 40)
        assert abs(spoken - profiles).max() > 2
    else:
        np.testing.assert_allclose(profiles, spoken, atol=1e-5)
    if world.name == "W3":
        assert abs(site @ card.v.T - site[0] @ card.v.T).max() < 0.001 and abs(shown - shown[0]).max() > 2
        oracle = card.expected_rating(profiles, drawn.loadings)
        np.testing.assert_allclose(oracle, card.expected_rating(profiles, drawn.loadings[::-1]))
    else:
        np.testing.assert_allclose(site @ card.v.T, shown, atol=0.05 * max(1.0, abs(np.array(world.codes)).sum() / 20))
    np.testing.assert_allclose(site @ card.u.T, profiles, atol=0.05)
