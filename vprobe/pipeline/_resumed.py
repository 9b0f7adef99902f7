"""Stages that ask a model much, and go on where they stopped: what it answered is looked up, not asked again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np

from vprobe import store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline._asked import Questions, packed, unpacked
from vprobe.pipeline._common import PACKAGES, placement
from vprobe.types import Answers, Generation, Site, Steered, Steering, Tokens

ENGINES = ("transformer-lens", "nnsight", "accelerate", "torchao", "bitsandbytes")
"""Packages a model may be run with, beside those every model needs."""


@contextmanager
def at_work(folder: Path, stage: str, backend: Backend, config: RunConfig) -> Iterator[Backend]:
    """Time a stage, keep other processes off it, and keep what the model answers until it is done.

    A stage that was stopped asks again what it asked before, and gets the answers that were kept: the same numbers to
    the last bit, so that its tables have the bytes of one that was never stopped.

    Args:
        folder: The run folder, made when missing.
        stage: Name of the stage.
        backend: The model; one that is resumed already, see `resumed`, keeps its own answers.
        config: Says how the model was loaded.

    Yields:
        The model to ask.

    Raises:
        StoreError: The folder cannot be written, is no run folder, or another process makes the same stage.
    """
    with store.timed(folder, stage, device=backend.device), resumed(folder, stage, backend, config) as asked:
        yield asked


@contextmanager
def resumed(folder: Path, stage: str, backend: Backend, config: RunConfig) -> Iterator[Backend]:
    """Keep what a model answers within a block, on disk, until the block ends well.

    Args:
        folder: The run folder.
        stage: Names the file.
        backend: The model; one that is resumed already is handed on as it is.
        config: Says how the model was loaded.
    """
    if isinstance(backend, Resumed):
        yield cast(Backend, backend)
        return
    with store.CallLog(folder, stage, _head(backend, config)) as log:
        yield cast(Backend, Resumed(backend, log))


def _head(backend: Backend, config: RunConfig) -> dict[str, str]:
    """Return what an answer depends on beside the question; where it differs all is asked anew."""
    versions = {name: _version(name) for name in ("vprobe", *PACKAGES[:4], *ENGINES)}
    info, placed = backend.info, placement(config)
    return versions | {
        "code": CODE,
        "model": info.fingerprint,
        "dtype": info.dtype,
        "loaded": repr((config.backend, config.revision, config.trust_remote_code, placed)),
        "device": backend.device.partition(":")[0],
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _code() -> str:
    root = Path(__file__).resolve().parents[1]
    files = [(path.relative_to(root).as_posix(), path) for path in sorted(root.rglob("*.py")) if path.is_file()]
    return hashlib.sha256(repr([(name, path.read_bytes()) for name, path in files]).encode()).hexdigest()


CODE = _code()
"""Digest of vprobe's own source as it was imported, so that no answer is taken from before a change to it."""


class Resumed:
    """A model whose answers are kept in a log; asked the same again, it answers from there.

    What was done to a loaded model by hand, such as a hook of one's own, is not seen. What a question holds that has no
    name, such as a gate of one's own, makes it one that is asked every time.

    Args:
        backend: The model.
        log: Where its answers are kept.
    """

    def __init__(self, backend: Backend, log: store.CallLog) -> None:
        self._backend, self._log = backend, log
        self._question = Questions()

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself has of that name: what it is, and verbs that are not kept."""
        if name == "_backend":  # of a copy that is still being made
            raise AttributeError(name)
        return getattr(self._backend, name)

    def read(
        self, rows: Sequence[Tokens], sites: Sequence[Site], positions: Sequence[str], *, steering: Steered = ()
    ) -> np.ndarray:
        """Return activations, see `Backend.read`."""
        asked = ("read", rows, sites, positions, steering)
        return self._once(asked, lambda: self._backend.read(rows, sites, positions, steering=steering))

    def choose(self, rows: Sequence[Answers], *, steering: Steered = ()) -> tuple[tuple[float, ...], ...]:
        """Return log-probabilities of whole options, see `Backend.choose`."""
        return self._once(("choose", rows, steering), lambda: self._backend.choose(rows, steering=steering))

    def choose_arms(
        self, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]
    ) -> tuple[tuple[tuple[float, ...], ...], ...]:
        """Return log-probabilities of whole options per arm, see `Backend.choose_arms`."""
        return self._once(("choose_arms", rows, arms), lambda: self._backend.choose_arms(rows, arms))

    def generate(
        self,
        rows: Sequence[Tokens],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        steering: Steered = (),
        stop: Sequence[str] = (),
        tell: Callable[[Sequence[Sequence[int]]], None] | None = None,
    ) -> tuple[Generation, ...]:
        """Continue texts, see `Backend.generate`; what is watched as it is written is written every time."""

        def write() -> tuple[Generation, ...]:
            return self._backend.generate(
                rows, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, steering=steering, stop=stop,
                tell=tell,
            )  # fmt: skip

        asked = ("generate", rows, max_new_tokens, temperature, seed, steering, stop)
        return write() if tell is not None else self._once(asked, write)

    def drift(self, rows: Sequence[Tokens], *, steering: Steered) -> np.ndarray:
        """Return what steering does to other texts, see `Backend.drift`."""
        return self._once(("drift", rows, steering), lambda: self._backend.drift(rows, steering=steering))

    def _once(self, asked: tuple[Any, ...], ask: Callable[[], Any]) -> Any:
        key = self._question.key(asked)
        if key and (kept := self._log.get(key)) is not None:
            return unpacked(kept)
        answer = ask()
        if not key:
            return answer
        kept = packed(answer)
        self._log.put(key, kept)
        return unpacked(kept)  # of the types and layout it has when it is looked up
