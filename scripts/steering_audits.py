"""Rows of check_steering: what a steered vector is held against, on the model with planted values."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from vprobe import backends, effects, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.pipeline import _audit, _audited, _nulls, _study, _untried
from vprobe.pipeline._common import load_benchmarks
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._nulls import Trial
from vprobe.types import AuditRow, DoseRow, NullRow, PromptRow
from vprobe.values import SCHWARTZ

from check_organism import FULL, Sizes

DOSES = (-0.03, 0.03)
SHARE = "share of the effect left"
AGREE = 0.1
"""By how much a share may differ from the share that follows from what was planted."""


@dataclass(frozen=True)
class Swept:
    """What one sweep with all null arms, and the audits of the true directions, gave; `foretold` is one per value."""

    values: tuple[str, ...]
    nulls: tuple[NullRow, ...]
    prompted: tuple[PromptRow, ...]
    rows: tuple[DoseRow, ...]
    audits: tuple[AuditRow, ...]
    same: tuple[AuditRow, ...]
    foretold: tuple[effects.Audit, ...]


@contextmanager
def _run(size: Sizes) -> Iterator[tuple[RunConfig, Backend]]:
    with tempfile.TemporaryDirectory() as folder:
        values = SCHWARTZ[::2] if size == FULL else ("benevolence",)
        config = RunConfig(
            model=str(organism.load()), benchmark=("planted",), out=str(Path(folder) / "run"),
            sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
            steer_site="resid_post.1", steer_versions=("v1",), steer_positions="response", strengths=DOSES,
            steer_limit=12, steer_value=values, null_arms=("all",), null_draws=20, claim_draws=100, untrained=False,
        )  # fmt: skip
        backend = backends.load(config.model, device="cpu")
        pipeline.extract(config, backend=backend)
        pipeline.probe(Path(config.out), config)
        yield config, backend


@lru_cache(maxsize=2)
def swept(size: Sizes) -> Swept:
    """Sweep and audit once for all rows."""
    with _run(size) as (config, backend):
        folder = Path(config.out)
        pipeline.steer_sweep(folder, config, backend=backend)
        both = replace(config, steer_versions=("v1", "v1_reversed"), null_arms=("acquiescence",))
        trials = [prepared(both, value, backend) for value in config.steer_value]
        audits = [row for trial in trials for row in audited(both, trial, backend)]
        plain = replace(both, steer_versions=("v1",), null_arms=())
        first = prepared(plain, config.steer_value[0], backend)
        return Swept(
            config.steer_value, store.load_rows(folder, "nulls", NullRow),
            store.load_rows(folder, "prompted", PromptRow), store.load_rows(folder, "steering", DoseRow),
            tuple(audits), tuple(audited(plain, first, backend, same=True)),
            tuple(foretold(organism.read_card(Path(config.model)), trial) for trial in trials),
        )  # fmt: skip


def prepared(config: RunConfig, value: str, backend: Backend) -> Trial:
    """Return the items a value is tried on, with its planted direction in place of the fitted one."""
    folder = Path(config.out)
    known = _study.study(folder, as_probed(folder, config))
    trial = _nulls.prepare(folder, config, known, value, backend, load_benchmarks(config))
    u = organism.read_card(Path(config.model)).u[SCHWARTZ.index(value)].astype(np.float32)
    return replace(trial, target=replace(trial.target, vector=u))


def foretold(card: organism.Card, trial: Trial) -> effects.Audit:
    """Return the compliance audit that follows from what was planted; the model is not asked.

    A persona for a value gives that value's profile and takes the default one away. Over personas for and against the
    other values what they say cancels, so what instructions share is that the default gives way.
    """
    told = card.gain * (np.arange(10) == SCHWARTZ.index(trial.target.value)) - card.default
    gives_way = -card.default / np.linalg.norm(card.default)
    along = (told @ gives_way) * gives_way
    truth, unit = planted.truths(), trial.unit / np.linalg.norm(told)
    shown = np.array([truth[item] for item in trial.on.item_ids])
    base = card.expected_rating(card.default, shown)

    def moved(vector: np.ndarray) -> np.ndarray:
        under = [card.expected_rating(card.default + dose * unit * vector, shown) - base for dose in DOSES]
        return np.mean([np.sign(dose) * one for dose, one in zip(DOSES, under, strict=True)], axis=0)

    return effects.compliance(
        moved(told), moved(told - along), moved(along), trial.labels[:, 0], trial.on.groups, seed=0
    )


def audited(config: RunConfig, trial: Trial, backend: Backend, *, same: bool = False) -> list[AuditRow]:
    """Audit a value's direction; `same` asks for every value in the words of this one, as a control."""
    folder, found, value = Path(config.out), load_benchmarks(config), trial.target.value
    known = _study.study(folder, as_probed(folder, config))
    few = _untried.untried(folder, config, known, found, trial.on, backend, queries=_audit.QUERIES)
    asks = organism.asks()
    words = next(ask.text for ask in asks if (ask.value, ask.sign) == (value, 1))
    alike = tuple(replace(ask, text=words) for ask in asks if ask.sign > 0)
    one = _audit.audit_trial(config, trial, few, backend, lambda *_: None, alike if same else asks)
    return _audited.audit_rows(one.changes, one.carried, seed=0)


