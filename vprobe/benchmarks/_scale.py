"""The six answers of the portrait scale, and the number each stands for."""

from __future__ import annotations

from vprobe.types import Option

LIKENESS = (
    Option("very much like me", 6.0),
    Option("like me", 5.0),
    Option("somewhat like me", 4.0),
    Option("a little like me", 3.0),
    Option("not like me", 2.0),
    Option("not like me at all", 1.0),
)
"""From most to least alike, as in the Portrait Values Questionnaire."""
