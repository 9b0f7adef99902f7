"""At which level a claim is made."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.errors import RefusedError

FEWEST_NULLS = 20
"""Null vectors of each kind without which a causal claim, and rung 6, have no 95th percentile to speak of."""

CHANCE = 0.05
"""A p above it is called what chance gives; below it a refusal only says that the level is not reached."""


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

    def missed(self, p: float, chance: str) -> str:
        """Return what a p that does not reach the level says: what chance gives, or no more than that it is not enough.

        Args:
            p: Above the level, or NaN.
            chance: What was drawn, such as "shuffled labels".
        """
        return f"not beyond {chance} at the level of {self.alpha:g}" if p <= CHANCE else f"what {chance} give"
