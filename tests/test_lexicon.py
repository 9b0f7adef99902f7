"""A lexicon: value words are found and merged, planted factors come back, and tables without structure are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from vprobe import lexicon
from vprobe.benchmarks import _valuelex_words as lists
from vprobe.benchmarks._valuelex_terms import keys
from vprobe.errors import InputError
from vprobe.lexicon import _stability, _structure
from vprobe.lexicon._compare import taxonomy_fit
from vprobe.values import VALUELEX_SUB

QUICK = {"draws": 99, "bootstraps": 4}


@pytest.fixture(scope="module")
def planted() -> tuple[lexicon.Simulated, lexicon.Lexicon]:
    made = lexicon.simulate(seed=1)
    return made, lexicon.analyse(made.table, subs=made.subs, seed=1, **QUICK)


def cut(table: lexicon.TermTable, n_models: int) -> lexicon.TermTable:
    rows = table.model_codes < n_models
    return dataclasses.replace(
        table,
        respondents=tuple(np.array(table.respondents)[rows]),
        models=tuple(np.array(table.models)[rows]),
        used=table.used[rows],
    )


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Honesty, kindness and respect.", ("honesty", "kindness", "respect")),
        ("1. **Honesty**: I tell people the facts.\n2. Social justice - for all", ("honesty", "social justice")),
        ("My values: accuracy & deep empathy", ("accuracy", "empathy")),
        ("I value honesty and I try to be helpful to people.", ("honesty", "helpful")),
        ("Not greed, but generosity", ("generosity",)),
        ("Kindness, kindness, KINDNESS", ("kindness",)),
        ("诚实、善良", ()),
        ("", ()),
    ],
)
def test_value_words_are_taken_from_lists_and_sentences(text, words) -> None:
    assert lexicon.value_words(text) == words


@pytest.mark.parametrize(
    "pair",
    ["honest honesty", "accurate accuracy", "empathy empathetic", "reliable reliability", "values value",
     "kind kindness", "honour honor", "organisation organization", "humble humility", "cooperative cooperation",
     "altruism altruistic", "open-minded open-mindedness"],
)  # fmt: skip
def test_forms_of_one_word_share_a_key(pair) -> None:
    first, second = pair.split()
    assert keys(first) & keys(second)


@pytest.mark.parametrize(
    "pair",
    ["responsible responsive", "careful care", "confident confidential", "harmless harm", "honesty dishonesty",
     "unbiased bias", "universal university", "justice injustice"],
)  # fmt: skip
def test_different_words_share_no_key(pair) -> None:
    first, second = pair.split()
    assert not keys(first) & keys(second)


def said(texts: list[str]) -> list[lexicon.Elicited]:
    return [lexicon.Elicited(f"r{i}", f"m{i % 4}", "e01", text) for i, text in enumerate(texts)]


def test_a_table_merges_forms_under_the_most_frequent_one_and_pools_a_respondents_answers() -> None:
    answers = [
        *said(["honest, kindness", "honesty", "honesty", "helpful", "!"]),
        lexicon.Elicited("r3", "m3", "e02", "honesty"),
    ]
    table = lexicon.tabulate(answers, least_share=0.2, least_models=1)
    assert table.terms == ("helpful", "honesty", "kindness")
    assert table.forms[1] == ("honesty", "honest")
    assert table.used.sum(axis=0).tolist() == [1, 4, 1]
    assert table.n_silent == 1


def test_rare_and_common_terms_and_those_of_few_models_are_left_out() -> None:
    answers = said(["honesty, kindness, grit"] * 2 + ["honesty, kindness, hope"] * 2 + ["honesty"] * 16)
    assert lexicon.tabulate(answers, least_share=0.1).terms == ("kindness",)
    assert lexicon.tabulate(answers, least_share=0.1).n_rare == 3
    assert lexicon.tabulate(answers, least_share=0.15, least_models=1).terms == ("kindness",)
    assert lexicon.tabulate(answers, least_share=0.1, most_share=1.0, least_models=1).terms == (
        "grit", "honesty", "hope", "kindness",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "options", "message"),
    [
        ([], {}, "no answers"),
        (said(["诚实"] * 5), {}, "none of 0 terms"),
        (said(["honesty", "hope", "grit"]), {"least_share": 0.5}, "none of 3 terms"),
        (said(["honesty"]), {"least_share": 0.9, "most_share": 0.5}, "shares 0.9 and 0.5"),
        ([*said(["honesty"]), lexicon.Elicited("r0", "other", "e01", "hope")], {}, "is of 'm0' and of 'other'"),
    ],
)
def test_unusable_answers_are_refused_with_the_reason(answers, options, message) -> None:
    with pytest.raises(InputError, match=message):
        lexicon.tabulate(answers, **options)


def test_fifteen_questions_ship_and_none_names_a_value() -> None:
    asked = lexicon.questions()
    assert len(asked) == len({one.id for one in asked}) == len({one.text for one in asked}) == 15
    assert [one.id for one in asked if lists.named(one.text)] == []


# Factors


def test_the_planted_three_by_two_comes_back(planted) -> None:
    found = planted[1]
    assert found.refused == ""
    assert len(found.factors) == 6
    assert found.taxonomy is not None
    assert found.taxonomy.ari >= 0.9
    assert found.taxonomy.ari_dimension >= 0.9
    assert found.taxonomy.phi_mean > found.taxonomy.phi_chance
    assert max(found.taxonomy.ari_p, found.taxonomy.ari_dimension_p, found.taxonomy.phi_p) < 0.01
    assert found.stability is not None
    assert found.stability.halves > 0.8
    assert all(one.phi > 0.9 for one in found.factors)
    assert len({one.dimension for one in found.factors}) == 3
    for one in found.factors:
        assert len({word.split("-")[0] for word in one.words}) == 1, "a factor holds terms of one sub-dimension"


def test_it_comes_back_for_another_seed_and_a_lower_loading() -> None:
    made = lexicon.simulate(lexicon.Design(loading=0.7), seed=2)
    found = lexicon.analyse(made.table, subs=made.subs, seed=2, draws=99, bootstraps=2)
    assert found.taxonomy is not None
    assert min(found.taxonomy.ari, found.taxonomy.ari_dimension) >= 0.9


@pytest.mark.parametrize(
    "design",
    [
        lexicon.Design(loading=0.0),
        lexicon.Design(loading=0.0, model_share=0.7, verbosity=0.0),
        lexicon.Design(loading=0.0, model_share=0.7, verbosity=1.0),
        lexicon.Design(loading=0.0, verbosity=1.5),
    ],
    ids=["plain", "models differ", "models differ and some are talkative", "very talkative"],
)
def test_a_table_without_structure_is_refused(design) -> None:
    found = lexicon.analyse(lexicon.simulate(design, seed=111).table, seed=111, **QUICK)
    assert found.refused
    assert found.factors == ()
    assert found.loadings.shape == (60, 0)
    assert all(term.factor == "" for term in found.terms)


def test_respondents_who_name_nearly_all_or_none_are_left_out_and_counted() -> None:
    design = lexicon.Design(loading=0.0, verbosity=1.5)
    found = lexicon.analyse(lexicon.simulate(design, seed=111).table, **QUICK)
    assert 40 < found.n_flat < 150
    assert found.n_respondents == 525 - found.n_flat


def test_taking_every_respondent_for_a_model_of_its_own_would_find_structure_where_none_is() -> None:
    table = lexicon.simulate(lexicon.Design(loading=0.0, model_share=0.7, verbosity=0.0), seed=300).table
    left = _structure.without_level(table.used)
    together = _structure.parallel(left, table.model_codes, seed=0, draws=99)
    apart = _structure.parallel(left, np.arange(len(left)), seed=0, draws=99)
    assert together.n == 0
    assert apart.n > 5


def test_talkative_models_alone_would_look_like_a_factor() -> None:
    table = lexicon.simulate(lexicon.Design(loading=0.0, verbosity=1.0), seed=300).table
    plain = table.used - table.used.mean(axis=0)
    assert _structure.parallel(plain, table.model_codes, seed=0, draws=99).n >= 1
    assert _structure.parallel(_structure.without_level(table.used), table.model_codes, seed=0, draws=99).n == 0


def test_factors_that_stand_alone_are_not_grouped() -> None:
    made = lexicon.simulate(lexicon.Design(within=0.0), seed=5)
    found = lexicon.analyse(made.table, subs=made.subs, seed=5, draws=99, bootstraps=2)
    assert len(found.factors) == 6
    assert found.dimensions_p > 0.01
    assert {one.dimension for one in found.factors} == {""}
    assert found.taxonomy is not None
    assert np.isnan(found.taxonomy.ari_dimension)


def test_what_one_half_of_the_models_shows_and_the_other_does_not_is_refused(monkeypatch, planted) -> None:
    made, found = planted
    assert found.stability is not None
    monkeypatch.setattr("vprobe.lexicon._build.LEAST_HALVES", found.stability.halves + 0.001)
    again = lexicon.analyse(made.table, subs=made.subs, seed=1, **QUICK)
    assert "not repeatable" in again.refused
    assert again.factors == ()


def test_too_few_models_or_terms_are_refused(planted) -> None:
    table = planted[0].table
    assert "7 models" in lexicon.analyse(cut(table, 7), **QUICK).refused
    few = dataclasses.replace(table, terms=table.terms[:11], forms=table.forms[:11], used=table.used[:, :11])
    assert "11 terms" in lexicon.analyse(few, **QUICK).refused


def test_moving_models_keeps_each_column_and_breaks_what_goes_together() -> None:
    models = np.repeat(np.arange(10), 8)
    level = np.random.default_rng(0).standard_normal(10)[models]
    table = np.stack([level, level, np.arange(80.0)], axis=1)
    moved = _structure.move_models(table, models, np.random.default_rng(1))
    assert np.array_equal(np.sort(moved, axis=0), np.sort(table, axis=0))
    for model in range(10):
        rows = moved[models == model]
        assert np.ptp(rows[:, 0]) == 0, "a model gets the answers of one model"
        assert len(set(rows[:, 2] // 8)) == 1
    assert abs(np.corrcoef(moved[:, 0], moved[:, 1])[0, 1]) < 0.9


def test_moving_models_of_different_size_fills_every_row_from_one_model() -> None:
    models = np.repeat([0, 1, 2], [2, 5, 3])
    moved = _structure.move_models(models[:, None].astype(float), models, np.random.default_rng(3))
    assert all(np.ptp(moved[models == one]) == 0 for one in range(3))


def test_a_grouping_shuffled_over_terms_does_not_match(planted) -> None:
    made, found = planted
    rng = np.random.default_rng(0)
    factor = np.array([int(term.factor[1:]) - 1 for term in found.terms])
    none = np.full(60, -1)
    shuffled = tuple(rng.permutation(made.subs).tolist())
    fit = taxonomy_fit(found.loadings, factor, none, shuffled, shuffled, seed=0, draws=99)
    assert fit is not None
    assert fit.ari < 0.1
    assert min(fit.ari_p, fit.phi_p) > 0.05
    assert taxonomy_fit(found.loadings, factor, none, ("",) * 60, ("",) * 60, seed=0) is None


def test_congruence_ignores_a_turn_and_tells_other_loadings_apart() -> None:
    rng = np.random.default_rng(0)
    loadings = np.kron(np.eye(3), np.full((5, 1), 0.7))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    assert _stability.tucker(_stability.turned(loadings @ turn, loadings), loadings) == pytest.approx(np.ones(3))
    other = rng.standard_normal((15, 3))
    assert _stability.tucker(_stability.turned(other, loadings), loadings).mean() < 0.8
    assert np.isnan(_stability.tucker(np.zeros((15, 1)), loadings[:, :1])).all()


def test_words_of_like_meaning_form_groups_and_factors_may_follow_them(planted) -> None:
    made, found = planted
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((6, 20))
    near = centres[[VALUELEX_SUB.index(sub) for sub in made.subs]] + 0.5 * rng.standard_normal((60, 20))
    words = [term.word for term in found.terms]
    same = lexicon.semantic(found, words, near)
    assert same.ari > 0.9
    assert len(set(same.group)) == 6
    other = lexicon.semantic(found, words, rng.permutation(near))
    assert abs(other.ari) < 0.2
    some = lexicon.semantic(found, words[:30], near[:30], n_groups=3)
    assert (some.n, some.group[30:].tolist()) == (30, [-1] * 30)
    with pytest.raises(InputError, match="3 words, 60 vectors"):
        lexicon.semantic(found, words[:3], near)
    with pytest.raises(InputError, match="2 vectors"):
        lexicon.semantic(found, words[:2], near[:2])


def test_texts_become_a_lexicon_that_can_be_written_and_read(tmp_path) -> None:
    made = lexicon.simulate(lexicon.Design(n_terms=5, n_models=20, n_respondents=240, loading=0.8), seed=4)
    words = np.array([word for sub in VALUELEX_SUB for word in lists.words_of(sub)[:5]])
    answers = [
        lexicon.Elicited(name, model, "e01", ", ".join(words[row]))
        for name, model, row in zip(made.table.respondents, made.table.models, made.table.used, strict=True)
    ]
    found = lexicon.build(answers, draws=99, bootstraps=2)
    assert found.refused == ""
    assert found.taxonomy is not None
    assert found.taxonomy.ari >= 0.9
    path = tmp_path / "lexicon.json"
    lexicon.save(found, path)
    again = lexicon.read(path)
    assert again.terms == found.terms
    assert again.factors == found.factors
    assert np.array_equal(again.loadings, found.loadings)
    assert again.taxonomy is not None
    assert again.taxonomy.ari == found.taxonomy.ari
    lexicon.save(again, tmp_path / "again.json")
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()


def test_a_refused_lexicon_can_be_written_and_read(tmp_path, planted) -> None:
    found = lexicon.analyse(cut(planted[0].table, 7), **QUICK)
    lexicon.save(found, tmp_path / "a.json")
    again = lexicon.read(tmp_path / "a.json")
    assert again.refused == found.refused
    assert np.isnan(again.dimensions_p)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "vprobe lexicon 1"}', "not json"])
def test_a_file_that_is_no_lexicon_is_refused(text, tmp_path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="is no lexicon"):
        lexicon.read(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json: cannot be read: No such file"):
        lexicon.read(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 98}, "98 draws"),
        ({"bootstraps": 1}, "1 bootstraps"),
        ({"subs": ("social",)}, "1 sub-dimensions"),
        ({"subs": ("sociable",) * 60}, "'sociable'"),
    ],
)
def test_wrong_options_are_named(options, message, planted) -> None:
    with pytest.raises(InputError, match=message):
        lexicon.analyse(planted[0].table, **{**QUICK, **options})


def test_a_term_that_everybody_names_is_refused(planted) -> None:
    used = planted[0].table.used.copy()
    used[:, 3] = True
    with pytest.raises(InputError, match="does not vary"):
        lexicon.analyse(dataclasses.replace(planted[0].table, used=used), **QUICK)


@pytest.mark.parametrize("wrong", [{"loading": 1.5}, {"n_models": 0}, {"n_respondents": 5}, {"rarest": 0.0}])
def test_a_table_that_cannot_be_made_is_refused(wrong) -> None:
    with pytest.raises(InputError):
        lexicon.Design(**wrong)
