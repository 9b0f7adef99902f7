"""What a whole call of `extract` is told to cost, from what its readings cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vprobe import activations
from vprobe.config import RunConfig
from vprobe.pipeline import _foresee
from vprobe.types import Site, Tokens

from tests import fake_backend


@pytest.mark.parametrize("untrained", [True, False])
@pytest.mark.parametrize("entry", [True, False])
def test_a_whole_call_reads_the_texts_again_untrained_what_enters_block_0_and_some_texts_for_norms(
    untrained: bool, entry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = fake_backend.FakeBackend()
    kept = [Tokens(str(i), tuple(range(1 + i % 7)), 1) for i in range(100)]
    asked: list[Any] = []

    def first(engine: Any, rows: Any, sites: Any, positions: Any, *, batch_tokens: Any, trial: bool) -> Any:
        asked.append((engine, len(rows), sites, positions, batch_tokens, trial))
        return replace(cost, flops=5e8, stored=77)

    cost = activations.Foreseen(len(kept), 0, 0, 1000, 2e9, 3e6, 4000, 8.0, 2)
    monkeypatch.setattr(_foresee.activations, "foresee", first)
    config = RunConfig(untrained=untrained, positions=("response_mean", "last_prompt"), batch_tokens=99)
    sites = (Site(1), *((Site(0, "embed"),) if entry else ()))
    found = _foresee._whole(config, backend, kept, sites, cost)
    norms = sum(len(kept[round(k * 99 / 63)].ids) for k in range(64))  # 64 texts, from the first to the last
    readings = 2 if untrained else 1
    flops = 2e9 * (readings + norms / 1000) + (0 if entry else 5e8)
    assert found.flops == pytest.approx(flops) and found.seconds == pytest.approx(8 * flops / 2e9)
    assert found.stored == 4000 * readings + (0 if entry else 77) and found.untrained is untrained
    assert found.memory == 3e6 + backend.size.weight_bytes * (readings - 1)
    wanted = (backend, len(kept), (Site(0, "embed"),), config.positions, 99, False)
    assert asked == ([] if entry else [wanted])
