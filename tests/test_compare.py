"""Comparison of models: what is planted is found, what is not is not, and families count, not models."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from vprobe import compare, config, stats
from vprobe import values as words
from vprobe.compare import ModelFacts
from vprobe.compare._effects import effects
from vprobe.compare._families import mean, slope
from vprobe.compare._findings import findings
from vprobe.errors import InputError, StoreError
from vprobe.report import compared, compared_page, style
from vprobe.types import ScaleRow

NAN = math.nan
ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "experiments" / "003-open-models"
SIZES = ((0.5, 1.5, 7.0, 14.0, 32.0, 72.0), (4.0, 12.0, 27.0), (8.0, 70.0, 405.0), (7.0, 24.0), (1.0, 13.0))
GENERIC = dict(zip(words.SCHWARTZ, (-0.17, -0.28, -0.1, 0.05, 0.33, 0.29, 0.47, 0.06, -0.34, 0.3), strict=True))


def row(model: str, scale: str, score: float, **changes) -> ScaleRow:
    """Return one score as Value Portrait's rule makes it."""
    plain = ScaleRow(model, "value-portrait", "pvq", scale, "rating", "released", score, NAN, 1.0, 11, 0, "points")
    return replace(plain, **changes)


def made(
    *, seed: int, grow: float = 0.0, think: float = 0.0, generic: float = 1.0, noise: float = 0.1, sizes=SIZES
) -> tuple[list[ScaleRow], list[ModelFacts]]:
    """Simulate models: families with levels of their own, a profile that grows with size, and thinking models.

    Args:
        grow: Added share of the generic profile per doubling of size.
        think: Added to Benevolence of a reasoning model.
        generic: Strength of the profile all models share.
        noise: SD of what is a model's own.
    """
    rng = np.random.default_rng(seed)
    rows, facts = [], []
    for family, members in enumerate(sizes):
        level = dict(zip(words.SCHWARTZ, rng.normal(0.0, noise, 10), strict=True))
        for size in members:
            for stage in ("instruct", "reasoning"):
                name = f"f{family}-{size:g}b-{stage}"
                facts.append(ModelFacts(name, f"f{family}", size, stage))
                strength = generic + grow * math.log2(size)
                for value in words.SCHWARTZ:
                    score = strength * GENERIC[value] + level[value] + rng.normal(0.0, noise)
                    score += think if stage == "reasoning" and value == "benevolence" else 0.0
                    rows.append(row(name, value, score))
    return rows, facts


def named(found: compare.Comparison, start: str) -> compare.FindingRow:
    return next(one for one in found.findings if one.finding.startswith(start))


def effect(found: compare.Comparison, contrast: str, value: str) -> compare.EffectRow:
    return next(one for one in found.effects if (one.contrast, one.value) == (contrast, value))


# --- facts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "family", "size", "stage"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen", 0.5, "instruct"),
        ("Qwen2.5-7B", "qwen", 7.0, ""),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "qwen", 1.5, "reasoning"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama", 8.0, "reasoning"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama", 8.0, "instruct"),
        ("google/gemma-3-27b-it", "gemma", 27.0, "instruct"),
        ("google/gemma-3-4b-pt", "gemma", 4.0, "base"),
        ("mistralai/Mistral-Small-24B-Base-2501", "mistral", 24.0, "base"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral", NAN, "instruct"),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507", "qwen", 30.0, "reasoning"),
        ("claude-3.7-sonnet_thinking", "claude", NAN, "reasoning"),
        ("o3-mini-2025-01-31", "gpt", NAN, "reasoning"),
        ("gpt-4o-2024-05-13", "gpt", NAN, "instruct"),
        ("EleutherAI/gpt-neo-125m", "gpt-neo-125m", 0.125, ""),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm", 0.135, "instruct"),
        ("/models/our own model", "our-own-model", NAN, ""),
    ],
)
def test_a_guess_takes_from_a_name_what_it_says_and_nothing_else(name, family, size, stage) -> None:
    found = compare.guess(name)
    assert (found.model, found.family, found.stage) == (name, family, stage)
    assert found.size == size or (math.isnan(found.size) and math.isnan(size))
    assert ("size" in found.guessed) is math.isfinite(size) and ("stage" in found.guessed) is bool(stage)
    assert ("family" in found.guessed) is (family in ("qwen", "llama", "gemma", "mistral", "claude", "gpt", "smollm"))


