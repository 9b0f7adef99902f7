"""Types and shapes are checked while tests run: a wrong one in an argument, a result or a record is an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from vprobe import effects
from vprobe.types import Span

from tests.shapes import checked

if TYPE_CHECKING:
    from nowhere import Unknown  # pyright: ignore[reportMissingImports]

Row = Float[np.ndarray, " n"]


@checked
def both(a: Row, more: Sequence[Row] = (), *, size: int = 0, of: Unknown = None) -> Float[np.ndarray, "n n"]:
    return np.zeros((len(a) + size, len(a) + size))


@checked
@dataclass(frozen=True)
class Pair:
    a: Row
    b: Row
    name: str = ""

    @property
    @checked
    def size(self) -> int:
        return self.name  # pyright: ignore[reportReturnType]

    @classmethod
    @checked
    def of(cls, n: int) -> Pair:
        return cls(np.zeros(n), np.zeros(n))

    @checked
    def parts(self) -> Iterator[Row]:
        yield from (self.a, self.b)


def test_what_fits_passes() -> None:
    assert both(np.zeros(3), (np.zeros(3),), of="anything").shape == (3, 3)
    assert both(np.zeros(4)).shape == (4, 4)  # sizes of one call are not those of the next
    assert len(list(Pair.of(2).parts())) == 2


def test_what_does_not_fit_is_an_error() -> None:
    three, two = np.zeros(3), np.zeros(2)
    for wrong in (
        lambda: both([0.0]), lambda: both(np.zeros((3, 1))), lambda: both(np.zeros(3, dtype=int)),
        lambda: both(three, (two,)), lambda: both(three, size=1), lambda: both(three, size="1"),
        lambda: Pair(three, two), lambda: Pair(three, three, 1), lambda: Pair.of(2).size, lambda: Pair.of("2"),
    ):  # fmt: skip
        with pytest.raises(BeartypeCallHintViolation):
            wrong()


def test_all_of_vprobe_but_its_command_line_is_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        effects.label_spread(np.zeros(3), ("a", "b", "c"))
    with pytest.raises(BeartypeCallHintViolation):
        Span("prompt", 0, "1")  # pyright: ignore[reportArgumentType]
    rooms = {name.split(".")[1] for name in sys.modules if name.startswith("vprobe.")}
    for name in rooms - {"__main__", "cli"}:
        for one in vars(sys.modules[f"vprobe.{name}"]).values():
            if getattr(one, "__module__", "") == f"vprobe.{name}" and hasattr(one, "__code__"):
                assert one.__code__.co_filename.endswith("shapes.py"), one
