"""The truth card is of the float32 weights: rounded ones are another model, and vprobe says so and shows no truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, organism, pipeline, store
from vprobe.config import RunConfig
from vprobe.pipeline._truth import truth, untrue

SAID = "PLANTED VALUES DO NOT HOLD"


def read(folder: Path, dtype: str) -> tuple[RunConfig, pipeline.Stage, np.ndarray]:
    """Record a few planted items, and return what they say of the ten values: (sample, value)."""
    config = RunConfig().changed({
        "model": "organism", "benchmark": ("planted",), "out": str(folder), "limit": 4, "dtype": dtype,
        "layers": "1", "untrained": False,
    })  # fmt: skip
    stage, card = pipeline.extract(config), organism.read_card(organism.load())
    return config, stage, store.load_activations(folder, "response_mean").at(card.site) @ card.u.T


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[RunConfig, pipeline.Stage, np.ndarray]]:
    return {name: read(tmp_path_factory.mktemp(name), name) for name in ("float32", "bfloat16")}


def test_rounded_weights_read_other_values_from_the_same_texts(both) -> None:
    (_, _, whole), (_, _, rounded) = both["float32"], both["bfloat16"]
    assert np.corrcoef(whole.ravel(), rounded.ravel())[0, 1] < 0.9
    assert np.median(np.abs(whole - rounded)) < 0.1, "the middle value is hardly touched: signs of whole words are"


def test_truth_stands_beside_float32_and_not_beside_what_is_rounded(both) -> None:
    config, stage, _ = both["float32"]
    assert truth(stage.folder, config) and store.has(stage.folder, "truth") and SAID not in dict(stage.facts)
    config, stage, _ = both["bfloat16"]
    assert truth(stage.folder, config) == () and not store.has(stage.folder, "truth")
    assert dict(stage.facts)[SAID].startswith("bfloat16: the truth card is of the float32 weights")


def test_a_card_without_fingerprint_holds_in_float32_and_other_weights_are_told() -> None:
    card, model = organism.read_card(organism.load()), backends.load(str(organism.load()), device="cpu").info
    world = replace(card, fingerprint="")
    assert card.holds_for(model) and world.holds_for(model)
    assert not world.holds_for(replace(model, dtype="float16"))
    other = replace(model, fingerprint="0" * 64)  # as with --quantize: float32 arithmetic, other weights
    assert world.holds_for(other) and not card.holds_for(other)
    config = RunConfig().changed({"model": "organism", "quantize": "int8"})
    assert untrue(config, other)[0][1].startswith("--quantize int8: ") and untrue(config, model) == ()


def test_nothing_is_said_of_a_model_without_a_truth_card() -> None:
    model = replace(backends.load(str(organism.load()), device="cpu").info, dtype="bfloat16")
    assert untrue(RunConfig().changed({"model": "somebody/else"}), model) == ()
