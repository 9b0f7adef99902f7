"""The changes of a batch, sorted so that changes of one kind in different rows are made in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vprobe.backends._made import settled, wide_of
from vprobe.backends._rows import Rows
from vprobe.errors import InputError, ModelError
from vprobe.types import Operation, Site, Steering, Tokens


@dataclass(frozen=True)
class Group:
    """Changes of one kind, at most one per row.

    Args:
        ones: The different changes.
        owner: Per row of the call which of `ones` it has; -1 is none. None: all rows have the only one.
    """

    ones: tuple[Steering, ...]
    owner: tuple[int, ...] | None

    @property
    def kind(self) -> Steering:
        """A change that stands for all: positions, gate rule and scope are the same."""
        return self.ones[0]


@dataclass(frozen=True)
class Mix:
    """The changes at one place of the rows that follow one conflict policy.

    Args:
        conflict: The policy.
        steps: In the order of the rows' lists; the groups of one step share no row.
    """

    conflict: str
    steps: tuple[tuple[Group, ...], ...]


def place_of(site: Site) -> Site:
    """Return the site by which a place is known here: `embed` is what enters block 0."""
    return Site(0, "resid_pre") if site.point == "embed" else site


def mixes(changes: Sequence[Sequence[Steering]]) -> dict[Site, tuple[Mix, ...]]:
    """Sort the changes of a batch by place; changes of coefficient 0 are left out.

    Args:
        changes: Per row its changes; a single list stands for any number of rows.

    Raises:
        InputError: Two conflict policies at one place in one row, or the policy "refuse" and two changes.
    """
    alone = len(changes) == 1
    places = {place_of(one.at) for row in changes for one in row if one.coefficient != 0}
    found: dict[Site, tuple[Mix, ...]] = {}
    for place in places:
        rows = [[one for one in row if one.coefficient != 0 and place_of(one.at) == place] for row in changes]
        policies = [_policy(row) for row in rows]
        found[place] = tuple(
            _mix(policy, [row if p == policy else [] for row, p in zip(rows, policies, strict=True)], alone)
            for policy in dict.fromkeys(p for p in policies if p)
        )
    return found


def _policy(row: Sequence[Steering]) -> str:
    """Return the one conflict policy of a row's changes at a place; empty when there are none."""
    policies = sorted({one.conflict for one in row})
    if len(policies) > 1:
        raise InputError(
            f"conflict policies {', '.join(policies)} side by side",
            where=f"steering {row[0].at}",
            expected="one policy for all changes at one site",
        )
    if policies == ["refuse"] and len(row) > 1:
        raise InputError(
            f"{len(row)} changes at {row[0].at}",
            where="steering",
            expected="one, as the conflict policy is to refuse more",
            do="choose sequence, sum, mean, strongest or first",
        )
    return policies[0] if policies else ""


def _mix(policy: str, rows: Sequence[Sequence[Steering]], alone: bool) -> Mix:
    steps = []
    for step in range(max(len(row) for row in rows)):
        kinds: dict[Any, dict[int, Steering]] = {}
        for r, row in enumerate(rows):
            if step < len(row):
                kinds.setdefault(_kind(row[step]), {})[r] = row[step]
        steps.append(tuple(_group(members, len(rows), alone) for members in kinds.values()))
    return Mix(policy, tuple(steps))


def _kind(one: Steering) -> Any:
    """Return what changes must share to be made in one go."""
    gate, width = one.gate, len(one.direction.vector)
    shut = () if gate is None else (gate.opens, gate.each, tuple(a.shape for a in gate.arrays))
    shapes = tuple(a.shape for a in one.operation.arrays)
    return (one.operation.apply, shapes, width, one.positions, one.each, shut)


def _group(members: dict[int, Steering], rows: int, alone: bool) -> Group:
    ones = list({id(one): one for one in members.values()}.values())
    if alone or (len(ones) == 1 and len(members) == rows):
        return Group(tuple(ones), None)
    index = {id(one): i for i, one in enumerate(ones)}
    return Group(tuple(ones), tuple(index[id(members[r])] if r in members else -1 for r in range(rows)))


