"""Rows of check_steering on causal checks: interchange between personas, ablation, and how far values climb by them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from vprobe import backends, organism, pipeline
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.pipeline import _ablate, _interchange
from vprobe.store import load_rows
from vprobe.types import AblationRow, InterchangeRow
from vprobe.values import SCHWARTZ

from check_organism import ALPHA, DRAWS, FULL, Sizes

CLIMBERS = ("power", "benevolence", "security")
"""Values whose steering is swept for the ladder."""


def _probed(work: Path, world: str, *, reliability: float, untrained: bool) -> tuple[RunConfig, backends.Backend]:
    """Draw items of a world, read them and fit directions."""
    one = organism.find_world(world)
    drawn = organism.draw(104, seed=51, labels=one.labels, codes=one.codes, alone=one.alone, reliability=reliability)
    (work / "items").mkdir()
    planted.write(work / "items" / "planted.json", drawn.records, drawn.reliability)
    config = RunConfig(
        model=str(organism.load(world)), benchmark=("planted",), data=str(work / "items"), out=str(work / "run"),
        sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
        steer_site="resid_post.1", steer_versions=("v1",), steer_positions="response", steer_value=("all",),
        untrained=untrained, alpha=ALPHA, claim_draws=DRAWS,
    )  # fmt: skip
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(work / "run", config)
    return config, backend


def interchange(size: Sizes) -> tuple[str, bool]:
    """Exchange true coordinates between personas; the natural slope of each value is what it should be.

    An estimated direction takes over less: the square of its cosine with the true one.
    """
    fitted = _interchange.ways_of
    with tempfile.TemporaryDirectory() as folder:
        config, backend = _probed(Path(folder), "good", reliability=1.0, untrained=False)
        wide = config.changed({"steer_limit": 8, "null_draws": 10 if size == FULL else 2})
        u = organism.read_card(Path(config.model)).u.astype(np.float32)

        def true(*given) -> _ablate.Ways:
            ways = fitted(*given)
            real = {v: replace(one, vector=u[SCHWARTZ.index(v)]) for v, one in ways.real.items()}
            return replace(ways, real=real)

        with mock.patch.object(_interchange, "ways_of", true):
            pipeline.interchange(Path(config.out), wide, conditions=8, backend=backend)
        rows = load_rows(Path(config.out), "interchange", InterchangeRow)
    ratios, r = [row.ratio for row in rows], [row.r for row in rows]
    agree, one = sum(row.agrees for row in rows), rows[0]
    text = (
        f"observed over predicted {np.nanmean(ratios):.3f} (values {min(ratios):.2f} to {max(ratios):.2f}), r of "
        f"change with u-difference x label {min(r):.2f} to {max(r):.2f}; the whole activation brings "
        f"about {one.recovered:.1%} of the variance between personas; coordinate, whole activation and "
        f"ablation agree for {agree} of {len(rows)} values ({one.n_items} items, {one.n_pairs} pairs)"
    )
    straight = 0.9 <= np.mean(ratios) <= 1.1 and min(r) >= 0.7
    return text, bool(straight and agree >= 9)


def climbed(size: Sizes) -> tuple[str, bool]:
    """Climb with ablation in the good world and in W4; one must, the other must not."""
    told, good = [], []
    for world in ("good", "W4"):
        with tempfile.TemporaryDirectory() as folder:
            config, backend = _probed(Path(folder), world, reliability=0.7, untrained=True)
            run = Path(config.out)
            few = {"steer_value": CLIMBERS, "strengths": (-0.03, 0.03), "null_arms": ("shuffled",), "null_draws": 20,
                   "steer_limit": 16, "personas": 48, "persona_limit": 12 if size == FULL else 8}  # fmt: skip
            pipeline.steer_sweep(run, config.changed(few), backend=backend)
            pipeline.personas(run, config.changed(few), backend=backend)
            pipeline.ablate(run, config.changed(pipeline.ABLATED), conditions=8, backend=backend)
            pipeline.claims(run, config)
            rows = load_rows(run, "ablations", AblationRow)
            rungs = {one.value: one.rung for one in pipeline.climb([run])[0].climbs if one.value in CLIMBERS}
        beyond = [row.value for row in rows if row.beyond]
        gone = [row.removed for row in rows if row.removed == row.removed]
        others = [abs(row.others) for row in rows if row.removed == row.removed]
        shares = (
            f", {min(gone):.0%} to {max(gone):.0%} of a value's share gone, others' {max(others):.0%} at most"
            if gone
            else ""
        )
        told.append(
            f"{world}: beyond null vectors for {len(beyond)} of {len(SCHWARTZ)} values{shares}; rungs "
            + ", ".join(f"{value} {rung}" for value, rung in rungs.items())
        )
        should = [value for value in CLIMBERS if value in beyond]
        good.append(
            len(beyond) >= 7 and bool(should) and all(rungs[value] >= 6 for value in should)
            if world == "good" else not beyond and max(rungs.values()) < 6
        )  # fmt: skip
    return "; ".join(told), all(good)
