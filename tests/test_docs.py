"""What the README says is true: its commands run, its Python runs, every command is documented, every path exists."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import typer
from vprobe import __main__ as front
from vprobe import benchmarks, registry

from tests import tiny
from tests.command_line import lines

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "extract": ("--limit", "10"),
    "rate": ("--limit", "10", "--versions", "v1"),
    "probe": ("--draws", "10", "--method", "mean-difference"),
    "agree": ("--draws", "10"),
    "sweep": ("--limit", "1", "--null-draws", "1", "--strengths", "0.5", "--versions", "v1"),
    "steer": ("--max-new-tokens", "4"),
}
"""Appended to the README's commands, so that the test takes seconds."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.S)


def console() -> list[list[str]]:
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in blocks("console")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ./my-model and the experiments, where the README's commands run."""
    place = tmp_path_factory.mktemp("readme")
    words = [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]
    tiny.untrained(place / "my-model", words)
    shutil.copytree(ROOT / "experiments", place / "experiments")
    return place


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", words)
    try:
        front.main()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    return 0


def test_the_commands_on_a_model_of_ones_own_run_and_so_does_the_notebook(home: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(home)
    assert len(console()[0]) == 7
    for line in console()[0]:
        words = shlex.split(line)
        name = "sweep" if "sweep" in words else words[1]
        assert run([*words, *SMALLER.get(name, ())], monkeypatch) == 0, capsys.readouterr().err
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})


def test_the_commands_on_instruments_run(home: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(home)
    rows = [f"m,v1,{item},{letter}" for item, letter in enumerate("ABCDEF", start=1)]
    (home / "answers.csv").write_text("\n".join(("model,version,item,raw_response", *rows)), encoding="utf-8")
    lines = [shlex.split(line) for line in console()[-1]]
    assert {words[1] for words in lines} == {"rate", "extract", "induce", "demographics", "lexicon", "score"}
    smaller = {"induce": ("--ways", "word", "--versions", "v3"), "demographics": ("--limit", "10", "--versions", "v1"),
               "rate": ("--limit", "6", "--versions", "v1"), "extract": ("--limit", "6"),
               "lexicon": ("--temperatures", "0", "--personas", "0")}  # fmt: skip
    for words in lines:
        assert run([*words, *smaller.get(words[1], ())], monkeypatch) == 0, capsys.readouterr().err


def test_the_commands_on_the_official_items_run(home: Path, shared: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(home)
    get, story = (shlex.split(line) for line in console()[1])
    assert run([*get, "--from", str(shared / "value_portrait" / "upstream")], monkeypatch) == 0
    config = home / story[2]
    quick = 'steer_limit = 1\nnull_draws = 1\n[probing]\nmethod = ["mean-difference"]\ndraws = 10\n'
    config.write_text('greedy = false\nversions = ["v3"]\nsteer_versions = ["v3"]\n' + quick)
    assert run([*story, "--limit", "40"], monkeypatch) == 0, capsys.readouterr().err
    assert (home / "runs/official/report.html").exists()


def test_every_command_is_documented() -> None:
    commands = [f"vprobe {name}" for name, _, one in lines() if not isinstance(one, typer.Typer)]
    assert len(commands) == 40
    assert [name for name in commands if f"`{name}`" not in README] == []


def test_every_direction_method_is_documented_with_its_role_and_effect() -> None:
    rows = re.findall(r"^\| (`.*`.*?) \| .* \| (reading|writing) \| (marginal|partial) \|$", README, re.M)
    said = {name: kind for names, *kind in rows for name in re.findall(r"`([a-z0-9-]+)`", names)}
    words = {"read": "reading", "write": "writing"}
    loaded = {name: registry.load("vprobe.directions", name) for name in registry.names("vprobe.directions")}
    assert said == {name: [words[one.ROLE], one.EFFECT] for name, one in loaded.items()}


def test_every_path_of_the_tree_exists_and_every_room_is_in_it() -> None:
    (tree,) = blocks("text")
    listed = {line.split()[0] for line in tree.splitlines()}
    assert [path for path in listed if not (ROOT / path).exists()] == []
    rooms = {p.name for p in (ROOT / "vprobe").iterdir() if not p.name.startswith("__")}
    assert rooms == {Path(path).name for path in listed if path.startswith("vprobe/")}


def test_the_two_commands_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
    assert {"demo", "test"} <= set(re.findall(r"^    make (\w+)", README, re.M))


def test_the_shipped_experiment_reads() -> None:
    from vprobe import config

    for path in (ROOT / "experiments").glob("*/config.toml"):
        assert config.read(path).benchmark
