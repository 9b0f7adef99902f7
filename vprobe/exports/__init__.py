"""Directions as files that other tools read, and theirs read back. One format per file, found by name.

A format's file has `SUFFIX`, `write(path, directions, strength, family)` and `read(path)`. Whatever the format, a file
made here carries value, site, unit and the fingerprint of the model, and gives the same directions back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vprobe import registry
from vprobe.errors import InputError, ModelError
from vprobe.types import Direction, ModelInfo

__all__ = ["names", "read", "write"]


def names() -> tuple[str, ...]:
    """List the formats."""
    return registry.names("vprobe.exports")


def write(
    path: Path, directions: Sequence[Direction], *, form: str = "", strength: float = 1.0, family: str = ""
) -> Path:
    """Write directions to a file; a tool that adds its vectors as they are steers with this strength.

    Args:
        path: The file; replaced when it exists.
        directions: At most one per site.
        form: Format; the path's suffix decides when empty.
        strength: Vectors are written at strength x unit, the coefficient; at length `strength` where no unit is known.
        family: `model_type` of the model, a hint for tools that know no fingerprints.

    Raises:
        InputError: Unknown format, no directions, two at one site, or a strength that is not a finite number but 0.
    """
    sites = [one.site for one in directions]
    if not directions or len(set(sites)) < len(sites) or not (math.isfinite(strength) and strength):
        raise InputError(
            f"{len(sites)} directions at {len(set(sites))} sites, strength {strength:g}",
            where=str(path),
            expected="at least one direction, one per site, and a strength other than 0",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    plug_in = registry.load("vprobe.exports", form or _form(path), kind="format")
    plug_in.write(path, tuple(directions), strength, family)
    return path


def read(path: Path, *, form: str = "", model: ModelInfo | None = None) -> tuple[Direction, ...]:
    """Read directions from a file; vectors of other tools are brought to length 1, their length becomes the unit.

    Args:
        path: The file.
        form: Format; the path's suffix decides when empty.
        model: The model they are to be used in.

    Raises:
        InputError: Unknown format, or a file that is not of it.
        ModelError: Directions of another model, or of another width.
    """
    if not path.is_file():
        raise InputError("no such file", where=str(path), expected="a file of directions")
    found: tuple[Direction, ...] = registry.load("vprobe.exports", form or _form(path), kind="format").read(path)
    if model is not None:
        for one in found:
            _check(one, model, path)
    return found


def _check(one: Direction, model: ModelInfo, path: Path) -> None:
    """Refuse a direction that is not this model's."""
    if one.model and one.model != model.fingerprint:
        raise ModelError(
            f"a direction of another model ({one.model[:12]})",
            where=str(path),
            expected=f"{model.name} ({model.fingerprint[:12]})",
            do="fit directions in this model",
        )
    if len(one.vector) != model.d_model or one.site.layer >= model.n_layers:
        raise ModelError(
            f"width {len(one.vector)} at {one.site}",
            where=str(path),
            expected=f"width {model.d_model}, layers below {model.n_layers} ({model.name})",
        )


def _form(path: Path) -> str:
    """Return the format a suffix stands for."""
    for name in names():
        if path.suffix == registry.load("vprobe.exports", name, kind="format").SUFFIX:
            return name
    raise InputError(f"suffix {path.suffix!r}", where=str(path), expected="a format: " + ", ".join(names()))
