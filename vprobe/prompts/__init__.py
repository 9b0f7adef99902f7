"""Items become chat text, token ids and exact token spans; knows tokenizers, no model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from vprobe.errors import InputError, unknown
from vprobe.prompts import _encoding
from vprobe.prompts._encoding import Coded
from vprobe.prompts._layout import Layout, endings, lay_out
from vprobe.prompts._parsing import NO_LABEL, Parsed, parse
from vprobe.types import Answers, Benchmark, Item, Mark, Message, Prompt, Span, Template, Tokens

__all__ = [
    "NO_LABEL",
    "RESPONSE",
    "Parsed",
    "encode",
    "encode_answers",
    "encode_text",
    "parse",
    "render",
    "with_prefix",
    "with_system",
]

RESPONSE = "response"


def render(benchmark: Benchmark, *, template: str) -> tuple[Prompt, ...]:
    """Turn every item into the chat a model is shown.

    Args:
        benchmark: The items and their wordings.
        template: "response" (the query, then the response as the model's turn) or the name of a rating version.

    Raises:
        InputError: Unknown template, or a form of item it has no wording for.
    """
    if template == RESPONSE:
        return tuple(_said(item) for item in benchmark.items)
    if template not in benchmark.versions:
        raise unknown("template", template, (RESPONSE, *benchmark.versions), where=f"benchmark {benchmark.name}")
    by_form = {t.form: t for t in benchmark.templates if t.name == template}
    missing = sorted({item.form for item in benchmark.items} - set(by_form))
    if missing:
        raise InputError(f"template {template} has no wording for {missing[0]!r} items", where=benchmark.name)
    return tuple(_asked(item, by_form[item.form]) for item in benchmark.items)


def with_system(prompt: Prompt, text: str, *, name: str) -> Prompt:
    """Put a system message in front of a prompt, such as a persona.

    Args:
        prompt: A rendered prompt.
        text: The system message.
        name: Added to the prompt's id, so that one item can be asked under many.
    """
    marks = tuple(replace(mark, message=mark.message + 1) for mark in prompt.marks)
    messages = (Message("system", text), *prompt.messages)
    return replace(prompt, id=f"{prompt.id}@{name}", messages=messages, marks=marks)


def with_prefix(prompt: Prompt, text: str, *, name: str) -> Prompt:
    """Put a text in front of the first message, for models whose chat template takes no system message.

    Args:
        prompt: A rendered prompt.
        text: What comes first; a blank line follows.
        name: Added to the prompt's id, so that one item can be asked under many.
    """
    head = f"{text}\n\n"
    marks = tuple(
        replace(mark, start=mark.start + len(head), end=mark.end + len(head)) if mark.message == 0 else mark
        for mark in prompt.marks
    )
    first, *others = prompt.messages
    messages = (replace(first, content=head + first.content), *others)
    return replace(prompt, id=f"{prompt.id}@{name}", messages=messages, marks=marks)


def _said(item: Item) -> Prompt:
    if not item.response.strip():
        raise InputError("the item has no response", where=f"item {item.id}", do="let the model answer it first")
    query = f"{item.title}\n\n{item.text}" if item.title else item.text
    marks = (Mark("content", 0, 0, len(query)), Mark("response", 1, 0, len(item.response)))
    messages = (Message("user", query), Message("assistant", item.response))
    return Prompt(f"{item.id}/{RESPONSE}", item.id, item.group, item.source, RESPONSE, messages, marks)


def _asked(item: Item, template: Template) -> Prompt:
    def fill(text: str) -> str:
        return text.replace("{title}", item.title).replace("{text}", item.text).replace("{content}", item.response)

    text = fill(template.text)
    marks = [Mark("content", 0, 0, len(text))]
    head, slot, _ = template.text.partition("{content}")
    if slot:
        start = len(fill(head))
        marks.append(Mark("response", 0, start, start + len(item.response)))
    block = _option_block(template)
    if block:
        marks.append(Mark("options", 0, len(fill(template.text[: block[0]])), len(fill(template.text[: block[1]]))))
    prompt_id = f"{item.id}/{template.name}"
    messages = (Message("user", text),)
    return Prompt(prompt_id, item.id, item.group, item.source, template.name, messages, tuple(marks), template.options)


def _option_block(template: Template) -> tuple[int, ...]:
    """Return (start, end) of the list of options in a wording, empty when the wording does not list them."""
    labels = [option.label for option in template.options]
    block = "\n".join(labels)
    start = template.text.rfind(block) if block else -1
    if start >= 0:
        return (start, start + len(block))
    bullet = r"(?m)^[^\w\n]*(?:\w{1,2}[^\w\n]+)?"
    lines = [list(re.finditer(f"{bullet}{re.escape(label)}[^\\w\\n]*$", template.text)) for label in labels]
    if not lines or not all(lines):
        return ()
    return (min(found[-1].start() for found in lines), max(found[-1].end() for found in lines))


def encode_text(tokenizer: Any, text: str, *, system: str = "") -> Tokens:
    """Turn a message of one's own into token ids, ready for the model to answer.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        text: What the user says; with a model without chat template, the text to continue.
        system: System message, may be empty.

    Raises:
        InputError: Empty text, or the chat template does not take these messages.
    """
    turns = (Message("system", system),) if system else ()
    marks = (Mark("content", len(turns), 0, len(text)),)
    if not text.strip():
        raise InputError("empty text", where="prompt", expected="some text")
    return encode(tokenizer, Prompt("text", "", "", "", "text", (*turns, Message("user", text)), marks))


def encode(tokenizer: Any, prompt: Prompt) -> Tokens:
    """Turn a prompt into token ids with the exact token spans of its marks.

    With an assistant turn the ids stop after the response; without one they end where the model is to speak.

    Args:
        tokenizer: A fast Hugging Face tokenizer; its chat template is used when it has one.
        prompt: What to encode.

    Raises:
        InputError: An empty response, or a chat template that rewrites the messages.
    """
    layout = lay_out(tokenizer, prompt.messages, "\n\n", "\n" if prompt.options else "")
    coded = _coded(tokenizer, layout)
    if prompt.messages[-1].role != "assistant":
        return _tokens(prompt, layout, coded, len(coded.ids), len(coded.ids))
    start, end = coded.cover(*_said_at(layout, prompt))
    return _tokens(prompt, layout, coded, start, end)


def encode_answers(tokenizer: Any, prompt: Prompt) -> Answers:
    """Turn a rating prompt and its options into token ids, end of turn included in every option.

    The end of turn keeps "not like me" apart from the beginning of "not like me at all".

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        prompt: A prompt; without options there is nothing to choose and the answer is free text.

    Raises:
        InputError: Two options that read the same, or no way to end a turn.
    """
    if not prompt.options:
        return Answers(encode(tokenizer, prompt), (), (), ())
    laid = endings(tokenizer, prompt.messages, [option.label for option in prompt.options], "\n")
    whole = _encoding.encode_alike(
        tokenizer, [one.text for one in laid], [_words(one) for one in laid], start_token=not laid[0].chat
    )
    coded, starts = [], []
    for layout, one in zip(laid, whole, strict=True):
        start, end = one.cover(*_said_at(layout, prompt))
        coded.append(replace(one, ids=one.ids[:end] + _turn_end(tokenizer, layout, one, end)))
        starts.append(start)
    shared = 0
    while shared < min(starts) and len({one.ids[shared] for one in coded}) == 1:
        shared += 1
    options = tuple(one.ids[shared:] for one in coded)
    if len(set(options)) < len(options) or not shared:
        raise InputError("two options have the same tokens", where=f"prompt {prompt.id}", expected="distinct options")
    tokens = _tokens(prompt, laid[0], coded[0], shared, shared)
    return Answers(tokens, options, tuple(o.label for o in prompt.options), tuple(o.rating for o in prompt.options))


def _turn_end(tokenizer: Any, layout: Layout, coded: Coded, end: int) -> tuple[int, ...]:
    """Return the tokens that end a turn: up to the first special one after it, else all, else end of sequence."""
    if layout.places[-1].end == len(layout.text):
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end-of-sequence token", where="options", do="use a chat model")
        return (int(tokenizer.eos_token_id),)
    suffix = coded.ids[end:]
    special = {number for number, _ in _encoding.controls(tokenizer)}
    cut = next((i for i, token in enumerate(suffix) if token in special), len(suffix) - 1)
    return suffix[: cut + 1]


def _coded(tokenizer: Any, layout: Layout) -> Coded:
    return _encoding.encode(tokenizer, layout.text, _words(layout), start_token=not layout.chat)


def _words(layout: Layout) -> list[tuple[int, int]]:
    return [(place.start, place.end) for place in layout.places]


def _said_at(layout: Layout, prompt: Prompt) -> tuple[int, int]:
    place = layout.places[-1]
    if not layout.text[place.start : place.end].strip():
        raise InputError("empty response", where=f"prompt {prompt.id}", expected="some text in the assistant turn")
    return place.start, place.end


def _tokens(prompt: Prompt, layout: Layout, coded: Coded, prompt_length: int, end: int) -> Tokens:
    spans = []
    for mark in prompt.marks:
        place = layout.places[mark.message]
        first = min(max(place.start + mark.start - place.trimmed, place.start), place.end)
        last = min(max(place.start + mark.end - place.trimmed, place.start), place.end)
        a, b = coded.cover(first, last)
        if b > a:
            spans.append(Span(mark.name, a, min(b, end)))
    text = layout.text[: max((stop for _, stop in coded.offsets[:end]), default=0)]
    return Tokens(prompt.id, coded.ids[:end], prompt_length, tuple(spans), text)
