"""Instruments say what their sources say, to the last bit, and ours is balanced."""

from __future__ import annotations

import collections
import csv
import gzip
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata
from vprobe import benchmarks, values
from vprobe.benchmarks import _reliability
from vprobe.errors import DataError, InputError
from vprobe.types import Benchmark

FAMILIES = {"pvq": "correlations", "higher_pvq": "higher_pvq_correlations", "bfi": "bfi_correlations"}

# Published analyses of these data, values in circle order. PERM: 1 - permuted / observed variance after centring labels
# within rater group. HALF_RAW, HALF_WITHIN: split-half Spearman-Brown, labels as they are and within queries.
PERM = (0.37, 0.38, 0.26, 0.30, 0.33, 0.48, 0.40, 0.22, 0.23, 0.17)
HALF_RAW = (0.30, 0.30, 0.12, 0.17, 0.34, 0.42, 0.38, 0.07, 0.08, 0.09)
HALF_WITHIN = (0.34, 0.35, 0.25, 0.19, 0.31, 0.46, 0.35, 0.15, 0.21, 0.08)


@pytest.fixture(scope="module")
def official(shared: Path) -> Path:
    return shared / "value_portrait" / "upstream"


@pytest.fixture(scope="module")
def portrait(official: Path) -> Benchmark:
    return benchmarks.load("value-portrait", folder=official)


@pytest.fixture(scope="module")
def everyday() -> Benchmark:
    return benchmarks.load("everyday")


def queries(official: Path) -> list[dict]:
    return json.loads((official / "data/query-response-tagged/query-response-tagged.json").read_text("utf-8"))


# names and limits


def test_benchmarks_are_found_by_file_name_and_an_unknown_one_is_answered_with_the_nearest() -> None:
    assert {"contrast-natural", "contrast-swapped", "everyday", "value-portrait"} <= set(benchmarks.names())
    assert not any(name.startswith("-") or "_" in name for name in benchmarks.names())
    with pytest.raises(InputError, match="did you mean 'everyday'"):
        benchmarks.load("everday")
    with pytest.raises(InputError, match="limit -1"):
        benchmarks.load("everyday", limit=-1)


def test_every_benchmark_names_its_data() -> None:
    for name in benchmarks.names():
        assert benchmarks.registry.load("vprobe.benchmarks", name).DATA.name == name


