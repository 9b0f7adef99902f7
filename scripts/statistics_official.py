"""Criteria 13 and 15 on the official Value Portrait data, and what a real small model knows of contrast pairs.

Official data are taken from `value_portrait/upstream` in the folder VPROBE_SHARED names (`check_statistics --shared`),
else from the user's data cache; real models from `models` in that folder. What is not here is not run: `Absent`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from vprobe import agreement, backends, benchmarks, controls, labels, pipeline, splits, stats, store, sweeps
from vprobe.config import RunConfig
from vprobe.errors import DataError, RefusedError
from vprobe.types import Agreement, Response
from vprobe.values import SCHWARTZ

ROOT = Path(__file__).resolve().parent.parent
PERM = (0.37, 0.38, 0.26, 0.30, 0.33, 0.48, 0.40, 0.22, 0.23, 0.17)
"""Published reliabilities of group-centred labels by permuting raters, values in circle order."""
CARD = ("tf-idf", "length", "source", "embedding", "untrained", "layer 0")
"""Baselines the card must name, whether or not they can be had."""
MODEL = "tinytalk-3m"


class Absent(Exception):
    """Data or a model that this machine does not have."""


def shared() -> Path:
    """Return the folder of reference data and models, which may not be there."""
    return Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared"))


def official() -> Path | None:
    """Return the folder of the official data; None is the user's cache.

    Raises:
        Absent: The data are in neither place.
    """
    folder = shared() / "value_portrait" / "upstream"
    if folder.is_dir():
        return folder
    try:
        benchmarks.load("value-portrait")
    except DataError as error:
        raise Absent(error.found) from None
    return None


def model() -> Path:
    """Return the folder of the real model.

    Raises:
        Absent: It is not there.
    """
    folder = shared() / "models" / MODEL
    if not folder.is_dir():
        raise Absent(f"no model {MODEL}")
    return folder


# --- criterion 13 ----------------------------------------------------------------------------------------------------


def regenerated(quick: bool) -> tuple[str, bool]:
    """Make labels and reliabilities again from raw ratings; each r has its ceiling, only reliable ones corrected."""
    folder = official()
    rows = [row for row in labels.diff(folder).rows if row.value in SCHWARTZ]
    wrong = [row for row in rows if abs(row.difference) > 1e-6]
    groups, largest = {row.rater_group for row in wrong}, max((abs(row.difference) for row in wrong), default=0.0)
    found = [
        one for one in labels.regenerate(folder, kind="group-centred", repaired=True).reliability
        if one.value in SCHWARTZ
    ]  # fmt: skip
    gap = max(abs(one.estimate - perm) for one, perm in zip(found, PERM, strict=True))
    printed, refused = ceilings(folder)
    share = 1 - len(wrong) / len(rows)
    low = [one.value for one in found if one.estimate < stats.LEAST_RELIABILITY]
    text = (
        f"{share:.1%} of {len(rows):,} cells within 1e-6, {len(wrong)} others all of rater group "
        f"{', '.join(map(str, sorted(groups)))} (largest {largest:.3f}); reliabilities within {gap:.3f}; {printed} of "
        f"10 rows carry a ceiling or say unmeasurable; correction refused for {', '.join(low)}"
    )
    return text, share >= 0.92 and groups == {0} and gap <= 0.03 and printed == 10 and refused == len(low) == 1


def ceilings(folder: Path | None) -> tuple[int, int]:
    """Count the rows of an agreement table that carry a ceiling, and the values whose correction is refused."""
    found = labels.regenerate(folder, kind="group-centred", repaired=True)
    columns = [found.values.index(value) for value in SCHWARTZ]
    y, code = found.r[:, columns], queries_of(folder)
    mixed = controls.shuffle_labels(y, code, draws=20, seed=0)
    noise = np.random.default_rng(0).standard_normal(y.shape)
    null = agreement.Null("shuffled", agreement.draws(noise[None], mixed, code))
    within = benchmarks.load("value-portrait", folder=folder).reliability
    rows = agreement.measure(
        noise, y, code, [null], comparison="probe~label", values=SCHWARTZ, reliability=within, seed=0, resamples=200
    )
    printed = sum(row.ceiling > 0 or "unmeasurable" in row.note for row in rows)
    refused = 0
    for one in found.reliability:
        if one.value in SCHWARTZ:
            try:
                stats.disattenuate(0.1, one.estimate)
            except RefusedError:
                refused += 1
    return printed, refused


def queries_of(folder: Path | None) -> np.ndarray:
    found = benchmarks.load("value-portrait", folder=folder)
    return stats.codes(found.groups(tuple(item.id for item in found.items)))


# --- criterion 15 ----------------------------------------------------------------------------------------------------


def words_alone(quick: bool) -> tuple[str, bool]:
    """Predict official labels from words, queries held out and not; then read what `probe` stores beside a model."""
    found = benchmarks.load("value-portrait", folder=official())
    ids = tuple(item.id for item in found.items)
    y, code = found.loadings(ids, SCHWARTZ), stats.codes(found.groups(ids))
    x = controls.text_features([f"{item.title} {item.text} {item.response}" for item in found.items])
    whole = np.mean([told(x, y, code, splits.by_group(code, k=10, seed=seed)) for seed in range(3)], axis=0)
    alone = np.arange(len(ids))
    mixed = [told(x, y, alone, splits.by_row(len(ids), k=10, seed=seed, unsafe=True)) for seed in range(3)]
    random = np.mean(mixed, axis=0)
    text = f"TF-IDF: queries held out {whole.mean():+.3f}, random folds {random.mean():+.3f} (to {random.max():.2f})"
    ok = abs(whole.mean() - 0.02) <= 0.03 and abs(random.mean() - 0.22) <= 0.03
    with tempfile.TemporaryDirectory() as place:
        card, skipped = official_card(Path(place), quick)
    missing = [name for name in CARD if name not in dict(card)]
    text += f"; card beside {MODEL} on the {skipped}: {told_card(card)}"
    return text + (f"; MISSING {', '.join(missing)}" if missing else ""), bool(ok) and not missing


def told(x: np.ndarray, y: np.ndarray, groups: np.ndarray, folds: tuple) -> list[float]:
    """Return Pearson's r over all items of held-out ridge predictions with each value's labels."""
    held = sweeps.ridge(x, y, groups, folds, [1.0])[0]
    return [stats.pearson(a, b) for a, b in zip(held.T, y.T, strict=True)]


def official_card(work: Path, quick: bool) -> tuple[list[tuple[str, str]], str]:
    """Record official items that fit the small model's context, probe them, and return its baseline card."""
    out, folder = work / "official", official()
    data = ("--data", folder) if folder else ()
    limit = ("--limit", "60") if quick else ()
    vprobe(work, "extract", "--model", model(), "-b", "value-portrait", "--out", out, *data, *limit)
    vprobe(work, "probe", out, "--method", "covariance", "--draws", "20" if quick else "100")
    n = len(store.load_samples(out))
    return card_of(out), f"{n} items that fit its context"


