"""Claims about a model that runs elsewhere, by nnsight's local remote mode: a forward is packed and sent to itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from vprobe import backends
from vprobe.errors import ModelError
from vprobe.types import Placement, Site

from tests import led, tiny

pytest.importorskip("nnsight")
torch.set_num_threads(1)
SITES = (Site(0, "embed"), Site(0), Site(1, "resid_pre"), Site(2))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tiny.build("llama", tmp_path_factory.mktemp("m"), context=1024)
    away = backends.load(str(folder), backend="nnsight", placement=Placement(remote="local"))
    return away, backends.load(str(folder))


def test_a_forward_sent_away_reads_scores_and_writes_as_one_made_here(pair: tuple[Any, Any]) -> None:
    away, here = pair
    assert away.info == here.info and "elsewhere" in away.unshared
    x, y = (one.read(led.ROWS, SITES, ("last_prompt",)) for one in pair)
    assert np.abs(x - y).max() <= 1e-5 * np.abs(y).max()
    np.testing.assert_allclose(away.choose(led.ASKED), here.choose(led.ASKED), atol=1e-4)
    assert away.generate(led.ROWS, max_new_tokens=3) == here.generate(led.ROWS, max_new_tokens=3)
    np.testing.assert_allclose(away.residual_norms(led.ROWS, SITES), here.residual_norms(led.ROWS, SITES), rtol=1e-5)


def test_steering_does_not_travel_and_says_so(pair: tuple[Any, Any]) -> None:
    with pytest.raises(ModelError, match="steering does not travel"):
        pair[0].read(led.ROWS, SITES, ("last_prompt",), steering=led.change(tiny.D_MODEL))
    with pytest.raises(ModelError, match="attn_out"):
        pair[0].read(led.ROWS, (Site(1, "attn_out"),), ("last_prompt",))
