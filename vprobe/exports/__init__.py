"""Directions as files that other tools read, and theirs read back. One format per file, found by name.

A format's file has `SUFFIX`, `PICKLE` (true of a file that its own tool unpickles), `write(path, directions, how)` and
`read(path, asked)`; formats that share a suffix have `holds(path)`. Whatever the format, a file made here carries
value, site, unit and the fingerprint of the model, and gives the same directions back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vprobe import registry
from vprobe.errors import WRITABLE, InputError, ModelError, StoreError, reason, unknown
from vprobe.exports._card import Asked, Written
from vprobe.exports._snippets import snippet
from vprobe.types import Direction, ModelInfo, Site

__all__ = ["VECTOR", "names", "read", "snippet", "write"]
VECTOR = "vector.safetensors"
"""File of the vector in the folder of a steering card."""


def names() -> tuple[str, ...]:
    """List the formats."""
    return registry.names("vprobe.exports")


def write(
    path: Path,
    directions: Sequence[Direction],
    *,
    form: str = "",
    strength: float = 1.0,
    family: str = "",
    n_layers: int = 0,
    allow_pickle: bool = False,
) -> Path:
    """Write directions to a file; a tool that adds its vectors as they are steers with this strength.

    Args:
        path: The file; replaced when it exists.
        directions: At most one per site.
        form: Format; the path's suffix decides when empty.
        strength: Vectors are written at strength x unit, the coefficient; at length `strength` where no unit is known.
        family: `model_type` of the model, a hint for tools that know no fingerprints.
        n_layers: Blocks of the model, for formats that have a row for each.
        allow_pickle: Write a format that its own tool unpickles.

    Raises:
        InputError: Unknown format, no directions, two at one site, a strength that is not a finite number but 0, or a
            pickle that is not allowed.
        StoreError: The file cannot be written.
    """
    sites = [one.site for one in directions]
    if not directions or len(set(sites)) < len(sites) or not (math.isfinite(strength) and strength):
        raise InputError(
            f"{len(sites)} directions at {len(set(sites))} sites, strength {strength:g}",
            where=str(path),
            expected="at least one direction, one per site, and a strength other than 0",
        )
    name = form or _form(path, _named(path))
    plug_in = registry.load("vprobe.exports", name, kind="format")
    if plug_in.PICKLE and not allow_pickle:
        raise InputError(
            f"format {name} is a pickle, which can run code where it is loaded", where=str(path),
            expected="safetensors or gguf", do="give --allow-pickle if whoever loads it knows where it is from",
        )  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        plug_in.write(path, tuple(directions), Written(strength, family, n_layers))
    except OSError as error:
        raise StoreError(f"cannot be written: {reason(error)}", where=str(path), do=WRITABLE) from None
    return path


def read(
    path: Path, *, form: str = "", model: ModelInfo | None = None, site: Site | None = None
) -> tuple[Direction, ...]:
    """Read directions from a file; vectors of other tools are brought to length 1, their length becomes the unit.

    Args:
        path: The file, or the folder of a steering card. Files of torch are read with `weights_only=True`: nothing in
            them is run.
        form: Format; suffix and content decide when empty.
        model: The model they are to be used in.
        site: The one wanted; also where a vector acts whose file does not say.

    Raises:
        InputError: Unknown format, a file that is not of it, or no direction at the site wanted.
        ModelError: Directions of another model, of another width, or of a layer the model does not have.
    """
    path = path / VECTOR if path.is_dir() else path
    if not path.is_file():
        raise InputError("no such file", where=str(path), expected="a file of directions")
    plug_in = registry.load("vprobe.exports", form or _held(path), kind="format")
    found: tuple[Direction, ...] = plug_in.read(path, Asked(site, model.n_layers if model else 0))
    if model is not None:
        for one in found:
            _check(one, model, path)
    if site is not None and site not in {one.site for one in found}:
        raise unknown("site", str(site), [str(one.site) for one in found], where=str(path))
    return tuple(one for one in found if site in (None, one.site))


def _check(one: Direction, model: ModelInfo, path: Path) -> None:
    """Refuse a direction that is not this model's."""
    if one.model and one.model != model.fingerprint:
        raise ModelError(
            f"a direction of another model ({one.model[:12]})",
            where=str(path),
            expected=f"{model.name} ({model.fingerprint[:12]})",
            do="load the model as it was recorded (revision, dtype, quantize), or fit directions in this one",
        )
    wide = one.site.point not in ("mlp_neurons", "head_out") and len(one.vector) != model.d_model
    if wide or one.site.layer >= model.n_layers:
        raise ModelError(
            f"width {len(one.vector)} at {one.site}",
            where=str(path),
            expected=f"width {model.d_model}, layers below {model.n_layers} ({model.name})",
        )


def _named(path: Path) -> list[str]:
    """Return the formats of a suffix."""
    return [one for one in names() if path.suffix == registry.load("vprobe.exports", one, kind="format").SUFFIX]


def _held(path: Path) -> str:
    """Return the format of a file: its suffix tells, or what is in it where formats share a suffix."""
    some = _named(path)
    if len(some) > 1:
        some = [one for one in some if registry.load("vprobe.exports", one, kind="format").holds(path)]
    return _form(path, some)


def _form(path: Path, some: Sequence[str]) -> str:
    """Return the one format that is left.

    Raises:
        InputError: None, or several.
    """
    if len(some) == 1:
        return some[0]
    found = f"suffix {path.suffix!r}" + (f" of {', '.join(some)}" if some else "")
    raise InputError(
        found, where=str(path), expected="a format: " + ", ".join(names()),
        do="name it: --format of a file read or exported, --to of one converted",
    )  # fmt: skip
