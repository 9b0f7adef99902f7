"""What all pages have in common: templates, colours and style."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from vprobe.report.style import PAGE_COLOURS

FOLDER = Path(__file__).parent / "templates"


def template(name: str) -> Template:
    """Return the template of a page that needs no other file; it holds the page's colours and style already.

    Args:
        name: File name in `templates/`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["inline"] = lambda drawing: Markup(drawing.inline)
    environment.globals["colours"] = PAGE_COLOURS
    environment.globals["style"] = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(name)
