"""`induce`: give a model a social value four ways, and measure how near its slider choices come to that value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vprobe import benchmarks, prompts, responses, scores, scoring, store
from vprobe.backends import Backend
from vprobe.benchmarks import svo
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError, unknown
from vprobe.pipeline._again import finished
from vprobe.pipeline._common import Stage, Tell, info, load_backend, quiet
from vprobe.pipeline._lookup import direction
from vprobe.pipeline._push import Push, pushes_of
from vprobe.pipeline._read import ask, fitting
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._scales import LIKELIEST, SPOKEN
from vprobe.scoring import svo as rule
from vprobe.types import Count, InduceRow, Prompt, Response, Steering

STEERED = "steering"
WAYS = (*svo.WAYS, STEERED)
PUSH = (
    ("altruistic", (("benevolence", 1.0), ("power", -1.0))),
    ("prosocial", (("universalism", 1.0), ("power", -1.0))),
    ("individualistic", (("achievement", 1.0), ("benevolence", -1.0))),
    ("competitive", (("power", 1.0), ("benevolence", -1.0))),
    (svo.NONE, ()),
)
"""What steering towards a type adds, by value. A choice of ours: the slider's authors name no Schwartz values."""
PRIMARY = 6
"""The angle rests on the first six items."""


@dataclass(frozen=True)
class _Given:
    """A model that was given a type in some way, by a system prompt or by steering; `reason` where it cannot be."""

    kind: str
    way: str
    text: str = ""
    steering: tuple[Steering, ...] = ()
    reason: str = ""


