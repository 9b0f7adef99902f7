"""Write the page, its figures and the copies of the tables."""

from __future__ import annotations

from pathlib import Path

from vprobe.errors import StoreError
from vprobe.report import grids, pages
from vprobe.report import ladder as climbed
from vprobe.report.findings import findings
from vprobe.report.ladder import Ladder
from vprobe.report.parts import Section
from vprobe.report.sections import build
from vprobe.report.style import Drawing
from vprobe.report.tables import Tables, frames, read


def write(folder: Path, *, ladder: Ladder | None = None) -> Path:
    """Make `report.html`, `figures/` and `tables/` from a run folder; the same tables give the same bytes.

    Args:
        folder: A run folder; any of its tables may be missing.
        ladder: How far its values climb; left out when None.

    Returns:
        The page, which needs no other file and no network.

    Raises:
        StoreError: Not a run folder, a damaged table, or the folder cannot be written to.
    """
    folder = Path(folder)
    tables = read(folder)
    sections = build(tables)
    if ladder is not None:
        after = next((i for i, one in enumerate(sections) if one.key == "claims"), -1) + 1
        sections = (*sections[:after], climbed.section(ladder), *sections[after:])
    drawings = [panel.drawing for section in sections for panel in section.panels]
    try:
        _write_figures(folder / "figures", drawings)
        copies = _write_tables(folder, tables)
        page = folder / "report.html"
        _replace(page, render(tables, sections, copies).encode("utf-8"))
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror or error})",
            where=str(folder),
            do="free some space or check the folder's permissions, then run `vprobe report` again",
        ) from None
    return page


def render(tables: Tables, sections: tuple[Section, ...], copies: tuple[str, ...]) -> str:
    """Return the page as text.

    Args:
        tables: What the headline is made from.
        sections: What follows it.
        copies: Paths of the CSV copies, relative to the page.
    """
    return pages.template("report.html.j2").render(
        info=tables.info,
        findings=findings(tables),
        claims=bool(tables.claims),
        truth=bool(tables.truth.rows),
        use=grids.use(tables),
        cannot_probe=tables.cannot_probe,
        sections=sections,
        copies=copies,
    )


def _write_figures(folder: Path, drawings: list[Drawing]) -> None:
    names = set()
    for drawing in drawings:
        for ending, data in (("svg", drawing.svg), ("png", drawing.png)):
            names.add(f"{drawing.name}.{ending}")
            _replace(folder / f"{drawing.name}.{ending}", data)
    _forget(folder, names, ("svg", "png"))


def _write_tables(folder: Path, tables: Tables) -> tuple[str, ...]:
    names = []
    for name, frame in frames(folder, tables):
        names.append(f"{name}.csv")
        _replace(folder / "tables" / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode("utf-8"))
    _forget(folder / "tables", set(names), ("csv",))
    return tuple(f"tables/{name}" for name in names)


def _forget(folder: Path, names: set[str], endings: tuple[str, ...]) -> None:
    """Remove what an earlier report left and this one did not make, so that page and folder agree."""
    for path in sorted(folder.glob("*")):
        if path.name not in names and path.suffix[1:] in endings:
            path.unlink()


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    part.write_bytes(data)
    part.replace(path)
