"""Rows of check_steering that end in cards: what is steered on a small real model, and criterion 25 on both models."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from vprobe import backends, controls, directions, effects, organism, pipeline, stats
from vprobe.config import RunConfig
from vprobe.store import load_rows
from vprobe.types import DamageRow, DoseRow, NullRow, SaidRow, TransferRow
from vprobe.values import SCHWARTZ

import check_organism as planted_checks
from check_organism import FULL, Sizes

ROOT = Path(__file__).resolve().parent.parent
TINYTALK = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared")) / "models" / "tinytalk-3m"
WORK = Path(tempfile.mkdtemp(prefix="vprobe-cards-"))
VALUE = "benevolence"
"""The value direction steered beside the mood, named before anything was measured."""
ENDS = np.array([-0.6, 0.6])
FEW = ("steering", "dose_response", "damage", "transfer")
"""Tables a quick run makes; audits and causal checks of a model whose ratings mean nothing take minutes."""
LEFT = {"audits", "ablations", "interchange", "positions"}
STRENGTHS = (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4)


def _carded(name: str, config: RunConfig, value: str, size: Sizes) -> dict:
    """Record, probe, steer and write the card of one value's vector, and return it as its JSON says."""
    folder = WORK / name
    config = replace(config, out=str(folder), device="cpu", map=False, steer_value=(value,), untrained=False)
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(folder, config)
    draws = 20 if size == FULL else 5
    pipeline.steer_said(folder, replace(config, null_draws=draws, steer_limit=0), backend=backend)
    only = () if size == FULL else FEW
    made = pipeline.make_missing(folder, config, values=(value,), only=only, backend=backend)
    pipeline.write_cards(folder, config, values=(value,))
    told = json.loads((folder / "cards" / value / "card.json").read_text(encoding="utf-8"))
    return {**told, "refused": {table: why for table, why in made if why}, "folder": str(folder)}


def _mood(size: Sizes) -> dict:
    config = RunConfig(
        model=str(TINYTALK), benchmark=("contrast-moods",), values=("mood",), folds=2, draws=100,
        method=("mean-difference",), strengths=STRENGTHS, null_draws=2, steer_limit=2, steer_versions=("v1",),
        damage_limit=40 if size == FULL else 8,
    )  # fmt: skip
    return _carded("mood", config, "happiness", size)


def _value(size: Sizes) -> RunConfig:
    return RunConfig(
        model=str(TINYTALK), benchmark=("everyday",), draws=100, method=("covariance",), steer_method="covariance",
        strengths=STRENGTHS, null_draws=2, steer_limit=2, steer_versions=("v1",),
        damage_limit=40 if size == FULL else 8,
    )  # fmt: skip


def _said(card: dict) -> str:
    """Say what a card's own-words rows show: order of doses, queries against, and where it goes beyond its nulls."""
    rows = sorted(card["tables"]["said"]["rows"], key=lambda row: row["strength"])
    doses, moved = [row["strength"] for row in rows], [row["effect"] for row in rows]
    rho = stats.spearman(np.array(doses), np.array(moved))
    facts = [fact["note"] for fact in card["facts"] if fact["source"] == "said" and fact["part"] == "nulls"]
    beyond = sum("it goes beyond" in note for note in facts)
    anti = max(row["anti"] for row in rows)
    return (
        f"{rows[0]['effect']:+.2f} to {rows[-1]['effect']:+.2f} log-prob per token and SD at strengths {doses[0]:g} to "
        f"{doses[-1]:g}, Spearman {rho:.2f}, largest p {max(row['p'] for row in rows):.3f}, at most {anti:.0%} of "
        f"{rows[0]['n_queries']} queries against, beyond 95 % of null vectors in {beyond} of {len(facts)} comparisons"
    )


def _cost(card: dict) -> str:
    rows = card["tables"]["damage"]["rows"]
    far = max(rows, key=lambda row: row["strength"])
    right = far["accuracy_base"]
    drop = "n/a" if right is None else f"{right:.2f} -> {far['accuracy']:.2f}"
    return f"KL {far['kl']:.2f} and perplexity x {far['perplexity_ratio']:.2f} at {far['strength']:g}, answers {drop}"


