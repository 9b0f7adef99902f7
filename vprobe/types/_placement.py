"""How a model that is too large for one device, or for its own number format, is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.errors import InputError, unknown

TP_PLANS = ("", "auto")
QUANTIZED = ("", "int8", "nf4", "llm-int8")
REMOTE = ("", "local", "ndif")


@dataclass(frozen=True)
class Placement:
    """Where the parts of a model go and in which numbers its weights are kept; empty is one device, as they are.

    Args:
        device_map: Blocks over the devices of one process: "auto", "balanced", "balanced_low_0", "sequential", or a
            JSON object of module names and devices.
        tp_plan: Every block over all ranks: "auto" is the plan that comes with the model.
        quantize: "int8" keeps weights in 8 bits (torchao), "nf4" in 4 and "llm-int8" in 8 (bitsandbytes); sums are
            taken in the model's own format, activations are read as float32 as ever.
        remote: Of the nnsight engine: "ndif" runs the model at NDIF, "local" acts as if.

    Raises:
        InputError: An unknown word, or two that exclude each other.
    """

    device_map: str = ""
    tp_plan: str = ""
    quantize: str = ""
    remote: str = ""

    def __post_init__(self) -> None:
        for name, given, allowed in (
            ("tp-plan", self.tp_plan, TP_PLANS),
            ("quantize", self.quantize, QUANTIZED),
            ("remote", self.remote, REMOTE),
        ):
            if given not in allowed:
                raise unknown(name, given, [one for one in allowed if one], where=f"--{name}")
        both = [name for name in ("device_map", "quantize", "remote") if getattr(self, name)]
        if self.tp_plan and both:
            raise InputError(
                f"--tp-plan together with --{both[0].replace('_', '-')}", where="model", expected="one of them",
                do="use --device-map with --quantize, or --tp-plan alone",
            )  # fmt: skip

    @property
    def plain(self) -> bool:
        """True when the model lies whole on one device, as its makers stored it."""
        return self == Placement()


ONE_DEVICE = Placement()
