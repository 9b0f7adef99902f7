"""Named checks of a model behind a backend: the ways in which steering fails without a word, each made to speak.

Only the backend's own verbs are used, so that any model and any engine, yours too, can be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vprobe.backends import Backend
from vprobe.conformance import _reading, _speaking
from vprobe.conformance._bench import Bench, Verdict, attempt, bench
from vprobe.errors import unknown

__all__ = ["Check", "check", "names"]


@dataclass(frozen=True)
class Check:
    """One check and what it found.

    Args:
        name: What must hold.
        passed: None when the model or the engine does not offer what is checked.
        found: In words.
        guards: The silent failure it guards against.
    """

    name: str
    passed: bool | None
    found: str
    guards: str


_CHECKS: tuple[tuple[str, Callable[[Bench], Verdict], str], ...] = (
    ("every row of a batch is steered", _reading.every_row, "only the first row is; or batches crash"),
    ("layers are counted from 0 by block output", _reading.layer_convention, "one block off"),
    ("position rules name their tokens", _reading.positions, "prompt-only and answer-only steer all, or nothing"),
    ("operations are carried out as they are", _reading.operations, "everything is an addition"),
    ("rows may have changes of their own", _reading.rows_of_their_own, "one row's dose leaks into the others"),
    ("the number format is the one named", _reading.number_format, "half precision without saying so"),
    ("nothing stays after a call or an error", _reading.hooks_removed, "a hook left behind steers what comes next"),
    ("coefficient 0 changes no bit", _reading.zero_is_nothing, "baseline arms that are not the baseline"),
    ("directions of other models are refused", _reading.other_models, "a vector of another model, used in silence"),
    ("parts of attention heads can be steered", _reading.heads, "a per-head path that never runs, or the wrong head"),
    ("neurons can be steered", _reading.neurons, "the wrong neurons"),
    ("choices move in every row", _speaking.choices_move, "log-probabilities taken without steering"),
    ("the first answer token follows the rule", _speaking.first_token, "three tools, three meanings of 'response'"),
    ("steering the answer alone acts", _speaking.decode_only, "a mask made for the prompt is empty with a cache"),
    ("a cache changes nothing", _speaking.cache, "steps after the prompt are not steered, or twice"),
    ("padding changes nothing", _speaking.padding, "pads are read, steered or counted as positions"),
    ("choosing and writing agree", _speaking.verbs_agree, "another engine, or other steering, per verb"),
)


def names() -> tuple[str, ...]:
    """List the checks."""
    return tuple(name for name, _, _ in _CHECKS)


def check(
    backend: Backend, *, only: Sequence[str] = (), tell: Callable[[str, int, int], None] | None = None
) -> tuple[Check, ...]:
    """Run the checks on a backend. No check raises: what goes wrong is what it found.

    Args:
        backend: A loaded model.
        only: Names of checks; empty is all.
        tell: Called with (stage, done, total).

    Raises:
        InputError: A check of that name does not exist.
        VprobeError: The model cannot even encode and run three short texts.
    """
    for name in only:
        if name not in names():
            raise unknown("check", name, names())
    on = bench(backend)
    chosen = [one for one in _CHECKS if not only or one[0] in only]
    found = []
    for i, (name, run, guards) in enumerate(chosen):
        verdict = attempt(run, on)
        found.append(Check(name, verdict.passed, verdict.found, guards))
        if tell is not None:
            tell("check", i + 1, len(chosen))
    return tuple(found)
