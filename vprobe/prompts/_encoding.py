"""Text to token ids with exact character offsets; special-token strings inside people's words stay words.

A helper of `prompts`. It imports no tokenizer library: it uses the tokenizer it is handed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from vprobe.errors import InputError

_ALIAS = 0x10A000
"""First of the private-use characters that stand for a template's own special tokens while a text is encoded."""


_CONTROLS: WeakKeyDictionary[Any, tuple[str, tuple[tuple[int, str], ...]]] = WeakKeyDictionary()
_COPIES: WeakKeyDictionary[Any, _Copy] = WeakKeyDictionary()
"""Worked out once per tokenizer, which may have thousands of added tokens."""


@dataclass(frozen=True)
class Coded:
    """Token ids and the characters each covers.

    Args:
        ids: Token ids.
        offsets: Per token the first character and one past the last; equal for tokens that cover none.
    """

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]

    def cover(self, start: int, end: int) -> tuple[int, int]:
        """Return the tokens that share a character with a stretch of text, as (start, end); (0, 0) when none does."""
        touching = [i for i, (a, b) in enumerate(self.offsets) if a < end and b > start and a < b]
        return (touching[0], touching[-1] + 1) if touching else (0, 0)

    def followed_by(self, rest: Coded, at: int) -> Coded:
        """Return these tokens and those of the text that goes on at a character."""
        return Coded(self.ids + rest.ids, self.offsets + tuple((a + at, b + at) for a, b in rest.offsets))


def controls(tokenizer: Any) -> tuple[tuple[int, str], ...]:
    """List the tokens that steer a chat rather than say something, as (id, text).

    These are the special tokens, and other added tokens that the chat template writes.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
    """
    template = tokenizer.chat_template or ""
    written = template if isinstance(template, str) else " ".join(template.values())
    known = _CONTROLS.get(tokenizer)
    if known is None or known[0] != written:
        found = tuple(
            (int(number), token.content)
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special or (token.content.strip() and token.content in written)
        )
        known = _CONTROLS[tokenizer] = (written, found)
        _COPIES.pop(tokenizer, None)
    return known[1]


def encode(tokenizer: Any, text: str, said: Sequence[tuple[int, int]], *, start_token: bool) -> Coded:
    """Turn text into tokens; nothing inside the stretches `said` becomes a special token.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        text: The whole text.
        said: Character stretches that are somebody's words and not the chat template's.
        start_token: Put in front what the tokenizer puts there by itself; off when a chat template did so.

    Raises:
        InputError: A text that cannot be kept apart from special tokens.
    """
    raw = tokenizer(text, add_special_tokens=start_token, verbose=False).encodings[0]
    lead = 0
    while start_token and lead < len(raw.ids) and raw.special_tokens_mask[lead]:
        lead += 1
    front = tuple(raw.ids[:lead])
    body = tokenizer(text, add_special_tokens=False, verbose=False).encodings[0] if start_token else raw
    coded = Coded(tuple(body.ids), _spans(tokenizer, text, body, body.ids))
    if _inside(tokenizer, coded, text, said, written=True):
        coded = _protected(tokenizer, coded, text, said)
    return Coded(front + coded.ids, ((0, 0),) * lead + coded.offsets)


def encode_alike(
    tokenizer: Any, texts: Sequence[str], said: Sequence[Sequence[tuple[int, int]]], *, start_token: bool
) -> tuple[Coded, ...]:
    """Turn texts that begin alike into tokens, each as `encode` does.

    The last special token that all share parts a text in two that tokenizers treat apart, so what comes before it is
    encoded once; where the first text shows otherwise, each is encoded whole, as is any text with a special token in
    somebody's words, for which `encode` changes the whole text.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        texts: The whole texts, at least one.
        said: Of each text, what `encode` takes.
        start_token: As for `encode`.
    """
    alone = None if start_token else _plain(tokenizer, texts[0], said[0])
    first = alone or encode(tokenizer, texts[0], said[0], start_token=start_token)
    others = tuple(zip(texts, said, strict=True))[1:]
    at = _parting(tokenizer, alone, _shared(min(texts), max(texts))) if alone else 0
    cut, head = first.offsets[at][0] if at else 0, Coded(first.ids[:at], first.offsets[:at])
    rest = _rest(tokenizer, texts[0], said[0], cut) if cut else None
    if not rest or head.followed_by(rest, cut) != first:
        return (first, *(encode(tokenizer, *one, start_token=start_token) for one in others))
    rests = ((one, _rest(tokenizer, *one, cut)) for one in others)
    return (first, *(head.followed_by(r, cut) if r else encode(tokenizer, *one, start_token=False) for one, r in rests))


def _parting(tokenizer: Any, coded: Coded, shared: int) -> int:
    """Return how many tokens stand before the last special one that all texts share; 0 where they are not half.

    The special one goes with what follows, which then does not begin the text, and whose white space it may swallow.
    """
    special = {number for number, _ in controls(tokenizer)} - {tokenizer.unk_token_id}
    found = [i for i, (a, b) in enumerate(coded.offsets) if a < b < shared and coded.ids[i] in special]
    return found[-1] if found and 2 * found[-1] > len(coded.ids) else 0


def _shared(a: str, b: str) -> int:
    """Return how many characters two texts have in common from their beginning; of the least and greatest, all have."""
    return next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _rest(tokenizer: Any, text: str, said: Sequence[tuple[int, int]], cut: int) -> Coded | None:
    return _plain(tokenizer, text[cut:], [(a - cut, b - cut) for a, b in said if b > cut])


