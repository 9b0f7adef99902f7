"""A text ends where it first holds a stop string, however tokens divide it and whoever stands beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast
from vprobe import api, backends, pipeline, steering, stops, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, StoreError
from vprobe.lexicon import Elicited
from vprobe.pipeline import _harness
from vprobe.types import Direction, Generation, Piece, Response, Site, Steering, Tokens

from tests import tiny

torch.set_num_threads(1)
HALF = "\N{REPLACEMENT CHARACTER}"


def spaced() -> PreTrainedTokenizerFast:
    """A tokenizer that writes spaces into words and falls back on single bytes, as Llama's does."""
    pieces = ["\u2581", "\u2581a", "a", "b", "\u2581the", "User", ":", "\u2581User", ".", "\u4f60"]
    names = ["<unk>", "<s>", *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    engine = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>", byte_fallback=True))
    engine.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=engine, bos_token="<s>", unk_token="<unk>")


WORDS = {"bytes": tiny.tokenizer(), "spaced": spaced()}


def naive(decode: Any, ids: Sequence[int], strings: Sequence[str]) -> tuple[int, str] | None:
    """Decode every beginning whole; return after how many tokens the first stop string is there, and what is before."""
    for n in range(1, len(ids) + 1):
        text = decode(ids[:n]).rstrip(HALF)
        held = [(text.index(one) + len(one), text.index(one)) for one in strings if one in text]
        if held:
            return n, text[: min(held)[1]]
    return None


def followed(ends: stops.Stops, ids: Sequence[int]) -> tuple[int, str] | None:
    watch = stops.Watch(ends)
    for n in range(1, len(ids) + 1):
        text = watch.reached(list(ids[:n]))
        if text is not None:
            return n, text
    return None


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "strings", "left"),
    [
        ("a\n\nb", ["\n\n"], "a"),
        ("a\n\n\n", ["\n\n"], "a"),
        ("xUser: y", ["User:", "\n"], "x"),
        ("x\n\nUser: y", ["User:", "\n\nUser:"], "x"),
        ("xabcd", ["abcd", "bc"], "xa"),
        ("aXbY", ["Y", "X"], "a"),
        ("\nab", ["\n"], ""),
        ("ab", ["abc", "c"], None),
        ("ab", [], None),
    ],
)
def test_the_stop_string_that_is_complete_first_counts_and_the_longer_of_two_that_end_together(
    text: str, strings: list[str], left: str | None
) -> None:
    assert stops.before(text, strings) == left


def test_what_may_become_a_stop_string_is_not_settled() -> None:
    said = [stops.settled("so:\n\nUser: hi"[:n], ["\n\nUser", ":("]) for n in range(13)]
    assert said == ["", "s", "so", "so", "so:", "so:", "so:", "so:", "so:", "so:", "so:", "so:", "so:"]
    assert stops.settled("so:\n\nno", ["\n\nUser"]) == "so:\n\nno" and stops.settled("a\n", []) == "a\n"


