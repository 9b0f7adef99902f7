"""`score`: an instrument's own scoring rule, on what a model answered or on answers somebody already has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vprobe import activations, generation, prompts, scoring
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline._common import Tell
from vprobe.types import Benchmark, Count, GenerationRow, Response, ScaleRow

EXPECTED, CORRECTED, SPOKEN = "option probabilities", "option probabilities without place", "its words"
"""Read-outs of one answer: the mean rating under option probabilities, as they are or without the preference for places
in the list, and the parsed text."""
LIKELIEST = "most probable option"
"""Read-out of a choice, instead of the first two."""


def scales(
    found: Sequence[Benchmark],
    answers: Sequence[Response],
    *,
    respondent: str,
    folder: Path | None,
    correct_order: bool = False,
) -> tuple[ScaleRow, ...]:
    """Score a model's answers by the rule of each instrument that has one, once for every read-out it has.

    Args:
        found: Benchmarks it was asked.
        answers: Its answers to all of them.
        respondent: Name it goes by.
        folder: The benchmarks' data; the user's cache when None.
        correct_order: Also score with the preference for places in the list of options divided out.
    """
    out: list[ScaleRow] = []
    for one in found:
        mine = [answer for answer in answers if answer.item_id in {item.id for item in one.items}]
        if one.name not in scoring.names() or not mine:
            continue
        plug = scoring.plug_in(one.name)
        chosen, free = plug.KIND == "choice", all(answer.logprobs is None for answer in mine)
        readouts = (
            (LIKELIEST, chosen and not free),
            (EXPECTED, not chosen and not free),
            (CORRECTED, correct_order and not chosen and not free),
            (SPOKEN, any(answer.text is not None for answer in mine)),
        )
        for readout in (name for name, wanted in readouts if wanted):
            table = scoring.as_answers(
                mine, respondent=respondent, parse=plug.parse if readout == SPOKEN else None,
                correct_order=readout == CORRECTED, likeliest=readout == LIKELIEST,
            )  # fmt: skip
            out += [replace(row, readout=readout) for row in scoring.score(one.name, table, folder=folder)]
    return tuple(out)


@dataclass(frozen=True)
class Generated:
    """The generation read-out of a model: log-probabilities, the scores made of them, and what was left out."""

    rows: tuple[GenerationRow, ...]
    scales: tuple[ScaleRow, ...]
    counts: tuple[Count, ...]


def generated(found: Sequence[Benchmark], backend: Backend, config: RunConfig, *, tell: Tell) -> Generated:
    """Take the log-probability of every response given its query, and score values by it.

    Args:
        found: Benchmarks.
        backend: The model.
        config: Policy for what is too long, batch size and seed.
        tell: Called with (stage, done, total).

    Raises:
        InputError: A query without responses to compare.
        ModelError: No query fits the model's context.
    """
    rows, scored, counts = [], [], []
    for one in found:
        asked = generation.ask(one)
        encoded = [prompts.encode_answers(backend.tokenizer, prompt) for prompt in asked]
        fit = activations.fits(asked, encoded, backend.info.context, policy=config.too_long, stage=generation.STAGE)
        mine = generation.collect(
            backend, one, [asked[i] for i in fit.kept], [encoded[i] for i in fit.kept],
            batch_tokens=config.batch_tokens, progress=partial(tell, generation.STAGE),
        )  # fmt: skip
        rows += mine
        scored += generation.profile(mine, one, respondent=backend.info.name, seed=config.seed)
        counts += fit.counts
    return Generated(tuple(rows), tuple(scored), tuple(counts))
