"""What the report reads: the tables of a run folder, any of which may not be there yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vprobe import ess, store
from vprobe.report.truth import NONE, Truth
from vprobe.types import (
    AblationRow,
    Agreement,
    AuditRow,
    BaselineRow,
    Benchmark,
    ClaimRow,
    ConditionRow,
    DamageRow,
    DoseRow,
    InduceRow,
    InterchangeRow,
    Item,
    MapPoint,
    NullRow,
    PatternRow,
    PositionRow,
    ProfileRow,
    PromptRow,
    Response,
    RunInfo,
    ScaleRow,
    ScoreRow,
    SearchRow,
    TraitPairRow,
    TruthRow,
    ValidityRow,
)

NAMES = (
    "items", "loadings", "reliability", "norms", "responses", "directions", "scores", "agreement", "profile",
    "steering", "map", "claims", "conditions", "truth", "scales", "generation",
    "agreement_detail", "agreement_across", "mtmm", "validity", "trait_pairs", "patterns",
    "induced", "demographics", "people_pairs", "people_trends", "people_axes", "elicited",
    "readings", "baselines", "search", "final", "damage",
    "nulls", "prompted", "audits", "ablations", "interchange", "positions",
)  # fmt: skip
NESTED = "nested"
ALPHA = 0.05
"""The level at which a cell is marked and a sentence says "above the null"."""


@dataclass(frozen=True)
class Effect:
    """Whether directions of a method are "marginal", or "partial" with the other values held constant."""

    method: str
    effect: str


@dataclass(frozen=True)
class Tables:
    """All tables of a run; an empty tuple where one is missing.

    Args:
        info: The manifest.
        present: Names of the tables that are there.
        data: The benchmark's items and where they come from; None before they are stored.
        scores: Rows of `scores`.
        agreement: Rows of `agreement`.
        profile: Rows of `profile`.
        doses: Rows of `steering`.
        nulls: Rows of `nulls`.
        prompted: Rows of `prompted`.
        audits: Rows of `audits`.
        ablations: Rows of `ablations`.
        interchange: Rows of `interchange`.
        positions: Rows of `positions`.
        damage: Rows of `damage`.
        points: Rows of `map`.
        responses: Rows of `responses`.
        claims: Rows of `claims`.
        conditions: Rows of `conditions`.
        detail: Rows of `agreement_detail`.
        across: Rows of `agreement_across`.
        validity: Rows of `validity`.
        pairs: Rows of `trait_pairs`.
        patterns: Rows of `patterns`.
        scales: Rows of `scales`.
        induced: Rows of `induced`.
        demographics: Rows of `demographics`.
        people: Rows of `people_pairs`.
        trends: Rows of `people_trends`.
        axes: Rows of `people_axes`.
        readings: Rows of `readings`.
        baselines: Rows of `baselines`.
        search: Rows of `search`.
        final: Rows of `final`.
        truth: What was planted; empty unless something was.
        effects: Of the methods in `directions`.
        recorded: Whether activations were recorded.
    """

    info: RunInfo
    present: tuple[str, ...]
    data: Benchmark | None = None
    scores: tuple[ScoreRow, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    profile: tuple[ProfileRow, ...] = ()
    doses: tuple[DoseRow, ...] = ()
    nulls: tuple[NullRow, ...] = ()
    prompted: tuple[PromptRow, ...] = ()
    audits: tuple[AuditRow, ...] = ()
    ablations: tuple[AblationRow, ...] = ()
    interchange: tuple[InterchangeRow, ...] = ()
    positions: tuple[PositionRow, ...] = ()
    damage: tuple[DamageRow, ...] = ()
    points: tuple[MapPoint, ...] = ()
    responses: tuple[Response, ...] = ()
    claims: tuple[ClaimRow, ...] = ()
    conditions: tuple[ConditionRow, ...] = ()
    detail: tuple[Agreement, ...] = ()
    across: tuple[Agreement, ...] = ()
    validity: tuple[ValidityRow, ...] = ()
    pairs: tuple[TraitPairRow, ...] = ()
    patterns: tuple[PatternRow, ...] = ()
    scales: tuple[ScaleRow, ...] = ()
    induced: tuple[InduceRow, ...] = ()
    demographics: tuple[ess.Effect, ...] = ()
    people: tuple[ess.PairMatch, ...] = ()
    trends: tuple[ess.TrendMatch, ...] = ()
    axes: tuple[ess.AxisMatch, ...] = ()
    readings: tuple[ScoreRow, ...] = ()
    baselines: tuple[BaselineRow, ...] = ()
    search: tuple[SearchRow, ...] = ()
    final: tuple[Agreement, ...] = ()
    truth: Truth = NONE
    effects: tuple[Effect, ...] = ()
    recorded: bool = False

    @property
    def items(self) -> tuple[Item, ...]:
        """The items, in file order."""
        return self.data.items if self.data else ()

    @property
    def given(self) -> bool:
        """Whether anything was given to the model, or asked of it in its own words, apart from a benchmark's items."""
        return bool(self.induced or self.demographics) or "elicited" in self.present

    @property
    def cannot_probe(self) -> str:
        """Why no probe can be fitted on these items; empty where one can, or where nothing is known of them yet."""
        if self.data is None:
            return "This run holds no items of a benchmark." if self.given else ""
        if not any(math.isfinite(one.r) for item in self.items for one in item.loadings):
            return f"The items of {self.data.name} load on no value, so no direction can be fitted on them."
        if len({item.group for item in self.items}) == len(self.items):
            return f"Every query of {self.data.name} has one response, so there is nothing to compare within a query."
        return ""

    def rows(self, comparison: str, *, nested: bool | None = None) -> tuple[Agreement, ...]:
        """Return the item-level rows of one comparison.

        Args:
            comparison: Such as "probe~label".
            nested: True for rows whose site inner folds chose, False for rows at a fixed site, None for all.
        """
        rows = [row for row in self.agreement if row.level == "item" and row.comparison == comparison]
        return tuple(row for row in rows if nested is None or (row.site == NESTED) is nested)


