"""At which level a claim is made."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.errors import RefusedError

FEWEST_NULLS = 20
"""Null vectors of each kind without which a causal claim, and rung 6, have no 95th percentile to speak of."""


@dataclass(frozen=True)
class Level:
    """Family-wise level and the permutations behind it.

    Args:
        alpha: Family-wise level.
        draws: Permutations.
        seed: Seed of whatever is drawn.

    Raises:
        RefusedError: So few draws that no p can reach the level.
    """

    alpha: float
    draws: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or (self.draws + 1) * self.alpha < 1:
            raise RefusedError(
                f"{self.draws} draws for alpha {self.alpha:g}", where="claims", expected="at least 1 / alpha draws",
                do=f"set claim_draws to {round(2 / self.alpha) if 0 < self.alpha < 1 else 2000} or more",
            )  # fmt: skip
