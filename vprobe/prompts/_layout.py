"""A chat as text, and where each message stands in it; knows chat templates, no token ids.

A message is found by rendering the chat twice, once with a marker in its place; searching for the text itself would
find the wrong place when a response repeats the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vprobe.errors import InputError
from vprobe.types import Message

_DATE = (("%d", "26"), ("%m", "07"), ("%b", "Jul"), ("%B", "July"), ("%Y", "2024"), ("%y", "24"), ("%A", "Friday"))
"""Templates that print today's date get this one, so that two days give the same tokens."""
_CLOCK = (
    "{%- macro strftime_now(f) -%}{{ f" + "".join(f"|replace('{a}','{b}')" for a, b in _DATE) + " }}{%- endmacro %}"
)
_MARKER = "\ue0f1\ue0f2\ue0f3"


@dataclass(frozen=True)
class Place:
    """Where a message stands in the rendered text, and how many leading characters the template trimmed off it."""

    start: int
    end: int
    trimmed: int


@dataclass(frozen=True)
class Layout:
    """A rendered chat; `chat` is False for plain text."""

    text: str
    places: tuple[Place, ...]
    chat: bool


def lay_out(tokenizer: Any, messages: Sequence[Message], before_answer: str, at_end: str) -> Layout:
    """Render messages by the chat template, or as plain text with the given joints when there is none."""
    if tokenizer.chat_template:
        text = _apply(tokenizer, messages)
        return Layout(text, tuple(_find(tokenizer, messages, i, text) for i in range(len(messages))), True)
    text, places = "", []
    for i, message in enumerate(messages):
        if text:
            text += before_answer if message.role == "assistant" and i == len(messages) - 1 else "\n\n"
        places.append(Place(len(text), len(text) + len(message.content), 0))
        text += message.content
    return Layout(text if messages[-1].role == "assistant" else text + at_end, tuple(places), False)


def endings(
    tokenizer: Any, messages: Sequence[Message], answers: Sequence[str], before_answer: str
) -> tuple[Layout, ...]:
    """Render one chat with each of several answers of the model; what stands before them is looked for once.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        messages: The chat so far.
        answers: What the model may say, at least one.
        before_answer: Joint in front of the answer, where there is no chat template.
    """
    chats = [(*messages, Message("assistant", answer)) for answer in answers]
    out = [lay_out(tokenizer, chats[0], before_answer, "")]
    for chat in chats[1:]:
        like = _alike(out[0], _apply(tokenizer, chat), chat[-1].content) if out[0].chat else None
        out.append(like or lay_out(tokenizer, chat, before_answer, ""))
    return tuple(out)


def _alike(first: Layout, text: str, answer: str) -> Layout | None:
    """Return the layout of a text that is another's but for the answer, shown as it is; None for any other text."""
    last = first.places[-1]
    head, tail = first.text[: last.start], first.text[last.end :]
    if text != head + answer + tail or _MARKER in text:
        return None
    return Layout(text, (*first.places[:-1], Place(len(head), len(head) + len(answer), 0)), True)


def _apply(tokenizer: Any, messages: Sequence[Message]) -> str:
    from jinja2 import TemplateError

    template = tokenizer.get_chat_template()
    try:
        return tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in messages],
            chat_template=_CLOCK + template if "strftime_now" in template else template,
            tokenize=False,
            add_generation_prompt=messages[-1].role != "assistant",
            enable_thinking=False,  # a thinking model answers at once, as when its answers are scored
            date_string="26 Jul 2024",
        )
    except TemplateError as error:
        roles = ", ".join(m.role for m in messages)
        hint = "drop the system message" if "system" in roles else "use a model with another chat template"
        raise InputError(f"the chat template refuses: {error}", where=f"messages {roles}", do=hint) from error


def _find(tokenizer: Any, messages: Sequence[Message], index: int, text: str) -> Place:
    """Find one message in the rendered text by rendering again with a marker in its place."""
    content = messages[index].content
    marked = _apply(tokenizer, [replace(m, content=_MARKER) if i == index else m for i, m in enumerate(messages)])
    head, marker, tail = marked.partition(_MARKER)
    end = len(text) - len(tail)
    found = bool(marker) and _MARKER not in tail and len(head) <= end and text.startswith(head) and text.endswith(tail)
    shown = text[len(head) : end]
    leads = {content: 0, content.rstrip(): 0}
    leads |= {kept: len(content) - len(content.lstrip()) for kept in (content.lstrip(), content.strip())}
    if not found or shown not in leads or _MARKER in text:
        raise InputError(
            f"the chat template rewrites the {messages[index].role} message",
            where=f"{content[:40]!r}",
            expected="a template that shows each message once, as it is or trimmed",
        )
    return Place(len(head), end, 0 if shown == content else leads[shown])
