"""Show that the instruments say what their sources say: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. `--quick` runs few seeds and models and judges the
rows it ran; `--only PART` runs the rows whose name contains PART. Official data and real models are taken from
VPROBE_SHARED, or `shared` beside the checkout; without them their rows are not run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from vprobe import (
    backends,
    benchmarks,
    labels,
    lexicon,
    organism,
    prompts,
    psychometrics,
    responses,
    scoring,
    stats,
    store,
)
from vprobe.benchmarks import svo as slider
from vprobe.errors import InputError
from vprobe.scoring import svo, valuelex
from vprobe.types import ScaleRow
from vprobe.values import SCHWARTZ, VALUELEX

from rows import NOT_RUN, Row, closed

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared"))
OFFICIAL = SHARED / "value_portrait" / "upstream"
PUBLISHED = SHARED / "value_portrait" / "published"
REAL = ("tinytalk-3m", "craftgpt-5m", "stories260K")
PERM = (0.37, 0.38, 0.26, 0.30, 0.33, 0.48, 0.40, 0.22, 0.23, 0.17)
"""Published reliabilities of group-centred labels by permuting raters, values in circle order."""


@dataclass(frozen=True)
class Check:
    """How one row is made; `shared` rows need the reference folder, `quick` rows run in CI."""

    name: str
    target: str
    run: Callable[[bool], tuple[str, bool]]
    shared: bool = False
    quick: bool = True


# --- Value Portrait --------------------------------------------------------------------------------------------------


def published(quick: bool) -> tuple[str, bool]:
    """Score the raw answers of 22 models and compare every number with the one published."""
    answers = scoring.read("value-portrait", PUBLISHED / "answers.csv.gz", folder=OFFICIAL)
    found = scoring.nested(scoring.score("value-portrait", answers, rule="released", folder=OFFICIAL))
    worst, good, compared = 0.0, 0, 0
    for path in sorted((PUBLISHED / "scores").glob("*.json")):
        official = json.loads(path.read_text("utf-8"))
        mine = found[official["meta"]["model_name"]]
        gaps = [
            abs(mine[family][scale][name] - numbers[name])
            for family, scales in official["scores"].items()
            for scale, numbers in scales.items()
            for name in ("centered_mean", "original_mean", "std_dev", "n")
        ]
        worst, compared = max(worst, *gaps), compared + len(gaps)
        good += max(gaps) <= 1e-9
    wrong, cut, n = reparsed()
    text = f"{good} of {len(found)} models, {compared:,} numbers, worst difference {worst:.1e}"
    text += f"; {wrong} of {n:,} answers re-parsed otherwise, {cut} whose published text is cut short before its label"
    return text, good == len(found) == 22 and wrong == 0 and cut <= 2


def reparsed() -> tuple[int, int, int]:
    """Parse published answers from their words alone: how many say another number, say nothing, and there are."""
    import pandas as pd

    official = pd.read_csv(PUBLISHED / "answers.csv.gz", dtype=str, keep_default_na=False)
    numbers = pd.to_numeric(official.pop("numeric_response"), errors="coerce").to_numpy()
    with tempfile.TemporaryDirectory() as place:
        official.to_csv(path := Path(place) / "words.csv", index=False)
        mine = scoring.read("value-portrait", path, folder=OFFICIAL).number
    cut = np.isnan(mine) & np.isfinite(numbers) & (official["raw_response"].str.len().to_numpy() >= 400)
    same = (mine == numbers) | (np.isnan(mine) & np.isnan(numbers))
    return int((~same & ~cut).sum()), int(cut.sum()), len(numbers)


def regenerated(quick: bool) -> tuple[str, bool]:
    """Correlate raw ratings with raw profiles again, as shipped and with the second profile of one rater."""
    shipped, repaired = (labels.diff(OFFICIAL, repaired=one) for one in (False, True))
    exact = [sum(row.exact for row in one.rows) for one in (shipped, repaired)]
    found = labels.regenerate(OFFICIAL, kind="group-centred", repaired=True)
    reliability = [one.estimate for one in found.reliability if one.value in SCHWARTZ]
    gap = max(abs(a - b) for a, b in zip(reliability, PERM, strict=True))
    text = f"{exact[0]:,} and {exact[1]:,} of {len(shipped.rows):,} exact; reliabilities within {gap:.3f}"
    return text, exact == [9282, 9880] and gap <= 0.03


def human_norms(quick: bool) -> tuple[str, bool]:
    """Average the raters' own value scores."""
    from vprobe.benchmarks import _pvq_keys as keys

    parts = [sorted(i for scale in key.scales for i in scale.items) for key in (keys.PVQ_21, keys.PVQ_40, keys.PVQ_RR)]
    whole = [part == list(range(1, n + 1)) for part, n in zip(parts, (21, 40, 57), strict=True)]
    norms = {row.value: row.mean for row in labels.pvq_norms(OFFICIAL)}
    wanted = {"benevolence": 0.590, "universalism": 0.548, "self_direction": 0.532, "security": 0.336,
              "tradition": 0.082, "hedonism": -0.316, "stimulation": -0.388, "conformity": -0.403,
              "achievement": -0.530, "power": -0.727}  # fmt: skip
    gap = max(abs(norms[value] - mean) for value, mean in wanted.items())
    return f"keys partition {sum(whole)} of 3 questionnaires; norms within {gap:.4f}", all(whole) and gap < 0.0006


