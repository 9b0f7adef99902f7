"""A model whose every block is spread over several ranks: rank 0 leads, and the others compute along.

All ranks have to run every forward together. Rank 0 alone decides what is run, and tells the others call by call; so
nothing else in vprobe has to know, and only rank 0 reads, writes and prints.
"""

from __future__ import annotations

import atexit
import pickle
from functools import partial
from typing import Any, final

import torch.distributed as dist

from vprobe.backends._engine import Engine
from vprobe.errors import ModelError, VprobeError

VERBS = ("read", "choose", "choose_arms", "generate", "drift", "residual_norms", "neuron_weights")


def join(engine: Engine) -> Any:
    """Return an engine that leads the other ranks, on rank 0; on another rank serve it until it ends.

    Args:
        engine: This rank's part of the model.

    Raises:
        SystemExit: On every rank but 0, when rank 0 needs it no more.
    """
    if dist.get_rank() == 0:
        return Led(engine)
    while True:
        name, args, given = pickle.loads(_told(b""))
        if not name:
            dist.destroy_process_group()
            raise SystemExit(0)
        try:
            getattr(engine, name)(*args, **given)
        except VprobeError:  # rank 0 meets the same one and says it
            continue


@final
class Led:
    """The engine of rank 0, whose calls the other ranks run too; all else is the engine's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.info, self.tokenizer, self.points = engine.info, engine.tokenizer, engine.points
        self.device, self.size = engine.device, engine.size
        atexit.register(self._end)

    def __getattr__(self, name: str) -> Any:
        """Return what the engine has under this name; a verb is told to the other ranks first."""
        return partial(self._all, name) if name in VERBS else getattr(self._engine, name)

    def _all(self, name: str, *args: Any, **given: Any) -> Any:
        sent = {key: value for key, value in given.items() if key != "tell"}  # who is told is here
        try:
            data = pickle.dumps((name, args, sent))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ModelError(
                f"a change cannot be sent to the other ranks: {error}", where=name,
                expected="operations and gates that stand in a module", do="define them in a file, not in a function",
            ) from error  # fmt: skip
        _told(data)
        return getattr(self._engine, name)(*args, **given)

    def _end(self) -> None:
        """Let the other ranks go."""
        if dist.is_initialized():
            _told(pickle.dumps(("", (), {})))
            dist.destroy_process_group()


def _told(data: bytes) -> bytes:
    """Send bytes from rank 0 to all, and return them."""
    box = [data]
    dist.broadcast_object_list(box, src=0)
    return box[0]
