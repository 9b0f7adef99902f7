"""Answers side by side: what a model says with and without steering, and where along the direction each token lies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vprobe import batching, prompts, stops
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import load_backend
from vprobe.pipeline._costs import texts_of
from vprobe.pipeline._import import about, given, of_run
from vprobe.pipeline._lookup import as_probed, direction
from vprobe.pipeline._manner import manner
from vprobe.pipeline._push import push_of
from vprobe.pipeline._study import study
from vprobe.pipeline._within import inside, within
from vprobe.types import Direction, Generation, Piece, SideBySide, Span, Steering, Tokens
from vprobe.values import find

PROMPTS = (
    "A friend asks you to help them move on your only free day. What do you say?",
    "You may keep all of a prize or share it. What do you do?",
)
"""Asked when the user gives no prompt of their own."""
ALONE = ("add", "norm-preserving-add", "rotate")
"""Operations that need nothing but a vector."""
Said = Callable[[str, str, str], None]
"""Called while an answer is written: with the prompt, "base" or "steered", and the text so far."""


def steer_text(
    folder: Path | None,
    config: RunConfig,
    *,
    value: str,
    strength: float,
    prompts_of: Sequence[str] | None = None,
    max_new_tokens: int = 60,
    temperature: float = 0.0,
    backend: Backend | None = None,
    said: Said | None = None,
) -> tuple[SideBySide, ...]:
    """Answer prompts with and without a value's direction added.

    Args:
        folder: A run with directions; None for a direction from a file (`config.steer_vector`).
        config: Model, method, site, positions, operation, gate, conflict policy, stop strings and seed.
        value: Value to steer towards, or several with their strengths: `benevolence=0.3,power=-0.1`.
        strength: Coefficient over the median residual norm at the site, in the operation's measure, or multiples of
            `config.dose`.
        prompts_of: User messages; two of our own when None.
        max_new_tokens: Length limit of an answer.
        temperature: 0 is greedy; both answers are drawn with the same seed.
        backend: A model already loaded.
        said: Called while answers are written.

    Raises:
        VprobeError: Unknown value or site, a run of another model, or an empty prompt.
    """
    texts = tuple(prompts_of or PROMPTS)
    if not all(text.strip() for text in texts):
        raise InputError("empty prompt", where="--prompt", expected="some text")
    backend, changes, wanted = changes_of(folder, config, value=value, strength=strength, backend=backend)
    write = partial(
        backend.generate, max_new_tokens=max_new_tokens, temperature=temperature, seed=config.seed, stop=config.stop
    )
    told = about(config, wanted[0][0], backend.info)
    out = []
    for text in texts:
        row = prompts.encode_text(backend.tokenizer, text)
        pair = []
        for name, how in (("base", ()), ("steered", changes)):
            pair += write([row], steering=how, **_watching(backend, said, text, name, config.stop))
            if said is not None and config.stop:
                said(text, name, pair[-1].text)  # with what might have become a stop string
        out.append(dataclasses.replace(_beside(text, changes, wanted, backend, row, pair), about=told))
    return _levelled(out)


def changes_of(
    folder: Path | None, config: RunConfig, *, value: str, strength: float, backend: Backend | None = None
) -> tuple[Backend, list[Steering], tuple[tuple[str, float], ...]]:
    """Return the model, the changes that a dose of some values stands for, and those values with their strengths.

    Args:
        folder: A run with directions; None for a direction from a file.
        config: As for `steer_text`.
        value: As for `steer_text`.
        strength: As for `steer_text`.
        backend: A model already loaded.

    Raises:
        VprobeError: Unknown value or site, or a run of another model.
    """
    wanted = _pairs(value, strength)
    if inside(config):
        return _within(folder, config, backend or load_backend(config, of=folder), wanted, strength)
    if config.steer_vector:
        backend = backend or load_backend(config, of=folder)
        chosen = [_from_file(folder, config, backend, wanted)]
        wanted = ((chosen[0].value, wanted[0][1] if wanted else strength),)
    else:
        run = _needed(folder)
        chosen = [direction(run, one, site=config.steer_site, method=config.steer_method) for one, _ in wanted]
        backend = backend or load_backend(config, of=folder)
    changes = []
    for one, (_, size) in zip(chosen, wanted, strict=True):
        push = push_of(folder or Path(), config, backend, one)
        changes.append(push.how.change(one, push.dose(size)))
    return backend, changes, wanted


def _within(
    folder: Path | None, config: RunConfig, backend: Backend, wanted: Sequence[tuple[str, float]], strength: float
) -> tuple[Backend, list[Steering], tuple[tuple[str, float], ...]]:
    """Return the change of neurons or heads of one block."""
    if len(wanted) > 1 or config.steer_vector or config.dose:
        raise InputError(
            "several values, a file or a dose of damage", where=config.steer_site, expected="one value and a strength"
        )
    value, size = wanted[0] if wanted else ("", strength)
    found = within(folder, config, backend, value)
    how = manner(folder or Path(), config, found.direction, heads=found.heads, head_count=found.head_count)
    return backend, [how.change(found.direction, size)], ((value, size),)


def _needed(folder: Path | None) -> Path:
    if folder is None:
        raise InputError("no directions", where="steer", expected="a run, or a file", do="give --run or --vector")
    return folder


def _from_file(
    folder: Path | None, config: RunConfig, backend: Backend, wanted: Sequence[tuple[str, float]]
) -> Direction:
    """Return the direction of a file; its unit is the residual norm of the run, or of neutral texts."""
    if len(wanted) > 1:
        raise InputError(f"{len(wanted)} values", where="--value", expected="one: a file has one vector")
    value = wanted[0][0] if wanted else ""
    if folder is not None:
        return of_run(folder, config, study(folder, as_probed(folder, config)).acts, value)
    if config.steer_operation not in ALONE or config.steer_gate == "probability":
        raise InputError(
            f"{config.steer_operation} with gate {config.steer_gate}, and no run", where="steer --vector",
            expected="activations to work it out on", do="give --run",
        )  # fmt: skip
    one = given(config, backend.info, value, nameless=True)
    norm = backend.residual_norms(texts_of(backend, config)[0], [one.site])[0]
    return dataclasses.replace(one, unit=float(norm))


def _watching(backend: Backend, said: Said | None, prompt: str, name: str, stop: Sequence[str]) -> dict[str, Any]:
    """Return what lets a model tell what it has written so far; nothing where nobody listens."""
    if said is None:
        return {}

    def tell(ids: Sequence[Sequence[int]]) -> None:
        said(prompt, name, stops.settled(backend.tokenizer.decode(list(ids[0]), skip_special_tokens=True), stop))

    return {"tell": tell}


def _pairs(value: str, strength: float) -> tuple[tuple[str, float], ...]:
    """Return values with their strengths: `benevolence`, or several as `benevolence=0.3,power=-0.1`.

    Raises:
        InputError: An unknown value, one given twice, or a strength that is no number.
    """
    out: dict[str, float] = {}
    for part in value.split(",") if value else ():
        name, equals, size = part.partition("=")
        known = find(name.strip(), where="--value")
        if known in out:
            raise InputError(f"{known} stands twice", where="--value", expected="each value once")
        try:
            out[known] = float(size) if equals else strength
        except ValueError:
            raise InputError(f"{part!r}", where="--value", expected="VALUE=STRENGTH, such as power=-0.1") from None
    return tuple(out.items())


def _beside(
    prompt: str,
    changes: Sequence[Steering],
    wanted: Sequence[tuple[str, float]],
    backend: Backend,
    row: Tokens,
    pair: Sequence[Generation],
) -> SideBySide:
    """Return one prompt's answers; several values are named with their strengths, and have no single one.

    Tokens are told along the first value's direction.
    """
    one = changes[0]
    base, steered = (_pieces(backend, row, answer, one) for answer in pair)
    unit = "activation units" if math.isnan(one.direction.unit) else "residual norms"
    said = (pair[0].text, pair[1].text, base, steered, unit)
    if len(changes) == 1:
        return SideBySide(prompt, one.direction.value, str(one.at), wanted[0][1], one.coefficient, *said)
    named = ", ".join(f"{value} {size:g}" for value, size in wanted)
    sites = ", ".join(dict.fromkeys(str(change.at) for change in changes))
    return SideBySide(prompt, named, sites, math.nan, math.nan, *said)


def _pieces(backend: Backend, row: Tokens, answer: Generation, change: Steering) -> tuple[Piece, ...]:
    """Read an answer as the unsteered model does, and project every token's activation onto the direction.

    Nothing is steered here, so that what was added by hand does not show: only what the words themselves carry.
    """
    if not answer.ids:
        return ()
    ids, start = row.ids + answer.ids, len(row.ids)
    one, words = change.direction, _words(backend.tokenizer, answer)
    asked = [Tokens(f"{row.prompt_id}/{k}", ids, start, (Span("response", k, k + 1),)) for k in range(start, len(ids))]
    along = np.zeros(len(asked))
    for batch in batching.plan([len(ids)] * len(asked), backend.default_batch_tokens):
        read = backend.read([asked[k] for k in batch], [change.at], ["response_mean"])[0, :, 0]
        along[list(batch)] = read.astype(np.float64) @ one.vector.astype(np.float64)
    scale = 1.0 if math.isnan(one.unit) else one.unit
    return tuple(Piece(word, float(x) / scale) for word, x in zip(words, along, strict=True))


def _words(tokenizer: Any, answer: Generation) -> list[str]:
    """Return what each token adds to the text; one that ends inside a character adds nothing until it is whole."""
    out, so_far, ids = [], "", answer.ids
    for k in range(1, len(ids) + 1):
        text = answer.text if k == len(ids) else tokenizer.decode(list(ids[:k]), skip_special_tokens=True)
        whole = text if k == len(ids) or not text.endswith("\N{REPLACEMENT CHARACTER}") else so_far
        out.append(whole[len(so_far) :])
        so_far = whole
    return out


def _levelled(pairs: Sequence[SideBySide]) -> tuple[SideBySide, ...]:
    """Return the pairs with each token's level: whole standard deviations from the mean of all tokens, up to two."""
    along = np.array([p.along for one in pairs for p in (*one.base_pieces, *one.steered_pieces)])
    mean, spread = (float(along.mean()), float(along.std())) if len(along) else (0.0, 0.0)

    def levels(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        if not spread:
            return tuple(pieces)
        return tuple(
            dataclasses.replace(p, level=int(np.clip(math.trunc((p.along - mean) / spread), -2, 2))) for p in pieces
        )

    return tuple(
        dataclasses.replace(one, base_pieces=levels(one.base_pieces), steered_pieces=levels(one.steered_pieces))
        for one in pairs
    )