def facts_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_facts_are_read_and_nothing_in_them_is_a_guess(tmp_path: Path) -> None:
    text = "\ufeffmodel, family ,size,stage\r\na,Qwen,0.5,Instruct\r\n\r\nb,own,,\r\n"
    first, second = compare.read_facts(facts_file(tmp_path, text))
    assert first == ModelFacts("a", "qwen", 0.5, "instruct", ())
    assert second.family == "own" and math.isnan(second.size) and second.stage == "" and second.guessed == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model,family,stage\na,q,base\n", "no column size"),
        ("model,family,size,stage\na,q,7,base\na,q,8,base\n", "'a' stands twice"),
        ("model,family,size,stage\na,q,seven,base\n", "size 'seven'"),
        ("model,family,size,stage\na,q,-7,base\n", "size '-7'"),
        ("model,family,size,stage\na,q,nan,base\n", "size 'nan'"),
        ("model,family,size,stage\na,,7,base\n", "family is empty"),
        ("model,family,size,stage\n,q,7,base\n", "model is empty"),
        ("model,family,size,stage\na,q,7,instuct\n", "did you mean 'instruct'"),
        ("model,family,size,stage\na,q,7\n", "3 cells in row 2"),
        ("model,family,size,stage\n", "no rows"),
        ("", "no column model"),
    ],
)
def test_a_wrong_facts_file_is_refused_with_what_and_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        compare.read_facts(facts_file(tmp_path, text))
    assert "models.csv" in str(error.value)


def test_a_model_without_facts_is_refused_with_the_nearest_and_facts_of_other_models_do_no_harm() -> None:
    rows, facts = made(seed=0)
    extra = [*facts, ModelFacts("somebody-else", "x", 7.0, "base")]
    assert len(compare.profiles(rows, extra).models) == len(facts)
    with pytest.raises(InputError, match=r"unknown model 'f0-0.5b-instruct'[\s\S]*did you mean"):
        compare.profiles(rows, [replace(facts[0], model="f0-0.6b-instruct"), *facts[1:]])
    assert all(one.guessed for one in compare.profiles(rows).models)


# --- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("instrument", "pvq-21"), ("family", "higher_pvq"), ("kind", "self_report"), ("rule", "paper"),
        ("readout", "its words"), ("unit", "share"),
    ],
)  # fmt: skip
def test_scores_of_two_sorts_are_never_compared(name: str, other: str) -> None:
    rows, facts = made(seed=0)
    mixed = [replace(one, **{name: other}) if one.respondent == facts[0].model else one for one in rows]
    with pytest.raises(InputError, match=rf"several sorts, {name}: .*{other}[\s\S]*choose one by --"):
        compare.models(mixed, facts)


def test_one_sort_can_be_chosen_from_many_and_a_wrong_choice_lists_what_there_is() -> None:
    rows, _ = made(seed=0)
    both = [*rows, *(replace(one, readout="its words", estimate=0.0) for one in rows)]
    chosen = compare.choose(both, instrument="value-portrait", family="pvq", readout="its words")
    assert len(chosen) == len(rows) and {one.readout for one in chosen} == {"its words"}
    with pytest.raises(InputError, match=r"unknown readout 'words'[\s\S]*\(none\), its words"):
        compare.choose(both, readout="words")


def test_scales_of_several_units_are_compared_one_at_a_time(tmp_path: Path) -> None:
    facts = [ModelFacts(f"{f}{s}", f, s) for f in "abc" for s in (1.0, 8.0)]
    rows = [row(one.model, scale, len(one.model) + one.size, instrument="svo", family="svo", unit=unit)
            for one in facts for scale, unit in (("angle", "degrees"), ("transitive", "share"))]  # fmt: skip
    with pytest.raises(InputError, match=r"several sorts, unit[\s\S]*choose one by --scale"):
        compare.models(rows, facts)
    found = compare.models(compare.choose(rows, family="svo", scale="angle"), facts)
    assert found.table.values == ("angle",) and found.table.unit == "degrees"
    assert compared_page.write(found, tmp_path).is_file()
    with pytest.raises(InputError, match="did you mean 'angle'"):
        compare.choose(rows, scale="angel")