def tinytalk(size: Sizes) -> tuple[str, bool]:
    if not TINYTALK.is_dir():
        return "not run: tinytalk-3m is not on this machine", False
    mood, value = _mood(size), _carded("value", _value(size), VALUE, size)
    mass = min(row["option_mass"] for row in mood["tables"]["steering"]["rows"])
    whole, parts = True, []
    for card in (mood, value):
        lacking = {part for one in card["missing"] for part in (what.partition(":")[0] for what in one["what"])}
        parts.append(", ".join(sorted(lacking)) or "nothing")
        folder = Path(card["folder"]) / "cards" / card["vector"]["value"]
        figures = {path.stem for path in (folder / "figures").glob("*.png")}
        told = set(card["refused"]) | ({"prompted"} if card is mood else set())  # nobody wrote prompts for a mood
        told |= set() if size == FULL else LEFT
        whole &= lacking <= told and {"said", "damage", "dose"} <= figures
        said = (folder / "card.md").read_text(encoding="utf-8")
        whole &= (folder / "vector.safetensors").is_file() and "means nothing" in said
    refused = {table: why for card in (mood, value) for table, why in card["refused"].items()}
    text = (
        f"happy/sad at {mood['vector']['site']}: {_said(mood)}; {_cost(mood)}. {VALUE} at {value['vector']['site']}: "
        f"{_said(value)}; {_cost(value)}. Ratings mean nothing: option mass {mass:.1e}. Cards lack {parts[0]} and "
        f"{parts[1]}" + "".join(f"; {table} refused: {why[:90]}" for table, why in refused.items())
    )
    return text, bool(whole)


# --- criterion 25 ----------------------------------------------------------------------------------------------------


def _holm(p: list[float]) -> np.ndarray:
    from statsmodels.stats.multitest import multipletests

    return multipletests(p, alpha=0.05, method="holm")[0]


def _diagonal(size: Sizes) -> tuple[str, bool]:
    """Hold every value's own slope against permuted labels, and look at items that speak against the value."""
    from check_steering import DOSES, Steered

    world = Steered(size)
    few = tuple(dict.fromkeys(world.groups))[:8]
    kept = np.array([name in few for name in world.groups])
    world.asked = tuple(one for one, keep in zip(world.asked, kept, strict=True) if keep)
    world.ids = tuple(one for one, keep in zip(world.ids, kept, strict=True) if keep)
    world.groups = tuple(one for one, keep in zip(world.groups, kept, strict=True) if keep)
    world.labels = world.labels[kept]
    values = SCHWARTZ if size == FULL else SCHWARTZ[::4]
    draws = 199 if size == FULL else 59
    drawn, x = planted_checks._sample(world.bench, 0)
    ids = tuple(item.id for item in drawn.benchmark.items)
    y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
    mixed = controls.shuffle_labels(y, groups, draws=draws, seed=7)
    fitted = directions.fit(x, controls.stack(y, mixed), groups, method="partial", seed=0, block=10)
    p, beyond, flips, anti = [], 0, 0, []
    for value in values:
        column = SCHWARTZ.index(value)
        label = world.labels[:, column]
        slopes = world.slopes(fitted[column::10], ENDS)
        sums = [stats.within(label[:, None], one[:, None], world.groups).totals for one in slopes]
        own = np.array([float(stats.slope_of(total)[0]) for total in sums])
        against = effects.against(own[1:], float(own[0]))
        p.append(against.p)
        beyond += against.beyond
        flips += bool(slopes[0, label > 0].mean() > 0 > slopes[0, label < 0].mean())
        ratings = world.ratings([world.add(fitted[column], value, dose) for dose in DOSES])
        anti.append(effects.dose_response(ratings, DOSES, label, world.groups, seed=0, keyed=0.5))
    good = int(_holm(p).sum())
    worst = max(anti, key=lambda one: one.anti)
    text = (
        f"organism: {beyond} of {len(values)} values beyond 95 % of {draws} permuted-label vectors, {good} by Holm; "
        f"sign turns on reversed items for {flips}; anti-steerable at most {worst.anti:.0%} (95 % "
        f"{worst.anti_low:.0%} to {worst.anti_high:.0%})"
    )
    least = math.ceil(0.8 * len(values))
    return text, good >= least and flips >= least


