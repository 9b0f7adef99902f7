"""What tells one model from another: a hash over its weights wherever they lie, its tokenizer and its chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_SAMPLE = 1024


def fingerprint(model: Any, tokenizer: Any) -> str:
    """Return a SHA-256 over every weight's name, shape and a fixed sample, the tokenizer and the chat template.

    It is the same on one device and over several. Tokenizer and template belong in it: with others the same weights
    see other input.
    """
    digest = hashlib.sha256()
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(str(tokenizer.chat_template).encode())
    for name, _ in sorted(model.named_parameters(), key=lambda pair: pair[0]):
        inside, _, own = name.rpartition(".")
        module = model.get_submodule(inside)
        with _present(module):
            weight = _whole(module.get_parameter(own))
            flat = weight.reshape(-1)
            step = max(1, -(-flat.numel() // _SAMPLE))
            digest.update(f"{name}{tuple(weight.shape)}".encode())
            digest.update(flat[::step].float().cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def known(name: str, revision: str, model: Any, tokenizer: Any) -> str:
    """Return a SHA-256 over what is known of a model whose weights are elsewhere: name, revision, shape, tokenizer."""
    shape, words = model.config.to_json_string(), tokenizer.backend_tokenizer.to_str()
    return hashlib.sha256(repr((name, revision, shape, words, tokenizer.chat_template)).encode()).hexdigest()


@contextmanager
def _present(module: Any) -> Iterator[None]:
    """Bring a module's own weights to a device while they are looked at, where they are kept on disk or elsewhere.

    Args:
        module: A module, whose weights may have no numbers of their own here.
    """
    if all(not weight.is_meta for weight in module.parameters(recurse=False)):
        yield
        return
    from accelerate.utils import align_module_device

    with align_module_device(module, execution_device=torch.device("cpu")):
        yield


def _whole(weight: Tensor) -> Tensor:
    """Return a weight as plain numbers: of one spread over ranks all of it, of one in fewer bits what it stands for."""
    gather: Any = getattr(weight, "full_tensor", None)
    plain: Any = gather() if gather is not None else weight.detach()
    own = type(plain) not in (Tensor, torch.nn.Parameter) and plain.dtype.is_floating_point
    return plain.dequantize() if own and gather is None else plain
