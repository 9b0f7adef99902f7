"""Portrait questionnaires: keys partition their items, scores are centred, saying yes to all says nothing."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from vprobe import benchmarks, prompts, scoring, values
from vprobe.benchmarks import portraits
from vprobe.benchmarks._pvq_keys import PVQ_21, PVQ_40, PVQ_RR, Key
from vprobe.errors import DataError, InputError
from vprobe.scoring import pvq_21
from vprobe.types import ScaleRow

KEYS = {"pvq-21": PVQ_21, "pvq-40": PVQ_40, "pvq-rr": PVQ_RR}
Rows = dict[tuple[str, str, str], ScaleRow]


def scored(
    name: str, path: Path, people: dict[str, list], rule: str = "centred", column: str = "numeric_response"
) -> Rows:
    """Score answers, one list per respondent and "respondent/version", by way of a file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["model", "version", "item", column])
        for who, answers in people.items():
            model, _, version = who.partition("/")
            out.writerows([model, version or "v1", item, x] for item, x in enumerate(answers, start=1))
    rows = scoring.score(name, scoring.read(name, path), rule=rule)
    return {(one.respondent, one.family, one.scale): one for one in rows}


def supplied(folder: Path, key: Key) -> Path:
    lines = [f"{i},Portrait {i}." for i in range(key.n_items, 0, -1)]
    (folder / f"{key.name.replace('-', '_')}.csv").write_text("\ufeffItem,Text\r\n" + "\r\n".join(lines), "utf-8")
    return folder


# keys


@pytest.mark.parametrize("key", [PVQ_21, PVQ_40, PVQ_RR, portraits.key()], ids=lambda key: key.name)
def test_every_item_is_in_one_scale_and_every_part_of_a_higher_value_is_a_scale(key: Key) -> None:
    assert sorted(i for scale in key.scales for i in scale.items) == list(range(1, key.n_items + 1))
    assert [scale.name for scale in key.broad] == list(values.SCHWARTZ)
    assert {one.name for one in key.higher} == set(values.HIGHER_ORDER)
    parts = [part for one in key.higher for part in one.parts]
    left = {scale.name for scale in key.scales} - set(parts)
    assert len(parts) == len(set(parts)) and left == ({"face", "humility"} if key is PVQ_RR else set())


def test_spot_checks_of_the_published_keys() -> None:
    items = {(key.name, scale.name): scale.items for key in KEYS.values() for scale in (*key.broad, *key.scales)}
    assert items["pvq-21", "universalism"] == (3, 8, 19) and items["pvq-21", "security"] == (5, 14)
    assert items["pvq-40", "security"] == (5, 14, 21, 31, 35) and items["pvq-40", "power"] == (2, 17, 39)
    assert items["pvq-rr", "face"] == (9, 24, 49) and items["pvq-rr", "conformity_interpersonal"] == (4, 22, 51)
    broad = {scale.name: scale.items for scale in PVQ_RR.broad}
    assert broad["tradition"] == (7, 18, 33, 38, 40, 54) and broad["achievement"] == (17, 32, 48)
    assert set(range(1, 58)) - {i for one in broad.values() for i in one} == {9, 24, 49}


# scores


def test_a_profile_comes_back_less_the_mean_over_all_items_and_higher_values_are_means_of_means(tmp_path: Path) -> None:
    """Items count alike in the mean, so universalism with three items weighs more than a value with two."""
    mine = [2.0] * 21
    for item in (3, 8, 19):
        mine[item - 1] = 6.0
    mine[13] = 5.0
    base = (3 * 6 + 5 + 17 * 2) / 21
    found = scored("pvq-21", tmp_path / "a.csv", {"m": mine})
    universalism = found["m", "pvq", "universalism"]
    assert universalism.estimate == pytest.approx(6 - base) and universalism.raw == 6.0 and universalism.n == 3
    assert found["m", "pvq", "security"].estimate == pytest.approx(3.5 - base)
    assert found["m", "pvq", "security"].spread == 1.5
    assert found["m", "higher_pvq", "self_transcendence"].estimate == pytest.approx((6 + 2) / 2 - base)
    assert found["m", "higher_pvq", "conservation"].estimate == pytest.approx((3.5 + 2 + 2) / 3 - base)
    assert found["m", "higher_pvq", "self_transcendence"].n == 5 and universalism.kind == "self_report"
    raw = scored("pvq-21", tmp_path / "a.csv", {"m": mine}, rule="raw")
    assert raw["m", "pvq", "universalism"].estimate == 6.0


