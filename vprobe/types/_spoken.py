"""What a model says with and without steering, token by token."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """One token of an answer, and how far along a direction the model is there when it reads the answer unsteered.

    Args:
        text: What the token adds to the text.
        along: Projection of its activation onto the unit vector, in `SideBySide.unit`.
        level: -2 to 2: at least one, or two, standard deviations below or above the mean of all tokens shown.
    """

    text: str
    along: float
    level: int = 0


@dataclass(frozen=True)
class SideBySide:
    """One prompt answered with and without steering.

    Args:
        prompt: The user's message.
        value: Value steered towards; several with their strengths.
        site: Where.
        strength: The dose; NaN for several values.
        coefficient: The change in the operation's measure; NaN for several values.
        base: The answer without steering.
        steered: The answer with it.
        base_pieces: The first answer, token by token.
        steered_pieces: The second.
        unit: What projections count: "residual norms" (median at the site), or "activation units".
        about: (name, text) pairs to be told of the vector, such as what is not known of it.
    """

    prompt: str
    value: str
    site: str
    strength: float
    coefficient: float
    base: str
    steered: str
    base_pieces: tuple[Piece, ...] = ()
    steered_pieces: tuple[Piece, ...] = ()
    unit: str = ""
    about: tuple[tuple[str, str], ...] = ()
