"""Every operation on every other engine against the account of `test_steering_reference`, edited by hand.

One load per family and engine: all operations and position rules ride in one batch, each row with a change of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from vprobe import backends, prompts, steering
from vprobe.types import Site, Steering

from tests import tiny
from tests.test_steering_reference import (
    FAMILIES,
    LABELS,
    POSITIONS,
    Case,
    _prompt,
    chosen,
    operations,
    reads,
    tokens,
    whole,
    written,
)

torch.set_num_threads(1)
ENGINES = tuple(name for name in backends.names() if name != "hf")
LIBRARY = {"nnsight": "nnsight", "transformer-lens": "transformer_lens"}
NEW = 3
"""Tokens written per text."""


@pytest.fixture(scope="module", params=[(family, engine) for engine in ENGINES for family in FAMILIES], ids="-".join)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    family, name = request.param
    pytest.importorskip(LIBRARY[name])
    folder = tiny.build(family, tmp_path_factory.mktemp(family))
    engine = backends.load(str(folder), backend=name, device="cpu")
    engine._stops = ()
    bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    queries, replies = ("say hi", "should i go now?"), ("say sorry and be kind", "no")
    words = engine.tokenizer
    yield Case(
        family, engine, bare,
        [prompts.encode(words, _prompt(q, r)) for q, r in zip(queries, replies, strict=True)],
        [prompts.encode(words, _prompt(q)) for q in queries],
        [prompts.encode_answers(words, _prompt(q, options=LABELS)) for q in queries],
    )  # fmt: skip
    gc.collect()


def agree(case: Case, changes: list[Steering], edits: list, names: list[str]) -> None:
    """One batch in which every change has each of the texts, against the account text by text."""
    n = len(changes)
    lists = [[change] for change in changes for _ in case.said]
    rows = [(name, edit) for name, edit in zip(names, edits, strict=True) for _ in case.said]
    read = case.engine.read(case.said * n, [Site(2, "resid_pre")], ["response_mean"], steering=lists)[0, :, 0]
    asked = case.engine.choose(case.answers * n, steering=lists)
    wrote = case.engine.generate(case.asked * n, max_new_tokens=NEW, steering=lists)
    plain = case.engine.choose(case.answers)
    wrong = []
    for i, (name, edit) in enumerate(rows):
        said, answer, query = (part[i % len(case.said)] for part in (case.said, case.answers, case.asked))
        if not np.allclose(read[i], reads(case, said, edit(said)), atol=2e-4, rtol=2e-4):
            wrong.append(f"{name}: read")
        if not np.allclose(asked[i], chosen(case, answer, edit(answer.prompt)), atol=5e-4, rtol=0):
            wrong.append(f"{name}: choose")
        if wrote[i].ids != written(case, query, edit(query), NEW):
            wrong.append(f"{name}: generate")
        if name != "from:99" and np.abs(np.subtract(asked[i], plain[i % len(plain)])).max() < 1e-3:
            wrong.append(f"{name}: does not act")
    assert wrong == []


def test_operations_are_their_formulas_in_reading_choosing_and_writing(case: Case) -> None:
    known = operations(case)
    assert set(known) == set(steering.names())
    edits = [lambda row, c=change, r=rule: [(c.at, whole(r))] for change, rule in known.values()]
    agree(case, [change for change, _ in known.values()], edits, list(known))


def test_position_rules_name_their_tokens(case: Case) -> None:
    way = case.direction(1)
    v = way.vector.astype(np.float64)
    changes = [Steering(steering.load("add"), way, 4.0, rule) for rule in POSITIONS]

    def at(rule: str, row) -> list:
        span = row.interval("option_span")
        return [(way.site, lambda x, b: x + 4.0 * tokens(rule, len(x), b, span)[:, None] * v)]

    agree(case, changes, [lambda row, r=rule: at(r, row) for rule in POSITIONS], list(POSITIONS))
