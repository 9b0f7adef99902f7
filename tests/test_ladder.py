"""The claim ladder ends at the first rung that fails or that nobody looked at."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
from vprobe import claims
from vprobe.claims import Evidence
from vprobe.types import AblationRow, Agreement, ClaimRow, InterchangeRow


def row(level: str = "item", **changed) -> Agreement:
    base = Agreement(
        level=level, comparison="probe~label", value="power", statistic="r", estimate=0.5, low=0.4, high=0.6,
        null_mean=0.0, null_low=-0.1, null_high=0.1, p=0.01, p_family=0.01, ceiling=0.6, n_scored=50, n_unscored=0,
        n_groups=50,
    )  # fmt: skip
    return replace(base, **changed)


def made(name: str, stands: bool = True) -> ClaimRow:
    reason = "" if stands else f"{name} refused"
    return ClaimRow(name, "power", stands, reason, "r", 0.5, 0.0005, 0.001, 2000, 500, "partial", "resid_post.1")


ABLATED = AblationRow(
    value="power", method="partial", site="resid_post.1", positions="response", share=0.2, base=0.4, base_low=0.3,
    base_high=0.5, slope=0.1, removed=0.9, low=0.85, high=0.95, isotropic=0.1, random=0.5, shuffled=0.6, other=0.2,
    reach=0.6, beyond=True, others=0.0, others_low=-0.1, others_high=0.1, mean_shift=0.0, n_null=69, n_conditions=6,
    n_items=40, n_unscored=0,
)  # fmt: skip


def exchanged(agrees: bool, verdict: str) -> InterchangeRow:
    numbers = dict.fromkeys(
        [f.name for f in fields(InterchangeRow) if f.type == "float"], 0.4
    )  # fmt: skip
    return InterchangeRow(
        value="power", method="partial", site="resid_post.1", positions="response", agrees=agrees, verdict=verdict,
        n_null=60, n_pairs=6, n_items=40, n_unscored=0, **numbers,
    )  # fmt: skip


WHOLE = Evidence(
    "power", row(), row("condition"), tuple(map(made, ("beyond text", "unique", "causal"))), untrained=0.1,
    selectivity=0.3, ablated=ABLATED, instruments=(("svo", 0.01),), families=(("qwen2", True),),
)  # fmt: skip


def climb(**changed):
    return claims.ladder([replace(WHOLE, **changed)])[0]


def test_all_evidence_reaches_the_top_and_no_evidence_the_ground() -> None:
    assert (climb().rung, climb().missing) == (8, "")
    nothing = claims.ladder([Evidence("power", None)])[0]
    assert (nothing.rung, nothing.name) == (0, "nothing shown") and "no probe scores" in nothing.missing


@pytest.mark.parametrize(
    ("rung", "changed", "why"),
    [
        (0, {"read": row(p_family=0.06)}, "family p = 0.06"),
        (0, {"read": row(estimate=-0.5)}, "r = -0.50"),
        (0, {"read": row(p=math.nan, p_family=math.nan)}, "nan"),
        (1, {"untrained": math.nan}, "no untrained model"),
        (1, {"untrained": 0.45}, "an untrained model gives 0.45"),
        (1, {"claims": ()}, "was not decided (vprobe claims RUN)"),
        (1, {"claims": (made("beyond text", False),)}, "beyond text refused"),
        (2, {"selectivity": math.nan}, "no control task"),
        (2, {"selectivity": -0.1}, "a control task does as well"),
        (2, {"claims": (made("beyond text"), made("unique", False))}, "unique refused"),
        (3, {"read": row(low=0.29)}, "0.48 of the ceiling"),
        (3, {"read": row(ceiling=0.42)}, "unmeasurable"),
        (3, {"read": row(ceiling=math.nan)}, "not known"),
        (4, {"conditions": None}, "no conditions"),
        (4, {"conditions": row("condition", p_family=0.4)}, "over 50 conditions"),
        (5, {"ablated": None}, "ablation was not tried"),
        (5, {"ablated": replace(ABLATED, beyond=False, low=0.3)}, "removes 90% of what ratings owe to it (30% to 95%)"),
        (5, {"ablated": replace(ABLATED, removed=math.nan, base=0.001)}, "nothing for ablation to take away"),
        (
            5,
            {"ablated": replace(ABLATED, n_null=19)},
            "ablation stands beside 19 null vectors of a kind, at least 20 are asked",
        ),
        (5, {"exchanged": exchanged(False, "dormant pathway: more than the whole")}, "dormant pathway"),
        (8, {"exchanged": exchanged(True, "agree")}, ""),
        (6, {"instruments": (("svo", 0.03), ("pvq-21", 0.5))}, "p = 0.06 over 2 instruments"),
        (6, {"instruments": ()}, "no instrument"),
        (7, {"families": (("llama", False),)}, "not decodable in llama"),
        (7, {"families": ()}, "no run of another family"),
    ],
)
def test_the_climb_ends_where_evidence_fails_or_is_missing_and_says_why(rung, changed, why) -> None:
    found = climb(**changed)
    assert found.rung == rung and why in found.missing


def test_later_evidence_does_not_make_up_for_an_earlier_gap() -> None:
    assert climb(untrained=math.nan, ablated=ABLATED).rung == 1
