"""The contrast sets cannot be solved by words, and what goes with them is whole and balanced."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import math
import re
from pathlib import Path

import pytest
from scripts import baselines
from vprobe import benchmarks, values
from vprobe.benchmarks import _constructions, _shipped
from vprobe.errors import DataError, InputError
from vprobe.types import Benchmark, Item

SETS = ("contrast-natural", "contrast-swapped")
VALUE_WORDS = "power|achiev|hedon|stimul|self.?direct|universal|benevol|conform|tradit|secur"


@pytest.fixture(scope="module", params=SETS)
def contrast(request: pytest.FixtureRequest) -> Benchmark:
    return benchmarks.load(request.param)


@pytest.fixture(scope="module")
def natural() -> Benchmark:
    return benchmarks.load("contrast-natural")


@pytest.fixture(scope="module")
def swapped() -> Benchmark:
    return benchmarks.load("contrast-swapped")


def pairs(found: Benchmark) -> dict[str, list[Item]]:
    """Items by pair, which is the id without its last number."""
    out: dict[str, list[Item]] = {}
    for item in found.items:
        out.setdefault(item.id.rpartition("-")[0], []).append(item)
    return out


def words(text: str) -> list[str]:
    return sorted(re.findall(r"\w+", text.lower()))


# both sets


def test_a_pair_is_one_situation_with_a_reply_that_speaks_more_and_one_that_does_not(contrast: Benchmark) -> None:
    assert len({item.id for item in contrast.items}) == len(contrast.items) == 800
    assert len(pairs(contrast)) == 400
    for two in pairs(contrast).values():
        assert len(two) == 2 and sorted(item.loadings[0].r for item in two) == [0.0, 1.0]
        assert len({(item.text, item.group, item.block, item.source) for item in two}) == 1
        assert two[0].response != two[1].response
    assert len({two[0].text.lower() for two in pairs(contrast).values()}) == 400


def test_only_the_value_of_the_pair_is_known_and_nobody_rated_it(contrast: Benchmark) -> None:
    assert contrast.values == values.SCHWARTZ and "no human ratings" in contrast.labels
    for item in contrast.items:
        assert [one.value for one in item.loadings] == [item.source] and math.isnan(item.loadings[0].p)
        assert sum(math.isnan(item.loading(value)) for value in values.SCHWARTZ) == 9
        assert item.n_raters == 0 and item.licence == "Apache-2.0"
    assert len(contrast.reliability) == 20 and all(math.isnan(one.estimate) for one in contrast.reliability)


def test_every_value_has_at_least_forty_pairs(contrast: Benchmark) -> None:
    found = collections.Counter(two[0].source for two in pairs(contrast).values())
    assert set(found) == set(values.SCHWARTZ) and min(found.values()) >= 40


def test_an_id_does_not_give_the_answer_away(contrast: Benchmark) -> None:
    """In half of the pairs of each value the first item speaks more; the other numbers in the id tell nothing."""
    first = {name: two[0].loadings[0].r for name, two in pairs(contrast).items()}
    assert all(two[0].id.endswith("-1") and two[1].id.endswith("-2") for two in pairs(contrast).values())
    for value in values.SCHWARTZ:
        own = [r for name, r in first.items() if name.startswith(value + "-")]
        assert sum(own) == len(own) / 2
    by_number = collections.defaultdict(list)
    for name, r in first.items():
        for place, number in enumerate(re.findall(r"\d+", name)):
            by_number[place, int(number) % 2].append(r)
    assert all(0.4 < sum(rs) / len(rs) < 0.6 for rs in by_number.values()), "odd and even numbers alike"


def test_a_limit_keeps_whole_groups_and_the_values_take_turns(contrast: Benchmark) -> None:
    first = benchmarks.load(contrast.name, limit=20)
    assert first.items == contrast.items[: len(first.items)]
    assert set(collections.Counter(group[0] for group in {(i.source, i.group) for i in first.items}).values()) == {2}
    sizes = collections.Counter(item.group for item in contrast.items)
    assert all(n == sizes[group] for group, n in collections.Counter(item.group for item in first.items).items())
    assert len(benchmarks.load(contrast.name, limit=10_000).items) == 800


def test_no_text_names_a_value(contrast: Benchmark) -> None:
    assert [i.id for i in contrast.items if re.search(VALUE_WORDS, f"{i.text} {i.response}", re.IGNORECASE)] == []


def test_all_our_own_items_are_put_with_the_same_wordings(contrast: Benchmark) -> None:
    assert contrast.templates == benchmarks.load("everyday").templates
    assert {item.form for item in contrast.items} == {template.form for template in contrast.templates} == {"message"}


def test_the_two_sets_share_no_item_id(natural: Benchmark, swapped: Benchmark) -> None:
    assert not {item.id for item in natural.items} & {item.id for item in swapped.items}


# natural: twins


def test_twins_are_the_same_two_replies_with_their_roles_exchanged(natural: Benchmark) -> None:
    twins: dict[str, list[Item]] = {}
    for item in natural.items:
        twins.setdefault(item.group, []).append(item)
    assert len(twins) == 200
    for group, four in twins.items():
        assert len(four) == 4 and {item.block for item in four} == {group}
        roles: dict[str, dict[float, str]] = {}
        for item in four:
            roles.setdefault(item.text, {})[item.loadings[0].r] = item.response
        one, other = roles.values()
        assert (one[1.0], one[0.0]) == (other[0.0], other[1.0])
    assert len({item.response.lower() for item in natural.items}) == 400, "no reply stands in two twins"


# swapped: the same words


def test_both_replies_of_a_swapped_pair_have_exactly_the_same_words_and_characters(swapped: Benchmark) -> None:
    for a, b in pairs(swapped).values():
        assert words(a.response) == words(b.response), a.id
        assert sorted(a.response.lower()) == sorted(b.response.lower()), a.id
        assert a.response[0].isupper() and b.response[0].isupper()
        assert not re.search(r"[{}]", a.response + b.response)


def test_no_construction_makes_up_much_of_the_set_and_a_block_is_one_construction(swapped: Benchmark) -> None:
    blocks = collections.Counter(two[0].block for two in pairs(swapped).values())
    assert len(blocks) >= 12 and max(blocks.values()) <= 0.15 * sum(blocks.values())
    assert set(blocks) <= {str(n + 1) for n in range(len(_constructions.CONSTRUCTIONS))}
    fixed = {
        str(n): re.escape(text.format(x="<>", y="<>")).replace("<>", ".+")
        for n, text in enumerate(_constructions.CONSTRUCTIONS, start=1)
    }
    for item in swapped.items:
        assert [n for n, form in fixed.items() if re.fullmatch(form, item.response, re.IGNORECASE)] == [item.block]
    per_value = collections.Counter((two[0].source, two[0].block) for two in pairs(swapped).values())
    assert max(per_value.values()) <= 4, "no value rests on a few constructions"
    assert {item.group for item in swapped.items} == set(pairs(swapped))


def test_every_construction_sets_its_first_plan_above_the_second_by_order_alone() -> None:
    for number, text in enumerate(_constructions.CONSTRUCTIONS, start=1):
        assert text.count("{x}") == text.count("{y}") == 1
        above = _constructions.prefer(number, "rest here", "run home")
        assert baselines.phrases(above)[0].lower() == "rest here" and above[0].isupper()
        assert words(above) == words(_constructions.prefer(number, "run home", "rest here"))
    assert _constructions.prefer(1, "rest here", "run home") == "Rest here rather than run home."


# baselines


def made(more: str, less: str) -> tuple[baselines.Pair, ...]:
    """Pairs of one make for every value, in ten twins; `#` is the pair's own number, `@` takes turns."""
    return tuple(
        baselines.Pair(
            value, f"{value}{n // 2}", str(n // 2), f"in the {'rain' if n % 2 else 'sun'} {n}",
            *(text.replace("#", f"n{n}").replace("@", "ab"[n % 2]) for text in (more, less)),
        )
        for value in values.SCHWARTZ
        for n in range(20)
    )  # fmt: skip


def test_unigrams_tell_nothing_of_either_set(contrast: Benchmark) -> None:
    row = baselines.measure(baselines.pairs_of(contrast), "unigrams", folds=4, draws=50)
    assert row.pooled.accuracy <= 0.65 and row.together.accuracy <= 0.65
    assert row.exact and {one.accuracy for one in (row.pooled, row.together, *row.values)} == {0.5}
    assert row.pooled.n == 400 and [one.n for one in row.values] == [40] * 10


@pytest.mark.parametrize(
    ("baseline", "more", "less"),
    [
        ("unigrams", "help them #", "leave them #"),
        ("bigrams", "help and leave #", "leave and help #"),
        ("characters 3-5", "helpful #", "careful #"),
        ("length", "# one two three", "# one"),
        ("position", "help # and then leave", "leave # and then help"),
        ("unigrams + situation", "help them #", "leave them #"),
        ("overlap with situation", "in the # if it is", "on a # if it is"),
    ],
)
def test_a_baseline_tells_what_it_can_see(baseline: str, more: str, less: str) -> None:
    row = baselines.measure(made(more, less), baseline, folds=5, draws=50)
    assert row.pooled.accuracy > 0.95 and row.together.accuracy > 0.95 and not row.exact
    assert row.pooled.low <= row.pooled.accuracy <= row.pooled.high


def test_what_only_the_situation_decides_is_seen_by_crossing_and_by_nothing_else() -> None:
    turned = tuple(
        dataclasses.replace(one, more=one.less, less=one.more) if "rain" in one.situation else one
        for one in made("help them", "leave them")
    )
    found = {name: baselines.measure(turned, name, folds=5, draws=50) for name in ("unigrams", "unigrams x situation")}
    assert found["unigrams"].exact and found["unigrams"].pooled.accuracy == 0.5
    assert found["unigrams x situation"].pooled.accuracy > 0.95


def test_pairs_that_no_feature_can_tell_tie_and_count_as_half() -> None:
    row = baselines.measure(made("help and leave #", "leave and help #"), "unigrams", folds=5, draws=50)
    assert row.exact and row.pooled == baselines.Figure(0.5, 0.5, 0.5, 200)


def test_the_table_has_a_figure_per_value_and_says_what_is_exact() -> None:
    rows = [baselines.measure(made(*both), "unigrams", folds=5, draws=50) for both in (("a b", "b a"), ("a", "b"))]
    lines = baselines.table(rows).splitlines()
    assert [line.count("|") for line in lines] == [14] * 4
    assert "**.50 exactly**" in lines[2] and "1.00 (1.00 to 1.00)" in lines[3]


# stems and personas


def test_there_are_at_least_sixty_stems_all_different_and_without_a_stop() -> None:
    found = benchmarks.stems()
    assert len(found) >= 60
    assert len({one.id for one in found}) == len({one.text.lower() for one in found}) == len(found)
    assert all(4 <= len(one.text.split()) <= 20 and one.text[0].isupper() for one in found)
    assert not [one for one in found if re.search(VALUE_WORDS, one.text, re.IGNORECASE)]
    openings = collections.Counter(" ".join(one.text.split()[:2]) for one in found)
    assert max(openings.values()) <= len(found) / 10


def test_personas_are_balanced_over_the_values_and_name_none() -> None:
    found = benchmarks.personas()
    assert len(found) == len({one.id for one in found}) == len({one.text for one in found}) == 60
    signs = collections.Counter(pair for one in found for pair in one.values)
    high, low = ([signs[value, sign] for value in values.SCHWARTZ] for sign in (1, -1))
    assert min(high) >= 8 and max(high) - min(high) <= 2
    assert min(low) >= 4 and max(low) - min(low) <= 2
    for one in found:
        per_sign = collections.Counter(sign for _, sign in one.values)
        assert 1 <= per_sign[1] <= 3 and per_sign[-1] <= 2 and one.text.startswith("You ")
        assert not re.search(VALUE_WORDS, one.text, re.IGNORECASE), one.id


def test_a_stem_or_persona_that_is_not_whole_is_refused() -> None:
    for text in ("", "I like.", "I like "):
        with pytest.raises(InputError, match="stem s1"):
            benchmarks.Stem("s1", text)
    good = benchmarks.Persona("p1", "Baker", "You are a baker.", (("power", 1), ("security", -1)))
    for change, message in (
        ({"text": " "}, "empty"),
        ({"values": (("powr", 1),)}, "did you mean 'power'"),
        ({"values": (("power", 1), ("power", -1))}, "named twice"),
        ({"values": (("power", 2),)}, "signs"),
        ({"values": (("power", -1),)}, "at least once"),
        ({"values": ()}, "at least once"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(good, **change)


@pytest.mark.parametrize(("kind", "field"), [*itertools.product(("stems", "personas"), ("id", "text"))])
def test_a_file_in_which_two_entries_are_the_same_is_refused(
    kind: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = json.loads(Path(_shipped.__file__).with_name(f"{kind}.json").read_text(encoding="utf-8"))
    entries[kind][5][field] = entries[kind][2][field]
    (tmp_path / f"{kind}.json").write_text(json.dumps(entries), encoding="utf-8")
    monkeypatch.setattr(_shipped, "__file__", str(tmp_path / "_shipped.py"))
    with pytest.raises(DataError, match="twice"):
        {"stems": benchmarks.stems, "personas": benchmarks.personas}[kind]()
