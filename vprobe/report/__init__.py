"""One page and a set of figures from the tables of a run folder; computes nothing beyond layout."""

from __future__ import annotations

from vprobe.report.ladder import Ladder
from vprobe.report.page import write
from vprobe.report.vector_card import write_card

__all__ = ["Ladder", "write", "write_card"]
