"""Where the parts of a transformer are, found by structure and believed only after a probe forward agrees."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vprobe.backends import _inner
from vprobe.backends._caches import cache_kind
from vprobe.backends._inner import Inner
from vprobe.backends._size import layers_of
from vprobe.errors import ModelError
from vprobe.types import Site

_LISTS = ("layers", "h", "blocks", "block")
_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_MLP = ("mlp", "ffn", "feed_forward", "block_sparse_moe", "fc2")
_DO = "report this model family; vprobe reads models whose blocks add to one residual stream"


Change = Callable[[Tensor], Tensor]
"""Looks at activations and returns them, the very same tensor when it changes nothing."""
Watch = Callable[[nn.Module, bool, Change], Any]
"""Hands a change what enters (True) or leaves (False) a module; returns something with `remove()`."""


def first(output: Any) -> Tensor:
    """Return the activations in a module's output, which is a tensor or a tuple that begins with one."""
    return output[0] if isinstance(output, tuple) else output


def entering(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the activations that enter a block."""
    return args[0] if args else kwargs["hidden_states"]


def hooked(module: nn.Module, enters: bool, change: Change) -> Any:
    """Watch a module by a plain forward hook."""

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        old = entering(args, kwargs)
        new = change(old)
        if new is old:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    def after(_: Any, args: Any, out: Any) -> Any:
        old = first(out)
        new = change(old)
        if new is old:
            return None
        return (new, *out[1:]) if isinstance(out, tuple) else new

    if enters:
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


@dataclass(frozen=True)
class Anatomy:
    """The modules a model is read and steered at.

    Args:
        base: The model without its unembedding.
        blocks: In order.
        attention: Per block the module whose output attention adds to the residual stream; empty when there is none.
        mlp: The same for the MLP.
        sequential: True when the MLP reads the residual stream after attention.
        points: Points that can be read.
        cached: True when decoding with a key-value cache gives the logits of decoding without one.
        forkable: True when the cache keeps every token, so that it can be repeated over options.
        watch: How what flows through a module is caught.
        inner: Where heads and neurons speak.
        lock: Held while hooks are in place.
    """

    base: Any
    blocks: tuple[nn.Module, ...]
    attention: tuple[nn.Module, ...]
    mlp: tuple[nn.Module, ...]
    sequential: bool
    points: tuple[str, ...]
    cached: bool
    forkable: bool
    watch: Watch = hooked
    inner: Inner = field(default_factory=Inner)
    lock: Any = field(default_factory=threading.RLock, compare=False, repr=False)

    def attach(self, place: Site, change: Change) -> Any:
        """Have a change see, and perhaps replace, what flows through a place; `remove()` of the result ends it."""
        if place.point in ("embed", "resid_pre"):
            return self.watch(self.blocks[place.layer], True, change)
        if place.point == "resid_post":
            return self.watch(self.blocks[place.layer], False, change)
        if place.point in ("head_out", "mlp_neurons"):
            speaks = self.inner.heads if place.point == "head_out" else self.inner.neurons
            return self.watch(speaks[place.layer], True, change)
        inner = {"attn_out": self.attention, "mlp_out": self.mlp}[place.point]
        return self.watch(inner[place.layer], False, change)


def accepts(module: Any, name: str) -> bool:
    """Tell whether a model's forward names a keyword."""
    return name in inspect.signature(module.forward).parameters


def examine(model: Any, name: str) -> Anatomy:
    """Find the blocks of a model and check by forwards on a few tokens that they are what they seem.

    Args:
        model: A causal language model on its device.
        name: For errors.

    Raises:
        ModelError: The block list is not found, or a check fails; the message names the check.
    """
    with torch.inference_mode():
        base = model.base_model
        parent, blocks = _blocks(base, model.config, name)
        trace = _trace(base, parent, blocks, _probe_ids(model, 6), name)
        _check_stream(trace, name)
        _check_causal(base, parent, blocks, trace, model, name)
        attention, mlp = _contributions(blocks, trace)
        sequential = bool(attention) and _sequential(blocks, attention, trace)
        points = ("embed", "resid_pre", *(["resid_mid"] if sequential else []), "resid_post")
        points += ("attn_out", "mlp_out") if attention else ()
        cached, forkable = cache_kind(model, _probe_ids(model, 5), _close, placed=accepts(model, "position_ids"))
        heads = {layer.num_attention_heads for layer in layers_of(model.config.get_text_config(decoder=True))}
        ids = _probe_ids(model, 6)
        count = heads.pop() if len(heads) == 1 else 0
        inner = _inner.find(blocks, _ATTENTION, _MLP, count, lambda: base(ids, use_cache=False))
    return Anatomy(base, blocks, attention, mlp, sequential, points, cached, forkable, inner=inner)


def blocks_of(model: Any, name: str) -> tuple[nn.Module, ...]:
    """Return a model's blocks, found by structure alone.

    Args:
        model: A causal language model.
        name: For errors.

    Raises:
        ModelError: The block list is not found.
    """
    return _blocks(model.base_model, model.config, name)[1]


def _blocks(base: Any, config: Any, name: str) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    """Return the module that holds the block list, and the blocks."""
    count = config.get_text_config(decoder=True).num_hidden_layers
    found = [
        (path.count("."), base.get_submodule(path.rpartition(".")[0]), module)
        for path, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and path.rpartition(".")[2] in _LISTS
    ]
    if not found:
        raise ModelError(f"no list of {count} blocks", where=name, expected="one named " + ", ".join(_LISTS), do=_DO)
    _, parent, blocks = min(found, key=lambda one: one[0])
    return parent, tuple(blocks)


def _probe_ids(model: Any, length: int) -> Tensor:
    size = model.get_input_embeddings().num_embeddings
    step = max(1, size // (length + 1))
    return torch.tensor([[(i + 1) * step % size for i in range(length)]], device=model.device)


@dataclass(frozen=True)
class _Trace:
    """What the hooks saw in one forward, and what the model itself reports."""

    entered: tuple[tuple[Tensor, ...], ...]
    left: tuple[tuple[Any, ...], ...]
    inner: tuple[tuple[tuple[nn.Module, Any, Any], ...], ...]
    after: tuple[tuple[Tensor, Any], ...]
    hidden: tuple[Tensor, ...]


def _trace(base: Any, parent: nn.Module, blocks: Sequence[nn.Module], ids: Tensor, name: str) -> _Trace:
    entered: list[list[Tensor]] = [[] for _ in blocks]
    left: list[list[Any]] = [[] for _ in blocks]
    inner: list[list[tuple[nn.Module, Any, Any]]] = [[] for _ in blocks]
    after: list[tuple[Tensor, Any]] = []
    handles = []
    for i, block in enumerate(blocks):
        handles.append(
            block.register_forward_pre_hook(lambda _, a, k, i=i: entered[i].append(entering(a, k)), with_kwargs=True)
        )
        handles.append(block.register_forward_hook(lambda _, a, out, i=i: left[i].append(out)))
        for child in block.children():
            handles.append(
                child.register_forward_hook(
                    lambda m, a, k, out, i=i: inner[i].append((m, a[0] if a else k.get("hidden_states"), out)),
                    with_kwargs=True,
                )
            )
    for child in parent.children():
        if not isinstance(child, nn.ModuleList):
            handles.append(child.register_forward_hook(lambda _, a, out: after.append((a[0], out)) if a else None))
    try:
        hidden = base(ids, output_hidden_states=True, use_cache=False).hidden_states
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"the probe forward failed: {error}", where=name, do=_DO) from error
    finally:
        for handle in handles:
            handle.remove()
    return _Trace(
        tuple(map(tuple, entered)), tuple(map(tuple, left)), tuple(map(tuple, inner)), tuple(after), tuple(hidden)
    )


def _check_stream(trace: _Trace, name: str) -> None:
    """Check that every block fires once and hands its output to the next, as the model's own hidden states say."""
    last = len(trace.entered) - 1
    for i, (entered, left) in enumerate(zip(trace.entered, trace.left, strict=True)):
        if len(entered) != 1 or len(left) != 1:
            raise ModelError(f"block {i} ran {len(left)} times in one forward", where=name, expected="once", do=_DO)
        if not isinstance(first(left[0]), Tensor) or first(left[0]).shape != entered[0].shape:
            raise ModelError(f"block {i} does not return its activations first", where=name, do=_DO)
        if entered[0].dim() != 3:
            raise ModelError(
                f"block {i} takes activations of {entered[0].dim()} dimensions", where=name,
                expected="3: text, token and width", do=_DO,
            )  # fmt: skip
        if not torch.isfinite(first(left[0])).all():
            raise ModelError(f"block {i} gives NaN or infinite numbers", where=name, do="use --dtype float32")
        if not _same(entered[0], trace.hidden[i]):
            raise ModelError(f"what enters block {i} is not hidden_states[{i}]", where=name, do=_DO)
        if i < last and not _same(first(left[0]), trace.hidden[i + 1]):
            raise ModelError(f"what leaves block {i} is not hidden_states[{i + 1}]", where=name, do=_DO)
    end = first(trace.left[last][0])
    normed = [out for given, out in trace.after if isinstance(given, Tensor) and _same(given, end)]
    if not any(isinstance(out, Tensor) and _same(out, trace.hidden[-1]) for out in [*normed, end]):
        raise ModelError("the final norm of the last block's output is not hidden_states[-1]", where=name, do=_DO)


def _check_causal(
    base: Any, parent: nn.Module, blocks: Sequence[nn.Module], trace: _Trace, model: Any, name: str
) -> None:
    """Check that a later token does not change what stands before it."""
    ids = _probe_ids(model, 6)
    ids[0, -1] = ids[0, 0]
    other = _trace(base, parent, blocks, ids, name)
    a, b = (first(t.left[-1][0])[:, :-1].float() for t in (trace, other))
    if not torch.allclose(a, b, rtol=1e-2, atol=1e-2 * float(a.abs().max())):
        raise ModelError("later words change earlier activations", where=name, expected="a decoder-only language model")


def _same(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors are equal, wherever they lie."""
    return torch.equal(a, b.to(a.device))


def _close(a: Tensor, b: Tensor, kind: torch.dtype) -> bool:
    """Tell whether two results agree as well as the number format they were computed in allows."""
    limit = 1e-4 if kind == torch.float32 else 5e-2
    a = a.to(b.device)
    return bool((a.float() - b.float()).norm() <= limit * b.float().norm())


def _contributions(blocks: Sequence[nn.Module], trace: _Trace) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]:
    """Find the modules whose outputs add up to a block: attention and MLP, or the norms after them."""
    names = [{id(child): key for key, child in block.named_children()} for block in blocks]
    runs = [[(names[i][id(m)], m, first(out)) for m, _, out in seen] for i, seen in enumerate(trace.inner)]
    keys = [key for key, _, _ in runs[0]]
    core_a = [k for k in keys if k in _ATTENTION]
    core_m = [k for k in keys if k in _MLP]
    if not core_a or not core_m:
        return (), ()
    norms = [k for k in keys if "norm" in k or k.startswith("ln")]
    for a in [*core_a, *norms]:
        for m in [*core_m, *norms]:
            if a != m and all(_adds_up(trace, runs, i, a, m) for i in range(len(blocks))):
                return tuple(b.get_submodule(a) for b in blocks), tuple(b.get_submodule(m) for b in blocks)
    return (), ()


def _adds_up(trace: _Trace, runs: list[list[tuple[str, nn.Module, Tensor]]], i: int, a: str, m: str) -> bool:
    start, end = trace.entered[i][0], first(trace.left[i][0])
    parts = [[out for key, _, out in runs[i] if key == wanted] for wanted in (a, m)]
    if any(len(part) != 1 or part[0].shape != start.shape for part in parts):
        return False
    three = [one.to(end.device).float() for one in (start, parts[0][0], parts[1][0])]
    return _close(three[0] + three[1] + three[2], end, end.dtype)


def _sequential(blocks: Sequence[nn.Module], attention: Sequence[nn.Module], trace: _Trace) -> bool:
    """Tell whether some part of every block reads the residual stream after attention."""
    for i in range(len(blocks)):
        added = next(first(out) for m, _, out in trace.inner[i] if m is attention[i])
        middle = trace.entered[i][0].to(added.device) + added
        if not any(
            isinstance(x, Tensor) and x.shape == middle.shape and _same(x, middle) for _, x, _ in trace.inner[i]
        ):
            return False
    return True
