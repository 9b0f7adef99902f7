"""Criterion 24: over many personas, do several ways of measuring values agree? On the organism, and on a real model.

The organism is asked in its own plain English: rated replies, portraits by the PVQ-40's key, and what it would say.
What a small real model shows is reported as it is; what it cannot show has to be refused, with the counts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from vprobe import agreement, backends, organism, pipeline, store
from vprobe.benchmarks import planted
from vprobe.benchmarks._pvq_keys import PVQ_21, PVQ_40
from vprobe.config import RunConfig
from vprobe.organism._encoder import World as Switches
from vprobe.organism.items import latent
from vprobe.organism.lexicon import PERSONA, WHO
from vprobe.organism.replies import portraits, replies
from vprobe.pipeline._conditions import STEERED, square
from vprobe.types import Agreement, ClaimRow, ConditionRow, MethodRow, Response
from vprobe.values import SCHWARTZ

from statistics_official import MODEL, model

HTMT = 0.85
MODELS = 6
"""Organisms with profiles of their own, for identification."""


@dataclass(frozen=True)
class Matrix:
    """What several methods show over conditions.

    Args:
        n: Conditions.
        names: Methods.
        strong: Values whose validity exceeds every correlation with opposite values, in all pairs of methods.
        significant: Values whose validities are all beyond chance (family-wise p at most .05).
        least: Smallest validity.
        won: Comparisons won and made in criterion 2, non-adjacent values, then adjacent ones.
        inside: The same in criterion 3.
        htmt: Largest heterotrait-monotrait ratio of non-adjacent values, and how many exist of how many.
        patterns: Pairs of blocks with the same pattern at .05, and all pairs.
    """

    n: int
    names: tuple[str, ...]
    strong: int
    significant: int
    least: float
    won: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    htmt: tuple[float, int, int]
    patterns: tuple[int, int]

    def told(self) -> str:
        """Return all of it as one line."""
        near, far = self.won[2:], self.won[:2]
        return (
            f"{self.n} conditions, {len(self.names)} methods ({', '.join(self.names)}): smallest validity "
            f"{self.least:.2f}, {self.significant} of 10 values significant in all pairs of methods; validity above "
            f"every opposite-trait correlation for {self.strong} of 10; Campbell-Fiske (2) {far[0]} of {far[1]} "
            f"non-adjacent, {near[0]} of {near[1]} adjacent, (3) {self.inside[0]} of {self.inside[1]} and "
            f"{self.inside[2]} of {self.inside[3]}, (4) {self.patterns[0]} of {self.patterns[1]} pairs of blocks; "
            f"largest HTMT of non-adjacent values {self.htmt[0]:.2f} ({self.htmt[1]} of {self.htmt[2]} exist)"
        )


def matrix(folder: Path, chosen: Sequence[tuple[str, str]]) -> Matrix:
    """Lay ways of measuring over the conditions of a run.

    Args:
        folder: The run.
        chosen: "probe" or "rating", and the instrument as the table `conditions` names it.
    """
    rows = [row for row in store.load_rows(folder, "conditions", ConditionRow) if row.kind != STEERED]
    tables = {name: square([row for row in rows if row.instrument == name]) for _, name in chosen}
    names = [one for one in next(iter(tables.values())).names if all(one in t.names for t in tables.values())]
    x = np.stack(
        [_picked(tables[name], "probe" if kind == "probe" else "behavior", names) for kind, name in chosen], axis=1
    )
    told = tuple(f"{kind} {name or 'own items'}" for kind, name in chosen)
    found = agreement.methods(x, names=told, values=SCHWARTZ, draws=999, seed=0)
    strong = [value for value in SCHWARTZ if _strong(found.cells, value)]
    sure = [value for value in SCHWARTZ if all(row.p_family <= 0.05 for row in found.validity if row.value == value)]
    won = tuple(
        sum(getattr(row, name) for row in found.validity)
        for name in ("won_apart", "of_apart", "won_adjacent", "of_adjacent", "won_inside", "of_inside",
                     "won_inside_adjacent", "of_inside_adjacent")
    )  # fmt: skip
    far = [abs(row.htmt) for row in found.pairs if row.relation in ("middle", "opposite")]
    known = [one for one in far if np.isfinite(one)]
    return Matrix(
        len(names), told, len(strong), len(sure), float(np.nanmin([row.r for row in found.validity] or [np.nan])),
        won[:4], won[4:], (max(known, default=float("nan")), len(known), len(far)),
        (sum(row.p <= 0.05 for row in found.patterns), len(found.patterns)),
    )  # fmt: skip


def _picked(table, side: str, names: Sequence[str]) -> np.ndarray:
    rows, columns = [table.names.index(name) for name in names], [table.values.index(value) for value in SCHWARTZ]
    return getattr(table, side)[np.ix_(rows, columns)]


def _strong(cells: Sequence[MethodRow], value: str) -> bool:
    """Tell whether a value's validities exceed its correlations with opposite values, method pair by method pair."""
    for one in (row for row in cells if row.relation == "same" and row.first_value == value):
        pair = (one.first, one.second)
        beside = [
            row.r for row in cells
            if (row.first, row.second) == pair and row.relation == "opposite"
            and value in (row.first_value, row.second_value)
        ]  # fmt: skip
        if not beside or not one.r > max(beside):
            return False
    return True


