"""What the tokens of one forward are, and which of them a position rule names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vprobe.types import from_token


@dataclass(frozen=True)
class Rows:
    """What the tokens of one forward are.

    Args:
        positions: Per row and column the token's index in its text, counted over the whole text.
        real: False for padding and for rows that have ended.
        prompt_length: Per row the index of the first token of the answer.
        owner: Per row the row of the call it belongs to.
    """

    positions: Tensor
    real: Tensor
    prompt_length: Tensor
    owner: Tensor

    def to(self, device: Any) -> Rows:
        """Return the same on another device; blocks of one model may lie on several."""
        if self.real.device == device:
            return self
        return Rows(*(one.to(device) for one in (self.positions, self.real, self.prompt_length, self.owner)))

    def of(self, rows: Tensor) -> Rows:
        """Return some of the rows."""
        return Rows(self.positions[rows], self.real[rows], self.prompt_length[rows], self.owner[rows])

    def columns(self, start: int, end: int | None) -> Rows:
        """Return some of the columns."""
        return Rows(self.positions[:, start:end], self.real[:, start:end], self.prompt_length, self.owner)

    def repeated(self, copies: int, size: int) -> Rows:
        """Return the rows several times over, copy by copy, as if each copy were more rows of the call.

        Args:
            copies: How many times.
            size: Rows of the call.
        """
        owner = torch.cat([self.owner + copy * size for copy in range(copies)])
        return Rows(
            self.positions.repeat(copies, 1), self.real.repeat(copies, 1), self.prompt_length.repeat(copies), owner
        )

    @property
    def last(self) -> Tensor:
        """True at the last token of each prompt."""
        return self.real & (self.positions == self.prompt_length[:, None] - 1)

    def steered(self, rule: str, spans: Tensor | None = None) -> Tensor:
        """Return which tokens a position rule names; never padding.

        Args:
            rule: One of `types.STEER_POSITIONS`.
            spans: Per row first token of the list of options and one past its last; for "option_span".
        """
        at, border = self.positions, self.prompt_length[:, None]
        start = from_token(rule)
        if start is not None:
            return self.real & (at >= (start if start >= 0 else border + start))
        if rule == "prompt":
            return self.real & (at < border)
        if rule == "response":
            return self.real & (at >= border - 1)
        if rule == "last_prompt":
            return self.last
        if rule == "option_span" and spans is not None:
            return self.real & (at >= spans[:, :1]) & (at < spans[:, 1:])
        return self.real & (at >= border) if rule == "after_prompt" else self.real
