"""The model of our own that the demo runs on."""

from __future__ import annotations