def rows_of(folder: Path, table: str, statistic: str, value: str = "all") -> list[Agreement]:
    found = store.load_rows(folder, table, Agreement) if store.has(folder, table) else ()
    return [row for row in found if row.statistic == statistic and row.value == value and row.level == "condition"]


# --- the organism ----------------------------------------------------------------------------------------------------


def planted_values(quick: bool) -> tuple[str, bool]:
    """Give the organism 48 personas; read it, and have it rate replies, rate portraits and say what it would do."""
    backend = backends.load(str(organism.load()), device="cpu")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        config = _config(work / "run", str(organism.load()), personas=40 if quick else 48, queries=6 if quick else 16)
        pipeline.extract(config, backend=backend)
        pipeline.probe(work / "run", config)
        pipeline.shift(work / "run", config, backend=backend)
        key = PVQ_21 if quick else PVQ_40
        _asked(work / "asked", key)
        more = {"data": str(work / "asked"), "persona_limit": 0}
        pipeline.shift(work / "run", config.changed(more | {"benchmark": (key.name,)}), backend=backend)
        pipeline.shift(work / "run", config.changed(more | {"persona_limit": 2 if quick else 6}), said=True,
                       backend=backend)  # fmt: skip
        said = "planted generation"
        found = matrix(work / "run", (("probe", ""), ("rating", ""), ("rating", key.name), ("rating", said)))
        over = rows_of(work / "run", "agreement_detail", agreement.OVER)
        cells = rows_of(work / "run", "agreement_detail", agreement.CELLS)
        alone = rows_of(work / "run", "agreement_detail", agreement.TOLD)
    own, told = ("not run", True) if quick else identified(backend)
    ratio = ", ".join(
        f"{row.estimate:.2f} ({row.low:.2f} to {row.high:.2f})" if np.isfinite(row.low) else "too few items for halves"
        for row in over
    )
    r = ", ".join(f"{row.estimate:.2f} ({row.low:.2f} to {row.high:.2f})" for row in cells)
    text = (
        f"{found.told()}; mean r/r_max on rated replies, {key.name} and what it would say {ratio}; generic profile "
        f"removed, r over conditions x values {r}; conditions told by their own profile "
        f"{', '.join(f'{row.estimate:.2f}' for row in alone)} (chance {alone[0].null_mean:.3f}); models: {own}"
    )
    measured = quick or all(np.isfinite(row.low) for row in over)
    good = found.n >= 40 and len(found.names) >= 3 and found.strong >= 9 and found.htmt[0] < HTMT
    beyond = all(row.low > 0 and row.p <= 0.05 for row in cells) and len(cells) == len(over) == 3
    return text, bool(good and beyond and measured and told)


def _config(out: Path, name: str, *, personas: int, queries: int) -> RunConfig:
    return RunConfig(
        model=name, benchmark=("planted",), out=str(out), sites=("resid_post:1",), method=("partial",), draws=19,
        map=False, steer_method="partial", steer_versions=("v1",), personas=personas, persona_limit=queries,
        device="cpu", untrained=False,
    )  # fmt: skip


def _asked(folder: Path, key) -> None:
    """Write portraits by a questionnaire's key and the replies, both in the organism's English."""
    folder.mkdir(exist_ok=True)
    value = {number: scale.name for scale in key.broad for number in scale.items}
    words = portraits([value[number] for number in range(1, key.n_items + 1)])
    (folder / f"{key.name.replace('-', '_')}.csv").write_text(words, encoding="utf-8")
    planted.write(folder / "planted.json", replies(6), 1.0)


