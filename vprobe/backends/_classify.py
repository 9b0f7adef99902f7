"""A classifier of texts by folder or hub id, such as a model tuned on labelled completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float

from vprobe.backends._loading import attempt, device_of, quiet
from vprobe.errors import ModelError

NOTHING = "none"
"""Label of a text that says nothing; a text it is likeliest for is unscored."""


@dataclass(frozen=True)
class TextClassifier:
    """Gives every text the probability of each wanted label.

    Args:
        model: A model for sequence classification.
        tokenizer: Its tokenizer.
        columns: Output of each wanted label.
        nothing: Output of the label "none"; None where it has no such label.
        context: Longest text, tokens.
    """

    model: Any
    tokenizer: Any
    columns: tuple[int, ...]
    nothing: int | None
    context: int

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "text label"]:
        """Return probabilities; NaN for an empty text, one too long, or one that says nothing of the labels.

        Args:
            texts: Texts; one that is too long is never cut.
        """
        out = np.full((len(texts), len(self.columns)), math.nan)
        for i, text in enumerate(texts):  # one by one: not every model has a token to pad with
            ids = self.tokenizer(text).input_ids if text.strip() else []
            if 0 < len(ids) <= self.context:
                out[i] = self._chances(ids)
        return out

    def _chances(self, ids: Sequence[int]) -> Float[np.ndarray, " label"]:
        with torch.inference_mode():
            found = self.model(input_ids=torch.tensor([ids], device=self.model.device)).logits[0].float()
        many = self.model.config.problem_type == "multi_label_classification"
        chances = (torch.sigmoid(found) if many else torch.softmax(found, dim=0)).cpu().numpy().astype(np.float64)
        if self.nothing is not None and chances.argmax() == self.nothing:
            return np.full(len(self.columns), math.nan)
        return chances[list(self.columns)]


def load_classifier(name: str, labels: Sequence[str], *, revision: str = "", device: str = "auto") -> TextClassifier:
    """Load a classifier whose labels are those wanted, in any order and with any others.

    Args:
        name: Local folder or hub id of an `AutoModelForSequenceClassification`.
        labels: Wanted labels; "Self-Competent", "self competent" and "self_competent" are one.
        revision: Hub commit, branch or tag; empty is the default branch.
        device: "auto", "cpu", "cuda", ...

    Raises:
        ModelError: It cannot be loaded, or lacks a label.
    """
    where, common = device_of(device), {"revision": revision or "main"}
    with quiet():
        config = attempt(lambda: transformers.AutoConfig.from_pretrained(name, **common), name, "its config.json")
        there = {_plain(str(label)): int(i) for i, label in (config.id2label or {}).items()}
        lost = [label for label in labels if _plain(label) not in there]
        if lost:
            raise ModelError(
                f"it has no label {lost[0]!r}", where=name, expected="all of " + ", ".join(labels),
                do="its labels are " + ", ".join(map(str, (config.id2label or {}).values())),
            )  # fmt: skip
        tokenizer = attempt(lambda: transformers.AutoTokenizer.from_pretrained(name, **common), name, "its tokenizer")
        kind = transformers.AutoModelForSequenceClassification
        model = attempt(lambda: kind.from_pretrained(name, use_safetensors=True, **common), name, "its weights")
    context = int(min(getattr(config, "max_position_embeddings", None) or 512, tokenizer.model_max_length))
    columns = tuple(there[_plain(label)] for label in labels)
    return TextClassifier(model.eval().to(where), tokenizer, columns, there.get(NOTHING), context)


def _plain(label: str) -> str:
    return label.strip().lower().replace("-", "_").replace(" ", "_")
