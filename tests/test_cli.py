"""The command line as a user meets it: the story in small, and every kind of bad input answered in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from vprobe import __main__ as front
from vprobe import benchmarks, registry, store
from vprobe.types import ScoreRow

from tests import tiny

QUICK = ("--limit", "10")


@dataclass(frozen=True)
class Said:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@pytest.fixture()
def vprobe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run the command line in this process."""

    def call(*words: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["vprobe", *(str(word) for word in words)])
        code = 0
        try:
            front.main()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(bool(done.code))
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Said(code, said.out, said.err)

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.untrained(tmp_path_factory.mktemp("model") / "llama", words(), seed=0)


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.untrained(tmp_path_factory.mktemp("model") / "other", words(), seed=1)


def words() -> list[str]:
    return [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]


@pytest.fixture()
def run(vprobe, model: Path, tmp_path: Path) -> Path:
    """A run with activations, as small as can be."""
    said = vprobe("extract", "--model", model, "--benchmark", "everyday", "--out", tmp_path / "run", *QUICK)
    assert said.code == 0, said.err
    return tmp_path / "run"


def test_the_story_goes_command_by_command(vprobe, model: Path, run: Path) -> None:
    asked = ("--model", model, "--benchmark", "everyday")
    rated = vprobe("rate", *asked, "--out", run, *QUICK, "--versions", "v1,v1_reversed")
    assert rated.code == 0, rated.err
    probed = vprobe("probe", run, "--method", "mean-difference", "--draws", "20")
    assert probed.code == 0, probed.err
    assert "null 95 %" in probed.out and "ceiling" in probed.out
    for words in ("baseline card", "tf-idf", "untrained", "control", "selectivity", "UNSAFE", "max-T p", "--embedding"):
        assert words in probed.out, words
    agreed = vprobe("agree", run, "--draws", "20", "--json")
    assert agreed.code == 0 and json.loads(agreed.out)[0]["stage"] == "agree"
    climbed = json.loads(agreed.out)[0]["ladder"]
    assert len(climbed) == 10 and all(one["rung"] == 0 and "family p" in one["missing"] for one in climbed)
    swept = vprobe("steer", "sweep", *asked, "--run", run, "--values", "benevolence",
                   "--strengths", "-0.5,0,0.5", "--null-draws", "2", "--limit", "1")  # fmt: skip
    assert swept.code == 0, swept.err
    assert "mean shift" in swept.out
    told = vprobe("steer", "--model", model, "--run", run, "--value", "benevolence", "--strength", "0.2", "--prompt",
                  "what now?", "--max-new-tokens", "4", "--json")  # fmt: skip
    assert told.code == 0 and set(json.loads(told.out)[0]) >= {"base", "steered", "coefficient", "site"}
    page = vprobe("report", run)
    assert page.code == 0 and (run / "report.html").stat().st_size > 10_000


def test_help_names_every_command_and_usage_errors_exit_2(vprobe) -> None:
    said = vprobe("--help")
    for name in ("demo", "data", "extract", "rate", "probe", "steer", "agree", "report", "run", "doctor"):
        assert name in said.out
    assert vprobe("extract", "--nonsense").code == 2
    assert vprobe("extract", "--out", "x").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "{tmp}/none"), "none"),
        (("--model", "{tmp}"), "config.json"),
        (("--layers", "7"), "layer"),
        (("--sites", "residpost:all"), "resid_post"),
        (("--benchmark", "everydy"), "everyday"),
        (("--positions", "response_men"), "response_mean"),
        (("--dtype", "float31"), "float32"),
        (("--too-long", "cut"), "skip"),
        (("--template", "v11"), "v1"),
        (("--backend", "hg"), "hf"),
        (("--limit", "-3"), "limit"),
    ],
)
def test_bad_options_of_extract_are_answered_in_words(vprobe, model: Path, tmp_path: Path, words, message) -> None:
    given = {"--model": str(model), "--benchmark": "everyday", "--out": str(tmp_path / "run"), "--limit": "5"}
    given[words[0]] = words[1].replace("{tmp}", str(tmp_path))
    said = vprobe("extract", *(part for pair in given.items() for part in pair))
    assert said.code == 1, said.out + said.err
    assert message in said.err
    assert "expected" in said.err or "to do" in said.err


def test_an_unknown_value_names_the_nearest(vprobe, model: Path, run: Path) -> None:
    said = vprobe("probe", run, "--values", "benevolance", "--draws", "5")
    assert said.code == 1 and "benevolence" in said.err
    assert vprobe("probe", run, "--method", "mean-difference", "--draws", "5").code == 0
    said = vprobe("steer", "--model", model, "--run", run, "--value", "pwer")
    assert said.code == 1 and "power" in said.err


