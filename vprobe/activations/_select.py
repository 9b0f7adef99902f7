"""Which prompts fit a model, and which sites are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.errors import InputError, ModelError, unknown
from vprobe.types import HOOKS, POINTS, Answers, Count, ModelInfo, Prompt, Site, Tokens, plain_address

POLICIES = ("skip", "error")


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
        if point == "blocks":
            names = [f"blocks.{(spec + '.').split('.')[1]}.{hook}" for hook in HOOKS]
            raise unknown("TransformerLens name", spec, names, where="--sites")
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
