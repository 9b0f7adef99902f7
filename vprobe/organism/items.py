"""Draw items, with known loadings and labels as reliable as one likes: any number, in the organism's plain English."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe.benchmarks import planted
from vprobe.errors import InputError
from vprobe.organism import lexicon
from vprobe.types import Benchmark
from vprobe.values import ANGLES, SCHWARTZ

CODES = np.eye(10)
"""Per value what its key words load on: itself, unless a world says otherwise."""
_SHARPNESS = 2.0
LABEL = 0.5
"""Label per unit of true loading: labels are correlations, and noise must not push them beyond 1."""
_RESPONSES = 5
ALONE_SHARE = 0.4


@dataclass(frozen=True)
class Drawn:
    """Items with what is true of them.

    Args:
        benchmark: The items; their loadings are the noisy labels.
        records: The items as `planted.json` holds them, true loadings too.
        loadings: True loadings: mean over an item's key words of the value each stands for, with its sign.
        lengths: Words of each response.
        reliability: Share of the labels' variance within queries that is not noise, as it came out, over all values.
    """

    benchmark: Benchmark
    records: tuple[dict[str, Any], ...]
    loadings: Float[np.ndarray, "sample value"]
    lengths: Float[np.ndarray, " sample"]
    reliability: float


def latent(n: int, rng: np.random.Generator) -> Float[np.ndarray, "sample value"]:
    """Draw what speakers care for: normal, neighbours on the circle alike (0.4 I + 0.6 cos of the angle between)."""
    angle = np.deg2rad(np.asarray(ANGLES))
    # No root by eigenvectors: eight eigenvalues are alike, and which vectors span them depends on the processor.
    own, shared = rng.standard_normal((n, 10)), rng.standard_normal((n, 2))
    return math.sqrt(0.4) * own + math.sqrt(0.6) * (shared @ np.stack([np.cos(angle), np.sin(angle)]))


def draw(
    n_queries: int, *, seed: int, reliability: float = 0.8, half: str = "AB", labels: str = "true",
    codes: Sequence[Sequence[float]] | None = None, alone: float = ALONE_SHARE,
) -> Drawn:  # fmt: skip
    """Draw queries with five responses each, their true loadings and labels with noise.

    Args:
        n_queries: Queries.
        seed: Seed of everything drawn.
        reliability: Wanted share of label variance that is not noise; 1 is without noise.
        half: "A", "B" or "AB": which key words; the halves share no key word.
        labels: What labels hold beside noise: "true" loadings, "random" numbers, "query" (one number for all
            responses to a query) or "length" of the response.
        codes: Per value what its key words load on; itself when None.
        alone: Share of sentences that speak of one value alone. Their words tell how many values are spoken for rather
            than against, whatever their order; with 0 every sentence sets one value over another, and no words do.

    Raises:
        InputError: No queries, a reliability outside 0 to 1, or an unknown half or kind of label.
    """
    if n_queries < 1 or not 0.0 < reliability <= 1.0 or half not in ("A", "B", "AB"):
        raise InputError(
            f"{n_queries} queries, reliability {reliability}, half {half!r}", where="organism items",
            expected="at least one query, a reliability above 0 and up to 1, and half A, B or AB",
        )  # fmt: skip
    rng = np.random.default_rng((seed, 4))
    pools = [[p for p in lexicon.phrases() if p.value == value and p.half in half] for value in SCHWARTZ]
    table = CODES if codes is None else np.asarray(codes, dtype=np.float64)
    wants = latent(n_queries * _RESPONSES, rng) * _SHARPNESS
    texts, counts = [], np.zeros((len(wants), 10))
    for row, want in enumerate(wants):
        text, counts[row] = _response(want, pools, alone, rng)
        texts.append(text)
    queries = [_query(rng) for _ in range(n_queries)]
    loadings = counts @ table
    lengths = np.array([float(len(text.split())) for text in texts])
    groups = np.repeat(np.arange(n_queries), _RESPONSES)
    signal = _signal(labels, loadings, lengths, groups, rng)
    noise = (
        rng.standard_normal(signal.shape)
        * LABEL
        * _within_sd(loadings, groups)
        * math.sqrt((1 - reliability) / reliability)
    )
    y = np.clip(signal + noise, -1.0, 1.0)
    reached = float((_within_sd(signal, groups) ** 2).mean() / (_within_sd(y, groups) ** 2).mean())
    records = [
        {"id": f"q{g + 1:04d}-{i % _RESPONSES + 1}", "group": f"q{g + 1:04d}", "text": queries[g], "response": texts[i],
         "labels": [round(float(x), 4) for x in y[i]], "truth": [round(float(x), 6) for x in loadings[i]]}
        for i, g in enumerate(groups)
    ]  # fmt: skip
    return Drawn(planted.benchmark(records, reached), tuple(records), loadings, lengths, reached)


class _Writer:
    """Writes phrases of wanted and unwanted values, never the same twice, and counts the codes it used.

    Args:
        want: How much each value is wanted.
        pools: Phrases per value.
        rng: Where draws come from.
    """

    def __init__(self, want: np.ndarray, pools: list[list[lexicon.Phrase]], rng: np.random.Generator) -> None:
        self.want, self.pools, self.rng = want, pools, rng
        self.used: list[str] = []
        self.signs = np.zeros((2, 10))

    def phrase(self, sign: float) -> str:
        """Return a phrase to speak for (+1) or against (-1); no value is spoken for and against."""
        weight = np.exp(sign * self.want) * (self.signs[int(sign > 0)] == 0)
        value = int(self.rng.choice(10, p=weight / weight.sum()))
        free = [p.text for p in self.pools[value] if p.text not in self.used]
        self.used.append(free[int(self.rng.integers(len(free)))])
        self.signs[int(sign < 0), value] += 1
        return self.used[-1]

    def sentence(self, frames: Sequence[str], signs: dict[str, float]) -> str:
        """Fill a frame drawn from several."""
        text = frames[int(self.rng.integers(len(frames)))].format(
            **{name: self.phrase(sign) for name, sign in signs.items()}
        )
        return text[0].upper() + text[1:]

    @property
    def code(self) -> np.ndarray:
        """Mean signed code of the phrases used, one per value."""
        return (self.signs[0] - self.signs[1]) / len(self.used)


def _response(
    want: np.ndarray, pools: list[list[lexicon.Phrase]], alone: float, rng: np.random.Generator
) -> tuple[str, np.ndarray]:
    """Write two sentences, each for one phrase over another, or about one alone; maybe a filler between."""
    writer = _Writer(want, pools, rng)
    sentences = []
    for _ in range(2):
        if rng.random() < 1.0 - alone:
            sentences.append(writer.sentence(lexicon.CONSTRUCTIONS, {"x": 1.0, "y": -1.0}))
        else:
            sign = int(rng.integers(2))
            sentences.append(writer.sentence(lexicon.ALONE[sign], {"x": (1.0, -1.0)[sign]}))
    filler = lexicon.FILLERS[rng.integers(len(lexicon.FILLERS))]
    return " ".join(part for part in (sentences[0], filler, sentences[1]) if part), writer.code


def _query(rng: np.random.Generator) -> str:
    parts = {name: options[rng.integers(len(options))] for name, options in lexicon.DETAILS.items()}
    opening = lexicon.OPENINGS[rng.integers(len(lexicon.OPENINGS))].format(**parts)
    return f"{opening}. {lexicon.ASKS[rng.integers(len(lexicon.ASKS))]}"


def _signal(
    kind: str, loadings: np.ndarray, lengths: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return what the labels hold beside noise, on the scale of labels."""
    if kind == "true":
        return LABEL * loadings
    size = LABEL * _within_sd(loadings, groups)
    if kind == "random":
        return latent(len(loadings), rng) * size
    if kind == "query":
        return latent(int(groups.max()) + 1, rng)[groups] * size
    if kind == "length":
        sign = np.where(rng.random(10) < 0.5, -1.0, 1.0)
        return ((lengths - lengths.mean()) / lengths.std())[:, None] * sign * size
    raise InputError(f"labels {kind!r}", where="organism items", expected="true, random, query or length")