def test_every_direction_method_can_be_asked_for_and_one_that_cannot_be_fitted_to_items_says_what_it_takes(
    vprobe, model: Path, tmp_path: Path
) -> None:
    small = ("--limit", "6", "--sites", "resid_post:0")
    assert vprobe("extract", "--model", model, "--benchmark", "everyday", "--out", tmp_path, *small).code == 0
    fitted = [method for method in registry.names("vprobe.directions") if method != "svd-shared"]
    asked = [word for method in fitted for word in ("--method", method)]
    said = vprobe("probe", tmp_path, *asked, "--values", "power", "--draws", "2")
    assert said.code == 0, said.err
    assert [one.method for one in store.load_directions(tmp_path)] == fitted
    scored = [row for row in store.load_rows(tmp_path, "scores", ScoreRow) if row.kind == "probe"]
    assert {row.method for row in scored} == set(fitted)
    said = vprobe("probe", tmp_path, "--method", "svd_shared", "--draws", "2")
    assert said.code == 1 and "two directions of one value" in said.err and "not fitted to labels" in said.err
    assert len(store.load_directions(tmp_path)) == len(fitted), "what was there stays"


def test_values_that_tell_each_other_have_no_unique_directions_and_the_message_says_what_to_do(
    vprobe, run: Path
) -> None:
    said = vprobe("probe", run, "--method", "partial", "--draws", "5")
    assert said.code == 1 and "no value has a direction with partial" in said.err and "higher_order" in said.err
    said = vprobe("probe", run, "--method", "partial", "--method", "covariance", "--draws", "5")
    assert said.code == 0 and "none with partial" in said.out


def test_an_empty_prompt_is_refused(vprobe, model: Path, run: Path) -> None:
    assert vprobe("probe", run, "--method", "mean-difference", "--draws", "5").code == 0
    said = vprobe("steer", "--model", model, "--run", run, "--value", "power", "--prompt", "  ")
    assert said.code == 1 and "empty prompt" in said.err


def test_a_run_of_another_model_is_refused(vprobe, model: Path, other_model: Path, run: Path) -> None:
    said = vprobe("extract", "--model", other_model, "--benchmark", "everyday", "--out", run, *QUICK)
    assert said.code == 1 and "other" in said.err and "llama" in said.err
    assert vprobe("probe", run, "--method", "mean-difference", "--draws", "5").code == 0
    said = vprobe("steer", "--model", other_model, "--run", run, "--value", "power", "--prompt", "hello")
    assert said.code == 1 and "model" in said.err


def test_a_corrupt_shard_is_named(vprobe, run: Path) -> None:
    shard = next((run / "activations" / "response_mean").glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-5] ^= 0xFF
    shard.write_bytes(data)
    said = vprobe("probe", run, "--draws", "5")
    assert said.code == 1 and shard.name in said.err


def test_a_folder_that_is_no_run_is_named(vprobe, tmp_path: Path) -> None:
    for command in ("probe", "agree", "report"):
        said = vprobe(command, tmp_path)
        assert said.code == 1 and str(tmp_path) in said.err


def test_a_model_without_chat_template_is_read_as_plain_text(vprobe, tmp_path: Path) -> None:
    plain = tiny.build("llama", tmp_path / "plain", style="plain")
    said = vprobe("extract", "--model", plain, "--benchmark", "everyday", "--out", tmp_path / "run", *QUICK)
    assert said.code == 0, said.err