def identified(backend) -> tuple[str, bool]:
    """Make organisms with other profiles, and tell each by what is read in it, personas saying nothing of values."""
    profiles = latent(MODELS, np.random.default_rng(24))
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        told = {who: PERSONA[0].format(who=who) for who in WHO[:3]}
        (work / "told.json").write_text(json.dumps(told), encoding="utf-8")
        folders = []
        for number, profile in enumerate(profiles):
            name = _born(work / f"model{number}", profile)
            config = _config(work / f"run{number}", str(name), personas=0, queries=12).changed({"limit": 32})
            other = backends.load(str(name), device="cpu")
            pipeline.extract(config, backend=other)
            pipeline.probe(Path(config.out), config)
            pipeline.shift(Path(config.out), config, texts=work / "told.json", backend=other)
            folders.append(Path(config.out))
        rows = [row for row in pipeline.across(folders).rows if row.level == "model"]
    row = next(row for row in rows if row.statistic == agreement.TOLD)
    text = f"{MODELS} organisms of other profiles told by their own {row.estimate:.2f}, chance {row.null_mean:.2f}, "
    return text + f"p = {row.p:.3f}", row.p <= 0.05 and row.estimate > row.null_mean


def _born(folder: Path, profile: np.ndarray) -> Path:
    """Write the organism with another profile in force when nobody said anything."""
    world = organism.find_world("good")
    world = replace(world, switches=Switches(default=tuple(float(one) for one in profile)))
    folder.mkdir()
    organism._write(folder, world, organism._built(world))
    return folder


# --- a real small model ----------------------------------------------------------------------------------------------


def real_model(quick: bool) -> tuple[str, bool]:
    """Do the same with a small real model and our own items: nothing may be claimed that it does not show."""
    place, personas = str(model()), 40
    backend = backends.load(place, device="cpu")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        config = RunConfig(
            model=place, benchmark=("everyday",), out=str(out), sites=("resid_post:3-6",), method=("covariance",),
            draws=50, map=False, limit=24 if quick else 0, versions=("v1",), greedy=False, steer_method="covariance",
            steer_versions=("v1",), personas=personas, persona_limit=4 if quick else 8, device="cpu", untrained=False,
        )  # fmt: skip
        read = pipeline.extract(config, backend=backend)
        pipeline.rate(config, backend=backend)
        pipeline.probe(out, config)
        told = pipeline.shift(out, config, backend=backend)
        other = pipeline.shift(out, config.changed({"benchmark": ("portraits",), "persona_limit": 24}), backend=backend)
        said = pipeline.shift(out, config, said=True, backend=backend)
        pipeline.claims(out, config.changed({"claim_draws": 1999}), only=("decodable", "beyond text", "agrees"))
        found = matrix(out, (("probe", ""), ("rating", ""), ("rating", "portraits"), ("rating", "everyday generation")))
        claims = store.load_rows(out, "claims", ClaimRow)
        mass = np.nanmean([one.option_mass for one in store.load_rows(out, "responses", Response)])
        over = store.load_rows(out, "agreement_detail", Agreement)
        cells = rows_of(out, "agreement_detail", agreement.CELLS)
    single = [row for row in over if row.statistic == agreement.OVER and row.value != "all"]
    missing = sum(not np.isfinite(row.estimate) for row in single)
    left = sum(one.n for stage in (read, told, other, said) for one in stage.counts)
    stands = {name: sum(row.made for row in claims if row.claim == name) for name in ("decodable", "beyond text")}
    agrees = [row for row in claims if row.claim == "agrees"]
    refused = bool(agrees) and not any(row.made for row in agrees)
    r = ", ".join(f"{row.estimate:+.2f} (p {row.p:.2f})" for row in cells)
    text = (
        f"{MODEL}: {found.told()}; r/r_max unmeasurable for {missing} of {len(single)} values and instruments; generic "
        f"profile removed, r over conditions x values {r}; option mass of its ratings {mass:.0e}; {left} prompts left "
        f"out as too long; claim that it agrees {'refused' if refused else 'STANDS'}; labels of "
        f"our own items are decodable for {stands['decodable']} of 10 values, beyond text for {stands['beyond text']}"
    )
    return text, found.n >= 40 and len(found.names) >= 3 and refused and found.significant == found.strong == 0


CHECKS = (
    ("criterion 24: agreement on the organism",
     "Agreement: >=40 conditions; MTMM with >=3 methods; validity > opposite-trait HTHM for >=9/10 traits, HTMT<.85 "
     "against non-adjacent; r/r_max with CI; generic profile removed; cross-model identification accuracy vs chance.",
     planted_values),
    ("criterion 24: tinytalk-3m",
     "Agreement: >=40 conditions; MTMM with >=3 methods: what a real small model knows, honestly.", real_model),
)  # fmt: skip
