"""Where attention heads and MLP neurons speak: what enters the last projection of attention and of the MLP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_Call = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Inner:
    """The projections whose input is the heads' outputs side by side, or the neurons' activity.

    Args:
        heads: Per block the projection of attention, where it was found.
        neurons: Per block the projection of the MLP, where it was found.
        head_width: Width of all heads together; 0 when not found in every block.
        neuron_width: Neurons of a block; 0 when not found in every block.
        head_count: Heads of a block.
    """

    heads: tuple[nn.Module, ...] = ()
    neurons: tuple[nn.Module, ...] = ()
    head_width: int = 0
    neuron_width: int = 0
    head_count: int = 0

    @property
    def widths(self) -> tuple[tuple[str, int], ...]:
        """The points there are, with their widths."""
        found = (("head_out", self.head_width), ("mlp_neurons", self.neuron_width))
        return tuple((point, width) for point, width in found if width)


def find(
    blocks: Sequence[nn.Module], attention: Sequence[str], mlp: Sequence[str], head_count: int, run: Callable[[], Any]
) -> Inner:
    """Find both by one forward: the first module inside whose output is the whole module's, checked in every block.

    Args:
        blocks: In order.
        attention: Names that a block's attention may have.
        mlp: Names that its MLP may have.
        head_count: Attention heads, as the configuration says.
        run: Runs the model on a few tokens.
    """
    cores = [[_child(block, names) for block in blocks] for names in (attention, mlp)]
    seen: dict[int, _Call] = {}
    order: list[int] = []
    handles = [
        module.register_forward_hook(_note(seen, order), with_kwargs=True)
        for core in [one for part in cores for one in part if one is not None]
        for module in core.modules()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    heads, neurons = ([_last(core, seen, order) if core is not None else None for core in part] for part in cores)
    return Inner(
        tuple(one for one in heads if one is not None),
        tuple(one for one in neurons if one is not None),
        _width(heads, seen, head_count),
        _width(neurons, seen, 1),
        head_count,
    )


def written(speaks: nn.Module, neurons: int, like: Tensor, *, at_once: int = 512) -> Tensor:
    """Return what a projection makes of each neuron alone, less what it makes of none, float32 on the CPU.

    Args:
        speaks: The MLP's last projection, of whatever class: it is asked, not looked into.
        neurons: Its inputs.
        like: A tensor of the model's number format and device.
        at_once: Neurons asked together.
    """
    with torch.inference_mode():
        none = like.new_zeros(1, neurons)
        rest = speaks(none).float()
        parts = []
        for start in range(0, neurons, at_once):
            alone = like.new_zeros(min(at_once, neurons - start), neurons)
            alone[torch.arange(len(alone)), start + torch.arange(len(alone))] = 1.0
            parts.append((speaks(alone).float() - rest).cpu())
    return torch.cat(parts)


def _child(block: nn.Module, names: Sequence[str]) -> nn.Module | None:
    return next((child for name, child in block.named_children() if name in names), None)


def _note(seen: dict[int, _Call], order: list[int]) -> Callable[..., None]:
    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        given = args[0] if args else kwargs.get("hidden_states")
        left = out[0] if isinstance(out, tuple) else out
        order.append(id(module))
        if isinstance(given, Tensor) and isinstance(left, Tensor):
            seen[id(module)] = (given, left)

    return note


def _last(core: nn.Module, seen: dict[int, _Call], order: Sequence[int]) -> nn.Module | None:
    """Return the module inside that makes the output: the first to return it, or the outermost shell around it."""
    inside = {id(module): module for module in core.modules()}
    if id(core) not in seen:
        return None
    whole = seen[id(core)][1]
    leaves = [
        inside[key]
        for key in order
        if key in inside and key in seen and not list(inside[key].children()) and torch.equal(seen[key][1], whole)
    ]
    if not leaves or order.count(id(leaves[0])) != 1:
        return None
    leaf = leaves[0]
    for module in core.modules():  # from the outside in
        here = module is leaf or (module is not core and any(part is leaf for part in module.modules()))
        if here and id(module) in seen and torch.equal(seen[id(module)][0], seen[id(leaf)][0]):
            return module
    return leaf


def _width(found: Sequence[nn.Module | None], seen: dict[int, _Call], parts: int) -> int:
    """Return the width that all blocks share; 0 when there is none."""
    widths = {0 if module is None else seen[id(module)][0].shape[-1] for module in found}
    width = widths.pop() if len(widths) == 1 else 0
    return width if parts and width % parts == 0 else 0