def test_findings_are_judged_alone_and_corrected_beside_it() -> None:
    found = findings(compare.profiles(*made(seed=9, noise=0.05)))
    known = [one for one in found if math.isfinite(one.p)]
    assert [one.p_holm for one in known] == pytest.approx(stats.holm(np.array([one.p for one in known])))
    assert all(one.p_holm >= one.p for one in known) and all(one.stands == (one.p <= 0.05) for one in found[2:])
    page = compared.sections(compare.models(*made(seed=9, noise=0.05)))
    (part,) = (one for one in page if one.key == "findings")
    assert "by itself" in part.reads and "p, all findings" in " ".join(part.grids[0].head)


def test_one_model_alone_or_a_scale_scored_twice_is_refused() -> None:
    rows, facts = made(seed=0)
    with pytest.raises(InputError, match="scores of 1 model"):
        compare.models(rows[:10], facts)
    with pytest.raises(InputError, match=r"f0-0\.5b-instruct has power twice"):
        compare.models([*rows, rows[0]], facts)
    with pytest.raises(InputError, match="scores of 0 models"):
        compare.models([], facts)


def test_models_stand_by_family_and_size_with_the_unknown_size_last() -> None:
    facts = [
        ModelFacts("b", "y", 3.0), ModelFacts("c", "x"), ModelFacts("d", "x", 7.0), ModelFacts("a", "x", 0.5),
    ]  # fmt: skip
    rows = [row(one.model, value, 0.1) for one in facts for value in ("security", "power")]
    table = compare.profiles(rows, facts)
    assert [one.model for one in table.models] == ["a", "d", "c", "b"]
    assert table.values == ("power", "security") and not table.x.flags.writeable


# --- size and stage ------------------------------------------------------------------------------------------------


def test_a_planted_growth_with_size_is_found_and_its_size_is_right() -> None:
    found = compare.models(*made(seed=1, grow=0.3, noise=0.05))
    benevolence, tradition = effect(found, "size", "benevolence"), effect(found, "size", "tradition")
    assert benevolence.low < 0.3 * GENERIC["benevolence"] < benevolence.high and benevolence.p_holm < 0.05
    assert tradition.low < 0.3 * GENERIC["tradition"] < tradition.high < 0
    assert (benevolence.n_models, benevolence.n_families) == (32, 5)
    assert named(found, "The ten values lie further apart").stands
    assert named(found, "The ten values lie further apart").estimate == pytest.approx(0.3 * 0.28, abs=0.02)


def test_a_planted_effect_of_thinking_is_found_at_equal_size_and_only_where_it_was_planted() -> None:
    found = compare.models(*made(seed=2, think=0.4, noise=0.05))
    benevolence = effect(found, "reasoning less instruct", "benevolence")
    assert (
        benevolence.estimate == pytest.approx(0.4, abs=0.04)
        and benevolence.p_holm < 0.05
        and benevolence.n_matched == 5
    )
    assert benevolence.p_holm == pytest.approx(10 * benevolence.p)
    rest = [one for one in found.effects if one.contrast != "size" and one.value != "benevolence"]
    assert sum(one.p_holm <= 0.05 for one in rest) == 0
    assert named(found, "Reasoning models").stands and named(found, "Reasoning models").reason == ""


def test_without_effects_size_and_stage_are_claimed_no_more_often_than_one_time_in_twenty() -> None:
    claimed, tested = np.zeros(2), 0
    for seed in range(40):
        found = effects(compare.profiles(*made(seed=100 + seed, noise=0.2)))
        p = np.array([[one.p for one in found if one.contrast == kind] for kind in
                      ("size", "reasoning less instruct")])  # fmt: skip
        claimed += (p <= 0.05).sum(axis=1)
        tested += p.shape[1]
    assert tested == 400 and (claimed <= scipy_stats.binom.ppf(0.999, tested, 0.05)).all() and (claimed > 0).all()