@pytest.mark.parametrize("name", KEYS)
def test_item_weighted_centred_values_add_up_to_nothing(name: str, tmp_path: Path) -> None:
    key = KEYS[name]
    mine = list(np.random.default_rng(1).integers(1, 7, key.n_items))
    found = scored(name, tmp_path / "a.csv", {"m": mine})
    family = "pvq_refined" if key is PVQ_RR else "pvq"
    total = sum(len(scale.items) * found["m", family, scale.name].estimate for scale in key.scales)
    assert total == pytest.approx(0.0, abs=1e-12)


def test_the_revised_form_scores_nineteen_ten_and_four(tmp_path: Path) -> None:
    mine = [3.0] * 57
    for item in (7, 38, 54, 9, 24, 49):  # humility and face
        mine[item - 1] = 6.0
    found = scored("pvq-rr", tmp_path / "a.csv", {"m": mine})
    assert Counter(family for _, family, _ in found) == {"pvq": 10, "pvq_refined": 19, "higher_pvq": 4}
    base = 3 + 18 / 57
    assert found["m", "pvq_refined", "humility"].estimate == pytest.approx(6 - base)
    assert found["m", "pvq", "tradition"].raw == 4.5 and found["m", "pvq_refined", "tradition"].raw == 3.0
    assert all(found["m", "higher_pvq", one].raw == 3.0 for one in values.HIGHER_ORDER)


@pytest.mark.parametrize(("name", "most"), [("pvq-21", 5), ("pvq-40", 9), ("pvq-rr", 13)])
def test_who_leaves_out_too_many_portraits_is_unscored_and_counted(name: str, most: int, tmp_path: Path) -> None:
    mine: list = [4] * KEYS[name].n_items
    just, over = (
        ["" if i < most else x for i, x in enumerate(mine)],
        ["" if i <= most else x for i, x in enumerate(mine)],
    )
    found = scored(name, tmp_path / "a.csv", {"just": just, "over": over, "over/v2": over})
    assert found["just", "higher_pvq", "self_enhancement"].estimate == 0.0
    assert all(math.isnan(row.estimate) for (who, _, _), row in found.items() if who == "over")
    one = KEYS[name].broad[-1]
    lost = sum(i <= most for i in one.items)
    assert found["just", "pvq", one.name].n_unscored == lost > 0
    assert found["just", "pvq", one.name].n == len(one.items) - lost


def test_versions_are_averaged_item_by_item_and_one_may_fill_the_gaps_of_another(tmp_path: Path) -> None:
    first, second = ["" if i % 2 else 2 for i in range(21)], [4] * 21
    found = scored("pvq-21", tmp_path / "a.csv", {"m/v1": first, "m/v2": second})
    assert found["m", "pvq", "power"].raw == 3.5 and found["m", "pvq", "self_direction"].raw == 3.0


def test_alpha_tells_a_scale_that_hangs_together_from_noise_and_needs_ten_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    people = rng.integers(1, 7, (40, 21))
    people[:, [2 - 1, 17 - 1]] = rng.integers(1, 7, (40, 1))
    table = {f"m{i}": list(row) for i, row in enumerate(people)}
    found = scored("pvq-21", tmp_path / "a.csv", table)
    power, security = found["m0", "pvq", "power"], found["m0", "pvq", "security"]
    assert power.reliability == pytest.approx(1.0) and power.reliability_of == "Cronbach's alpha over 40 respondents"
    assert security.reliability < 0.5
    uneven = people[:, [3 - 1, 8 - 1, 19 - 1]]
    total = np.cov(uneven.T).sum()
    alpha = 1.5 * (1 - np.trace(np.cov(uneven.T)) / total)
    assert found["m0", "pvq", "universalism"].reliability == pytest.approx(alpha)
    few = scored("pvq-21", tmp_path / "a.csv", {who: table[who] for who in list(table)[:9]})
    assert math.isnan(few["m0", "pvq", "power"].reliability) and few["m0", "pvq", "power"].reliability_of == ""


def test_words_digits_and_nonsense_are_read_as_such(tmp_path: Path) -> None:
    said = (
        "Very much like me",
        "not like me at all.",
        "It is not like me",
        "6",
        " 3. ",
        "(2)",
        "7",
        "3 or 4",
        "no idea",
    )
    found = [pvq_21.parse(text, "v1_reversed", "1") for text in said]
    np.testing.assert_array_equal(found, [6, 1, 2, 6, 3, 2, math.nan, math.nan, math.nan])
    mine = ["like me"] * 20 + ["no idea"]
    row = scored("pvq-21", tmp_path / "a.csv", {"m": mine}, column="raw_response")["m", "pvq", "hedonism"]
    assert (row.raw, row.n, row.n_unscored) == (5.0, 1, 1)
    with pytest.raises(InputError, match="from 1 to 6"):
        scored("pvq-21", tmp_path / "a.csv", {"m": [0] * 21})


# our own portraits