# --- a real small model ----------------------------------------------------------------------------------------------


def contrast_pairs(quick: bool) -> tuple[str, bool]:
    """Extract, rate, probe and agree on both kinds of contrast pairs with a real model, loaded once."""
    place, parts, ok = str(model()), [], True
    backend = backends.load(place, device="cpu")
    with tempfile.TemporaryDirectory() as temporary:
        for kind in ("natural", "swapped"):
            out = Path(temporary) / kind
            config = RunConfig(
                model=place, benchmark=(f"contrast-{kind}",), out=str(out), limit=40 if quick else 0, versions=("v1",),
                greedy=False, method=("covariance",), draws=50 if quick else 100, map=False, device="cpu",
            )  # fmt: skip
            pipeline.extract(config, backend=backend)
            pipeline.rate(config, backend=backend)
            pipeline.probe(out, config)
            pipeline.agree(out, config)
            text, fine = told_run(kind, out)
            parts.append(text)
            ok &= fine
    return f"{MODEL}, {'; '.join(parts)}", ok


def told_run(kind: str, out: Path) -> tuple[str, bool]:
    """Say what a run found: held-out r with its null, how many values stand, the card, the ratings and the ladder."""
    rows = store.load_rows(out, "agreement", Agreement)
    nested = [row for row in rows if (row.level, row.comparison, row.site) == ("item", "probe~label", "nested")]
    rated = [row for row in rows if row.comparison == "rating~label" and row.level == "item"]
    r, null = (float(np.nanmean([getattr(row, name) for row in nested])) for name in ("estimate", "null_high"))
    stands = sum(row.p_family <= 0.05 for row in nested)
    card, mass = card_of(out), [one.option_mass for one in store.load_rows(out, "responses", Response)]
    top = max((one.rung for found in pipeline.climb([out]) for one in found.climbs), default=0)
    text = (
        f"{kind}: held-out r {r:+.3f} (null to {null:+.3f} per value), {stands} of {len(nested)} values beyond the "
        f"family's null; ratings with keys {np.nanmean([row.estimate for row in rated]):+.3f}, option mass "
        f"{np.nanmean(mass):.0e}; highest rung {top}; card: {told_card(card)}"
    )
    whole = len(nested) == len(rated) == len(SCHWARTZ) and np.isfinite([row.estimate for row in nested]).all()
    return text, bool(whole) and all(name in dict(card) for name in CARD)


# --- shared ----------------------------------------------------------------------------------------------------------


def card_of(out: Path) -> list[tuple[str, str]]:
    """Return each baseline of a run with its mean r over values, or why it has none; empty where no card is stored."""
    if not store.has(out, "baselines"):
        return []
    rows = store.table(out, "baselines")
    rows, card = rows[rows["safe"] & (rows["statistic"] == agreement.STATISTIC)], []
    for name, mine in rows.groupby("baseline", sort=False)["estimate"]:
        known = mine.to_numpy()[np.isfinite(mine.to_numpy())]
        card.append((str(name), f"{known.mean():+.3f}" if len(known) else "n/a"))
    return card


def told_card(card: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in card) or "none stored"


def vprobe(work: Path, *words: str | Path) -> str:
    """Run a command as a user would, and return what it printed."""
    env = os.environ | {"VPROBE_CACHE": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "vprobe", *map(str, words)], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"vprobe {' '.join(map(str, words))}: {done.stderr.strip()[-400:]}")
    return done.stdout


CHECKS = (
    ("criterion 13: labels",
     "Labels regenerated: >=92 % cells within 1e-6, mismatches listed (rater group 0 only). Reliabilities within .03 "
     "of the perm column of F1; every r printed with r_max; disattenuation refused if rel<.2.", regenerated),
    ("criterion 15: baseline card",
     "Baseline card always printed: TF-IDF query-grouped mean r .02+-.03, random-fold .22+-.03, length, source, "
     "embedding, untrained model, layer 0.", words_alone),
    ("tinytalk-3m: contrast pairs",
     "The same pipeline on `tinytalk-3m` with contrast pairs (step 2) of natural and swapped kind, with baseline card: "
     "what a real small model knows, honestly.", contrast_pairs),
)  # fmt: skip
