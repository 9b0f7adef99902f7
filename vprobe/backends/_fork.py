"""Where a batch becomes one copy per steering, and the hooks that make it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vprobe.backends._steer import Session, place_of
from vprobe.types import Operation, Site, Steering

Arm = Sequence[Steering]
_ORDER = ("resid_pre", "head_out", "attn_out", "mlp_neurons", "mlp_out", "resid_post")
"""Places of one block in the order in which they are passed."""

_NOTHING = Operation("fork", lambda x, vector, coefficient: x)
"""Stands for an arm's own operation where the batch forks: one on heads or neurons may act nowhere else."""


def fork_of(arms: Sequence[Arm]) -> Site:
    """Return where a batch must fork: the output of a block, or what enters it, before anything that is steered."""
    places = [place_of(one.at) for arm in arms for one in arm]
    first = min(places, key=lambda place: (place.layer, _ORDER.index(place.point)))
    return first if first.point == "resid_post" else Site(first.layer, "resid_pre")


@dataclass
class ForkSession(Session):
    """A session whose batch becomes `len(arms)` copies at the first place that any arm steers.

    Copies are laid out arm by arm. Blocks before the fork, and their part of the cache, keep the plain batch.

    Args:
        arms: Per arm its changes; an empty arm is the baseline.
        texts: The rows of the plain batch.
    """

    arms: Sequence[Arm] = ()
    _wide: list[Any] = field(default_factory=list)
    _size: int = 0

    def _begin(self) -> None:
        self.fork, self._size = fork_of(self.arms), len(self.texts)
        each = [tuple(arm) for arm in self.arms for _ in self.texts]
        self.steering = [each[0] + self._marker(), *each[1:]]
        self.texts = tuple(self.texts) * len(self.arms)
        for block in self.anatomy.blocks[self.first_wide :]:
            self._wide.append(block.register_forward_pre_hook(self._widen, with_kwargs=True))
        super()._begin()

    @property
    def first_wide(self) -> int:
        """First block that runs on all copies; its cache and those after it hold all copies."""
        place = fork_of(self.arms)
        return place.layer + (place.point == "resid_post")

    def _marker(self) -> tuple[Steering, ...]:
        """Return a change of nothing where the batch forks, so that a hook stands there."""
        some = next(one for arm in self.arms for one in arm)
        return (Steering(_NOTHING, some.direction, 0.0, some.positions, site=self.fork),)

    def _remove(self) -> None:
        super()._remove()
        for handle in self._wide:
            handle.remove()
        self._wide.clear()

    def _widen(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Repeat masks and positions, which the model makes for the plain batch."""
        kept = {"hidden_states"}
        wide = {name: one if name in kept else self._repeated(one) for name, one in kwargs.items()}
        return (*args[:1], *(self._repeated(one) for one in args[1:])), wide

    def _repeated(self, one: Any) -> Any:
        n = self._rows.real.shape[0] if self._rows is not None else 0
        if isinstance(one, tuple):
            return tuple(self._repeated(part) for part in one)
        if isinstance(one, Tensor) and one.dim() > 1 and n > 1 and one.shape[0] == n:
            return one.repeat(len(self.arms), *[1] * (one.dim() - 1))
        return one

    def _pass(self, place: Site, x: Tensor) -> Tensor:
        self._fired[place] += 1
        if place == self.fork:
            x = x.repeat(len(self.arms), *[1] * (x.dim() - 1))
        rows = None if self._rows is None else self._rows.repeated(len(self.arms), self._size)
        return x if self._changer is None else self._changer.at(place, x, rows)