def _planted(size: Sizes) -> Path:
    """Steer one value of the planted model through the commands a user has, and write its card."""
    folder = WORK / "planted"
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(folder), sites=("resid_post:1",), draws=19,
        method=("partial",), map=False, device="cpu", untrained=False, steer_method="partial", steer_value=(VALUE,),
        steer_versions=("v1",), steer_positions="response", steer_limit=12, null_draws=20 if size == FULL else 5,
        strengths=(-0.06, -0.04, -0.02, 0.02, 0.04, 0.06), damage_limit=24,
    )  # fmt: skip
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(folder, config)
    pipeline.steer_sweep(folder, config, backend=backend)
    pipeline.steer_damage(folder, config, backend=backend)
    asked = ("everyday", "portraits", "valuelex", "svo")
    far = replace(config, steer_limit=0 if size == FULL else 24)
    pipeline.steer_transfer(folder, far, instruments=asked, backend=backend)
    pipeline.write_cards(folder, config, values=(VALUE,))
    return folder


def criterion_25(size: Sizes) -> tuple[str, bool]:
    diagonal, ok = _diagonal(size)
    folder = _planted(size)
    damage = {row.coefficient: row for row in load_rows(folder, "damage", DamageRow)}
    swept = [row for row in load_rows(folder, "steering", DoseRow) if row.arm == "steered"]
    curve = [(damage[row.coefficient].kl, row.effect) for row in swept if row.coefficient in damage]
    moved = load_rows(folder, "transfer", TransferRow)
    shown = [row.instrument for row in moved if row.shown]
    nulls = {row.arm: row for row in load_rows(folder, "nulls", NullRow)}
    asked = nulls.get("prompted")
    told = ", ".join(f"{effect:+.2f} at {kl:.1e}" for kl, effect in sorted(curve, key=lambda pair: pair[1]))
    text = (
        f"{diagonal}; {VALUE}: effect at KL {told}; transfer shown on {', '.join(shown) or 'none'} of "
        f"{len([row for row in moved if row.kind])} asked; in the same table the prompt moves "
        f"{asked.mean if asked else math.nan:+.2f}, the vector {nulls['steered'].mean:+.2f}. Not shown: a drop in "
        "right answers, as the planted model knows no words for questions"
    )
    return f"{text}. {_small(size)}", bool(ok and len(curve) >= 4 and shown and asked is not None)


def _small(size: Sizes) -> str:
    """Say what of the criterion a small real model allows."""
    if not TINYTALK.is_dir():
        return "tinytalk-3m is not on this machine"
    folder = WORK / "small"
    config = replace(_value(size), out=str(folder), device="cpu", map=False, steer_value=(VALUE,), untrained=False)
    config = replace(config, strengths=(-0.2, 0.2), null_draws=10, steer_limit=0)
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(folder, config)
    pipeline.steer_damage(folder, config, backend=backend)
    pipeline.steer_said(folder, config, backend=backend)
    one = load_rows(folder, "damage", DamageRow)[-1]
    said = load_rows(folder, "said", SaidRow)
    own = [row for row in said if row.arm == "steered"]
    half = (own[-1].effect - own[0].effect) / 2
    ends = {draw: [row.effect for row in said if row.arm == "shuffled" and row.draw == draw] for draw in range(10)}
    beyond = effects.against(np.array([(high - low) / 2 for low, high in ends.values()]), half)
    return (
        f"tinytalk-3m gives the options no probability (base mass {one.option_mass:.1e}), so slope, reversed items, "
        f"transfer and prompt cannot be judged there; it answers {one.accuracy_base:.2f} of {one.n_questions} "
        f"questions (p of guessing {one.chance_p:.2f}), so no drop can show; its own words under {VALUE} move by "
        f"{half:+.3f} at a KL of {one.kl:.2f} ({'beyond' if beyond.beyond else 'within'} permuted labels, "
        f"{beyond.reach:.3f}; p "
        f"{max(row.p for row in own):.3f})"
    )
