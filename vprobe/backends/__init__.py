"""A model behind its verbs: read activations, choose among options, generate, drift; all with optional steering.

One file per engine. Only these files import torch, transformers, transformer_lens or nnsight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vprobe import registry
from vprobe.backends._devices import Device, devices
from vprobe.types import (
    ONE_DEVICE,
    Answers,
    Generation,
    ModelInfo,
    ModelSize,
    Placement,
    Site,
    Steered,
    Steering,
    Tokens,
)

if TYPE_CHECKING:
    from vprobe.backends._pickled import Pickled

__all__ = [
    "Backend",
    "Device",
    "classifier",
    "devices",
    "embed",
    "load",
    "names",
    "read_tensors",
    "untrained",
    "write_tensors",
]


@runtime_checkable
class Backend(Protocol):
    """What every engine offers. Rows of one call run as one padded batch; callers plan the batches.

    `steering` is one list of changes that all rows share, or one list per row: every row may carry vectors and
    coefficients of its own, so that values x strengths x items are one batch, and a row with an empty list is a
    baseline that rides along. Each row gets what it would get alone.
    """

    info: ModelInfo
    tokenizer: Any
    """A fast Hugging Face tokenizer; handed to `prompts`, which knows how to use one."""
    points: tuple[str, ...]
    """Points this engine can read in this model."""
    device: str
    default_batch_tokens: int
    """Token budget of a batch that suits the device."""
    size: ModelSize
    unshared: str
    """Why `read` computes what several texts begin with once per text; empty when it computes it once."""
    unshared_options: str
    """The same of `choose`."""

    @property
    def halved(self) -> int:
        """How often a forward ran out of memory and was divided; nothing that was done is lost."""
        ...

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
            rows: The texts, together with their spans.
            sites: Where to read.
            positions: What to average over, see `types.POSITIONS`.
            steering: Changes made while the model runs; readings at or after a changed site see the change.

        Raises:
            ModelError: A site the model does not have, or a text beyond its context.
        """
        ...

    def choose(self, rows: Sequence[Answers], *, steering: Steered = ()) -> tuple[tuple[float, ...], ...]:
        """Return per row the natural log-probability of every whole option, end of turn included.

        Args:
            rows: Prompts with their options.
            steering: Changes made while the model runs.
        """
        ...

    def choose_arms(
        self, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]
    ) -> tuple[tuple[tuple[float, ...], ...], ...]:
        """Return per arm what `choose` returns with that arm's steering; what no arm changes may run once.

        Args:
            rows: Prompts with their options.
            arms: Per arm the changes made while the model runs; an empty arm is the baseline.
        """
        ...

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
        """Continue each text until the model ends its turn or writes a stop string.

        Args:
            rows: Prompts; their ids end where the model is to speak.
            max_new_tokens: Length limit.
            temperature: 0 is greedy.
            seed: Seed of the sampling, unused when greedy; a text depends on seed and prompt id, not on its batch.
            steering: Changes made while the model runs, at every step.
            stop: Stop strings, looked for in new text only; see `types.Generation`.
            tell: Called after every step with the new token ids so far of each of the rows that are written together.
        """
        ...

    def drift(self, rows: Sequence[Tokens], *, steering: Steered) -> Float[np.ndarray, "row 4"]:
        """Return what steering does to the next-token distribution on texts that have nothing to do with it.

        Args:
            rows: Texts; the tokens of the answer are counted, or all but the first where there is no answer.
            steering: Changes made while the model runs.

        Returns:
            Per text the mean over its tokens of KL(base || steered) in nats, base and steered negative log-likelihood
            per token, and the number of tokens. Distributions are computed in float32; a coefficient of 0 gives 0.
        """
        ...

    def neuron_weights(self, layer: int) -> Float[np.ndarray, "neuron d_model"]:
        """Return what each MLP neuron of a block writes per unit of its activity, as `mlp_neurons` reads it.

        Args:
            layer: Block index from 0.

        Raises:
            ModelError: No such block, or the engine does not know where the model's neurons speak.
        """
        ...

    def residual_norms(self, rows: Sequence[Tokens], sites: Sequence[Site]) -> Float[np.ndarray, " site"]:
        """Return the median L2 norm of the tokens' activations at each site, the unit of steering strength.

        Args:
            rows: Texts; the first token of each is left out, it is often an outlier.
            sites: Where.
        """
        ...


