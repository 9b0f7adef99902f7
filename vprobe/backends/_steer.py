"""Hooks that steer and read while a model runs; they count themselves and are always removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from vprobe.backends._families import Anatomy
from vprobe.errors import ModelError
from vprobe.types import ModelInfo, Site, Steering

STEERABLE = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out")
Sink = Callable[[Site, Tensor], None]


@dataclass(frozen=True)
class Rows:
    """What the tokens of one forward are.

    Args:
        positions: Per row and column the token's index in its text, counted over the whole text.
        real: False for padding and for rows that have ended.
        prompt_length: Per row the index of the first token of the answer.
    """

    positions: Tensor
    real: Tensor
    prompt_length: Tensor

    def steered(self, rule: str) -> Tensor:
        """Return which tokens a position rule names; never padding."""
        at, border = self.positions, self.prompt_length[:, None]
        if rule == "prompt":
            return self.real & (at < border)
        if rule == "response":
            return self.real & (at >= border - 1)
        return self.real & (at >= border) if rule == "after_prompt" else self.real


def check_sites(sites: Sequence[Site], info: ModelInfo, points: Sequence[str]) -> None:
    """Refuse sites this model does not have.

    Raises:
        ModelError: Layer beyond the last block, or a point that cannot be read here.
    """
    for site in sites:
        if site.layer >= info.n_layers:
            raise ModelError(
                f"no layer {site.layer}", where=f"site {site}, model {info.name}", expected=f"0 to {info.n_layers - 1}"
            )
        if site.point not in points:
            raise ModelError(
                f"{site.point} cannot be read in this model",
                where=f"site {site}, model {info.name}",
                expected="one of " + ", ".join(points),
            )


def check_steering(steering: Sequence[Steering], info: ModelInfo, points: Sequence[str]) -> None:
    """Refuse steering this model cannot do, before anything runs.

    Raises:
        ModelError: Wrong site, wrong width, or a direction fitted in another model.
    """
    for one in steering:
        site, direction = one.at, one.direction
        if site.point == "resid_mid":
            raise ModelError(
                "resid_mid cannot be steered", where=f"site {site}", do=f"steer attn_out.{site.layer}: it adds the same"
            )
        check_sites([site], info, [point for point in STEERABLE if point in points])
        if len(direction.vector) != info.d_model:
            raise ModelError(
                f"a direction of width {len(direction.vector)}", where=f"steering {site}", expected=str(info.d_model)
            )
        if direction.model and direction.model != info.fingerprint:
            raise ModelError(
                f"a direction of another model ({direction.model[:12]})",
                where=f"steering {direction.value} at {site}",
                expected=f"{info.name} ({info.fingerprint[:12]})",
                do="fit directions in this model",
            )


def place_of(site: Site) -> Site:
    """Return the site by which a place is known here: `embed` is what enters block 0."""
    return Site(0, "resid_pre") if site.point == "embed" else site


class Enough(Exception):
    """Raised inside a forward when nothing more of it is needed."""


def _enough(x: Tensor) -> Tensor:
    raise Enough


@dataclass
class Session:
    """One or more forwards of a model with hooks in place; use as a context manager.

    Args:
        anatomy: The model's parts.
        steering: Changes, applied in order.
        sites: What to read.
        sink: Receives each site's activations once per forward, after steering.
        stop: End each forward before the block after the deepest hook; it returns None then.
    """

    anatomy: Anatomy
    steering: Sequence[Steering] = ()
    sites: Sequence[Site] = ()
    sink: Sink | None = None
    stop: bool = False
    _rows: Rows | None = None
    _handles: list[Any] = field(default_factory=list)
    _fired: dict[Site, int] = field(default_factory=dict)
    _entered: dict[int, Tensor] = field(default_factory=dict)
    _vectors: dict[int, Tensor] = field(default_factory=dict)

    def __enter__(self) -> Session:
        wanted = {place_of(s) for s in self.sites if s.point != "resid_mid"} | {place_of(s.at) for s in self.steering}
        for site in (s for s in self.sites if s.point == "resid_mid"):
            wanted |= {Site(site.layer, "resid_pre"), Site(site.layer, "attn_out")}
        try:
            for place in sorted(wanted):
                self._handles.append(self._hook(place))
            beyond = 1 + max((place.layer for place in wanted), default=0)
            if self.stop and beyond < len(self.anatomy.blocks):
                self._handles.append(self.anatomy.attach(Site(beyond, "resid_pre"), _enough))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def forward(self, run: Callable[[], Any], rows: Rows) -> Any:
        """Run the model once on these rows and check that every hook fired exactly once.

        Args:
            run: Runs the model.
            rows: What its tokens are.

        Raises:
            ModelError: A hook did not fire, or fired twice.
        """
        self._rows = rows
        self._fired = dict.fromkeys(self._fired, 0)
        try:
            out = run()
        except Enough:
            out = None
        wrong = [f"{site} ({count} times)" for site, count in self._fired.items() if count != 1]
        if wrong:
            raise ModelError(
                f"the model passed by a site that was to be read or steered: {', '.join(wrong)}",
                expected="once in every forward",
                do="this model does not run its blocks as it did when it was loaded; report it",
            )
        return out

    def _hook(self, place: Site) -> Any:
        self._fired[place] = 0
        return self.anatomy.attach(place, lambda x: self._pass(place, x))

    def _pass(self, place: Site, x: Tensor) -> Tensor:
        """Steer and read what flows through a place; the very same tensor comes back when nothing changed it."""
        self._fired[place] += 1
        for one in self.steering:
            if place_of(one.at) == place:
                x = self._changed(one, x)
        self._read(place, x)
        return x

    def _changed(self, one: Steering, x: Tensor) -> Tensor:
        if one.coefficient == 0:
            return x  # adding zero would turn -0.0 into 0.0
        rows = self._rows
        if rows is None or x.shape[:2] != rows.real.shape:
            raise ModelError(
                f"activations of shape {tuple(x.shape)} at {one.at}", expected="one per token of the batch"
            )
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if id(one) not in self._vectors:
            self._vectors[id(one)] = torch.tensor(one.direction.vector, dtype=torch.float32, device=x.device)
        new = one.operation.apply(wide, self._vectors[id(one)], one.coefficient)
        if not isinstance(new, Tensor) or new.shape != x.shape:
            raise ModelError(f"operation {one.operation.name} changed the shape of the activations", where=str(one.at))
        return torch.where(rows.steered(one.positions)[:, :, None], new.to(x.dtype), x)

    def _read(self, place: Site, x: Tensor) -> None:
        if self.sink is None:
            return
        for site in self.sites:
            if site.point != "resid_mid" and place_of(site) == place:
                self.sink(site, x)
        middle = Site(place.layer, "resid_mid")
        if middle in self.sites and place.point == "resid_pre":
            self._entered[place.layer] = x
        if middle in self.sites and place.point == "attn_out":
            self.sink(middle, self._entered.pop(place.layer) + x)
