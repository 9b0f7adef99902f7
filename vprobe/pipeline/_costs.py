"""What damage is measured on for one model, and the measuring itself: neutral texts, questions and requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import activations, batching, benchmarks, damage, organism, prompts, responses
from vprobe.backends import Backend
from vprobe.benchmarks import choices
from vprobe.config import RunConfig
from vprobe.damage import Done
from vprobe.errors import DataError, ModelError
from vprobe.organism import neutral as own
from vprobe.pipeline._common import model_path
from vprobe.pipeline._manner import Manner
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.types import Count, Direction, Response, Steering, Tokens

VERSIONS = ("v1", "v1_reversed")
"""Wordings of the questions; both orders, so that a taste for a place is no knowledge."""
WRITTEN = 40
"""Tokens of a continuation."""
START, LARGEST = 0.1, 100.0
"""First dose tried for a KL, and the one beyond which none is looked for: residual norms where the operation adds."""
STAGE = "damage"


@dataclass(frozen=True)
class Material:
    """What one model is tried on.

    Args:
        texts: Neutral texts as tokens.
        questions: Questions as prompts, both wordings of each, with their options as tokens; what has no right answer
            tells of option mass only.
        harmless: Requests.
        harmful: Requests.
        counts: What was left out, and why.
    """

    texts: tuple[Tokens, ...]
    questions: Asked
    harmless: tuple[Tokens, ...]
    harmful: tuple[Tokens, ...]
    counts: tuple[Count, ...]


def texts_of(backend: Backend, config: RunConfig) -> tuple[tuple[Tokens, ...], tuple[Count, ...]]:
    """Return the neutral texts that fit a model, and how many do not.

    Raises:
        ModelError: None fits.
    """
    found = own.neutral() if planted(config) else benchmarks.neutral()
    asked = [one.prompt for one in found[: config.damage_limit or None]]
    encoded = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    fit = activations.fits(asked, encoded, backend.info.context, stage=STAGE)
    return tuple(encoded[i] for i in fit.kept), fit.counts


def material(backend: Backend, config: RunConfig) -> Material:
    """Return what damage is measured on; for the planted model, whose vocabulary is closed, what it knows of it.

    Raises:
        ModelError: No neutral text fits the model's context.
    """
    limit = config.damage_limit or None
    texts, counts = texts_of(backend, config)
    if planted(config):
        asked = fitting(backend, ask([benchmarks.load("planted", limit=min(12, limit or 12))], VERSIONS), "skip", STAGE)
        requests = [one.request for one in own.neutral()][: min(40, limit or 40)]
        left = Count(STAGE, "the planted model knows no words for questions and harmful requests", "choices", 160, 160)
        return Material(texts, asked, _requests(backend, "harmless", requests)[0], (), (*counts, left))
    questions = ask([benchmarks.load("choices", limit=limit)], VERSIONS)
    try:
        asked = fitting(backend, questions, "skip", STAGE)
    except ModelError:
        reason = f"longer than the model's context of {backend.info.context} tokens"
        asked = Asked((), (), (Count(STAGE, reason, "choices", len(questions) // 2, len(questions) // 2),))
    canaries = benchmarks.canaries()
    harmless, lost = _requests(backend, "harmless", canaries.harmless[:limit])
    harmful, more = _requests(backend, "harmful", canaries.harmful[:limit])
    return Material(texts, asked, harmless, harmful, (*counts, *asked.counts, *lost, *more))


def planted(config: RunConfig) -> bool:
    """Return whether the model is one whose values were planted: a truth card lies beside its weights."""
    try:
        organism.read_card(Path(model_path(config.model)))
    except DataError:
        return False
    return True


def _requests(backend: Backend, kind: str, texts: Sequence[str]) -> tuple[tuple[Tokens, ...], tuple[Count, ...]]:
    encoded = [prompts.encode_text(backend.tokenizer, text) for text in texts]
    fits = [len(one.ids) + WRITTEN <= backend.info.context for one in encoded]
    reason = f"no room for {WRITTEN} tokens in the model's context of {backend.info.context}"
    lost = Count(STAGE, reason, f"{kind} requests", fits.count(False), len(fits))
    kept = [replace(one, prompt_id=f"{kind}-{i + 1}") for i, one in enumerate(encoded) if fits[i]]
    return tuple(kept), (lost,) if lost.n else ()


def drift(
    backend: Backend, texts: Sequence[Tokens], change: Sequence[Steering], config: RunConfig
) -> Float[np.ndarray, "row 4"]:
    """Return the drift of every text under a change, batch by batch."""
    out = np.full((len(texts), 4), math.nan)
    budget = config.batch_tokens or backend.default_batch_tokens
    for batch in batching.plan([len(one.ids) for one in texts], budget):
        out[list(batch)] = backend.drift([texts[i] for i in batch], steering=change)
    return out


def done(
    backend: Backend,
    what: Material,
    arms: Sequence[tuple[Steering, ...]],
    config: RunConfig,
    progress: Callable[[int, int], None],
) -> list[Done]:
    """Ask and let write under every arm; what no arm changes runs once."""
    asked, budget = what.questions, config.batch_tokens or None
    answered: Sequence[tuple[Response, ...]] = [() for _ in arms]
    if asked.prompts:
        answered = responses.collect_arms(
            backend, asked.prompts, arms, answers=asked.answers, batch_tokens=budget, progress=progress
        )
    out = []
    for arm, said in zip(arms, answered, strict=True):
        harmless, harmful = (_written(backend, rows, arm, config) for rows in (what.harmless, what.harmful))
        out.append(Done(_right(said), _mass(said), harmless, harmful))
    return out


def _written(
    backend: Backend, rows: Sequence[Tokens], change: Sequence[Steering], config: RunConfig
) -> tuple[str, ...]:
    out = [""] * len(rows)
    budget = config.batch_tokens or backend.default_batch_tokens
    for batch in batching.plan([len(one.ids) + WRITTEN for one in rows], budget):
        wrote = backend.generate([rows[i] for i in batch], max_new_tokens=WRITTEN, steering=change, stop=config.stop)
        for i, one in zip(batch, wrote, strict=True):
            out[i] = one.text
    return tuple(out)


def _right(said: Sequence[Response]) -> Float[np.ndarray, " question"]:
    """Return per question the share of its wordings whose likeliest option is right; none where none can be right."""
    right = {one.id: one.right for one in choices.questions()}
    found: dict[str, list[bool]] = {}
    for one in said:
        if one.item_id in right and one.logprobs is not None:
            likeliest = one.ratings[int(np.argmax(one.logprobs))]
            found.setdefault(one.item_id, []).append(likeliest == right[one.item_id])
    return np.array([np.mean(hits) for hits in found.values()], dtype=np.float64)


def _mass(said: Sequence[Response]) -> Float[np.ndarray, " asked"]:
    found: dict[str, list[float]] = {}
    for one in said:
        found.setdefault(one.item_id, []).append(one.option_mass)
    return np.array([np.mean(mass) for mass in found.values()], dtype=np.float64)


NAMES = {"activation": "residual norm", "share": "share of the whole change", "degrees": "degree"}
"""What a strength of 1 is, by what the operation's coefficient counts."""


def units_of(
    backend: Backend, how: Manner, target: Direction, config: RunConfig, texts: Sequence[Tokens] | None = None
) -> tuple[Callable[[int], float], str]:
    """Return what finds the size of a strength of 1 and of -1, in the operation's own doses, and its name.

    A vector and its opposite cost different things, so that with a KL for a unit each way has a size of its own.

    Args:
        backend: The model.
        how: What is done with the vector.
        target: The vector.
        config: `dose` and batch size.
        texts: Neutral texts; those of the model when None.

    Returns:
        A function of 1 or -1 that returns a size above 0, and raises InputError for a KL that cannot be reached; and
        the name of the unit.

    Raises:
        InputError: A dose that is no KL.
    """
    wanted = damage.target_of(config.dose)
    if math.isnan(wanted):
        return lambda sign: 1.0, NAMES[how.operation.measure]

    def find(sign: int) -> float:
        rows = texts_of(backend, config)[0] if texts is None else texts

        def kl(size: float) -> float:
            return damage.mean_kl(drift(backend, rows, (how.change(target, sign * size),), config))

        return damage.equal_damage(kl, wanted, start=START, largest=LARGEST).coefficient

    return find, f"kl={wanted:g}"
