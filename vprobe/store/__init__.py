"""A run folder on disk: tables, activations, the manifest. No other room opens these files.

* `run.json`: what the run was made with, and the SHA-256 of its activations.
* `timing.json`: the only file with clock or host.
* `items`, `loadings`, `reliability`, `responses`, `scores`, `agreement`, ... as `.parquet`, each with a seal: a digest
  of every column as it was written.
* `activations/`: `<position>/<site>.safetensors`, `index.jsonl` (what each row is) and `journal` (finished batches).
* `directions.safetensors` with `directions.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vprobe.store._ranks import closing
from vprobe.store.calls import CallLog
from vprobe.store.layout import RecordingPlan, Sample
from vprobe.store.manifest import check_run, differing, forget, load_info, save_info, stages
from vprobe.store.partial import ResponseLog, save_responses
from vprobe.store.reader import Recording, has_activations, load_activations, load_samples, recorded, recording
from vprobe.store.records import load_directions, load_items, records, save_directions, save_items
from vprobe.store.tables import edited, has_table, load_rows, record_of, save_rows, table
from vprobe.store.timing import timed
from vprobe.store.writer import SYNC_SECONDS, ActivationWriter

__all__ = [
    "SYNC_SECONDS",
    "ActivationWriter",
    "CallLog",
    "Recording",
    "RecordingPlan",
    "ResponseLog",
    "Sample",
    "check_run",
    "closing",
    "differing",
    "drop",
    "edited",
    "has",
    "load_activations",
    "load_directions",
    "load_info",
    "load_items",
    "load_rows",
    "load_samples",
    "record_of",
    "recorded",
    "recording",
    "records",
    "save_directions",
    "save_info",
    "save_items",
    "save_responses",
    "save_rows",
    "stages",
    "table",
    "tables_of",
    "timed",
]


OF_STAGE = (
    ("probe", ("directions", "scores", "picks", "search", "baselines", "map", "agreement")),
    ("agree", ("profile", "agreement_detail")),
    ("across", ("mtmm", "validity", "trait_pairs", "patterns", "agreement_across")),
    ("matrix", ("dose_response", "effects", "specificity")),
    ("solve", ("solved",)),
    ("eval", ("eval",)),
    ("ablate", ("ablations",)),
    ("interchange", ("interchange",)),
    ("positions", ("positions",)),
    ("imported", ("imported",)),
    ("imported_damage", ("imported_damage",)),
    ("imported_matrix", ("imported_dose_response", "imported_effects", "imported_specificity")),
    ("imported_solve", ("imported_solved",)),
    ("damage", ("damage",)),
    ("said", ("said",)),
    ("transfer", ("transfer",)),
    ("steer", ("steering", "nulls", "prompted", "prompted_items")),
    ("audit", ("audits", "audit_items")),
    ("personas", ("conditions",)),
    ("claims", ("claims",)),
    ("truth", ("truth",)),
    ("generation", ("generation",)),
    ("people", ("people", "people_pairs", "people_trends", "people_axes")),
)
"""Tables a stage makes."""


def drop(folder: Path, of: Sequence[str]) -> None:
    """Take away the results of stages whose basis has changed, so that no stale table stands beside new ones.

    Args:
        folder: The run folder.
        of: Names of stages.

    Raises:
        StoreError: Not a run folder.
    """
    for stage, names in OF_STAGE:
        if stage in of:
            for name in names:
                (folder / f"{name}.parquet").unlink(missing_ok=True)
            if "directions" in names:
                (folder / "directions.safetensors").unlink(missing_ok=True)
    forget(folder, of)


def tables_of(folder: Path) -> tuple[str, ...]:
    """List the tables a run holds, by name.

    Args:
        folder: The run folder.

    Raises:
        StoreError: Not a run folder.
    """
    check_run(folder)
    return tuple(sorted(path.stem for path in folder.glob("*.parquet")))


def has(folder: Path, name: str) -> bool:
    """Tell whether a run holds something.

    Args:
        folder: The run folder.
        name: A table's name, or "activations" for a finished recording.
    """
    return has_activations(folder) if name == "activations" else has_table(folder, name)
