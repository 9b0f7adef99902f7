"""How a run's model was loaded when its activations were recorded; what is fitted to them is used on the same model."""

from __future__ import annotations

from pathlib import Path

from vprobe import store
from vprobe.config import RunConfig
from vprobe.errors import StoreError
from vprobe.types import ModelInfo

_FORMATS = ("float32", "bfloat16", "float16")
_AWAY = "ndif"


def as_recorded(folder: Path, config: RunConfig) -> RunConfig:
    """Return the settings with number format and bits of the recording, where they leave them open.

    Args:
        folder: A run; one without activations leaves the settings as they are.
        config: The settings. A number format other than "auto" stays; see `otherwise`.

    Raises:
        StoreError: Weights in other bits than those recorded, or a model at NDIF beside one that is here: directions
            fitted to the one are not the other's.
    """
    was, kind = _of(folder)
    if was is None:
        return config
    if config.quantize not in ("", was["quantize"]):
        raise StoreError(
            f"activations were recorded {_bits(was['quantize'])}, now asked for {_bits(config.quantize)}",
            where=str(folder), expected="the same weights for recording and steering",
            do="leave --quantize out, the run's own is taken, or record another run",
        )  # fmt: skip
    if (was["remote"] == _AWAY) != (config.remote == _AWAY):
        there = ["here", "at NDIF"] if config.remote == _AWAY else ["at NDIF", "here"]
        raise StoreError(
            f"activations were recorded {there[0]}, now the model is to run {there[1]}", where=str(folder),
            expected="one place", do="give --backend and --remote as for extract, or record another run",
        )  # fmt: skip
    open_ = config.dtype == "auto" and kind in _FORMATS
    return config.changed({"quantize": was["quantize"], "dtype": kind if open_ else config.dtype})


def same_model(folder: Path, model: ModelInfo) -> None:
    """See that a run's activations are of this model, before it is asked anything: directions are no other model's.

    Args:
        folder: A run; one without activations is of any model.
        model: The model that was loaded.

    Raises:
        StoreError: The run is of another model; both are named.
    """
    had = store.load_info(folder, "extract").model if _of(folder)[0] is not None else None
    if had is not None and had.fingerprint != model.fingerprint:
        raise StoreError(
            f"this run is of model {had.name} ({had.fingerprint[:12]}, {had.dtype}), now asked for {model.name} "
            f"({model.fingerprint[:12]}, {model.dtype})", where=str(folder), expected="the model that was recorded",
            do="name that model, in the format and at the revision it was recorded in (--dtype, --revision)",
        )  # fmt: skip


def otherwise(folder: Path, config: RunConfig) -> str:
    """Say what is to be known about how the model is loaded beside how it was recorded; empty when nothing.

    Args:
        folder: A run.
        config: The settings as they were given.
    """
    was, kind = _of(folder)
    if was is None:
        return ""
    if config.dtype not in ("auto", kind):
        return f"activations were recorded in {kind}, the model now runs in {config.dtype}: figures mix the two"
    if was["quantize"] and not config.quantize:
        return f"weights {_bits(was['quantize'])}, as they were recorded"
    return ""


def _of(folder: Path) -> tuple[dict[str, str] | None, str]:
    """Return a recording's settings and number format; None where nothing was recorded."""
    if not (folder / "run.json").is_file() or "extract" not in store.stages(folder):
        return None, ""
    then = store.load_info(folder, "extract")
    had = dict(then.config)
    return {name: had.get(name, "") for name in ("quantize", "remote")}, then.model.dtype if then.model else ""


def _bits(quantize: str) -> str:
    return f"with --quantize {quantize}" if quantize else "without --quantize"