# --- SVO -------------------------------------------------------------------------------------------------------------


def ideal_angles(quick: bool) -> tuple[str, bool]:
    """Return the angles of the four ideal types."""
    found = [svo.ideal_angle(kind) for kind in slider.TYPES]
    wanted = (61.39, 37.48, 7.82, -16.26)
    ok = all(abs(a - b) < 0.005 for a, b in zip(found, wanted, strict=True))
    return " / ".join(f"{x:.2f}" for x in found), ok


def all_patterns(quick: bool) -> tuple[str, bool]:
    """Classify every way to answer the six items."""
    counts = svo.types(svo.random_angles()).sum(axis=0).astype(int).tolist()
    return " / ".join(f"{n:,}" for n in counts), counts == [260, 269_348, 261_605, 228]


def random_responder(quick: bool) -> tuple[str, bool]:
    """Return how far a random responder is from each type."""
    found = [svo.rationality(np.zeros(1), kind).random for kind in slider.TYPES]
    ok = all(abs(a - b) < 0.05 for a, b in zip(found, (38.7, 16.3, 16.4, 39.0), strict=True))
    return " ".join(f"{kind[0].upper()} {x:.1f}" for kind, x in zip(slider.TYPES, found, strict=True)), ok


# --- ValueLex --------------------------------------------------------------------------------------------------------


def planted_structure(quick: bool) -> tuple[str, bool]:
    """Recover a planted lexicon from simulated respondents, and refuse where there is none."""
    seeds = range(2 if quick else 10)
    with ProcessPoolExecutor(2) as pool:
        good = list(pool.map(structure, seeds, [True] * len(seeds)))
        none = list(pool.map(structure, seeds, [False] * len(seeds)))
    refused = sum(math.isnan(one) for one in none)
    text = f"ARI at least {min(good):.2f} over {len(good)} seeds; {refused} of {len(none)} unstructured refused"
    return text, bool(min(good) >= 0.9 and refused == len(none))


def structure(seed: int, planted: bool) -> float:
    """Return the adjusted Rand index of a study, the worse of sub-dimensions and dimensions; NaN where refused."""
    design = lexicon.Design() if planted else lexicon.Design(loading=0.0, model_share=0.6, verbosity=1.0)
    made = lexicon.simulate(design, seed=100 + seed)
    found = lexicon.analyse(made.table, subs=made.subs if planted else None, seed=seed)
    if found.refused or found.taxonomy is None:
        return math.nan
    return min(found.taxonomy.ari, found.taxonomy.ari_dimension)


def projective(quick: bool) -> tuple[str, bool]:
    """Score the organism's completions under personas and compare with the dimensions its card plants."""
    place = organism.load()
    card, backend = organism.read_card(place), backends.load(str(place), device="cpu")
    stems = benchmarks.load("valuelex")
    asked = [prompt for version in stems.versions for prompt in prompts.render(stems, template=version)]
    speakers = card.speakers[: 12 if quick else 48]
    found = []
    for speaker in speakers:
        given = [prompts.with_system(prompt, speaker.text, name=speaker.id) for prompt in asked]
        said = responses.collect(backend, given, temperature=1.0, batch_tokens=4096)
        table = scoring.as_answers(said, respondent=speaker.id, parse=valuelex.parse)
        rows = scoring.score("valuelex", table, rule="lexicon_all")
        found.append([next(row.estimate for row in rows if row.scale == name) for name in VALUELEX])
    shares = card.factor_shares(np.array([speaker.profile for speaker in speakers]))
    planted = valuelex.planted_scores(shares)[:, [valuelex.SCALES.index(name) for name in VALUELEX]]
    r = [stats.pearson(np.array(found)[:, i], planted[:, i]) for i in range(3)]
    return f"r = {', '.join(f'{one:.2f}' for one in r)} over {len(found)} personas", min(r) >= 0.9


