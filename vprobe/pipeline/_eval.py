"""`steer eval`: benchmarks of lm-evaluation-harness, asked of the base model and of the steered one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vprobe import store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import info
from vprobe.pipeline._harness import Asker, adapter, library
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._spoken import changes_of
from vprobe.types import EvalRow, Steering


@dataclass(frozen=True)
class Tasks:
    """Which benchmarks are asked, and how.

    Args:
        names: Tasks or groups of tasks, by the harness' names.
        folder: Folder with tasks of one's own (YAML files); None is none.
        limit: Only the first N documents of each task; 0 is all.
        fewshot: Examples before each question; None leaves it to the task.
        chat: Ask in the model's chat template.

    Raises:
        InputError: No task, or a limit or number of examples below 0.
    """

    names: tuple[str, ...]
    folder: Path | None = None
    limit: int = 0
    fewshot: int | None = None
    chat: bool = False

    def __post_init__(self) -> None:
        if not self.names or self.limit < 0 or (self.fewshot or 0) < 0:
            raise InputError(
                f"tasks {', '.join(self.names) or 'none'}, limit {self.limit}, few-shot {self.fewshot}",
                where="steer eval", expected="at least one task, numbers from 0",
            )  # fmt: skip


def steer_eval(
    folder: Path | None,
    config: RunConfig,
    tasks: Tasks,
    *,
    value: str,
    strength: float,
    backend: Backend | None = None,
) -> tuple[EvalRow, ...]:
    """Ask benchmarks of lm-evaluation-harness without and with steering, and compare document by document.

    Args:
        folder: A run with directions, where the table `eval` is kept; None for a direction from a file.
        config: Model, method, site, positions, operation, gate and seed.
        tasks: What is asked.
        value: As for `steer_text`.
        strength: As for `steer_text`.
        backend: A model already loaded.

    Raises:
        InputError: lm-evaluation-harness is not installed, or an unknown task.
        ModelError: Requests beyond the model's context.
    """
    evaluator = library("lm_eval.evaluator")
    backend, changes, wanted = changes_of(folder, config, value=value, strength=strength, backend=backend)
    manager = _manager(tasks)
    with at_work(folder, "eval", backend, config) if folder is not None else nullcontext(backend) as asked:
        found = [_run(evaluator, Asker(asked, arm), tasks, manager, config.seed) for arm in ((), changes)]
        rows = _rows(found[0], found[1], changes, wanted)
        if folder is None:
            return rows
        more = [("tasks", list(tasks.names)), ("limit", tasks.limit), ("fewshot", tasks.fewshot), ("chat", tasks.chat)]
        store.save_rows(folder, "eval", rows, EvalRow)
        store.save_info(folder, info("eval", config, backend.info, more=[*more, ("value", value)]), "eval")
    return rows


def _manager(tasks: Tasks) -> Any:
    """Return the harness' index of tasks.

    Raises:
        InputError: A task that is not in it.
    """
    manager = library("lm_eval.tasks").TaskManager(include_path=str(tasks.folder) if tasks.folder else None)
    known = set(manager.all_tasks)
    missing = [name for name in tasks.names if name not in known]
    if missing:
        raise InputError(
            f"no task {missing[0]}", where="--tasks", expected="one that lm-eval knows",
            do="`lm_eval ls tasks` lists them; --task-folder adds your own",
        )  # fmt: skip
    return manager


def _run(evaluator: Any, asker: Asker, tasks: Tasks, manager: Any, seed: int) -> dict[str, Any]:
    return evaluator.simple_evaluate(
        model=adapter(asker, seed=seed), tasks=list(tasks.names), num_fewshot=tasks.fewshot,
        limit=tasks.limit or None, apply_chat_template=tasks.chat, task_manager=manager, bootstrap_iters=0,
        log_samples=True, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed, fewshot_random_seed=seed,
    )  # fmt: skip


def _rows(
    base: dict[str, Any], steered: dict[str, Any], changes: Sequence[Steering], wanted: Sequence[tuple[str, float]]
) -> tuple[EvalRow, ...]:
    one, several = changes[0], len(changes) > 1
    name = ", ".join(f"{value} {size:g}" for value, size in wanted) if several else one.direction.value
    told = (
        name, ", ".join(dict.fromkeys(str(change.at) for change in changes)), math.nan if several else wanted[0][1],
        math.nan if several else one.coefficient, one.operation.name, one.positions,
    )  # fmt: skip
    out = []
    for task, scores in base["results"].items():
        for key, number in scores.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(number, (int, float)):
                continue
            again = steered["results"][task]
            error = f"{metric}_stderr,{filtered}"
            before = _documents(base, task, metric, filtered, float(number))
            after = _documents(steered, task, metric, filtered, float(again[key]))
            low, high = _interval(before, after)
            better = base.get("higher_is_better", {}).get(task, {}).get(metric)
            out.append(
                EvalRow(
                    task, metric if filtered == "none" else f"{metric} ({filtered})",
                    "" if better is None else "higher" if better else "lower",
                    float(number), _error(scores.get(error), before),
                    float(again[key]), _error(again.get(error), after),
                    float(again[key]) - float(number), low, high, _count(base, task), *told,
                )
            )  # fmt: skip
    return tuple(out)


def _error(found: Any, documents: np.ndarray) -> float:
    """Return a standard error: the harness' own, or that of the mean over documents."""
    from scipy.stats import sem

    if isinstance(found, (int, float)):
        return float(found)
    return float(sem(documents)) if len(documents) > 1 else math.nan


def _count(found: dict[str, Any], task: str) -> int:
    return int(found.get("n-samples", {}).get(task, {}).get("effective", 0))


def _documents(found: dict[str, Any], task: str, metric: str, filtered: str, whole: float) -> np.ndarray:
    """Return a metric document by document; nothing where the whole is no mean of numbers of single documents."""
    samples = [one for one in found.get("samples", {}).get(task, ()) if one.get("filter", "none") == filtered]
    scores = [one.get(metric) for one in sorted(samples, key=lambda one: one["doc_id"])]
    if not all(isinstance(score, (int, float, np.number)) for score in scores):
        return np.zeros(0)
    out = np.array(scores, dtype=np.float64)
    return out if len(out) and math.isclose(out.mean(), whole, rel_tol=1e-6, abs_tol=1e-9) else np.zeros(0)


def _interval(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean change over the same documents; one that never changes has none."""
    from scipy.stats import ttest_1samp

    if len(before) < 2 or len(before) != len(after):
        return math.nan, math.nan
    change = after - before
    if not change.std():
        return math.nan, math.nan
    interval = ttest_1samp(change, 0.0).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