@dataclass(frozen=True)
class Use:
    """How many items of one source were there, recorded and rated.

    Args:
        source: Where the queries came from.
        items: In the benchmark.
        recorded: Whose activations were read; None when none were.
        rated: That the model rated; None when it was not asked.
    """

    source: str
    items: int
    recorded: int | None
    rated: int | None


def read(folder: Path) -> Tables:
    """Read every table that is there.

    Args:
        folder: A run folder.

    Raises:
        StoreError: Not a run folder, or a table is damaged.
    """
    info = store.load_info(folder)
    present = tuple(name for name in NAMES if store.has(folder, name))

    def rows(name: str, cls: type) -> tuple:
        return tuple(store.load_rows(folder, name, cls)) if name in present else ()

    return Tables(
        info=info,
        present=present,
        data=store.load_items(folder) if "items" in present else None,
        scores=rows("scores", ScoreRow),
        agreement=rows("agreement", Agreement),
        profile=rows("profile", ProfileRow),
        doses=rows("steering", DoseRow),
        nulls=rows("nulls", NullRow),
        prompted=rows("prompted", PromptRow),
        audits=rows("audits", AuditRow),
        ablations=rows("ablations", AblationRow),
        interchange=rows("interchange", InterchangeRow),
        positions=rows("positions", PositionRow),
        damage=rows("damage", DamageRow),
        points=rows("map", MapPoint),
        responses=rows("responses", Response),
        claims=rows("claims", ClaimRow),
        conditions=rows("conditions", ConditionRow),
        detail=rows("agreement_detail", Agreement),
        across=rows("agreement_across", Agreement),
        validity=rows("validity", ValidityRow),
        pairs=rows("trait_pairs", TraitPairRow),
        patterns=rows("patterns", PatternRow),
        scales=rows("scales", ScaleRow),
        induced=rows("induced", InduceRow),
        demographics=rows("demographics", ess.Effect),
        people=rows("people_pairs", ess.PairMatch),
        trends=rows("people_trends", ess.TrendMatch),
        axes=rows("people_axes", ess.AxisMatch),
        readings=rows("readings", ScoreRow),
        baselines=rows("baselines", BaselineRow),
        search=rows("search", SearchRow),
        final=rows("final", Agreement),
        truth=Truth(rows("truth", TruthRow)),
        effects=_effects(folder) if "directions" in present else (),
        recorded="extract" in store.stages(folder),
    )


def _effects(folder: Path) -> tuple[Effect, ...]:
    pairs = store.table(folder, "directions")[["method", "effect"]].drop_duplicates()
    return tuple(Effect(str(method), str(effect)) for method, effect in pairs.itertuples(index=False))


def above(row: Agreement) -> bool:
    """Whether a row lies above its null: family-wise where there is a family, single where there is none."""
    p = row.p if math.isnan(row.p_family) else row.p_family
    return bool(p <= ALPHA and row.estimate > 0)


def beyond(row: Agreement) -> bool:
    """Whether a row lies outside its null on either side, for comparisons that may go either way."""
    p = row.p if math.isnan(row.p_family) else row.p_family
    return bool(p <= ALPHA)


def above_family(row: Agreement) -> bool:
    """Whether a row lies above the null of the largest statistic of its family."""
    return bool(row.p_family <= ALPHA and row.estimate > 0)


def usage(tables: Tables) -> tuple[Use, ...]:
    """Return, by source, how many items there are and how many of them each stage used."""
    out = []
    for source in dict.fromkeys(item.source for item in tables.items):
        items = sum(item.source == source for item in tables.items)
        skipped = sum(c.n for c in tables.info.counts if c.stage == "extract" and c.source == source)
        rated = len({r.item_id for r in tables.responses if r.source == source})
        recorded = items - skipped if tables.recorded else None
        out.append(Use(source, items, recorded, rated if tables.responses else None))
    return tuple(out)


def frames(folder: Path, tables: Tables) -> tuple[tuple[str, pd.DataFrame], ...]:
    """Return every table as pandas, by name, for the copies a program can read."""
    counts = pd.DataFrame([vars(one) for one in tables.info.counts], columns=["stage", "reason", "source", "n", "of"])
    return (*((name, store.table(folder, name)) for name in tables.present), ("counts", counts))
