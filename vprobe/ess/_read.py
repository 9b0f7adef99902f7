"""A European Social Survey file: twenty-one portraits, who answered them, and the survey's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from vprobe.benchmarks._pvq_keys import PVQ_21, mean, means, usable
from vprobe.errors import READABLE, InputError, nearest, reason
from vprobe.types import frozen_array
from vprobe.values import SCHWARTZ

if TYPE_CHECKING:
    import pandas as pd

PORTRAITS = (
    "ipcrtiv", "imprich", "ipeqopt", "ipshabt", "impsafe", "impdiff", "ipfrule",
    "ipudrst", "ipmodst", "ipgdtim", "impfree", "iphlppl", "ipsuces", "ipstrgv",
    "ipadvnt", "ipbhprp", "iprspot", "iplylfr", "impenv", "imptrad", "impfun",
)  # fmt: skip
"""Variables of the portraits 1 to 21; newer rounds put an a or b behind the name."""
MISSING = (7.0, 8.0, 9.0, 66.0, 77.0, 88.0, 99.0)
"""Refusal, don't know and no answer, in older and newer rounds."""
WEIGHTS = ("anweight", "pspwght")
"""Weights in the order they are looked for: analysis weight, then post-stratification weight."""


@dataclass(frozen=True)
class Axis:
    """A background question and the bands its answers fall into.

    Args:
        name: As in the demographic personas.
        column: Variable of the survey.
        levels: Names of the bands, as in the demographic personas.
        bands: Lowest and highest code of each; codes in none are missing.
    """

    name: str
    column: str
    levels: tuple[str, ...]
    bands: tuple[tuple[int, int], ...]


AXES = (
    Axis("gender", "gndr", ("woman", "man"), ((2, 2), (1, 1))),
    Axis("age", "agea", ("under_30", "30_to_44", "45_to_64", "65_and_over"), ((10, 29), (30, 44), (45, 64), (65, 123))),
    Axis("politics", "lrscale", ("left", "centre", "right"), ((0, 3), (4, 6), (7, 10))),
    Axis(
        "education",
        "eisced",
        ("lower_secondary", "upper_secondary", "vocational", "degree"),
        ((1, 2), (3, 4), (5, 5), (6, 7)),
    ),
)
"""Education is the ES-ISCED code; 55 (other) and 0 (not harmonised) are missing."""


@dataclass(frozen=True)
class Survey:
    """People's centred values and which bands they fall into.

    Args:
        values: Rating points above the person's mean over all 21 portraits, in the order of `SCHWARTZ`.
        level: Place of the person's band on each of `AXES`; -1 is not known.
        weight: Weight of each person; all 1 when the file has none.
        weighted_by: Name of the weight, empty when there is none.
        n_dropped: People left out: more than 5 portraits missing, or no positive weight.
        source: File it was read from.
    """

    values: Float[np.ndarray, "respondent 10"]
    level: Int[np.ndarray, "respondent axis"]
    weight: Float[np.ndarray, " respondent"]
    weighted_by: str
    n_dropped: int
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen_array(self.values, np.float64))
        object.__setattr__(self, "level", frozen_array(self.level, np.int64))
        object.__setattr__(self, "weight", frozen_array(self.weight, np.float64))


def read(path: Path, *, countries: tuple[str, ...] = ()) -> Survey:
    """Read a survey file and score its twenty-one portraits.

    The survey codes 1 for "very much like me", so ratings are turned round (7 - x) first. Then each value is the mean
    of its portraits less the person's mean over all portraits.

    Args:
        path: CSV with the survey's own variable names; other columns do not matter.
        countries: Keep only these, by the two letters of `cntry`; all when empty.

    Raises:
        InputError: Not a readable CSV, variables missing, codes that are none of the survey's, or nobody left.
    """
    found = _table(path)
    if countries:
        found = _of(found, countries, path)
    items = np.stack([_portrait(found, name, path) for name in PORTRAITS], axis=1)
    name = next((one for one in WEIGHTS if one in found), "")
    weight = _numbers(found, name, path) if name else np.ones(len(found))
    kept = usable(items) & (np.nan_to_num(weight) > 0)
    if not kept.any():
        raise InputError(
            "nobody answered enough portraits",
            where=str(path),
            expected="at most 5 of 21 missing, and a weight above 0",
        )
    centred = means(items, PVQ_21.broad) - mean(items)[:, None]
    level = np.stack([_level(found, axis, path) for axis in AXES], axis=1)
    order = [[scale.name for scale in PVQ_21.broad].index(value) for value in SCHWARTZ]
    return Survey(centred[kept][:, order], level[kept], weight[kept], name, int((~kept).sum()), str(path))


