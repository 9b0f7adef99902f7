"""Lexicons as JSON files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vprobe.errors import READABLE, WRITABLE, InputError, reason
from vprobe.lexicon._records import Factor, Lexicon, Parallel, Stability, TaxonomyFit, Term

FORMAT = "vprobe lexicon 1"
LEXICON = "a JSON file written by `vprobe lexicon build`"


def save(lexicon: Lexicon, path: Path) -> None:
    """Write a lexicon as JSON; numbers that do not exist are null.

    Args:
        lexicon: What to write.
        path: The file; its folder must exist.

    Raises:
        InputError: The file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **_plain(asdict(lexicon))}, ensure_ascii=False, indent=1)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", where=str(path), do=WRITABLE) from None


def read(path: Path) -> Lexicon:
    """Read a lexicon written by `save`.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or is no lexicon.
    """
    try:
        it = json.loads(path.read_text(encoding="utf-8"))
        if it.pop("format") != FORMAT:
            raise KeyError("format")
        terms = tuple(_term(one) for one in it.pop("terms"))
        factors = tuple(_factor(one) for one in it.pop("factors"))
        return Lexicon(
            terms=terms,
            factors=factors,
            loadings=_array(it.pop("loadings")).reshape(len(terms), len(factors)),
            correlations=_array(it.pop("correlations")).reshape(len(factors), len(factors)),
            parallel=_parallel(it.pop("parallel")),
            stability=None if (found := it.pop("stability")) is None else Stability(**found),
            taxonomy=_taxonomy(it.pop("taxonomy")),
            dimensions_p=_number(it.pop("dimensions_p")),
            **it,
        )
    except OSError as error:
        raise InputError(f"cannot be read: {reason(error)}", where=str(path), expected=LEXICON, do=READABLE) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no lexicon: {error}", where=str(path), expected=LEXICON) from None


def _term(it: dict[str, Any]) -> Term:
    return Term(it["word"], tuple(it["forms"]), it["share"], it["n_models"], it["factor"], it["sub"])


def _factor(it: dict[str, Any]) -> Factor:
    return Factor(it["name"], tuple(it["words"]), it["dimension"], _number(it["phi"]), _number(it["phi_low"]))


def _parallel(it: dict[str, Any] | None) -> Parallel | None:
    if it is None:
        return None
    return Parallel(_array(it["observed"]), _array(it["chance"]), it["n"], it["p"], it["draws"])


def _taxonomy(it: dict[str, Any] | None) -> TaxonomyFit | None:
    if it is None:
        return None
    arrays: dict[str, Any] = {"phi": _array(it["phi"]), "groups": tuple(it["groups"])}
    numbers = {name: _number(it[name]) for name in ("ari_dimension", "ari_dimension_p")}
    return TaxonomyFit(**{**it, **arrays, **numbers})


def _number(cell: float | None) -> float:
    return math.nan if cell is None else cell


def _array(cells: Any) -> np.ndarray:
    return np.array(cells, dtype=np.float64)


def _plain(it: Any) -> Any:
    """Turn arrays into lists and NaN into null, all the way down."""
    if isinstance(it, dict):
        return {name: _plain(one) for name, one in it.items()}
    if isinstance(it, (list, tuple, np.ndarray)):
        return [_plain(one) for one in it]
    if isinstance(it, (float, np.floating)):
        return float(it) if math.isfinite(it) else None
    return int(it) if isinstance(it, np.integer) else it