def null_arms(size: Sizes) -> tuple[str, bool]:
    found = swept(size)
    arms = {row.arm: [r for r in found.nulls if r.arm == row.arm] for row in found.nulls}
    ratio = {arm: min(row.steered / row.reach for row in rows) for arm, rows in arms.items() if arm in _nulls.NULL_ARMS}
    drawn = {arm: min(row.n_draws for row in arms[arm]) for arm in ratio}
    lengths = [abs(row.coefficient) for row in found.rows if row.strength and row.arm != "prompted"]
    sites = {(row.site, row.positions) for row in found.rows if row.arm != "prompted"}
    text = ", ".join(f"{arm} {ratio[arm]:.1f} ({drawn[arm]} draws)" for arm in ratio)
    shift = min(row.mean_shift for row in arms["acquiescence"])
    good = min(ratio.values()) > 1 and len(ratio) == 6 and all(drawn[arm] >= 20 for arm in _nulls.DRAWN)
    return (
        f"effect over the 95th percentile of each arm, least of {len(found.values)} values: {text}; lengths differ by "
        f"{max(lengths) / min(lengths) - 1:.1e}, {len(sites)} site and tokens; acquiescence shifts all ratings by "
        f"{shift:.2f} points at least",
        good and len(sites) == 1 and math.isclose(max(lengths), min(lengths), rel_tol=1e-5),
    )


def prompt_baseline(size: Sizes) -> tuple[str, bool]:
    found = swept(size)
    mine = [row for row in found.prompted if row.value != "all"]
    asked = {row.value for row in found.rows if row.arm == "prompted" and math.isfinite(row.low)}
    over = next((row.r for row in found.prompted if row.value == "all"), math.nan)
    text = (
        f"{len(asked)} of {len(found.values)} values; prompts {min(r.effect for r in mine):.2f} to "
        f"{max(r.effect for r in mine):.2f} points per SD of label, vectors {min(r.vector_effect for r in mine):.2f} "
        f"to {max(r.vector_effect for r in mine):.2f}; r over items {min(r.r for r in mine):.2f} to "
        f"{max(r.r for r in mine):.2f}, over values {over:.2f}; cosine {min(r.cosine for r in mine):.2f} to "
        f"{max(r.cosine for r in mine):.2f}"
    )
    return text, asked == set(found.values) == {row.value for row in mine}


def _figures(found: Swept, arm: str, audit: str, measure: str) -> list[AuditRow]:
    return [row for row in found.audits if (row.arm, row.audit, row.measure) == (arm, audit, measure)]


def option_remap(size: Sizes) -> tuple[str, bool]:
    found = swept(size)
    meaning, place = (_figures(found, "steered", "options", f"by {one}") for one in ("meaning", "place"))
    share = max(abs(p.estimate) / m.estimate for p, m in zip(place, meaning, strict=True))
    follows = sum(row.verdict == "follows the meaning" for row in meaning)
    text = f"true U follows the meaning for {follows} of {len(meaning)} values; by place {share:.1%} of it at most"
    return text, follows == len(meaning) and share <= 0.05


def reversed_items(size: Sizes) -> tuple[str, bool]:
    found = swept(size)
    up, down = (
        _figures(found, "steered", "reversed items", one) for one in ("items for the value", "items against it")
    )
    yes = _figures(found, "acquiescence", "reversed items", "yes-bias: half the sum")
    flips = sum(row.verdict == "flips with the item" for row in up)
    caught = sum(row.verdict == "yes-bias: does not flip" for row in yes)
    text = (
        f"true U flips for {flips} of {len(up)} values ({min(r.estimate for r in up):+.2f} at least on items for, "
        f"{max(r.estimate for r in down):+.2f} at most on items against); the acquiescence vector does not and is "
        f"caught for {caught} of {len(yes)}"
    )
    return text, flips == len(up) and caught == len(yes)


def compliance(size: Sizes) -> tuple[str, bool]:
    found = swept(size)
    left = _figures(found, "told", "compliance", SHARE)
    wanted = [next(one.estimate for one in audit.figures if one.measure == SHARE) for audit in found.foretold]
    off = max(abs(row.estimate - share) for row, share in zip(left, wanted, strict=True))
    follow = sum(row.verdict == audit.verdict for row, audit in zip(left, found.foretold, strict=True))
    control = next(row for row in found.same if row.measure == SHARE)
    each = ", ".join(
        f"{row.value} {row.estimate:.2f} ({share:.2f}; {row.verdict})" for row, share in zip(left, wanted, strict=True)
    )
    text = (
        f"share of the effect left without what other instructions share (what was planted says): {each}; off by "
        f"{off:.3f} at most, verdict as planted for {follow} of {len(left)} values; control in which every prompt says "
        f"the same: {control.estimate:.1%}, {control.verdict}"
    )
    alike = off <= AGREE and follow == len(left) == len(found.values)
    return text, alike and control.verdict == "mostly instruction-following"
