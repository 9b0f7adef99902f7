"""Answers side by side in a terminal: colour and marks say where along the direction each token lies."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vprobe.cli import show

if TYPE_CHECKING:
    from rich.text import Text

INK = "#14161b"
COLOURS = {-2: "#e08214", -1: "#fdb863", 1: "#92c5de", 2: "#4393c3"}
"""Backgrounds by level: orange is less, blue is more, which most colour-blind readers tell apart."""
MARKS = {-2: "--", -1: "-", 1: "+", 2: "++"}
"""The same without colour."""
HIGH = str.maketrans("+-", "\N{SUPERSCRIPT PLUS SIGN}\N{SUPERSCRIPT MINUS}")


def side_by_side(pairs: Sequence[Any], *, as_json: bool | None) -> None:
    """Print base and steered answers beside each other, token by token.

    Colours are left out where the output is no terminal or NO_COLOR is set; marks stay.

    Args:
        pairs: Records of `types.SideBySide`.
        as_json: Print one JSON list instead.
    """
    if as_json:
        import dataclasses

        show.print_json([dataclasses.asdict(pair) for pair in pairs])
        return
    for pair in pairs:
        dose = "" if math.isnan(pair.strength) else f", strength {pair.strength:+g}"
        show.line(f"prompt:  {pair.prompt}")
        _row("base:    ", pair.base_pieces or pair.base.strip())
        _row("steered: ", pair.steered_pieces or pair.steered.strip())
        show.line(f"         ({pair.value or 'value not known'}{dose} at {pair.site}; mean along it: {_means(pair)})")
        show.line()
    if any(pair.base_pieces or pair.steered_pieces for pair in pairs):
        _legend(pairs[0].unit)
    for name, text in pairs[0].about if pairs else ():
        show.line(f"{name}: {text}")


def _means(pair: Any) -> str:
    both = [
        show.number(sum(p.along for p in some) / len(some), 3) if some else "n/a"
        for some in (pair.base_pieces, pair.steered_pieces)
    ]
    return f"base {both[0]}, steered {both[1]} {pair.unit}"


def _row(head: str, said: Any) -> None:
    """Print one answer, from pieces or as plain text."""
    from rich.text import Text

    line = Text(head)
    if isinstance(said, str):
        line.append(said)
    else:
        for k, piece in enumerate(said):
            line.append_text(_piece(piece.text.lstrip() if k == 0 else piece.text, piece.level))
    _print(line)


def _piece(text: str, level: int) -> Text:
    """Return a token in its colour with its mark; white space keeps no colour, so that words stay apart."""
    from rich.text import Text

    if not level or not text.strip():
        return Text(text)
    word = text.strip()
    before, _, after = text.partition(word)
    out = Text(before)
    out.append(word + _mark(level), style=f"{INK} on {COLOURS[level]}")
    out.append(after)
    return out


def _mark(level: int) -> str:
    """Return a level's mark, raised where the output can show that."""
    mark = MARKS[level]
    try:
        mark.translate(HIGH).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return f"[{mark}]"
    return mark.translate(HIGH)


def _legend(unit: str) -> None:
    from rich.text import Text

    show.line("Where each token lies along the direction when the model reads the answer without steering,")
    line = Text("beside the mean of all tokens shown: ")
    words = {-2: "2 SDs less", -1: "1 SD less", 1: "1 SD more", 2: "2 SDs more"}
    for level, word in words.items():
        line.append_text(_piece(word, level))
        line.append("  ")
    line.append(f"({unit} in --json and --html)")
    _print(line)


def _print(text: Text) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(text)


def stream() -> Callable[[str, str, str], None]:
    """Return what prints answers while they are written, each after its heading; only what is new is printed."""
    shown: dict[tuple[str, str], str] = {}

    def said(prompt: str, name: str, text: str) -> None:
        if (prompt, name) not in shown:
            sys.stdout.write(
                ("\n\n" if shown else "") + (f"prompt: {prompt}\n" if name == "base" else "") + f"{name}: "
            )
        old = shown.get((prompt, name), "")
        new = text.removesuffix("\N{REPLACEMENT CHARACTER}")
        if new.startswith(old):
            sys.stdout.write(new[len(old) :])
            shown[prompt, name] = new
        sys.stdout.flush()

    return said
