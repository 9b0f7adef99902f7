"""Which prompts, sites and positions are read inside a model, in which batches, and how a stopped reading goes on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import batching, store
from vprobe.backends import Backend
from vprobe.errors import InputError, ModelError, unknown
from vprobe.types import POINTS, POSITIONS, Answers, Count, ModelInfo, Prompt, Site, Steering, Tokens, plain_address

POLICIES = ("skip", "error")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fitting:
    """Which prompts fit a model's context, and how many do not.

    Args:
        kept: Indices of those that fit, in order.
        counts: How many were left out, by source.
    """

    kept: tuple[int, ...]
    counts: tuple[Count, ...]


def length(encoded: Tokens | Answers) -> int:
    """Return the tokens the longest text of a prompt takes: with options, the prompt and its longest option.

    An answer in free text needs room for one token at least.
    """
    if isinstance(encoded, Tokens):
        return len(encoded.ids)
    return len(encoded.prompt.ids) + max((len(option) for option in encoded.options), default=1)


def fits(
    prompts: Sequence[Prompt],
    encoded: Sequence[Tokens] | Sequence[Answers],
    context: int,
    *,
    policy: str = "skip",
    stage: str = "extract",
) -> Fitting:
    """Keep the prompts that fit a model's context; a prompt is never cut.

    Args:
        prompts: The prompts.
        encoded: Their tokens, or their tokens and options, in the same order.
        context: Longest input of the model, tokens.
        policy: "skip" leaves longer prompts out and counts them by source; "error" refuses them.
        stage: Named in the counts.

    Raises:
        InputError: Policy "error" and a prompt is too long, an unknown policy, or no prompts at all.
        ModelError: Nothing fits.
    """
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, where="--too-long")
    if not prompts:
        raise InputError("no prompts", where=stage, expected="at least one", do="choose another benchmark or template")
    lengths = [length(one) for one in encoded]
    kept = tuple(i for i, n in enumerate(lengths) if n <= context)
    of = Counter(prompt.source for prompt in prompts)
    out = Counter(prompt.source for prompt, n in zip(prompts, lengths, strict=True) if n > context)
    reason = f"longer than the model's context of {context} tokens"
    if not kept:
        raise ModelError(
            f"none of the {len(prompts)} prompts fits the model's context of {context} tokens",
            where=stage,
            expected=f"a context of at least {min(lengths)} tokens, the shortest prompt",
            do="choose a model with a longer context, or a benchmark with shorter items",
        )
    if out and policy == "error":
        by_source = ", ".join(
            f"{source or 'no source'} {out[source]} of {n}" for source, n in of.items() if out[source]
        )
        raise InputError(
            f"{out.total()} of {len(prompts)} prompts are {reason} ({by_source})",
            where=stage,
            expected="every prompt to fit, as --too-long error asks",
            do="use --too-long skip to leave them out, or a model with a longer context",
        )
    return Fitting(kept, tuple(Count(stage, reason, source, out[source], n) for source, n in of.items() if out[source]))


def expand_sites(
    specs: Sequence[str], layers: str, info: ModelInfo, points: Sequence[str] = POINTS
) -> tuple[Site, ...]:
    """Turn what a user wrote into the sites of one model, sorted by layer.

    Args:
        specs: Such as "resid_post:all", "resid_post:3,5", "attn_out:4-12", "resid_post.3", "embed" or, with the names
            of TransformerLens, "blocks.3.hook_resid_post" and "blocks.*.hook_attn_out".
        layers: Such as "4-12" or "3,5": keeps only these layers of all specs (`embed` stays); empty keeps all.
        info: The model.
        points: Points the engine can read.

    Raises:
        InputError: An unknown point (the nearest is named), a range that cannot be read, or nothing is left.
        ModelError: A layer the model does not have, or a point the engine cannot read.
    """
    allowed = _layers(layers, info, "--layers")
    found: set[Site] = set()
    for spec in (plain_address(part) for text in specs for part in text.replace(";", " ").split()):
        point, _, wanted = spec.partition(":") if ":" in spec else spec.partition(".")
        point = point.strip().lower().replace("-", "_")
        if point not in POINTS:
            raise unknown("point", point, POINTS, where=f"site {spec}")
        if point not in points:
            raise ModelError(f"point {point} cannot be read here", where=f"site {spec}", expected=", ".join(points))
        if point == "embed":
            if wanted not in ("", "0", "all"):
                raise InputError(f"embed at {wanted!r}", where=f"site {spec}", expected="embed alone: it has no layers")
            found.add(Site(0, "embed"))
        else:
            found.update(Site(layer, point) for layer in _layers(wanted, info, f"site {spec}") if layer in allowed)
    if not found:
        raise InputError(
            "no sites to read",
            where="--sites and --layers",
            expected="at least one, for example --sites resid_post:all",
            do=f"--layers {layers} leaves nothing of --sites {' '.join(specs)}" if layers else "name a site",
        )
    return tuple(sorted(found))


def _layers(text: str, info: ModelInfo, where: str) -> tuple[int, ...]:
    """Read "all", "", "3,5" or "4-12" as layers of the model."""
    if text.strip() in ("", "all"):
        return tuple(range(info.n_layers))
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.strip().isdecimal() or (dash and not high.strip().isdecimal()) or (dash and int(high) < int(low)):
            raise InputError(f"layers {text!r}", where=where, expected="all, or such as 3,5 or 4-12")
        found += range(int(low), int(high if dash else low) + 1)
    wrong = [layer for layer in found if layer >= info.n_layers]
    if wrong:
        raise ModelError(
            f"layer {wrong[0]} does not exist in {info.name}",
            where=where,
            expected=f"layers 0 to {info.n_layers - 1}",
            do="layers count from 0",
        )
    return tuple(found)


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
) -> None:
    """Read a model's activations into a run folder; a stopped reading goes on where it stopped, with the same bytes.

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

    Raises:
        InputError: An unknown position, or a prompt that has no such stretch.
        ModelError: An activation that is not finite; its site and prompt are named.
        StoreError: The disk is full, or the folder holds something else.
    """
    if not sites or not positions:
        raise InputError("no sites or positions", where="extract", expected="at least one of each")
    recording_plan = plan(backend, prompts, encoded, sites, positions, batch_tokens)
    lengths = [len(tokens.ids) for tokens in encoded]
    with store.ActivationWriter(folder, recording_plan, sync_seconds=sync_seconds) as writer:
        pending = writer.pending
        total, done = sum(lengths), sum(lengths)
        done -= sum(lengths[row] for batch in pending for row in recording_plan.batches[batch])
        _tell(progress, done, total)
        for batch in pending:
            rows = [encoded[row] for row in recording_plan.batches[batch]]
            x = backend.read(rows, recording_plan.sites, recording_plan.positions)
            _require_finite(x, rows, recording_plan.sites, recording_plan.positions)
            writer.write(batch, x)
            done += sum(len(tokens.ids) for tokens in rows)
            _tell(progress, done, total)
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
    lengths = [len(tokens.ids) for tokens in encoded]
    for batch in batching.plan(lengths, batch_tokens or backend.default_batch_tokens):
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
    """
    ids = Counter(prompt.id for prompt in prompts)
    if len(ids) < len(prompts):
        raise InputError(
            f"prompt {ids.most_common(1)[0][0]} is there twice", where="extract", expected="unique prompt ids"
        )
    positions = tuple(dict.fromkeys(positions))
    budget = batch_tokens or backend.default_batch_tokens
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
        batches=batching.plan([sample.n_tokens for sample in samples], budget),
        batch_tokens=budget,
    )


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


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
