"""Short scripts that add a vector of a file with another library, to the same tokens and by as much as vprobe does."""

from __future__ import annotations

import math
from pathlib import Path

from vprobe.errors import InputError, unknown
from vprobe.types import Direction

_HEAD = """\
# Adds {size:.6g} x the direction of {value} to the output of block {layer} (from 0) at every token.
{imports}

MODEL = {model!r}
PROMPT = {prompt!r}
vector = load_file({file!r})[{site!r}]
vector = {size!r} * vector / vector.norm()
tokens = AutoTokenizer.from_pretrained(MODEL)(PROMPT, return_tensors="pt").input_ids
"""
_BLOCKS = """\
n = loaded.config.num_hidden_layers
blocks = next(k for k, m in loaded.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n)
"""
_TRANSFORMERS = """\
loaded = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
{blocks}

def steer(module, inputs, output):
    if isinstance(output, tuple):
        return (output[0] + vector, *output[1:])
    return output + vector


handle = loaded.get_submodule(f"{{blocks}}.{layer}").register_forward_hook(steer)
with torch.no_grad():
    logits = loaded(tokens).logits
handle.remove()  # leave it in place and call loaded.generate(tokens) to write under steering
"""
_NNSIGHT = """\
loaded = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
{blocks}model = nnsight.TransformersModel(loaded, tokenizer=AutoTokenizer.from_pretrained(MODEL))
block = model.get(f"{{blocks}}.{layer}")
with torch.no_grad(), model.trace(tokens):
    out = block.output
    block.output = (out[0] + vector, *out[1:]) if isinstance(out, tuple) else out + vector
    logits = nnsight.save(model.output.logits)
"""
_LENS = """\
model = TransformerBridge.boot_transformers(MODEL, device="cpu", dtype=torch.float32)
hook = ("blocks.{layer}.hook_resid_post", lambda x, hook: x + vector)
with torch.no_grad():
    logits = model.run_with_hooks(tokens, fwd_hooks=[hook])
"""
_TAIL = """\
print(AutoTokenizer.from_pretrained(MODEL).decode(logits[0, -1].argmax()))
"""
_PLAIN = "from transformers import AutoModelForCausalLM, AutoTokenizer"
SCRIPTS = {
    "nnsight": (("import nnsight", "import torch", "from safetensors.torch import load_file", _PLAIN), _NNSIGHT),
    "transformer-lens": (
        ("import torch", "from safetensors.torch import load_file",
         "from transformer_lens.model_bridge import TransformerBridge", "from transformers import AutoTokenizer"),
        _LENS,
    ),
    "transformers": (("import torch", "from safetensors.torch import load_file", _PLAIN), _TRANSFORMERS),
}  # fmt: skip
"""Per library what its script imports, and what it does."""


def snippet(file: Path, one: Direction, *, engine: str, model: str, prompt: str, strength: float = 1.0) -> str:
    """Return a script that runs a model on a prompt with a direction added, and needs no vprobe.

    Args:
        file: A safetensors file that holds the direction.
        one: The direction.
        engine: "nnsight", "transformer-lens" or "transformers".
        model: Local folder or hub id.
        prompt: What the model reads.
        strength: The coefficient is strength x unit; strength alone where no unit is known.

    Raises:
        InputError: An unknown library, a file that is not safetensors, or a direction that is not of resid_post.
    """
    name = engine.strip().lower().replace("_", "-")
    if name not in SCRIPTS:
        raise unknown("engine", engine, SCRIPTS, where="--engine")
    if file.suffix != ".safetensors":
        raise InputError(
            f"{file.suffix or 'no'} file", where=str(file), expected="safetensors, which every library reads",
            do="vprobe vectors convert FILE --out v.safetensors",
        )  # fmt: skip
    if one.site.point != "resid_post":
        raise InputError(f"a direction at {one.site}", where=str(file), expected="one of resid_post")
    imports, body = SCRIPTS[name]
    size = strength * (1.0 if math.isnan(one.unit) else one.unit)
    parts = {
        "size": size, "value": one.value or "something not known", "layer": one.site.layer, "site": str(one.site),
        "imports": "\n".join(imports), "model": model, "prompt": prompt, "file": str(file), "blocks": _BLOCKS,
    }  # fmt: skip
    return (_HEAD + body + _TAIL).format(**parts)