class Bench:
    """One group's vectors, sizes and arrays on the device, and what its rows' prompts ended with.

    Args:
        group: The changes.
        device: Where the model runs.
    """

    def __init__(self, group: Group, device: Any) -> None:
        self.group, self.device = group, device
        self._owner = None if group.owner is None else torch.tensor(group.owner, device=device)
        self._vectors = torch.stack([self._of(one.direction.vector[None]) for one in group.ones])
        self._sizes = torch.tensor([one.coefficient for one in group.ones], device=device, dtype=torch.float32)
        self._arrays = self._stacked([one.operation.arrays for one in group.ones])
        gates = [one.gate.arrays for one in group.ones if one.gate is not None]
        self._gates = self._stacked(gates) if gates else ()
        self._ends: dict[int, Tensor] = {}

    def _of(self, array: np.ndarray) -> Tensor:
        return torch.tensor(np.asarray(array, dtype=np.float32), device=self.device)

    def _stacked(self, arrays: Sequence[tuple[np.ndarray, ...]]) -> tuple[Tensor, ...]:
        """Return each array once when all changes share it, else stacked over changes."""
        out = []
        for same in zip(*arrays, strict=True):
            shared = all(one is same[0] for one in same)
            out.append(self._of(same[0]) if shared else torch.stack([self._of(one) for one in same]))
        return tuple(out)

    def members(self, owner: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return which rows of a batch this group changes (None: all) and by which of its changes (None: the one).

        Args:
            owner: Per row of the batch its row in the call.
        """
        if self._owner is None:
            return None, None
        mine = self._owner[owner]
        rows = torch.nonzero(mine >= 0)[:, 0]
        return rows, mine[rows]

    def given(self, which: Tensor | None) -> tuple[list[Any], list[Any]]:
        """Return what the operation is handed beside activations, vector and coefficient first; and what the gate is.

        Args:
            which: Per row its change; None where all have the only one.
        """
        if which is None or len(self.group.ones) == 1:
            own, which = [self._vectors[0], self.group.kind.coefficient], None
        else:
            own = [self._vectors[which], self._sizes[which][:, None, None]]
        return [*own, *self._picked(self._arrays, which)], self._picked(self._gates, which)

    def moved(self, x: Tensor, which: Tensor | None) -> Tensor:
        """Return activations (row, token, width) after the change."""
        operation = self.group.kind.operation
        new = operation.apply(x, *self.given(which)[0])
        if not isinstance(new, Tensor) or new.shape != x.shape:
            raise _shape(operation, self.group.kind)
        return new

    def opened(self, x: Tensor, which: Tensor | None) -> Tensor:
        """Return where the gate is open: (row, token, 1)."""
        gate = self.group.kind.gate
        if gate is None:
            return torch.ones((*x.shape[:-1], 1), dtype=torch.bool, device=x.device)
        found = gate.opens(x, *self.given(which)[1])
        if not isinstance(found, Tensor) or found.dtype != torch.bool or found.shape != (*x.shape[:-1], 1):
            raise ModelError(
                f"gate {gate.name} does not answer yes or no for every token",
                where=str(self.group.kind.at),
                expected="True and False of shape (row, token, 1)",
            )
        return found

    def _picked(self, arrays: Sequence[Tensor], which: Tensor | None) -> list[Tensor]:
        return [one if one.dim() == 2 else one[0] if which is None else one[which] for one in arrays]

    def ends(self, x: Tensor, rows: Rows) -> Tensor:
        """Return per row what the last token of its prompt was like, now or in an earlier forward: (row, 1, width).

        Args:
            x: Activations of the rows.
            rows: What their tokens are.

        Raises:
            ModelError: A row whose prompt was never run under this session.
        """
        now, at = rows.last.any(dim=1).tolist(), rows.last.int().argmax(dim=1).tolist()
        mine = rows.owner.tolist()
        for i, row in enumerate(mine):
            if now[i]:
                self._ends[row] = x[i, at[i]]
        if any(row not in self._ends for row in mine):
            raise ModelError("the end of a prompt was not seen", where=str(self.group.kind.at), do="report this")
        return torch.stack([self._ends[row] for row in mine])[:, None]


class Changer:
    """Makes the changes of a batch wherever activations flow by.

    Args:
        changes: Per row its changes; a single list stands for any number of rows.
        texts: The rows' texts; needed for changes at the option span.
    """

    def __init__(self, changes: Sequence[Sequence[Steering]], texts: Sequence[Tokens] = ()) -> None:
        self.mixes = mixes(changes)
        self._texts, self._benches = texts, {}
        self._spans: Tensor | None = None

    def at(self, place: Site, x: Tensor, rows: Rows | None) -> Tensor:
        """Return what flows on from a place; the very same tensor where nothing is to be changed.

        Args:
            place: Where, as `place_of` names it.
            x: Activations (row, token, width).
            rows: What the tokens are.

        Raises:
            ModelError: Activations that are not one per token of the batch.
        """
        for mix in self.mixes.get(place, ()):
            if rows is None or x.shape[:2] != rows.real.shape:
                raise ModelError(
                    f"activations of shape {tuple(x.shape)} at {place}", expected="one per token of the batch"
                )
            rows = rows.to(x.device)
            if mix.conflict == "sequence" or len(mix.steps) == 1:
                for group in (group for step in mix.steps for group in step):
                    x = self._through(group, x, rows)
            else:
                x = self._together(mix, x, rows)
        return x

    def _through(self, group: Group, x: Tensor, rows: Rows) -> Tensor:
        members, new, acts = self._moved(group, x, rows)
        if members is None:
            return torch.where(acts, new.to(x.dtype), x)
        if not len(members):
            return x
        out = x.clone()
        out[members] = torch.where(acts, new.to(x.dtype), x[members])
        return out

    def _together(self, mix: Mix, x: Tensor, rows: Rows) -> Tensor:
        """Work out every change on the activations as they came, and settle them by the conflict policy."""
        wide = wide_of(x)
        shifts, acting = [], []
        for step in mix.steps:
            shift, act = torch.zeros_like(wide), torch.zeros_like(wide[..., :1], dtype=torch.bool)
            for group in step:
                members, new, acts = self._moved(group, x, rows)
                where = slice(None) if members is None else members
                shift[where] = torch.where(acts, new - wide[where], 0.0)
                act[where] = acts
            shifts.append(shift)
            acting.append(act)
        return settled(mix.conflict, x, torch.stack(shifts), torch.stack(acting))

    def _moved(self, group: Group, x: Tensor, rows: Rows) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return which rows a group changes (None: all), their activations after it, and on which tokens it acts."""
        bench, kind = self.bench(group, x.device), group.kind
        members, which = bench.members(rows.owner)
        if members is not None:
            x, rows = x[members], rows.of(members)
        wide, acts = wide_of(x), self.acting(group, rows)
        if not len(x):  # a batch in which no row has this change
            return members, wide, acts
        asked = kind.gate is not None and kind.gate.each == "prompt"
        ends = bench.ends(wide, rows) if asked or kind.each == "prompt" else wide[:, :1]
        new = wide + (bench.moved(ends, which) - ends) if kind.each == "prompt" else bench.moved(wide, which)
        if kind.gate is not None:
            acts = acts & bench.opened(ends if asked else wide, which)
        return members, new, acts

    def bench(self, group: Group, device: Any) -> Bench:
        """Return a group's vectors and sizes on a device."""
        if id(group) not in self._benches:
            self._benches[id(group)] = Bench(group, device)
        return self._benches[id(group)]

    def acting(self, group: Group, rows: Rows) -> Tensor:
        """Return the tokens of these rows that a group's position rule names: (row, token, 1)."""
        rule = group.kind.positions
        spans = self._option_spans(rows.real.device)[rows.owner] if rule == "option_span" else None
        return rows.steered(rule, spans)[:, :, None]

    def _option_spans(self, device: Any) -> Tensor:
        if self._spans is None:
            if not self._texts:
                raise ModelError("changes at the option span without the texts", do="report this")
            self._spans = torch.tensor([text.interval("option_span") for text in self._texts], device=device)
        return self._spans.to(device)


def _shape(operation: Operation, one: Steering) -> ModelError:
    return ModelError(f"operation {operation.name} changed the shape of the activations", where=str(one.at))
