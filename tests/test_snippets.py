"""A printed script, run on its own, gives the very logits of vprobe's steered forward."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from vprobe import exports, steering
from vprobe.backends import hf
from vprobe.errors import InputError
from vprobe.exports._snippets import SCRIPTS
from vprobe.types import Answers, Direction, Site, Steering, Tokens

from tests import tiny

torch.set_num_threads(1)
PROMPT = "should i go?"
FAMILY = {"transformers": "gpt2", "nnsight": "llama", "transformer-lens": "llama"}


def direction() -> Direction:
    vector = np.random.default_rng(1).standard_normal(tiny.D_MODEL)
    return Direction((vector / np.linalg.norm(vector)).astype(np.float32), Site(1), "power", "test", "write", unit=5.0)


@pytest.mark.parametrize("engine", sorted(SCRIPTS))
def test_a_script_gives_the_logits_of_the_steered_forward(engine: str, tmp_path: Path) -> None:
    if engine != "transformers":
        pytest.importorskip(engine.replace("-", "_"))
    model = tiny.build(FAMILY[engine], tmp_path / "model")
    file = exports.write(tmp_path / "v.safetensors", [direction()])
    (one,) = exports.read(file)
    script = exports.snippet(file, one, engine=engine, model=str(model), prompt=PROMPT, strength=1.2)
    assert "vprobe" not in script.replace(str(tmp_path), "") and len(script.splitlines()) < 32
    (tmp_path / "s.py").write_text(
        script + f"\nimport numpy\nnumpy.save({str(tmp_path / 'l.npy')!r}, logits.numpy())\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "s.py")], capture_output=True, text=True, timeout=200, cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    logits = np.load(tmp_path / "l.npy")[0]
    wanted = torch.tensor(logits).double().log_softmax(-1).numpy()
    loaded = hf.load(str(model), device="cpu")
    ids = tuple(loaded.tokenizer(PROMPT).input_ids)
    words = tuple((k,) for k in range(0, wanted.shape[1], 7))
    for end in (2, len(ids)):
        row = Answers(Tokens("p", ids[:end], end), words, ("",) * len(words), (0.0,) * len(words))
        change = Steering(steering.load("add"), one, 1.2 * 5.0)
        (found,) = loaded.choose([row], steering=[change])
        np.testing.assert_allclose(found, wanted[end - 1, ::7], atol=2e-4)
    (plain,) = loaded.choose([row])
    assert np.abs(np.subtract(plain, found)).max() > 1e-2
    assert done.stdout.strip() == loaded.tokenizer.decode(int(logits[-1].argmax())).strip()


def test_what_a_script_cannot_do_is_refused(tmp_path: Path) -> None:
    asked = {"model": "m", "prompt": "p"}
    with pytest.raises(InputError, match=r"unknown engine 'nnsigt'[\s\S]*did you mean 'nnsight'"):
        exports.snippet(tmp_path / "v.safetensors", direction(), engine="nnsigt", **asked)
    with pytest.raises(InputError, match="vectors convert"):
        exports.snippet(tmp_path / "v.gguf", direction(), engine="nnsight", **asked)
    save_file({"mlp_out.1": np.ones(4, np.float32)}, tmp_path / "m.safetensors")
    (other,) = exports.read(tmp_path / "m.safetensors")
    assert math.isclose(other.unit, 2.0)
    with pytest.raises(InputError, match="resid_post"):
        exports.snippet(tmp_path / "m.safetensors", other, engine="nnsight", **asked)
