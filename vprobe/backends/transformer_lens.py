"""The TransformerLens engine: a TransformerBridge around the model, read and steered at its hook points.

Weights are left as they are: no folding, no centring, so activations are the model's own.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vprobe.backends import _families, _loading
from vprobe.backends._engine import Engine, shown_name
from vprobe.backends._families import Change
from vprobe.backends._libraries import library
from vprobe.backends._placed import only
from vprobe.errors import ModelError
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
    """Load a decoder-only model, put a TransformerBridge around it and check its parts by a probe forward.

    Args:
        model: Local folder or hub id; weights must be safetensors.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: "auto", "float32", "bfloat16" or "float16"; "auto" is float32 on a CPU, the checkpoint's own elsewhere.
        device: "auto", "cpu", "cuda", "cuda:0", ...
        trust_remote_code: Run code that comes with the model.
        placement: Refused, as the bridge keeps a model on one device in its own number format.

    Raises:
        ModelError: TransformerLens 4 is not installed, does not know the model's architecture, or the model cannot be
            loaded, is not decoder-only, or fails a check.
    """
    if not placement.plain:
        used = next(name for name in ("device_map", "tp_plan", "quantize", "remote") if getattr(placement, name))
        raise only(used.replace("_", "-"), "nnsight" if used == "remote" else "hf")
    lens = library("transformer_lens.model_bridge", package="transformer-lens", oldest=(4, 3), below=5)
    place = _loading.device_of(device)
    loaded = _loading.load(model, revision=revision, dtype=dtype, device=place, trust_remote_code=trust_remote_code)
    bridged = _bridged(lens, loaded, model, trust_remote_code=trust_remote_code)
    anatomy = replace(_families.examine(bridged, shown_name(model)), watch=watch)
    return Engine(replace(loaded, model=bridged), anatomy, name=model)


def _bridged(lens: Any, loaded: _loading.Loaded, name: str, *, trust_remote_code: bool) -> Any:
    """Return the model with the bridge's components, and so its hook points, in the places of its own."""
    model = loaded.model
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notices about eager attention and unprocessed weights, both wanted
            bridge = lens.TransformerBridge.boot_transformers(
                model.config._name_or_path or name,
                hf_model=model,
                tokenizer=copy.deepcopy(loaded.tokenizer),  # the bridge changes the one it is given
                device=str(model.device),
                dtype=model.dtype,
                trust_remote_code=trust_remote_code,
            )
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[0][:300] if lines else type(error).__name__
        raise ModelError(
            f"TransformerLens cannot bridge {model.config.model_type}: {why}",
            where=name,
            do="use --backend hf, which reads the same activations",
        ) from error
    return bridge.original_model.eval().requires_grad_(False)


def watch(module: nn.Module, enters: bool, change: Change) -> Any:
    """Watch a component of the bridge at its hook points; `blocks.3.hook_resid_post` is `hook_out` of a block."""
    component: Any = module
    point = component.hook_in if enters else component.hook_out

    def hook(x: Tensor, hook: Any) -> Tensor | None:
        flat = x.flatten(2) if x.dim() > 3 else x  # `hook_z` shows the heads apart
        new = change(flat)
        return None if new is flat else new.reshape(x.shape)

    return _Handle(point, point.add_hook(hook))


class _Handle:
    """One hook of ours at a hook point; others' hooks there stay."""

    def __init__(self, point: Any, handle: Any) -> None:
        self._point, self._handle = point, handle

    def remove(self) -> None:
        """Take it away."""
        self._handle.hook.remove()
        if self._handle in self._point.fwd_hooks:
            self._point.fwd_hooks.remove(self._handle)
