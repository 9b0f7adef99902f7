"""The report shows exactly what the tables hold, says what is missing, and never changes between two writings."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from vprobe import report, store
from vprobe import values as words
from vprobe.errors import StoreError
from vprobe.report import style
from vprobe.types import (
    Agreement,
    Benchmark,
    Count,
    DoseRow,
    Item,
    Loading,
    MapPoint,
    ModelInfo,
    ProfileRow,
    Reliability,
    Response,
    RunInfo,
    ScoreRow,
)

NAN = math.nan
TRUE_R = dict(zip(words.SCHWARTZ, (0.22, 0.14, 0.05, 0.03, 0.18, 0.31, 0.26, 0.02, -0.02, 0.06), strict=True))
CEILING = dict(zip(words.SCHWARTZ, (0.61, 0.61, 0.51, 0.54, 0.58, 0.69, 0.63, 0.47, 0.48, NAN), strict=True))
SOURCES = ("Reddit", "Dear Abby", "LMSYS", "ShareGPT")
NASTY = '<script>alert("x")</script> & <b>bold</b>'


def benchmark(values: tuple[str, ...], groups: int, rng: np.random.Generator) -> Benchmark:
    items = []
    for i in range(groups * 5):
        own = tuple(Loading(v, float(np.clip(rng.normal(0, 0.18), -1, 1))) for v in values)
        response = (
            NASTY if i == 0 else f"I would talk to them about it first, calmly, and then decide what to do ({i})."
        )
        text = "My neighbour keeps parking in my space. What should I do?"
        items.append(
            Item(f"q{i // 5}-{i % 5}", f"q{i // 5}", SOURCES[i // 5 % 4], "scenario", text, response, loadings=own)
        )
    known = tuple(Reliability(v, CEILING.get(v, NAN) ** 2, CEILING.get(v, NAN), True) for v in values)
    labels = "Correlation of each response's rating with the raters' own values."
    return Benchmark("value-portrait", tuple(items), (), values, known, "MIT", "Han et al. (2025)", "ab" * 32, labels)


def row(
    value: str,
    r: float,
    rng: np.random.Generator,
    *,
    comparison: str = "probe~label",
    site: str = "",
    method: str = "",
    level: str = "item",
    statistic: str = "within-query r",
) -> Agreement:
    e = float(r + rng.normal(0, 0.025))
    high = 0.13 if level == "item" else 0.71
    p = max(1 / 501, 0.5 * math.erfc(e / (high / 1.96) / math.sqrt(2)))
    ceiling = CEILING.get(value, NAN) if "label" in comparison and level == "item" else NAN
    note = (
        "unmeasurable: label reliability 0.17; null: label rows shuffled jointly"
        if value == "security"
        else "null: label rows shuffled jointly"
    )
    return Agreement(
        level,
        comparison,
        value,
        statistic,
        e,
        e - 0.1,
        e + 0.1,
        0.001,
        -high,
        high,
        p,
        ceiling,
        348,
        172,
        70,
        p_family=min(1.0, p * 6) if level == "item" else NAN,
        site=site,
        method=method,
        note=note,
    )


def agreements(values: tuple[str, ...], layers: int, methods: tuple[str, ...], signal: float, rng: np.random.Generator):
    rows = []
    for method in methods:
        for value in values:
            peak = signal * TRUE_R.get(value, 0.1)
            for layer in range(layers):
                bump = math.exp(-(((layer - 0.6 * layers) / (0.35 * layers)) ** 2))
                rows.append(row(value, peak * bump, rng, site=f"resid_post.{layer}", method=method))
            rows.append(row(value, 0.8 * peak, rng, site="nested", method=method))
            rows.append(row(value, 0.7 * peak, rng, comparison="probe~rating", site="nested", method=method))
        rows.append(
            row("all", 0.75 * signal, rng, level="profile", statistic="profile r", site="nested", method=method)
        )
    rows += [row(v, 0.9 * signal * TRUE_R.get(v, 0.1), rng, comparison="rating~label") for v in values]
    return rows


def profiles(values: tuple[str, ...], signal: float, rng: np.random.Generator) -> list[ProfileRow]:
    rows = []
    for kind in ("rating", "probe"):
        for value in values:
            e = float(signal * (TRUE_R.get(value, 0.1) - 0.12) + rng.normal(0, 0.02))
            rows.append(ProfileRow(value, kind, e, e - 0.07, e + 0.07, 259, 261, "rating points per SD"))
    return rows


def doses(values: tuple[str, ...], signal: float, rng: np.random.Generator, draws: int = 10) -> list[DoseRow]:
    rows = []
    for value in values:
        for strength in (-0.5, -0.25, 0.0, 0.25, 0.5):
            arms = [("steered", 0), *(("shuffled", i) for i in range(draws)), *(("random", i) for i in range(draws))]
            for arm, draw in arms:
                own = signal * TRUE_R.get(value, 0.1) * strength if arm == "steered" else 0.0
                spread = {"steered": 0.004, "shuffled": 0.06, "random": 0.02}[arm]
                e = float(own + abs(strength) * rng.normal(0, spread))
                shift, mass = float(0.6 * strength + rng.normal(0, 0.03)), float(0.99 - 0.3 * strength**2)
                rows.append(
                    DoseRow(
                        value,
                        arm,
                        draw,
                        "resid_post.4",
                        "all",
                        strength,
                        11.3 * strength,
                        e,
                        e - 0.03,
                        e + 0.03,
                        shift,
                        mass,
                        60,
                        0,
                    )
                )
    return rows


def scores(data: Benchmark, rng: np.random.Generator) -> list[ScoreRow]:
    return [
        ScoreRow(i.id, i.group, v, "probe", "ridge", "nested", 9.0 if i.id == "q0-0" else float(rng.normal()), "SD")
        for v in data.values
        for i in data.items
    ]


def responses(data: Benchmark) -> list[Response]:
    return [
        Response(f"{i.id}/{v}", i.id, i.group, i.source, v, (1.0, 6.0), (-0.3, -1.9))
        for i in data.items
        if i.source != "ShareGPT"
        for v in ("v1", "v2")
    ]


def points(data: Benchmark, rng: np.random.Generator) -> list[MapPoint]:
    out = []
    for item in data.items:
        top = max(item.loadings, key=lambda one: abs(one.r))
        at = 2.5 * np.array([math.cos(len(top.value)), math.sin(len(top.value))]) + rng.normal(0, 1.6, 2)
        out.append(MapPoint(item.id, top.value, top.r, float(at[0]), float(at[1]), "resid_post.4"))
    return out


def info(left_out: tuple[Count, ...] = ()) -> RunInfo:
    model = ModelInfo("tinytalk-3m", "", "3f" * 32, "gpt_neo", 8, 128, 512, "float32", False)
    config = (
        ("model", "/home/someone/models/tinytalk-3m"),
        ("sites", ["resid_post:all"]),
        ("draws", 500),
        ("greedy", True),
        ("template", NASTY),
    )
    versions = (("numpy", "2.4.6"), ("torch", "2.13.0"))
    return RunInfo(
        config, "0.1.0", "0123456789abcdef+dirty", versions, model, 7, (("value-portrait", "ab" * 32),), left_out
    )


def counts(data: Benchmark) -> tuple[Count, ...]:
    n = {source: sum(i.source == source for i in data.items) for source in SOURCES}
    long = "longer than the model's context"
    return (
        Count("extract", long, "Reddit", 8, n["Reddit"]),
        Count("extract", long, "ShareGPT", n["ShareGPT"], n["ShareGPT"]),
        Count("rate", long, "ShareGPT", 6 * n["ShareGPT"], 6 * n["ShareGPT"]),
        Count("rate", "answer not parsed", "Reddit", 41, 6 * n["Reddit"]),
    )


def make(
    folder: Path,
    *,
    signal: float = 1.0,
    values: tuple[str, ...] = words.SCHWARTZ,
    layers: int = 8,
    methods: tuple[str, ...] = ("mean-difference", "covariance", "ridge"),
    steered: tuple[str, ...] | None = None,
    groups: int = 104,
) -> Path:
    """Write a run folder as a full pipeline would leave it."""
    rng = np.random.default_rng(3)
    data = benchmark(values, groups, rng)
    store.save_info(folder, info(counts(data)), "extract")
    store.save_items(folder, data)
    store.save_responses(folder, responses(data))
    store.save_rows(folder, "scores", scores(data, rng))
    store.save_rows(folder, "agreement", agreements(values, layers, methods, signal, rng))
    store.save_rows(folder, "profile", profiles(values, signal, rng))
    store.save_rows(folder, "steering", doses(values if steered is None else steered, signal, rng))
    store.save_rows(folder, "map", points(data, rng))
    return folder


def sparse(folder: Path) -> Path:
    """Write a run folder in which much is NaN or not there."""
    rng = np.random.default_rng(4)
    store.save_info(folder, info(), "extract")
    store.save_items(folder, benchmark(words.SCHWARTZ, 6, rng))
    rows = [row(v, 0.0, rng, site="nested", method="ridge") for v in words.SCHWARTZ[:4]]
    rows += [
        Agreement(
            "item",
            "probe~label",
            v,
            "within-query r",
            NAN,
            NAN,
            NAN,
            NAN,
            NAN,
            NAN,
            NAN,
            NAN,
            0,
            30,
            0,
            site="nested",
            method="ridge",
            note="no interval: no label",
        )
        for v in words.SCHWARTZ[4:]
    ]
    store.save_rows(folder, "agreement", rows)
    store.save_rows(
        folder,
        "profile",
        [
            ProfileRow("power", "rating", 0.2, NAN, NAN, 12, 18, "rating points per SD"),
            ProfileRow("security", "rating", NAN, NAN, NAN, 0, 30, "rating points per SD"),
        ],
    )
    return folder


class Page(HTMLParser):
    """Reads a page the way a browser does, as far as the tests need: texts, tables, tags, addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.said, self.tags, self.fetched = [], [], []
        self._cell = False
        self.feed(html)
        self.text = " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data", "srcset", "action")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self._cell = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.said.append(data)
        if self._cell:
            self.tables[-1][-1][-1] += data

    def table(self, *head: str) -> list[list[str]]:
        """Rows of the tables whose header holds these titles."""
        return [line for t in self.tables if t and set(head) <= set(t[0]) for line in t[1:]]


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    folder = make(
        tmp_path_factory.mktemp("full"),
        methods=("ridge", "covariance"),
        layers=5,
        groups=20,
        steered=("power", "universalism"),
    )
    report.write(folder)
    return folder


