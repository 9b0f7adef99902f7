"""vprobe finds where a language model represents human values, and tests whether that agrees with what it does."""

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
