"""Options as branches of one tree: a prompt's cache is used once, options that begin alike share their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vprobe.backends._rows import Rows
from vprobe.backends._run import Batch, inputs
from vprobe.backends._steer import Session
from vprobe.types import Answers


@dataclass(frozen=True)
class Branches:
    """The options of one prompt as a tree below its last token; only tokens that others follow are in it.

    Args:
        ids: Token of each node, parents before their children.
        parent: Node before each node; -1 is the prompt.
        depth: Tokens between the prompt and each node.
        reads: Per option and token the node whose distribution it is read from (-1: the prompt's), and its id.
    """

    ids: tuple[int, ...]
    parent: tuple[int, ...]
    depth: tuple[int, ...]
    reads: tuple[tuple[tuple[int, int], ...], ...]

    @cached_property
    def sees(self) -> np.ndarray:
        """Which nodes (second axis) a node (first axis) sees: those above it and itself."""
        out = np.eye(len(self.ids), dtype=bool)
        for node, parent in enumerate(self.parent):
            if parent >= 0:
                out[node] |= out[parent]
        return out


def branches(options: Sequence[tuple[int, ...]]) -> Branches:
    """Lay options out as a tree."""
    node: dict[tuple[int, ...], int] = {(): -1}
    ids, parent, depth = [], [], []
    for option in options:
        for k in range(1, len(option)):
            if option[:k] not in node:
                node[option[:k]] = len(ids)
                ids.append(option[k - 1])
                parent.append(node[option[: k - 1]])
                depth.append(k - 1)
    reads = tuple(tuple((node[option[:k]], option[k]) for k in range(len(option))) for option in options)
    return Branches(tuple(ids), tuple(parent), tuple(depth), reads)


def sizes(rows: Sequence[Answers]) -> int:
    """Return the nodes of the largest tree among some rows."""
    return max(len(branches(row.options).ids) for row in rows)


def score(
    model: Any,
    session: Session,
    prompts: Batch,
    trees: Sequence[Branches],
    start: Tensor,
    cache: Any,
    *,
    copies: int = 1,
) -> Tensor:
    """Return the log-probability of every option, (copies x prompts, options), 0 beyond a prompt's last option.

    Args:
        model: The causal language model.
        session: Hooks in place.
        prompts: The prompts as a batch, padded on the left.
        trees: Their options.
        start: Logits at each prompt's last token, copy by copy.
        cache: Keys and values of the prompts; longer by the trees afterwards.
        copies: How often the session repeats the batch on its way.
    """
    first = torch.log_softmax(start.float(), dim=-1)[:, None]
    if any(tree.ids for tree in trees):
        batch = _batch(prompts, trees, model.device)
        given = inputs(model, batch, _mask(prompts, trees, model), cached=True, cache=cache)
        logits = session.forward(lambda: model(**given), batch.rows).logits
        first = torch.cat([first, torch.log_softmax(logits.float(), dim=-1)], dim=1)
    node, token, real = reads(trees, model.device)
    n = torch.arange(len(first), device=model.device)[:, None, None]
    found = first[n, node.repeat(copies, 1, 1), token.repeat(copies, 1, 1)]
    return torch.where(real.repeat(copies, 1, 1), found, 0.0).sum(dim=2)


def _batch(prompts: Batch, trees: Sequence[Branches], device: Any) -> Batch:
    """Pad the trees to one width; a padding token stands where the prompt ends."""
    width = max(len(tree.ids) for tree in trees)
    lengths = prompts.rows.real.sum(dim=1)
    fill = prompts.ids[:, -1].tolist()
    ids = [list(tree.ids) + [last] * (width - len(tree.ids)) for tree, last in zip(trees, fill, strict=True)]
    depth = torch.tensor([list(tree.depth) + [-1] * (width - len(tree.ids)) for tree in trees], device=device)
    rows = Rows(depth + lengths[:, None], depth >= 0, prompts.rows.prompt_length, prompts.rows.owner)
    return Batch(torch.tensor(ids, device=device), rows)


def _mask(prompts: Batch, trees: Sequence[Branches], model: Any) -> Tensor:
    """Return an additive mask: a node sees its prompt, the nodes above it and itself; padding sees its prompt."""
    width = max(len(tree.ids) for tree in trees)
    sees = torch.zeros(len(trees), width, width, dtype=torch.bool)
    for row, tree in enumerate(trees):
        sees[row, : len(tree.ids), : len(tree.ids)] = torch.from_numpy(tree.sees)
    before = prompts.rows.real[:, None].expand(-1, width, -1)
    allowed = torch.cat([before, sees.to(model.device)], dim=2)[:, None]
    return torch.where(allowed, 0.0, torch.finfo(model.dtype).min).to(model.dtype)


def reads(trees: Sequence[Branches], device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return per prompt, option and token where its log-probability stands, its id, and whether there is one.

    Args:
        trees: The prompts' options; place 0 is the end of a prompt, node n stands at n + 1.
        device: Where the model is.
    """
    most = max(len(tree.reads) for tree in trees)
    longest = max(len(one) for tree in trees for one in tree.reads)
    table = np.zeros((3, len(trees), most, longest), dtype=np.int64)
    for row, tree in enumerate(trees):
        for option, one in enumerate(tree.reads):
            node, token = zip(*one, strict=True)
            table[0, row, option, : len(one)] = np.array(node) + 1
            table[1, row, option, : len(one)] = token
            table[2, row, option, : len(one)] = 1
    node, token, real = torch.from_numpy(table).to(device)
    return node, token, real.bool()