def induce(
    config: RunConfig,
    *,
    ways: Sequence[str] = svo.WAYS,
    directions: Path | None = None,
    strength: float = 0.25,
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> Stage:
    """Give the model each type of social value, no value and a wrong one, and hold its choices against each type.

    Args:
        config: Model, output folder, rating versions, seed; where it is steered, operation, gate, tokens, conflict
            policy and the unit of the strength.
        ways: Any of "word", "elaborated", "goal" (system prompts) and "steering".
        directions: Run folder with directions of this model, for steering.
        strength: Dose of every vector: residual norms where the operation adds, or multiples of `config.dose`.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: An unknown way, steering without directions, a chat template without system messages, or a folder
            that holds choices of other settings.
    """
    for way in ways:
        if way not in WAYS:
            raise unknown("way", way, WAYS, where="--ways")
    if not ways or len(set(ways)) < len(ways):
        raise InputError(f"{list(ways)}", where="--ways", expected="at least one way, each once")
    if STEERED in ways and directions is None:
        raise InputError("no directions", where="--ways steering", do="name a run with directions by --run")
    folder, found = Path(config.out), (benchmarks.load("svo", limit=PRIMARY),)
    config = replace(config, benchmark=("svo",))
    backend = backend or load_backend(config, of=directions if STEERED in ways else None)
    pushes = _pushes(config, backend, directions) if STEERED in ways else {}
    states = {way: [_steered(kind, pushes, strength) for kind, _ in PUSH] for way in ways if way == STEERED}
    made = info("induce", config, backend.info, found, more=_more(ways, strength, states.get(STEERED, ())))
    if finished(folder, "induce", made, ("induced", "induced_answers"), but=("seed",)):
        rows = store.load_rows(folder, "induced", InduceRow)
        answers = store.load_rows(folder, "induced_answers", Response)
        return _done(folder, backend, rows, answers, store.load_info(folder, "induce").counts)
    states |= {
        way: [_prompted(backend, kind, way, config.stop) for kind in svo.KINDS] for way in ways if way != STEERED
    }
    everyone = [one for way in ways for one in states[way]]
    wanted = ask(found, config.versions)
    heard = []
    with at_work(folder, "induce", backend, config) as backend:
        for done, state in enumerate(everyone):
            heard.append(_asked(backend, config, state, wanted))
            tell("induce", done + 1, len(everyone))
        answers = [one for had in heard for one in had.said]
        counts = [count for had in heard for count in had.counts]
        plain = {had.state.way: had.said for had in heard if had.state.kind == svo.NONE}
        rows = [row for had in heard for row in _rows(had.state, had.said, plain.get(had.state.way, ()))]
        if not answers:
            raise ModelError(
                f"nothing could be asked: {', '.join(sorted({row.note for row in rows}))}", where="induce",
                do="choose a model with a longer context, or other --ways",
            )  # fmt: skip
        store.save_info(folder, replace(made, counts=tuple(counts)), "induce")
        store.save_rows(folder, "induced", rows, InduceRow)
        store.save_rows(folder, "induced_answers", answers, Response)
    return _done(folder, backend, rows, answers, counts)


def _more(ways: Sequence[str], strength: float, steered: Sequence[_Given]) -> tuple[tuple[str, Any], ...]:
    """Return the settings no configuration has: the ways, and what is added to the model where it is steered."""
    pushes = [
        f"{one.kind}: {change.operation.name} {change.coefficient:.6g} x {change.direction.value} "
        f"{change.direction.site} "
        f"{change.direction.method} fitted on {change.direction.fitted_on[:12]}"
        for one in steered
        for change in one.steering
    ]
    return (("ways", sorted(ways)), *((("strength", float(strength)), ("pushes", pushes)) if steered else ()))


def _done(
    folder: Path, backend: Backend, rows: Sequence[InduceRow], answers: Sequence[Response], counts: Sequence[Count]
) -> Stage:
    mass = [one.option_mass for one in answers if one.logprobs is not None]
    little = bool(mass) and sum(mass) / len(mass) < scores.LITTLE_MASS
    facts = (
        ("model", backend.info.name),
        *([("choices say little", "the options get hardly any of the model's probability")] if little else []),
        ("states", len({(row.way, row.given) for row in rows})),
        ("answers", len(answers)),
        *(("left out", note) for note in sorted({row.note for row in rows if row.note})),
    )
    return Stage("induce", folder, facts, tuple(counts))


@dataclass(frozen=True)
class _Had:
    """What a model in some state said."""

    state: _Given
    said: tuple[Response, ...]
    counts: tuple[Count, ...]


def _asked(backend: Backend, config: RunConfig, state: _Given, wanted: Sequence[Prompt]) -> _Had:
    """Ask a model in one state; where nothing fits its context, say so and let the other states go on."""
    if state.reason:
        return _Had(state, (), ())
    try:
        asked = fitting(backend, [_under(prompt, state) for prompt in wanted], config.too_long, "induce")
    except ModelError as error:
        return _Had(replace(state, reason=error.found), (), ())
    said = responses.collect(
        backend, asked.prompts, answers=asked.answers, greedy=config.greedy, steering=state.steering,
        batch_tokens=config.batch_tokens or None, stop=config.stop,
    )  # fmt: skip
    return _Had(state, said, asked.counts)


def _pushes(config: RunConfig, backend: Backend, directions: Path | None) -> dict[str, Push]:
    """Return how each value that any type needs is steered."""
    folder, wanted = directions or Path(), dict.fromkeys(value for _, parts in PUSH for value, _ in parts)
    vectors = {v: direction(folder, v, site=config.steer_site, method=config.steer_method) for v in wanted}
    return pushes_of(folder, config, backend, vectors)


def _steered(kind: str, pushes: Mapping[str, Push], strength: float) -> _Given:
    changes = [change for value, sign in dict(PUSH)[kind] for change in pushes[value].change(sign * strength)]
    return _Given(kind, STEERED, steering=tuple(changes))


def _prompted(backend: Backend, kind: str, way: str, stop: Sequence[str]) -> _Given:
    """Write a system prompt, letting the model add its own list of traits or its own goal."""
    traits = _said(backend, svo.ask_traits(kind), "", stop) if way == "elaborated" else ""
    if way == "elaborated" and not traits:
        return _Given(kind, way, reason="the model listed no traits")
    goal = _said(backend, svo.ask_goal(), svo.induce(kind).text, stop) if way == "goal" else ""
    if way == "goal" and not goal:
        return _Given(kind, way, reason="the model stated no goal")
    return _Given(kind, way, svo.induce(kind, way, traits=traits, goal=goal).text)


def _said(backend: Backend, question: str, system: str, stop: Sequence[str]) -> str:
    row = prompts.encode_text(backend.tokenizer, question, system=system)
    room = min(responses.FREE_TOKENS * 2, backend.info.context - len(row.ids))
    if room < 1:
        return ""
    return backend.generate([row], max_new_tokens=room, temperature=0.0, stop=stop)[0].text.strip()


def _under(prompt: Prompt, state: _Given) -> Prompt:
    name = f"{state.way}-{state.kind}"
    if state.text:
        return prompts.with_system(prompt, state.text, name=name)
    return replace(prompt, id=f"{prompt.id}@{name}")


def _rows(state: _Given, said: Sequence[Response], plain: Sequence[Response]) -> list[InduceRow]:
    """Hold the choices of one state against every type it is an arm of, for each read-out, and against no value's."""
    out = []
    readouts = ((LIKELIEST, False), (SPOKEN, True)) if said else ((LIKELIEST, False),)
    for readout, greedy in readouts:
        if greedy and not any(one.text is not None for one in said):
            continue
        by_version, mass = _angles(said, greedy=greedy)
        angles, without = np.array([*by_version.values()]), _angles(plain, greedy=greedy)[0]
        others = np.array([without.get(version, math.nan) for version in by_version])
        for target in svo.TYPES:
            arm = next((one.name for one in svo.arms(target) if one.given == state.kind), "")
            if not arm:
                continue
            near = rule.rationality(angles, target)
            known = angles[np.isfinite(angles)]
            gain = rule.nearer(angles, others if state.kind != svo.NONE else np.full(len(angles), math.nan), target)
            out.append(
                InduceRow(
                    target=target, way=state.way, arm=arm, given=state.kind, readout=readout,
                    angle=float(known.mean()) if len(known) else math.nan, ideal=near.ideal, distance=near.distance,
                    normalised=near.normalised, chance_corrected=near.chance_corrected, random=near.random,
                    n=near.n, n_unscored=near.n_unscored, option_mass=mass, note=state.reason,
                    nearer=gain.by, nearer_low=gain.low, nearer_high=gain.high, n_paired=gain.n,
                )
            )  # fmt: skip
    return out


def _angles(said: Sequence[Response], *, greedy: bool) -> tuple[dict[str, float], float]:
    """Return the angle in each version the model answered, and its mean option mass."""
    if not said:
        return {}, math.nan
    table = scoring.as_answers(said, respondent="model", parse=rule.parse if greedy else None, likeliest=not greedy)
    return dict(zip(table.versions, rule.version_angles(table)[0].tolist(), strict=True)), float(table.masses()[0])
