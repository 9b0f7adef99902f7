"""The rules of the house, read off the source: floors, strangers, where torch may be, sizes, public docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "vprobe"
FLOORS = {
    "errors": 0,
    "values": 1, "stats": 1, "registry": 1, "batching": 1, "ranks": 1, "stops": 1,
    "types": 2, "config": 2,
    "benchmarks": 3, "prompts": 3, "backends": 3, "store": 3,
    "activations": 4, "responses": 4, "splits": 4, "directions": 4, "scores": 4, "agreement": 4, "steering": 4,
    "controls": 4, "power": 4, "scoring": 4, "labels": 4, "psychometrics": 4, "ess": 4,
    "compare": 4, "generation": 4, "sweeps": 4, "effects": 4, "damage": 4,
    "claims": 5, "report": 5, "exports": 5, "lexicon": 5, "conformance": 5, "organism": 5, "pipeline": 6,
    "api": 7, "cli": 7, "__main__": 7,
}  # fmt: skip
HEAVY = {"torch", "transformers", "tokenizers", "transformer_lens", "nnsight"}
HEAVY_ALLOWED = ("backends/", "organism/train.py", "organism/_vocabulary.py")
MAX_FILE, MAX_BODY = 320, 45


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    """Dotted names imported anywhere in a file, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def broken_floors(path: Path) -> list[str]:
    here = room(path)
    wrong = []
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "vprobe":
            continue
        if len(parts) == 1 or parts[1] not in FLOORS:
            if parts[1:2] != ["__version__"]:
                wrong.append(f"{path.name}: imports the package root ({name})")
        elif parts[1] != here and FLOORS[parts[1]] >= FLOORS[here] and not (here == "__main__" and parts[1] == "cli"):
            wrong.append(f"{path.name}: {here} imports {parts[1]}, which is not below it")
    return wrong


def broken_heavy(path: Path) -> list[str]:
    inside = str(path.relative_to(PACKAGE))
    if inside.startswith(HEAVY_ALLOWED):
        return []
    return [f"{inside}: imports {name}" for name in imported(path) if name.split(".")[0] in HEAVY]


def long_parts(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    wrong = [f"{path.name}: {len(text.splitlines())} lines"] if len(text.splitlines()) > MAX_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            size = (node.end_lineno or first.lineno) - first.lineno + 1
            if size > MAX_BODY:
                wrong.append(f"{path.name}: {node.name} has {size} lines")
    return wrong


def test_every_room_has_a_floor_and_every_floor_is_of_a_room() -> None:
    assert {room(path) for path in files()} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("rule", [broken_floors, broken_heavy, long_parts])
def test_the_house_keeps_its_rules(rule) -> None:
    assert [line for path in files() if room(path) != "__init__" for line in rule(path)] == []


@pytest.mark.parametrize(
    ("rule", "where", "text"),
    [
        (broken_floors, "values.py", "from vprobe.types import Site\n"),
        (broken_floors, "scores.py", "def f():\n    from vprobe.agreement import item\n"),
        (broken_floors, "splits.py", "import vprobe\n"),
        (broken_heavy, "scores.py", "def f():\n    import torch\n"),
        (long_parts, "splits.py", "x = 1\n" * (MAX_FILE + 1)),
        (long_parts, "splits.py", "def f():\n" + "    x = 1\n" * (MAX_BODY + 1)),
    ],
)
def test_each_rule_notices_when_it_is_broken(rule, where, text, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / where).write_text(text, encoding="utf-8")
    assert rule(tmp_path / where)


def test_no_public_function_takes_arbitrary_keywords_and_nothing_probes_with_hasattr() -> None:
    wrong = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.args.kwarg and not node.name.startswith("_"):
                wrong.append(f"{path.name}: {node.name} takes **{node.args.kwarg.arg}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr":
                wrong.append(f"{path.name}:{node.lineno}: hasattr")
    assert wrong == []


def test_importing_the_front_door_loads_nothing_heavy() -> None:
    code = (
        "import sys, vprobe, vprobe.cli, vprobe.__main__\n"
        "heavy = {'torch','transformers','numpy','pandas','scipy','sklearn','matplotlib','umap','pyarrow'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_analysis_rooms_load_without_torch() -> None:
    code = (
        "import sys\n"
        "import vprobe.directions, vprobe.scores, vprobe.agreement, vprobe.controls, vprobe.store, vprobe.report\n"
        "sys.exit(', '.join(sorted({'torch','transformers'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
