"""The nnsight engine: every forward is a trace, read and steered at its envoys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

from torch import nn

from vprobe.backends import _families, _loading, _remote
from vprobe.backends._engine import Engine, shown_name
from vprobe.backends._families import Anatomy, Change, first
from vprobe.backends._libraries import library
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
    """Load a decoder-only model, check its parts by a probe forward and wrap it for tracing.

    Args:
        model: Local folder or hub id; weights must be safetensors.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: "auto", "float32", "bfloat16" or "float16"; "auto" is float32 on a CPU, the checkpoint's own elsewhere.
        device: "auto", "cpu", "cuda", "cuda:0", ...
        trust_remote_code: Run code that comes with the model.
        placement: Several devices in place of `device`, weights in fewer bits, or a model that runs at NDIF.

    Raises:
        ModelError: nnsight 0.8 is not installed, or the model cannot be loaded, is not decoder-only, or fails a check.
    """
    nnsight = library("nnsight", package="nnsight", oldest=(0, 8), below=9)
    place = _loading.device_of(device)
    if placement.tp_plan:
        raise only("tp-plan", "hf")
    if placement.remote == "ndif":
        return _away(nnsight, _remote.outside(model, revision=revision, dtype=dtype), model, placement.remote)
    loaded = _loading.load(
        model, revision=revision, dtype=dtype, device=place, trust_remote_code=trust_remote_code, placement=placement
    )
    if placement.remote:
        return _away(nnsight, loaded, model, placement.remote)
    anatomy = _families.examine(loaded.model, shown_name(model))
    traces = Traces(nnsight.TransformersModel(loaded.model, tokenizer=loaded.tokenizer), anatomy)
    traced = replace(anatomy, base=Traced(traces, anatomy.base), watch=traces.watch)
    return Engine(replace(loaded, model=Traced(traces, loaded.model)), traced, name=model)


def _away(nnsight: Any, loaded: _loading.Loaded, name: str, where: str) -> Engine:
    """Return an engine whose forwards are sent elsewhere.

    Args:
        nnsight: The library.
        loaded: The model; its weights may have no numbers when they are only needed there.
        name: Folder or hub id.
        where: As for `_remote.Away`.
    """
    if where == "local":
        wrapped = nnsight.TransformersModel(loaded.model, tokenizer=loaded.tokenizer)
    else:  # by name, for that is how it is found there
        words = {"task": "text-generation", "revision": loaded.revision or "main", "tokenizer": loaded.tokenizer}
        wrapped = _loading.attempt(lambda: nnsight.TransformersModel(name, **words), name, "its shape")
    model = loaded.model if where == "local" else wrapped._module
    anatomy = _remote.anatomy_of(model, shown_name(name))
    away = _remote.Away(wrapped, anatomy, where)
    sent = [_remote.Sent(away, model, part) for part in (model, anatomy.base)]
    engine = Engine(replace(loaded, model=sent[0]), replace(anatomy, base=sent[1], watch=away.watch), name=name)
    engine.unshared = engine.unshared_options = _remote.APART
    return engine


@dataclass(frozen=True, eq=False)
class _Watched:
    """A place that the next traces look at."""

    order: tuple[int, int]
    envoy: Any
    enters: bool
    change: Change
    all: list[_Watched]

    def remove(self) -> None:
        """Take it away."""
        self.all.remove(self)

    def visit(self) -> None:
        """Look at the place, inside a trace; what the change returns takes its place when it is another tensor."""
        if self.enters:
            old = self.envoy.input
            new = self.change(old)
            if new is not old:
                self.envoy.input = new
            return
        out = self.envoy.output
        new = self.change(first(out))
        if new is not first(out):
            self.envoy.output = (new, *out[1:]) if isinstance(out, tuple) else new


@final
class Traces:
    """What is to be watched, and the traces that do it.

    Args:
        wrapped: nnsight's `TransformersModel`.
        anatomy: Parts of the model inside.
    """

    def __init__(self, wrapped: Any, anatomy: Anatomy) -> None:
        self._wrapped = wrapped  # it holds the envoys, which the map below does not
        self._envoys = wrapped.interleaver.envoys
        self._watched: list[_Watched] = []
        inner = anatomy.inner
        passed = (anatomy.blocks, inner.heads, anatomy.attention, inner.neurons, anatomy.mlp, anatomy.blocks)
        self._order = {
            (id(module), enters): (layer, step)
            for step, (part, enters) in enumerate(zip(passed, (True, True, False, True, False, False), strict=True))
            for layer, module in enumerate(part)
        }

    def watch(self, module: nn.Module, enters: bool, change: Change) -> Any:
        """Watch a module; a trace asks for values in the order in which the model makes them."""
        one = _Watched(self._order[id(module), enters], self._envoys[id(module)], enters, change, self._watched)
        self._watched.append(one)
        return one

    def run(self, module: nn.Module, given: dict[str, Any]) -> Any:
        """Run a module inside a trace and return what it returns.

        Args:
            module: The model, or the model without its unembedding.
            given: Its keywords.
        """
        places, found, wrong = sorted(self._watched, key=lambda one: one.order), [], []
        with self._envoys[id(module)].trace(**given) as tracer:
            going = True
            try:
                for place in places:
                    place.visit()
            except Exception as error:  # a trace would wrap it in an error of its own
                wrong.append(error)
                going = False
            if not going:
                tracer.stop()
            found.append(tracer.result)
        if wrong:
            raise wrong[0]
        return found[0]


@final
class Traced:
    """A model, or the part without its unembedding, that runs inside traces; all else is the model's own."""

    def __init__(self, traces: Traces, module: Any) -> None:
        self._traces, self._module = traces, module

    def __call__(self, **given: Any) -> Any:
        """Run it in a trace."""
        return self._traces.run(self._module, given)

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself has under this name."""
        return getattr(self._module, name)
