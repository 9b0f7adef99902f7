"""The Hugging Face engine: plain forward hooks on the model as its makers run it."""

from __future__ import annotations

from dataclasses import replace

from vprobe.backends import _families, _led, _loading
from vprobe.backends._engine import Engine, shown_name
from vprobe.backends._inner import Inner
from vprobe.backends._placed import only
from vprobe.types import ONE_DEVICE, Placement


def load(
    model: str,
    *,
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    placement: Placement = ONE_DEVICE,
) -> Engine:
    """Load a decoder-only model and check by a probe forward that its parts are where they should be.

    Args:
        model: Local folder or hub id; weights must be safetensors.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: "auto", "float32", "bfloat16" or "float16"; "auto" is float32 on a CPU, the checkpoint's own elsewhere.
        device: "auto", "cpu", "cuda", "cuda:0", ...
        trust_remote_code: Run code that comes with the model.
        placement: Several devices in place of `device`, or weights in fewer bits.

    Raises:
        ModelError: The model cannot be loaded, is not decoder-only, or fails a check; the message says which.
    """
    if placement.remote:
        raise only("remote", "nnsight")
    place = _loading.device_of(device)
    loaded = _loading.load(
        model, revision=revision, dtype=dtype, device=place, trust_remote_code=trust_remote_code, placement=placement
    )
    anatomy = _families.examine(loaded.model, shown_name(model))
    if not placement.tp_plan:
        return Engine(loaded, anatomy, name=model)
    return _led.join(Engine(loaded, replace(anatomy, inner=Inner()), name=model))


def untrained(
    model: str,
    *,
    seed: int,
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Engine:
    """Build a model of the same shape with random weights: what can be read there owes nothing to training.

    Args:
        model: Local folder or hub id of the trained model; its weights are not read.
        seed: Seed of the weights.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: As in `load`.
        device: As in `load`.
        trust_remote_code: Run code that comes with the model.

    Raises:
        ModelError: The model cannot be built or fails a check; the message says why.
    """
    place = _loading.device_of(device)
    built = _loading.untrained(
        model, seed=seed, revision=revision, dtype=dtype, device=place, trust_remote_code=trust_remote_code
    )
    engine = Engine(built, _families.examine(built.model, shown_name(model)), name=model)
    engine.info = replace(engine.info, name=f"{engine.info.name}, untrained, seed {seed}")
    return engine
