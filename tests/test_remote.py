"""Claims about a model that runs elsewhere, by nnsight's local remote mode: a forward is packed and sent to itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import backends, steering
from vprobe.errors import ModelError
from vprobe.types import Direction, Gate, Operation, Placement, Probe, Site, Span, Steering

from tests import led, tiny

pytest.importorskip("nnsight")
torch.set_num_threads(1)
SITES = (Site(0, "embed"), Site(0), Site(1, "resid_pre"), Site(2))
TEXTS = [
    replace(row, spans=(Span("response", row.prompt_length, len(row.ids)), Span("options", 1, 3))) for row in led.ROWS
]
ASKED = [replace(row, prompt=replace(row.prompt, spans=text.spans)) for row, text in zip(led.ASKED, TEXTS, strict=True)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tiny.build("llama", tmp_path_factory.mktemp("m"), context=1024)
    away = backends.load(str(folder), backend="nnsight", placement=Placement(remote="local"))
    return away, backends.load(str(folder))


def along(seed: int, site: Site = SITES[1]) -> Direction:
    vector = np.random.default_rng(seed).normal(size=tiny.D_MODEL).astype(np.float32)
    return Direction(vector / np.linalg.norm(vector), site, "power", "test", "write")


def change(name: str, size: float, seed: int = 0, given: Any = None, **other: Any) -> Steering:
    return Steering(steering.load(name, given), along(seed), size, **other)


def agree(pair: tuple[Any, Any], changes: Any, new: int = 4) -> np.ndarray:
    """Check that all verbs agree, that the changes change something, and return the steered scores."""
    away, here = pair
    x, y, plain = (
        one.read(TEXTS, SITES, ("last_prompt", "response_mean"), steering=given)
        for one, given in ((away, changes), (here, changes), (here, ()))
    )
    assert np.linalg.norm(x - y, axis=-1).max() <= 1e-4 * np.linalg.norm(y, axis=-1).min()
    assert np.abs(y - plain).max() > 1e-3 * np.abs(plain).max()
    scores = np.array(here.choose(led.ASKED, steering=changes))
    np.testing.assert_allclose(away.choose(led.ASKED, steering=changes), scores, atol=1e-4)
    texts = [one.generate(led.ROWS, max_new_tokens=new, steering=changes) for one in pair]
    assert texts[0] == texts[1]
    return scores


def test_a_forward_sent_away_reads_scores_and_writes_as_one_made_here(pair: tuple[Any, Any]) -> None:
    away, here = pair
    assert away.info == here.info and "elsewhere" in away.unshared
    x, y = (one.read(led.ROWS, SITES, ("last_prompt",)) for one in pair)
    assert np.abs(x - y).max() <= 1e-5 * np.abs(y).max()
    np.testing.assert_allclose(away.choose(led.ASKED), here.choose(led.ASKED), atol=1e-4)
    for stop in ((), ("s", "e")):
        texts = [one.generate(led.ROWS, max_new_tokens=3, stop=stop) for one in pair]
        assert texts[0] == texts[1]
    np.testing.assert_allclose(away.residual_norms(led.ROWS, SITES), here.residual_norms(led.ROWS, SITES), rtol=1e-5)


OPERATIONS = {
    "add": (2.0, {}), "norm-preserving-add": (2.0, {}), "project-out": (1.0, {}), "clamp": (1.0, {"target": 1.5}),
    "rotate": (40.0, {}), "angular": (0.8, {"second": along(1), "angle": 30.0}), "cap": (1.0, {"low": 0.8}),
    "relu-dose": (2.0, {"probe": Probe(along(0), 2.0)}), "interchange": (1.0, {"source": along(2).vector * 3}),
    "patch": (1.0, {"source": along(2).vector * 3}),
    "minimal-dose": (1.0, {"probe": Probe(along(0), 2.0), "probability": 0.9}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_travel(pair: tuple[Any, Any], name: str) -> None:
    size, given = OPERATIONS[name]
    agree(pair, [change(name, size, given=steering.Given(**given))], new=2)


@pytest.mark.parametrize("where", ["prompt", "response", "last_prompt", "option_span", "from:2", "from:-2"])
def test_positions_are_counted_where_a_forward_is_sent_from(pair: tuple[Any, Any], where: str) -> None:
    changes = [change("add", 3.0, positions=where), change("rotate", 30.0, seed=1, site=SITES[0], positions=where)]
    x, y, plain = (
        one.read(TEXTS, SITES, ("last_prompt", "response_mean"), steering=given)
        for one, given in ((pair[0], changes), (pair[1], changes), (pair[1], ()))
    )
    assert np.linalg.norm(x - y, axis=-1).max() <= 1e-4 * np.linalg.norm(y, axis=-1).min() < np.abs(y - plain).max()
    scores = [one.choose(ASKED, steering=changes) for one in pair]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_every_row_may_have_changes_of_its_own(pair: tuple[Any, Any]) -> None:
    one, two = change("add", 2.0), change("add", -3.0, seed=1)
    mixed = [[one, change("clamp", 1.0, given=steering.Given(target=1.0), site=SITES[2])], [], [two]]
    scores = agree(pair, mixed)
    np.testing.assert_allclose(scores[1], pair[1].choose(led.ASKED[1:2])[0], atol=1e-4)
    arms = [engine.choose_arms(led.ASKED, [(), [one], [two]]) for engine in pair]
    np.testing.assert_allclose(np.array(arms[0]), np.array(arms[1]), atol=1e-4)
    drifts = [engine.drift(led.ROWS, steering=[one]) for engine in pair]
    np.testing.assert_allclose(*drifts, atol=1e-4)


@pytest.mark.parametrize("conflict", ["sequence", "sum", "mean", "strongest", "first"])
def test_changes_at_one_site_are_settled_there_as_here(pair: tuple[Any, Any], conflict: str) -> None:
    both = [change("add", 2.0, conflict=conflict), change("rotate", 50.0, seed=1, conflict=conflict)]
    agree(pair, [both, both[:1], []], new=2)


@pytest.mark.parametrize("each", ["token", "prompt"])
def test_gates_and_changes_of_a_whole_prompt_travel(pair: tuple[Any, Any], each: Any) -> None:
    gate = steering.gate("probability", probe=Probe(along(3), 2.0), above=0.5, each=each)
    shut = steering.gate("cosine", direction=along(3), below=0.1, each=each)
    agree(pair, [change("project-out", 1.0, gate=gate), change("rotate", 25.0, seed=1, each=each, gate=shut)], new=2)


def test_code_of_ones_own_and_places_nobody_can_try_do_not_travel_and_say_so(pair: tuple[Any, Any]) -> None:
    away, own = pair[0], Operation("mine", lambda x, v, c: x + c * v)
    with pytest.raises(ModelError, match="operation mine is code of your own"):
        away.read(led.ROWS, SITES, ("last_prompt",), steering=[Steering(own, along(0), 1.0)])
    asked = []
    gate = Gate("loud", lambda x: asked.append(x) or x[..., :1] > 0)
    with pytest.raises(ModelError, match="gate loud is code of your own"):
        away.choose(led.ASKED, steering=[change("add", 1.0, gate=gate)])
    assert not asked
    for site in (Site(1, "attn_out"), Site(1, "head_out"), Site(1, "mlp_neurons")):
        with pytest.raises(ModelError, match=site.point):
            away.read(led.ROWS, (site,), ("last_prompt",))
        with pytest.raises(ModelError, match=site.point):
            away.generate(led.ROWS, max_new_tokens=1, steering=[change("add", 1.0, site=site)])
