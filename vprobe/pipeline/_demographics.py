"""`demographics`: how far a persona's age, politics and so on move a model's values, and whether people differ so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import benchmarks, ess, prompts, responses, scores, store, values
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import unknown
from vprobe.pipeline._again import finished
from vprobe.pipeline._common import Stage, Tell, chosen_values, info, join, load_backend, load_benchmarks, quiet
from vprobe.pipeline._read import ask, fitting
from vprobe.pipeline._resumed import at_work
from vprobe.scoring import value_portrait
from vprobe.types import Benchmark, Prompt, Response

NOBODY = "nobody"
"""Name of the condition without a persona."""


def demographics(
    config: RunConfig,
    *,
    axes: Sequence[str] = (),
    survey: Path | None = None,
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> Stage:
    """Rate the same items without a persona and under each, and compare the difference with people's where a survey is.

    Answers the folder holds already, of the same settings, are not asked for again: another survey or other values cost
    nothing.

    Args:
        config: Model, benchmark, versions, values, limit, output folder and seed.
        axes: Such as "age" and "politics"; all seven when empty.
        survey: European Social Survey file of the user's; None compares with nobody.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: An unknown axis, an unusable survey, nothing that fits the model's context, or a folder that holds
            answers of other settings.
    """
    people = ess.groups(ess.read(survey)) if survey else ()
    known = tuple(dict.fromkeys(one.axis for one in benchmarks.demographics()))
    for axis in axes:
        if axis not in known:
            raise unknown("axis", axis, known, where="--axes")
    chosen = tuple(one for one in benchmarks.demographics() if not axes or one.axis in axes)
    folder, found = Path(config.out), load_benchmarks(config)
    chosen_values(config.values, join(found).values)  # says what has no keys before anything is asked
    backend = backend or load_backend(config)
    asked = fitting(backend, _under(chosen, ask(found, config.versions)), config.too_long, "demographics")
    more = (("axes", sorted({one.axis for one in chosen})),)
    made = info("demographics", config, backend.info, found, asked.counts, more)
    held = finished(folder, "demographics", made, ("demographics_answers",), but=("values", "seed"))
    with at_work(folder, "demographics", backend, config) as backend:
        if held:
            said = store.load_rows(folder, "demographics_answers", Response)
        else:
            said = responses.collect(
                backend, asked.prompts, answers=asked.answers, batch_tokens=config.batch_tokens or None,
                progress=partial(tell, "demographics"),
            )  # fmt: skip
        rows = _effects(_by_persona(said), asked.prompts, chosen, join(found), config)
        store.save_info(folder, made, "demographics")
        store.save_rows(folder, "demographics", rows, ess.Effect)
        store.save_rows(folder, "demographics_answers", said, Response)
        store.drop(folder, ("people",))  # of another survey, or of none
        beside = ess.compare(rows, people)
        if people:
            store.save_rows(folder, "people", people, ess.GroupRow)
            store.save_rows(folder, "people_pairs", beside.pairs, ess.PairMatch)
            store.save_rows(folder, "people_trends", beside.trends, ess.TrendMatch)
            store.save_rows(folder, "people_axes", beside.axes, ess.AxisMatch)
    facts = (
        ("model", backend.info.name),
        ("personas", len(chosen)),
        ("items under each", len({prompt.item_id for prompt in asked.prompts})),
        ("mean option mass without a persona", _mass(_by_persona(said)[NOBODY])),
        *((f"same sign as people, {one.axis}", f"{one.same_sign:.2f} of {one.n}") for one in beside.axes),
    )
    return Stage("demographics", folder, facts, asked.counts)


def _by_persona(said: Sequence[Response]) -> dict[str, list[Response]]:
    """Sort answers by the persona they were given under; `NOBODY` for none."""
    out: dict[str, list[Response]] = {NOBODY: []}
    for answer in said:
        out.setdefault(answer.prompt_id.partition("@")[2] or NOBODY, []).append(answer)
    return out


def _mass(said: Sequence[Response]) -> float:
    """Return the mean total probability of the options; NaN without answers."""
    known = [one.option_mass for one in said if np.isfinite(one.option_mass)]
    return float(np.mean(known)) if known else math.nan


def _under(chosen: Sequence[benchmarks.Demographic], wanted: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Return every prompt without a persona and under each; one that does not fit is left out of all."""
    return tuple(wanted) + tuple(prompts.with_system(one, who.text, name=who.id) for who in chosen for one in wanted)


def _effects(
    said: dict[str, list[Response]], asked: Sequence[Prompt], chosen: Sequence[benchmarks.Demographic], one: Benchmark,
    config: RunConfig,
) -> list[ess.Effect]:  # fmt: skip
    ids = tuple(dict.fromkeys(prompt.item_id for prompt in asked))
    vanilla = scores.rate(said[NOBODY], ids).expected
    wanted, groups = chosen_values(config.values, one.values), one.groups(ids)
    rows: list[ess.Effect] = []
    for who in chosen:
        under = said.get(who.id, [])
        mine = scores.rate(under, ids).expected
        for _, members in values.FAMILIES:  # a family has one baseline, whichever of its values are wanted
            family = tuple(value for value in members if value in one.values)
            if set(family) & set(wanted):
                keys = _keys(one, config, ids, family)
                found = ess.effects(
                    mine, vanilla, keys, family, groups, axis=who.axis, level=who.level, seed=config.seed
                )
                mass = _mass(under)
                rows += [replace(row, option_mass=mass) for row in found if row.value in wanted]
    return rows


def _keys(
    one: Benchmark, config: RunConfig, ids: tuple[str, ...], family: tuple[str, ...]
) -> Float[np.ndarray, "item value"]:
    """Return which items speak for which value: by the instrument's own rule where it tags them, else as keyed."""
    if one.name != value_portrait.NAME:
        return one.loadings(ids, family)
    tags = value_portrait.keys(Path(config.data) if config.data else None)
    rows = [tags.sample_ids.index(item) for item in ids]
    return tags.x[rows][:, [tags.values.index(value) for value in family]]
