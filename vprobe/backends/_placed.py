"""Loading a model over several devices or in fewer bits: what the libraries are told, and what they need."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
import transformers

from vprobe.backends._libraries import library
from vprobe.errors import InputError, ModelError
from vprobe.types import Placement

_EXTRA = "install it: pip install 'vprobe[large]'"


def arguments(placement: Placement, device: torch.device, kind: Any) -> dict[str, Any]:
    """Return what `from_pretrained` is told, besides what it is told of a model on one device.

    Args:
        placement: Where the model goes and in how many bits.
        device: Where it goes when nothing else is said.
        kind: Its number format: a torch dtype, or "auto".

    Raises:
        InputError: A device map that cannot be read.
        ModelError: A library is missing, or the plan needs several processes.
    """
    given: dict[str, Any] = {}
    if placement.tp_plan:
        given["distributed_config"] = _plan()
        return given
    if placement.quantize:
        given["quantization_config"] = _quantized(placement.quantize, kind)
        given["device_map"] = {"": str(device)}
    if placement.device_map:
        given["device_map"] = _map(placement.device_map)
    if given:
        library("accelerate", package="accelerate", oldest=(1, 1), below=2, do=_EXTRA)
    return given


def check_fewer(model: Any, placement: Placement, name: str) -> None:
    """Refuse a model that was to have fewer bits and has none of its weights so; libraries pass over layers silently.

    Args:
        model: The model as it was loaded.
        placement: In how many bits it was to be.
        name: What the model is called.

    Raises:
        ModelError: Every weight is as it would be without.
    """
    if placement.quantize and all(_whole(weight) for weight in model.parameters()):
        raise ModelError(
            f"--quantize {placement.quantize} left every weight as it was", where=name,
            expected="a model of linear layers (GPT-2's are of another kind, which torchao does not know)",
            do="leave --quantize out, or choose another kind of it",
        )  # fmt: skip


def _whole(weight: torch.Tensor) -> bool:
    return type(weight.data) is torch.Tensor and weight.dtype.is_floating_point


def only(option: str, engine: str) -> ModelError:
    """Return the error for an option that one engine has."""
    return ModelError(
        f"--{option} with another engine", where="backend", expected=f"--backend {engine}",
        do=f"choose --backend {engine}, or leave --{option} out",
    )  # fmt: skip


def _map(text: str) -> Any:
    if not text.startswith("{"):
        return text
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no JSON: {error}", where="--device-map",
            expected='auto, balanced, sequential, or such as {"model.embed_tokens": 0, "model.layers.0": 0}',
        ) from error  # fmt: skip
    return found


def _plan() -> Any:
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2:
        raise ModelError(
            "one process cannot divide every block", where="--tp-plan", expected="two ranks or more",
            do="start the same command by torchrun --nproc-per-node N -m vprobe ...",
        )  # fmt: skip
    from transformers.distributed.configuration_utils import DistributedConfig

    return DistributedConfig(tp_size=count, tp_plan="auto")


def _quantized(name: str, kind: Any) -> Any:
    if name == "int8":
        library("torchao.quantization", package="torchao", oldest=(0, 15), below=20, do=_EXTRA)
        from torchao.quantization import Int8WeightOnlyConfig  # pyright: ignore[reportMissingImports]

        return transformers.TorchAoConfig(Int8WeightOnlyConfig(version=2))  # 1 warns, and will go
    library("bitsandbytes", package="bitsandbytes", oldest=(0, 46), below=60, do=_EXTRA)
    if name == "llm-int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.bfloat16 if kind == "auto" else kind
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute, bnb_4bit_use_double_quant=False
    )