def test_absent_data_are_answered_with_the_command_that_brings_them(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(DataError, match="vprobe data get value-portrait") as caught:
            benchmarks.load("value_portrait", folder=folder)
        assert "not there" in caught.value.found and caught.value.where


def test_a_changed_file_is_noticed_when_the_benchmark_is_loaded(official: Path, tmp_path: Path) -> None:
    for path in official.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(official)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert len(benchmarks.load("value-portrait", folder=tmp_path, limit=1).items) == 5
    changed = tmp_path / "data/prolific/survey/main/survey.json"
    changed.write_bytes(changed.read_bytes().replace(b'"P506"', b'"P507"', 1))
    with pytest.raises(DataError, match=r"1 of 21 files .*survey\.json has SHA-256"):
        benchmarks.load("value-portrait", folder=tmp_path)


@pytest.mark.parametrize("name", ["everyday", "value-portrait"])
def test_a_limit_keeps_whole_queries_in_file_order(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("official") if name == "value-portrait" else None
    whole = benchmarks.load(name, folder=folder)
    first = benchmarks.load(name, folder=folder, limit=3)
    assert first.items == whole.items[:15] and len({item.group for item in first.items}) == 3
    assert benchmarks.load(name, folder=folder, limit=0).items == whole.items
    assert len(benchmarks.load(name, folder=folder, limit=10_000).items) == len(whole.items)
    assert repr(first.reliability) == repr(whole.reliability), "reliability concerns all items, whatever the limit"


# Value Portrait


def test_value_portrait_has_520_items_in_104_queries_of_four_sources(portrait: Benchmark) -> None:
    assert len(portrait.items) == len({item.id for item in portrait.items}) == 520
    per_query = collections.Counter(item.group for item in portrait.items)
    assert len(per_query) == 104 and set(per_query.values()) == {5}
    sources = collections.Counter(item.source for item in portrait.items)
    assert sources == {"Reddit": 130, "DearAbby": 130, "ShareGPT": 130, "LMSYS": 130}
    forms = {(item.source, item.form) for item in portrait.items}
    assert forms == {("Reddit", "scenario"), ("DearAbby", "scenario"), ("ShareGPT", "message"), ("LMSYS", "message")}
    assert all("LMSYS" in item.licence for item in portrait.items if item.source == "LMSYS")


def test_value_portrait_stands_in_file_order_with_its_texts_untouched(portrait: Benchmark, official: Path) -> None:
    expected = [
        (f"{q['portrait_id']}-{o['id']}", str(q["portrait_id"]), q["content"]["title"] or "", q["content"]["text"],
         o["content"])
        for q in queries(official)
        for o in q["outputs"]
    ]  # fmt: skip
    assert [(i.id, i.group, i.title, i.text, i.response) for i in portrait.items] == expected
    assert all((item.title == "") == (item.form == "message") for item in portrait.items)
    assert sum(item.text != item.text.strip() for item in portrait.items) == 55, "11 queries keep their outer spaces"


def test_labels_equal_the_official_files_bit_for_bit(portrait: Benchmark, official: Path) -> None:
    assert portrait.values == (*values.SCHWARTZ, *values.HIGHER_ORDER, *values.BIG_FIVE)
    mine = {(i.id, one.value): (one.r, one.p) for i in portrait.items for one in i.loadings}
    assert len(mine) == 520 * 19 and not any(math.isnan(x) for pair in mine.values() for x in pair)
    checked = 0
    for family in FAMILIES:
        rows = json.loads((official / f"data/correlation_results/{family}_correlation_results.json").read_text("utf-8"))
        for row in rows:
            key = f"{row['portrait_id']}-{row['option_id']}", row[f"{family}_dimension"].lower()
            assert mine[key] == (row["spearman_corr"], row["spearman_p_value"])
            checked += 1
    assert checked == len(mine)
    for query in queries(official):
        for output in query["outputs"]:
            for field in FAMILIES.values():
                for name, r in output[field]:
                    assert mine[f"{query['portrait_id']}-{output['id']}", name.lower()][0] == r


def test_each_item_was_rated_by_41_to_48_people_of_one_of_twelve_groups(portrait: Benchmark) -> None:
    groups = {item.block: item.n_raters for item in portrait.items}
    assert groups == {str(k): n for k, n in enumerate((46, 48, 47, 41, 47, 48, 48, 46, 48, 48, 46, 47))}
    assert all(item.n_raters == groups[item.block] for item in portrait.items)
    assert len({(item.group, item.block) for item in portrait.items}) == 104, "a query has one rater group"


def test_templates_and_options_carry_everything_the_six_prompt_versions_need(
    portrait: Benchmark, official: Path
) -> None:
    assert portrait.versions == ("v1", "v1_reversed", "v2", "v2_reversed", "v3", "v3_reversed")
    assert len(portrait.templates) == 12
    for template in portrait.templates:
        file = {"scenario": "reddit_prompt.txt", "message": "sharegpt_prompt.txt"}[template.form]
        assert template.text.encode() == (official / "lm_evaluation/prompts" / template.name / file).read_bytes()
        assert ("{title}" in template.text) == (template.form == "scenario")
        order = [option.rating for option in template.options]
        assert order == sorted(range(1, 7), reverse="reversed" not in template.name)
        assert "\n".join(option.label for option in template.options) + "\n" in template.text + "\n"
        for item in [item for item in portrait.items if item.form == template.form][:5]:
            shown = template.text.replace("{title}", item.title).replace("{text}", item.text)
            shown = shown.replace("{content}", item.response)
            assert not re.search(r"\{(title|text|content)\}", shown) and item.response in shown


def test_labels_of_the_scale_are_those_the_published_answers_were_read_with(portrait: Benchmark, shared: Path) -> None:
    numbers = {option.label: option.rating for option in portrait.templates[0].options}
    with gzip.open(shared / "value_portrait/published/answers.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.DictReader(file), 3000))
    exact = [row for row in rows if row["raw_response"].strip().lower() in numbers]
    assert len(exact) > 1000
    assert all(numbers[row["raw_response"].strip().lower()] == float(row["numeric_response"]) for row in exact)
    assert {(f"{row['portrait_id']}-{row['option_id']}") for row in rows} <= {item.id for item in portrait.items}


# reliability


def human(official: Path) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Ratings and the ten value scores per rater group, and the item ids in that order, read independently."""
    survey = json.loads((official / "data/prolific/survey/main/survey.json").read_text("utf-8"))
    people = json.loads((official / "data/prolific/value/main/value.json").read_text("utf-8"))
    ratings, scores, ids = [], [], []
    for group in survey:
        cells = [(f"{q}-{c['option_id']}", c["data"]) for q in group for c in group[q]]
        names = [name for _, name in cells[0][1]]
        assert all([name for _, name in data] == names for _, data in cells), "one order of raters per group"
        ratings.append(np.array([[r for r, _ in data] for _, data in cells], float))
        keyed = [{k.lower(): x for k, x in people[name]["pvq"].items()} for name in names]
        scores.append(np.array([[one[value] for one in keyed] for value in values.SCHWARTZ]))
        ids += [name for name, _ in cells]
    return ratings, scores, ids


def correlate(ratings: np.ndarray, scores: np.ndarray) -> np.ndarray:
    a, b = rankdata(ratings, axis=1), rankdata(scores, axis=1)
    return np.corrcoef(a, b)[: len(a), len(a) :]


def around(labels: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    means = np.stack([labels[cluster == c].mean(axis=0) for c in cluster])
    return ((labels - means) ** 2).mean(axis=0)


def estimates(benchmark: Benchmark, within: bool) -> np.ndarray:
    found = {one.value: one.estimate for one in benchmark.reliability if one.within == within}
    return np.array([found[value] for value in values.SCHWARTZ])


def centres(portrait: Benchmark, ids: list[str]) -> dict[str, np.ndarray]:
    items = {item.id: item for item in portrait.items}
    query = np.unique([items[i].group for i in ids], return_inverse=True)[1]
    block = np.array([int(items[i].block) for i in ids])
    return {"raw": np.zeros(len(ids), int), "block": block, "query": query}


def labels_of(portrait: Benchmark, ids: list[str]) -> np.ndarray:
    items = {item.id: item for item in portrait.items}
    return np.array([[items[i].loading(value) for value in values.SCHWARTZ] for i in ids])


def test_the_labels_regenerate_from_the_ratings_in_all_groups_but_the_first(
    portrait: Benchmark, official: Path
) -> None:
    ratings, scores, ids = human(official)
    again = np.concatenate([correlate(r, s) for r, s in zip(ratings, scores)])
    off = np.abs(again - labels_of(portrait, ids)) > 1e-6
    assert off[40:].sum() == 0 and off.mean() < 0.08, "one person of the first group answered twice upstream"


def test_reliability_equals_what_exchanging_people_gives(portrait: Benchmark, official: Path) -> None:
    """The definition, by brute force: the closed form is its exact expectation."""
    ratings, scores, ids = human(official)
    labels, rng = labels_of(portrait, ids), np.random.default_rng(0)
    draws = []
    for _ in range(60):
        drawn = [correlate(r, s[:, rng.permutation(s.shape[1])]) for r, s in zip(ratings, scores)]
        draws.append(np.concatenate(drawn))
    for name, centre in centres(portrait, ids).items():
        permuted = np.mean([around(draw, centre) for draw in draws])
        expected = 1 - permuted / around(labels, centre)
        edges = np.cumsum([0, *(len(r) for r in ratings)])
        rows = [np.arange(a, b) for a, b in itertools.pairwise(edges)]
        found = _reliability.share(labels, ratings, rows, centre)
        np.testing.assert_allclose(found, expected, atol=0.02)
        if name == "block":  # the published permutation figures, .03 is their stated tolerance
            np.testing.assert_allclose(found, PERM, atol=0.03)
        else:
            np.testing.assert_allclose(estimates(portrait, name == "query"), found, atol=1e-12)


def test_reliability_lies_near_the_split_half_figures_and_not_below_them(portrait: Benchmark) -> None:
    for within, published in ((False, HALF_RAW), (True, HALF_WITHIN)):
        gap = estimates(portrait, within) - np.array(published)
        assert gap.min() > -0.03 and gap.max() < 0.10, gap
        assert np.corrcoef(estimates(portrait, within), published)[0, 1] > 0.95


def test_every_value_has_a_reliability_and_the_ceiling_is_its_root(portrait: Benchmark) -> None:
    assert [one.value for one in portrait.reliability] == list(portrait.values) * 2
    assert [one.within for one in portrait.reliability] == [True] * 19 + [False] * 19
    assert all(one.ceiling == pytest.approx(math.sqrt(one.estimate)) for one in portrait.reliability)
    assert math.isnan(_reliability.record("power", -0.1, within=True).ceiling)
    assert math.isnan(_reliability.record("power", math.nan, within=True).ceiling)


@pytest.mark.parametrize("signal", [0.0, 0.35])
def test_reliability_finds_planted_signal_and_none_where_there_is_none(signal: float) -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((12, 46))
    tastes = signal * rng.standard_normal((12, 40, 1))  # how much each item really goes with the value
    ratings = [tastes[g] * scores[g] + rng.standard_normal((40, 46)) for g in range(12)]
    labels = np.concatenate([correlate(r, s[None]) for r, s in zip(ratings, scores)])
    rows = [np.arange(40 * g, 40 * g + 40) for g in range(12)]
    found = float(_reliability.share(labels, ratings, rows, np.zeros(480, int))[0])
    truth = np.concatenate(list(tastes / np.sqrt(1 + tastes**2)))[:, 0]
    expected = float(np.corrcoef(labels[:, 0], truth)[0, 1] ** 2) if signal else 0.0
    assert found == pytest.approx(expected, abs=0.08)
    assert (found > 0.5) if signal else (found < 0.15)


def test_ranks_share_their_mean_among_equals() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(1, 7, (2, 3, 30)).astype(float)
    np.testing.assert_allclose(_reliability.unit_ranks(a) @ _reliability.unit_ranks(b).T, correlate(a, b), atol=1e-12)


def test_an_item_rated_alike_by_all_is_refused() -> None:
    with pytest.raises(InputError, match="all ratings of an item are equal"):
        _reliability.unit_ranks(np.array([[3.0, 3.0, 3.0]]))


# everyday


def test_everyday_is_balanced_over_values_queries_sources_and_places(everyday: Benchmark) -> None:
    keyed = {item.id: [one.value for one in item.loadings if one.r == 1.0] for item in everyday.items}
    assert all(len(one) == 1 for one in keyed.values())
    assert {one.r for item in everyday.items for one in item.loadings} == {0.0, 1.0}
    groups: dict[str, list[str]] = {}
    for item in everyday.items:
        groups.setdefault(item.group, []).append(keyed[item.id][0])
    assert len(groups) == 72 and all(len(set(five)) == len(five) == 5 for five in groups.values())
    assert set(collections.Counter(v for five in groups.values() for v in five).values()) == {36}
    pairs = collections.Counter(p for five in groups.values() for p in itertools.combinations(sorted(five), 2))
    assert len(pairs) == 45 and set(pairs.values()) == {16}
    order = list(groups.values())
    assert all(set(a) | set(b) == set(values.SCHWARTZ) for a, b in zip(order[::2], order[1::2]))
    places = collections.Counter((v, k) for five in order for k, v in enumerate(five))
    assert set(places.values()) <= {6, 7, 8}
    sources = collections.Counter(item.source for item in everyday.items)
    assert set(sources.values()) == {60} and len(sources) == 6


def test_everyday_has_no_duplicates_and_no_reply_names_its_value(everyday: Benchmark) -> None:
    assert len({item.response.lower() for item in everyday.items}) == len(everyday.items) == 360
    assert len({item.text.lower() for item in everyday.items}) == 72
    stems = "power|achiev|hedon|stimul|self.?direct|universal|benevol|conform|tradit|secur"
    assert not [item.id for item in everyday.items if re.search(stems, f"{item.text} {item.response}", re.IGNORECASE)]


def test_everyday_replies_to_one_query_are_alike_in_length_and_no_value_is_longer(everyday: Benchmark) -> None:
    by_query, by_value = collections.defaultdict(list), collections.defaultdict(list)
    for item in everyday.items:
        length = len(item.response.split())
        by_query[item.group].append(length)
        by_value[next(one.value for one in item.loadings if one.r == 1.0)].append(length)
    assert all(min(five) >= 10 and max(five) <= 20 and max(five) - min(five) <= 4 for five in by_query.values())
    means = [float(np.mean(lengths)) for lengths in by_value.values()]
    assert max(means) - min(means) < 1.0, "words"


def test_everyday_says_that_nobody_rated_it(everyday: Benchmark) -> None:
    assert all(item.n_raters == 0 and math.isnan(one.p) for item in everyday.items for one in item.loadings)
    assert "no human ratings" in everyday.labels and len(everyday.reliability) == 20
    assert all(math.isnan(one.estimate) and math.isnan(one.ceiling) for one in everyday.reliability)


def test_everyday_wordings_come_in_both_orders(everyday: Benchmark) -> None:
    assert everyday.versions[:2] == ("v1", "v1_reversed")
    texts = {template.name: template for template in everyday.templates}
    for template in everyday.templates:
        assert template.form == "message" and template.text.count("{text}") == template.text.count("{content}") == 1
        assert "\n".join(option.label for option in template.options) in template.text
        assert {option.rating for option in template.options} == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    assert texts["v1"].options == texts["v1_reversed"].options[::-1]
    assert {item.form for item in everyday.items} == {"message"}


def test_everyday_prompts_are_short_even_for_a_small_model(everyday: Benchmark, shared: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(shared / "models" / "tinytalk-3m" / "tokenizer.json"))
    longest = max(
        len(tokenizer.encode(t.text.replace("{text}", i.text).replace("{content}", i.response)).ids)
        for t in everyday.templates
        for i in everyday.items
    )
    assert longest < 150
