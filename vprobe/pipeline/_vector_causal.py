"""What a vector's card says of causal checks: what is gone without it, what exchanging it does, where it acts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vprobe.types import AblationRow, CardFact, CardPart, InterchangeRow, PositionRow

SHARE = "share"


def causal(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Return the figures of the causal checks of one vector, each with its null vectors and n.

    Args:
        parts: The card's parts.
    """
    known = {part.key: part for part in parts}
    taken: tuple[AblationRow, ...] = known["causal"].rows("ablations")
    given: tuple[InterchangeRow, ...] = known["causal"].rows("interchange")
    places: tuple[PositionRow, ...] = known["positions"].rows("positions")
    return (*(_gone(row) for row in taken), *(_exchanged(row) for row in given), *_placed(places))


def _gone(row: AblationRow) -> CardFact:
    note = (
        f"null vectors take up to {_three(row.reach)} (95 % of at least {row.n_null} a kind), it goes "
        f"{'beyond' if row.beyond else 'no further'}; of the other values {_three(row.others)} is gone "
        f"({_three(row.others_low)} to {_three(row.others_high)}); {row.n_conditions} personas"
    )
    if math.isnan(row.removed):
        note = f"nothing to take away: ratings follow what is read by {_three(row.base)} points; {row.n_conditions} "
        note += "personas"
    return CardFact("causal", "gone without it of what ratings owe to it", row.removed, row.low, row.high, row.n_items,
                    SHARE, source="ablations", note=note)  # fmt: skip


def _exchanged(row: InterchangeRow) -> CardFact:
    note = (
        f"slope {_three(row.slope)}, null vectors reach {_three(row.reach)} (95 % of {row.n_null}); {row.verdict}; "
        f"{row.n_pairs} pairs of personas"
    )
    return CardFact("causal", "made by its coordinate alone of the natural slope", row.ratio, row.ratio_low,
                    row.ratio_high, row.n_items, SHARE, source="interchange", note=note)  # fmt: skip


def _placed(rows: Sequence[PositionRow]) -> list[CardFact]:
    whole = next((row for row in rows if row.positions == "all"), None)
    beside = f", all tokens {_three(whole.effect)}" if whole else ""
    return [
        CardFact("positions", f"of the effect, steering {row.positions.replace('_', ' ')} alone", row.of_all,
                 row.of_all_low, row.of_all_high, row.n_items, SHARE, source="positions",
                 note=f"effect {_three(row.effect)}{beside}; no null vectors are steered here")
        for row in rows if row.positions != "all"
    ]  # fmt: skip


def _three(x: float) -> str:
    return f"{x:.3g}" if math.isfinite(x) else "n/a"