def _within_sd(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return standard deviations within queries, as of a population."""
    means = np.stack([x[groups == g].mean(axis=0) for g in range(groups.max() + 1)])
    return (x - means[groups]).std(axis=0) * math.sqrt(_RESPONSES / (_RESPONSES - 1))


@dataclass(frozen=True)
class Speaker:
    """A persona: a system prompt and the profile it gives.

    Args:
        id: Unique among those drawn.
        text: System prompt.
        profile: What it gives the model, profile units, in the order of `SCHWARTZ`.
    """

    id: str
    text: str
    profile: tuple[float, ...]


def speakers(
    n: int, *, seed: int, gain: float, half: str = "AB", codes: Sequence[Sequence[float]] | None = None
) -> tuple[Speaker, ...]:
    """Draw persona system prompts with known profiles.

    Args:
        n: How many.
        seed: Seed of everything drawn.
        gain: Profile units per mean code, from the truth card.
        half: Which key words.
        codes: Per value what its key words load on; itself when None.
    """
    rng = np.random.default_rng((seed, 5))
    pools = [[p for p in lexicon.phrases() if p.value == value and p.half in half] for value in SCHWARTZ]
    table = CODES if codes is None else np.asarray(codes, dtype=np.float64)
    out = []
    for number, want in enumerate(latent(n, rng) * _SHARPNESS, start=1):
        writer = _Writer(want, pools, rng)
        sentences = [lexicon.PERSONA[0].format(who=lexicon.WHO[rng.integers(len(lexicon.WHO))])]
        for _ in range(rng.integers(3, 7)):
            sign = int(rng.random() < 0.4)
            sentences.append(writer.sentence(lexicon.PERSONA[1 + sign], {"x": (1.0, -1.0)[sign]}))
        out.append(Speaker(f"s{number:03d}", " ".join(sentences), tuple(float(x) for x in gain * writer.code @ table)))
    return tuple(out)