def test_one_family_with_many_models_is_one_piece_of_evidence() -> None:
    """Slopes that differ between families: pooled models would claim an effect that only one lab's models have."""
    rng, naive, ours = np.random.default_rng(3), 0, 0
    sizes = (2.0 ** np.arange(-1, 7, 0.5), [4.0, 16.0], [4.0, 16.0], [4.0, 16.0])
    names = [f"f{i}" for i, members in enumerate(sizes) for _ in members]
    x = np.log2(np.concatenate([np.asarray(one) for one in sizes]))
    for _ in range(150):
        own = rng.normal(0.0, 0.2, len(sizes))
        y = np.repeat(own, [len(one) for one in sizes]) * x + rng.normal(0.0, 0.1, len(x))
        ours += slope(y, x, names, [""] * len(x)).p <= 0.05
        naive += scipy_stats.linregress(x, y).pvalue <= 0.05
    assert ours <= scipy_stats.binom.ppf(0.999, 150, 0.05) < 60 < naive


def test_what_makes_families_differ_cannot_pass_for_an_effect_of_size() -> None:
    """Big labs' models are high, small labs' low; inside each family size does nothing."""
    rng = np.random.default_rng(4)
    x = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    names = [f"f{i // 3}" for i in range(12)]
    y = np.repeat([0.0, 1.0, 2.0, 3.0], 3) + rng.normal(0.0, 0.05, 12)
    found = slope(y, x, names, [""] * 12)
    assert scipy_stats.linregress(x, y).slope > 0.2 and found.p > 0.05 and abs(found.estimate) < 0.05


def test_what_makes_stages_differ_cannot_pass_for_an_effect_of_size() -> None:
    """The large models of every family think and are high; among models of one stage size does nothing."""
    rng = np.random.default_rng(5)
    x, stages = np.tile([0.0, 1.0, 4.0, 5.0], 4), ["instruct", "instruct", "reasoning", "reasoning"] * 4
    y = np.tile([0.0, 0.0, 1.0, 1.0], 4) + rng.normal(0.0, 0.02, 16)
    names = [f"f{i // 4}" for i in range(16)]
    assert abs(slope(y, x, names, stages).estimate) < 0.05 < 0.2 < slope(y, x, names, [""] * 16).estimate


