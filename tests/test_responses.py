"""Claims about answers: how a text is read, what is asked in which order, and that an interruption loses nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from vprobe import responses, store
from vprobe.errors import InputError, ModelError, StoreError
from vprobe.prompts import NO_LABEL, Parsed, parse
from vprobe.ranks import Rank
from vprobe.types import Message, Option, Response

from tests.fake_backend import OPTIONS, FakeBackend, encode, encode_answers, prompts

ASKED = prompts(30, template="v1")
PARTIAL = "responses.partial.jsonl"


def rater(**changed) -> FakeBackend:
    return FakeBackend(budget=200, **changed)


@pytest.fixture(autouse=True)
def fake_prompts(monkeypatch):
    monkeypatch.setattr(responses.shelf, "encode", encode)
    monkeypatch.setattr(responses.shelf, "encode_answers", encode_answers)


# Reading a text.


@pytest.mark.parametrize("option", OPTIONS)
def test_an_exact_label_is_read_whatever_its_case_and_spacing(option):
    for text in (option.label, option.label.upper(), f"  {option.label.replace(' ', chr(10))}\t"):
        assert parse(text, OPTIONS) == Parsed(option.rating, None)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("I would say: Not like me at all.", 1.0),
        ("It is not like me.", 2.0),
        ("some like me", 5.0),
        ("Somewhat like me. No: very much like me", 6.0),  # 17 characters beat 16
        ("like me, not like me, not like me at all", 1.0),
        ("**A little like me**\n\nbecause I said so", 3.0),
    ],
)
def test_within_a_longer_text_the_longest_label_wins(text, rating):
    assert parse(text, OPTIONS).rating == rating


def test_of_two_labels_of_one_length_the_earlier_option_wins():
    two = (Option("cat", 1.0), Option("dog", 2.0))
    assert parse("dog or cat", two).rating == 1.0
    assert parse("dog or cat", two[::-1]).rating == 2.0


@pytest.mark.parametrize("text", ["", "   ", "I cannot say.", "6", "lik me"])
def test_a_text_without_a_label_stays_without_a_rating_and_says_why(text):
    assert parse(text, OPTIONS) == Parsed(None, NO_LABEL)


# Asking.


def test_results_are_in_the_order_of_the_prompts_and_batches_in_order_of_length():
    backend = rater()
    found = responses.collect(backend, ASKED, greedy=True)
    assert [one.prompt_id for one in found] == [prompt.id for prompt in ASKED]
    assert len(backend.calls) > 3 and [i for call in backend.calls for i in call] != [prompt.id for prompt in ASKED]
    for prompt, one in zip(ASKED, found, strict=True):
        alone = backend.choose([encode_answers(backend.tokenizer, prompt)])[0]
        assert one.logprobs == alone
        assert (one.item_id, one.group, one.source) == (prompt.item_id, prompt.group, prompt.source)
        assert one.ratings == tuple(option.rating for option in OPTIONS)
        assert one.rating == next(option.rating for option in OPTIONS if option.label == one.text)
        assert one.reason is None


def test_without_greedy_no_text_is_asked_for_and_the_reason_says_so():
    backend = rater()
    found = responses.collect(backend, ASKED)
    assert backend.asked_new_tokens == []
    assert {(one.text, one.rating, one.reason) for one in found} == {(None, None, responses.NOT_ASKED)}
    assert not any(math.isnan(one.expected) for one in found)


def test_an_answer_without_a_label_keeps_its_text_and_its_log_probs():
    found = responses.collect(rater(answer="No idea"), ASKED, greedy=True)
    assert {(one.text, one.rating, one.reason) for one in found} == {("No idea", None, NO_LABEL)}
    assert all(one.logprobs for one in found)


def test_a_prompt_near_the_contexts_end_gets_less_room_and_shortens_nobody_else():
    longest = max(len(encode(rater().tokenizer, prompt).ids) for prompt in ASKED)
    backend = rater(context=longest + 10)
    responses.collect(backend, ASKED, greedy=True)
    assert all(rows == 1 for rows, room in backend.asked_new_tokens if room < 16)
    assert any(room == 10 for _, room in backend.asked_new_tokens)
    assert any(rows > 1 and room == 16 for rows, room in backend.asked_new_tokens)
    full = rater(context=longest)
    found = responses.collect(full, ASKED, greedy=True)
    assert {one.reason for one in found} == {None, responses.NO_ROOM}


def test_progress_ends_at_all_prompts():
    seen: list[tuple[int, int]] = []
    responses.collect(rater(), ASKED, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (30, 30)


def test_what_cannot_be_asked_is_answered():
    with pytest.raises(InputError, match="rating template"):
        responses.collect(rater(), prompts(2))
    with pytest.raises(InputError, match="there twice"):
        responses.collect(rater(), [ASKED[0], ASKED[0]])
    with pytest.raises(InputError, match="new tokens"):
        responses.collect(rater(), ASKED, greedy=True, max_new_tokens=0)


def test_free_text_is_written_beside_ratings_and_never_read_as_an_option():
    rated = ASKED[:3]
    free = [
        replace(one, id=f"free-{one.id}", options=(), messages=(*one.messages, Message("user", "go on")))
        for one in rated
    ]
    backend = rater(answer="very much like me, I like it")
    found = responses.collect(backend, [*rated, *free], greedy=False)
    assert [one.text for one in found] == [None] * 3 + ["very much like me, I like it"] * 3
    assert all(one.logprobs is not None for one in found[:3])
    assert {(one.rating, one.logprobs, one.ratings, one.reason) for one in found[3:]} == {
        (None, None, (), responses.FREE_TEXT)
    }
    assert all(math.isnan(one.expected) and math.isnan(one.option_mass) for one in found[3:])
    assert {n for _, n in backend.asked_new_tokens} == {responses.FREE_TOKENS}


def test_a_log_probability_that_is_not_a_number_is_refused_with_its_prompt(monkeypatch):
    backend = rater()
    monkeypatch.setattr(backend, "choose", lambda rows, *, steering=(): tuple((math.nan,) * 6 for _ in rows))
    with pytest.raises(ModelError, match="prompt i"):
        responses.collect(backend, ASKED)


def test_what_stands_behind_a_stop_string_is_neither_kept_nor_read():
    backend = rater(answer="Like me.\nUser: and not like me at all?")
    (whole, *_), (ended, *_) = (responses.collect(backend, ASKED, greedy=True, stop=one) for one in ((), ("\n",)))
    assert (whole.rating, ended.rating, ended.text) == (1.0, 5.0, "Like me.")


# Going on after an interruption.


def _rate(folder: Path, backend: FakeBackend, **changed) -> tuple[Response, ...]:
    found = responses.collect(backend, ASKED, **({"greedy": True, "folder": folder} | changed))
    store.save_responses(folder, found)
    return found


def _stopped(folder: Path, after: int = 3) -> FakeBackend:
    backend = rater()
    backend.stop_after = after
    with pytest.raises(KeyboardInterrupt):
        _rate(folder, backend)
    return backend


def test_an_interrupted_rating_asks_only_what_is_missing_and_ends_with_the_same_bytes(tmp_path):
    whole, first, second = rater(), _stopped(tmp_path / "run"), rater()
    _rate(tmp_path / "whole", whole)
    assert not store.has(tmp_path / "run", "responses")
    found = _rate(tmp_path / "run", second)
    assert first.calls + second.calls == whole.calls and len(first.calls) == 3
    assert store.load_rows(tmp_path / "whole", "responses", Response) == found
    names = [sorted(p.name for p in (tmp_path / run).iterdir()) for run in ("run", "whole")]
    assert names[0] == names[1] == ["responses.parquet"]
    a, b = ((tmp_path / run / "responses.parquet").read_bytes() for run in ("run", "whole"))
    assert a == b


@pytest.mark.parametrize("cut", [1, 40, 3000])
def test_a_line_torn_by_a_kill_is_asked_again_and_nothing_before_it(tmp_path, cut):
    _stopped(tmp_path)
    path = tmp_path / PARTIAL
    data = path.read_bytes()
    path.write_bytes(data[: max(1, len(data) - cut)])
    second = rater()
    assert _rate(tmp_path, second) == responses.collect(rater(), ASKED, greedy=True)
    assert len(second.calls) >= 1


def test_a_second_interruption_after_a_torn_line_loses_nothing_either(tmp_path):
    _stopped(tmp_path)
    path = tmp_path / PARTIAL
    path.write_bytes(path.read_bytes()[:-5])
    second, third = _stopped(tmp_path, after=2), rater()
    _rate(tmp_path, third)
    assert not set(second.calls) & set(third.calls)


def test_every_kept_answer_is_on_disk_as_soon_as_its_batch_ends(tmp_path):
    seen: list[int] = []

    def look(fresh: tuple[Response, ...]) -> None:
        lines = (tmp_path / PARTIAL).read_bytes().splitlines()[1:]
        seen.append(len(lines))
        assert [json.loads(line)["prompt_id"] for line in lines[-len(fresh) :]] == [one.prompt_id for one in fresh]

    responses.collect(rater(), ASKED, greedy=True, folder=tmp_path, on_batch=look)
    assert seen[-1] == 30 and len(seen) > 3


@pytest.mark.parametrize(
    ("backend", "changed", "names"),
    [
        (rater(fingerprint="b" * 64, name="other"), {}, "model fake, now other"),
        (rater(), {"greedy": False}, "other prompts or settings"),
        (rater(), {"batch_tokens": 99}, "other prompts or settings"),
        (rater(), {"stop": ("\n",)}, "other prompts or settings"),
    ],
)
def test_unfinished_answers_to_something_else_are_refused_and_kept(tmp_path, backend, changed, names):
    _stopped(tmp_path)
    before = (tmp_path / PARTIAL).read_bytes()
    with pytest.raises(StoreError, match=names):
        _rate(tmp_path, backend, **changed)
    assert (tmp_path / PARTIAL).read_bytes() == before


def test_ranks_answer_from_logs_of_their_own_and_a_single_process_goes_on_from_them(tmp_path: Path) -> None:
    alone = responses.collect(rater(), ASKED, greedy=True)
    first = rater()
    store_, asked = tmp_path / "run", {"greedy": True, "folder": tmp_path / "run", "batch_tokens": 40}
    with pytest.raises(KeyboardInterrupt):
        responses.collect(first, ASKED, rank=Rank(1, 2, 1), on_batch=stop_after(2), **asked)
    assert [path.name for path in store_.glob("*.jsonl")] == ["responses.partial.1.jsonl"]
    with (store_ / "responses.partial.1.jsonl").open("ab") as file:
        file.write(b'{"torn')
    for rank in (Rank(0, 2, 0), Rank(1, 2, 1), Rank()):
        assert responses.collect(rater(), ASKED, rank=rank, **asked) == alone
    store.save_responses(store_, alone)
    assert not list(store_.glob("*.jsonl"))


def test_a_refused_rank_leaves_no_log_that_would_keep_the_others_out(tmp_path: Path) -> None:
    alone = responses.collect(rater(), ASKED, greedy=True)
    asked = {"greedy": True, "folder": tmp_path / "run", "batch_tokens": 40}
    with pytest.raises(KeyboardInterrupt):
        responses.collect(rater(), ASKED, rank=Rank(1, 2, 1), on_batch=stop_after(2), **asked)
    for other in (Rank(0, 2, 0), Rank()):
        with pytest.raises(StoreError, match=r"responses\.partial\.1\.jsonl: .* other prompts or settings"):
            responses.collect(rater(), ASKED, rank=other, **asked | {"greedy": False})
    assert [path.name for path in (tmp_path / "run").glob("*.jsonl")] == ["responses.partial.1.jsonl"]
    assert responses.collect(rater(), ASKED, rank=Rank(0, 2, 0), **asked) == alone


def test_a_log_of_other_prompts_that_comes_while_a_rank_works_is_not_read(tmp_path: Path) -> None:
    folder, wanted = tmp_path / "run", responses.collect(rater(), ASKED, greedy=True)
    asked = {"greedy": True, "folder": folder, "batch_tokens": 40, "rank": Rank(0, 2, 0)}

    def foreign(_: object) -> None:
        line = json.loads((folder / "responses.partial.0.jsonl").read_bytes().splitlines()[1])
        rows = [json.dumps({**line, "prompt_id": prompt.id, "text": "of another kind"}) for prompt in ASKED]
        (folder / "responses.partial.1.jsonl").write_text("\n".join(["{}", *rows, ""]), encoding="utf-8")

    assert responses.collect(rater(), ASKED, on_batch=foreign, **asked) == wanted


def stop_after(n: int) -> Callable[[object], None]:
    """Stop as a user would, when so many batches are answered."""
    seen: list[object] = []

    def look(fresh: object) -> None:
        seen.append(fresh)
        if len(seen) == n:
            raise KeyboardInterrupt

    return look
