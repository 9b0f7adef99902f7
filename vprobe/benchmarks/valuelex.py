"""ValueLex: our own 96 sentence stems to be completed, 16 for each of the six ValueLex sub-dimensions.

A stem sets a scene of its sub-dimension's kind, such as being at work or among others, and leaves open what matters in
it: it holds none of the words that are scored. Sub-dimensions have stems of their own, so that their scores rest on
different answers. The stems are ours; the published ones are neither open nor licensed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vprobe import values as words
from vprobe.benchmarks._pinned import DataSet
from vprobe.errors import InputError
from vprobe.types import Benchmark, Item, Template

DATA = DataSet(
    name="valuelex",
    what="96 sentence stems to be completed, 16 per ValueLex sub-dimension, by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Sentence stems, shipped with vprobe; names of the sub-dimensions after Biedma et al. "
    "(2024), arXiv 2404.12744.",
    shipped=Path(__file__).with_name("valuelex_stems.json"),
)
FORM = "stem"
"""The beginning of a sentence, which the model is to complete."""
_WORDINGS = (
    ("v1", "Complete the sentence with one word: {text}"),
    ("v2", "Complete the sentence with at most 20 words: {text}"),
)


@dataclass(frozen=True)
class ScoredStem:
    """The beginning of a sentence, and the sub-dimension its completion is scored on.

    Args:
        id: Unique among the stems.
        sub: One of `values.VALUELEX_SUB`.
        text: The beginning, without a stop.

    Raises:
        InputError: An unknown sub-dimension, or a text that does not end in a letter.
    """

    id: str
    sub: str
    text: str

    def __post_init__(self) -> None:
        where = f"stem {self.id}"
        if self.sub not in words.VALUELEX_SUB:
            raise InputError(f"sub-dimension {self.sub!r}", where=where, expected=" or ".join(words.VALUELEX_SUB))
        if not self.text or not self.text[-1].isalpha():
            raise InputError(f"{self.text!r}", where=where, expected="words without a stop or space at the end")


def stems() -> tuple[ScoredStem, ...]:
    """Return the stems in the order of the file: each six in a row are of six sub-dimensions."""
    found = json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["stems"]
    return tuple(ScoredStem(one["id"], one["sub"], one["text"]) for one in found)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load our own stems; they ship with vprobe, so there is nothing to download.

    A stem has no response but the model's own, and no loadings: what an answer says is known once it is scored.

    Args:
        folder: Not used: the stems are part of the package.
        limit: Keep only this many stems; any multiple of six has as many of each sub-dimension. None keeps all.
    """
    return Benchmark(
        name=DATA.name,
        items=tuple(
            Item(id=one.id, group=one.id, source=one.sub, form=FORM, text=one.text, response="", licence=DATA.licence)
            for one in stems()[:limit]
        ),
        templates=tuple(Template(name, FORM, text, ()) for name, text in _WORDINGS),
        values=words.VALUELEX_SUB,
        reliability=(),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="none: what a completion says is scored, see `vprobe.scoring`",
    )
