"""Running out of memory: a forward that does not fit is divided and done again, and what was done is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from vprobe.errors import ModelError

T = TypeVar("T")
_SAYS = ("not enough memory", "out of memory", "ALLOC_FAILED")
"""How torch says that memory could not be allocated where it has no error class for it."""


class TooLarge(ModelError):
    """A single row that does not fit in memory."""


def short(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out."""
    told = isinstance(error, RuntimeError) and any(one in str(error) for one in _SAYS)
    return told or isinstance(error, (torch.OutOfMemoryError, MemoryError, TooLarge))


@dataclass
class Memory:
    """What a loaded model has learned about the memory of its device.

    Args:
        most: Most tokens in a forward, padding counted, before memory ran out; None as long as it has not.
        halved: Times a forward was divided.
    """

    most: int | None = None
    halved: int = 0

    def all(self, groups: Sequence[Sequence[T]], size: Callable[[Sequence[T]], int], run: Callable[..., None]) -> None:
        """Run groups of rows one after another; one that does not fit is divided in two, and later ones are too.

        Args:
            groups: Rows of each forward.
            size: Tokens of a group, padding counted.
            run: Runs a group; when it fails it must have changed nothing that running its rows again would not.

        Raises:
            TooLarge: A single row does not fit.
        """
        waiting = [list(group) for group in reversed(groups)]
        while waiting:
            group = waiting.pop()
            if len(group) > 1 and self.most is not None and size(group) > self.most:
                waiting += _halves(group)
                continue
            try:
                run(group)
                continue
            except (torch.OutOfMemoryError, MemoryError, RuntimeError, TooLarge) as error:
                if not short(error) or (len(group) < 2 and isinstance(error, TooLarge)):
                    raise
                if len(group) < 2:
                    raise TooLarge(
                        f"memory ran out on a single text, {size(group)} tokens with padding",
                        expected="room for one text at a time",
                        do="leave long texts out, or use more memory, --dtype bfloat16, --quantize or --device-map",
                    ) from error
            # out here, so that the error no longer holds what the forward had allocated
            self.halved += 1
            self.most = max(1, size(group) // 2)
            waiting += _halves(group)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _halves(group: list[T]) -> list[list[T]]:
    """Return the second half and the first, in the order in which a stack takes them."""
    middle = (len(group) + 1) // 2
    return [group[middle:], group[:middle]]
