"""A loaded model behind the three verbs, whatever library runs it: padding, pooling, option trees and decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float

from vprobe import stops
from vprobe.backends import _alone, _arms, _choose, _drift, _inner, _loading, _run, _tree
from vprobe.backends._families import Anatomy
from vprobe.backends._memory import Memory
from vprobe.backends._size import size_of
from vprobe.backends._steer import Session, check_sites, check_steering
from vprobe.errors import InputError, ModelError
from vprobe.types import Answers, Generation, ModelInfo, ModelSize, Site, Steered, Steering, Tokens

_CPU_TOKENS, _GPU_TOKENS = 2048, 16384
_CPU_TREE_TOKENS, _GPU_TREE_TOKENS = 512, 4096
"""Tokens of one forward where texts may share what they begin with; on a CPU short forwards are fastest."""
_ARM_BATCHES = 8
"""Batches' worth of tokens that the arms of one sweep may hold together."""


@final
class Engine:
    """A loaded model that can be read, asked and steered; made by the `load` of an engine's file.

    Args:
        loaded: The model and its tokenizer.
        anatomy: Its parts, and how what flows through them is caught.
        name: Folder or hub id it came from.
    """

    info: ModelInfo
    tokenizer: Any
    points: tuple[str, ...]
    device: str
    default_batch_tokens: int
    size: ModelSize
    unshared: str
    unshared_options: str

    def __init__(self, loaded: _loading.Loaded, anatomy: Anatomy, *, name: str) -> None:
        model = loaded.model
        self._model, self._stops, self._anatomy = model, loaded.stops, anatomy
        self._forks: dict[Site, bool] = {}
        self._memory = Memory()
        self.tokenizer = loaded.tokenizer
        self.points = self._anatomy.points
        self._inner = self._anatomy.inner.widths
        self.device = str(model.device)
        self.default_batch_tokens = _CPU_TOKENS if model.device.type == "cpu" else _GPU_TOKENS
        text = model.config.get_text_config(decoder=True)
        self.info = ModelInfo(
            name=shown_name(name),
            revision=loaded.revision,
            fingerprint=loaded.fingerprint,
            family=model.config.model_type,
            n_layers=len(self._anatomy.blocks),
            d_model=int(text.hidden_size),
            context=_loading.context_of(model.config, loaded.tokenizer),
            dtype=str(model.dtype).removeprefix("torch."),
            chat=bool(loaded.tokenizer.chat_template),
        )
        self.unshared = _tree.unshared(model, anatomy)
        self.unshared_options = self.unshared or _choose.unshared(model, anatomy, self._vocab)
        self.size = size_of(model, anatomy.blocks, self._tree_tokens)

    @property
    def halved(self) -> int:
        """How often a forward ran out of memory and was divided."""
        return self._memory.halved

    @property
    def _tree_tokens(self) -> int:
        return _CPU_TREE_TOKENS if self._model.device.type == "cpu" else _GPU_TREE_TOKENS

    def read(
        self,
        rows: Sequence[Tokens],
        sites: Sequence[Site],
        positions: Sequence[str],
        *,
        steering: Steered = (),
    ) -> Float[np.ndarray, "position sample site d_model"]:
        """Return activations averaged in float32 over each position's tokens, pooled where the model runs.

        Args:
            rows: The texts, together with their spans. What they begin with in common is computed once, where the
                model allows it and nothing is steered; otherwise they run as one batch.
            sites: Where to read.
            positions: What to average over, see `types.POSITIONS`.
            steering: Changes made while the model runs; readings at or after a changed site see the change.

        Raises:
            ModelError: A site the model does not have, a text beyond its context, or steering it cannot do.
            InputError: A text without the stretch that a position names.
        """
        if not rows or not sites or not positions:
            raise InputError("nothing to read", where="read", expected="at least one text, site and position")
        for row in rows:
            for position in positions:
                row.interval(position)
        self._check_read(rows, sites, steering)
        device, memory = self._model.device, self._memory
        if steering or self.unshared or len(rows) == 1:
            return _alone.read(self._anatomy, rows, sites, positions, steering, device=device, memory=memory)
        bounds = {"budget": self._tree_tokens, "room": self.info.context}
        return _tree.read(self._anatomy, rows, sites, positions, device=device, memory=memory, **bounds)

    def residual_norms(self, rows: Sequence[Tokens], sites: Sequence[Site]) -> Float[np.ndarray, " site"]:
        """Return the median L2 norm of the tokens' activations at each site, the unit of steering strength.

        Args:
            rows: Texts; the first token of each is left out, it is often an outlier.
            sites: Where.

        Raises:
            ModelError: A site the model does not have, or a text beyond its context.
            InputError: No text has a second token.
        """
        lengths = [len(row.ids) for row in rows]
        if max(lengths, default=0) < 2:
            raise InputError(
                "no tokens beside the first", where="residual norms", expected="texts of two tokens or more"
            )
        self._check_read(rows, sites, ())
        return _alone.norms(self._anatomy, rows, sites, device=self._model.device, memory=self._memory)

    def neuron_weights(self, layer: int) -> Float[np.ndarray, "neuron d_model"]:
        """Return what each MLP neuron of a block writes per unit of its activity, as `mlp_neurons` reads it.

        Where a block norms its MLP's output, this is before the norm. Numbers are as exact as the model's format.

        Args:
            layer: Block index from 0.

        Raises:
            ModelError: No such block, or this engine does not know where the model's neurons speak.
        """
        check_sites([Site(layer, "mlp_neurons")], self.info, [point for point, _ in self._inner])
        width = dict(self._inner)["mlp_neurons"]
        like = torch.empty(0, dtype=self._model.dtype, device=self._model.device)  # weights may be kept otherwise
        found = _inner.written(self._anatomy.inner.neurons[layer], width, like).numpy()
        if found.shape != (width, self.info.d_model):
            raise ModelError(
                f"output weights of shape {found.shape}", where=self.info.name,
                expected=f"({width}, {self.info.d_model})", do="load the model with backend hf",
            )  # fmt: skip
        return found

    def _check_read(self, rows: Sequence[Tokens], sites: Sequence[Site], steering: Steered) -> None:
        """Refuse what cannot be read, before anything runs."""
        check_sites(sites, self.info, [*self.points, *(point for point, _ in self._inner)])
        widths = {site: dict(self._inner).get(site.point, self.info.d_model) for site in sites}
        if len(set(widths.values())) > 1:
            raise ModelError(
                "sites of different widths: " + ", ".join(f"{site} ({width})" for site, width in widths.items()),
                where="read", expected="sites of one width in one call",
            )  # fmt: skip
        check_steering(steering, self.info, self.points, self._inner)
        self._fit([len(row.ids) for row in rows], [row.prompt_id for row in rows])

    def choose(self, rows: Sequence[Answers], *, steering: Steered = ()) -> tuple[tuple[float, ...], ...]:
        """Return per row the natural log-probability of every whole option, end of turn included.

        Args:
            rows: Prompts with their options.
            steering: Changes made while the model runs.

        Raises:
            ModelError: A prompt with an option beyond the context, or steering it cannot do.
        """
        check_steering(steering, self.info, self.points, self._inner)
        self._check_answers(rows)
        with torch.inference_mode(), Session(self._anatomy, steering, texts=[row.prompt for row in rows]) as session:
            return _choose.choose(self._model, self._anatomy, session, rows, self._limits)

    def choose_arms(
        self, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]
    ) -> tuple[tuple[tuple[float, ...], ...], ...]:
        """Return per arm what `choose` returns with that arm's steering; what no arm changes runs once.

        Args:
            rows: Prompts with their options.
            arms: Per arm the changes made while the model runs; an empty arm is the baseline.

        Raises:
            ModelError: A prompt with an option beyond the context, or steering it cannot do.
        """
        for arm in arms:
            check_steering(arm, self.info, self.points, self._inner)
        self._check_answers(rows)
        found: dict[int, tuple[tuple[float, ...], ...]] = {}

        def run(group: Sequence[int]) -> None:
            mine, most = [rows[i] for i in group], _ARM_BATCHES * self.default_batch_tokens
            chosen = _arms.choose_arms(
                self._model, self._anatomy, mine, arms, self._limits, budget=most, known=self._forks
            )
            found.update(zip(group, zip(*chosen, strict=True), strict=True))

        def size(group: Sequence[int]) -> int:
            return len(group) * max(len(rows[i].prompt.ids) for i in group)

        with torch.inference_mode():
            self._memory.all([range(len(rows))], size, run)
        return tuple(zip(*(found[i] for i in range(len(rows))), strict=True))

    def drift(self, rows: Sequence[Tokens], *, steering: Steered) -> Float[np.ndarray, "row 4"]:
        """Return what steering does to the next-token distribution; one forward without it, one with it.

        Args:
            rows: Texts that have nothing to do with what is steered; the tokens of the answer are counted, or all but
                the first where there is no answer.
            steering: Changes made while the model runs.

        Returns:
            Per text the mean over its tokens of KL(base || steered) in nats, base and steered negative log-likelihood
            per token, and the number of tokens. Distributions are computed in float32; a coefficient of 0 gives 0.

        Raises:
            InputError: No texts, or one without a token to predict.
            ModelError: A text beyond the context, steering it cannot do, or logits that are not finite.
        """
        check_steering(steering, self.info, self.points, self._inner)
        self._fit([len(row.ids) for row in rows], [row.prompt_id for row in rows])
        with torch.inference_mode():
            return _drift.drift(self._model, self._anatomy, rows, steering, vocab=self._vocab, memory=self._memory)

    @property
    def _limits(self) -> _choose.Limits:
        packed = 0 if self.unshared_options else self._tree_tokens
        return _choose.Limits(self._vocab, self.info.context, self.default_batch_tokens, packed, self._memory)

    @property
    def _vocab(self) -> int:
        return self._model.get_output_embeddings().weight.shape[0]

    def _check_answers(self, rows: Sequence[Answers]) -> None:
        """Refuse rows that ask nothing or go beyond the context."""
        if not rows or any(not option for row in rows for option in row.options or ((),)):
            raise InputError("nothing to choose", where="choose", expected="rows with options of at least one token")
        longest = [len(r.prompt.ids) + max(len(o) for o in r.options) for r in rows]
        self._fit(longest, [r.prompt.prompt_id for r in rows])

    def generate(
        self,
        rows: Sequence[Tokens],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        steering: Steered = (),
        stop: Sequence[str] = (),
        tell: Callable[[Sequence[Sequence[int]]], None] | None = None,
    ) -> tuple[Generation, ...]:
        """Continue each text until the model ends its turn, a stop string, the length limit or the end of its context.

        Args:
            rows: Prompts; their ids end where the model is to speak.
            max_new_tokens: Length limit.
            temperature: 0 is greedy.
            seed: Seed of the sampling; a row's text depends on seed and prompt id, not on its batch.
            steering: Changes made while the model runs, at every step.
            stop: Stop strings, looked for in new text only; see `types.Generation`.
            tell: Called after every step with the new token ids so far of each of the rows that are written together.

        Raises:
            ModelError: A prompt that fills the context, or steering it cannot do.
            InputError: A length limit below 1, a temperature that is not a positive number or 0, or an empty stop
                string.
        """
        check_steering(steering, self.info, self.points, self._inner)
        if max_new_tokens < 1 or not 0 <= temperature < float("inf") or not rows:
            raise InputError(
                f"{len(rows)} prompts, {max_new_tokens} new tokens, temperature {temperature}",
                where="generate",
                expected="at least one prompt, 1 token and a temperature from 0",
            )
        self._fit([len(row.ids) + 1 for row in rows], [row.prompt_id for row in rows])
        room = [min(max_new_tokens, self.info.context - len(row.ids)) for row in rows]
        choice = _run.sampling(temperature, seed, [row.prompt_id for row in rows])
        ends = stops.of(self.tokenizer, self._stops, stop)
        with torch.inference_mode(), Session(self._anatomy, steering, texts=rows) as session:
            return _run.write(
                self._model, self._anatomy, session, rows, room=room, stops=ends, choice=choice, memory=self._memory,
                tell=tell,
            )  # fmt: skip

    def _fit(self, lengths: Sequence[int], names: Sequence[str]) -> None:
        """Refuse texts that are empty or beyond the context; nothing is ever cut."""
        for length, name in zip(lengths, names, strict=True):
            if not 1 <= length <= self.info.context:
                raise ModelError(
                    f"a text of {length} tokens",
                    where=f"prompt {name}, model {self.info.name}",
                    expected=f"1 to {self.info.context} tokens, the model's context",
                    do="skip it, or choose a model with a longer context; texts are never cut",
                )


def shown_name(name: str) -> str:
    """Return a model's name as results carry it: the folder's own, or the hub id."""
    folder = Path(name).expanduser()
    return folder.resolve().name if folder.is_dir() else name
