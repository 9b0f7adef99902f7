"""The nouns: frozen records that check themselves. Only these, arrays and plain values cross a room's door.

Axis names in shapes: sample item site layer position d_model value option draw token.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from vprobe import values as words
from vprobe.errors import InputError, unknown

POINTS = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_neurons", "head_out")
POSITIONS = ("response_mean", "last_prompt", "last_content", "option_span")
STEER_POSITIONS = ("all", "prompt", "response", "after_prompt")


def frozen_array(array: Any, dtype: Any = np.float32) -> np.ndarray:
    """Return a read-only contiguous array; a fresh copy only where one is needed."""
    out = np.ascontiguousarray(array, dtype=dtype)
    if out is array or out.base is not None:
        out = out.view()
    out.flags.writeable = False
    return out


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
        """Read an address such as `resid_post.10`.

        Raises:
            InputError: Not of the form point.layer.
        """
        point, dot, layer = text.strip().partition(".")
        if not dot or not layer.isdigit():
            raise InputError(f"{text!r}", where="site", expected="point.layer, for example resid_post.10")
        return cls(int(layer), point)


@dataclass(frozen=True)
class Loading:
    """How an item goes with a value in human data: signed correlation over raters.

    Args:
        value: Canonical value name.
        r: Correlation, from -1 to 1; NaN is not known. For keyed items without human data, +1, 0 or -1.
        p: Two-sided p of `r`; NaN is not known.
    """

    value: str
    r: float
    p: float = math.nan

    def __post_init__(self) -> None:
        words.find(self.value, where="loading")
        if not math.isnan(self.r) and not -1.0 <= self.r <= 1.0:
            raise InputError(f"loading {self.r}", where=self.value, expected="a number from -1 to 1 or NaN")


@dataclass(frozen=True)
class Option:
    """One answer a model may choose: its exact words and the number they stand for."""

    label: str
    rating: float


@dataclass(frozen=True)
class Item:
    """One query with one response, and what is known of the values the response expresses.

    Args:
        id: Unique in its benchmark.
        group: The query; folds never divide a group.
        block: The rater group a confirmatory split holds out; empty when there is none.
        source: Where the query came from, such as "Reddit"; counts are given by source.
        form: Which wording of a template fits, such as "scenario" or "message".
        title: Title of the query, may be empty.
        text: The query.
        response: The response to it.
        loadings: One per value that is known.
        n_raters: People who rated the item; 0 when nobody did.
        keying: +1, or -1 for an item whose agreement speaks against its value.
        scale: Lowest and highest rating.
        licence: Licence of the text.

    Raises:
        InputError: Empty text or response, a value named twice, keying other than +1 or -1.
    """

    id: str
    group: str
    source: str
    form: str
    text: str
    response: str
    title: str = ""
    block: str = ""
    loadings: tuple[Loading, ...] = ()
    n_raters: int = 0
    keying: int = 1
    scale: tuple[float, float] = (1.0, 6.0)
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.response.strip():
            raise InputError("empty query or response", where=f"item {self.id}", expected="some text in both")
        if self.keying not in (1, -1):
            raise InputError(f"keying {self.keying}", where=f"item {self.id}", expected="+1 or -1")
        seen = [loading.value for loading in self.loadings]
        if len(set(seen)) != len(seen):
            raise InputError("a value has two loadings", where=f"item {self.id}")

    def loading(self, value: str) -> float:
        """Return the signed loading of a value, NaN when it is not known."""
        return next((one.r for one in self.loadings if one.value == value), math.nan)


@dataclass(frozen=True)
class Template:
    """One wording of the question put to a model about an item, for one form of item.

    Args:
        name: Version name, such as "v1_reversed"; templates of one name differ only by form.
        form: The item form it is for.
        text: User message with `{title}`, `{text}` and `{content}` (the response) to be replaced.
        options: Answers in the order shown.
    """

    name: str
    form: str
    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Reliability:
    """How repeatable the human labels of one value are, and the highest correlation anything can have with them.

    Args:
        value: Canonical value name.
        estimate: Share of label variance that is not rater noise; NaN is not known.
        ceiling: sqrt(estimate), the highest expected correlation; NaN when the estimate is not known or not positive.
        within: True when it concerns differences between responses to one query.
    """

    value: str
    estimate: float
    ceiling: float
    within: bool


@dataclass(frozen=True)
class Benchmark:
    """An instrument as loaded: its items, its wordings, and where they came from.

    Args:
        name: Plug-in name.
        items: In file order; responses to one query stand together.
        templates: Every wording for every form.
        values: Values its loadings speak of, in a fixed order.
        reliability: Per value; empty when nobody measured it.
        licence: Licence of the data.
        citation: How to cite the data.
        sha256: Hash over the files it was read from.
        labels: One sentence on where the loadings come from.
    """

    name: str
    items: tuple[Item, ...]
    templates: tuple[Template, ...]
    values: tuple[str, ...]
    reliability: tuple[Reliability, ...]
    licence: str
    citation: str
    sha256: str
    labels: str

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the templates, each once, in order."""
        return tuple(dict.fromkeys(t.name for t in self.templates))

    def pick(self, item_ids: tuple[str, ...]) -> tuple[Item, ...]:
        """Return items by id, in the order asked for.

        Raises:
            InputError: An id is not in the benchmark.
        """
        known = {item.id: item for item in self.items}
        lost = [i for i in item_ids if i not in known]
        if lost:
            raise InputError(f"{len(lost)} unknown items, first {lost[0]!r}", where=f"benchmark {self.name}")
        return tuple(known[i] for i in item_ids)

    def groups(self, item_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return the query of each item."""
        return tuple(item.group for item in self.pick(item_ids))

    def loadings(self, item_ids: tuple[str, ...], values: tuple[str, ...]) -> Float[np.ndarray, "sample value"]:
        """Return the signed loadings as a table; NaN is not known."""
        rows = [[item.loading(value) for value in values] for item in self.pick(item_ids)]
        return np.asarray(rows, dtype=np.float64).reshape(len(item_ids), len(values))


@dataclass(frozen=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Mark:
    """A stretch of one message that a position can name.

    Args:
        name: "content", "response" or "options".
        message: Index of the message.
        start: First character in that message's content.
        end: One past the last character.
    """

    name: str
    message: int
    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """What a model is shown for one item.

    Args:
        id: Unique in a run: item id and template name.
        item_id: The item.
        group: The item's query.
        source: The item's source.
        template: "response" (query, then the response as the model's turn) or a rating version.
        messages: Chat turns; when the last is an assistant turn it is what the model is taken to have said.
        marks: Stretches the positions name.
        options: Answers to choose among, in the order shown; empty when none are asked for.
    """

    id: str
    item_id: str
    group: str
    source: str
    template: str
    messages: tuple[Message, ...]
    marks: tuple[Mark, ...] = ()
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        if not self.messages or not any(m.content.strip() for m in self.messages):
            raise InputError("empty prompt", where=f"prompt {self.id}", expected="at least one message with text")


@dataclass(frozen=True)
class Span:
    """A stretch of tokens: `ids[start:end]`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Tokens:
    """A prompt as token ids, with the token spans of its marks.

    Args:
        prompt_id: The prompt.
        ids: Token ids, special tokens included, no padding.
        prompt_length: Index of the first token of the assistant turn; `len(ids)` when there is none.
        spans: Token spans of the prompt's marks.
        text: The rendered text the ids were made from.
    """

    prompt_id: str
    ids: tuple[int, ...]
    prompt_length: int
    spans: tuple[Span, ...] = ()
    text: str = ""

    def interval(self, position: str) -> tuple[int, int]:
        """Return the tokens a position averages over, as (start, end).

        Args:
            position: One of `POSITIONS`.

        Raises:
            InputError: Unknown position, or the prompt has no such stretch.
        """
        if position not in POSITIONS:
            raise unknown("position", position, POSITIONS)
        if position == "last_prompt":
            return self.prompt_length - 1, self.prompt_length
        name = {"response_mean": "response", "last_content": "content", "option_span": "options"}[position]
        span = next((s for s in self.spans if s.name == name), None)
        if span is None:
            raise InputError(
                f"no {name} in this prompt",
                where=f"position {position}, prompt {self.prompt_id}",
                do="option_span needs a rating template; choose another position or template",
            )
        return (span.end - 1, span.end) if position == "last_content" else (span.start, span.end)


@dataclass(frozen=True)
class Answers:
    """The options of one prompt as token ids, ready to be scored.

    Args:
        prompt: The tokens all options share.
        options: Per option the tokens that follow, end of turn included.
        labels: The options' words, in the same order.
        ratings: The numbers they stand for.
    """

    prompt: Tokens
    options: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    ratings: tuple[float, ...]


@dataclass(frozen=True)
class Generation:
    """What a model wrote.

    Args:
        prompt_id: The prompt.
        ids: New tokens, the stop token left out.
        text: The same, decoded.
        stopped: True when it ended by itself, False when the length limit cut it.
    """

    prompt_id: str
    ids: tuple[int, ...]
    text: str
    stopped: bool


@dataclass(frozen=True)
class Response:
    """A model's answer to one rating prompt, both as log-probabilities and as text.

    Args:
        prompt_id: The prompt.
        item_id: The item.
        group: The item's query.
        source: The item's source.
        template: The rating version.
        ratings: The options' numbers in the order of `logprobs`.
        logprobs: Natural log-probability of each whole option phrase, end of turn included; None when not asked.
        text: Greedy text; None when not asked.
        rating: Number parsed from the text; None when not asked or not parsed.
        reason: Why the rating is None; None when there is one.

    Raises:
        InputError: A rating outside the options' range.
    """

    prompt_id: str
    item_id: str
    group: str
    source: str
    template: str
    ratings: tuple[float, ...]
    logprobs: tuple[float, ...] | None = None
    text: str | None = None
    rating: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.rating is not None and not min(self.ratings) <= self.rating <= max(self.ratings):
            raise InputError(
                f"rating {self.rating}",
                where=f"prompt {self.prompt_id}",
                expected=f"{min(self.ratings)} to {max(self.ratings)}",
            )
        if self.logprobs is not None and len(self.logprobs) != len(self.ratings):
            raise InputError("log-probs and options differ in number", where=f"prompt {self.prompt_id}")

    @property
    def expected(self) -> float:
        """Mean rating under the option probabilities, renormalised over the options; NaN without log-probs."""
        if self.logprobs is None:
            return math.nan
        logs = np.asarray(self.logprobs, dtype=np.float64)
        weights = np.exp(logs - logs.max())
        return float(weights @ np.asarray(self.ratings, dtype=np.float64) / weights.sum())

    @property
    def option_mass(self) -> float:
        """Total probability of the options before renormalising; NaN without log-probs."""
        return math.nan if self.logprobs is None else float(np.exp(np.asarray(self.logprobs, dtype=np.float64)).sum())


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
        provenance: "intrinsic" (given responses) or "prompted".
        midpoint: Mean projection of the fitted samples, activation units.
        spread: Standard deviation of their projections, activation units.
        position: Where in the text it was fitted.
        fitted_on: SHA-256 of the sample ids it was fitted on.
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
    provenance: Literal["intrinsic", "prompted"] = "intrinsic"
    midpoint: float = 0.0
    spread: float = 1.0
    position: str = "response_mean"
    fitted_on: str = ""
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
        """Return probe scores: projections less the midpoint, in standard deviations of the fitted samples."""
        return (np.asarray(x, dtype=np.float64) @ self.vector.astype(np.float64) - self.midpoint) / self.spread


@dataclass(frozen=True)
class Operation:
    """A steering operation, as handed to a backend.

    Args:
        name: Plug-in name.
        apply: `apply(x, vector, coefficient)` on numpy arrays or torch tensors; `x` is (..., d_model),
            `coefficient` is a scalar or (..., 1). Returns the new activations.
    """

    name: str
    apply: Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Steering:
    """One change made to a model's activations while it runs.

    Args:
        operation: What is done.
        direction: The unit vector it is done with.
        coefficient: Size of the change, activation units. A coefficient of 0 changes no bit.
        positions: "all" tokens; "prompt" (tokens before the answer); "response" (from the last prompt token on, so that
            the first answer token is already affected); "after_prompt" (answer tokens only, the first is not affected).
        site: Where; the direction's own site when None.

    Raises:
        InputError: A coefficient that is not finite, or unknown positions.
    """

    operation: Operation
    direction: Direction
    coefficient: float
    positions: str = "all"
    site: Site | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.coefficient):
            raise InputError(f"coefficient {self.coefficient}", where="steering", expected="a finite number")
        if self.positions not in STEER_POSITIONS:
            raise unknown("positions", self.positions, STEER_POSITIONS, where="steering")

    @property
    def at(self) -> Site:
        """The site it acts on."""
        return self.site or self.direction.site


@dataclass(frozen=True)
class Scores:
    """Numbers per sample and value.

    Args:
        x: NaN is unscored.
        sample_ids: Item ids, in the order of the first axis.
        values: In the order of the second axis.
        kind: Where they come from; kinds are never mixed.
        unit: What 1.0 means.
    """

    x: Float[np.ndarray, "sample value"]
    sample_ids: tuple[str, ...]
    values: tuple[str, ...]
    kind: Literal["probe", "rating", "generation", "self_report", "label"]
    unit: str

    def __post_init__(self) -> None:
        if self.x.shape != (len(self.sample_ids), len(self.values)):
            raise InputError(
                f"shape {self.x.shape}",
                where=f"{self.kind} scores",
                expected=f"({len(self.sample_ids)} samples, {len(self.values)} values)",
            )
        object.__setattr__(self, "x", frozen_array(self.x, np.float64))

    @property
    def n_unscored(self) -> int:
        """Samples without a number for at least one value."""
        return int(np.isnan(self.x).any(axis=1).sum())


@dataclass(frozen=True)
class Agreement:
    """How far two measures of one value agree, never without its null, interval, ceiling and n.

    Args:
        level: "item" (within query) or "profile" (over values).
        comparison: What is compared, such as "probe~label".
        value: Canonical value name; "all" at profile level.
        statistic: Name of the estimate, such as "within-query r".
        estimate: The number; NaN when it does not exist.
        low: Lower end of the 95 % interval.
        high: Upper end.
        null_mean: Mean of the null distribution.
        null_low: Its 2.5 % quantile.
        null_high: Its 97.5 % quantile.
        p: Permutation p, (1 + draws as large) / (1 + draws); one-sided unless the note says otherwise.
        p_family: The same against the largest statistic of the family tested (max-T); NaN when there is no family.
        ceiling: Highest expected estimate given label noise; NaN is not known.
        n_scored: Items used.
        n_unscored: Items left out.
        n_groups: Queries used.
        site: Where the probe reads, "nested" when inner folds chose it, empty when no probe is involved.
        method: Direction method, empty when no probe is involved.
        note: Anything a reader must know.
    """

    level: str
    comparison: str
    value: str
    statistic: str
    estimate: float
    low: float
    high: float
    null_mean: float
    null_low: float
    null_high: float
    p: float
    ceiling: float
    n_scored: int
    n_unscored: int
    n_groups: int
    p_family: float = math.nan
    site: str = ""
    method: str = ""
    note: str = ""


@dataclass(frozen=True)
class Count:
    """How many samples were left out, for what reason and from where."""

    stage: str
    reason: str
    source: str
    n: int
    of: int


@dataclass(frozen=True)
class RunInfo:
    """What a run was made with. Holds no clock and no host: those are in `timing.json`.

    Args:
        config: Resolved configuration as (name, value) pairs, output folder left out.
        vprobe: Version of vprobe.
        commit: Git commit of vprobe, "+dirty" appended when it has changes; empty outside a checkout.
        versions: (package, version) pairs.
        model: The model; None before one was used.
        seed: Seed of everything drawn.
        data: (benchmark, SHA-256) pairs.
        counts: Samples left out.
    """

    config: tuple[tuple[str, Any], ...]
    vprobe: str
    commit: str
    versions: tuple[tuple[str, str], ...]
    model: ModelInfo | None
    seed: int
    data: tuple[tuple[str, str], ...] = ()
    counts: tuple[Count, ...] = field(default=())


@dataclass(frozen=True)
class Fold:
    """One division of the samples into two disjoint sets of row indices; no group lies in both."""

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]


