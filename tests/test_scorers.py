"""Completions scored by a judge, by prototypes and by a classifier, beside word lists and beside people."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, lexicon, pipeline, scoring
from vprobe.__main__ import main
from vprobe.errors import InputError, ModelError
from vprobe.scoring import valuelex
from vprobe.values import VALUELEX_SUB

from tests import tiny

SAYS = ("being honest and fair", "my family and warm friends", "accuracy and knowledge", "the sea and the sky")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [*SAYS, "Somebody was asked to complete a sentence. What does the completion say matters most?"]
    return tiny.untrained(tmp_path_factory.mktemp("model") / "tiny", words)


@pytest.fixture(scope="module")
def sorter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with random weights whose labels are ours in another spelling, and one more."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    labels = [*(sub.replace("_", "-").title() for sub in reversed(VALUELEX_SUB)), "none"]
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, id2label=dict(enumerate(labels)), pad_token_id=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sorter")
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def answers(folder: Path) -> Path:
    ids = valuelex.known()[:12]
    rows = [f'{who},{item},"{SAYS[(i + n) % 4]}"' for n, who in enumerate("abc") for i, item in enumerate(ids)]
    path = folder / "said.csv"
    path.write_text("\n".join(("model,item_id,raw_response", *rows)), encoding="utf-8")
    return path


def labelled(folder: Path) -> Path:
    path = folder / "people.csv"
    subs = ("ethical", "social", "self_competent", "none")
    rows = [f"{valuelex.known()[i]},{text},{sub}" for i, (text, sub) in enumerate(zip(SAYS, subs, strict=True))]
    path.write_text("\n".join(("item_id,completion,label", *rows)), encoding="utf-8")
    return path


def test_every_scorer_scores_the_same_completions_and_is_held_against_the_others_and_people(
    model, sorter, tmp_path
) -> None:
    given = scoring.read("valuelex", answers(tmp_path))
    found = pipeline.judged(given, judge=str(model), prototypes=str(model), classifier=str(sorter),
                            people=labelled(tmp_path), device="cpu")  # fmt: skip
    names = ("lexicon", "prototypes", "judge", "classifier")
    assert tuple(dict.fromkeys(row.rule for row in found.scales)) == names
    assert len(found.scales) == 4 * 3 * 9 and {row.kind for row in found.scales} == {"generation"}
    assert len(found.agreement) == 6 * 6 and tuple(one.scorer for one in found.people) == names
    words = found.people[0]
    assert (words.accuracy, words.n, words.n_unscored) == (1.0, 3, 0)
    assert [one.halo.n for one in found.halos][1] == 3
    plain = valuelex.score(given, rule="lexicon")
    assert [row.estimate for row in found.scales[: len(plain)]] == pytest.approx(
        [row.estimate for row in plain], nan_ok=True
    )


def test_a_judge_without_room_for_a_completion_leaves_it_unscored(model, tmp_path) -> None:
    path = answers(tmp_path)
    long = valuelex.known()[12]
    path.write_text(path.read_text() + f'\na,{long},"{"honest " * 4000}"', encoding="utf-8")
    found = pipeline.judged(scoring.read("valuelex", path), judge=str(model), device="cpu")
    row = next(r for r in found.scales if (r.rule, r.respondent, r.scale) == ("judge", "a", VALUELEX_SUB[0]))
    short = pipeline.judged(scoring.read("valuelex", answers(tmp_path)), judge=str(model), device="cpu")
    same = next(r for r in short.scales if (r.rule, r.respondent, r.scale) == ("judge", "a", VALUELEX_SUB[0]))
    assert (row.n, row.n_unscored) == (same.n, same.n_unscored + 1)
    assert row.estimate == pytest.approx(same.estimate, nan_ok=True)


def test_a_classifier_gives_probabilities_in_our_order_and_never_cuts_a_text(sorter, model) -> None:
    run = backends.classifier(str(sorter), VALUELEX_SUB, device="cpu")
    found = run([SAYS[0], "", "honest " * 400, SAYS[1]])
    assert found.shape == (4, 6) and np.isnan(found[1:3]).all()
    turned = backends.classifier(str(sorter), VALUELEX_SUB[::-1], device="cpu")([SAYS[0]])
    np.testing.assert_allclose(turned[0], found[0][::-1])
    with pytest.raises(ModelError, match="no label 'kindness'"):
        backends.classifier(str(sorter), ("kindness",), device="cpu")


def test_words_of_a_lexicon_are_grouped_by_meaning(model, tmp_path, monkeypatch, capsys) -> None:
    made = lexicon.simulate(lexicon.Design(), seed=1)
    found = lexicon.analyse(made.table, draws=99, bootstraps=2, seed=0)
    fit = pipeline.word_groups(found, str(model), device="cpu")
    assert len(fit.group) == len(found.terms) and fit.n == len(found.terms) and -1 <= fit.silhouette <= 1
    lexicon.save(found, tmp_path / "words.json")
    words = ["vprobe", "lexicon", "show", str(tmp_path / "words.json"), "--prototypes", str(model), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().out
    assert not end.value.code and "words grouped by meaning" in said and f"{fit.silhouette:.2f}" in said


def test_the_command_scores_a_file_and_refuses_scorers_elsewhere(model, tmp_path, monkeypatch, capsys) -> None:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vprobe", "score", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.err + said.out

    file = str(answers(tmp_path))
    code, said = run("valuelex", "--answers", file, "--people", str(labelled(tmp_path)))
    assert code == 0 and "against people's labels" in said and "halo" in said
    code, said = run("valuelex", "--answers", file, "--people", str(labelled(tmp_path)), "--json")
    assert code == 0 and json.loads(said)["people"][0]["accuracy"] == 1.0
    code, said = run("everyday", "--answers", file, "--judge", str(model))
    assert code == 1 and "the instrument valuelex" in said
    code, said = run("valuelex")
    assert code == 1 and "one of them" in said
    with pytest.raises(InputError, match="no completion has any text"):
        empty = scoring.read("valuelex", answers(tmp_path))
        pipeline.judged(type(empty)(**{**vars(empty), "texts": ("",) * len(empty.texts)}))
