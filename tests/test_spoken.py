"""Answers side by side: what each token carries is read without steering, and shown in more than colour."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from vprobe import pipeline, prompts
from vprobe.backends import hf
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.report import spoken as paper
from vprobe.types import Piece, SideBySide

from tests import tiny

torch.set_num_threads(1)
ASKED = "should i go?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("spoken"), context=256)


@pytest.fixture(scope="module")
def engine(model: Path):
    made = hf.load(str(model), device="cpu")
    made._stops = ()
    return made


@pytest.fixture(scope="module")
def config(model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A vector of some tool, in a model without any run."""
    path = tmp_path_factory.mktemp("vector") / "vec_layer_1_tiny.pt"
    torch.save(torch.tensor(np.random.default_rng(1).standard_normal(tiny.D_MODEL), dtype=torch.float32), path)
    return RunConfig(model=str(model), steer_vector=str(path))


def spoken(config: RunConfig, engine, **more) -> tuple[SideBySide, ...]:
    asked = {"value": "power", "strength": 0.5, "prompts_of": [ASKED], "max_new_tokens": 8, "backend": engine, **more}
    return pipeline.steer_text(None, config, **asked)


def test_a_vector_from_a_file_steers_without_a_run(config: RunConfig, engine) -> None:
    (one,) = spoken(config, engine)
    assert one.base != one.steered and one.value == "power" and one.site == "resid_post.1"
    assert 0 < one.coefficient < 1e3 and dict(one.about)["vector"].startswith("vec_layer_1_tiny.pt: power at")
    (nameless,) = spoken(config, engine, value="")
    assert nameless.steered == one.steered and "what it points to" in dict(nameless.about)["not known of it"]
    (back,) = spoken(config, engine, strength=0.0)
    assert back.base == back.steered == one.base
    for changed, said in (({"steer_operation": "leace"}, "--run"), ({"steer_vector": ""}, "--run or --vector")):
        with pytest.raises(InputError, match=said):
            spoken(config.changed(changed), engine)


def test_projections_are_those_of_the_unsteered_model(config: RunConfig, engine) -> None:
    """Both answers are read without steering: an account by one bare forward over each whole text."""
    (one,) = spoken(config, engine)
    vector = torch.load(config.steer_vector).numpy().astype(np.float64)
    unit = vector / np.linalg.norm(vector)
    asked = prompts.encode_text(engine.tokenizer, ASKED)
    texts = {True: (), False: ()}
    for steered in texts:
        how = [] if not steered else [_change(config, engine, one)]
        ids = engine.generate([asked], max_new_tokens=8, steering=how)[0].ids
        with torch.inference_mode():
            states = engine._model(torch.tensor([asked.ids + ids]), output_hidden_states=True).hidden_states[2][0]
        along = states[len(asked.ids) :].double().numpy() @ unit / (one.coefficient / one.strength)
        pieces = one.steered_pieces if steered else one.base_pieces
        np.testing.assert_allclose([p.along for p in pieces], along, atol=1e-5)
        assert "".join(p.text for p in pieces) == (one.steered if steered else one.base)
    every = [p.along for p in (*one.base_pieces, *one.steered_pieces)]
    z = (np.array(every) - np.mean(every)) / np.std(every)
    levels = [p.level for p in (*one.base_pieces, *one.steered_pieces)]
    assert levels == [int(np.clip(int(x), -2, 2)) for x in z] and len(set(levels)) > 1


def _change(config: RunConfig, engine, one: SideBySide):
    from vprobe import exports, steering
    from vprobe.types import Steering

    (found,) = exports.read(Path(config.steer_vector))
    return Steering(steering.load("add"), found, one.coefficient)


def test_answers_are_told_while_they_are_written(config: RunConfig, engine) -> None:
    told: list[tuple[str, str, str]] = []
    (one,) = spoken(config, engine, said=lambda *said: told.append(said))
    assert len(told) == 16 and {name for _, name, _ in told} == {"base", "steered"}
    for name, final in (("base", one.base), ("steered", one.steered)):
        mine = [text for _, kind, text in told if kind == name]
        assert mine[-1] == final and all(len(a) <= len(b) for a, b in pairwise(mine))


# --- what a person sees ----------------------------------------------------------------------------------------------

PAIR = SideBySide(
    "a <b>?", "power", "resid_post.1", 0.5, 2.0, " well <i> no", " yes",
    (Piece(" well", -0.3, -2), Piece(" <i>", 0.1), Piece(" no", 0.25, 1)), (Piece(" yes", 0.5, 2),), "residual norms",
)  # fmt: skip


def shown(monkeypatch, capsys, *, tty: bool, **environment: str) -> str:
    from vprobe.cli import spoken as screen

    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty)
    screen.side_by_side([PAIR], as_json=False)
    return capsys.readouterr().out


def test_colour_is_for_terminals_and_never_the_only_cue(monkeypatch, capsys) -> None:
    coloured = shown(monkeypatch, capsys, tty=True)
    assert "\x1b[38;2" in coloured
    for plain in (shown(monkeypatch, capsys, tty=False), shown(monkeypatch, capsys, tty=True, NO_COLOR="1")):
        assert not re.search(r"\x1b\[[0-9;]*[34]8;", plain)
        low, high = "\N{SUPERSCRIPT MINUS}", "\N{SUPERSCRIPT PLUS SIGN}"
        assert f"well{low}{low} <i> no{high}" in plain and f"yes{high}{high}" in plain
        assert "1 SD less" in plain and "base 0.017, steered 0.500 residual norms" in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == shown(monkeypatch, capsys, tty=False)


def test_the_page_says_the_same_needs_no_other_file_and_takes_nothing_for_markup(tmp_path: Path) -> None:
    text = paper.write(tmp_path / "deep" / "p.html", [PAIR], model="tiny").read_text(encoding="utf-8")
    assert "http" not in text and "<b>" not in text and "a &lt;b&gt;?" in text and "&lt;i&gt;" in text
    assert '<span class="less2" title="-0.300 residual norms">well<sup' in text
    assert '<span class="more2" title="0.500 residual norms">yes<sup' in text
    assert "2 SDs less" in text and "mean 0.500 residual norms" in text


def test_the_command_line_writes_page_stream_and_json(config: RunConfig, tmp_path: Path, vprobe) -> None:
    asked = ("steer", "--model", config.model, "--vector", config.steer_vector, "--prompt", ASKED,
             "--max-new-tokens", 6)  # fmt: skip
    code, out, _ = vprobe(*asked, "--html", tmp_path / "p.html", "--stream")
    assert code == 0 and out.startswith(f"prompt: {ASKED}\nbase: ") and "not known of it: what it points to" in out
    assert ASKED in (tmp_path / "p.html").read_text(encoding="utf-8")
    code, out, _ = vprobe(*asked, "--json")
    found = json.loads(out)[0]
    assert code == 0 and found["base_pieces"] and {"text", "along", "level"} == set(found["base_pieces"][0])
    assert vprobe("steer", "--model", config.model, "--prompt", "x")[0] == 2
