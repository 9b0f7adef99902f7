"""The report says what may be said and what is refused, and shows the truth beside every estimate where it is known."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from vprobe import report, scores, store
from vprobe import values as words
from vprobe.report import truth as true
from vprobe.report.style import title
from vprobe.types import (
    Agreement,
    Benchmark,
    ClaimRow,
    ConditionRow,
    Direction,
    DoseRow,
    ProfileRow,
    Response,
    Site,
    TruthRow,
)

from tests import test_report as base

NAN = math.nan
VALUES = words.SCHWARTZ[:3]
METHODS = ("partial", "covariance")
STRENGTHS = (-0.5, -0.25, 0.0, 0.25, 0.5)
DIAMOND = "\N{WHITE DIAMOND}"
LEAK = "query leak: 81% of the labels' variance lies between queries; folds that divide queries would give r = 0.74"
LENGTH = "length of the text explains it: r = 0.41 is 0.02 beyond them (family p = 0.812)"
NOT_CAUSAL = "decodable, not causal: ratings follow the label by 0.020 points per SD (p = 0.700)"


def claim(
    name: str, value: str, reason: str = "", *, estimate: float = 0.4, p: float = 0.0004, n: int = 520
) -> ClaimRow:
    """Return a claim that stands when there is no reason against it."""
    draws = 0 if name == "unique" else 2000
    p = NAN if name == "unique" else p
    return ClaimRow(
        name, value, not reason, reason, f"statistic of {name}", estimate, p, 0.001, draws, n, "partial", "resid_post.1"
    )


def claims() -> list[ClaimRow]:
    """Return claims of every kind: read, read but not beyond text, not read; circle and one causal claim refused."""
    power, achievement, hedonism = VALUES
    return [
        claim("decodable", power, estimate=0.52),
        claim("decodable", achievement, estimate=0.41),
        claim("decodable", hedonism, LEAK, estimate=0.02, p=0.9),
        claim("beyond text", power, estimate=0.5),
        claim("beyond text", achievement, LENGTH, estimate=0.02, p=0.812),
        claim("beyond text", hedonism, LENGTH, estimate=0.01, p=0.9),
        *(claim("unique", value, estimate=1.2) for value in VALUES),
        claim("dimensions", "all", "labels and activations share 2 dimensions, not 3", estimate=2.0, p=0.3),
        claim("circle", "all", "inherited from correlations between labels", estimate=-0.05, p=0.717),
        claim("agrees", "all", estimate=0.94, n=48),
        claim("causal", power, estimate=0.3, n=60),
        claim("causal", achievement, NOT_CAUSAL, estimate=0.02, p=0.7, n=60),
    ]


def conditions(n: int = 6) -> list[ConditionRow]:
    rng = np.random.default_rng(8)
    rows = []
    for i in range(n):
        for value in VALUES:
            at = float(rng.normal())
            rows.append(
                ConditionRow(
                    f"s{i}", value, at + 0.1, 2 * at - 0.3 + float(rng.normal()), 60, "partial", "resid_post.1"
                )
            )
    return rows


def over_conditions() -> list[Agreement]:
    rows = []
    for place, value in enumerate((*VALUES, "all")):
        r = 0.94 if value == "all" else 0.9 - 0.1 * place
        family = NAN if value == "all" else 0.0005
        rows.append(
            Agreement("condition", "probe~behavior", value, "r over conditions", r, r - 0.1, r + 0.05, 0.001, -0.3,
                      0.31, 0.0005, NAN, 6, 1, 6, p_family=family, site="resid_post.1", method="partial", note="null")
        )  # fmt: skip
    return rows


def truths(items: tuple[str, ...]) -> list[TruthRow]:
    rows = [TruthRow("rating", "", item, 2.0 + 0.01 * i, "rating points") for i, item in enumerate(items)]
    for place, value in enumerate(VALUES):
        for step, name in enumerate(("probe~label", "rating~label", "probe~rating", "profile rating", "profile probe")):
            rows.append(TruthRow(name, value, "", round(0.311 + 0.1 * step + 0.01 * place, 3), "r"))
        for i in range(6):
            rows.append(TruthRow("condition", value, f"s{i}", float((i + place) % 4), "profile units"))
        for strength in STRENGTHS:
            if strength:
                rows.append(TruthRow("dose", value, f"{strength:g}", 0.7 * strength + 0.001 * place, "points"))
        for step, method in enumerate(METHODS):
            rows.append(TruthRow("cosine", value, method, 0.961 - 0.1 * step + 0.001 * place, "cosine"))
        rows.append(TruthRow("cosine expected", value, "partial", 0.972 + 0.001 * place, "cosine"))
    return rows


def answers(data: Benchmark) -> list[Response]:
    """Return two answers per item, both versions of the question, with ratings that rise with the item's place."""
    out = []
    for i, item in enumerate(data.items):
        for version in ("v1", "v1_reversed"):
            odds = (-0.2 - 0.1 * i, -2.0)
            out.append(Response(f"{item.id}/{version}", item.id, item.group, item.source, version, (1.0, 6.0), odds))
    return out