# --- real models -----------------------------------------------------------------------------------------------------


def vprobe(work: Path, *words: str | Path) -> str:
    """Run a command as a user would, and return what it printed."""
    env = os.environ | {"VPROBE_CACHE": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "vprobe", *map(str, words)], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"vprobe {' '.join(map(str, words))}: {done.stderr.strip()[-400:]}")
    return done.stdout


INSTRUMENTS = (
    ("value-portrait", ("--limit", "60", "--versions", "v3,v3_reversed")),
    ("svo", ("--versions", "v3,v3_reversed")),
    ("valuelex", ("--versions", "v1")),
    ("portraits", ("--versions", "v1,v1_reversed")),
    ("pvq-21", ("--versions", "v1,v1_reversed")),
    ("pvq-40", ("--versions", "v1")),
    ("pvq-rr", ("--versions", "v1")),
    ("everyday", ("--limit", "12", "--versions", "v1,v1_reversed", "--generation")),
)


def on_a_real_model(quick: bool) -> tuple[str, bool]:
    """Ask, record and report every instrument with a real model, as a user would."""
    model, done = SHARED / "models" / REAL[0], []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        portraits = [item.response for item in benchmarks.load("portraits").items]
        for name, n in (("pvq_21", 21), ("pvq_40", 40), ("pvq_rr", 57)):  # their wording is the user's: ours stands in
            lines = [f'{i + 1},"{portraits[i % len(portraits)]}"' for i in range(n)]
            (work / f"{name}.csv").write_text("\n".join(("item,text", *lines)), encoding="utf-8")
        for name, words in INSTRUMENTS[: 2 if quick else None]:
            data = {
                "value-portrait": ("--data", OFFICIAL),
            }.get(name, ("--data", work) if "pvq" in name else ())
            limit = words[words.index("--limit") :][:2] if "--limit" in words else ()
            out = work / name
            vprobe(work, "extract", "--model", model, "-b", name, "--out", out, *limit, *data)
            vprobe(work, "rate", "--model", model, "-b", name, "--out", out, *words, *data)
            vprobe(work, "report", out)
            rows = store.load_rows(out, "scales", ScaleRow)
            page = (out / "report.html").read_text(encoding="utf-8")
            done.append(f"{name} {len(rows)}" if rows and "What the instruments say" in page else f"{name} NOTHING")
    return f"scores of {model.name}: {', '.join(done)}", not any("NOTHING" in one for one in done)


def own_words(quick: bool) -> tuple[str, bool]:
    """Elicit and build a lexicon from three real models; whatever comes out is reported."""
    with tempfile.TemporaryDirectory() as place:
        work, said = Path(place), []
        for name in REAL[: 1 if quick else None]:
            words = ("--personas", "1", "--temperatures", "0,0.8")
            vprobe(work, "lexicon", "elicit", "--model", SHARED / "models" / name, "--out", work / name, *words)
            said += store.load_rows(work / name, "elicited", lexicon.Elicited)
        try:
            found = lexicon.build(said, draws=99, bootstraps=20)
            text = found.refused or f"{len(found.factors)} factors of {len(found.terms)} terms"
        except InputError as error:
            text = error.found
    return f"{len({one.respondent for one in said})} respondents, {len(said)} answers: {text}", bool(said)


