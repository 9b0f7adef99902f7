"""Which of several processes of one command this is, as `torchrun` or SLURM says in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vprobe.errors import InputError

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
_STEP = "SLURM_STEP_NUM_TASKS"
"""Set by srun alone; SLURM_NTASKS is the whole job's, and is set in a job script too."""
_ELASTIC = "TORCHELASTIC_RUN_ID"
"""Set by torchrun alone."""


@dataclass(frozen=True)
class Rank:
    """One of several processes that run the same command.

    Args:
        index: Which one, from 0.
        count: How many there are.
        local: Which one on its machine, from 0; it takes the GPU of this number.

    Raises:
        InputError: An index that is not below the count.
    """

    index: int = 0
    count: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count or not 0 <= self.local <= self.index:
            raise InputError(
                f"rank {self.index} of {self.count}, number {self.local} on its machine",
                where="environment",
                expected="ranks from 0, below their number; numbers on a machine not above them",
                do="start all ranks by one torchrun or srun, or unset " + ", ".join((*_TORCHRUN, *_SLURM)),
            )

    @property
    def alone(self) -> bool:
        """True when there are no others."""
        return self.count == 1

    def device(self, name: str) -> str:
        """Return the device this rank loads its model on: the GPU with its number where the user named none.

        Args:
            name: As the user gave it, such as "auto" or "cuda".
        """
        return f"{name}:{self.local}" if not self.alone and name in ("auto", "cuda") else name


ALONE = Rank()


def find(environment: Mapping[str, str] | None = None) -> Rank:
    """Return which rank this process is; `torchrun`'s words count before SLURM's.

    Args:
        environment: Names and values; those of this process when None.

    Raises:
        InputError: Some of the variables are missing or are not numbers, or they contradict each other.
    """
    given = os.environ if environment is None else environment
    _one_voice(given)
    for names in (_TORCHRUN, _SLURM):
        first, many, local = names
        if many in given and first in given:
            count = _number(given, _STEP if _STEP in given and names is _SLURM else many)
            index = _number(given, first)
            return Rank(index, count, _number(given, local) if local in given or count > 1 else 0)
        if names is _TORCHRUN and (many in given or first in given):
            missing = first if first not in given else many
            raise InputError(
                f"{missing} is not set", where="environment", expected="all of " + ", ".join(names),
                do="start ranks by torchrun, or unset the others",
            )  # fmt: skip
    return ALONE


def _one_voice(given: Mapping[str, str]) -> None:
    """Refuse ranks of srun whose RANK and WORLD_SIZE come neither from torchrun nor from SLURM: they were left over.

    `srun torchrun` sets both, each with numbers of its own, and says that it is torchrun.
    """
    tasks = given.get(_STEP, "")
    if _ELASTIC in given or not tasks.isdecimal() or int(tasks) < 2 or _TORCHRUN[0] not in given:
        return
    for ours, theirs in ((_TORCHRUN[0], _SLURM[0]), (_TORCHRUN[1], _STEP)):
        if given.get(ours) != given.get(theirs):
            raise InputError(
                f"{ours} is {given.get(ours)}, but {theirs} is {given.get(theirs)}",
                where="environment", expected="the same of both, where srun and not torchrun started this process",
                do="unset " + ", ".join(_TORCHRUN) + " before srun",
            )  # fmt: skip


def _number(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "")
    if not text.isdecimal():
        raise InputError(
            f"{name} is {text!r}", where="environment", expected="a number from 0",
            do="start all ranks by one torchrun or srun",
        )  # fmt: skip
    return int(text)
