"""A model's answers: option log-probs and text; what cannot be read stays without a rating."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from vprobe import batching, store
from vprobe import prompts as shelf
from vprobe.backends import Backend
from vprobe.errors import InputError, ModelError
from vprobe.prompts import Parsed
from vprobe.ranks import ALONE, Rank
from vprobe.types import Answers, Prompt, Response, Steering

MAX_NEW_TOKENS = 16
"""Room for the longest option and a little talk around it."""
FREE_TOKENS = 40
"""Room for an answer in free text: a sentence or two."""
FREE_TEXT = "free text: scored from its words, not as one of some options"
NOT_ASKED = "no text was asked for"
NO_ROOM = "no room left in the context for an answer"


Progress = Callable[[int, int], None]
OnBatch = Callable[[tuple[Response, ...]], None]


@dataclass(frozen=True)
class _Settings:
    greedy: bool
    max_new_tokens: int
    batch_tokens: int | None
    temperature: float
    seed: int
    stop: tuple[str, ...]


def collect(
    backend: Backend,
    prompts: Sequence[Prompt],
    *,
    greedy: bool = False,
    answers: Sequence[Answers] | None = None,
    batch_tokens: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    temperature: float = 0.0,
    stop: Sequence[str] = (),
    seed: int = 0,
    steering: Sequence[Steering] = (),
    folder: Path | None = None,
    on_batch: OnBatch | None = None,
    progress: Progress | None = None,
    rank: Rank = ALONE,
    shared: Sequence[tuple[str, str]] = (),
) -> tuple[Response, ...]:
    """Ask a model for its ratings, prompts that begin alike together; results are in the order of the prompts.

    With a run folder every finished batch is kept there at once, and an interrupted call goes on where it stopped.
    Hand the result to `store.save_responses`, which writes the table and drops what was kept on the way.
    Several ranks may share a folder; a rank gets back what all have answered when it finds nothing more to ask.

    Args:
        backend: The model.
        prompts: Rating prompts, or prompts without options, which are answered in free text.
        greedy: Also let the model write its answer, and parse it. Free text is written in any case.
        answers: The prompts with their options as tokens, in the same order; encoded here when None.
        batch_tokens: Most tokens in a batch; what suits the device when None.
        max_new_tokens: Longest greedy answer, tokens; less where the context leaves less room.
        temperature: Of free text; 0 is greedy. Answers to options are always greedy.
        stop: Stop strings of all that is written.
        seed: Seed of what is sampled; every prompt draws its own, whatever batch it is in.
        steering: Changes made while the model runs.
        folder: The run folder; None keeps nothing on the way.
        on_batch: Given the answers of every new batch as it ends.
        progress: Called with prompts done and prompts in all.
        rank: Which of several processes this is; more than one need a folder.
        shared: (name, value) pairs that all ranks must share.

    Raises:
        InputError: A prompt that asks nothing, two prompts of one id, or no room for an answer asked for.
        ModelError: A log-probability that is NaN.
        StoreError: The disk is full, or the folder holds unfinished answers to something else.
    """
    _require_once(prompts)
    if max_new_tokens < 1:
        raise InputError(f"{max_new_tokens} new tokens", where="rate", expected="at least 1")
    if answers is None:
        answers = [shelf.encode_answers(backend.tokenizer, prompt) for prompt in prompts]
    settings = _Settings(greedy, max_new_tokens, batch_tokens, temperature, seed, tuple(stop))
    if folder is None:
        return _collect(backend, prompts, answers, settings, steering, None, on_batch, progress)
    if steering:
        raise InputError("steered answers are not resumable", where="rate", do="leave the folder out")
    shown = [repr((prompt, one)) for prompt, one in zip(prompts, answers, strict=True)]
    asked = [repr(settings), backend.device.partition(":")[0], *shown]
    with store.ResponseLog(folder, model=backend.info, asked=asked, rank=rank, settings=shared) as log:

        def keep(fresh: tuple[Response, ...]) -> None:
            log.append(fresh)
            if on_batch is not None:
                on_batch(fresh)

        return _collect(backend, prompts, answers, settings, (), log, keep, progress)


def _collect(
    backend: Backend,
    prompts: Sequence[Prompt],
    answers: Sequence[Answers],
    settings: _Settings,
    steering: Sequence[Steering],
    log: store.ResponseLog | None,
    on_batch: OnBatch | None,
    progress: Progress | None,
) -> tuple[Response, ...]:
    """Ask what a log does not hold yet, batch by batch."""
    sizes = _sizes(answers)
    kept = {response.prompt_id: response for response in (log.done if log is not None else ())}
    batches = _batches(backend, answers, settings)
    names, costs = [[prompts[i].id for i in batch] for batch in batches], [sum(sizes[i] for i in b) for b in batches]
    _tell(progress, kept, prompts)
    for b in range(len(batches)) if log is None else log.claims(names, costs):
        rows, asked = [prompts[i] for i in batches[b]], [answers[i] for i in batches[b]]
        fresh = _ask(backend, rows, asked, settings, steering)
        if on_batch is not None:
            on_batch(fresh)
        kept.update((response.prompt_id, response) for response in fresh)
        _tell(progress, kept, prompts)
    kept.update((response.prompt_id, response) for response in (log.done if log is not None else ()))
    return tuple(kept[prompt.id] for prompt in prompts if prompt.id in kept)


def _batches(backend: Backend, answers: Sequence[Answers], settings: _Settings) -> tuple[tuple[int, ...], ...]:
    """Divide prompts into batches: those that begin alike together where the engine computes that once."""
    if backend.unshared_options or not any(one.options for one in answers):
        return batching.plan(_sizes(answers), settings.batch_tokens or backend.default_batch_tokens)
    ids = [one.prompt.ids for one in answers]
    return batching.plan_shared(ids, settings.batch_tokens or batching.HELD * backend.default_batch_tokens)


def _sizes(answers: Sequence[Answers]) -> list[int]:
    return [len(one.prompt.ids) + sum(len(option) for option in one.options) for one in answers]


def _tell(progress: Progress | None, kept: Collection[str], prompts: Sequence[Prompt]) -> None:
    if progress is not None:
        progress(sum(prompt.id in kept for prompt in prompts), len(prompts))


def collect_arms(
    backend: Backend,
    prompts: Sequence[Prompt],
    arms: Sequence[Sequence[Steering]],
    *,
    answers: Sequence[Answers] | None = None,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[Response, ...], ...]:
    """Ask a model for its ratings under many steerings at once; per arm as `collect` would return them.

    Args:
        backend: The model.
        prompts: Rating prompts.
        arms: Per arm the changes made while the model runs; an empty arm is the baseline.
        answers: The prompts with their options as tokens, in the same order; encoded here when None.
        batch_tokens: Most tokens in a batch of one arm; what suits the device when None.
        progress: Called with prompts done and prompts in all, an arm's prompts each counted.

    Raises:
        InputError: A prompt without options, or two prompts of one id.
        ModelError: A log-probability that is NaN.
    """
    _require_once(prompts)
    if free := [prompt.id for prompt in prompts if not prompt.options]:
        raise InputError(f"prompt {free[0]} has no options", where="rate under several steerings")
    if answers is None:
        answers = [shelf.encode_answers(backend.tokenizer, prompt) for prompt in prompts]
    found: list[dict[str, Response]] = [{} for _ in arms]
    alone = backend.unshared_options or any(map(_of_ends, chain.from_iterable(arms)))
    budget, ids = batch_tokens or backend.default_batch_tokens, [one.prompt.ids for one in answers]
    for batch in batching.plan(_sizes(answers), budget) if alone else batching.plan_shared(ids, budget):
        chosen = backend.choose_arms([answers[i] for i in batch], arms)
        for kept, rows in zip(found, chosen, strict=True):
            for i, row in zip(batch, rows, strict=True):
                numbers = _finite(prompts[i], row)
                kept[prompts[i].id] = _response(prompts[i], answers[i], numbers, None, NOT_ASKED)
        if progress is not None:
            progress(sum(map(len, found)), len(prompts) * len(arms))
    return tuple(tuple(kept[prompt.id] for prompt in prompts) for kept in found)


def _of_ends(one: Steering) -> bool:
    """Tell whether a change depends on how a prompt ends, so that prompts share nothing."""
    return "prompt" in (one.each, one.gate and one.gate.each)


def collect_own_arms(
    backend: Backend,
    prompts: Sequence[Prompt],
    arms: Sequence[Sequence[Sequence[Steering]]],
    *,
    answers: Sequence[Answers],
    progress: Progress | None = None,
) -> tuple[tuple[Response, ...], ...]:
    """Ask each prompt under arms of its own, as many as every other; per arm as `collect` would return them.

    Args:
        backend: The model.
        prompts: Rating prompts.
        arms: Per prompt its arms.
        answers: The prompts with their options as tokens, in the same order.
        progress: Called with prompts done and prompts in all.

    Raises:
        ModelError: A log-probability that is NaN.
    """
    _require_once(prompts)
    found: list[list[Response]] = []
    for i, (prompt, own) in enumerate(zip(prompts, arms, strict=True)):
        chosen = [_finite(prompt, rows[0]) for rows in backend.choose_arms([answers[i]], own)]
        found.append([_response(prompt, answers[i], row, None, NOT_ASKED) for row in chosen])
        if progress is not None:
            progress(i + 1, len(prompts))
    return tuple(zip(*found, strict=True))


def _require_once(prompts: Sequence[Prompt]) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if not prompt.options and prompt.messages[-1].role == "assistant":
            raise InputError("nothing is asked", where=f"prompt {prompt.id}", do="use a rating template")
        if prompt.id in seen:
            raise InputError(f"prompt {prompt.id} is there twice", where="rate", expected="unique prompt ids")
        seen.add(prompt.id)


def _ask(
    backend: Backend,
    prompts: Sequence[Prompt],
    answers: Sequence[Answers],
    settings: _Settings,
    steering: Sequence[Steering],
) -> tuple[Response, ...]:
    """Return the answers to one batch of prompts."""
    logprobs: list[tuple[float, ...] | None] = [None] * len(prompts)
    texts: list[str | None] = [None] * len(prompts)
    rated = [i for i, prompt in enumerate(prompts) if prompt.options]
    free = [i for i, prompt in enumerate(prompts) if not prompt.options]
    if rated:
        for i, row in zip(rated, backend.choose([answers[i] for i in rated], steering=steering), strict=True):
            logprobs[i] = _finite(prompts[i], row)
    spoken = rated if settings.greedy else []
    plain = replace(settings, temperature=0.0)
    for rows, how in ((spoken, plain), (free, replace(settings, max_new_tokens=FREE_TOKENS))):
        for i, text in zip(rows, _write(backend, [prompts[i] for i in rows], how, steering), strict=True):
            texts[i] = text
    return tuple(
        _response(prompt, one, row, text, NO_ROOM if settings.greedy or not prompt.options else NOT_ASKED)
        for prompt, one, row, text in zip(prompts, answers, logprobs, texts, strict=True)
    )


def _finite(prompt: Prompt, row: Sequence[float]) -> tuple[float, ...]:
    if any(math.isnan(one) for one in row):
        raise ModelError(
            "the log-probability of an option is NaN",
            where=f"prompt {prompt.id}",
            do="run the model with --dtype float32, or steer with a smaller strength",
        )
    return tuple(float(one) for one in row)


def _write(
    backend: Backend, prompts: Sequence[Prompt], settings: _Settings, steering: Sequence[Steering]
) -> list[str | None]:
    """Return texts; prompts with less room than `max_new_tokens` go alone, so that they shorten nobody else."""
    if not prompts:
        return []
    encoded = [shelf.encode(backend.tokenizer, prompt) for prompt in prompts]
    most = settings.max_new_tokens
    room = [min(most, backend.info.context - len(tokens.ids)) for tokens in encoded]
    together = [i for i, n in enumerate(room) if n == most]
    alone = [[i] for i, n in enumerate(room) if 0 < n < most]
    texts: list[str | None] = [None] * len(prompts)
    budget = settings.batch_tokens or backend.default_batch_tokens
    planned = batching.plan([len(encoded[i].ids) for i in together], budget)
    for rows in [[together[k] for k in sorted(batch)] for batch in planned] + alone:
        asked = [encoded[i] for i in rows]
        written = backend.generate(
            asked, max_new_tokens=room[rows[0]], temperature=settings.temperature,
            seed=settings.seed, steering=steering, stop=settings.stop,
        )  # fmt: skip
        for i, one in zip(rows, written, strict=True):
            texts[i] = one.text
    return texts


def _response(
    prompt: Prompt, answers: Answers, logprobs: tuple[float, ...] | None, text: str | None, without: str
) -> Response:
    parsed = _parsed(prompt, text, without)
    return Response(
        prompt_id=prompt.id, item_id=prompt.item_id, group=prompt.group, source=prompt.source, template=prompt.template,
        ratings=answers.ratings, logprobs=logprobs, text=text, rating=parsed.rating, reason=parsed.reason,
    )  # fmt: skip


def _parsed(prompt: Prompt, text: str | None, without: str) -> Parsed:
    if text is None:
        return Parsed(None, without)
    return shelf.parse(text, prompt.options) if prompt.options else Parsed(None, FREE_TEXT)
