"""Value Portrait: 520 responses to 104 real queries, each with its correlations to values over 41 to 48 human raters.

Source: Han et al. (2025), Value Portrait, ACL 2025, doi 10.18653/v1/2025.acl-long.838.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe import values as words
from vprobe.benchmarks._cache import require
from vprobe.benchmarks._pinned import (
    VALUE_PORTRAIT_COMMIT,
    VALUE_PORTRAIT_FILES,
    VALUE_PORTRAIT_URL,
    DataSet,
)
from vprobe.benchmarks._reliability import record, share
from vprobe.benchmarks._scale import LIKENESS
from vprobe.types import Benchmark, Item, Loading, Reliability, Template

DATA = DataSet(
    name="value-portrait",
    what="520 responses to 104 real queries, with human correlations to 10 Schwartz values, 4 higher-order values "
    "and 5 traits",
    licence="MIT (upstream repository); the LMSYS queries are under the LMSYS-Chat-1M licence agreement",
    citation="Han, Choi, Song, Lee and Jo (2025). Value Portrait: Assessing Language Models' Values through "
    "Psychometrically and Ecologically Valid Items. ACL 2025. https://doi.org/10.18653/v1/2025.acl-long.838",
    version=VALUE_PORTRAIT_COMMIT,
    url=VALUE_PORTRAIT_URL,
    files=VALUE_PORTRAIT_FILES,
)
VALUES = (*words.SCHWARTZ, *words.HIGHER_ORDER, *words.BIG_FIVE)
VERSIONS = ("v1", "v1_reversed", "v2", "v2_reversed", "v3", "v3_reversed")
_FORMS = (("scenario", "reddit_prompt.txt"), ("message", "sharegpt_prompt.txt"))
_SOURCES = {  # thousands of the query id: source, form, where the query's text came from
    1: ("Reddit", "scenario", "MIT; query from Scruples (Reddit)"),
    2: ("DearAbby", "scenario", "MIT; query from Dear Abby letters"),
    3: ("ShareGPT", "message", "MIT; query from ShareGPT (Apache-2.0)"),
    4: ("LMSYS", "message", "MIT; query under the LMSYS-Chat-1M licence agreement"),
}
_TAGGED = "data/query-response-tagged/query-response-tagged.json"
_SURVEY = "data/prolific/survey/main/survey.json"


@dataclass(frozen=True)
class _Cell:
    """The human side of one item: its rater group and the ratings, in the order of the group's raters."""

    block: int
    ratings: tuple[float, ...]


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the official items with all 19 loadings, the six wordings, and the reliability of the labels.

    The loadings are the published ones, to the last bit. Reliability always concerns all 520 items, whatever the limit.

    Args:
        folder: Folder with the files as upstream lays them out; the user's cache when None.
        limit: Keep only this many queries, whole and in file order; None keeps all.

    Raises:
        DataError: The files are missing or not the pinned version.
    """
    place = require(DATA, folder)
    cells = _cells(_json(place, _SURVEY))
    items = _items(_json(place, _TAGGED), _p_values(place), cells)
    kept = list(dict.fromkeys(item.group for item in items))[:limit]
    return Benchmark(
        name=DATA.name,
        items=tuple(item for item in items if item.group in set(kept)),
        templates=tuple(_template(place, version, form, file) for version in VERSIONS for form, file in _FORMS),
        values=VALUES,
        reliability=_reliability(items, cells),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="Spearman correlation, over 41 to 48 human raters, of how much a response is like them with their own "
        "score on the value (as published)",
    )


def _json(place: Path, path: str) -> Any:
    return json.loads((place / path).read_bytes())


def _cells(survey: list[dict[str, list[dict[str, Any]]]]) -> dict[str, _Cell]:
    """Collect each item's rater group and ratings; the raters of a group stand in one order throughout the file."""
    return {
        f"{query}-{answer['option_id']}": _Cell(block, tuple(float(rating) for rating, _ in answer["data"]))
        for block, group in enumerate(survey)
        for query, answers in group.items()
        for answer in answers
    }


def _p_values(place: Path) -> dict[tuple[str, str], float]:
    """Collect the published two-sided p by (item id, value)."""
    return {
        (f"{row['portrait_id']}-{row['option_id']}", words.find(row[f"{family}_dimension"])): row["spearman_p_value"]
        for family in ("pvq", "higher_pvq", "bfi")
        for row in _json(place, f"data/correlation_results/{family}_correlation_results.json")
    }


def _items(
    queries: list[dict[str, Any]], p_values: dict[tuple[str, str], float], cells: dict[str, _Cell]
) -> tuple[Item, ...]:
    out = []
    for query in queries:
        source, form, licence = _SOURCES[query["portrait_id"] // 1000]
        for answer in query["outputs"]:
            name = f"{query['portrait_id']}-{answer['id']}"
            r = {words.find(value): number for value, number in _correlations(answer)}
            out.append(
                Item(
                    id=name,
                    group=str(query["portrait_id"]),
                    source=source,
                    form=form,
                    title=query["content"]["title"] or "",  # chat messages have none
                    text=query["content"]["text"],
                    response=answer["content"],
                    block=str(cells[name].block),
                    loadings=tuple(Loading(value, r[value], p_values[name, value]) for value in VALUES),
                    n_raters=len(cells[name].ratings),
                    licence=licence,
                )
            )
    return tuple(out)


def _correlations(answer: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return itertools.chain(answer["correlations"], answer["higher_pvq_correlations"], answer["bfi_correlations"])


def _template(place: Path, version: str, form: str, file: str) -> Template:
    """Read one wording byte for byte; its answers are the lines that are a label, in the order shown."""
    text = (place / "lm_evaluation/prompts" / version / file).read_bytes().decode("utf-8")
    options = tuple(option for line in text.split("\n") for option in LIKENESS if option.label == line)
    return Template(version, form, text, options)


def _reliability(items: tuple[Item, ...], cells: dict[str, _Cell]) -> tuple[Reliability, ...]:
    """Measure all 19 values, for differences within queries and for labels as they are."""
    labels = np.array([[one.r for one in item.loadings] for item in items], dtype=np.float64)
    blocks = sorted({cell.block for cell in cells.values()})
    rows = [np.array([i for i, item in enumerate(items) if cells[item.id].block == block]) for block in blocks]
    ratings = [_ratings(items, index, cells) for index in rows]
    queries = np.unique([item.group for item in items], return_inverse=True)[1]
    out = []
    for within in (True, False):
        estimates = share(labels, ratings, rows, queries if within else np.zeros(len(items), dtype=np.int64))
        out += [record(value, float(estimate), within=within) for value, estimate in zip(VALUES, estimates)]
    return tuple(out)


def _ratings(items: tuple[Item, ...], index: np.ndarray, cells: dict[str, _Cell]) -> Float[np.ndarray, "item rater"]:
    return np.array([cells[items[i].id].ratings for i in index], dtype=np.float64)
