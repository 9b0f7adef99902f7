"""Options reach their settings under the names of the settings; a run's model is loaded as it was recorded."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner
from vprobe import config, pipeline, store
from vprobe.cli import app, audits, cards, causal, effects, options, steer
from vprobe.config import RunConfig
from vprobe.errors import InputError, StoreError
from vprobe.pipeline import _common
from vprobe.types import ModelInfo

from tests.command_line import functions, lines
from tests.fake_backend import FakeBackend

STEERING = (
    audits.audit, cards.card, cards.said, cards.transfer, causal.ablate, causal.interchange, causal.positions,
    effects.matrix, effects.solve, steer.sweep,
)  # fmt: skip
OWN = {"run", "as_json", "personas", "instruments", "out", "make", "target", "keep", "max_kl", "strengths"}
"""Arguments that a command reads itself."""


def asks(command: Callable[..., Any]) -> bool:
    """Whether a command has the option `--model` of those that load one."""
    known = inspect.signature(command, eval_str=True).parameters.get("model")
    return known is not None and known.annotation == options.Model


ASKING = [one for one in functions().values() if asks(one)]
"""Commands that load a model."""


def test_every_command_is_where_its_table_says_and_its_line_is_never_cut() -> None:
    cli = CliRunner()
    for group in ("", "data", "lexicon", "steer", "vectors"):
        done = cli.invoke(app, [*group.split(), "--help"], terminal_width=80)
        assert done.exit_code == 0
        listed = dict(re.findall(r"^  ([a-z]+)  +(.*)$", done.stdout.partition("Commands:")[2], re.M))
        known = {name.split()[-1]: line for name, line, _ in lines() if name.rpartition(" ")[0] == group}
        assert listed == known
    for name, line, one in lines():
        assert len(line) <= 60
        assert line.endswith((".", "?")), name
        shown = cli.invoke(app, [*name.split(), "--help"])
        assert f"Usage: root {name} " in shown.stdout
        said = one.info.help if isinstance(one, typer.Typer) else inspect.getdoc(one)
        assert " ".join(said.split())[:100] in " ".join(shown.stdout.split())


@pytest.mark.parametrize("command", STEERING, ids=lambda one: one.__name__)
def test_every_option_of_a_steering_command_is_a_setting_or_read_by_the_command(command) -> None:
    left = set(inspect.signature(command).parameters) - OWN - set(options.AS_FIELDS) - set(options.BY_NAME)
    assert left == set()


def test_every_command_that_loads_a_model_can_be_told_how() -> None:
    assert len(ASKING) >= len(STEERING) + 10
    lacking = {one.__name__: set(options.LOADING) - set(inspect.signature(one).parameters) for one in ASKING}
    assert not any(lacking.values()), lacking
    for one in ASKING:  # and reads them, in the one place where that is done
        assert re.search(r"o\.(running|steered)\(locals\(\)", inspect.getsource(one)), one.__name__


def test_how_a_model_is_loaded_is_told_where_the_command_says_and_becomes_settings() -> None:
    found = []

    @options.loads
    def command(model: options.Model = None, loading: options.Loading = options.USUAL, seed: options.Seed = 0) -> None:
        found.append(options.running(locals()))

    assert [*inspect.signature(command).parameters] == ["model", *options.LOADING[1:-1], "seed"]
    command(model="m", quantize="nf4", seed=3)
    assert {name: value for name, value in found[0].items() if value} == {"model": "m", "quantize": "nf4", "seed": 3}


def test_every_command_that_lets_a_model_write_can_be_told_where_a_text_ends() -> None:
    writing = {"extract", "rate", "induce", "elicit", "damage", "transfer", "card"}  # a card's stages are made by it
    found = {one.__name__ for one in ASKING if "stop" in inspect.signature(one).parameters}
    assert writing <= found, writing - found


def test_options_become_settings_and_those_left_out_keep_their_defaults() -> None:
    given = {"model": "m", "values": ["power,security"], "strengths": "-1,2", "on": "all", "limit": 3, "personas": 7,
             "option": ["low=1,2"], "method": None, "text": "no setting", "quantize": "nf4"}  # fmt: skip
    found, plain = options.steered(given), RunConfig()
    assert (found.model, found.steer_value, found.strengths) == ("m", ("power", "security"), (-1.0, 2.0))
    assert (found.steer_positions, found.steer_limit, found.steer_options) == ("all", 3, ("low=1,2",))
    assert (found.personas, found.steer_method, found.quantize) == (plain.personas, plain.steer_method, "nf4")
    assert options.steered({"values": None}, every=True).steer_value == ("all",)
    assert options.steered({"values": None}, RunConfig(steer_value=("power",))).steer_value == ("power",)
    assert options.running({"model": "m", "remote": "local", "seed": None, "limit": 3}) == {
        "model": "m", "remote": "local", "seed": None,
    }  # fmt: skip
    with pytest.raises(typer.BadParameter, match="--model"):
        options.running({"model": None})
    with pytest.raises(InputError, match="--strengths"):
        options.steered({"strengths": "1,x"})


def test_a_wrong_setting_is_named_as_the_option_it_was_given_by() -> None:
    flags = {}
    for one in vars(options).values():
        for told in getattr(one, "__metadata__", ()):
            words = (told.default, *(told.param_decls or ()))  # typer keeps the first flag as if it were a default
            flags.setdefault(told.help, set()).update(str(word).partition("/")[0] for word in words)
    known = [name for name in config.names() if config.help_of(name) in flags]
    assert len(known) > 40
    for name in known:
        assert config.flag_of(name) in flags[config.help_of(name)], name
    for field, flag in (("limit", "--limit"), ("steer_value", "--values"), ("steer_positions", "--on")):
        with pytest.raises(InputError, match=f"^{flag}: "):
            RunConfig().changed({field: -1})


def recorded(folder: Path, *, dtype: str = "float32", **settings: str) -> Path:
    """A folder with the record of `extract`, as it was with these settings."""
    shape = {"name": "m", "revision": "", "fingerprint": "ab", "family": "llama", "n_layers": 3, "d_model": 8,
             "context": 64, "dtype": dtype, "chat": False}  # fmt: skip
    info = _common.info("extract", RunConfig().changed(settings), ModelInfo(**shape))
    store.save_info(folder, info, "extract")
    return folder


def test_a_run_is_steered_with_the_weights_it_was_recorded_with(tmp_path: Path, capsys) -> None:
    folder = recorded(tmp_path / "a", dtype="bfloat16", quantize="int8")
    found = options.steered({"folder": folder, "values": None})
    assert (found.quantize, found.dtype) == ("int8", "bfloat16")
    assert "with --quantize int8, as they were recorded" in capsys.readouterr().err
    options.steered({"folder": folder, "quantize": "int8"})
    assert capsys.readouterr().err == ""
    assert options.steered({"folder": folder, "dtype": "float32"}).dtype == "float32"
    assert "recorded in bfloat16, the model now runs in float32" in capsys.readouterr().err
    with pytest.raises(StoreError, match=r"recorded with --quantize int8, now asked for with --quantize nf4"):
        options.steered({"folder": folder, "quantize": "nf4"})
    with pytest.raises(StoreError, match="recorded without --quantize, now asked for with"):
        options.steered({"folder": recorded(tmp_path / "b"), "quantize": "int8"})
    away = recorded(tmp_path / "c", backend="nnsight", remote="ndif")
    with pytest.raises(StoreError, match="recorded at NDIF, now the model is to run here"):
        options.beside(away, RunConfig())
    assert options.beside(tmp_path / "none", RunConfig()) == options.beside(None, RunConfig()) == RunConfig()


def test_a_stage_in_another_format_leaves_the_record_of_the_recording(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "a")
    other = json.loads((folder / "run.json").read_text(encoding="utf-8"))["model"] | {"dtype": "bfloat16"}
    info = _common.info("steer", RunConfig(dtype="bfloat16"), ModelInfo(**other))
    store.save_info(folder, info, "steer")
    kept = store.load_info(folder).model
    assert kept is not None and kept.dtype == "float32"
    assert pipeline.as_recorded(folder, RunConfig()).dtype == "float32"
    assert dict(store.load_info(folder, "steer").config)["dtype"] == "bfloat16"


def test_a_model_is_loaded_as_it_was_recorded_when_python_asks_for_it_too(tmp_path: Path, monkeypatch) -> None:
    asked: list[dict[str, Any]] = []

    def load(name: str, **given: Any) -> None:
        asked.append(given)
        raise StoreError("not now", where=name)

    monkeypatch.setattr(_common.backends, "load", load)
    folder = recorded(tmp_path / "a", dtype="float16", quantize="int8")
    for of in (folder, None):
        with pytest.raises(StoreError, match="not now"):
            pipeline.load_backend(RunConfig(model="m"), of=of)
    assert [(one["dtype"], one["placement"].quantize) for one in asked] == [("float16", "int8"), ("auto", "")]


def test_another_model_than_the_one_recorded_is_refused_before_it_is_asked(tmp_path: Path, monkeypatch) -> None:
    folder = recorded(tmp_path / "a")
    loaded = [FakeBackend(name="m", fingerprint=mark) for mark in ("ab", "cd", "cd")]
    monkeypatch.setattr(_common.backends, "load", lambda name, **given: loaded.pop(0))
    assert pipeline.load_backend(RunConfig(model="m"), of=folder).info.fingerprint == "ab"
    with pytest.raises(StoreError, match=r"this run is of model m \(ab, float32\), now asked for m \(cd, float32\)"):
        pipeline.load_backend(RunConfig(model="m"), of=folder)
    assert pipeline.load_backend(RunConfig(model="m"), of=tmp_path / "none").info.fingerprint == "cd"


def test_every_stage_that_uses_a_run_loads_its_model_beside_it() -> None:
    fresh = {"_extract", "_foresee", "_demographics", "_lexicon"}  # they use no recording
    files = [one for one in Path(pipeline.__file__).parent.glob("_*.py") if one.stem not in {*fresh, "__init__"}]
    found = {one.stem: re.findall(r"or load_backend\((.*)\)", one.read_text(encoding="utf-8")) for one in files}
    assert sum(map(len, found.values())) >= 15
    assert [stem for stem, calls in found.items() for call in calls if "of=" not in call] == []