@pytest.fixture(scope="module")
def page(full: Path) -> Page:
    return Page((full / "report.html").read_text(encoding="utf-8"))


HEADINGS = (
    "Headline",
    "Where values can be read",
    "Value profile",
    "Profile on Schwartz's circle",
    "Agreement",
    "Steering dose-response",
    "Map of the responses",
    "Unscored and skipped",
    "Provenance",
)
FIGURES = ("heatmap", "nested", "profile", "circumplex", "agreement", "dose", "map")


def test_every_section_is_there_in_order_with_its_figure(full: Path) -> None:
    html = (full / "report.html").read_text(encoding="utf-8")
    found = [h.replace("&#39;", "'") for h in re.findall(r"<h2>(.*?)</h2>", html)]
    assert tuple(found) == HEADINGS
    assert {p.name for p in (full / "figures").iterdir()} == {f"{n}.{end}" for n in FIGURES for end in ("svg", "png")}
    assert html.count("<svg") == len(FIGURES) and "excuse" not in html.split("</style>")[1]


def test_a_bare_run_excuses_every_section_and_names_commands(tmp_path: Path) -> None:
    store.save_info(tmp_path, info(), "extract")
    page = Page(report.write(tmp_path).read_text(encoding="utf-8"))
    for words_ in (
        "No comparison of probes with labels",
        "value profile is not in this run",
        "No steering sweep",
        "No map",
    ):
        assert words_ in page.text
    for command in ("vprobe probe RUN", "vprobe agree RUN", "vprobe rate --model M", "vprobe steer sweep --model M"):
        assert command in page.text
    assert not list((tmp_path / "figures").glob("*")) and "svg" not in page.tags