def names() -> tuple[str, ...]:
    """List the engines."""
    return registry.names("vprobe.backends")


def load(
    model: str,
    *,
    backend: str = "hf",
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    placement: Placement = ONE_DEVICE,
) -> Backend:
    """Load a model with an engine and validate its layer count, module paths and hooks by a probe forward.

    Args:
        model: Local folder or hub id.
        backend: Engine name, one of `names()`.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: "auto", "float32", "bfloat16" or "float16". "auto" is float32 on CPU and the checkpoint's own on a GPU.
        device: "auto", "cpu", "cuda", "cuda:0", ...
        trust_remote_code: Run code that comes with the model; off unless asked for.
        placement: Several devices in place of `device`, weights in fewer bits, or a model that runs elsewhere. A
            model spread over ranks answers to rank 0; the others never come back from here, see `_led`.

    Raises:
        ModelError: The model is missing, is not a decoder-only language model, or fails the validation.
    """
    engine = registry.load("vprobe.backends", backend, kind="backend")
    return engine.load(
        model, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code, placement=placement
    )


def classifier(
    name: str, labels: Sequence[str], *, revision: str = "", device: str = "auto"
) -> Callable[[Sequence[str]], Float[np.ndarray, "text label"]]:
    """Load a classifier of texts, which gives every text the probability of each label; see `_classify`.

    Args:
        name: Local folder or hub id of an `AutoModelForSequenceClassification`.
        labels: The labels wanted of it.
        revision: Hub commit, branch or tag; empty is the default branch.
        device: "auto", "cpu", "cuda", ...

    Raises:
        ModelError: It cannot be loaded, or lacks a label.
    """
    from vprobe.backends._classify import load_classifier

    return load_classifier(name, labels, revision=revision, device=device)


def untrained(
    model: str,
    *,
    seed: int,
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Backend:
    """Build a model of the same shape as another one, with random weights; the engine is always `hf`.

    Args:
        model: Local folder or hub id of the trained model; its weights are not read.
        seed: Seed of the weights.
        revision: Hub commit, branch or tag; empty is the default branch.
        dtype: As in `load`.
        device: As in `load`.
        trust_remote_code: Run code that comes with the model.

    Raises:
        ModelError: The model cannot be built.
    """
    engine = registry.load("vprobe.backends", "hf", kind="backend")
    return engine.untrained(
        model, seed=seed, revision=revision, dtype=dtype, device=device, trust_remote_code=trust_remote_code
    )


def embed(
    texts: Sequence[str], model: str, *, device: str = "auto", trust_remote_code: bool = False
) -> Float[np.ndarray, "text d_embedding"]:
    """Return frozen sentence embeddings of unit length, by any text encoder.

    Args:
        texts: One per row.
        model: Local folder or hub id of the encoder.
        device: As in `load`.
        trust_remote_code: Run code that comes with the encoder.

    Raises:
        ModelError: The encoder cannot be loaded.
    """
    from vprobe.backends import _embedding

    return _embedding.embed(texts, model, device=device, trust_remote_code=trust_remote_code)


def read_tensors(path: Path) -> Pickled:
    """Read the tensors of a file of torch, and nothing else that stands in it; see `_pickled`.

    Args:
        path: The file.

    Raises:
        InputError: Not such a file, or one that holds more than tensors.
    """
    from vprobe.backends import _pickled

    return _pickled.read_tensors(path)


def write_tensors(
    path: Path,
    arrays: Sequence[np.ndarray],
    *,
    layers: Sequence[int] = (),
    kind: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    """Write a file of torch: one bare tensor, or one vector per layer as the steering-vectors package keeps them.

    Args:
        path: The file; replaced when it exists.
        arrays: One array, or one per layer.
        layers: Layer of each array; none for a bare tensor.
        kind: What the layers are of, in the package's words.
        facts: (name, text) pairs kept beside the tensors.
    """
    from vprobe.backends import _pickled

    _pickled.write_tensors(path, _pickled.Pickled(tuple(arrays), tuple(layers), kind, tuple(facts)))
