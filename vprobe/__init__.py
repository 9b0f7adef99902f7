"""vprobe finds where a language model represents human values, and tests whether that agrees with what it does.

    run = vprobe.open_run("runs/mine")         # what `vprobe extract`, `rate`, `probe` and the others left
    model = vprobe.load_model("./my-model")    # a model to read, ask and steer
    with model.steered(run.direction("benevolence"), strength=0.2):
        print(model.generate("A friend asks for help."))

`help(vprobe.load_model)`, `help(model)` and `help(run)` say the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vprobe.api import load_model, open_run

__all__ = ["__version__", "load_model", "open_run"]


def __getattr__(name: str) -> Any:
    """Load the notebook API on first use, so that importing vprobe costs nothing."""
    if name in ("load_model", "open_run"):
        import importlib

        return getattr(importlib.import_module("vprobe.api"), name)
    raise AttributeError(f"module 'vprobe' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name the notebook API too, which is not loaded before its first use."""
    return sorted({*globals(), *__all__})
