"""The whole story on one screen: items, activations and answers, directions, scores, agreement, steering, report."""

from __future__ import annotations

from pathlib import Path

from vprobe import benchmarks, organism, report
from vprobe.backends import Backend
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline._ablate import ablate
from vprobe.pipeline._across import Across, across
from vprobe.pipeline._agree import agree
from vprobe.pipeline._audit import steer_audit
from vprobe.pipeline._borrow import borrow, score
from vprobe.pipeline._check import Checked, check_run
from vprobe.pipeline._claims import as_claimed, claims
from vprobe.pipeline._common import Stage, Tell, check, load_backend, model_path, quiet
from vprobe.pipeline._compare import Compared, compare
from vprobe.pipeline._damage import steer_damage
from vprobe.pipeline._demographics import demographics
from vprobe.pipeline._eval import Tasks, steer_eval
from vprobe.pipeline._extract import extract
from vprobe.pipeline._final import open_final
from vprobe.pipeline._find import probe
from vprobe.pipeline._foresee import foresee
from vprobe.pipeline._import import import_vectors
from vprobe.pipeline._induce import induce
from vprobe.pipeline._interchange import interchange
from vprobe.pipeline._ladder import Climbed, climb, for_report
from vprobe.pipeline._lexicon import build_lexicon, elicit, word_groups
from vprobe.pipeline._lookup import direction
from vprobe.pipeline._matrix import steer_matrix
from vprobe.pipeline._personas import personas
from vprobe.pipeline._positions import positions
from vprobe.pipeline._read import rate
from vprobe.pipeline._recorded import as_recorded, otherwise
from vprobe.pipeline._reliability import Reliability, reliability, write_labels
from vprobe.pipeline._resumed import resumed
from vprobe.pipeline._said import steer_said
from vprobe.pipeline._schema import Column, about, export, schema
from vprobe.pipeline._scorers import Judged, completions_of, judged
from vprobe.pipeline._shift import shift
from vprobe.pipeline._solve import Wish, steer_solve
from vprobe.pipeline._spoken import steer_text
from vprobe.pipeline._steer import steer_sweep
from vprobe.pipeline._transfer import INSTRUMENTS, steer_transfer
from vprobe.pipeline._tried import in_words
from vprobe.pipeline._truth import truth
from vprobe.pipeline._vector_card import as_read, as_steered, card_values, vector_card, write_cards
from vprobe.pipeline._vector_make import make_missing

__all__ = [
    "INSTRUMENTS",
    "Across",
    "Checked",
    "Climbed",
    "Column",
    "Compared",
    "Judged",
    "Reliability",
    "Stage",
    "Tasks",
    "Wish",
    "ablate",
    "about",
    "across",
    "agree",
    "as_claimed",
    "as_read",
    "as_recorded",
    "as_steered",
    "borrow",
    "build_lexicon",
    "card_values",
    "check_run",
    "claims",
    "climb",
    "compare",
    "completions_of",
    "demo",
    "demographics",
    "direction",
    "elicit",
    "export",
    "extract",
    "foresee",
    "import_vectors",
    "in_words",
    "induce",
    "interchange",
    "judged",
    "make_missing",
    "model_path",
    "open_final",
    "otherwise",
    "personas",
    "positions",
    "probe",
    "rate",
    "reliability",
    "run",
    "schema",
    "score",
    "shift",
    "steer_audit",
    "steer_damage",
    "steer_eval",
    "steer_matrix",
    "steer_said",
    "steer_solve",
    "steer_sweep",
    "steer_text",
    "steer_transfer",
    "truth",
    "vector_card",
    "word_groups",
    "write_cards",
    "write_labels",
    "write_report",
]

DEMO_QUERIES = 104
DEMO_STRENGTHS = (-0.03, -0.015, 0.0, 0.015, 0.03)
ABLATED = {"steer_value": ("all",), "steer_positions": "response", "steer_limit": 8, "null_draws": 20}
ABLATED_UNDER = 8
"""Personas; with `ABLATED` what ablation looks at in a whole run. `vprobe steer ablate` looks at more."""


def run(config: RunConfig, *, tell: Tell = quiet) -> Stage:
    """Tell the whole story: what the model reads, how it rates, whether the two agree, and what steering does.

    Args:
        config: Everything the run depends on.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: Whatever a stage refuses; what earlier stages computed is kept.
    """
    folder = Path(config.out)
    check(config)
    backend = load_backend(config)

    read = extract(config, backend=backend, tell=tell)
    asked = rate(config, backend=backend, tell=tell)
    found = probe(folder, config, tell=tell)
    agreed = agree(folder, config, tell=tell)
    with resumed(folder, "run", backend, config) as kept:
        steered = steer_sweep(folder, config, backend=kept, tell=tell)
        induced = (
            personas(folder, config, backend=kept, tell=tell),
            _ablated(folder, config.changed(ABLATED), kept, tell),
        ) if config.personas else ()  # fmt: skip
    stands = claims(folder, config, tell=tell)
    truth(folder, config)
    page = write_report(folder)

    stages = (read, asked, found, agreed, steered, *induced, stands)
    facts = tuple((f"{stage.name}: {name}", value) for stage in stages for name, value in stage.facts)
    return Stage("run", folder, (*facts, ("report", page)), tuple(c for stage in stages for c in stage.counts))


def _ablated(folder: Path, config: RunConfig, backend: Backend, tell: Tell) -> Stage:
    """Ablate within a whole run; a run in which nothing can be taken out goes on, and says why."""
    try:
        return ablate(folder, config, conditions=ABLATED_UNDER, backend=backend, tell=tell)
    except RefusedError as error:
        return Stage("steer ablate", folder, (("not made", str(error).replace("\n", "; ")),), ())


def demo(out: Path, *, world: str = "good", seed: int = 0, tell: Tell = quiet) -> Stage:
    """Run the whole study on the model that ships with vprobe, whose values we planted, with the truth beside it.

    Args:
        out: Run folder.
        world: "good", or "W1" to "W9" for a world in which a claim is false.
        seed: Seed of everything drawn; other than 0, or in another world, it draws items too.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: No such world, or whatever a stage refuses.
    """
    wanted = organism.find_world(world)
    data = _items_of(wanted, seed) if world != "good" or seed else ""
    config = RunConfig(
        model=str(organism.load(wanted.name)),
        benchmark=("planted",),
        data=data,
        sites=tuple(dict.fromkeys(("resid_post:all", wanted.site.replace(".", ":")))),
        versions=("v1", "v1_reversed"),
        method=("partial", "covariance"),
        out=str(out),
        seed=seed,
        steer_method=wanted.method,
        steer_site=wanted.site,
        strengths=DEMO_STRENGTHS,
        steer_value=("benevolence",),
        steer_versions=("v1",),
        personas=48,
    )
    return run(config, tell=tell)


def _items_of(world: organism.World, seed: int) -> str:
    """Draw a world's items into the user's cache."""
    drawn = organism.draw(DEMO_QUERIES, seed=seed, labels=world.labels, codes=world.codes, alone=world.alone)
    folder = benchmarks.cache_folder() / "items" / f"{world.name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    planted.write(folder / "planted.json", drawn.records, drawn.reliability)
    return str(folder)


def write_report(folder: Path) -> Path:
    """Write `report.html` and its figures from what a run holds, and return its path.

    Args:
        folder: Run folder.
    """
    return report.write(folder, ladder=for_report(folder))
