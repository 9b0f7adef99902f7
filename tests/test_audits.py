"""Null arms, prompts and audits by their formulas: each says what it must of changes made to be of one kind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from vprobe import benchmarks, controls, effects, organism, prompts, stats
from vprobe.benchmarks import Ask
from vprobe.errors import InputError
from vprobe.pipeline import _audited, _nulls, _prompted
from vprobe.types import ChangeRow, DoseRow, PromptRow
from vprobe.values import SCHWARTZ

from tests import tiny
from tests.toy_backend import Toy

RNG = np.random.default_rng(3)
QUERIES, EACH = 16, 5
GROUPS = tuple(f"q{i // EACH}" for i in range(QUERIES * EACH))
LABELS = np.round(RNG.standard_normal(QUERIES * EACH), 3)
ALIKE = stats.centre(LABELS[:, None], GROUPS)[:, 0]
NOISE = 0.1 * RNG.standard_normal((4, QUERIES * EACH))
NOISE -= (NOISE @ ALIKE / (ALIKE @ ALIKE))[:, None] * ALIKE
"""Within queries it has nothing to do with the labels."""


# --- null vectors ---------------------------------------------------------------------------------------------------


def test_a_cleared_vector_has_nothing_of_the_others_and_keeps_its_length() -> None:
    of = RNG.standard_normal((3, 12))
    of[2] = np.nan
    drawn = RNG.standard_normal((5, 12))
    found = controls.cleared(drawn, of)
    np.testing.assert_allclose(found @ of[:2].T, 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.isnan(controls.cleared(of[:1], of)).all(), "nothing is left of a vector that is among them"
    np.testing.assert_allclose(controls.cleared(drawn, of[:0]) @ drawn.T, controls._unit(drawn) @ drawn.T)


def test_the_direction_of_agreement_goes_with_ratings_and_not_with_what_is_rated() -> None:
    ratings, way = 3.5 + RNG.standard_normal(400), np.eye(20)[4]
    x = RNG.standard_normal((400, 20)) + 2 * ratings[:, None] * way
    ratings[7] = np.nan
    assert controls.agreement_direction(x, ratings) @ way > 0.95
    assert np.isnan(controls.agreement_direction(x, np.full(400, 3.0))).all()


def test_effects_count_in_the_direction_of_the_dose_and_are_held_against_draws_either_way() -> None:
    assert effects.outward([-2.0, 1.0, 9.0], [-1.0, 1.0, 0.0]) == pytest.approx(1.5)
    assert math.isnan(effects.outward([1.0], [0.0]))
    draws = np.array([-0.5, 0.1, 0.2, np.nan])
    good, bad = effects.against(draws, 0.6), effects.against(draws, 0.3)
    assert good.beyond and good.p == 0.25 and good.largest == 0.5
    assert not bad.beyond and bad.p == 0.5, "a draw that goes the other way counts too"
    assert not effects.against(draws, -0.6).beyond and not effects.against(draws[3:], 1.0).beyond


def test_arms_are_summed_up_at_the_outermost_doses() -> None:
    base = dict(value="power", site="s", positions="all", coefficient=1.0, low=0.0, high=0.0, option_mass=1.0,
                n_items=9, n_unscored=0, anti=0.2)  # fmt: skip
    rows = [DoseRow(arm="steered", draw=0, strength=d, effect=d, mean_shift=0.1, **base) for d in (-2.0, -1.0, 1.0)]
    rows += [
        DoseRow(arm="other", draw=draw, strength=d, effect=0.5 * d, mean_shift=-0.3, of=f"v{draw}", **base)
        for draw in range(2)
        for d in (-2.0, 1.0)
    ]
    rows.append(DoseRow(arm="prompted", draw=0, strength=-1.0, effect=-4.0, mean_shift=0.0, **base))
    found = {row.arm: row for row in _nulls.summarise(rows)}
    assert list(found) == ["steered", "prompted", "other"]
    assert found["other"].mean == 0.75 and found["other"].n_draws == 2 and found["other"].mean_shift == 0.3
    assert found["other"].steered == 1.5 and found["other"].beyond and found["prompted"].mean == 4.0
    assert not found["steered"].beyond and math.isnan(found["steered"].p)


# --- prompts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [benchmarks.asks(), organism.asks()])
def test_every_value_is_asked_for_and_against_in_words_of_its_own(asks: tuple[Ask, ...]) -> None:
    assert len({ask.id for ask in asks}) == len(asks)
    told = {(ask.value, ask.sign): ask.text for ask in asks}
    assert {key for key in told if key[0]} == {(value, sign) for value in SCHWARTZ for sign in (1, -1)}
    assert len({told[value, 1] for value in SCHWARTZ}) == 10 and all(told[v, 1] != told[v, -1] for v in SCHWARTZ)
    assert sum(not ask.value for ask in asks) >= 8


def test_a_prompt_that_asks_for_nothing_known_is_refused() -> None:
    for value, sign, text in (("power", 0, "Be."), ("", 1, "Be."), ("pwoer", 1, "Be."), ("power", 1, " ")):
        with pytest.raises(InputError):
            Ask("a", value, sign, text)


def test_a_prefix_moves_the_marks_along_and_a_refused_system_message_becomes_one() -> None:
    ask = Ask("power+1", "power", 1, "Be kind to people.")
    (prompt, *_) = prompts.render(benchmarks.load("everyday", limit=1), template="v1")
    for style, way in (("inst", "prefix"), ("chatml", "system prompt"), ("plain", "system prompt")):
        tokenizer = tiny.tokenizer(style)
        assert _prompted.asked_by(Toy(tokenizer=tokenizer), prompt) == way
        put = _prompted.told(prompt, ask, way)
        before, after = (prompts.encode(tokenizer, one) for one in (prompt, put))
        assert put.id == f"{prompt.id}@power+1" and ask.text in after.text
        for one, other in zip(before.spans, after.spans, strict=True):
            texts = [tokenizer.decode(row.ids[span.start : span.end]) for row, span in ((before, one), (after, other))]
            assert one.name == other.name and texts[0] == texts[1]


# --- prompts beside a vector -----------------------------------------------------------------------------------------


def changes(arm: str, moved: np.ndarray, version: str = "", dose: float = 1.0, label: np.ndarray = LABELS):
    return [
        ChangeRow("power", arm, 0, dose, version, f"i{n}", group, float(label[n]), float(moved[n]))
        for n, group in enumerate(GROUPS)
    ]


START = _prompted._start("power", "system prompt", 0.5, 0.1)


def test_prompts_that_do_what_the_vector_does_correlate_with_it_and_others_do_not() -> None:
    own = LABELS + NOISE[0]
    both = [*changes("steered", own), *changes("prompted", 3 * LABELS + NOISE[1]),
            *changes("prompted", -3 * LABELS, dose=-1.0)]  # fmt: skip
    found = _prompted.compare(START, both, 0)
    assert found.r > 0.95 and found.r_low > 0.9 and found.n_prompts == 2 and found.cosine == 0.5
    assert found.effect == pytest.approx(3 * found.vector_effect, rel=0.1) and found.low > 0
    other = _prompted.compare(START, [*changes("steered", own), *changes("prompted", NOISE[2])], 0)
    assert other.r_low < 0 < other.r_high and other.low < 0 < other.high


def test_an_item_without_every_prompt_is_left_out_of_both_and_counted() -> None:
    rows = [*changes("steered", LABELS), *changes("prompted", LABELS), *changes("prompted", -LABELS, dose=-1.0)[:-3]]
    found = _prompted.compare(START, rows, 0)
    assert (found.n_items, found.n_unscored) == (QUERIES * EACH - 3, 3) and found.r == pytest.approx(1)


def test_effects_correlate_over_values_only_where_there_are_enough() -> None:
    def row(effect: float, vector: float) -> PromptRow:
        return replace(START, effect=effect, vector_effect=vector, strength=0.5, mean_shift=0.1)

    rows = [row(x, 2 * x) for x in (0.1, 0.4, 0.2, 0.9)]
    assert _prompted.over_values(rows[:3]) == ()
    (found,) = _prompted.over_values(rows)
    assert found.value == "all" and found.r == pytest.approx(1) and math.isnan(found.r_low) and found.n_items == 4


# --- audits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "reverse", "verdict"),
    [
        (LABELS, LABELS, "follows the meaning"),
        (LABELS, -LABELS, "follows the place in the list"),
        (-LABELS, LABELS, "follows the place in the list"),
        (-LABELS, -LABELS, "goes against the label"),
        (0 * LABELS, 0 * LABELS, "not shown"),
        (LABELS, 0 * LABELS, "not shown"),
        (0 * LABELS + 2, 0 * LABELS + 2, "not shown"),
    ],
)
def test_meaning_stays_and_place_turns_when_the_list_is_turned(listed, reverse, verdict) -> None:
    found = effects.options(listed + NOISE[0], reverse + NOISE[1], LABELS, GROUPS, seed=0)
    assert found.verdict == verdict and found.n_items == len(LABELS)
    figure = {one.measure: one.estimate for one in found.figures}
    assert figure["by meaning"] + figure["by place"] == pytest.approx(figure["order as given"])
    np.testing.assert_allclose(figure["shift of all by meaning"], (listed + reverse + NOISE[:2].sum(0)).mean() / 2)


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [
        (LABELS, "flips with the item"),
        (LABELS + 0.2, "flips with the item"),
        (0 * LABELS + 0.5, "yes-bias: does not flip"),
        (0.1 * LABELS + 0.5, "yes-bias: does not flip"),
        (0 * LABELS - 0.5, "yes-bias: does not flip"),
        (-LABELS, "goes against the label"),
        (0 * LABELS, "not shown"),
    ],
)
def test_a_value_flips_on_reversed_items_and_a_yes_does_not(moved, verdict) -> None:
    found = effects.reversed_items(moved + NOISE[0], LABELS, GROUPS, seed=0)
    assert found.verdict == verdict and found.n_items + found.n_unscored == len(LABELS)
    assert found.n_items == len(LABELS) // 2


def test_what_moves_all_items_alike_is_told_in_points_by_meaning_and_by_place() -> None:
    found = effects.reversed_items(LABELS * 0 + 0.5, LABELS, GROUPS, seed=0)
    said = {one.measure: one.estimate for one in found.figures}
    assert said["value: half the difference"] == pytest.approx(0) and said["yes-bias: half the sum"] == pytest.approx(
        0.5
    )
    for listed, reverse, meaning, place in ((0.3, 0.3, 0.3, 0.0), (0.3, -0.3, 0.0, 0.3), (0.3, 0.1, 0.2, 0.1)):
        found = effects.options(LABELS + listed, LABELS + reverse, LABELS, GROUPS, seed=0)
        said = {one.measure: one.estimate for one in found.figures}
        by = (said["shift of all by meaning"] - LABELS.mean(), said["shift of all by place"])
        assert by == pytest.approx((meaning, place), abs=1e-9)


def test_few_queries_give_no_interval_and_no_verdict() -> None:
    some, groups = slice(0, 10), GROUPS[:10]
    for found in (
        effects.options(LABELS[some], LABELS[some], LABELS[some], groups, seed=0),
        effects.reversed_items(LABELS[some], LABELS[some], groups, seed=0),
        effects.compliance(LABELS[some], LABELS[some], NOISE[0][some], LABELS[some], groups, seed=0),
    ):
        assert found.verdict == "too few queries to say" and math.isfinite(found.figures[0].estimate)


def test_items_keyed_one_way_only_cannot_tell_a_value_from_a_yes() -> None:
    found = effects.reversed_items(LABELS, np.abs(LABELS), GROUPS, seed=0)
    assert (
        found.verdict == "no items that speak against the value" and found.figures == () and "portraits" in found.note
    )
    rows = _audited.audit_rows(changes("steered", LABELS, "v1", label=np.abs(LABELS)), (), seed=0)
    mine = [row for row in rows if row.audit == "reversed items"]
    assert len(mine) == 1 and math.isnan(mine[0].estimate) and mine[0].note
    assert [row.note for row in rows if row.audit == "options"] == [_audited.ONE_ORDER]


@pytest.mark.parametrize(
    ("purged", "shared", "verdict"),
    [
        (LABELS, 0 * LABELS, "the value's own"),
        (0.1 * LABELS, 0.9 * LABELS, "mostly instruction-following"),
        (0.5 * LABELS, 0.5 * LABELS, "not shown"),
    ],
)
def test_what_is_left_without_the_shared_part_says_whose_effect_it_is(purged, shared, verdict) -> None:
    small = NOISE / 10
    found = effects.compliance(LABELS + small[0], purged + small[1], shared + small[2], LABELS, GROUPS, seed=0)
    left = found.figures[-1]
    assert found.verdict == verdict and left.low < left.estimate < left.high
    assert left.estimate == pytest.approx((purged @ LABELS) / (LABELS @ LABELS), abs=0.05)


def test_a_vector_without_effect_has_none_to_divide() -> None:
    found = effects.compliance(NOISE[0], NOISE[1], NOISE[2], LABELS, GROUPS, seed=0)
    assert found.verdict == "no effect to divide"


def test_nothing_left_is_nothing_left_whichever_queries_are_drawn() -> None:
    found = effects.compliance(LABELS, 0 * LABELS, LABELS, LABELS, GROUPS, seed=0)
    left = found.figures[-1]
    assert (left.low, left.estimate, left.high) == (0, 0, 0) and found.verdict == "mostly instruction-following"


def test_what_instructions_share_is_found_and_taken_out() -> None:
    channel, own = np.eye(30)[0], np.eye(30)[1:11]
    vectors = 2 * channel + np.concatenate([3 * own, -3 * own])
    found = effects.shared_part(vectors)
    np.testing.assert_allclose(found.direction, channel, atol=1e-12)
    assert found.share == pytest.approx(4 / 13) and found.n == 20
    assert found.cosine == pytest.approx((20 * 4 * 19 - 20 * 9) / (20 * 19 * 13))
    parts = effects.purge(2 * channel + 3 * own[0], found.direction)
    np.testing.assert_allclose(parts.rest + parts.along * channel, (2 * channel + 3 * own[0]) / math.sqrt(13))
    assert parts.rest @ channel == pytest.approx(0) and parts.along == pytest.approx(2 / math.sqrt(13))
    with pytest.raises(InputError, match="share"):
        effects.shared_part(np.concatenate([own, -own]))


def test_items_against_their_label_are_counted_among_those_that_express_the_value() -> None:
    labels = np.array([1.0, -1.0, 0.9, 0.01, np.nan])
    assert effects.against_label(np.array([1.0, 1.0, 1.0, -9.0, 1.0]), labels, keyed=0.75) == pytest.approx(1 / 3)
    assert math.isnan(effects.against_label(np.full(5, np.nan), labels, keyed=0.5))