def million(quick: bool) -> tuple[str, bool]:
    """Read and score a million answers."""
    items = [item.id for item in benchmarks.load("everyday").items]
    versions = ("v1", "v1_reversed", "v2", "v2_reversed")
    words = ("very much like me", "like me", "not like me")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "answers.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("model,version,item_id,raw_response\n")
            for m in range(1 + 1_000_000 // (len(items) * len(versions))):
                file.writelines(
                    f"m{m},{v},{item},{words[(m + i) % 3]}\n" for v in versions for i, item in enumerate(items)
                )
        begun = time.process_time()
        answers = scoring.read("everyday", path)
        scoring.score("everyday", answers)
    taken = time.process_time() - begun
    return f"{len(answers.number):,} rows read and scored in {taken:.1f} s of CPU", taken < 60


BAD = "cannot_be_scored or is_wrong or bad or refused or complain or encoding or unknown or missing or twice"
FILES = ("bad_answers", "scoring", "scoring_value_portrait", "svo", "pvq", "valuelex", "ess", "lexicon", "compare")


def bad_input(quick: bool) -> tuple[str, bool]:
    """Run the tests of what users get wrong."""
    files = [f"tests/test_{name}.py" for name in FILES if (ROOT / f"tests/test_{name}.py").exists()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", BAD, *files],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
    return last.strip("= "), done.returncode == 0 and len(files) == len(FILES)


def reliability(quick: bool) -> tuple[str, bool]:
    """Measure how reliable the answers of the published models are, and which scales beat random sets of items."""
    answers = scoring.read("value-portrait", PUBLISHED / "answers.csv.gz", folder=OFFICIAL)
    found = psychometrics.repeatability(answers)
    one, six = (float(np.median([getattr(row, name) for row in found])) for name in ("icc_single", "icc_mean"))
    order = float(np.mean([abs(row.order_effect) for row in found]))
    ok = abs(one - 0.42) <= 0.1 and six >= 0.75 and abs(order - 0.34) <= 0.1
    return f"median ICC(2,1) {one:.2f}, ICC(3,6) {six:.2f}, mean order effect {order:.2f} points", ok


CHECKS = (
    Check("Value Portrait scores",
          "22 of 22 published models: every number within 1e-9 under `released` from raw text; answers re-parsed "
          "without one mismatch", published, shared=True),
    Check("Value Portrait loadings",
          "Regenerated loadings: 9,282 of 9,880 exact as shipped, 9,880 with the repaired profile; reliabilities "
          "within .03 of SCIENCE F1 (perm column).", regenerated, shared=True),
    Check("answers' reliability", "all six versions: ICC(3,6) >= .75, order effect reported", reliability, shared=True),
    Check("SVO ideal angles", "ideal angles 61.39 / 37.48 / 7.82 / -16.26", ideal_angles),
    Check("SVO patterns", "the 531,441-pattern class counts 260 / 269,348 / 261,605 / 228", all_patterns),
    Check("SVO random responder", "expected |error| of a random responder A 38.7 P 16.3 I 16.4 C 39.0",
          random_responder),
    Check("PVQ", "PVQ keys partition their items; human PVQ norms recomputed (BE .590 ... PO -.727).", human_norms,
          shared=True),
    Check("ValueLex structure",
          "on simulated respondents with a planted 3 x 2 structure (30 model clusters, 525 respondents) the structure "
          "is recovered (ARI >= .9) and on unstructured ones refused", planted_structure),
    Check("ValueLex projective test", "on the organism (step 2) planted dimension scores recovered r >= .9",
          projective),
    Check("ValueLex real models", "run on the three real models and reported as it comes out", own_words, shared=True),
    Check("real model",
          "Every instrument run on a real model from `../shared/models` through `rate`, `extract` and the report.",
          on_a_real_model, shared=True),
    Check("bad input", "Bad input per instrument: missing columns, duplicate rows, unknown option, ratings out of "
          "range, mixed languages or encodings, BOM, CRLF, empty file", bad_input, quick=False),
    Check("a million rows", "1 M rows (seconds, not minutes)", million),
)  # fmt: skip


def cpu_seconds() -> float:
    """Return the processor time this script and the programs it started have used."""
    return sum(os.times()[:4])


def judge(check: Check, quick: bool) -> Row:
    """Run one check; one that breaks is not ok, and the others still run."""
    begun, used = time.monotonic(), cpu_seconds()
    try:
        value, ok = check.run(quick)
    except Exception as error:
        value, ok = f"{type(error).__name__}: {error}", False
    taken = f"{time.monotonic() - begun:.0f} s, {cpu_seconds() - used:.0f} s of CPU"
    print(f"{'ok ' if ok else 'NOT'} {check.name}: {value}  [{check.target}] {taken}", flush=True)
    return Row(check.name, check.target, value, bool(ok))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="few seeds and models, under three minutes")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    wanted = parser.parse_args()
    found = []
    for check in CHECKS:
        left = check.shared and not OFFICIAL.is_dir()
        if wanted.only not in check.name or left or (wanted.quick and not check.quick):
            found.append(Row(check.name, check.target, NOT_RUN, False))
        else:
            found.append(judge(check, wanted.quick))
    more = f"; {cpu_seconds() / 60:.1f} minutes of CPU"
    return closed(found, wanted.json, some=bool(wanted.quick or wanted.only), more=more)


if __name__ == "__main__":
    sys.exit(main())
