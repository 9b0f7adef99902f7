"""Items whose response is the model's own: the model answers first, and what it said is what is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vprobe import activations, prompts, responses
from vprobe.backends import Backend
from vprobe.errors import ModelError
from vprobe.pipeline._common import Tell
from vprobe.types import Benchmark, Count, Item, Prompt, Response

SILENT = "the model answered with nothing"


@dataclass(frozen=True)
class Answered:
    """Benchmarks with the model's own answers in them, and how many items still have none."""

    found: tuple[Benchmark, ...]
    counts: tuple[Count, ...]


def answered(
    found: Sequence[Benchmark], backend: Backend, *, policy: str, batch_tokens: int, stop: Sequence[str], tell: Tell
) -> Answered:
    """Let the model answer every item that has no response, in the first wording, and put its words there.

    Items it answers with nothing keep no response, and are counted.

    Args:
        found: Benchmarks; one whose items all have a response comes back as it is.
        backend: The model.
        policy: "skip" leaves out what is longer than the model's context, "error" refuses it.
        batch_tokens: Most tokens in a batch; 0 lets the device decide.
        stop: Stop strings of the answers.
        tell: Called with (stage, done, total).

    Raises:
        InputError: Policy "error" and a prompt is too long.
        ModelError: The model answers no item of a benchmark.
    """
    out, counts = [], []
    for one in found:
        open_ones = {item.id for item in one.items if not item.response}
        if not open_ones:
            out.append(one)
            continue
        asked = [p for p in prompts.render(one, template=one.versions[0]) if p.item_id in open_ones]
        encoded = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
        fit = activations.fits(asked, encoded, backend.info.context - 1, policy=policy, stage="extract")
        kept = [asked[i] for i in fit.kept]
        free = [replace(prompt, options=()) for prompt in kept]
        said = responses.collect(
            backend, free, batch_tokens=batch_tokens or None, stop=stop, progress=lambda a, b: tell("answer", a, b)
        )
        texts = {a.item_id: (p.messages[-1].content, (a.text or "").strip()) for p, a in zip(kept, said, strict=True)}
        items = tuple(_filled(item, *texts.get(item.id, ("", ""))) for item in one.items)
        if not any(item.response for item in items):
            raise ModelError("the model answers no item", where=one.name, do="choose another model or benchmark")
        out.append(replace(one, items=items))
        counts += [*fit.counts, *_silent(said)]
    return Answered(tuple(out), tuple(counts))


def _filled(item: Item, question: str, said: str) -> Item:
    """Return an item as it was asked and answered; one without an answer stays as it was."""
    return item if item.response or not said else replace(item, title="", text=question, response=said)


def _silent(said: Sequence[Response]) -> list[Count]:
    """Count empty answers by source."""
    out = []
    for source in dict.fromkeys(one.source for one in said):
        mine = [one for one in said if one.source == source]
        n = sum(1 for one in mine if not (one.text or "").strip())
        if n:
            out.append(Count("extract", SILENT, source, n, len(mine)))
    return out


def shown(one: Benchmark, template: str) -> tuple[Prompt, ...]:
    """Render what is recorded of a benchmark: items without a response have nothing to show in the response template.

    Args:
        one: A benchmark, answered where the model itself was to answer.
        template: As for `prompts.render`.
    """
    if template != prompts.RESPONSE:
        return prompts.render(one, template=template)
    return prompts.render(replace(one, items=tuple(item for item in one.items if item.response)), template=template)
