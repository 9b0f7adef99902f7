"""Vectors of all values, one of them from a file: what is steered where several values' vectors are tried together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vprobe import store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._import import given
from vprobe.pipeline._push import Push, push_of, pushes_of
from vprobe.pipeline._study import Study
from vprobe.pipeline._trial import Tried, fit_vectors, from_file

IMPORTED = "imported"
"""What tables call the method of a vector from a file."""


def without_file(config: RunConfig) -> RunConfig:
    """Return settings that steer with the run's own vectors alone."""
    return config.changed({"steer_vector": ""})


def named_by(folder: Path, config: RunConfig, values: Sequence[str], *, where: str) -> str:
    """Return the value whose vector a file's takes the place of; empty where no file is given.

    Args:
        folder: A run.
        config: The file, and the values asked for: of one, the file need not say that it points to it.
        values: Values steered together.
        where: Option that names them, for errors.

    Raises:
        InputError: A file of no direction of this model, one that does not say its value, or of none of these.
    """
    if not config.steer_vector:
        return ""
    alone = values[0] if len(values) == 1 else ""
    name = given(config, store.load_info(folder).model, alone, nameless=True).value
    if not name:
        raise InputError(
            "the file does not say what its vector points to", where=config.steer_vector,
            do="write one that does: vprobe vectors convert FILE --out NEW.safetensors --value NAME",
        )  # fmt: skip
    if name not in values:
        raise InputError(
            f"the file's vector is one of {name}",
            where=where,
            expected="one of the values steered: " + ", ".join(values),
        )
    return name


def replaced(
    folder: Path, config: RunConfig, known: Study, values: Sequence[str], name: str, method: str, on: Tried,
    backend: Backend,
) -> dict[str, Push]:  # fmt: skip
    """Return how each value is steered, with the vector of a file in the place of one value's where there is a file.

    Args:
        folder: A run with activations and directions.
        config: What to do, and the file.
        known: Activations beside keyed items.
        values: Values.
        name: The value of the file's vector, see `named_by`; empty where there is no file.
        method: Method of all others.
        on: The items tried, and the samples that may be fitted on.
        backend: The model.

    Raises:
        InputError: Whatever cannot be fitted, read from the file or steered so.
    """
    own = without_file(config)
    vectors = fit_vectors(folder, own, known, values, method, on)
    pushes = pushes_of(folder, own, backend, {v: one for v, one in vectors.items() if v != name}, samples=on.train)
    if name:
        vector = from_file(folder, config, known, name, on)
        pushes[name] = push_of(folder, config, backend, vector, samples=on.train)
    return {value: pushes[value] for value in values}
