"""Answer files are read whole, whatever wrote them, and every complaint names the row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from vprobe import benchmarks, scoring
from vprobe.cli import app
from vprobe.errors import InputError
from vprobe.types import AnswerTable, Response, ScaleRow

ITEMS = tuple(item.id for item in benchmarks.load("everyday").items)
HEAD = "model,version,item_id,raw_response"
ROWS = (f"a,v1,{ITEMS[0]},like me", f"a,v1,{ITEMS[1]},Not like me at all.", f"b,v2,{ITEMS[0]},no idea")


def written(folder: Path, rows=ROWS, head: str = HEAD, *, end: str = "\n", encoding: str = "utf-8") -> Path:
    path = folder / "answers.csv"
    path.write_bytes(end.join((head, *rows, "")).encode(encoding))
    return path


def read(path: Path) -> AnswerTable:
    return scoring.read("everyday", path)


def complaint(folder: Path, rows=ROWS, head: str = HEAD, *, encoding: str = "utf-8") -> str:
    with pytest.raises(InputError) as caught:
        read(written(folder, rows, head, encoding=encoding))
    return str(caught.value)


def test_words_are_parsed_and_what_says_nothing_is_unscored_and_listed(tmp_path: Path) -> None:
    found = read(written(tmp_path))
    assert (found.respondents, found.versions, found.item_ids) == (("a", "b"), ("v1", "v2"), ITEMS[:2])
    np.testing.assert_array_equal(found.number, [5.0, 1.0, np.nan])
    left = scoring.unread(found)
    assert [(one.line, one.respondent, one.version, one.item_id, one.text) for one in left] == [
        (4, "b", "v2", ITEMS[0], "no idea")
    ]


@pytest.mark.parametrize(
    ("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8"), ("\r", "utf-8"), ("\r\n", "utf-8-sig"), ("\n\n", "utf-8")]
)
def test_byte_order_mark_and_line_ends_change_nothing(tmp_path: Path, end: str, encoding: str) -> None:
    rows = (*ROWS, f'a,v1,{ITEMS[2]},"Je ne sais pas, désolé; 我不知道"')
    plain, other = read(written(tmp_path, rows)), read(written(tmp_path, rows, end=end, encoding=encoding))
    np.testing.assert_array_equal(plain.number, other.number)
    assert plain.texts == other.texts and plain.item_ids == other.item_ids


def test_a_compressed_file_is_read_and_a_cell_may_hold_lines_and_commas(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv.gz"
    path.write_bytes(gzip.compress(f'{HEAD}\na,v1,{ITEMS[0]},"Well,\nlike me"\n'.encode()))
    assert read(path).number.tolist() == [5.0]


def test_numbers_are_taken_where_words_say_nothing_and_an_empty_cell_is_no_answer(tmp_path: Path) -> None:
    rows = tuple(f"a,v1,{ITEMS[i]},{said},{number}" for i, (said, number) in enumerate(
        [("", "4"), ("", ""), ("like me", "2"), ("what?", "3"), ("", "NaN")]))  # fmt: skip
    found = read(written(tmp_path, rows, HEAD + ",numeric_response"))
    np.testing.assert_array_equal(found.number, [4.0, np.nan, 5.0, 3.0, np.nan])
    assert [one.reason for one in scoring.unread(found)] == [
        "empty answer", "empty answer",
    ]  # fmt: skip


def test_answers_of_one_wording_need_no_version_and_a_failed_call_is_named(tmp_path: Path) -> None:
    found = read(
        written(tmp_path, (f"a,{ITEMS[0]},like me,", f"a,{ITEMS[1]},,timeout"), "model,item_id,raw_response,error")
    )
    assert found.versions == ("v1",)
    assert [one.reason for one in scoring.unread(found)] == ["asking failed"]


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (ROWS, "model,version,item,raw_response", ("no column item_id", "its columns are model, version, item")),
        (ROWS, "model,version,item_id,said", ("no column raw_response or numeric_response",)),
        (ROWS, "model,model,item_id,raw_response", ("column 'model' stands twice",)),
        ((*ROWS, ROWS[0]), HEAD, ("stand there twice", "rows 2 and 5", f"a, v1, {ITEMS[0]}")),
        ((*ROWS, "a,v1,e99-9,like me"), HEAD, ("first 'e99-9' in row 5", "did you mean")),
        ((*ROWS, f",v1,{ITEMS[3]},like me"), HEAD, ("model is empty in row 5",)),
        ((*ROWS, f"a,,{ITEMS[3]},like me"), HEAD, ("version is empty in row 5",)),
        ((f"a,v1,{ITEMS[0]},7",), HEAD.replace("raw", "numeric"), ("'7' in row 2", "from 1 to 6")),
        ((f"a,v1,{ITEMS[0]},lots",), HEAD.replace("raw", "numeric"), ("'lots' in row 2",)),
        ((), HEAD, ("no rows",)),
        ((f'a,v1,{ITEMS[0]},"like me',), HEAD, ("not a CSV table",)),
        ((*ROWS, f"a,v1,{ITEMS[3]},not like me, at all"), HEAD, ("row 5 has 5 cells, the header 4", "double quotes")),
        ((f"a,v1,{ITEMS[3]}",), HEAD, ("row 2 has 3 cells",)),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_named_with_its_row(tmp_path: Path, rows, head, words) -> None:
    said = complaint(tmp_path, rows, head)
    assert all(word in said for word in words), said


def test_another_encoding_an_empty_file_and_no_file_are_named(tmp_path: Path) -> None:
    assert "line 5 is not UTF-8" in complaint(tmp_path, (*ROWS, f"a,v1,{ITEMS[2]},désolé"), encoding="latin-1")
    (tmp_path / "answers.csv").write_text(" \n")
    with pytest.raises(InputError, match="is empty"):
        read(tmp_path / "answers.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.csv")


def test_an_unknown_instrument_or_rule_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'everyday'"):
        scoring.read("everyda", tmp_path / "x")
    with pytest.raises(InputError, match="did you mean 'keyed'"):
        scoring.score("everyday", read(written(tmp_path)), rule="keyd")


def test_every_instrument_keeps_the_contract() -> None:
    assert set(scoring.names()) >= {"everyday"}
    for name in scoring.names():
        plug = scoring.plug_in(name)
        assert plug.KIND in ("rating", "self_report", "generation", "choice"), name
        assert plug.RULES and plug.ITEM_COLUMNS and plug.SCALE[0] < plug.SCALE[1], name
        assert np.isnan(plug.parse("", "v1", "")), name


def test_a_models_own_answers_are_scored_from_probabilities_or_from_its_words() -> None:
    logs = tuple(float(np.log(p)) for p in (0.5, 0.5))
    said = [Response(f"{i}/v1", i, i, "s", "v1", (6.0, 5.0), logs, "like me", 5.0) for i in ITEMS[:3]]
    table = scoring.as_answers(said, respondent="m")
    np.testing.assert_allclose(table.number, 5.5)
    np.testing.assert_allclose(table.masses(), 1.0)
    np.testing.assert_array_equal(
        scoring.as_answers(said, respondent="m", parse=lambda text, version, item: float(len(text))).number, 7.0
    )
    assert table.cube().shape == (1, 1, 3)


def test_scores_for_a_program_are_named_as_upstream_names_them() -> None:
    row = ScaleRow("m", "x", "pvq", "self_direction", "rating", "r", 0.5, 4.0, 0.1, 3, 0, "points")
    other = ScaleRow("m", "x", "higher_pvq", "openness_to_change", "rating", "r", 0.5, 4.0, 0.1, 3, 0, "points")
    found = scoring.nested([row, other])
    assert found["m"]["pvq"]["Self_Direction"]["centered_mean"] == 0.5
    assert set(found["m"]["higher_pvq"]) == {"Openness_to_Change"}


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    models = [f"m{i}" for i in range(1 + 50_000 // (len(ITEMS) * 4))]
    labels = ("very much like me", "like me", "not like me")
    rows = [
        f"{model},{version},{item},{labels[(i + j) % 3]}"
        for i, model in enumerate(models)
        for version in ("v1", "v1_reversed", "v2", "v2_reversed")
        for j, item in enumerate(ITEMS)
    ]
    path = written(tmp_path, rows)
    found = read(path)
    assert len(found.number) == len(rows) >= 50_000 and np.isfinite(found.number).all()
    scored = scoring.score("everyday", found)
    assert len(scored) == 10 * len(models)
    assert all(row.n == 36 and row.n_unscored == 0 for row in scored)


def biased(place: float, taste: np.ndarray, n: int = 40) -> list[Response]:
    """Answers of a model with a taste for labels and a preference for places near the top of the list."""
    rng, out = np.random.default_rng(0), []
    ratings = (6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    for i in range(n):
        mine = taste + rng.normal(0, 0.5, 6)
        for name, order in (("v1", slice(None)), ("v1_reversed", slice(None, None, -1))):
            logs = mine[order] - place * np.arange(6)
            logs = logs - np.log(np.exp(logs).sum()) - 0.1
            out.append(Response(f"{i}/{name}", str(i), str(i), "s", name, ratings[order], tuple(logs)))
    return out


def test_a_preference_for_places_is_divided_out_and_a_taste_for_labels_is_not() -> None:
    taste = np.array([1.5, 1.0, 0.2, 0.0, -0.3, -0.8])
    fair, tilted = (
        scoring.as_answers(biased(place, taste), respondent="m", correct_order=True) for place in (0.0, 0.7)
    )
    plain = scoring.as_answers(biased(0.7, taste), respondent="m")
    truth = scoring.as_answers(biased(0.0, taste), respondent="m")
    assert np.abs(plain.number - truth.number).mean() > 0.3
    np.testing.assert_allclose(tilted.number, truth.number, atol=1e-9)
    np.testing.assert_allclose(fair.number, truth.number, atol=1e-9)
    assert truth.number.mean() > 4.0
    one = [answer for answer in biased(0.7, taste) if answer.template == "v1"]
    alone = scoring.as_answers(one, respondent="m", correct_order=True)
    np.testing.assert_allclose(alone.number, [answer.expected for answer in one])


def test_a_choice_is_the_most_probable_option_and_not_a_mean_of_all() -> None:
    flat, sure = (0.24, 0.26, 0.25, 0.25), (0.01, 0.01, 0.01, 0.97)
    said = [Response(f"{i}/v1", str(i), str(i), "s", "v1", (1.0, 2.0, 8.0, 9.0), tuple(np.log(p)))
            for i, p in enumerate((flat, sure))]  # fmt: skip
    assert scoring.as_answers(said, respondent="m", likeliest=True).number.tolist() == [2.0, 9.0]
    assert 4.0 < scoring.as_answers(said, respondent="m").number[0] < 6.0


def test_completions_are_read_as_texts_and_only_empty_ones_are_listed(tmp_path: Path) -> None:
    stems = [item.id for item in benchmarks.load("valuelex").items][:3]
    rows = tuple(f"m,v1,{stem},{text}" for stem, text in zip(stems, ("kind and fair", "", "zzz"), strict=True))
    found = scoring.read("valuelex", written(tmp_path, rows))
    assert [one.item_id for one in scoring.unread(found, texts=True)] == [stems[1]]
    assert len(scoring.unread(found)) == 3


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv.gz"
    path.write_bytes(gzip.compress(b"x" * 999)[:-12] + b"rubbish12345")
    with pytest.raises(InputError, match="cannot be read"):
        read(path)


TORN = (f"a,v1,{ITEMS[0]},like me,5", f"a,v1,{ITEMS[1]},like me,2", f"a,v1,{ITEMS[2]},what?,3", f"a,v1,{ITEMS[3]},,4")


def test_words_that_say_another_number_than_the_file_gives_are_scored_and_listed(tmp_path: Path) -> None:
    found = read(written(tmp_path, TORN, HEAD + ",numeric_response"))
    np.testing.assert_array_equal(found.number, [5.0, 5.0, 3.0, 4.0])
    (one,) = scoring.contradictions(found)
    assert (one.line, one.item_id, one.said, one.given, one.text) == (3, ITEMS[1], 5.0, 2.0, "like me")
    assert scoring.contradictions(read(written(tmp_path))) == ()


def test_the_command_counts_contradictions_lists_them_and_keeps_json_clean(tmp_path: Path) -> None:
    words = ["score", "everyday", "--answers", str(written(tmp_path, TORN, HEAD + ",numeric_response"))]

    def said(*more: str):
        found = CliRunner().invoke(app, [*words, *more])
        assert found.exit_code == 0, found.output
        return found

    assert "1 of 4 answers say another number" in said().stdout
    assert "row 3: a v1" in said("--explain").stdout and "the file's number is 2" in said("--explain").stdout
    assert "1 of 4 answers say another number" in said("--json").stderr and set(json.loads(said("--json").stdout)) == {
        "a"
    }
    assert [one["given"] for one in json.loads(said("--json", "--explain").stdout)["overruled"]] == [2.0]


@pytest.mark.parametrize("name", scoring.names())
def test_a_version_the_instrument_does_not_have_is_refused_with_the_nearest(name: str, tmp_path: Path, request) -> None:
    official = request.getfixturevalue("shared") / "value_portrait" / "upstream" if name == "value-portrait" else None
    plug = scoring.plug_in(name)
    ids = dict(zip(plug.ITEM_COLUMNS, plug.known(official)[0].rsplit("-", len(plug.ITEM_COLUMNS) - 1), strict=True))
    for version, fine in ((plug.versions(official)[1], True), ("v1x", False)):
        cells = {"model": "m", "version": version} | ids | {"numeric_response": "1"}
        path = tmp_path / "answers.csv"
        path.write_text(f"{','.join(cells)}\n{','.join(cells.values())}\n", encoding="utf-8")
        if fine:
            assert scoring.read(name, path, folder=official).versions == (version,)
            continue
        with pytest.raises(InputError, match="unknown version 'v1x'") as caught:
            scoring.read(name, path, folder=official)
        assert "row 2" in str(caught.value) and "did you mean" in str(caught.value)


def test_answers_from_a_model_are_held_to_the_same_versions() -> None:
    said = [Response("1/v9", "svo-01", "svo-01", "s", "v9", (1.0, 2.0), (-1.0, -0.5), None, None)]
    with pytest.raises(InputError, match="unknown version 'v9'"):
        scoring.score("svo", scoring.as_answers(said, respondent="m"))


@pytest.mark.parametrize("name", sorted(set(benchmarks.names()) - set(scoring.names())))
def test_a_benchmark_without_a_scoring_rule_says_so_and_names_those_that_have_one(name: str) -> None:
    with pytest.raises(InputError, match="has no scoring rule") as caught:
        scoring.plug_in(name.replace("-", "_"))
    assert "everyday" in str(caught.value) and "vprobe rate" in str(caught.value)
