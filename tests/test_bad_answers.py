"""Answer files as people have them, through the command: fine ones are scored, wrong ones are named, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from vprobe import scoring
from vprobe.__main__ import main

SAID = {"svo": "A", "valuelex": "I want to be honest and helpful"}
FEW = ("plain", "byte order mark", "CRLF", "CR", "UTF-16", "a row twice", "unknown item", "out of range", "no item")
"""What is tried on the official data, which take a second to load each time."""
NAMES = ("everyday", "portraits", "pvq-21", "pvq-40", "pvq-rr", "svo", "valuelex", "value-portrait")


def table(name: str, folder: Path | None) -> list[list[str]]:
    """A header and the answers of one model to six items."""
    plug = scoring.plug_in(name)
    columns = list(plug.ITEM_COLUMNS)
    said = SAID.get(name, "like me")
    known = plug.known(folder)
    ids = [item for item in known if item.isdigit()] or list(known)  # some go by number and by id
    rows = [["m", "v1", *item.split("-", len(columns) - 1), said] for item in ids[:6]]
    return [["model", "version", *columns, "raw_response"], *rows]


def text(rows: list[list[str]], *, end: str = "\n", comma: str = ",") -> bytes:
    return (end.join(comma.join(f'"{cell}"' for cell in row) for row in rows) + end).encode()


def without(rows: list[list[str]], column: int) -> list[list[str]]:
    return [row[:column] + row[column + 1 :] for row in rows]


def answered(rows: list[list[str]], said: str, *, column: str = "raw_response") -> list[list[str]]:
    return [[*rows[0][:-1], column], *([*row[:-1], said] for row in rows[1:])]


def good(rows: list[list[str]]) -> dict[str, bytes]:
    last = rows[-1]
    return {
        "plain": text(rows),
        "byte order mark": b"\xef\xbb\xbf" + text(rows),
        "CRLF": text(rows, end="\r\n"),
        "CR": text(rows, end="\r"),
        "two models": text([*rows, *(["n", *row[1:]] for row in rows[1:])]),
        "another script": text([*rows[:-1], [*last[:-1], "Очень похоже 😀"]]),
        "a very long answer": text([*rows[:-1], [*last[:-1], "and so on " * 14_000]]),
        "one unknown option": text([*rows[:-1], [*last[:-1], "bananas"]]),
    }


def wrong(rows: list[list[str]], kind: str) -> dict[str, tuple[bytes, str]]:
    out = {
        "UTF-16": (text(rows).decode().encode("utf-16"), "not UTF-8"),
        "Latin-1": (text([rows[0], ["mé", *rows[1][1:]]]).decode().encode("latin-1"), "line 2 is not UTF-8"),
        "two encodings": (text(rows) + "mé".encode() + "mé".encode("latin-1"), "line 8 is not UTF-8"),
        "empty": (b"", "is empty"),
        "blank": (b"\n \n", "is empty"),
        "header only": (text(rows[:1]), "has a header and no rows"),
        "binary": (bytes(range(256)) * 9, "not UTF-8"),
        "semicolons": (text(rows, comma=";"), "separated by ;"),
        "tabs": (text(rows, comma="\t"), "separated by tabs"),
        "no model": (text(without(rows, 0)), "no column model"),
        "no item": (text(without(rows, 2)), f"no column {rows[0][2]}"),
        "no answers": (text(without(rows, len(rows[0]) - 1)), "no column raw_response or numeric_response"),
        "a column twice": (text([row + row[-1:] for row in rows]), "stands twice"),
        "a row twice": (text([*rows, rows[1]]), "in rows 2 and 8"),
        "unknown item": (text([*rows, ["m", "v1", *["zzz"] * (len(rows[0]) - 3), "x"]]), "in row 8"),
        "unknown version": (text([rows[0], ["m", "v77", *rows[1][2:]]]), "unknown version 'v77'"),
        "no name": (text([rows[0], ["", *rows[1][1:]]]), "model is empty in row 2"),
        "unequal rows": (text([*rows, ["m", "v1"]]), "row 8 has 2 cells"),
        "an open quote": (text(rows) + b'"m', "not a CSV table"),
        "out of range": (text(answered(rows, "17", column="numeric_response")), "'17' in row 2"),
        "no number": (text(answered(rows, "many", column="numeric_response")), "'many' in row 2"),
        "infinite": (text(answered(rows, "inf", column="numeric_response")), "'inf' in row 2"),
        "all empty": (text(answered(rows, "")), "no completion" if kind == "generation" else "none of 6 answers"),
    }
    if kind != "generation":
        out["all unknown options"] = (text(answered(rows, "bananas")), "the first is 'bananas'")
    return out


@pytest.mark.parametrize("name", NAMES)
def test_every_instrument_scores_what_is_fine_and_names_what_is_wrong(
    name: str, tmp_path, monkeypatch, capsys, request
) -> None:
    folder = request.getfixturevalue("shared") / "value_portrait" / "upstream" if name == "value-portrait" else None
    rows, kind = table(name, folder), scoring.plug_in(name).KIND

    def run(path: Path) -> tuple[int, str]:
        more = ["--data", str(folder)] if folder else []
        monkeypatch.setattr(sys, "argv", ["vprobe", "score", name, "--answers", str(path), "--json", *more])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        code = int(end.value.code or 0)
        return code, str(said.err if code else said.out)

    scores: dict[str, str] = {}
    fine, bad = good(rows), wrong(rows, kind)
    if folder:
        fine, bad = ({case: part[case] for case in FEW if case in part} for part in (fine, bad))
    for case, data in fine.items():
        (tmp_path / "answers.csv").write_bytes(data)
        code, scores[case] = run(tmp_path / "answers.csv")
        assert code == 0, (case, scores[case])
    assert scores["byte order mark"] == scores["CRLF"] == scores["CR"] == scores["plain"]
    for case, (data, words) in bad.items():
        (tmp_path / "answers.csv").write_bytes(data)
        code, said = run(tmp_path / "answers.csv")
        assert code == 1 and words in said and "report it" not in said and "Traceback" not in said, (case, said)
    for path in (tmp_path, tmp_path / "none.csv"):
        code, complaint = run(path)
        assert code == 1 and "cannot be read" in complaint