@dataclass(frozen=True)
class ScoreRow:
    """One number of one item in the table `scores`.

    Args:
        item_id: The item.
        group: Its query.
        value: Canonical value name.
        kind: "probe", "rating" or "label".
        method: Direction method; empty unless a probe.
        site: Site read, "nested" when inner folds chose it; empty unless a probe.
        score: NaN is unscored.
        unit: What 1.0 means.
    """

    item_id: str
    group: str
    value: str
    kind: str
    method: str
    site: str
    score: float
    unit: str


@dataclass(frozen=True)
class ProfileRow:
    """One value of a model's profile: rating points the model adds per standard deviation of the keying.

    Args:
        value: Canonical value name.
        kind: "rating" (keyed by human labels) or "probe" (keyed by held-out probe scores).
        estimate: Within-query slope, rating points per standard deviation; NaN does not exist.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n_items: Items used.
        n_unscored: Items left out.
        unit: What 1.0 means.
    """

    value: str
    kind: str
    estimate: float
    low: float
    high: float
    n_items: int
    n_unscored: int
    unit: str


@dataclass(frozen=True)
class DoseRow:
    """What one dose of one steering vector did to the ratings.

    Args:
        value: Value the vector was fitted for.
        arm: "baseline", "steered", "shuffled" (labels permuted through the whole fit) or "random" (covariance-matched).
        draw: Index of the null draw; 0 for the steered arm.
        site: Where it acted.
        positions: On which tokens.
        strength: Coefficient over the median residual norm at the site.
        coefficient: Size of the change, activation units.
        effect: Within-query slope of the change in rating on the value's signed label, points per standard deviation.
        low: Lower end of the 95 % interval by query.
        high: Upper end.
        mean_shift: Mean change in rating over items, points: yes-bias, not value.
        option_mass: Mean total probability of the options.
        n_items: Items used.
        n_unscored: Items left out.
    """

    value: str
    arm: str
    draw: int
    site: str
    positions: str
    strength: float
    coefficient: float
    effect: float
    low: float
    high: float
    mean_shift: float
    option_mass: float
    n_items: int
    n_unscored: int


@dataclass(frozen=True)
class MapPoint:
    """One response on the two-dimensional map of activations; a picture, not evidence.

    Args:
        item_id: The item.
        value: Value of its largest absolute loading.
        loading: That loading, signed.
        x: First map coordinate, no unit.
        y: Second map coordinate, no unit.
        site: Site mapped.
    """

    item_id: str
    value: str
    loading: float
    x: float
    y: float
    site: str


@dataclass(frozen=True)
class SiteNorm:
    """Median L2 norm of the tokens' activations at one site, activation units: the unit of steering strength."""

    site: str
    norm: float


@dataclass(frozen=True)
class SitePick:
    """Which site inner folds chose for a value: the search behind a "nested" estimate, never hidden.

    Args:
        method: Direction method.
        value: Canonical value name.
        fold: Outer fold; its test queries had no part in the choice.
        site: The site chosen; empty when none could be.
    """

    method: str
    value: str
    fold: int
    site: str
