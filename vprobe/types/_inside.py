"""What is inside a model: sites, activations and directions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError, RefusedError, unknown
from vprobe.types._arrays import frozen_array
from vprobe.types._seen import Seen

POINTS = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_neurons", "head_out")
HOOKS = {
    "hook_resid_pre": "resid_pre",
    "hook_in": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_out": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
}
"""TransformerLens' names of the hook points of a block, and the points they are."""


def plain_address(text: str) -> str:
    """Return an address in vprobe's words: `blocks.3.hook_resid_post` is `resid_post.3`; any other text as it is.

    Args:
        text: An address; in place of the layer, `*`, `all` or a range may stand.
    """
    words = text.strip().split(".")
    if len(words) == 3 and words[0] == "blocks" and words[2] in HOOKS:
        return f"{HOOKS[words[2]]}.{words[1].replace('*', 'all')}"
    return text.strip()


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model: one point of one block. `resid_post.10` is the residual stream after block 10.

    Args:
        layer: Block index from 0.
        point: One of `POINTS`. `embed` is what enters block 0 and has layer 0.

    Raises:
        InputError: Negative layer or unknown point.
    """

    layer: int
    point: str = "resid_post"

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise unknown("point", self.point, POINTS, where="site")
        if self.layer < 0:
            raise InputError(f"layer {self.layer}", where=f"site {self.point}", expected="a block index from 0")
        if self.point == "embed" and self.layer != 0:
            raise InputError(f"embed at layer {self.layer}", where="site", expected="embed.0")

    def __str__(self) -> str:
        return f"{self.point}.{self.layer}"

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read an address such as `resid_post.10`, or TransformerLens' `blocks.10.hook_resid_post`.

        Raises:
            InputError: Not of the form point.layer.
        """
        point, dot, layer = plain_address(text).partition(".")
        if not dot or not layer.isdigit():
            raise InputError(f"{text!r}", where="site", expected="point.layer, for example resid_post.10")
        return cls(int(layer), point)


@dataclass(frozen=True)
class ModelInfo:
    """Which model this is, so that results of another can never be mistaken for it.

    Args:
        name: Folder name or hub id.
        revision: Commit of the hub; empty for a local folder.
        fingerprint: SHA-256 over the names, shapes and sampled numbers of its weights.
        family: `model_type` of its configuration.
        n_layers: Blocks.
        d_model: Width of the residual stream.
        context: Longest input in tokens.
        dtype: Number format it runs in.
        chat: True when its tokenizer has a chat template.
    """

    name: str
    revision: str
    fingerprint: str
    family: str
    n_layers: int
    d_model: int
    context: int
    dtype: str
    chat: bool


@dataclass(frozen=True)
class ModelSize:
    """How large a model is where it runs, as far as a plan needs it.

    Args:
        block_parameters: Parameters of one block that a token passes through, on average; of experts a few.
        weight_bytes: All weights.
        cache_bytes: Keys and values of one token in one block.
        token_bytes: About what one token takes while a forward runs.
        forward_tokens: Most tokens of one forward where texts share what they begin with.
        heads: Attention heads of a block; 0 is not known.
        pair_bytes: About what attention takes, while a block runs, per token and column it may look at.
    """

    block_parameters: float
    weight_bytes: int
    cache_bytes: int
    token_bytes: int
    forward_tokens: int
    heads: int = 0
    pair_bytes: int = 0


@dataclass(frozen=True)
class Activations:
    """What was read inside a model, pooled over one position per sample.

    Args:
        x: Float32 activations.
        sample_ids: Prompt ids, in the order of the first axis.
        sites: In the order of the second axis.
        position: What was averaged over.
        model: Fingerprint of the model.

    Raises:
        InputError: Axes and names differ in length, or a number is not finite.
    """

    x: Float[np.ndarray, "sample site d_model"]
    sample_ids: tuple[str, ...]
    sites: tuple[Site, ...]
    position: str
    model: str

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[:2] != (len(self.sample_ids), len(self.sites)):
            raise InputError(
                f"shape {self.x.shape}",
                where="activations",
                expected=f"({len(self.sample_ids)} samples, {len(self.sites)} sites, d_model)",
            )
        if not np.isfinite(self.x).all():
            raise InputError("NaN or infinite numbers", where="activations", do="run the model in float32 or bfloat16")
        object.__setattr__(self, "x", frozen_array(self.x))

    def at(self, site: Site) -> Float[np.ndarray, "sample d_model"]:
        """Return the activations of one site.

        Raises:
            InputError: The site was not recorded.
        """
        if site not in self.sites:
            raise unknown("site", str(site), [str(s) for s in self.sites], where="activations")
        return self.x[:, self.sites.index(site)]


@dataclass(frozen=True)
class Direction:
    """A unit vector that points to MORE of a value; with midpoint and spread it is a probe.

    Args:
        vector: Unit vector in activation space.
        site: Where it was fitted.
        value: Canonical value name.
        method: Plug-in name of the estimator.
        role: "read" (detects) or "write" (steers).
        effect: "marginal", or "partial" when the other values were held constant.
        provenance: "intrinsic" (given responses), "prompted" (under a system prompt) or "shared" by the two.
        midpoint: Mean projection of the fitted samples, activation units.
        spread: Standard deviation of their projections, activation units.
        position: Where in the text it was fitted.
        fitted_on: SHA-256 of the sample ids it was fitted on.
        seen: What it was fitted or chosen on, sample by sample; nothing when it was not fitted to data.
        model: Fingerprint of the model.
        unit: Median residual norm at its site: strength times this is the coefficient; NaN is not measured.

    Raises:
        InputError: Norm other than 1, or a spread that is not positive.
    """

    vector: Float[np.ndarray, " d_model"]
    site: Site
    value: str
    method: str
    role: Literal["read", "write"]
    effect: Literal["marginal", "partial"] = "marginal"
    provenance: Literal["intrinsic", "prompted", "shared"] = "intrinsic"
    midpoint: float = 0.0
    spread: float = 1.0
    position: str = "response_mean"
    fitted_on: str = ""
    seen: Seen = field(default_factory=Seen, repr=False)
    model: str = ""
    unit: float = math.nan

    def __post_init__(self) -> None:
        norm = float(np.linalg.norm(np.asarray(self.vector, dtype=np.float64)))
        if not math.isclose(norm, 1.0, abs_tol=1e-5):
            raise InputError(
                f"norm {norm:.6g}", where=f"direction {self.value} at {self.site}", expected="a unit vector"
            )
        if not (math.isfinite(self.midpoint) and math.isfinite(self.spread) and self.spread > 0):
            raise InputError("midpoint or spread not usable", where=f"direction {self.value} at {self.site}")
        object.__setattr__(self, "vector", frozen_array(self.vector))

    def score(self, x: Float[np.ndarray, "*sample d_model"]) -> Float[np.ndarray, "*sample"]:
        """Return probe scores: projections less the midpoint, in standard deviations of the fitted samples.

        Raises:
            RefusedError: Activations it was fitted or chosen on are among them: their scores look too good.
        """
        x = np.asarray(x)
        n = int(self.seen.has_rows(x.reshape(-1, x.shape[-1])).sum())
        if n:
            raise RefusedError(
                f"{n} of {x.size // x.shape[-1]} samples are what it was fitted or chosen on",
                where=f"direction {self.value} at {self.site}",
                expected="samples of other queries",
                do="use held-out scores (table 'scores'); Run.score(..., unsafe=True) scores them and marks the result",
            )
        along = np.asarray(x, dtype=np.float64) @ self.vector.astype(np.float64)
        return np.asarray((along - self.midpoint) / self.spread)
