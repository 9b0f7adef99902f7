"""Checks by what the model says: caches, padding, the first token, and whether the verbs agree."""

from __future__ import annotations

import dataclasses

import numpy as np

from vprobe.conformance._bench import Bench, Verdict
from vprobe.types import Answers, Steering, Tokens

_COUNT = 5


def _grown(on: Bench, row: Tokens, change: Steering) -> tuple[int, ...]:
    """Write token by token, the whole text anew for each: no step has a cache of an earlier one."""
    ids: tuple[int, ...] = ()
    for _ in range(_COUNT):
        more = on.write([dataclasses.replace(row, ids=row.ids + ids)], 1, [change])[0]
        if not more:
            break
        ids += more
    return ids


def cache(on: Bench) -> Verdict:
    """Write steered with and without a cache; every token must be the same."""
    doses = ((3.0, "all"), (3.0, "response"), (3.0, "after_prompt"), (0.5, "all"), (1.0, "after_prompt"))
    for strength, rule in doses:
        change = on.change(strength, rule, seed=round(10 * strength))
        if not on.same(on.write(on.asked, _COUNT, [change]), [_grown(on, row, change) for row in on.asked]):
            return Verdict(False, f"steering {rule} by {strength:g}: tokens differ from those written without a cache")
    return Verdict(True, "all, response and after_prompt: same tokens with and without a cache")


def decode_only(on: Bench) -> Verdict:
    """Steer the answer only; it must change, more and more strongly steered, after its first token."""
    base = on.write(on.asked, _COUNT)
    for strength in (4.0, 16.0, 64.0):
        steered = on.write(on.asked, _COUNT, [on.change(strength, "after_prompt")])
        if any(a[1:] != b[1:] for a, b in zip(base, steered, strict=True)):
            return Verdict(True, f"tokens change at {strength:g} residual norms")
    return Verdict(False, "no token changes even at 64 residual norms: a silent no-op")


def first_token(on: Bench) -> Verdict:
    """Read the first answer token's probabilities: "response" must move them, "after_prompt" must not."""
    firsts = sorted(
        {option[0] for row in on.answers for option in row.options} | {row.prompt.ids[0] for row in on.answers}
    )
    rows = [Answers(row.prompt, tuple((t,) for t in firsts), tuple(map(str, firsts)), tuple(map(float, firsts)))
            for row in on.answers]  # fmt: skip
    base = np.array(on.backend.choose(rows))
    moves = {
        rule: np.abs(np.array(on.backend.choose(rows, steering=[on.change(4.0, rule)])) - base).max(axis=1)
        for rule in ("response", "after_prompt", "prompt", "last_prompt")
    }
    still = float(moves["after_prompt"].max())
    acting = min(float(moves[rule].min()) for rule in ("response", "prompt", "last_prompt"))
    fine = still <= on.limit and acting > 10 * on.limit
    return Verdict(
        fine, f"log-probability moves by {still:.1e} under after_prompt, at least {acting:.1e} under the others"
    )


def padding(on: Bench) -> Verdict:
    """Run texts of different length as one batch and one by one, steered; results must be the same."""
    change = [on.change(1.0, "response")]
    together = on.read([on.site], "response_mean", change)[0]
    alone = [on.backend.read([row], [on.site], ["response_mean"], steering=change)[0, 0, 0] for row in on.said]
    error = on.off(together, np.stack(alone))
    scored = np.array(on.backend.choose(on.answers, steering=change))
    gap = float(np.abs(scored - [on.backend.choose([row], steering=change)[0] for row in on.answers]).max())
    texts = on.write(on.asked, _COUNT, change)
    same = on.same(texts, [on.write([row], _COUNT, change)[0] for row in on.asked])
    fine = error <= on.limit and gap <= 100 * on.limit and same
    return Verdict(fine, f"read off by {error:.1e} of the norm, log-probabilities by {gap:.1e}, "
                         f"{'same' if same else 'other'} tokens")  # fmt: skip


def verbs_agree(on: Bench) -> Verdict:
    """Let the model write one token, steered, and score it among others: it must be the most probable."""
    wrong = []
    for strength in (0.0, 2.0, -2.0):
        change = [on.change(strength, "all")]
        for row, (written,) in zip(on.asked, [t or (-1,) for t in on.write(on.asked, 1, change)], strict=True):
            if written < 0:
                continue  # it ended its turn at once: nothing to compare
            tokens = list(dict.fromkeys([written, *row.ids]))
            asked = Answers(row, tuple((t,) for t in tokens), tuple(map(str, tokens)), tuple(map(float, tokens)))
            scores = on.backend.choose([asked], steering=change)[0]
            if scores[0] < max(scores) - on.limit:
                wrong.append(f"{strength:g}")
    shown = ", ".join(dict.fromkeys(wrong))
    return Verdict(not wrong, f"they disagree at strength {shown}" if wrong else "what is written is the most probable")


def choices_move(on: Bench) -> Verdict:
    """Steer; the options' log-probabilities must move in every row."""
    moved = np.abs(np.subtract(on.backend.choose(on.answers, steering=[on.change(2.0)]), on.backend.choose(on.answers)))
    least = float(moved.max(axis=1).min())
    return Verdict(least > 10 * on.limit, f"the least moved row moves by {least:.1e}")
