"""Write the page of a comparison of models, its figure and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from vprobe.compare import Comparison, EffectRow, FindingRow, LikenessRow, OwnRow, PairRow, Profiles
from vprobe.errors import StoreError
from vprobe.report import compared, pages
from vprobe.report.parts import Section


@dataclass(frozen=True)
class Copy:
    """A table of the comparison as a CSV file.

    Args:
        name: File name without its ending.
        text: The file.
    """

    name: str
    text: str


def copies(found: Comparison) -> tuple[Copy, ...]:
    """Return the comparison's tables as CSV.

    Args:
        found: The comparison.
    """
    table = found.table
    wide = pd.DataFrame(table.x, columns=list(table.values))
    for place, key in enumerate(("model", "family", "size", "stage")):
        wide.insert(place, key, [getattr(one, key) for one in table.models])
    wide.insert(4, "guessed", [" ".join(one.guessed) for one in table.models])
    parts = (
        ("effects", EffectRow, found.effects), ("findings", FindingRow, found.findings), ("own", OwnRow, found.own),
        ("pairs", PairRow, found.pairs), ("likeness", LikenessRow, found.likeness),
    )  # fmt: skip
    frames = [("profiles", wide)]
    for name, row, rows in parts:
        frames.append((name, pd.DataFrame([vars(one) for one in rows], columns=[one.name for one in fields(row)])))
    return tuple(Copy(name, frame.to_csv(index=False, lineterminator="\n")) for name, frame in frames)


def write(found: Comparison, folder: Path) -> Path:
    """Write `compared.html`, `figures/` and `tables/`; the same comparison gives the same bytes.

    Args:
        found: The comparison.
        folder: Where; made if it is not there.

    Returns:
        The page, which needs no other file and no network.

    Raises:
        StoreError: The folder cannot be written to.
    """
    parts, tables = compared.sections(found), copies(found)
    files = [(f"tables/{one.name}.csv", one.text.encode("utf-8")) for one in tables]
    for panel in parts[0].panels:
        at = f"figures/{panel.drawing.name}"
        files += [(f"{at}.svg", panel.drawing.svg), (f"{at}.png", panel.drawing.png)]
    page = render(found.table, parts, tuple(f"tables/{one.name}.csv" for one in tables))
    try:
        for name, data in (*files, ("compared.html", page.encode("utf-8"))):
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror or error})", where=str(folder),
            do="name a folder you may write to, or free some space",
        ) from None  # fmt: skip
    return Path(folder) / "compared.html"


def render(table: Profiles, parts: Sequence[Section], names: Sequence[str]) -> str:
    """Return the page as text.

    Args:
        table: The scores.
        parts: What stands on it.
        names: Paths of the CSV copies, relative to the page.
    """
    sort = [f"{table.kind.replace('_', '-')} scores", f"rule {table.rule}" if table.rule else "", table.readout]
    return pages.template("compared.html.j2").render(
        title=f"{len(table.models)} models on {table.instrument}, {table.family}",
        sub=", ".join(part for part in sort if part),
        sections=parts,
        copies=names,
    )
