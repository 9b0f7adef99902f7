"""Hooks that steer and read while a model runs; they count themselves and are always removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from torch import Tensor

from vprobe.backends._changes import Changer, place_of
from vprobe.backends._families import Anatomy
from vprobe.backends._rows import Rows
from vprobe.errors import ModelError
from vprobe.types import ModelInfo, Site, Steered, Steering, Tokens, per_row

__all__ = ["STEERABLE", "Enough", "Rows", "Session", "Sink", "check_sites", "check_steering", "place_of"]

STEERABLE = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "head_out", "mlp_neurons")
Sink = Callable[[Site, Tensor], None]


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


def check_steering(
    steering: Steered, info: ModelInfo, points: Sequence[str], inner: Sequence[tuple[str, int]] = ()
) -> None:
    """Refuse steering this model cannot do, before anything runs.

    Args:
        steering: One list of changes for all rows, or one list per row.
        info: The model.
        points: Points of its residual stream, of width d_model.
        inner: Points of another width, with that width.

    Raises:
        ModelError: Wrong site, wrong width, or a direction fitted in another model.
    """
    for one in flat(steering):
        site, direction = one.at, one.direction
        if site.point == "resid_mid":
            raise ModelError(
                "resid_mid cannot be steered", where=f"site {site}", do=f"steer attn_out.{site.layer}: it adds the same"
            )
        widths = dict.fromkeys(points, info.d_model) | dict(inner)
        check_sites([site], info, [point for point in STEERABLE if point in widths])
        width = widths[site.point]
        if len(direction.vector) != width:
            raise ModelError(
                f"a direction of width {len(direction.vector)}",
                where=f"steering {site}",
                expected=f"{width}, the width of {info.name}",
                do="name the model that the direction was fitted in",
            )
        given = (*one.operation.arrays, *(one.gate.arrays if one.gate else ()))
        wrong = next((a.shape for a in given if a.shape[1] not in (1, width)), None)
        if wrong:
            raise ModelError(f"an array of shape {wrong}", where=f"steering {site}", expected=f"width {width}")
        if direction.model and direction.model != info.fingerprint:
            raise ModelError(
                f"a direction of another model ({direction.model[:12]})",
                where=f"steering {direction.value} at {site}",
                expected=f"{info.name} ({info.fingerprint[:12]})",
                do="load the model as it was recorded (revision, dtype, quantize), or fit directions in this one",
            )


def flat(steering: Steered) -> tuple[Steering, ...]:
    """Return the different changes of a batch."""
    lists = ((one,) if isinstance(one, Steering) else one for one in steering)
    return tuple({id(one): one for row in lists for one in row}.values())


def some(steering: Steered, rows: Sequence[int]) -> Steered:
    """Return the changes of some rows of a batch."""
    return (
        steering
        if all(isinstance(one, Steering) for one in steering)
        else [per_row(steering, len(steering))[i] for i in rows]
    )


class Enough(Exception):
    """Raised inside a forward when nothing more of it is needed."""


def _enough(x: Tensor) -> Tensor:
    raise Enough


def changes(steering: Steered, texts: Sequence[Tokens]) -> tuple[tuple[Steering, ...], ...]:
    """Return the changes of every row; a single list when all rows share it.

    Args:
        steering: One list for all rows, or one list per row.
        texts: The rows of the call.

    Raises:
        InputError: Lists in another number than rows, or a prompt without options where they are to be steered.
    """
    rows = per_row(steering, len(texts) if any(not isinstance(one, Steering) for one in steering) else 1)
    shared = len(rows) == 1
    for r, row in enumerate(rows):
        if any(one.positions == "option_span" for one in row):
            for text in texts if shared else (texts[r],):
                text.interval("option_span")
    return rows


@dataclass(frozen=True)
class Passing:
    """What a session does at a place: call it with what flows by, or ask it what is to be done.

    Args:
        session: The session.
        place: Where.
    """

    session: Session
    place: Site

    def __call__(self, x: Tensor) -> Tensor:
        """Steer and read."""
        return self.session._pass(self.place, x)


@dataclass
class Session:
    """One or more forwards of a model with hooks in place; use as a context manager.

    Hooks are the model's: while one thread has a session, sessions of the same model in other threads wait.

    Args:
        anatomy: The model's parts.
        steering: Changes: one list for all rows, or one list per row of `texts`.
        sites: What to read.
        sink: Receives each site's activations once per forward, after steering.
        stop: End each forward before the block after the deepest hook; it returns None then.
        texts: The rows of the call; needed for changes that differ between rows or act at the option span.
    """

    anatomy: Anatomy
    steering: Steered = ()
    sites: Sequence[Site] = ()
    sink: Sink | None = None
    stop: bool = False
    texts: Sequence[Tokens] = ()
    _rows: Rows | None = None
    _handles: list[Any] = field(default_factory=list)
    _fired: dict[Site, int] = field(default_factory=dict)
    _entered: dict[int, Tensor] = field(default_factory=dict)
    _changer: Changer | None = None

    def __enter__(self) -> Session:
        self.anatomy.lock.acquire()
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        try:
            self._remove()
        finally:
            self.anatomy.lock.release()

    def _begin(self) -> None:
        """Put the hooks in place."""
        rows = changes(self.steering, self.texts)
        self._changer = Changer(rows, self.texts)
        wanted = {place_of(s) for s in self.sites if s.point != "resid_mid"}
        wanted |= {place_of(one.at) for row in rows for one in row}
        for site in (s for s in self.sites if s.point == "resid_mid"):
            wanted |= {Site(site.layer, "resid_pre"), Site(site.layer, "attn_out")}
        for place in sorted(wanted):
            self._handles.append(self._hook(place))
        beyond = 1 + max((place.layer for place in wanted), default=0)
        if self.stop and beyond < len(self.anatomy.blocks):
            self._handles.append(self.anatomy.attach(Site(beyond, "resid_pre"), _enough))

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
        return self.anatomy.attach(place, Passing(self, place))

    @property
    def rows(self) -> Rows:
        """What the tokens of the forward now running are."""
        if self._rows is None:
            raise ModelError("a place asked about outside a forward", do="report this")
        return self._rows

    @property
    def changer(self) -> Changer:
        """The changes, once the hooks are in place."""
        return self._changer if self._changer is not None else Changer(())

    def reads(self, place: Site) -> bool:
        """Tell whether what flows through a place is read."""
        return any(place_of(site) == place for site in self.sites)

    def made(self, place: Site, x: Tensor | None) -> None:
        """Note a place whose changes were made elsewhere, and read what flowed on from it.

        Args:
            place: Where.
            x: Activations after the changes; None where nothing is read.
        """
        self._fired[place] += 1
        if x is not None:
            self._read(place, x)

    def _pass(self, place: Site, x: Tensor) -> Tensor:
        """Steer and read what flows through a place; the very same tensor comes back when nothing changed it."""
        self._fired[place] += 1
        if self._changer is not None:
            x = self._changer.at(place, x, self._rows)
        self._read(place, x)
        return x

    def _read(self, place: Site, x: Tensor) -> None:
        if self.sink is None:
            return
        for site in self.sites:
            if site.point != "resid_mid" and place_of(site) == place:
                self.sink(site, self._home(x))
        middle = Site(place.layer, "resid_mid")
        if middle in self.sites and place.point == "resid_pre":
            self._entered[place.layer] = x
        if middle in self.sites and place.point == "attn_out":
            self.sink(middle, self._home(self._entered.pop(place.layer).to(x.device) + x))

    def _home(self, x: Tensor) -> Tensor:
        """Return activations on the device of the batch's tokens; blocks of one model may lie on several."""
        return x if self._rows is None else x.to(self._rows.real.device)