def make(folder: Path) -> Path:
    """Write the run of a planted model with every table."""
    base.make(folder, values=VALUES, methods=METHODS, layers=2, groups=4, steered=VALUES)
    store.save_rows(folder, "claims", claims())
    store.save_rows(folder, "conditions", conditions())
    store.save_rows(folder, "agreement", [*store.load_rows(folder, "agreement", Agreement), *over_conditions()])
    store.save_rows(folder, "truth", truths(tuple(item.id for item in store.load_items(folder).items)))
    store.save_responses(folder, answers(store.load_items(folder)))
    vector, site = np.eye(4, dtype=np.float32)[0], Site(1, "resid_post")
    kinds = tuple(zip(METHODS, ("partial", "marginal"), strict=True))
    store.save_directions(
        folder, [Direction(vector, site, value, name, "write", kind) for value in VALUES for name, kind in kinds]
    )
    return folder


def page_of(folder: Path) -> base.Page:
    return base.Page(report.write(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    folder = make(tmp_path_factory.mktemp("planted"))
    report.write(folder)
    return folder


@pytest.fixture(scope="module")
def page(planted: Path) -> base.Page:
    return base.Page((planted / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("plain")
    base.make(folder, values=VALUES, methods=METHODS, layers=2, groups=4, steered=VALUES)
    return report.write(folder).read_text(encoding="utf-8")


def findings(page: base.Page) -> str:
    """Return what the headline says, as text."""
    return page.text.split("Headline", 2)[2].split("Items used and skipped")[0]


def test_a_run_without_the_new_tables_has_nothing_of_them(plain: str) -> None:
    text = base.Page(plain).text
    for absent in ("What may be said", "Across conditions", "values were planted", "Truth", DIAMOND, "refused"):
        assert absent not in text
    assert "<!-- truth -->" not in plain and "Every claim stands with its estimate" in text
    assert "Decodable above the permutation null" in text


def test_the_new_sections_stand_where_they_belong(planted: Path) -> None:
    html = (planted / "report.html").read_text(encoding="utf-8")
    found = [one.replace("&#39;", "'") for one in re.findall(r"<h2>(.*?)</h2>", html)]
    wanted = list(base.HEADINGS)
    wanted.insert(1, "What may be said")
    wanted.insert(wanted.index("Agreement") + 1, "Across conditions")
    assert found == wanted
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_top_of_the_page_says_that_values_were_planted(page: base.Page) -> None:
    assert "values were planted, so the truth is shown beside each estimate" in page.text.split("Headline", 2)[1]


def test_each_kind_of_claim_has_one_line_with_how_many_stand(page: base.Page) -> None:
    lines = {line[0]: line[1:] for line in page.table("stands for", "permutations")}
    assert lines["decodable"][:6] == ["2 of 3 values", ".02 to .52", "< .001 to .900", ".001", "2,000", "520"]
    assert lines["beyond text"][0] == "1 of 3 values" and lines["causal"][0] == "1 of 2 values"
    assert lines["unique"][:5] == ["3 of 3 values", "1.20", "n/a", "n/a", "none"]
    assert (
        lines["circle"][0] == "refused"
        and lines["agrees"][0] == "stands"
        and lines["dimensions"][:2] == ["refused", "2"]
    )
    assert "(statistic of causal)" in lines["causal"][-1] and len(lines) == 7


def test_every_refused_claim_has_its_value_and_full_reason(page: base.Page) -> None:
    shown = [(line[0], line[1], line[-1]) for line in page.table("why it is refused")]
    assert shown == [(c.claim, title(c.value), c.reason) for c in claims() if not c.made]
    everything = page.table("why not", "permutations")
    assert [(line[0], line[1], line[2] == "stands") for line in everything] == [
        (c.claim, title(c.value), c.made) for c in claims()
    ]


def test_the_headline_says_first_what_is_decodable_but_not_beyond_the_text(page: base.Page) -> None:
    said = findings(page)
    first = said.index("Decodable, but not shown beyond words and length of the text: Achievement.")
    second = said.index("Decodable, also beyond words and length of the text: Power.")
    third = said.index("Not shown to be decodable: Hedonism.")
    assert first < second < third
    assert LENGTH in said[first:second] and LEAK in said[third:]
    assert "Beyond words and length, r is .50." in said[second:third]


def test_the_headline_says_what_stands_and_why_the_rest_is_refused(page: base.Page) -> None:
    said = findings(page)
    for sentence in (
        "Labels that can be told apart from the other values' labels: all 3 values.",
        "As many dimensions as values may not be claimed. statistic",
        "That the values lie on a circle may not be claimed.",
        "Over conditions, what is read inside moves with what the model does.",
        "1 of 2 stand Adding the value's direction moves the ratings with its labels: Power. "
        "Not shown to be causal: Achievement.",
        f"Achievement: {NOT_CAUSAL}.",
        "Why: inherited from correlations between labels.",
    ):
        assert sentence in said
    assert "Decodable above the permutation null" not in said and "every null draw" not in said
    assert "go with the model's own ratings" in said and "follow the labels" in said


def test_a_claim_is_set_beside_the_row_with_the_same_estimate_and_no_other(planted: Path, tmp_path: Path) -> None:
    rows = store.load_rows(make(tmp_path), "agreement", Agreement)
    same = next(
        r
        for r in rows
        if (r.comparison, r.value, r.site, r.method) == ("probe~label", "power", "resid_post.1", "partial")
    )
    made = [dataclasses.replace(c, estimate=same.estimate) if c.claim == "decodable" else c for c in claims()]
    store.save_rows(tmp_path, "claims", made)
    facts = {line[0]: line[1:] for line in page_of(tmp_path).table("statistic of decodable", "ceiling", "alpha")}
    assert [base.number(x) for x in facts["Power, partial at resid_post.1"][1].strip("[]").split(", ")] == [
        round(same.low, 2), round(same.high, 2)
    ]  # fmt: skip
    told = base.Page((planted / "report.html").read_text("utf-8"))
    assert not told.table("statistic of decodable", "ceiling") and told.table("statistic of agrees", "ceiling")


def test_without_a_test_of_the_text_that_is_said(tmp_path: Path) -> None:
    store.save_info(tmp_path, base.info(), "extract")
    store.save_rows(tmp_path, "claims", [claim("decodable", value) for value in VALUES])
    said = findings(page_of(tmp_path))
    assert "stands Decodable: all 3 values." in said
    assert "Whether it is read beyond words and length of the text was not tested." in said


def test_when_everything_stands_nothing_is_called_refused(tmp_path: Path) -> None:
    store.save_info(tmp_path, base.info(), "extract")
    both = [claim(name, value) for name in ("decodable", "beyond text") for value in VALUES]
    store.save_rows(tmp_path, "claims", both)
    page = page_of(tmp_path)
    assert "Decodable, also beyond words and length of the text: all 3 values." in page.text
    assert "No claim is refused." in page.text and not page.table("why it is refused")


def test_a_claim_of_a_kind_the_report_does_not_know_is_shown_all_the_same(tmp_path: Path) -> None:
    store.save_info(tmp_path, base.info(), "extract")
    store.save_rows(tmp_path, "claims", [claim("humble", "power", "too proud", estimate=NAN, p=NAN)])
    page = page_of(tmp_path)
    assert "refused Refused, humble: Power." in page.text
    assert page.table("why it is refused") == [["humble", "Power", "n/a", "n/a", "520", "too proud"]]


def test_agreement_over_conditions_is_shown_once_to_the_last_digit(page: base.Page) -> None:
    shown = page.table("conditions", "left out")
    assert [line[0] for line in shown] == [*(words.title(v) for v in VALUES), "All values"]
    for line, row in zip(shown, over_conditions(), strict=True):
        assert base.number(line[1]) == round(row.estimate, 3) and line[7:9] == ["6", "1"]
        assert [base.number(x) for x in line[2].strip("[]").split(", ")] == [round(row.low, 3), round(row.high, 3)]
        assert line[4] == "[\N{MINUS SIGN}.300, .310]" and line[5] == ".001"
    assert "Condition level" not in page.text


def test_without_conditions_their_agreement_stays_in_the_agreement_section(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "conditions.parquet").unlink()
    text = page_of(tmp_path).text
    assert "Condition level, probe~behavior" in text and "Across conditions" not in text


def test_either_measure_is_correlated_with_the_planted_profiles(page: base.Page, planted: Path) -> None:
    known = {
        (t.value, t.subject): t.truth for t in store.load_rows(planted, "truth", TruthRow) if t.quantity == "condition"
    }
    shown = page.table("r of probe with\N{NO-BREAK SPACE}truth")
    assert len(shown) == len(VALUES)
    for line, value in zip(shown, VALUES, strict=True):
        mine = [row for row in conditions() if row.value == value]
        planted_ = [known[value, row.condition] for row in mine]
        for cell, side in zip(line[1:3], ("probe", "behavior"), strict=True):
            wanted = np.corrcoef([getattr(row, side) for row in mine], planted_)[0, 1]
            assert base.number(cell) == round(float(wanted), 3)


def test_directions_stand_beside_what_was_planted_and_say_what_they_are(page: base.Page) -> None:
    heads = [t[0] for t in page.tables if t and "expected of partial" in t[0]]
    assert heads == [["value", "partial", "expected of partial", "covariance (marginal)"]]
    assert page.table("expected of partial")[1] == ["Achievement", ".962", ".973", ".862"]


FIGURES = ("nested", "profile", "circumplex", "agreement", "ratings", "conditions", "dose")


@pytest.mark.parametrize("name", FIGURES)
def test_the_legend_of_every_figure_names_the_truth(name: str, planted: Path) -> None:
    svg = (planted / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert re.search(r"<!-- truth\b.*-->", svg)


def test_the_heat_map_has_a_column_of_truth(planted: Path) -> None:
    svg = (planted / "figures" / "heatmap.svg").read_text(encoding="utf-8")
    assert svg.count(f"<!-- {DIAMOND} truth -->") == len(METHODS)
    for row in store.load_rows(planted, "truth", TruthRow):
        if row.quantity == "probe~label":
            assert svg.count(f"<!-- {row.truth:.2f} -->".replace("0.", ".")) >= len(METHODS)


def test_the_conditions_figure_writes_the_truth_into_every_panel(planted: Path) -> None:
    svg = (planted / "figures" / "conditions.svg").read_text(encoding="utf-8")
    assert svg.count(f"<!-- {DIAMOND} probe ") == len(VALUES)


@pytest.fixture(scope="module")
def marks(tmp_path_factory) -> list[tuple[float, float]]:
    """Where a report put its marks, in the units of the axes, known ones only."""
    found, draw = [], true.mark

    def spy(axes, x: float, y: float) -> None:
        if math.isfinite(x) and math.isfinite(y):
            found.append((x, y))
        draw(axes, x, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(true, "mark", spy)
        report.write(make(tmp_path_factory.mktemp("spied")))
    return found


@pytest.mark.parametrize(
    ("quantity", "times"),
    [("probe~label", 2), ("rating~label", 1), ("probe~rating", 2), ("profile rating", 1), ("profile probe", 1)],
)
def test_every_truth_is_marked_in_every_panel_of_its_estimate(quantity: str, times: int, marks, planted: Path) -> None:
    across = [x for x, _ in marks]
    for row in store.load_rows(planted, "truth", TruthRow):
        if row.quantity == quantity:
            assert across.count(row.truth) == times


def test_every_dose_has_its_truth_and_the_baseline_none(marks, planted: Path) -> None:
    doses = [row for row in store.load_rows(planted, "truth", TruthRow) if row.quantity == "dose"]
    for row in doses:
        assert (float(row.subject), row.truth) in marks
    assert all(x != 0.0 for x, y in marks if y in {row.truth for row in doses})


def test_the_circle_marks_each_truth_at_its_angle_on_one_scale(marks, planted: Path) -> None:
    known = {(r.quantity, r.value): r.truth for r in store.load_rows(planted, "truth", TruthRow)}
    truth, radius = [], []
    for value in VALUES:
        turn = math.radians(words.angle(value))
        far = sorted(math.hypot(x, y) for x, y in marks if on_ray(x, y, turn))
        truth += [known["profile rating", value], known["profile probe", value]]
        radius += far
        assert truth[-2] < truth[-1] and len(far) == 2
    slope, start = np.polyfit(truth, radius, 1)
    assert slope > 0 and np.allclose(start + slope * np.array(truth), radius)


def on_ray(x: float, y: float, turn: float) -> bool:
    """Whether a mark lies in the circle on the ray at this angle, clockwise from the top."""
    far = math.hypot(x, y)
    return (
        0 < far < 1 and math.isclose(x, far * math.sin(turn), abs_tol=1e-9) and y == pytest.approx(far * math.cos(turn))
    )


def test_ratings_are_drawn_beside_the_planted_ones(page: base.Page, planted: Path) -> None:
    answered = store.load_rows(planted, "responses", Response)
    items = tuple(dict.fromkeys(one.item_id for one in answered))
    known = {r.subject: r.truth for r in store.load_rows(planted, "truth", TruthRow) if r.quantity == "rating"}
    rated = scores.rate(answered, items).expected
    assert f"each of {len(items)} responses" in page.text
    wanted = f"{np.corrcoef(rated, [known[i] for i in items])[0, 1]:.3f}".replace("0.", ".")
    assert wanted != "1.000" and f"calls for: r = {wanted}." in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_map_says_that_it_can_have_no_truth(page: base.Page) -> None:
    assert "No truth is drawn here" in page.text


def test_a_truth_that_is_not_known_is_left_out_and_never_zero(tmp_path: Path) -> None:
    make(tmp_path)
    kept = [
        dataclasses.replace(row, truth=NAN) if row.value == "power" else row
        for row in store.load_rows(tmp_path, "truth", TruthRow)
        if row.quantity in ("probe~label", "cosine", "condition")
    ]
    store.save_rows(tmp_path, "truth", kept)
    page = page_of(tmp_path)
    assert "ratings.svg" not in {path.name for path in (tmp_path / "figures").iterdir()}
    assert page.table("covariance (marginal)")[0] == ["Achievement", ".962", ".862"]
    assert page.table("r of probe with\N{NO-BREAK SPACE}truth")[0] == ["Power", "n/a", "n/a", "n/a"]
    svg = (tmp_path / "figures" / "heatmap.svg").read_text(encoding="utf-8")
    assert svg.count("<!-- n/a -->") >= len(METHODS)
    assert "<!-- truth -->" not in (tmp_path / "figures" / "profile.svg").read_text(encoding="utf-8")


def test_what_no_row_tells_is_not_a_number_and_no_mark_is_made_of_it() -> None:
    known = true.Truth((TruthRow("dose", "power", "0.5", 0.2, "points"), TruthRow("cosine", "power", "ridge", NAN, "")))
    assert math.isnan(known.number("dose", "power", "0.25")) and known.number("dose", "power", "0.5") == 0.2
    assert known.knows("dose") and not known.knows("cosine") and not known.knows("rating")
    axes = Figure().subplots()
    true.mark(axes, NAN, 1.0)
    assert len(axes.lines) == 0
    true.mark(axes, 0.2, 1.0)
    assert len(axes.lines) == 1


@pytest.mark.parametrize(
    "name", ["agreement", "profile", "steering", "responses", "directions", "conditions", "claims", "truth"]
)
def test_any_one_table_of_a_planted_run_may_be_missing(name: str, tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / f"{name}.parquet").unlink()
    assert "nan" not in page_of(tmp_path).text.lower().replace("n/a", "").split()


def test_what_was_estimated_is_not_moved_by_what_is_true(planted: Path, plain: str) -> None:
    told = base.Page((planted / "report.html").read_text("utf-8"))
    for head in (("slope",), ("coefficient",)):
        assert told.table(*head) == base.Page(plain).table(*head)
    assert len(told.table("slope")) == len(store.load_rows(planted, "profile", ProfileRow))
    shown = [row for row in store.load_rows(planted, "steering", DoseRow) if row.arm in ("steered", "prompted")]
    assert len(told.table("coefficient")) == len(shown)