def test_saying_yes_to_everything_or_no_to_everything_scores_zero_on_every_value(tmp_path: Path) -> None:
    found = scored("portraits", tmp_path / "a.csv", {"yes": [6] * 40, "no": [1] * 40, "shy": [4] * 40})
    assert {round(row.estimate, 12) for row in found.values()} == {0.0} and len(found) == 3 * 14
    assert {row.raw for row in found.values()} == {3.5}


def test_liking_a_value_in_either_keying_raises_it_and_only_it(tmp_path: Path) -> None:
    items = benchmarks.load("portraits").items
    mine = [3.5 + 2 * item.loading("security") for item in items]
    found = scored("portraits", tmp_path / "a.csv", {"m": mine})
    scores = {value: found["m", "schwartz", value].estimate for value in values.SCHWARTZ}
    assert scores.pop("security") == pytest.approx(1.8) and list(scores.values()) == pytest.approx([-0.2] * 9)
    assert found["m", "higher_order", "conservation"].raw == pytest.approx((5.5 + 3.5 + 3.5) / 3)
    yes = scored("portraits", tmp_path / "a.csv", {"m": [min(x + 0.5, 6) for x in mine]})
    assert yes["m", "schwartz", "security"].estimate == pytest.approx(1.8)


def test_portraits_are_forty_fresh_balanced_texts_and_a_small_limit_stays_balanced() -> None:
    items = benchmarks.load("portraits").items
    counts = Counter((item.keying, next(one.value for one in item.loadings if one.r)) for item in items)
    assert set(counts.values()) == {2} and len(counts) == 20
    assert all(sum(abs(one.r) for one in item.loadings) == 1 for item in items)
    texts = [item.response for item in items]
    assert len(set(texts)) == 40 and all(re.search(r"\b[Tt]h(ey|eir|em)\b", text) for text in texts)
    assert max(len(text.split()) for text in texts) <= 30 and max(text.count(".") for text in texts) == 1
    names = [name for value in values.SCHWARTZ for name in (value, value.replace("_", "-"))]
    assert not [text for text in texts if any(re.search(rf"\b{name}\b", text.lower()) for name in names)]
    start = [(item.keying, next(one.value for one in item.loadings if one.r)) for item in items[:20]]
    assert len(set(start)) == 20 and len({value for _, value in start[:10]}) == 10


def test_a_portrait_is_asked_about_in_two_wordings_and_both_orders() -> None:
    benchmark = benchmarks.load("portraits", limit=1)
    assert benchmark.versions == ("v1", "v1_reversed", "v2", "v2_reversed")
    for version in benchmark.versions:
        prompt = prompts.render(benchmark, template=version)[0]
        text = prompt.messages[0].content
        assert benchmark.items[0].response in text and "How much is this person like you?" in text and "{" not in text
        first = text.index("very much like me") < text.index("not like me at all")
        assert first is not version.endswith("_reversed")
        assert {mark.name for mark in prompt.marks} == {"content", "response", "options"}


# wording that the user supplies


@pytest.mark.parametrize("name", KEYS)
def test_supplied_wording_is_read_in_any_order_and_gets_the_key(name: str, tmp_path: Path) -> None:
    key = KEYS[name]
    benchmark = benchmarks.load(name, folder=supplied(tmp_path, key))
    assert [item.response for item in benchmark.items] == [f"Portrait {i}." for i in range(1, key.n_items + 1)]
    for scale in key.broad:
        marked = [i for i, item in enumerate(benchmark.items, start=1) if item.loading(scale.name) == 1.0]
        assert tuple(marked) == scale.items
    assert len(benchmarks.load(name, folder=tmp_path, limit=4).items) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "an empty file"),
        ("item,wording\n1,a\n", "columns item, wording"),
        ("item,text\n1,a\n1,b\n", "item 1 a second time in row 3"),
        ("item,text\n22,a\n", "item '22' in row 2"),
        ("item,text\n1, \n", "no text for item 1 in row 2"),
        ("item,text\n" + "".join(f"{i},a\n" for i in range(1, 20)), "no item 20, 21"),
    ],
)
def test_wrong_wording_files_are_refused_with_what_is_wrong(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "pvq_21.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        benchmarks.load("pvq-21", folder=tmp_path)
    assert "pvq_21.csv" in str(caught.value) and "1 to 21" in str(caught.value)


@pytest.mark.parametrize("name", KEYS)
def test_without_a_folder_the_user_is_told_that_the_wording_is_not_ours(name: str) -> None:
    with pytest.raises(DataError, match="not ours to ship") as caught:
        benchmarks.load(name)
    assert f"{name.replace('-', '_')}.csv" in str(caught.value)
    assert {one.name: one.state for one in benchmarks.listing()}[name] == "yours"