def test_a_context_too_short_is_a_counted_skip_or_an_error_and_never_a_cut(vprobe, model: Path, tmp_path: Path) -> None:
    short = shutil.copytree(model, tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    lengths = _lengths(vprobe, model, tmp_path)
    config["max_position_embeddings"] = sorted(lengths)[len(lengths) // 2]
    (short / "config.json").write_text(json.dumps(config))
    asked = ("extract", "--model", short, "--benchmark", "everyday", *QUICK)
    said = vprobe(*asked, "--out", tmp_path / "skip", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert sum(row["n"] for row in found["left_out"]) == len(lengths) - found["samples"] > 0
    assert sum(count.n for count in store.load_info(tmp_path / "skip").counts) == len(lengths) - found["samples"]
    said = vprobe(*asked, "--out", tmp_path / "error", "--too-long", "error")
    assert said.code == 1 and "too-long" in said.err
    config["max_position_embeddings"] = 8
    (short / "config.json").write_text(json.dumps(config))
    said = vprobe(*asked, "--out", tmp_path / "none")
    assert said.code == 1 and "context" in said.err


def _lengths(vprobe, model: Path, tmp_path: Path) -> list[int]:
    said = vprobe("extract", "--model", model, "--benchmark", "everyday", "--out", tmp_path / "all", *QUICK)
    assert said.code == 0, said.err
    return [sample.n_tokens for sample in store.load_samples(tmp_path / "all")]


@pytest.fixture()
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_before_any_work(vprobe, model: Path, small_disk: Path) -> None:
    said = vprobe("extract", "--model", model, "--benchmark", "everyday", "--out", small_disk / "run")
    assert said.code == 1 and "--out" in said.err, said.err


def test_data_list_says_what_is_here_and_under_which_licence(vprobe) -> None:
    said = vprobe("data", "list", "--json")
    found = {entry["name"]: entry for entry in json.loads(said.out)}
    assert found["everyday"]["state"] == "complete" and found["value-portrait"]["state"] == "absent"
    assert all(entry["licence"] and entry["citation"] for entry in found.values())
    said = vprobe("extract", "--model", "x", "--benchmark", "value-portrait", "--out", "y")
    assert said.code == 1 and "vprobe data get value-portrait" in said.err


def test_doctor_says_what_would_run(vprobe) -> None:
    found = json.loads(vprobe("doctor", "--json").out)
    assert found["auto"]["device"] in [device["name"] for device in found["devices"]]
    assert found["versions"]["torch"] and "hf" in found["backends"]


def test_two_runs_with_one_seed_are_the_same_bytes_except_timing(vprobe, model: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'benchmark = ["everyday"]\nversions = ["v1"]\nlimit = 12\ndraws = 10\nmethod = ["mean-difference"]\n'
        'steer_versions = ["v1"]\nstrengths = [0.5]\nnull_draws = 2\nsteer_limit = 2\n'
    )
    for name in ("one", "two"):
        said = vprobe("run", tmp_path / "c.toml", "--model", model, "--out", tmp_path / name)
        assert said.code == 0, said.err
    files = [
        sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("one", "two")
    ]
    assert files[0] == files[1] and len(files[0]) > 15
    differ = [str(p) for p in files[0] if (tmp_path / "one" / p).read_bytes() != (tmp_path / "two" / p).read_bytes()]
    assert differ == ["timing.json"]


def test_one_folder_never_mixes_items_ratings_or_stale_results(vprobe, model: Path, run: Path, tmp_path: Path) -> None:
    asked = ("--model", model, "--benchmark", "everyday", "--out", run)
    rate = ("rate", *asked, *QUICK, "--no-greedy", "--versions")
    assert vprobe(*rate, "v1").code == 0
    before = (run / "responses.parquet").read_bytes()
    said = vprobe(*rate, "v1_reversed")
    assert said.code == 1 and "other settings" in said.err
    said = vprobe("extract", *asked, "--limit", "3")
    assert said.code == 1 and "15" in said.err and "50" in said.err
    assert (run / "responses.parquet").read_bytes() == before
    quick = ("--draws", "5", "--method")
    assert vprobe("probe", run, *quick, "covariance,ridge").code == 0
    assert vprobe("agree", run, "--draws", "5").code == 0
    assert store.has(run, "profile") and "agree" in store.stages(run)
    assert vprobe("probe", run, *quick, "ridge", "--values", "power,hedonism").code == 0
    assert not store.has(run, "profile") and "agree" not in store.stages(run)
    found = store.table(run, "agreement")
    assert set(found["method"]) == {"ridge", "words"} and set(found["value"]) == {"power", "hedonism"}
    assert dict(store.load_info(run, "probe").config)["method"] == ("ridge",)
    assert "model" not in dict(store.load_info(run, "probe").config)


def test_another_chat_template_is_another_model(vprobe, model: Path, run: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(model, tmp_path / "bare" / "llama")
    (bare / "chat_template.jinja").unlink()
    said = vprobe("rate", "--model", bare, "--benchmark", "everyday", "--out", run, *QUICK, "--versions", "v1")
    assert said.code == 1 and "model" in said.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('steer_value = ["powr"]', "power"),
        ('method = ["rigde"]', "ridge"),
        ("strengths = [true]", "strengths"),
        ('versions = ["v9"]', "v1"),
        ('steer_method = "logistic"', "mean-difference"),
        ("seed = 5000000000", "seed"),
        ('null_arms = ["suffled"]', "shuffled"),
        ("[a]\nseed = 1\n[b]\nseed = 2", "twice"),
    ],
)
def test_a_bad_configuration_is_refused_before_the_model_is_loaded(vprobe, tmp_path: Path, line, message) -> None:
    (tmp_path / "c.toml").write_text('benchmark = ["everyday"]\nmodel = "no-such-folder"\n' + line + "\n")
    said = vprobe("run", tmp_path / "c.toml", "--out", tmp_path / "run")
    assert said.code == 1 and message in said.err and "no-such-folder" not in said.err


# instruments


def answers(folder: Path) -> Path:
    """Two models' answers to a few items, one of them unreadable."""
    items = [item.id for item in benchmarks.load("everyday").items][:60]
    labels = ("very much like me", "like me", "not like me", "not like me at all")
    rows = [
        f"{model},{version},{item},{labels[(i * (m + 1) + j) % 4]}"
        for m, model in enumerate(("qwen2.5-7b-instruct", "llama-3.1-8b-instruct"))
        for j, version in enumerate(("v1", "v1_reversed"))
        for i, item in enumerate(items)
    ]
    rows[3] = rows[3].rpartition(",")[0] + ",who knows"
    path = folder / "answers.csv"
    path.write_text("\n".join(("model,version,item_id,raw_response", *rows)), encoding="utf-8")
    return path


def test_answers_of_ones_own_are_scored_explained_and_printed_for_a_program(vprobe, tmp_path: Path) -> None:
    file = answers(tmp_path)
    said = vprobe("score", "everyday", "--answers", file, "--explain", "--reliability")
    assert said.code == 0, said.err
    assert "1 of 240 answers could not be read" in said.out and "row 5: qwen2.5-7b-instruct v1" in said.out
    assert "'who knows'" in said.out and "ICC(3,k)" in said.out and "Self-Direction" in said.out
    found = json.loads(vprobe("score", "everyday", "--answers", file, "--json", "--explain").out)
    assert found["unread"][0]["text"] == "who knows"
    row = found["scores"]["qwen2.5-7b-instruct"]["schwartz"]["Self_Direction"]
    assert {"centered_mean", "original_mean", "std_dev", "n", "n_unscored", "option_mass", "reliability"} <= set(row)
    plain = json.loads(vprobe("score", "everyday", "--answers", file, "--json").out)
    assert plain == found["scores"]


def test_bad_answers_give_one_message_and_exit_1(vprobe, tmp_path: Path) -> None:
    file = answers(tmp_path)
    for words, message in (
        (("score", "everydy", "--answers", file), "did you mean 'everyday'"),
        (("score", "everyday", "--answers", tmp_path / "none.csv"), "cannot be read"),
        (("score", "everyday", "--answers", file, "--rule", "paper"), "unknown rule 'paper'"),
        (("score", "svo", "--answers", file), "no column item"),
        (("labels", "everyday"), "unknown benchmark with raw ratings"),
        (("compare",), "run folders, or one file of answers"),
        (("data", "get", "pvq-21"), "to do: get the wording from its author"),
        (("rate", "-m", "organism", "-o", tmp_path / "r", "--temperature", "nan"), "--temperature: nan"),
    ):
        said = vprobe(*words)
        assert said.code == 1 and message in said.err and not said.out, (words, said)


def test_models_are_compared_from_a_file_with_a_page(vprobe, tmp_path: Path) -> None:
    said = vprobe("compare", "--answers", answers(tmp_path), "-b", "everyday", "--out", tmp_path / "page")
    assert said.code == 0, said.err
    assert "2 models of 2 families" in said.out and (tmp_path / "page" / "compared.html").is_file()
    found = json.loads(vprobe("compare", "--answers", answers(tmp_path), "-b", "everyday", "--json").out)
    assert {row["value"] for row in found["effects"]} >= {"power", "security"}


def test_human_labels_are_made_again_and_written(vprobe, shared: Path, tmp_path: Path) -> None:
    official = shared / "value_portrait" / "upstream"
    said = vprobe("labels", "--data", official, "--kind", "ipsatised", "--out", tmp_path / "labels.csv")
    assert said.code == 0, said.err
    assert "9,282 of 9,880" in said.out and "rater group 0" in said.out and "0.590" in said.out
    assert len((tmp_path / "labels.csv").read_text("utf-8").splitlines()) == 1 + 9880
    found = json.loads(vprobe("labels", "--data", official, "--repaired", "--json").out)
    assert (found["exact"], found["different"]) == (9880, [])
