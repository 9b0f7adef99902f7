"""Directions of other tools' files in the place of a run's own: what they lack is measured, or said to be unknown."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import exports, store
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.types import Activations, Direction, ModelInfo, Site, SiteNorm
from vprobe.values import find


def import_vectors(
    file: Path, *, value: str = "", site: str = "", form: str = "", model: ModelInfo | None = None
) -> tuple[Direction, ...]:
    """Read directions from a file of any format.

    Args:
        file: The file.
        value: What they point to, where the file does not say.
        site: The one wanted, or where a vector acts whose file does not say; all when empty.
        form: Format; suffix and content decide when empty.
        model: The model they are to be used in.

    Raises:
        InputError: Not a file of directions, an unknown value, or another one than the file says.
        ModelError: Directions of another model, of another width, or of a layer the model does not have.
    """
    found = exports.read(file, form=form, model=model, site=Site.parse(site) if site else None)
    name = find(value, where="--value") if value else ""
    other = next((one.value for one in found if name and one.value not in ("", name)), "")
    if other:
        raise InputError(f"a direction of {other}", where=str(file), expected=f"one of {name}")
    return tuple(dataclasses.replace(one, value=one.value or name) for one in found)


def given(config: RunConfig, model: ModelInfo | None, value: str = "", *, nameless: bool = False) -> Direction:
    """Return the direction a configuration takes from a file.

    Args:
        config: `steer_vector`, and the site wanted where the file has several.
        model: The model it is steered in.
        value: What it points to, where the file does not say.
        nameless: What it points to need not be known.

    Raises:
        InputError: No such direction, several sites, or no value.
    """
    file = Path(config.steer_vector)
    found = import_vectors(file, value=value, site=config.steer_site, model=model)
    one, *more = found
    if more:
        raise InputError(
            "directions at " + ", ".join(str(one.site) for one in found), where=str(file), expected="one",
            do="choose with --site",
        )  # fmt: skip
    if not one.value and not nameless:
        raise InputError("the file does not say what its vector points to", where=str(file), do="give --value")
    return one


def of_run(
    folder: Path, config: RunConfig, acts: Activations, value: str = "", *, rows: np.ndarray | None = None
) -> Direction:
    """Return the direction of a file as one of a run: with its model, and unit, midpoint and spread as recorded there.

    Args:
        folder: The run.
        config: The file.
        acts: The run's activations.
        value: What it points to, where the file does not say.
        rows: Samples that midpoint and spread may rest on; all when None.

    Raises:
        InputError: No such direction, or a site the run did not record.
    """
    one = given(config, store.load_info(folder).model, value)
    norms = {row.site: row.norm for row in store.load_rows(folder, "norms", SiteNorm)}
    if str(one.site) not in norms:
        raise InputError(
            f"{one.site} was not recorded", where=str(folder), expected=", ".join(norms),
            do=f"vprobe extract --sites {one.site.point}:{one.site.layer}",
        )  # fmt: skip
    x = acts.at(one.site)
    return _placed(dataclasses.replace(one, unit=norms[str(one.site)]), x if rows is None else x[rows])


def _placed(one: Direction, x: Float[np.ndarray, "sample d_model"]) -> Direction:
    """Return a direction with midpoint and spread as activations at its site have them, where its file had none."""
    if one.method != "imported":
        return one
    along = x.astype(np.float64) @ one.vector.astype(np.float64)
    return dataclasses.replace(one, midpoint=float(along.mean()), spread=float(along.std()))


def about(config: RunConfig, value: str, model: ModelInfo | None) -> tuple[tuple[str, str], ...]:
    """Return what to say of a vector from a file: where it is from, and what is not known of it."""
    if not config.steer_vector:
        return ()
    one = given(config, model, value, nameless=True)
    file = Path(config.steer_vector)
    unknown = [
        name
        for name, missing in (
            ("what it points to", not one.value),
            ("its model", not one.model),
            ("what it was fitted on (perhaps what it is tried on)", not one.fitted_on),
            ("whether it was fitted on what it is tried on", bool(one.fitted_on)),
        )
        if missing
    ]
    length = "" if math.isnan(one.unit) or one.method != "imported" else f", {one.unit:.4g} long in the file"
    return (
        ("vector", f"{file.name}: {one.value or 'a vector'} at {one.site}, {one.method}{length}"),
        ("sha256 of the file", hashlib.sha256(file.read_bytes()).hexdigest()[:16]),
        ("not known of it", ", ".join(unknown)),
    )


def value_of(config: RunConfig, values: Sequence[str]) -> str:
    """Return the one value a vector from a file points to.

    Args:
        config: Its file, and the value asked for.
        values: Values the run has labels of.

    Raises:
        InputError: Several values asked for, or one without labels.
    """
    if len(config.steer_value) > 1 or "all" in config.steer_value:
        raise InputError(", ".join(config.steer_value), where="--values", expected="one value: a file has one vector")
    name = given(config, None, config.steer_value[0] if config.steer_value else "").value
    if name not in values:
        raise InputError(f"{name} has no labels in this run", where="--values", expected=", ".join(values))
    return name