@pytest.mark.parametrize("name", ["agreement", "profile", "steering", "map", "scores", "items", "responses"])
def test_any_one_table_may_be_missing(name: str, tmp_path: Path) -> None:
    make(tmp_path, methods=("ridge",), layers=2, groups=4, steered=("power",), values=words.SCHWARTZ[:3])
    for table in (name, "map", "profile") if name == "agreement" else (name,):
        (tmp_path / f"{table}.parquet").unlink()
    assert report.write(tmp_path).is_file()


def test_the_numbers_on_the_page_are_the_numbers_of_the_tables(full: Path, page: Page) -> None:
    rows = store.load_rows(full, "agreement", Agreement)
    shown = page.table("estimate", "null mean", "queries")
    assert len(shown) == len(rows)
    wanted = sorted(
        (words.title(r.value) if r.value != "all" else "All values", round(r.estimate, 3), r.n_scored) for r in rows
    )
    heads = {len(t[0]): t[0] for t in page.tables if t and "null mean" in t[0]}
    at = [(line, heads[len(line)]) for line in shown]
    got = sorted((l[0], number(l[h.index("estimate")]), int(l[h.index("scored")])) for l, h in at)  # noqa: E741
    assert got == wanted
    slopes = {(line[0], line[1]): number(line[2]) for line in page.table("slope")}
    assert slopes == {
        (words.title(r.value), r.kind): round(r.estimate, 3) for r in store.load_rows(full, "profile", ProfileRow)
    }


