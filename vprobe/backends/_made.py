"""What changes do to activations, as functions of tensors alone: here, or in a process that has no vprobe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor


class Move(TypedDict):
    """One kind of change in one forward; at run time a plain dictionary.

    `rows` are the rows it changes (None: all), `acts` (row, token, 1) the tokens, `last` per row the column of the
    prompt's last token. `apply(x, *given)` is the operation; `opens(x, *asked)` its gate, None where there is none.
    `once` and `early` tell whether the change, and the gate's answer, are worked out at that last token.
    """

    rows: Tensor | None
    acts: Tensor
    last: Tensor
    once: bool
    early: bool
    apply: Callable[..., Any]
    given: list[Any]
    opens: Callable[..., Any] | None
    asked: list[Any]


Load = list[tuple[str, list[list[Move]]]]
"""Per conflict policy its steps, each of moves that share no row."""


def carry_out(x: Tensor, load: Load) -> Tensor:
    """Return activations after the changes, as `_changes.Changer.at` makes them here.

    Args:
        x: Activations (row, token, width).
        load: The changes.
    """
    for conflict, steps in load:
        if conflict == "sequence" or len(steps) == 1:
            for move in [move for step in steps for move in step]:
                x = _laid(x, move)
        else:
            x = _together(x, conflict, steps)
    return x


def _laid(x: Tensor, move: Move) -> Tensor:
    new, acts = _moved(x, move)
    out = x.clone()
    rows = slice(None) if move["rows"] is None else move["rows"].to(x.device)
    out[rows] = torch.where(acts, new.to(x.dtype), x[rows])
    return out


def _together(x: Tensor, conflict: str, steps: Sequence[Sequence[Move]]) -> Tensor:
    wide = wide_of(x)
    shifts, acting = [], []
    for step in steps:
        shift, act = torch.zeros_like(wide), torch.zeros_like(wide[..., :1], dtype=torch.bool)
        for move in step:
            new, acts = _moved(x, move)
            rows = slice(None) if move["rows"] is None else move["rows"].to(x.device)
            shift[rows] = torch.where(acts, new - wide[rows], 0.0)
            act[rows] = acts
        shifts.append(shift)
        acting.append(act)
    return settled(conflict, x, torch.stack(shifts), torch.stack(acting))


def _moved(x: Tensor, move: Move) -> tuple[Tensor, Tensor]:
    """Return the changed rows in float32 at least, and where the change acts."""
    x = x if move["rows"] is None else x[move["rows"].to(x.device)]
    wide, acts = wide_of(x), move["acts"].to(x.device)
    given, asked = ([a.to(x.device) if torch.is_tensor(a) else a for a in move[k]] for k in ("given", "asked"))
    ends = wide[torch.arange(len(wide), device=x.device), move["last"].to(x.device)][:, None]
    new = wide + (move["apply"](ends, *given) - ends) if move["once"] else move["apply"](wide, *given)
    if move["opens"] is not None:
        acts = acts & move["opens"](ends if move["early"] else wide, *asked)
    return new, acts


def settled(conflict: str, x: Tensor, moves: Tensor, acts: Tensor) -> Tensor:
    """Return activations after several changes that were all worked out on them as they came.

    Args:
        conflict: How they are settled, one of `types.CONFLICTS`.
        x: Activations (row, token, width).
        moves: Per change what it adds (change, row, token, width); 0 where it does not act.
        acts: Where it acts (change, row, token, 1).
    """
    if conflict in ("strongest", "first"):
        weight = moves.norm(dim=-1, keepdim=True) if conflict == "strongest" else acts.float()
        total = torch.take_along_dim(moves, weight.argmax(dim=0, keepdim=True), dim=0)[0]
    else:
        total = moves.sum(dim=0)
    if conflict == "mean":
        total = total / acts.sum(dim=0).clamp(min=1)
    return torch.where(acts.any(dim=0), (x.to(moves.dtype) + total).to(x.dtype), x)


def wide_of(x: Tensor) -> Tensor:
    """Return activations in float32, or as they are in a wider format."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