@pytest.mark.parametrize("kind", WORDS)
def test_a_text_followed_by_its_end_stops_where_the_whole_text_would(kind: str) -> None:
    """Random tokens, half of them single bytes: characters divided, special tokens, spaces that come and go."""
    words, rng, hits = WORDS[kind], np.random.default_rng(0), 0
    for _ in range(150):
        size = int(rng.integers(1, 120))
        some = [int(i) for i in rng.integers(0, len(words), size)]
        chosen = words("the \u4f60\u00e9\U0001f600 User:\n\n a. b\U0001f600\n", add_special_tokens=False).input_ids
        ids = [one for i in some for one in ([i] if rng.random() < 0.6 else [int(rng.choice(chosen))])]
        ids[size // 3 : size // 3] = chosen
        text = stops.of(words, (), ()).decode(ids)
        at = rng.integers(0, len(text) + 1, 2)
        strings = [text[a : a + int(rng.integers(1, 9))].replace(HALF, "") for a in at]
        ends = stops.of(words, (), [one for one in strings if one] or ["\n"])
        found = followed(ends, ids)
        assert found == naive(ends.decode, ids, ends.strings)
        if found is not None:
            n, left = found
            kept = stops.holding(left, ids[:n], ends.decode)
            assert ends.decode(kept).startswith(left) and not (kept and ends.decode(kept[:-1]).startswith(left))
            hits += 1
    assert hits > 100


@pytest.mark.parametrize("kind", WORDS)
def test_a_step_costs_the_same_however_long_the_text(kind: str) -> None:
    words, seen = WORDS[kind], []
    ids = words("the \U0001f600 a. b:\u4f60 User: ", add_special_tokens=False).input_ids * 80
    plain = stops.of(words, (), ["\n\nUser:", "." * 4])

    def decode(some: Sequence[int]) -> str:
        seen.append(len(some))
        return plain.decode(some)

    assert len(ids) > 1200 and followed(replace(plain, decode=decode), ids) is None
    assert max(seen) < 70 and sum(seen) < 70 * len(ids)


def test_characters_that_are_not_whole_yet_are_no_text() -> None:
    words = WORDS["bytes"]
    ids = words("a\U0001f600b", add_special_tokens=False).input_ids
    assert len(ids) == 6 and words.decode(ids[:3]).endswith(HALF)
    assert followed(stops.of(words, (), [HALF]), ids) is None
    assert followed(stops.of(words, (), ["\U0001f600"]), ids) == (5, "a")


def test_a_text_in_single_bytes_is_never_divided_inside_a_character() -> None:
    """Bytes decoded from inside a character on are no text at all to the decoder of such tokenizers, to the last."""
    words = WORDS["spaced"]
    for before in range(4):
        text = "a" * before + "\u00e9\U0001f600" * 30
        ids = [words.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in (text + "\n").encode()]
        assert followed(stops.of(words, (), ["\n"]), ids) == (len(ids), text)


def test_stop_strings_that_are_empty_or_no_list_are_refused_and_special_tokens_end_a_text_as_tokens() -> None:
    words = WORDS["bytes"]
    for wrong in ([""], ["a", ""], "ab"):
        with pytest.raises(InputError, match="none of them empty"):
            stops.of(words, (), wrong)
    special = words.convert_tokens_to_ids("<|eot_id|>")
    assert stops.of(words, (7,), ["<|eot_id|>", "<think>"]).tokens == (7, special)
    assert stops.of(words, (7,), []).tokens == (7,)


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("stops"), context=256)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Any:
    made = backends.load(str(folder), device="cpu")
    made._stops = ()
    return made


