from __future__ import annotations

from pathlib import Path

import pytest
from vprobe import config
from vprobe.errors import InputError


def test_a_configuration_survives_a_round_trip(tmp_path: Path) -> None:
    given = config.RunConfig().changed({"model": "m", "strengths": [-1, 0.5], "benchmark": ["everyday"], "limit": 7})
    config.write(given, tmp_path / "c.toml")
    assert config.read(tmp_path / "c.toml") == given


def test_tables_group_keys(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('seed = 3\n[model]\nmodel = "x"\n')
    assert (config.read(tmp_path / "c.toml").seed, config.read(tmp_path / "c.toml").model) == (3, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'\n", "did you mean 'model'"),
        ("model = 3\n", "c.toml, key model: 3"),
        ("limit = -1\n", "c.toml, key limit: -1"),
        ("seed = true\n", "key seed"),
        ("strengths = ['a']\n", "key strengths"),
        ("temperature = nan\n", "key temperature: nan[\\s\\S]*a number from 0"),
        ("temperature = -1\n", "a number from 0"),
        ("stop = ['']\n", "none of them empty"),
        ("model = \n", "not TOML: "),
    ],
)
def test_a_bad_configuration_is_answered_with_what_was_expected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        config.read(tmp_path / "c.toml")


def test_a_whole_number_does_where_a_fraction_may_stand(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("temperature = 1\n")
    assert repr(config.read(tmp_path / "c.toml").temperature) == "1.0"


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file") as caught:
        config.read(tmp_path / "none.toml")
    assert "Errno" not in str(caught.value) and "to do: give the path of a file that is there" in str(caught.value)


def test_the_manifest_holds_no_output_folder() -> None:
    assert "out" not in dict(config.RunConfig(out="/somewhere").stored)
