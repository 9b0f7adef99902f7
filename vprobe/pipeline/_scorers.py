"""`score valuelex` with several scorers: word lists, prototypes, a judge, a classifier, and whether they agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import activations, backends, batching, prompts, responses, scoring, store
from vprobe.backends import Backend
from vprobe.pipeline._common import model_path
from vprobe.scoring import valuelex
from vprobe.types import AnswerTable, Mark, Message, Prompt, Response, ScaleRow, Site, Tokens
from vprobe.values import VALUELEX_SUB

Rows = Float[np.ndarray, "row 6"]
DEPTH = 2 / 3
"""Share of the blocks after which texts are read for prototypes: late blocks speak of the next token."""
UNITS = (
    ("lexicon", valuelex.UNIT),
    ("prototypes", "cosine of a completion with a sub-dimension's words, mean over stems"),
    ("judge", "probability the judge gives it, from 0 to 1, mean over stems"),
    ("classifier", "probability the classifier gives it, from 0 to 1, mean over stems"),
)


@dataclass(frozen=True)
class ScorerHalo:
    """The halo check of one scorer's scores."""

    rule: str
    halo: valuelex.Halo


@dataclass(frozen=True)
class Judged:
    """Completions scored several ways.

    Args:
        scales: Each respondent's scores by every scorer.
        halos: Whether six scores say six things or one, by scorer; NaN below three respondents.
        agreement: How far every two scorers agree over completions.
        people: How far each scorer agrees with people's labels; empty without a file of them.
    """

    scales: tuple[ScaleRow, ...]
    halos: tuple[ScorerHalo, ...]
    agreement: tuple[valuelex.ScorerAgreement, ...]
    people: tuple[valuelex.Calibration, ...]


def completions_of(run: Path) -> AnswerTable:
    """Return the completions a rated run holds, as answers.

    Args:
        run: A run that was rated on stems.

    Raises:
        StoreError: Not a run, or one that was not rated.
    """
    said = store.load_rows(run, "responses", Response)
    model = store.load_info(run).model
    return scoring.as_answers(said, respondent=model.name if model else run.name, parse=valuelex.parse)


def judged(
    answers: AnswerTable,
    *,
    judge: str = "",
    prototypes: str = "",
    classifier: str = "",
    people: Path | None = None,
    device: str = "auto",
) -> Judged:
    """Score completions by word lists and by every other scorer named, each sub-dimension on its own stems.

    Args:
        answers: Completions of the valuelex stems.
        judge: Model that says what a completion holds to matter most, by its option log-probs.
        prototypes: Model whose activations stand for completions and for the words of the lists.
        classifier: Model for sequence classification whose labels are the six sub-dimensions.
        people: File of completions that people labelled.
        device: Where the models run.

    Raises:
        VprobeError: No completions, an unusable model or file.
    """
    valuelex.score(answers, rule=valuelex.RULES[0])  # says what is no completion before a model is loaded
    labels = valuelex.read_labels(people) if people else None
    scorers: list[tuple[str, Callable[[AnswerTable], Rows]]] = [("lexicon", lambda one: valuelex.by_words(one.texts))]
    if prototypes:
        reader = backends.load(model_path(prototypes), device=device)
        scorers.append(("prototypes", lambda one: _by_prototypes(one, reader)))
    if judge:
        asked = backends.load(model_path(judge), device=device)
        scorers.append(("judge", lambda one: _by_judge(one, asked)))
    if classifier:
        sorter = backends.classifier(classifier, VALUELEX_SUB, device=device)
        scorers.append(("classifier", lambda one: sorter(one.texts)))
    scores = [(name, scorer(answers)) for name, scorer in scorers]
    scales = [valuelex.scale_scores(answers, x, rule=name, unit=dict(UNITS)[name]) for name, x in scores]
    pairs = itertools.combinations(scores, 2)
    return Judged(
        scales=tuple(row for rows in scales for row in rows),
        halos=tuple(ScorerHalo(rows[0].rule, valuelex.halo(rows)) for rows in scales),
        agreement=tuple(row for (a, x), (b, y) in pairs for row in valuelex.agreement(x, y, names=(a, b))),
        people=tuple(valuelex.calibrate(labels, scorer(_table(labels)), scorer=name) for name, scorer in scorers)
        if labels
        else (),
    )


def _table(labels: valuelex.HumanLabels) -> AnswerTable:
    """Return labelled completions as answers."""
    ids, n = tuple(dict.fromkeys(labels.item_ids)), len(labels.item_ids)
    return AnswerTable(
        respondents=("people",), versions=("v1",), item_ids=ids, respondent=np.zeros(n, np.int64),
        version=np.zeros(n, np.int64), item=np.array([ids.index(one) for one in labels.item_ids], np.int64),
        number=np.full(n, np.nan), mass=np.full(n, np.nan), texts=labels.completions, line=np.arange(n),
    )  # fmt: skip


def _by_judge(answers: AnswerTable, backend: Backend) -> Rows:
    """Ask a judge about every completion in both orders; one it has no room for is unscored."""
    asked = valuelex.judge_prompts(answers)
    encoded = [prompts.encode_answers(backend.tokenizer, one) for one in asked]
    kept = activations.fits(asked, encoded, backend.info.context, stage="judge").kept
    said = responses.collect(backend, [asked[i] for i in kept], answers=[encoded[i] for i in kept])
    lost = [asked[i] for i in sorted(set(range(len(asked))) - set(kept))]
    mute = [
        Response(one.id, one.item_id, one.group, one.source, one.template, tuple(o.rating for o in one.options),
                 reason="longer than the judge's context")
        for one in lost
    ]  # fmt: skip
    return valuelex.judge_scores(answers, (*said, *mute))


def _by_prototypes(answers: AnswerTable, backend: Backend) -> Rows:
    """Score completions by where a model's activations put them beside the words of the lists."""
    words = valuelex.prototype_words()
    texts = [text.strip() for text in answers.texts]
    found = vectors(backend, words)
    known = np.asarray(np.isfinite(found).all(axis=1))
    read = dict(zip(dict.fromkeys(texts), vectors(backend, tuple(dict.fromkeys(texts))), strict=True))
    kept = [words[i] for i in np.flatnonzero(known)]
    return valuelex.by_prototypes(np.stack([read[text] for text in texts]), kept, found[known])


def vectors(backend: Backend, texts: Sequence[str]) -> Float[np.ndarray, "text d_model"]:
    """Return each text's mean activation as a reply; NaN where it is empty or longer than the context.

    Args:
        backend: The model.
        texts: Words or longer texts.
    """
    site = Site(min(backend.info.n_layers - 1, round(DEPTH * backend.info.n_layers)), "resid_post")
    out = np.full((len(texts), backend.info.d_model), np.nan)
    rows = {i: _said(backend, text) for i, text in enumerate(texts) if text.strip()}
    fits = [i for i, row in rows.items() if len(row.ids) <= backend.info.context]
    for batch in batching.plan([len(rows[i].ids) for i in fits], backend.default_batch_tokens) if fits else ():
        chosen = [fits[j] for j in batch]
        out[chosen] = backend.read([rows[i] for i in chosen], (site,), ("response_mean",))[0, :, 0]
    return out


def _said(backend: Backend, text: str) -> Tokens:
    turns = (Message("user", "Say something."), Message("assistant", text))
    return prompts.encode(
        backend.tokenizer, Prompt("text", "", "", "", "text", turns, (Mark("response", 1, 0, len(text)),))
    )
