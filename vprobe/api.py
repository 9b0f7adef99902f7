"""The notebook API: a model to talk to and steer, a run to look into. Records convert to pandas with `frame`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from vprobe import backends, batching, exports, pipeline, prompts, steering, store
from vprobe.errors import InputError
from vprobe.types import Activations, Direction, Gate, ModelInfo, Operation, Placement, RunInfo, Scores, Site, Steering

if TYPE_CHECKING:
    import pandas as pd


def load_model(
    model: str | Path,
    *,
    backend: str = "hf",
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    device_map: str = "",
    tp_plan: str = "",
    quantize: str = "",
    remote: str = "",
    trust_remote_code: bool = False,
) -> Model:
    """Load a model to read, ask and steer. Directions of a run belong to the weights and number format it recorded.

    Args:
        model: Local folder, hub id, or "organism" for the model that ships with vprobe.
        backend: Engine name.
        revision: Hub commit, branch or tag.
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: "auto", "cpu", "cuda", ...
        device_map: Blocks over several devices, see `types.Placement`, as the three that follow.
        tp_plan: "auto" divides every block over all ranks.
        quantize: Weights in fewer bits: "int8", "nf4" or "llm-int8".
        remote: Of the nnsight engine: "ndif" or "local".
        trust_remote_code: Run code that comes with the model.

    Raises:
        InputError: An unknown word, or two that exclude each other.
        ModelError: The model is missing, is not a decoder-only language model, or fails validation.
    """
    engine = backends.load(
        pipeline.model_path(str(model)), backend=backend, revision=revision, dtype=dtype, device=device,
        trust_remote_code=trust_remote_code, placement=Placement(device_map, tp_plan, quantize, remote),
    )  # fmt: skip
    return Model(engine)


def open_run(folder: str | Path) -> Run:
    """Open a run folder.

    Args:
        folder: What `--out` named.

    Raises:
        StoreError: It is not a run folder.
    """
    return Run(Path(folder))


def frame(records: Sequence[Any]) -> pd.DataFrame:
    """Return frozen records as a pandas table, one row each.

    Args:
        records: Records of one class, such as `Agreement`.
    """
    import pandas as pd

    return pd.DataFrame([dataclasses.asdict(one) for one in records])


@final
class Model:
    """A loaded model. Everything it does inside `with model.steered(...)` is steered."""

    def __init__(self, backend: backends.Backend) -> None:
        self.backend = backend
        self._active: tuple[Steering, ...] = ()

    def __repr__(self) -> str:
        """Say which model this is, in which numbers, and whether it is steered now."""
        one = self.info
        steered = f", {len(self._active)} changes active" if self._active else ""
        return f"<Model {one.name}: {one.n_layers} layers of width {one.d_model}, {one.dtype}{steered}>"

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""
        return self.backend.info

    @contextmanager
    def steered(
        self,
        direction: Direction,
        *,
        strength: float | None = None,
        coefficient: float | None = None,
        positions: str = "all",
        operation: str | Operation = "add",
        gate: Gate | None = None,
        each: Literal["token", "prompt"] = "token",
        conflict: str = "sequence",
    ) -> Iterator[Model]:
        """Steer everything inside the `with` block; several may be nested.

        Args:
            direction: From `Run.direction`, or your own.
            strength: Coefficient over the direction's `unit`, the median residual norm at its site; degrees or shares
                for an operation that counts these.
            coefficient: In the operation's measure, instead of `strength`.
            positions: Tokens steered, see `types.STEER_POSITIONS`.
            operation: Name of a steering operation, or one made by `steering.load` or by yourself.
            gate: When it acts, made by `steering.gate` or by yourself; always when None.
            each: "token" or "prompt", see `types.Steering`.
            conflict: What is done when several changes act at one site on one token, see `types.CONFLICTS`.

        Raises:
            InputError: Neither or both of strength and coefficient, or a strength for a direction without a unit.
        """
        if (strength is None) == (coefficient is None):
            raise InputError("strength and coefficient", where="steered", expected="exactly one of the two")
        what = steering.load(operation) if isinstance(operation, str) else operation
        if coefficient is None and what.measure == "activation" and math.isnan(direction.unit):
            raise InputError("the direction has no unit", where="steered", do="give a coefficient in activation units")
        size = coefficient if coefficient is not None else what.coefficient(strength or 0.0, direction.unit)
        change = Steering(what, direction, size, positions, gate=gate, each=each, conflict=conflict)
        before = self._active
        self._active = (*before, change)
        try:
            yield self
        finally:
            self._active = before

    def generate(
        self, prompt: str, *, system: str = "", max_new_tokens: int = 60, temperature: float = 0.0, seed: int = 0,
        stop: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Return the model's answer to one user message.

        Args:
            prompt: The message.
            system: System message; empty is none.
            max_new_tokens: Length limit.
            temperature: 0 is greedy.
            seed: Seed of the sampling.
            stop: Stop strings; the answer ends before the first.
        """
        row = prompts.encode_text(self.backend.tokenizer, prompt, system=system)
        found = self.backend.generate(
            [row], max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, steering=self._active, stop=stop
        )
        return found[0].text.strip()

    def read(self, texts: Sequence[str], site: Site | str, *, position: str = "last_content") -> np.ndarray:
        """Return activations of user messages, float32 of shape (text, d_model).

        Args:
            texts: The messages.
            site: Such as "resid_post.3".
            position: "last_content" or "last_prompt".
        """
        where = Site.parse(site) if isinstance(site, str) else site
        texts = [texts] if isinstance(texts, str) else texts
        rows = [prompts.encode_text(self.backend.tokenizer, text) for text in texts]
        out = np.empty((len(rows), self.info.d_model), np.float32)
        for batch in batching.plan([len(row.ids) for row in rows], self.backend.default_batch_tokens):
            found = self.backend.read([rows[i] for i in batch], [where], [position], steering=self._active)
            out[list(batch)] = found[0, :, 0]
        return out

    def vector(self, file: str | Path) -> Direction:
        """Return the vector of a steering card, or of any file of directions with one in it, for use in this model.

        Args:
            file: A card's folder, or a file that `vprobe vectors` reads.

        Raises:
            InputError: No such file, or several directions in it.
            ModelError: A vector of another model, or of another width.
        """
        found = exports.read(Path(file), model=self.info)
        if len(found) != 1:
            raise InputError(f"{len(found)} directions", where=str(file), expected="a file with one")
        return found[0]

    def neuron_weights(self, layer: int) -> np.ndarray:
        """Return what each MLP neuron of a block writes per unit of activity, float32 of shape (neuron, d_model).

        `vprobe.directions.value_neurons` names those that write a value.

        Args:
            layer: Block index from 0.

        Raises:
            ModelError: No such block, or the engine does not know where the model's neurons speak.
        """
        return self.backend.neuron_weights(layer)


