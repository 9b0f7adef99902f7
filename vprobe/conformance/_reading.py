"""Checks by reading: where, in which rows, on which tokens and how exactly a change arrives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from vprobe.conformance._bench import FAIL, REMOVE, Bench, Stop, Verdict
from vprobe.errors import ModelError
from vprobe.types import Direction, Site, Steered, Steering


def every_row(on: Bench) -> Verdict:
    """Steer a batch of three texts; each must move by coefficient x direction."""
    change = on.change()
    wanted = change.coefficient * change.direction.vector
    errors = [on.off(row, wanted) for row in on.moved([on.site], "last_prompt", [change])[0]]
    wrong = [i for i, error in enumerate(errors) if not error <= on.limit]
    return Verdict(not wrong, f"rows not moved as told: {wrong}" if wrong else f"error {max(errors):.1e} of the norm")


def layer_convention(on: Bench) -> Verdict:
    """Steer after one block; nothing may move before it, and the next block must be handed what was steered."""
    last = on.backend.info.n_layers - 1
    sites = [Site(on.layer, "resid_pre"), Site(on.layer)] if "resid_pre" in on.backend.points else [Site(on.layer)]
    sites += [Site(on.layer - 1)] if on.layer else []
    sites += [Site(on.layer + 1, "resid_pre")] if on.layer < last and "resid_pre" in on.backend.points else []
    change = on.change()
    moved, full = on.moved(sites, "last_prompt", [change]), change.coefficient * change.direction.vector
    wanted = [full if site in (Site(on.layer), Site(on.layer + 1, "resid_pre")) else 0 * full for site in sites]
    wrong = [str(s) for s, m, w in zip(sites, moved, wanted, strict=True) if not on.off(m, w) <= on.limit]
    shown = ", ".join(map(str, sites))
    return Verdict(not wrong, f"moved wrongly: {', '.join(wrong)}" if wrong else f"as told at {shown}")


def positions(on: Bench) -> Verdict:
    """Steer prompt, response, answer and all; the last prompt token and the response must move when named."""
    wrong = []
    for rule, at_prompt, at_response in (
        ("all", 1, 1), ("prompt", 1, 0), ("response", 1, 1), ("after_prompt", 0, 1), ("last_prompt", 1, 0),
        ("from:0", 1, 1), ("from:-1", 1, 1),
    ):  # fmt: skip
        change = on.change(positions=rule)
        full = change.coefficient * change.direction.vector
        for position, share in (("last_prompt", at_prompt), ("response_mean", at_response)):
            if not on.off(on.moved([on.site], position, [change])[0], share * full) <= on.limit:
                wrong.append(f"{rule} at {position}")
    return Verdict(not wrong, "wrong: " + "; ".join(wrong) if wrong else "seven rules name the tokens they should")


def operations(on: Bench) -> Verdict:
    """Take a projection out; none may be left, in any row."""
    change = on.change(operation=REMOVE)
    left = on.read([on.site], "last_prompt", [change])[0] @ change.direction.vector.astype(np.float64)
    error = float(np.abs(left).max() / on.norm)
    before = float(np.abs(on.read([on.site], "last_prompt")[0] @ change.direction.vector).max() / on.norm)
    return Verdict(error <= on.limit, f"projection {before:.2f} of the norm before, {error:.1e} after")


def rows_of_their_own(on: Bench) -> Verdict:
    """Give each row changes of its own, one of them none; each must get what it gets alone."""
    lists = [[on.change(1.0)], [], [on.change(-2.0, seed=2)]]
    together = on.read([on.site], "last_prompt", lists)[0]
    alone = [on.read([on.site], "last_prompt", arm)[0][i] for i, arm in enumerate(lists)]
    error = on.off(together, np.stack(alone))
    scored = on.backend.choose(on.answers, steering=lists)
    apart = [on.backend.choose([row], steering=arm)[0] for row, arm in zip(on.answers, lists, strict=True)]
    gap = float(np.abs(np.subtract(scored, apart)).max())
    texts = on.write(on.asked, 4, lists)
    same = on.same(texts, [on.write([row], 4, arm)[0] for row, arm in zip(on.asked, lists, strict=True)])
    fine = error <= on.limit and gap <= 100 * on.limit and same
    shown = "same" if same else "other"
    return Verdict(fine, f"read off by {error:.1e} of the norm, log-probabilities by {gap:.1e}, {shown} tokens")


def number_format(on: Bench) -> Verdict:
    """Add very little; a float32 model must move by just that. Shorter formats must be told as such."""
    x = on.read([on.site], "last_prompt")
    small = 1e-5 if on.backend.info.dtype == "float32" else 0.5
    change = on.change(small)
    moved = on.moved([on.site], "last_prompt", [change])[0]
    wanted = change.coefficient * change.direction.vector
    error = float(np.linalg.norm(moved - wanted, axis=-1).max() / np.linalg.norm(wanted))
    fine = x.dtype == np.float32 and error <= 0.2
    return Verdict(fine, f"{small:g} of the norm arrives with {error:.0%} error; model {on.backend.info.dtype}, "
                         f"readings {x.dtype}")  # fmt: skip


def hooks_removed(on: Bench) -> Verdict:
    """Steer every verb, and so that it fails halfway; unsteered results must be what they were at first, to the bit."""
    before = on.clean or on.unsteered()
    for name, run in _verbs(on).items():
        run([on.change(4.0)])
        broke = False
        try:
            run([on.change(4.0, operation=FAIL)])
        except Exception as error:
            broke = isinstance(error, Stop) or "Stop" in repr(error.__cause__) + type(error).__name__
        if not broke:
            return Verdict(False, f"an error in an operation did not come out of {name}")
        after = on.unsteered()
        same = np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1]) and before[2] == after[2]
        if not same:
            return Verdict(False, f"steering stays after the call of {name}")
    return Verdict(True, "unsteered results are what they were")


def _verbs(on: Bench) -> dict[str, Callable[[Steered], object]]:
    """Return the verbs that take steering."""
    return {
        "read": lambda steering: on.read([on.site], "last_prompt", steering),
        "choose": on.choose,
        "generate": lambda steering: on.write(on.asked, 3, steering),
    }


def zero_is_nothing(on: Bench) -> Verdict:
    """Steer with coefficient 0; not a bit may differ."""
    change = [on.change(0.0)]
    same = np.array_equal(on.read([on.site], "last_prompt"), on.read([on.site], "last_prompt", change))
    same = same and np.array_equal(on.choose(), on.choose(change))
    same = same and on.write(on.asked, 3) == on.write(on.asked, 3, change)
    return Verdict(same, "no bit differs" if same else "coefficient 0 changes results")


def other_models(on: Bench) -> Verdict:
    """Steer every verb with a direction of another model; it must be refused."""
    change = on.change()
    foreign = dataclasses.replace(change, direction=dataclasses.replace(change.direction, model="0" * 64))
    for name, run in _verbs(on).items():
        try:
            run([foreign])
        except ModelError:
            continue
        return Verdict(False, f"a direction of another model was used by {name}")
    return Verdict(True, "refused")


def heads(on: Bench) -> Verdict:
    """Steer one part of the attention heads' outputs; only that part may move, in every row, and attention with it."""
    return _inside(on, "head_out", "attn_out")


def neurons(on: Bench) -> Verdict:
    """Steer some neurons; only those may move, in every row, and the MLP's output with them."""
    return _inside(on, "mlp_neurons", "mlp_out")


def _inside(on: Bench, point: str, output: str) -> Verdict:
    site, out = Site(on.layer, point), Site(on.layer, output)
    try:
        width = on.read([site], "last_prompt").shape[-1]
    except ModelError:
        return Verdict(None, f"{point} cannot be read here")
    start, end = width // 4, width // 2
    vector = np.zeros(width, np.float32)
    vector[start:end] = on.direction(site, width).vector[start:end]
    vector /= np.linalg.norm(vector)
    way = Direction(vector, site, "benevolence", "check", "write", model=on.backend.info.fingerprint)
    change = Steering(on.change().operation, way, on.norm)
    moved = on.moved([site], "last_prompt", [change])[0]
    error = on.off(moved, on.norm * vector)
    passed_on = np.linalg.norm(on.moved([out], "last_prompt", [change])[0], axis=-1).min() / on.norm
    fine = error <= on.limit and passed_on > 1e-6
    return Verdict(
        bool(fine), f"columns {start} to {end - 1}: off by {error:.1e} of the norm, {output} moves by {passed_on:.1e}"
    )
