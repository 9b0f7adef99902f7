"""Causal checks in the report and on cards: every number with its interval, its null vectors and n; nothing made up."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from vprobe import report, store, values
from vprobe.pipeline._vector_causal import causal as facts
from vprobe.report import causal, causal_figures, style
from vprobe.types import AblationRow, CardPart, CardTable, InterchangeRow, PositionRow
from vprobe.values import SCHWARTZ

from tests.test_report import Page, info

NAN = math.nan
ABLATED = AblationRow(
    "power", "partial", "resid_post.1", "response", 0.1, 0.412, 0.311, 0.513, 0.071, 0.97, 0.91, 0.99, 0.21, 0.52, 0.64,
    0.33, 0.64, True, 0.02, -0.03, 0.06, -0.011, 20, 8, 40, 2,
)  # fmt: skip
EXCHANGED = InterchangeRow(
    "power", "partial", "resid_post.1", "response", 0.245, 0.151, 0.314, 0.78, 0.282, 0.127, 0.389, 0.87, 0.54, 1.16,
    0.283, 0.128, 0.391, 0.273, 0.164, 0.355, 0.99, 0.134, True, "coordinate, whole activation and ablation agree", 15,
    12, 40, 2,
)  # fmt: skip
PLACED = PositionRow(
    "power", "partial", "add", "resid_post.1", "all", 0.03, 13.01, 2.45, 20.72, 1.0, 1.0, 1.0, -2.524, 40, 2
)
PLACES = (PLACED, replace(PLACED, positions="prompt", effect=9.1, low=1.1, high=15.2, of_all=0.7, of_all_low=0.6,
                          of_all_high=0.8))  # fmt: skip
EMPTY = replace(ABLATED, value="hedonism", removed=NAN, low=NAN, high=NAN, reach=NAN, beyond=False)


def run(folder: Path, **tables: tuple) -> Page:
    store.save_info(folder, info(), "extract")
    for name, rows in tables.items():
        store.save_rows(folder, name, rows)
    return Page(report.write(folder).read_text(encoding="utf-8"))


def test_a_run_with_causal_checks_has_a_section_of_them_with_null_interval_and_n(tmp_path: Path) -> None:
    page = run(tmp_path, ablations=(ABLATED, EMPTY), interchange=(EXCHANGED,), positions=PLACES)
    power, hedonism = page.table("share gone")
    assert power[4:11] == [".97", "[.91, .99]", ".21", ".52", ".64", ".33", "yes"] and power[-4:] == [
        "20",
        "8",
        "40",
        "2",
    ]
    assert hedonism[4] == hedonism[5] == "n/a"
    (power,) = page.table("of natural")
    assert power[1:3] == ["0.245", "[0.151, 0.314]"] and power[-6:-2] == [
        "0.134", "coordinate, whole activation and ablation agree", "15", "12"]  # fmt: skip
    assert [line[1:5] for line in page.table("share of all")] == [
        ["all", "0.030", "13.010", "[2.450, 20.720]"], ["prompt", "0.030", "9.100", "[1.100, 15.200]"]]  # fmt: skip
    assert "No null vectors are steered here" in page.text and "40 items under 8 personas" in page.text
    made = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"ablation", "exchange", "positions"} <= made


def test_a_run_without_them_has_no_such_section_and_one_table_is_enough(tmp_path: Path) -> None:
    html = (tmp_path / "none" / "report.html", tmp_path / "one" / "report.html")
    for path in html:
        path.parent.mkdir()
    run(html[0].parent)
    page = run(html[1].parent, ablations=(ABLATED,))
    assert 'id="causal"' not in html[0].read_text("utf-8") and 'id="causal"' in html[1].read_text("utf-8")
    assert page.table("share gone") and not (html[1].parent / "figures" / "exchange.svg").exists()


def test_directions_of_two_methods_are_drawn_apart(tmp_path: Path) -> None:
    run(tmp_path, ablations=(ABLATED, replace(ABLATED, method="mean_difference")))
    assert {path.stem for path in (tmp_path / "figures").glob("abl*.svg")} == {"ablation", "ablation-2"}


@pytest.mark.parametrize("n", [1, 10])
def test_figures_of_one_value_and_of_ten_say_how_many_there_are(n: int) -> None:
    some = SCHWARTZ[:n]
    drawn = (
        causal_figures.ablated([replace(ABLATED, value=one) for one in some]),
        causal_figures.exchanged([replace(EXCHANGED, value=one) for one in some]),
        causal_figures.placed([replace(row, value=one) for one in some for row in PLACES]),
    )
    told = "for 1 value" if n == 1 else "for 10 values"
    assert all(told in one.alt and "for 1 values" not in one.alt and one.alt.endswith(".") for one in drawn)
    assert [one.name for one in drawn] == ["ablation", "exchange", "positions"]


def test_an_interval_that_goes_far_below_zero_is_cut_and_keeps_the_rest_readable(monkeypatch) -> None:
    seen = []

    def finish(figure: Figure, name: str, alt: str) -> style.Drawing:
        seen.append(figure.axes[0])
        return style.Drawing(name, alt, b"", b"")

    monkeypatch.setattr(causal_figures.style, "finish", finish)
    causal_figures.ablated([replace(ABLATED, low=-44.0, beyond=False), replace(ABLATED, value="hedonism", low=-0.5)])
    causal_figures.ablated([ABLATED])
    arrows = [[tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "<"] for axes in seen]
    assert [len(one) for one in arrows] == [1, 0] and arrows[0][0][1] == 0
    assert seen[0].get_xlim() == pytest.approx((-1.0, 1.04)) and seen[1].get_xlim() == pytest.approx((-0.07, 1.04))


def part(key: str, **tables: tuple) -> CardPart:
    return CardPart(key, "", "", tuple(CardTable(name, rows, ()) for name, rows in tables.items()), (), ())


def test_a_card_says_what_they_found_beside_null_vectors_and_n() -> None:
    found = facts((part("causal", ablations=(ABLATED,), interchange=(EXCHANGED,)), part("positions", positions=PLACES)))
    gone, exchanged, prompt = found
    assert (gone.value, gone.low, gone.high, gone.n, gone.source) == (0.97, 0.91, 0.99, 40, "ablations")
    assert "null vectors take up to 0.64 (95 % of at least 20 a kind), it goes beyond" in gone.note
    assert (exchanged.value, exchanged.n) == (0.87, 40) and "null vectors reach 0.134 (95 % of 15)" in exchanged.note
    assert (prompt.value, prompt.low, prompt.high) == (0.7, 0.6, 0.8) and "no null vectors" in prompt.note
    (nothing,) = facts((part("causal", ablations=(EMPTY,)), part("positions")))
    assert math.isnan(nothing.value) and nothing.note.startswith("nothing to take away")
    assert facts((part("causal"), part("positions"))) == ()


def test_tables_of_a_card_are_those_of_the_report_without_the_name_of_the_value() -> None:
    for name, rows, of in (("ablations", (ABLATED,), causal.ablations), ("interchange", (EXCHANGED,), causal.exchanges),
                           ("positions", PLACES, causal.places)):  # fmt: skip
        ((caption, heads, cells),) = causal.LAYOUTS[name](rows)
        grid = of(rows)
        assert heads == grid.head[1:] and [(values.title("power"), *line) for line in cells] == list(grid.rows)
        assert all(len(line) == len(heads) for line in cells) and grid.notes[0] in caption
