"""Rows of the engine's benchmark on ratings: each label by itself, each prompt by itself, and ours."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from vprobe import batching, prompts, responses
from vprobe.types import Answers, Prompt, Tokens

from engine_setup import Bench, Shown, padded, spread, turns


@torch.inference_mode()
def per_label(model: Any, rows: Sequence[Answers]) -> list[list[float]]:
    """Run every prompt with every label as a full row, in batches of 8 in file order, all logits."""
    texts = [(row.prompt.ids, option) for row in rows for option in row.options]
    out: list[float] = []
    for start in range(0, len(texts), 8):
        part = texts[start : start + 8]
        whole = [Tokens("", prompt + option, len(prompt)) for prompt, option in part]
        ids, mask = padded(whole, model.device)
        logs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for r, (prompt, option) in enumerate(part):
            at = torch.log_softmax(logs[r, len(prompt) - 1 : len(prompt) + len(option) - 1].float(), dim=-1)
            out.append(float(at.gather(1, torch.tensor(option, device=at.device)[:, None]).sum()))
    return [out[i : i + len(rows[0].options)] for i in range(0, len(out), len(rows[0].options))]


@torch.inference_mode()
def per_prompt(model: Any, rows: Sequence[Answers]) -> list[list[float]]:
    """Run every prompt once and its labels as a batch of continuations of its cache."""
    out = []
    for row in rows:
        ids = torch.tensor([row.prompt.ids], device=model.device)
        start = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        wide, n = max(len(option) for option in row.options), len(row.options)
        tails = torch.tensor([[*option, *[0] * (wide - len(option))] for option in row.options], device=model.device)
        start.past_key_values.batch_repeat_interleave(n)
        ones = torch.ones(n, ids.shape[1] + wide, dtype=torch.long, device=model.device)
        more = model(input_ids=tails, attention_mask=ones, past_key_values=start.past_key_values, use_cache=True).logits
        logs = torch.log_softmax(torch.cat([start.logits.expand(n, 1, -1), more[:, :-1]], dim=1).float(), dim=-1)
        picked = logs.gather(-1, tails[..., None])[..., 0]
        out.append([float(picked[k, : len(option)].sum()) for k, option in enumerate(row.options)])
    return out


class Shared:
    """How many tokens the prompts and labels of some items hold per distinct token.

    Args:
        tokenizer: Of the model.
        versions: Per wording a prompt per item.
    """

    def __init__(self, tokenizer: Any, versions: Sequence[Sequence[Prompt]]) -> None:
        self._texts: list[list[tuple[int, ...]]] = []
        for prompts_of in zip(*versions, strict=True):
            answers = [prompts.encode_answers(tokenizer, one) for one in prompts_of]
            self._texts.append([one.prompt.ids + option for one in answers for option in one.options])

    def __call__(self, items: Sequence[int]) -> float:
        """Return tokens per distinct token of items, by their numbers."""
        texts = [text for item in items for text in self._texts[item]]
        return sum(map(len, texts)) / batching.distinct(texts, [range(len(texts))], least=1)


def rating(bench: Bench) -> list[Shown]:
    engine, model, found = bench.engine, bench.engine._model, bench.found
    versions = [prompts.render(found, template=name) for name in found.versions[: 2 if bench.quick else None]]
    results: dict[tuple[int, int], Any] = {}

    shared = Shared(engine.tokenizer, versions)
    kept = {n: bench.alike(n, 1, shared) for n in range(bench.rounds)} | {-1: [0]}
    drawn = {n: [version[i] for i in rows for version in versions] for n, rows in kept.items()}

    def side(way: int, number: int) -> None:
        some = drawn[number]
        answers = [prompts.encode_answers(engine.tokenizer, prompt) for prompt in some]
        if way < 2:
            results[way, number] = (per_label, per_prompt)[way](model, answers)
            return
        said = responses.collect(engine, some, answers=answers)
        results[way, number] = [response.logprobs for response in said]

    took = turns(bench, [lambda number, w=w: side(w, number) for w in range(3)])
    ratios = took[:, :2] / took[:, 2:]
    numbers = range(len(took))
    worst = max(float(np.abs(np.subtract(results[w, n], results[2, n])).max()) for w in (0, 1) for n in numbers)
    tokens = statistics.median(shared(kept[n]) for n in numbers)
    least = 0.85 * tokens if bench.gpu else 12.0
    whole = shared(range(len(found.items)))
    about = f"{len(drawn[0])} prompts a round, {tokens:.1f} tokens per distinct token (whole job {whole:.1f})"
    return [
        (f"{spread(ratios[:, 0])}x; {about}", bool(np.median(ratios[:, 0]) >= least)),
        (f"{spread(ratios[:, 1])}x; {about}", bool(np.median(ratios[:, 1]) >= 1.4)),
        (f"largest difference {worst:.1e}", worst <= 1e-4),
    ]