def _plain(tokenizer: Any, text: str, said: Sequence[tuple[int, int]]) -> Coded | None:
    """Return a text's tokens; None where a special token stands in somebody's words."""
    raw = tokenizer(text, add_special_tokens=False, verbose=False).encodings[0]
    coded = Coded(tuple(raw.ids), _spans(tokenizer, text, raw, raw.ids))
    return None if _inside(tokenizer, coded, text, said, written=True) else coded


def _spans(tokenizer: Any, text: str, raw: Any, ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the characters each token covers; a special token that swallows white space does not own it."""
    special = dict(controls(tokenizer))
    out = []
    for number, token, offset in zip(ids, raw.tokens, raw.offsets, strict=True):
        start, end = _untrimmed(text, token, offset) if "Ġ" in token else offset
        if number in special:
            start += len(text[start:end]) - len(text[start:end].lstrip())
            end -= len(text[start:end]) - len(text[start:end].rstrip())
        out.append((start, end))
    return tuple(out)


def _untrimmed(text: str, token: str, offset: tuple[int, int]) -> tuple[int, int]:
    """Give a byte-level token back the spaces that some tokenizers leave out of its offsets."""
    start, end = offset
    lead = len(token) - len(token.lstrip("Ġ"))
    tail = 0 if lead == len(token) else len(token) - len(token.rstrip("Ġ"))
    if start == end or not text[start : start + 1].isspace():
        while lead and start and text[start - 1] == " ":
            start, lead = start - 1, lead - 1
    tail = lead if start == end else tail
    if start == end or not text[end - 1].isspace():
        while tail and text[end : end + 1] == " ":
            end, tail = end + 1, tail - 1
    return start, end


def _inside(tokenizer: Any, coded: Coded, text: str, said: Sequence[tuple[int, int]], *, written: bool) -> bool:
    """Tell whether a special token stands inside somebody's words; "unknown" counts only where it was `written`."""
    special = dict(controls(tokenizer))
    return any(
        number in special
        and (number != tokenizer.unk_token_id or (written and text[slice(*offset)] == special[number]))
        and _in_words(offset, said)
        for number, offset in zip(coded.ids, coded.offsets, strict=True)
    )


def _in_words(offset: tuple[int, int], said: Sequence[tuple[int, int]]) -> bool:
    return any(a <= offset[0] < b for a, b in said)


def _protected(tokenizer: Any, coded: Coded, text: str, said: Sequence[tuple[int, int]]) -> Coded:
    """Encode again with a copy of the tokenizer that knows the special tokens under other names only.

    The template's own special tokens are renamed in the text; those that people wrote are then ordinary characters.
    """
    copy = _copy(tokenizer)
    if any(_ALIAS <= ord(c) < _ALIAS + len(copy.numbers) for c in text):
        raise InputError("private-use characters beside special tokens", where=f"{text[:40]!r}", do="remove them")
    alias = {number: name for name, number in copy.numbers if len(name) == 1 and ord(name) >= _ALIAS}
    pieces, begins, ends, at = [], [], [], 0
    for number, (start, end) in zip(coded.ids, coded.offsets, strict=True):
        if number in alias and start >= at and start < end and not _in_words((start, end), said):
            pieces += [text[at:start], alias[number]]
            begins += [*range(at, start), start]
            ends += [*range(at + 1, start + 1), end]
            at = end
    begins += range(at, len(text) + 1)
    ends += range(at + 1, len(text) + 1)
    renamed = "".join([*pieces, text[at:]])
    raw = copy.engine.encode(renamed, add_special_tokens=False)
    real = {copy.engine.token_to_id(name): number for name, number in copy.numbers}
    ids = tuple(real.get(number, int(number)) for number in raw.ids)
    spans = _spans(tokenizer, renamed, raw, ids)
    safe = Coded(ids, tuple((begins[a], ends[b - 1] if b > a else begins[a]) for a, b in spans))
    if _inside(tokenizer, safe, text, said, written=False):
        raise InputError("a special token cannot be kept as text", where=f"{text[:40]!r}", do="remove it from the text")
    return safe


@dataclass(frozen=True)
class _Copy:
    """A tokenizer whose special tokens go by private-use characters, and each added token's (name, real id)."""

    engine: Any
    numbers: tuple[tuple[str, int], ...]


def _copy(tokenizer: Any) -> _Copy:
    """Build the renamed copy once per tokenizer; it takes a second for a large vocabulary and is rarely needed."""
    if tokenizer not in _COPIES:
        _COPIES[tokenizer] = _renamed(tokenizer)
    return _COPIES[tokenizer]


def _renamed(tokenizer: Any) -> _Copy:
    engine = tokenizer.backend_tokenizer
    parts = json.loads(engine.to_str())
    names = {content: chr(_ALIAS + i) for i, (_, content) in enumerate(controls(tokenizer))}
    dead = {content: f"{name}{name}" for content, name in names.items()}
    for token in parts["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = parts["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {dead.get(piece, piece): number for piece, number in model["vocab"].items()}
    else:
        model["vocab"] = [[dead.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = dead.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, dead)]
    parts["truncation"] = parts["padding"] = None
    numbers = tuple((token["content"], int(token["id"])) for token in parts["added_tokens"])
    return _Copy(type(engine).from_str(json.dumps(parts)), numbers)


def _touches(merge: Any, dead: dict[str, str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in dead or right in dead or left + right in dead
