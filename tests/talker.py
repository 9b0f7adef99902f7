"""Reads organism models with transformers alone: what stands after block 1, what is answered, under steering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from vprobe.benchmarks._scale import LIKENESS
from vprobe.benchmarks._wordings import message_templates

TEMPLATES = message_templates()
LABELS = tuple(option.label for option in LIKENESS)


class Organism:
    """The model and its tokenizer, as anybody would load them."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def chat(self, text: str, system: str = "", said: str = "") -> list[int]:
        turns = [("system", system), ("user", text), ("assistant", said)]
        messages = [{"role": role, "content": content} for role, content in turns if content]
        return self.tokenizer.apply_chat_template(messages, add_generation_prompt=not said, return_dict=False)

    def last(self, rows: Sequence[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Residuals after block 1, and log-probabilities of what follows, at the last token of each row."""
        site, ends = [None] * len(rows), [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for batch in (order[i : i + 64] for i in range(0, len(order), 64)):
            n = max(len(rows[i]) for i in batch)
            ids = torch.tensor([rows[i] + [0] * (n - len(rows[i])) for i in batch])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (n - len(rows[i])) for i in batch])
            with torch.inference_mode():
                out = self.model.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
                last = mask.sum(dim=1) - 1, torch.arange(len(batch))
                logits = self.model.lm_head(out.last_hidden_state[last[1], last[0]]).double()
            for i, z, p in zip(batch, out.hidden_states[2][last[1], last[0]], logits.log_softmax(dim=1), strict=True):
                site[i], ends[i] = z.double().numpy(), p.numpy()
        return np.array(site), np.array(ends)

    @contextmanager
    def steered(self, vector: np.ndarray) -> Iterator[None]:
        """Add a vector to what leaves block 1, at every token."""
        extra = torch.from_numpy(vector).float()
        hook = self.model.model.layers[1].register_forward_hook(lambda block, given, out: out + extra)
        try:
            yield
        finally:
            hook.remove()

    def tokens(self, pieces: Sequence[str]) -> list[int]:
        return [self.tokenizer.convert_tokens_to_ids(piece) for piece in pieces]

    def rate(self, items: Sequence, version: int, system: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Expected ratings over the labels, and how much of the probability the labels have."""
        text = TEMPLATES[version].text
        rows = [self.chat(text.format(text=one.text, content=one.response), system) for one in items]
        p = np.exp(self.last(rows)[1][:, self.tokens(LABELS)])
        return p @ [option.rating for option in LIKENESS] / p.sum(axis=1), p.sum(axis=1)

    def both(self, items: Sequence, system: str = "") -> np.ndarray:
        return (self.rate(items, 0, system)[0] + self.rate(items, 1, system)[0]) / 2

    def score(self, row: list[int], answer: str) -> float:
        """Log-probability of a whole answer and its end."""
        ids = [*self.tokenizer(answer, add_special_tokens=False).input_ids, self.tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = self.model(torch.tensor([row + ids])).logits[0, len(row) - 1 : -1].double()
        return float(logits.log_softmax(dim=1)[range(len(ids)), ids].sum())

    def says(self, text: str, system: str = "") -> str:
        ids = torch.tensor([self.chat(text, system)])
        out = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        return self.tokenizer.decode(out[0, ids.shape[1] :]).removesuffix("<|end|>")