def _table(path: Path) -> pd.DataFrame:
    """Read the variables that are used, as text; variable names in any case."""
    import pandas as pd

    wanted = {one + end for one in PORTRAITS for end in ("", "a", "b")}
    wanted |= {axis.column for axis in AXES} | set(WEIGHTS) | {"cntry"}
    try:
        found = pd.read_csv(
            path, usecols=lambda name: str(name).strip().lower() in wanted, dtype=str, keep_default_na=False,
            encoding="utf-8-sig",
        )  # fmt: skip
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"cannot be read as a CSV table: {reason(error)}", where=str(path), expected="the survey's data as CSV",
            do=READABLE,
        ) from None  # fmt: skip
    found.columns = [str(name).strip().lower() for name in found.columns]
    twice = found.columns[found.columns.duplicated()]
    if len(twice):
        raise InputError(f"variable {twice[0]} stands twice", where=str(path), expected="each variable once")
    absent = [one for one in PORTRAITS if not {one, one + "a", one + "b"} & set(found.columns)]
    absent += [axis.column for axis in AXES if axis.column not in found]
    if absent or not len(found):
        raise InputError(
            f"no variable {', '.join(absent)}" if absent else "no rows",
            where=str(path),
            expected="the 21 portraits (ipcrtiv or ipcrtiva, ...), gndr, agea, lrscale and eisced, one row per person",
            do="export the survey with the Human Values Scale and the background questions as CSV",
        )
    return found


def _of(found: pd.DataFrame, countries: tuple[str, ...], path: Path) -> pd.DataFrame:
    if "cntry" not in found:
        raise InputError("no variable cntry", where=str(path), expected="countries to choose among")
    there = {str(one).strip().upper() for one in found["cntry"]}
    lost = [one for one in countries if one.upper() not in there]
    if lost:
        raise InputError(
            f"country {lost[0]!r}", where=str(path), expected="one of " + ", ".join(sorted(there)),
            do=f"did you mean {nearest(lost[0], there)!r}?" if nearest(lost[0], there) else "",
        )  # fmt: skip
    return found.loc[found["cntry"].str.strip().str.upper().isin([one.upper() for one in countries])]


def _portrait(found: pd.DataFrame, name: str, path: Path) -> Float[np.ndarray, " respondent"]:
    """Return the ratings of one portrait, 6 for most alike; of several variants the first that is answered."""
    out = np.full(len(found), np.nan)
    for column in (name, name + "a", name + "b"):
        if column not in found:
            continue
        codes = _numbers(found, column, path)
        codes = np.where(np.isin(codes, MISSING), np.nan, codes)
        wrong = np.flatnonzero(np.isfinite(codes) & ~np.isin(codes, np.arange(1.0, 7.0)))
        if len(wrong):
            raise InputError(
                f"code {codes[wrong[0]]:g} in variable {column}, {len(wrong)} times", where=str(path),
                expected="1 (very much like me) to 6 (not like me at all), 7, 8, 9, 66, 77, 88, 99 or nothing",
            )  # fmt: skip
        out = np.where(np.isfinite(out), out, 7.0 - codes)
    return out


def _numbers(found: pd.DataFrame, column: str, path: Path) -> Float[np.ndarray, " respondent"]:
    """Return a variable as numbers; a cell without anything is missing, any other text is refused."""
    import pandas as pd

    cells = found[column].str.strip()
    out = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(out) & ~np.asarray(cells.isin(["", ".", "NA", "NaN"])))
    if len(wrong):
        raise InputError(
            f"{cells.iloc[wrong[0]]!r} in variable {column}", where=str(path), expected="the survey's numeric codes",
            do="export codes, not their labels",
        )  # fmt: skip
    return out


def _level(found: pd.DataFrame, axis: Axis, path: Path) -> Int[np.ndarray, " respondent"]:
    """Return the band of each person on one axis, -1 where it is not known."""
    codes = _numbers(found, axis.column, path)
    out = np.full(len(codes), -1, np.int64)
    for place, (low, high) in enumerate(axis.bands):
        out[(codes >= low) & (codes <= high)] = place
    return out