def test_the_copies_hold_the_tables_to_the_last_digit(full: Path) -> None:
    for name in ("agreement", "profile", "steering", "map", "scores"):
        copy = pd.read_csv(full / "tables" / f"{name}.csv", dtype=str)
        true = store.table(full, name)
        assert list(copy.columns) == list(true.columns) and len(copy) == len(true)
        numbers = true.select_dtypes("number").columns
        assert np.array_equal(copy[numbers].to_numpy(dtype=float), true[numbers].to_numpy(), equal_nan=True)


def test_the_same_tables_give_the_same_bytes_anywhere(full: Path, tmp_path: Path) -> None:
    def written(folder: Path) -> dict[str, bytes]:
        paths = [
            folder / "report.html",
            *sorted((folder / "figures").iterdir()),
            *sorted((folder / "tables").iterdir()),
        ]
        return {str(p.relative_to(folder)): p.read_bytes() for p in paths}

    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in full.iterdir():
        if path.suffix in (".parquet", ".json"):
            (other / path.name).write_bytes(path.read_bytes())
    report.write(other)
    first = written(full)
    assert written(other) == first
    for data in first.values():
        assert str(full).encode() not in data and b"/home/someone" not in data


def test_the_page_fetches_nothing_and_runs_nothing(full: Path, page: Page) -> None:
    html = (full / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert all(address.startswith(("#", "tables/")) for address in page.fetched)


def test_no_id_occurs_twice_and_every_inner_link_leads_somewhere(full: Path, page: Page) -> None:
    html = (full / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {a[1:] for a in page.fetched if a.startswith("#")} <= set(ids)


def test_text_of_items_and_settings_is_shown_and_never_run(full: Path, page: Page) -> None:
    html = (full / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert any(NASTY in line[-1] for line in page.table("probe score")) and NASTY in page.text


def test_what_does_not_exist_is_shown_as_such_and_never_as_zero(tmp_path: Path) -> None:
    page = Page(report.write(sparse(tmp_path)).read_text(encoding="utf-8"))
    lines = {line[0]: line for line in page.table("null mean")}
    for value in words.SCHWARTZ[4:]:
        assert lines[words.title(value)][1:8] == ["n/a"] * 7
    assert lines["Power"][1] != "n/a"
    assert [line[2:4] for line in page.table("slope") if line[0] == "Security"] == [["n/a", "n/a"]]
    assert "nan" not in page.text.lower().replace("n/a", "").split()


def test_a_null_run_is_reported_as_one(tmp_path: Path) -> None:
    page = Page(
        report.write(make(tmp_path, signal=0.0, layers=2, groups=8, steered=("power",))).read_text(encoding="utf-8")
    )
    assert "No value is decodable above the permutation null (best: " in page.text
    assert "moved no value's ratings beyond its null draws" in page.text
    assert "No cell beats the family-wise null" in page.text and "Decodable above" not in page.text


def test_a_signal_is_reported_with_everything_it_rests_on(page: Page, full: Path) -> None:
    best = max(
        (
            r
            for r in store.load_rows(full, "agreement", Agreement)
            if r.comparison == "probe~label" and r.site == "nested" and r.level == "item"
        ),
        key=lambda r: r.estimate,
    )
    facts = page.table("within-query r", "ceiling", "family-wise p")[0]
    assert facts[0] == f"{words.title(best.value)}, {best.method}"
    assert [number(x) for x in (facts[1], *facts[2].strip("[]").split(", "))] == [
        round(x, 2) for x in (best.estimate, best.low, best.high)
    ]
    assert number(facts[6]) == best.ceiling and facts[7:] == ["348", "70", "172"]
    assert "Decodable above the permutation null: " in page.text and "beyond every null draw for" in page.text


def test_items_used_and_skipped_are_counted_by_source(page: Page) -> None:
    rows = {line[0]: [number(x) for x in line[1:]] for line in page.table("not read", "rated")}
    assert rows["ShareGPT"] == [25, 0, 25, 0, 25] and rows["Reddit"] == [25, 17, 8, 25, 0]
    assert rows["all"] == [100, 67, 33, 75, 25]
    assert ["extract", "longer than the model's context", "Reddit", "8", "25"] in page.table("reason")


def test_one_steered_vector_without_nulls_is_not_judged(tmp_path: Path) -> None:
    store.save_info(tmp_path, info(), "extract")
    store.save_rows(tmp_path, "steering", doses(("power",), 5.0, np.random.default_rng(0), draws=0))
    assert (
        "without null vectors, so its effect cannot be judged" in Page(report.write(tmp_path).read_text("utf-8")).text
    )


def test_figures_of_an_earlier_report_do_not_outlive_their_table(tmp_path: Path) -> None:
    make(tmp_path, layers=2, groups=4, methods=("ridge",), steered=("power",), values=words.SCHWARTZ[:3])
    report.write(tmp_path)
    (tmp_path / "map.parquet").unlink()
    report.write(tmp_path)
    assert not (tmp_path / "figures" / "map.svg").exists() and not (tmp_path / "tables" / "map.csv").exists()


@pytest.mark.parametrize(
    ("values", "layers"), [(words.NAMES[:19], 80), (words.SCHWARTZ[:3], 5), (words.SCHWARTZ[:1], 1)]
)
def test_many_and_few_values_and_layers_can_be_drawn(values: tuple[str, ...], layers: int, tmp_path: Path) -> None:
    make(tmp_path, values=values, layers=layers, methods=("ridge",), groups=4, steered=values[:1])
    assert report.write(tmp_path).stat().st_size > 10_000


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        report.write(tmp_path)


def test_drawing_leaves_the_callers_settings_alone() -> None:
    with mpl.rc_context({"font.size": 17.0, "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        with style.drawing():
            assert mpl.rcParams["font.size"] != 17.0
        assert dict(mpl.rcParams) == before
