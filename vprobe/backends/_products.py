"""Matrix products of a float32 model on AMD's CPUs with AVX-512: oneDNN's, where PyTorch's own use half of them.

PyTorch hands float32 products to MKL, which runs on AMD's CPUs with vectors half as wide as theirs; on Intel's it uses
all there is. oneDNN comes with PyTorch too, takes the same weights as they lie in memory, and makes code for the CPU it
finds. Which of the two is taken follows from the CPU and the sizes alone, so the same run gives the same bytes.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

_LEAST = 2**23
"""Multiplications of the smallest product that gains: shorter ones do not make up for setting oneDNN up."""
_REMEMBERED = (("ONEDNN_PRIMITIVE_CACHE_CAPACITY", 6), ("LRU_CACHE_CAPACITY", 1))
"""How many shapes oneDNN, and what PyTorch puts around it, remember: one block's. By themselves they remember 1,024,
which cost up to megabytes each; one made anew costs .2 ms. Read at the first product."""


class Linear(nn.Linear):
    """A layer as it was, whose larger products oneDNN computes."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input @ weight.T + bias."""
        if _gains(input, self.weight):
            return _product(input, self.weight, self.bias)
        return super().forward(input)


class Turned(Conv1D):
    """GPT-2's kind of layer as it was, whose larger products oneDNN computes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x @ weight + bias."""
        if _gains(x, self.weight):
            return _product(x, self.weight.t(), self.bias)
        return super().forward(x)


_KINDS: dict[type, type] = {nn.Linear: Linear, Conv1D: Turned}


def available() -> bool:
    """Tell whether this PyTorch has oneDNN's product and this CPU is one on which it is the faster one."""
    here = getattr(torch.ops.mkldnn, "_linear_pointwise", None) is not None
    return here and torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in _cpu()


def _cpu() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor()


def hasten(model: nn.Module) -> int:
    """Let oneDNN compute the larger products of a model's plain float32 layers on a CPU; weights stay as they are.

    Layers of any other kind or format, quantised ones among them, stay as they are.

    Args:
        model: A model that is not to be trained; a product that needs a gradient is PyTorch's own.

    Returns:
        The layers changed.
    """
    if not available():
        return 0
    for name, count in _REMEMBERED:
        os.environ.setdefault(name, str(count))
    found = [module for module in model.modules() if type(module) in _KINDS and _plain(module)]
    for module in found:
        module.__class__ = _KINDS[type(module)]
    return len(found)


def _plain(module: nn.Module) -> bool:
    given: Any = module.weight
    return type(given) is nn.Parameter and given.dtype == torch.float32 and given.device.type == "cpu"


def _gains(x: Tensor, weight: Tensor) -> bool:
    large = x.numel() * weight.numel() >= _LEAST * x.shape[-1]
    return (
        large
        and x.dtype == torch.float32
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
