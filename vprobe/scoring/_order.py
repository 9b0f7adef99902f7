"""Where an option stands moves its probability; what can be told of that from both orders is taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax

from vprobe.types import Response

REVERSED = "_reversed"


def corrected(responses: Sequence[Response]) -> tuple[float, ...]:
    """Return expected ratings with the preference for places in the list of options divided out.

    Per wording the log-probabilities are averaged by place over all items in both orders. A place holds the same two
    labels over both orders as its mirror image, so their difference is a preference for the place itself; what places
    and mirror images share cannot be told from a preference for middling or extreme labels, and stays. Wordings asked
    in one order only stay as they are; answers without log-probabilities are NaN.

    Args:
        responses: A model's answers.

    Source: after Zheng et al. (2024), Large Language Models Are Not Robust Multiple Choice Selectors, ICLR (PriDe).
    """
    out = np.array([one.expected for one in responses], dtype=np.float64)
    names = {one.template for one in responses if one.logprobs is not None}
    for name in sorted(names):
        if name + REVERSED in names:
            rows = [i for i, one in enumerate(responses) if one.logprobs and one.template in (name, name + REVERSED)]
            for n in {len(responses[i].ratings) for i in rows}:
                mine = [i for i in rows if len(responses[i].ratings) == n]
                out[mine] = _without_places([responses[i] for i in mine])
    return tuple(float(one) for one in out)


def _without_places(answers: Sequence[Response]) -> Float[np.ndarray, " answer"]:
    logs = log_softmax(np.array([one.logprobs for one in answers], dtype=np.float64), axis=1)
    orders = [one.template.endswith(REVERSED) for one in answers]
    mean = np.mean([logs[np.array(orders) == turned].mean(axis=0) for turned in set(orders)], axis=0)
    place = (mean - mean[::-1]) / 2.0 if len(set(orders)) == 2 else np.zeros(logs.shape[1])
    weights = np.exp(log_softmax(logs - place, axis=1))
    return (weights * np.array([one.ratings for one in answers])).sum(axis=1)