def test_the_mean_over_families_is_students_t_over_their_means() -> None:
    rng = np.random.default_rng(5)
    y, names = rng.normal(0.3, 1.0, 9), ["a", "a", "a", "a", "b", "b", "c", "d", "d"]
    y[0] = NAN
    each = [np.nanmean(y[[n == one for n in names]]) for one in "abcd"]
    wanted = scipy_stats.ttest_1samp(each, 0.0)
    found = mean(y, names)
    assert (found.estimate, found.p) == pytest.approx((np.mean(each), wanted.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert (found.n_models, found.n_families) == (8, 4)


def test_stages_of_unlike_size_are_compared_by_their_means_and_that_is_said() -> None:
    rows, facts = made(seed=6, think=0.5, noise=0.05)
    unknown = [replace(one, size=NAN) if one.family in ("f0", "f1") else one for one in facts]
    found = compare.models(rows, unknown)
    assert effect(found, "reasoning less instruct", "benevolence").n_matched == 3
    assert "unknown size were compared in 2 of 5 families" in named(found, "Reasoning models").reason


def test_a_matched_difference_ignores_models_of_other_sizes() -> None:
    facts = [
        ModelFacts(f"{family}-{size:g}-{stage}", family, size, stage)
        for family in "abc" for size, stage in ((7.0, "instruct"), (70.0, "instruct"), (8.0, "reasoning"))
    ]  # fmt: skip
    score = {"7-instruct": 0.1, "70-instruct": 9.0, "8-reasoning": 0.3}
    rows = [
        row(one.model, value, score[one.model[2:]] + 0.01 * "abc".index(one.family) * (one.stage == "reasoning"))
        for one in facts for value in ("power", "security")
    ]  # fmt: skip
    found = effect(compare.models(rows, facts), "reasoning less instruct", "power")
    assert found.estimate == pytest.approx(0.21) and found.n_matched == 3 and found.n_models == 6


def test_too_few_families_give_no_number_and_the_reason() -> None:
    found = compare.models(*made(seed=7, sizes=SIZES[:2]))
    for one in found.effects:
        assert (
            math.isnan(one.estimate) and math.isnan(one.p) and math.isnan(one.p_holm) and "3 are needed" in one.reason
        )
    assert not any(one.stands for one in found.findings) and all(one.reason for one in found.findings)
    assert all(math.isnan(one.own) and one.reason for one in found.own)


def test_sizes_closer_than_a_doubling_make_no_slope() -> None:
    facts = [ModelFacts(f"{f}{s:g}", f, s) for f, s in zip("aabbcc", (7.0, 70.0, 7.0, 70.0, 22.0, 24.0))]
    rows = [row(one.model, value, 0.1 * i) for i, one in enumerate(facts) for value in ("power", "security")]
    found = effect(compare.models(rows, facts), "size", "power")
    assert math.isnan(found.estimate) and found.n_families == 2 and found.reason.startswith("2 families have models")


def test_families_without_any_difference_give_no_p() -> None:
    facts = [ModelFacts(f"{f}{s}", f, s) for f in "abc" for s in (1.0, 8.0)]
    rows = [row(one.model, value, math.log2(one.size)) for one in facts for value in ("power", "security")]
    found = effect(compare.models(rows, facts), "size", "power")
    assert found.estimate == pytest.approx(1.0) and math.isnan(found.p) and "all the same" in found.reason


def test_a_missing_score_leaves_out_the_model_for_that_value_only() -> None:
    rows, facts = made(seed=8)
    rows = [replace(one, estimate=NAN) if (one.respondent, one.scale) == (facts[0].model, "power") else one
            for one in rows]  # fmt: skip
    found = compare.models(rows, facts)
    assert effect(found, "size", "power").n_models == 31 and effect(found, "size", "security").n_models == 32
    assert named(found, "Benevolence").n_models == 31


# --- findings ------------------------------------------------------------------------------------------------------


def test_high_and_low_values_are_found_where_models_share_the_published_profile_and_not_where_they_do_not() -> None:
    there = findings(compare.profiles(*made(seed=9, noise=0.05)))
    assert [one.stands for one in there] == [False, False, *[True] * 6]
    nothing = [one for seed in range(10) for one in findings(compare.profiles(*made(seed=seed, generic=0.0)))]
    assert sum(one.stands for one in nothing) <= 6 and len(nothing) == 80
    turned = findings(compare.profiles(*made(seed=9, noise=0.05, generic=-1.0)))
    assert not any(one.stands for one in turned) and all("opposite" in one.reason for one in turned[2:])


def lex_findings(*, seed: int, lead: float, grow: float, steady: float) -> tuple[compare.FindingRow, ...]:
    """Test simulated scores on ValueLex's dimensions: Competence ahead, more so in large models; tuned ones steady."""
    rng = np.random.default_rng(seed)
    rows, facts = [], []
    for family, sizes in enumerate(SIZES):
        for size in sizes:
            for stage in ("base", "instruct"):
                name = f"f{family}-{size:g}b-{stage}"
                facts.append(ModelFacts(name, f"f{family}", size, stage))
                for scale in words.VALUELEX:
                    ahead = (lead + grow * math.log2(size)) * (scale == "competence")
                    spread = 1.0 - steady * (stage == "instruct") + rng.normal(0.0, 0.02)
                    rows.append(row(name, scale, ahead + rng.normal(0.0, 0.1), spread=spread, instrument="valuelex",
                                    family="valuelex"))  # fmt: skip
    return findings(compare.profiles(rows, facts))


def test_the_findings_of_valuelex_stand_where_planted_and_fall_where_not() -> None:
    there = lex_findings(seed=1, lead=0.5, grow=0.2, steady=0.3)
    assert [one.stands for one in there] == [True] * 4
    assert there[2].estimate == pytest.approx(0.2, abs=0.05) and there[3].estimate == pytest.approx(0.3, abs=0.02)
    absent = [one for s in range(10) for one in lex_findings(seed=s, lead=0.0, grow=0.0, steady=0.0)]
    assert len(absent) == 40 and sum(one.stands for one in absent) <= 4
    assert not any(one.stands for one in lex_findings(seed=1, lead=-0.5, grow=-0.2, steady=-0.3))


def test_other_scales_have_no_published_finding() -> None:
    facts = [ModelFacts("a", "x"), ModelFacts("b", "y")]
    rows = [row(one.model, "angle", 1.0, instrument="svo") for one in facts]
    found = compare.models(rows, facts)
    assert found.findings == () and "No published finding" in compared.sections(found)[1].excuse


# --- what models share ---------------------------------------------------------------------------------------------


def test_models_that_share_a_profile_and_nothing_else_correlate_until_it_is_removed() -> None:
    ten = ((7.0,),) * 10
    found = {one.pairs: one for one in compare.models(*made(seed=10, sizes=ten)).likeness}["different families"]
    assert found.median_r > 0.7 and abs(found.median_r_own) < 0.15
    nothing = compare.models(*made(seed=10, generic=0.0, sizes=ten)).likeness
    assert abs({one.pairs: one for one in nothing}["different families"].median_r) < 0.15


def test_what_two_models_have_in_common_beyond_all_others_stays_after_the_generic_profile_is_removed() -> None:
    rows, facts = made(seed=11, noise=0.1)
    twins = {facts[0].model, facts[-1].model}
    extra = dict(zip(words.SCHWARTZ, np.random.default_rng(0).normal(0.0, 0.6, 10), strict=True))
    rows = [replace(one, estimate=one.estimate + extra[one.scale]) if one.respondent in twins else one for one in rows]
    found = compare.models(rows, facts)
    (pair,) = [one for one in found.pairs if {one.first, one.second} == twins]
    own = {one.model: one.own for one in found.own}
    assert pair.r_own > 0.8 and not pair.same_family
    assert min(own[name] for name in twins) > 0.4 > np.median(list(own.values()))


def test_the_own_share_is_one_less_the_squared_correlation_with_the_other_families() -> None:
    rows, facts = made(seed=12)
    found = compare.models(rows, facts)
    table, at = found.table, 3
    means = [table.x[[one.family == f for one in table.models]].mean(axis=0) for f in ("f1", "f2", "f3", "f4")]
    r = np.corrcoef(np.mean(means, axis=0), table.x[at])[0, 1]
    assert table.models[at].family == "f0" and found.own[at].own == pytest.approx(1 - r**2)
    turned = [replace(one, estimate=-one.estimate) if one.respondent == table.models[at].model else one for one in rows]
    assert compare.models(turned, facts).own[at].own == 1.0


def test_the_published_scores_of_22_models_give_the_published_picture(shared: Path) -> None:
    rows = []
    for path in sorted((shared / "value_portrait" / "published" / "scores").glob("*.json")):
        scores = json.loads(path.read_text(encoding="utf-8"))["scores"]["pvq"]
        rows += [row(path.stem, words.find(name), one["centered_mean"]) for name, one in scores.items()]
    found = compare.models(rows)
    paper = (
        -0.17,
        -0.28,
        -0.10,
        0.05,
        0.33,
        0.29,
        0.47,
        0.06,
        -0.34,
        0.30,
    )  # means over 33 models, these 22 among them
    means = found.table.x.mean(axis=0)
    assert np.abs(means - paper).max() < 0.05 and scipy_stats.spearmanr(means, paper).statistic > 0.95
    assert len(found.table.models) == 22 and all(one.stands for one in found.findings[2:])
    assert math.isnan(found.findings[0].p) and "1 family has" in found.findings[0].reason
    likeness = {one.pairs: one for one in found.likeness}
    assert likeness["all"].median_r == pytest.approx(0.81, abs=0.01) and abs(likeness["all"].median_r_own) < 0.1


# --- published targets and the experiment --------------------------------------------------------------------------


def test_scores_close_to_the_published_ones_are_told_from_scores_that_are_not() -> None:
    targets = compare.read_scores(EXPERIMENT / "targets.csv")
    rng = np.random.default_rng(0)
    models = ("Qwen/Qwen2.5-7B-Instruct", "google/gemma-3-27b-it")
    near = [replace(one, estimate=one.estimate + rng.normal(0, 0.01)) for one in targets if one.respondent == models[0]]
    far = [replace(one, estimate=-one.estimate) for one in targets if one.respondent == models[1]]
    good, bad = compare.against([*near, *far], targets)
    assert (good.model, good.n_values, bad.model) == (models[0], 10, models[1])
    assert good.typical < 0.03 and good.r > 0.98 and good.largest < 0.05
    assert bad.largest == pytest.approx(0.90) and bad.at == "security" and bad.r == pytest.approx(-1.0)
    with pytest.raises(InputError, match="no model is in both"):
        compare.against([row("somebody", "power", 0.1)], targets)


def test_published_scores_can_be_compared_as_the_sort_they_are_set_against() -> None:
    like = row("a", "power", 0.1, readout="its words")
    found = compare.read_scores(EXPERIMENT / "targets.csv", like)
    assert {(one.instrument, one.family, one.readout, one.unit) for one in found} == {
        ("value-portrait", "pvq", "its words", "points")
    }
    assert compare.models([*found, *(replace(one, respondent="x") for one in found[:10])]).findings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model,power\na,high\n", "'high'"), ("model,power\na,inf\n", "'inf'"), ("model,might\na,1\n", "unknown value"),
        ("model,power\na,1\na,2\n", "model 'a'"), ("name,power\na,1\n", "no column model"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_published_scores_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        compare.read_scores(facts_file(tmp_path, text))


def test_every_configuration_of_the_open_models_is_read_unpinned_and_has_ten_targets_and_facts() -> None:
    paths = sorted(EXPERIMENT.glob("*.toml"))
    assert len(paths) == 13
    targets = pd.read_csv(EXPERIMENT / "targets.csv", index_col="model")
    facts = {one.model: one for one in compare.read_facts(EXPERIMENT / "models.csv")}
    assert (
        tuple(targets.columns) == words.SCHWARTZ and targets.notna().all(axis=None) and set(targets.index) == set(facts)
    )
    for path in paths:
        found = config.read(path)
        assert found.benchmark == ("value-portrait",) and found.versions == ("all",) and found.greedy
        assert found.revision == "" and found.model.rsplit("/", 1)[1].lower() == path.stem
        assert set(tomllib.loads(path.read_text("utf-8"))) >= {"model", "revision", "asking"}
        guessed = compare.guess(found.model)
        told = facts[found.model]
        assert (guessed.family, guessed.size, guessed.stage) == (told.family, told.size, told.stage)
        assert len(targets.loc[found.model]) == 10


def test_the_experiments_page_says_not_run_and_shows_the_targets_of_the_file() -> None:
    page = (EXPERIMENT / "README.md").read_text(encoding="utf-8")
    assert "NOT RUN" in page
    order = (
        "universalism benevolence conformity tradition security power achievement hedonism stimulation self_direction"
    )
    shown = {line.split("`")[1]: line.split("|")[2:12] for line in page.splitlines() if line.startswith("| `")}
    targets = pd.read_csv(EXPERIMENT / "targets.csv", index_col="model")
    assert set(shown) == set(targets.index)
    for model, cells in shown.items():
        numbers = [float(cell.strip().replace("\N{MINUS SIGN}", "-")) for cell in cells]
        assert numbers == targets.loc[model, order.split()].tolist()


# --- figure and page -----------------------------------------------------------------------------------------------


def test_the_figure_shows_every_model_and_value_and_is_the_same_each_time(tmp_path: Path) -> None:
    rows, facts = made(seed=13)
    table = compare.profiles([one for one in rows if (one.respondent, one.scale) != (facts[0].model, "power")], facts)
    first, second = compared.draw(table), compared.draw(table)
    assert isinstance(first, style.Drawing) and first.svg == second.svg and first.png == second.png
    assert "10 scores of 32 models" in first.alt and b"<image" not in first.svg


def test_the_page_stands_alone_and_its_tables_hold_what_was_found(tmp_path: Path) -> None:
    rows, facts = made(seed=14, grow=0.3, noise=0.05)
    rows = [replace(one, respondent=one.respondent.replace("f0", "<b>&")) for one in rows]
    facts = [replace(one, model=one.model.replace("f0", "<b>&")) for one in facts]
    found = compare.models(rows, facts)
    page = compared_page.write(found, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text and "https://" not in text and "<b>&-" not in text and "&lt;b&gt;&amp;-0.5b" in text
    assert "Benevolence is high" in text and "n/a" not in text.split("<h2>Size")[1].split("<h2>Stage")[0]
    stored = pd.read_csv(tmp_path / "out" / "tables" / "effects.csv")
    assert stored["estimate"].to_numpy() == pytest.approx([one.estimate for one in found.effects])
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {"models.svg", "models.png"}
    with pytest.raises(StoreError, match="cannot be written"):
        compared_page.write(found, page)
