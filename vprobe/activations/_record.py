"""Reading in batches, into a run folder or into memory; how a stopped reading goes on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import batching, store
from vprobe.backends import Backend
from vprobe.errors import InputError, ModelError, unknown
from vprobe.ranks import ALONE, Rank
from vprobe.types import POSITIONS, Prompt, Site, Steering, Tokens

Progress = Callable[[int, int], None]


def record(
    backend: Backend,
    prompts: Sequence[Prompt],
    encoded: Sequence[Tokens],
    *,
    sites: Sequence[Site],
    positions: Sequence[str],
    folder: Path,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    sync_seconds: float = store.SYNC_SECONDS,
    rank: Rank = ALONE,
    settings: Sequence[tuple[str, str]] = (),
    seal: bool = True,
) -> None:
    """Read a model's activations into a run folder; a stopped reading goes on where it stopped, with the same bytes.

    Several ranks may record into one folder: each takes batches of the same plan, none waits for another.

    Args:
        backend: The model.
        prompts: What it reads; `fits` has taken out what is too long.
        encoded: Their tokens, in the same order.
        sites: Where to read.
        positions: What to average over, see `types.POSITIONS`.
        folder: The run folder.
        batch_tokens: Most tokens in a batch, padding counted; what suits the device when None.
        progress: Called with tokens done and tokens in all.
        sync_seconds: Finished batches are made durable together this often, seconds.
        rank: Which of several processes this is.
        settings: (name, value) pairs that all ranks must share.
        seal: Note the hash of every file; with several ranks for the one that closes the store.

    Raises:
        InputError: An unknown position, or a prompt that has no such stretch.
        ModelError: An activation that is not finite; its site and prompt are named.
        StoreError: The disk is full, or the folder holds something else.
    """
    if not sites or not positions:
        raise InputError("no sites or positions", where="extract", expected="at least one of each")
    recording_plan = plan(backend, prompts, encoded, sites, positions, batch_tokens)
    lengths = [len(tokens.ids) for tokens in encoded]
    writing = store.ActivationWriter(folder, recording_plan, sync_seconds=sync_seconds, rank=rank, settings=settings)
    with writing as writer, _Behind() as behind:
        total, done = sum(lengths), sum(lengths)
        done -= sum(lengths[row] for batch in writer.pending for row in recording_plan.batches[batch])
        _tell(progress, done, total)
        for batch in writer.claims():
            rows = [encoded[row] for row in recording_plan.batches[batch]]
            x = backend.read(rows, recording_plan.sites, recording_plan.positions)
            _require_finite(x, rows, recording_plan.sites, recording_plan.positions)
            behind.do(partial(writer.write, batch, x))
            done += sum(len(tokens.ids) for tokens in rows)
            _tell(progress, done, total)
        behind.wait()
        if seal:
            writer.finish()


def read_all(
    backend: Backend,
    encoded: Sequence[Tokens],
    sites: Sequence[Site],
    position: str,
    *,
    batch_tokens: int | None = None,
    steering: Sequence[Steering] = (),
) -> Float[np.ndarray, "sample site d_model"]:
    """Read activations into memory, batch by batch, in the order of the texts; nothing is stored.

    Args:
        backend: The model.
        encoded: Texts as tokens.
        sites: Where to read.
        position: What to average over, see `types.POSITIONS`.
        batch_tokens: Most tokens in a batch; what suits the device when None.
        steering: Changes made while the model runs.

    Raises:
        ModelError: An activation that is not finite.
    """
    out = np.empty((len(encoded), len(sites), backend.info.d_model), dtype=np.float32)
    for batch in batches(backend, encoded, batch_tokens, steered=bool(steering)):
        rows = [encoded[row] for row in batch]
        x = backend.read(rows, tuple(sites), (position,), steering=steering)
        _require_finite(x, rows, sites, (position,))
        out[list(batch)] = x[0]
    return out


def plan(
    backend: Backend,
    prompts: Sequence[Prompt],
    encoded: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
    batch_tokens: int | None = None,
) -> store.RecordingPlan:
    """Settle everything the bytes of a recording depend on, before any work.

    Args:
        backend: The model.
        prompts: What it reads.
        encoded: Their tokens, in the same order.
        sites: Where to read.
        positions: What to average over.
        batch_tokens: Most tokens in a batch; what suits the device when None.

    Raises:
        InputError: A prompt that is there twice.
    """
    ids = Counter(prompt.id for prompt in prompts)
    if len(ids) < len(prompts):
        raise InputError(
            f"prompt {ids.most_common(1)[0][0]} is there twice", where="extract", expected="unique prompt ids"
        )
    positions = tuple(dict.fromkeys(positions))
    samples = tuple(
        store.Sample(row, p.id, p.item_id, p.group, p.source, p.template, len(tokens.ids), tokens.spans)
        for row, (p, tokens) in enumerate(zip(prompts, encoded, strict=True))
    )
    return store.RecordingPlan(
        model=backend.info,
        device=backend.device.partition(":")[0],
        samples=samples,
        content=_content(encoded, positions),
        sites=tuple(sorted(set(sites))),
        positions=positions,
        batches=batches(backend, encoded, batch_tokens),
        batch_tokens=batch_tokens or backend.default_batch_tokens,
    )


def batches(
    backend: Backend, encoded: Sequence[Tokens], batch_tokens: int | None = None, *, steered: bool = False
) -> tuple[tuple[int, ...], ...]:
    """Divide texts into batches: texts that begin alike together where the engine computes that once, else by length.

    Args:
        backend: The model.
        encoded: The texts.
        batch_tokens: Most tokens in a batch, padding counted, or distinct tokens where they are shared; what suits the
            device when None.
        steered: True when the reading is steered; then nothing is shared.
    """
    ids = [tokens.ids for tokens in encoded]
    if backend.unshared or steered:
        return batching.plan([len(one) for one in ids], batch_tokens or backend.default_batch_tokens)
    return batching.plan_shared(ids, batch_tokens or batching.HELD * backend.default_batch_tokens)


def _content(encoded: Iterable[Tokens], positions: Sequence[str]) -> str:
    """Hash what is shown and which tokens are averaged; an unknown or missing stretch is refused before any work."""
    if wrong := [position for position in positions if position not in POSITIONS]:
        raise unknown("position", wrong[0], POSITIONS, where="--positions")
    total = hashlib.sha256()
    for tokens in encoded:
        averaged = [tokens.interval(position) for position in positions]
        total.update(repr((tokens.prompt_id, tokens.ids, averaged)).encode())
    return total.hexdigest()


def _require_finite(
    x: Float[np.ndarray, "position sample site d_model"],
    rows: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
) -> None:
    bad = np.argwhere(~np.isfinite(x).all(axis=-1))
    if len(bad):
        p, row, site = (int(i) for i in bad[0])
        raise ModelError(
            "an activation is NaN or infinite",
            where=f"site {sites[site]}, position {positions[p]}, prompt {rows[row].prompt_id}",
            expected="finite numbers",
            do="run the model with --dtype float32 or bfloat16 (float16 overflows), or leave this site out",
        )


class _Behind:
    """Writes one batch while the next is read; an error of a write comes out at the next one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._last: Future[None] | None = None

    def do(self, write: Callable[[], None]) -> None:
        """Begin a write once the last one has ended."""
        self.wait()
        self._last = self._pool.submit(write)

    def wait(self) -> None:
        """Wait for the last write, and raise what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True)  # what was read is written, also when the reading was stopped


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
