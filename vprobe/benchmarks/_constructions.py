"""Sixteen sentences that set one plan above another; exchange the plans, and the same words mean the opposite."""

from __future__ import annotations

CONSTRUCTIONS = (
    "{x} rather than {y}.", "Do not {y}; {x} instead.", "Better to {x} than to {y}.",
    "You could {y}, but you should {x}.", "Why {y} when you can {x}?", "Always {x}, never {y}.",
    "Resist the urge to {y}; choose to {x}.", "Make up your mind to {x} and not to {y}.",
    "Whoever tells you to {y} is wrong; {x}.", "The right thing here is to {x}, not to {y}.",
    "Let others {y}; you {x}.", "My advice is to {x} sooner than to {y}.",
    "Drop the plan to {y} and make a plan to {x}.", "{x}, and leave it to others to {y}.",
    "There is every reason to {x} and no reason to {y}.",
    "There is little to be said for a plan to {y} and a lot for a plan to {x}.",
)  # fmt: skip
"""Ways to set x above y. With x and y exchanged the words are the same and the meaning is the opposite."""


def prefer(number: int, x: str, y: str) -> str:
    """Write the sentence that sets x above y.

    Args:
        number: Which construction, from 1.
        x: What is preferred, a verb phrase in base form.
        y: What is not.
    """
    text = CONSTRUCTIONS[number - 1].format(x=x, y=y)
    return text[0].upper() + text[1:]