@final
class Run:
    """A run folder: what was recorded, asked, fitted and found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: RunInfo = store.load_info(folder)

    def __repr__(self) -> str:
        """Say which folder this is, of which model, and which tables it has."""
        name = self.info.model.name if self.info.model else "no model"
        return f"<Run {self.folder} of {name}; tables: {', '.join(self.tables()) or 'none'}>"

    def tables(self) -> tuple[str, ...]:
        """Name the tables this run has; `vprobe tables` says what their columns mean."""
        return tuple(sorted(one.stem for one in self.folder.glob("*.parquet")))

    def direction(self, value: str, site: Site | str = "", *, method: str = "mean-difference") -> Direction:
        """Return a fitted direction.

        Args:
            value: Such as "benevolence".
            site: Such as "resid_post.3"; empty is the one inner folds picked most often.
            method: Direction method.

        Raises:
            InputError: Unknown value, site or method; the nearest is named.
        """
        return pipeline.direction(self.folder, value, site=str(site), method=method)

    def activations(self, position: str = "response_mean") -> Activations:
        """Return what was recorded at one position, memory-mapped.

        Args:
            position: One of the recorded positions.

        Raises:
            InputError: A position that was not recorded.
            StoreError: Recording was not finished, or a file is damaged.
        """
        return store.load_activations(self.folder, position)

    def score(self, directions: Direction | Sequence[Direction], *, position: str = "", unsafe: bool = False) -> Scores:
        """Return this run's probe scores on directions, most sensibly on those of another run.

        A direction is refused where it was fitted or chosen on samples of this run or on their queries: held-out scores
        of those are in the table `scores`.

        Args:
            directions: One, or at most one per value.
            position: One of the recorded positions; empty is the first direction's own.
            unsafe: True to score samples a direction has seen; the result says so in `n_seen` and `unit`.

        Raises:
            InputError: No direction, another model's or position's, or a site that was not recorded.
            RefusedError: Samples a direction has seen, and `unsafe` is not True.
        """
        return pipeline.score(
            self.folder, [directions] if isinstance(directions, Direction) else directions, position=position,
            unsafe=unsafe,
        )  # fmt: skip

    def table(self, name: str) -> pd.DataFrame:
        """Return a table such as items, responses, scores or agreement; `vprobe tables` says what columns mean.

        Args:
            name: One of `tables()`.

        Raises:
            StoreError: This run has no such table, or it is damaged.
        """
        return store.table(self.folder, name)

    def report(self) -> Path:
        """Write the report and return its path."""
        return pipeline.write_report(self.folder)
