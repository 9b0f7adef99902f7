"""Keys and values of tokens that later forwards build on, kept once, and the cache of a forward that builds on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from vprobe.backends._steer import Enough


@dataclass(frozen=True)
class Columns:
    """What the rows of one forward attend to, by places in a pool.

    Args:
        width: Columns before the new tokens.
        at: Shape (rows x new columns): the place of every new token, row by row; those of which none is used later
            share a stretch at the end of the pool.
        index: Shape (rows, width + new columns): the place of every column.
        kept: True when later forwards build on some of the new tokens.
    """

    width: int
    at: Tensor
    index: Tensor
    kept: bool


@dataclass
class Pool:
    """Keys and values by block; a run's tokens stand side by side.

    Where a forward becomes several copies on its way, later blocks keep tokens copy by copy, but for those that are
    the same in all copies.

    Args:
        size: Tokens it holds.
        copies: Most copies of a forward.
        wide: First block that runs on copies; None: none does.
        same: The first tokens of the pool, which are the same in all copies.
    """

    size: int
    copies: int = 1
    wide: int | None = None
    same: int = 0
    _held: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    def through(self, block: int, name: str, new: Tensor, columns: Columns) -> Tensor:
        """Keep the new tokens' keys or values and return those of all columns.

        Args:
            block: The block.
            name: "keys" or "values".
            new: Shape (rows, heads, new columns, width of a head), as the block makes them.
            columns: Where they go and what else is attended to.
        """
        if not columns.width and not columns.kept:
            return new
        rows, heads, _, size = new.shape
        copies = rows // len(columns.index)
        if (block, name) not in self._held:
            most = self.copies if self.wide is not None and block >= self.wide else 1
            self._held[block, name] = new.new_zeros(self.same + most * (self.size - self.same), heads, size)
        held = self._held[block, name]
        at = self._copied(columns.at.to(new.device), copies)
        held.index_copy_(0, at, new.transpose(1, 2).reshape(-1, heads, size))
        if not columns.width:
            return new
        every = held.index_select(0, self._copied(columns.index.flatten().to(new.device), copies))
        return every.view(rows, columns.index.shape[1], heads, size).transpose(1, 2)

    def _copied(self, places: Tensor, copies: int) -> Tensor:
        """Return places copy by copy."""
        step = torch.where(places >= self.same, self.size - self.same, 0)
        return torch.cat([places + copy * step for copy in range(copies)]) if copies > 1 else places

    def cache(self, blocks: int, columns: Columns, *, end: bool = False) -> Cache:
        """Return the cache of one forward.

        Args:
            blocks: Blocks of the model.
            columns: Its columns.
            end: Nothing of the forward is wanted but keys and values: it ends where the last block has made its own.
        """
        last = blocks - 1 if end else blocks
        layers: list[Any] = [_Layer(self, block, columns, end=block == last) for block in range(blocks)]
        return Cache(layers=layers)


class _Layer(DynamicLayer):
    """The cache of one block in one forward."""

    def __init__(self, pool: Pool, block: int, columns: Columns, *, end: bool) -> None:
        super().__init__()
        self.pool, self.block, self.columns, self.end = pool, block, columns, end

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Return the keys and values of all tokens so far."""
        keys = self.pool.through(self.block, "keys", key_states, self.columns)
        values = self.pool.through(self.block, "values", value_states, self.columns)
        if self.end:
            raise Enough
        return keys, values

    def get_seq_length(self) -> int:
        """Return the columns before the new tokens."""
        return self.columns.width