def rows(engine: Any, texts: Sequence[str] = ("hi", "my friend is angry, what now?", "should i go?\n")) -> list[Tokens]:
    coded = [tuple(engine.tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
    return [Tokens(text, ids, len(ids)) for text, ids in zip(texts, coded, strict=True)]


def push(engine: Any) -> list[Steering]:
    vector = np.random.default_rng(4).standard_normal(engine.info.d_model)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    fitted = Direction(unit, Site(1), "benevolence", "test", "write", model=engine.info.fingerprint)
    return [Steering(steering.load("add"), fitted, 8.0)]


def cut(engine: Any, free: Generation, strings: Sequence[str]) -> Generation:
    """What a text written without stop strings becomes with them, by the naive rule."""

    def decode(ids: Sequence[int]) -> str:
        return engine.tokenizer.decode(list(ids), skip_special_tokens=True)

    found = naive(decode, free.ids, strings)
    if found is None:
        return free
    fewest = next(n for n in range(found[0] + 1) if decode(free.ids[:n]).startswith(found[1]))
    return Generation(free.prompt_id, free.ids[:fewest], found[1], True)


@pytest.mark.parametrize("how", ["greedy", "sampled", "steered"])
def test_rows_end_apart_and_as_they_do_alone(engine: Any, how: str) -> None:
    asked = rows(engine)
    more: dict[str, Any] = {"max_new_tokens": 24, "temperature": 1.0 if how == "sampled" else 0.0, "seed": 3}
    more["steering"] = push(engine) if how == "steered" else ()
    free = engine.generate(asked, **more)
    lengths = set()
    for k, one in enumerate(free):
        whole = [c for c in one.text if c != HALF]
        for width in (1, 3):
            at = [n for n in range(4, len(one.text) - width) if HALF not in one.text[n : n + width]]
            strings = [one.text[at[len(at) // 2] :][:width], whole[-1] + "never"]
            got = engine.generate(asked, stop=strings, **more)
            assert list(got) == [cut(engine, text, strings) for text in free]
            assert got[k].stopped and got[k].text != one.text
            assert engine.generate([asked[k]], stop=strings, **more)[0] == got[k]
            lengths |= {len(text.ids) for text in got}
    assert len(lengths) > 4
    assert engine.generate(asked, stop=["never written"], **more) == free


def test_what_the_prompt_ends_with_does_not_count(engine: Any) -> None:
    asked = rows(engine, ["my friend\n\n", "hi User:"])
    free = engine.generate(asked, max_new_tokens=12)
    whole = [row.prompt_id[-1] + one.text[:1] for row, one in zip(asked, free, strict=True)]
    strings = [one for one in ("\n\n", "User:", *whole) if not any(one in text.text for text in free)]
    assert len(strings) >= 3 and engine.generate(asked, max_new_tokens=12, stop=strings) == free


def test_a_special_token_ends_a_text(engine: Any) -> None:
    asked, words = rows(engine), engine.tokenizer
    special = [i for i, token in words.added_tokens_decoder.items() if token.special]
    seed, k, found = next(
        (seed, k, one)
        for seed in range(40)
        for k, one in enumerate(engine.generate(asked, max_new_tokens=24, temperature=3.0, seed=seed))
        if any(i in special for i in one.ids[1:])
    )
    n = next(n for n, i in enumerate(found.ids) if i in special and n)
    name = words.convert_ids_to_tokens(found.ids[n])
    got = engine.generate(asked, max_new_tokens=24, temperature=3.0, seed=seed, stop=[name])[k]
    assert (got.ids, got.stopped) == (found.ids[: found.ids.index(found.ids[n])], True)


@pytest.mark.parametrize("name", ["nnsight", "transformer-lens"])
def test_other_engines_end_texts_alike(engine: Any, folder: Path, name: str) -> None:
    other: Any = backends.load(str(folder), backend=name, device="cpu")
    other._stops = ()
    asked = rows(engine)
    strings = [one.text[n] for n, one in enumerate(engine.generate(asked, max_new_tokens=8), start=2)]
    got = [one.generate(asked, max_new_tokens=8, steering=(), stop=strings) for one in (engine, other)]
    assert got[0] == got[1] and any(one.stopped for one in got[0])


def test_no_more_is_written_than_needed(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, steps = rows(engine)[:1], []
    free = engine.generate(asked, max_new_tokens=40)[0]
    strings = [next(c for c in free.text[3:] if c != HALF)]
    got = engine.generate(asked, max_new_tokens=40, stop=strings, tell=lambda ids: steps.append(list(ids[0])))[0]
    assert len(steps) < 40 and tuple(steps[-1]) == got.ids
    asker = _harness.Asker(engine)
    text = (asked[0].prompt_id, {"until": ["", *strings], "max_gen_toks": 40})
    calls, plain = [], engine.generate
    monkeypatch.setattr(engine, "generate", lambda *a, **k: calls.append(k["stop"]) or plain(*a, **k))
    assert _harness._until(asker, [text], 0) == [got.text] and calls == [tuple(strings)]


# --- commands ---------------------------------------------------------------------------------------------------------


def config(folder: Path, out: Path, **more: Any) -> RunConfig:
    return RunConfig(model=str(folder), out=str(out), device="cpu", **more)


def joint(pieces: Sequence[Piece]) -> str:
    """Return the two characters where a token ends that says more than the first of them, and another begins."""
    said = [piece.text for piece in pieces]
    found = [a[-1] + b[0] for a, b in pairwise(said) if len(a) > 1 and b]
    return [one for one in found if HALF not in one][-1]


def test_side_by_side_answers_end_there_token_by_token_and_while_they_are_streamed(
    folder: Path, engine: Any, tmp_path: Path
) -> None:
    torch.save(torch.tensor(push(engine)[0].direction.vector.tolist()), tmp_path / "vec_layer_1_tiny.pt")
    given = config(folder, tmp_path, steer_vector=str(tmp_path / "vec_layer_1_tiny.pt"))
    asked: dict[str, Any] = {"value": "power", "strength": 0.5, "prompts_of": ["go?"], "max_new_tokens": 40,
                             "backend": engine}  # fmt: skip
    (free,) = pipeline.steer_text(None, given, **asked)
    strings = tuple(map(joint, (free.base_pieces, free.steered_pieces)))
    told: list[tuple[str, str]] = []
    (one,) = pipeline.steer_text(
        None, given.changed({"stop": strings}), said=lambda _, name, text: told.append((name, text)), **asked
    )
    for name, text, whole, pieces in (
        ("base", one.base, free.base, one.base_pieces), ("steered", one.steered, free.steered, one.steered_pieces),
    ):  # fmt: skip
        assert text == stops.before(whole, strings) and "".join(piece.text for piece in pieces) == text
        mine = [part.rstrip(HALF) for kind, part in told if kind == name]
        assert mine[-1] == text.rstrip(HALF) and all(text.startswith(part) for part in mine)
    assert api.Model(engine).generate("go?", max_new_tokens=40, stop=strings) == one.base.strip()
    told.clear()
    almost = given.changed({"stop": (free.base[-1] + "never",)})
    pipeline.steer_text(None, almost, said=lambda _, name, text: told.append((name, text)), **asked)
    assert [text for name, text in told if name == "base"][-1] == free.base


def test_a_run_says_where_its_texts_end_and_nothing_where_they_end_by_themselves(
    folder: Path, engine: Any, tmp_path: Path
) -> None:
    def kept(name: str, stage: str) -> dict[str, Any]:
        return json.loads((tmp_path / name / "run.json").read_text("utf-8"))["stages"][stage]["config"]

    texts = {}
    for name, stop in (("free", ()), ("cut", ("e", "/"))):
        given = config(folder, tmp_path / name, benchmark=("valuelex",), limit=3, versions=("v1",), stop=stop,
                       sites=("resid_post:0",), untrained=False)  # fmt: skip
        pipeline.extract(given, backend=engine)
        pipeline.rate(given, backend=engine)
        pipeline.elicit(given, temperatures=(0.0,), backend=engine)
        said = store.load_rows(tmp_path / name, "responses", Response)
        own = [item.response for item in store.load_items(tmp_path / name).items]
        heard = [one.text for one in store.load_rows(tmp_path / name, "elicited", Elicited)]
        texts[name] = [*(one.text or "" for one in said), *own, *heard]
        for stage in ("extract", "rate", "elicit"):
            assert kept(name, stage).get("stop") == (list(stop) or None)
    short = [stops.before(text, ("e", "/")) for text in texts["free"]]
    assert any(one is not None for one in short)
    ended = [text if cut is None else cut for text, cut in zip(texts["free"], short, strict=True)]
    assert [one.strip() for one in texts["cut"]] == [one.strip() for one in ended]
    other = config(folder, tmp_path / "cut", benchmark=("valuelex",), limit=3, stop=("e",), sites=("resid_post:0",))
    with pytest.raises(StoreError, match="other settings: stop"):
        pipeline.elicit(other, temperatures=(0.0,), backend=engine)
    with pytest.raises(StoreError, match="other"):
        pipeline.extract(other.changed({"stop": [" "]}), backend=engine)
    pipeline.rate(given.changed({"out": str(tmp_path / "free")}), backend=engine)  # asked again, and the record says so
    assert store.load_rows(tmp_path / "free", "responses", Response) == said and kept("free", "rate")["stop"]


def test_the_command_line_takes_several_with_line_breaks_written_out(folder: Path, tmp_path: Path, vprobe: Any) -> None:
    asked = ("lexicon", "elicit", "--model", folder, "--out", tmp_path / "a", "--temperatures", 0, "--personas", 0)
    code, _, err = vprobe(*asked, "--stop", r"\n\nUser:", "--stop", "a,b", "--stop", r"\t")
    assert code == 0, err
    made = json.loads((tmp_path / "a" / "run.json").read_text("utf-8"))["stages"]["elicit"]["config"]
    assert made["stop"] == ["\n\nUser:", "a,b", "\t"]
    code, _, err = vprobe(*asked, "--stop", "")
    assert code == 1 and "--stop" in err and "Traceback" not in err
