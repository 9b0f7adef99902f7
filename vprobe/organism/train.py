"""Make the organism: the built encoder, and a decoder trained to rate, complete, choose and chat from its codes.

The decoder is trained on residuals at the site, written straight from drawn codes: it never sees a text, so the words
that carry a code in a test can be any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe.organism import _behavior as behavior
from vprobe.organism import _encoder as encoder
from vprobe.organism import _layout as layout
from vprobe.organism import _vocabulary as vocabulary

OFF = -1.6
"""What tokens that are never an answer have in the unembedding along the constant: a logit of about -20."""

START = 0.4
"""Standard deviation of the first weights of the trained MLPs."""


@dataclass(frozen=True)
class Plan:
    """How long the decoder is trained; 4,000 steps take about three minutes on one thread."""

    steps: int = 4000
    batch: int = 768
    rate: float = 3e-3


def organism(
    folder: Path, *, texts: tuple[str, ...], labels: tuple[str, ...], seed: int = 0, world: encoder.World | None = None,
    plan: Plan | None = None, tell: Callable[[int, int, float], None] = lambda step, of, loss: None,
) -> Path:  # fmt: skip
    """Train the organism and write it as a Hugging Face model folder.

    Args:
        folder: Where the model goes.
        texts: Texts whose words it knows as whole tokens.
        labels: Rating labels, from most to least alike.
        seed: Seed of rotation, nuisance and training.
        world: Switches of the encoder; the good world when None.
        plan: How long it is trained.
        tell: Called with (step, steps, loss).
    """
    import torch

    tokenizer = vocabulary.build((*vocabulary.own_texts(), *texts), labels)
    ids = vocabulary.ids(tokenizer)
    acts = behavior.Behavior(tuple(labels))
    given = {"labels": labels, "answers": acts.answers, "world": world or encoder.World(), "seed": seed}
    z, turn = encoder.embeddings(ids, **given), layout.rotation(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _empty(len(z), ids)
        _build(model, encoder.weights(ids, **given), turn)
        _train(model, z, turn, ids, acts, plan or Plan(), seed, tell)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    vocabulary.save(folder, tokenizer)
    return folder


def _empty(n_tokens: int, ids: dict[str, int]):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=n_tokens, hidden_size=layout.D_MODEL, intermediate_size=layout.HIDDEN,
        num_hidden_layers=layout.N_LAYERS, num_attention_heads=layout.N_HEADS, num_key_value_heads=layout.N_HEADS,
        head_dim=layout.HEAD, max_position_embeddings=layout.CONTEXT, rms_norm_eps=layout.EPS,
        rope_parameters={"rope_type": "default", "rope_theta": layout.ROPE_THETA}, tie_word_embeddings=False,
        bos_token_id=ids[vocabulary.START], eos_token_id=ids[vocabulary.END], pad_token_id=ids[vocabulary.PAD],
        dtype=torch.float32,
    )  # fmt: skip
    return LlamaForCausalLM(config).float()


def _build(model, built: dict[str, np.ndarray], turn: np.ndarray) -> None:
    """Write what is built; the attention of the trained blocks is zero."""
    import torch

    with torch.no_grad():
        for name, part in model.named_parameters():
            if name in built:
                part.copy_(torch.from_numpy(built[name]))
            elif "self_attn" in name:
                part.zero_()
            elif "gate_proj" in name or "up_proj" in name:
                part.copy_(_ready(part, turn))
    _multiply(model.model.layers[layout.SITE_LAYER + 1].mlp, turn)


def _multiply(mlp, turn: np.ndarray) -> None:
    """Start the first trained MLP with units that multiply profile by what is shown, value by value; training goes on.

    A pair of gated units gives a product exactly: silu(a) b + silu(-a) (-b) = a b.
    """
    import torch

    u, v = (turn[:, layout.SLOTS[name]].T * layout.LEVEL for name in ("u", "v"))
    total = turn[:, layout.SLOTS["mean"]].ravel()
    with torch.no_grad():
        for value in range(10):
            for half, sign in enumerate((1.0, -1.0)):
                unit = 2 * value + half
                mlp.gate_proj.weight[unit] = torch.from_numpy(sign * u[value]).float()
                mlp.up_proj.weight[unit] = torch.from_numpy(sign * v[value]).float()
                mlp.down_proj.weight[:, unit] = torch.from_numpy(total).float()


def _ready(weight, turn: np.ndarray):
    """Start a trained MLP from weights that see the codes well and the large constant hardly."""
    import torch

    fresh = torch.randn_like(weight) * START
    fresh[:, layout.SLOTS["const"]] *= 0.05
    return fresh @ torch.from_numpy(turn.T).float()


def _train(model, z, turn, ids, acts, plan: Plan, seed: int, tell) -> None:
    """Train the MLPs above the site and the unembedding of the answers on drawn codes."""
    import torch

    rng = np.random.default_rng((seed, 3))
    rows = torch.tensor([ids[piece] for piece in acts.answers])
    site = behavior.Site(z, ids, acts, turn)
    away = torch.from_numpy(turn[:, layout.SLOTS["const"]].ravel() * OFF).float()
    out = torch.nn.Parameter(torch.zeros(len(rows), layout.D_MODEL).normal_(std=0.02))
    trained = [p for layer in model.model.layers[2:] for p in layer.mlp.parameters()] + [out]
    best = torch.optim.Adam(trained, lr=plan.rate, betas=(0.9, 0.98))
    pace = torch.optim.lr_scheduler.OneCycleLR(best, plan.rate, total_steps=plan.steps, pct_start=0.05)
    for step in range(plan.steps):
        x, wanted = site.draw(plan.batch, rng)
        h = torch.from_numpy(x).float()
        for layer in model.model.layers[2:]:
            h = h + layer.mlp(layer.post_attention_layernorm(h))
        seen = model.model.norm(h)
        never = seen @ away[:, None] + np.log(len(z) - len(rows))  # all other tokens together
        logits = torch.cat([seen @ out.T, never], dim=1)
        target = torch.nn.functional.pad(torch.from_numpy(wanted).float(), (0, 1))
        known = torch.special.xlogy(target, target).sum(dim=1)
        loss = (known - (target * torch.log_softmax(logits, dim=1)).sum(dim=1)).mean()
        best.zero_grad()
        loss.backward()
        best.step()
        pace.step()
        if step % 100 == 0 or step == plan.steps - 1:
            tell(step + 1, plan.steps, float(loss.detach()))
    with torch.no_grad():
        model.lm_head.weight.copy_(away.expand_as(model.lm_head.weight))
        model.lm_head.weight[rows] = out
