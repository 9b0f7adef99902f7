"""A small transformer in numpy behind the backend's verbs, and the same with one silent failure at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from vprobe import stops
from vprobe.errors import ModelError
from vprobe.types import Answers, Generation, ModelInfo, Site, Steered, Steering, Tokens, per_row

from tests import tiny

D, HEADS, LAYERS, NEURONS = 16, 4, 4, 24
POINTS = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out")
INSIDE = ("head_out", "mlp_neurons")
DEFECTS = {
    "row 0 only": "every row of a batch is steered",
    "batches crash": "every row of a batch is steered",
    "one block off": "layers are counted from 0 by block output",
    "prompt is all": "position rules name their tokens",
    "always adds": "operations are carried out as they are",
    "first list for all": "rows may have changes of their own",
    "half precision": "the number format is the one named",
    "hooks stay": "nothing stays after a call or an error",
    "zero changes": "coefficient 0 changes no bit",
    "any model": "directions of other models are refused",
    "heads mixed": "parts of attention heads can be steered",
    "neurons ignored": "neurons can be steered",
    "choices unsteered": "choices move in every row",
    "response is after": "the first answer token follows the rule",
    "decoding unsteered": "steering the answer alone acts",
    "decoding twice": "a cache changes nothing",
    "pads count": "padding changes nothing",
    "writing unsteered": "choosing and writing agree",
}
"""What may be wrong with it, and the check that must say so."""


@dataclass
class Toy:
    """A backend without torch, one text at a time; `defect` names its silent failure."""

    defect: str = ""
    tokenizer: Any = field(default_factory=tiny.tokenizer)
    points: tuple[str, ...] = POINTS
    device: str = "cpu"
    default_batch_tokens: int = 256
    unshared: str = "one text at a time"
    unshared_options: str = "one text at a time"
    halved: int = 0
    size: Any = None

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        vocab = len(self.tokenizer)
        self.info = ModelInfo("toy", "", "c" * 64, "toy", LAYERS, D, 256, "float32", True)
        self._embed = rng.standard_normal((vocab, D)).astype(np.float32)
        self._at = 0.3 * rng.standard_normal((256, D)).astype(np.float32)
        shapes = ((D, D), (D, D), (D, D), (D, D), (D, NEURONS), (NEURONS, D))
        self._blocks = [
            [(rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for s in shapes] for _ in range(LAYERS)
        ]
        self._left: list[Steering] = []

    # --- one text -----------------------------------------------------------------------------------------------

    def _tokens(self, one: Steering, n: int, border: int) -> np.ndarray:
        at, rule = np.arange(n), one.positions
        if self.defect == "prompt is all" and rule == "prompt":
            rule = "all"
        if self.defect == "response is after" and rule == "response":
            rule = "after_prompt"
        if rule.startswith("from:"):
            k = int(rule[5:])
            return at >= (k if k >= 0 else border + k)
        return {
            "all": at >= 0, "prompt": at < border, "response": at >= border - 1, "after_prompt": at >= border,
            "last_prompt": at == border - 1,
        }[rule]  # fmt: skip

    def _changed(self, one: Steering, x: np.ndarray, acts: np.ndarray, twice: np.ndarray) -> np.ndarray:
        if one.coefficient == 0 and self.defect != "zero changes":
            return x
        vector = one.direction.vector
        if self.defect == "heads mixed" and one.at.point == "head_out":
            vector = np.roll(vector, D // HEADS)
        if self.defect == "neurons ignored" and one.at.point == "mlp_neurons":
            return x
        apply = (lambda x, v, c: x + c * v) if self.defect == "always adds" else one.operation.apply
        out, size = x, one.coefficient
        for mask in (acts, acts & twice):
            new = apply(out[None], vector[None], size, *one.operation.arrays)[0]
            new = new + (1e-6 if self.defect == "zero changes" else 0.0)
            out = np.where(mask[:, None], new, out)
        return out.astype(x.dtype)

    def _run(
        self, ids: Sequence[int], border: int, changes: Sequence[Steering], *, pads: int = 0, written: int = 0
    ) -> tuple[dict[Site, np.ndarray], np.ndarray]:
        """Return what flows through every site and the logits; the last `written` tokens came from a cache."""
        kind = np.float16 if self.defect == "half precision" else np.float32
        shift = pads if self.defect == "pads count" else 0
        n, seen = len(ids), {}
        cached = np.arange(n) >= n - written
        changes = [*self._left, *changes]

        def place(site: Site, x: np.ndarray) -> np.ndarray:
            for one in changes:
                target = one.at
                if self.defect == "one block off" and target.point == "resid_post":
                    target = Site(max(0, target.layer - 1), "resid_post")
                if target == site:
                    acts = self._tokens(one, n, border)
                    acts = acts & ~cached if self.defect == "decoding unsteered" else acts
                    x = self._changed(one, x, acts, cached & (self.defect == "decoding twice"))
            seen[site] = x
            return x

        x = place(Site(0, "embed"), (self._embed[list(ids)] + self._at[shift : shift + n]).astype(kind))
        for layer, (q, k, v, o, up, down) in enumerate(self._blocks):
            x = place(Site(layer, "resid_pre"), x)
            heads = place(Site(layer, "head_out"), self._attention(x, q, k, v).astype(kind))
            attn = place(Site(layer, "attn_out"), (heads @ o).astype(kind))
            acts = place(Site(layer, "mlp_neurons"), np.tanh((x + attn) @ up).astype(kind))
            mlp = place(Site(layer, "mlp_out"), (acts @ down).astype(kind))
            x = place(Site(layer), (x + attn + mlp).astype(kind))
        if self.defect == "hooks stay":
            self._left = [one for one in changes if one.coefficient][:1]
        return seen, x.astype(np.float64) @ self._embed.T.astype(np.float64)

    def _attention(self, x: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        n, width = len(x), D // HEADS
        parts = [(x @ w).reshape(n, HEADS, width) for w in (q, k, v)]
        scores = np.einsum("ihd,jhd->hij", parts[0], parts[1]) / np.sqrt(width)
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", weights, parts[2]).reshape(n, D)

    # --- the verbs ----------------------------------------------------------------------------------------------

    def _lists(self, steering: Steered, n: int) -> list[list[Steering]]:
        lists = [list(row) for row in per_row(steering, n)]
        for one in (one for row in lists for one in row):
            if one.direction.model not in ("", self.info.fingerprint) and self.defect != "any model":
                raise ModelError("a direction of another model")
        if self.defect == "batches crash" and n > 1 and any(lists):
            raise RuntimeError("shape '[3, 1]' is invalid")
        if self.defect == "first list for all":
            return [lists[0]] * n
        return [row if i == 0 or self.defect != "row 0 only" else [] for i, row in enumerate(lists)]

    def read(
        self, rows: Sequence[Tokens], sites: Sequence[Site], positions: Sequence[str], *, steering: Steered = ()
    ) -> np.ndarray:
        longest = max(len(row.ids) for row in rows)
        out = []
        for row, changes in zip(rows, self._lists(steering, len(rows)), strict=True):
            seen, _ = self._run(row.ids, row.prompt_length, changes, pads=longest - len(row.ids))
            spans = [row.interval(position) for position in positions]
            out.append([[seen[site][a:b].astype(np.float32).mean(axis=0) for site in sites] for a, b in spans])
        return np.array(out, dtype=np.float32).swapaxes(0, 1)

    def choose(self, rows: Sequence[Answers], *, steering: Steered = ()) -> tuple[tuple[float, ...], ...]:
        longest = max(len(row.prompt.ids) for row in rows)
        lists = self._lists(() if self.defect == "choices unsteered" else steering, len(rows))
        return tuple(
            tuple(self._scored(row.prompt, option, changes, longest) for option in row.options)
            for row, changes in zip(rows, lists, strict=True)
        )

    def _scored(self, prompt: Tokens, option: Sequence[int], changes: Sequence[Steering], longest: int) -> float:
        n = len(prompt.ids)
        _, logits = self._run((*prompt.ids, *option), prompt.prompt_length, changes, pads=longest - n)
        logs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        logs = logs - logits.max(-1, keepdims=True)
        return float(sum(logs[n - 1 + j, token] for j, token in enumerate(option)))

    def choose_arms(self, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]) -> Any:
        return tuple(self.choose(rows, steering=tuple(arm)) for arm in arms)

    def generate(
        self, rows: Sequence[Tokens], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0,
        steering: Steered = (), stop: Sequence[str] = (),
    ) -> tuple[Generation, ...]:  # fmt: skip
        longest = max(len(row.ids) for row in rows)
        lists = self._lists(() if self.defect == "writing unsteered" else steering, len(rows))
        out = []
        for row, changes in zip(rows, lists, strict=True):
            ids: list[int] = []
            text, ended = "", None
            while ended is None and len(ids) < max_new_tokens:
                whole = (*row.ids, *ids)
                _, logits = self._run(whole, row.prompt_length, changes, pads=longest - len(row.ids), written=len(ids))
                ids.append(int(logits[-1].argmax()))
                text = " ".join(map(str, ids))
                ended = stops.before(text, stop)
            out.append(Generation(row.prompt_id, tuple(ids), text if ended is None else ended, ended is not None))
        return tuple(out)

    def drift(self, rows: Sequence[Tokens], *, steering: Steered) -> np.ndarray:
        out = []
        for row, changes in zip(rows, self._lists(steering, len(rows)), strict=True):
            start = row.prompt_length if row.prompt_length < len(row.ids) else 1
            base, steered = (
                self._run(row.ids, row.prompt_length, one)[1][start - 1 : -1].astype(np.float64)
                for one in ((), changes)
            )
            p, q = (x - np.logaddexp.reduce(x, axis=-1, keepdims=True) for x in (base, steered))
            said = np.arange(len(p)), list(row.ids[start:])
            out.append(((np.exp(p) * (p - q)).sum(-1).mean(), -p[said].mean(), -q[said].mean(), len(p)))
        return np.array(out, dtype=np.float64)

    def neuron_weights(self, layer: int) -> np.ndarray:
        return self._blocks[layer][5]

    def residual_norms(self, rows: Sequence[Tokens], sites: Sequence[Site]) -> np.ndarray:
        found = [self._run(row.ids, row.prompt_length, ())[0] for row in rows]
        norms = [np.concatenate([np.linalg.norm(s[site][1:], axis=-1) for s in found]) for site in sites]
        return np.array([np.median(n) for n in norms], dtype=np.float32)
