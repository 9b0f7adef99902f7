"""The same items under many system prompts: marks move along, all is read in order, ratings give each value's slope."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from vprobe import activations, prompts, steering
from vprobe.errors import InputError, ModelError
from vprobe.pipeline._personas import partial_slopes
from vprobe.types import Benchmark, Direction, Item, Message, Option, Prompt, Site, Steering, Template, Tokens

from tests import fake_backend, tiny
from tests.fake_backend import SITES, FakeBackend

# System prompts.

OPTIONS = (Option("like me", 2.0), Option("not like me", 1.0))
SHOWN = "Rate:\n\nScenario: {text}\n\nResponse: {content}\n\nSay ONLY one:\nlike me\nnot like me\n\nEnd"
ITEM = Item("i1", "q1", "Reddit", "scenario", "My friend likes me. What now?", "be kind and honest")
MADE = Benchmark(
    "b", (ITEM,), (Template("v1", "scenario", SHOWN, OPTIONS),), ("power",), (), "MIT", "none", "0", "made up"
)
PERSONA = "You say: be kind and honest. Response: like me\nnot like me"
"""Holds every stretch that is marked in the item, so that searching for the words would find the wrong place."""
STYLES = tuple(style for style in tiny.TEMPLATES if style != "inst")


def asked(template: str) -> Prompt:
    (made,) = prompts.render(MADE, template=template)
    return made


def spans(tokenizer: Any, tokens: Tokens) -> dict[str, str]:
    return {span.name: tokenizer.decode(tokens.ids[span.start : span.end]).strip() for span in tokens.spans}


@pytest.mark.parametrize("template", ["v1", "response"])
def test_a_system_message_stands_first_and_every_mark_moves_with_its_message(template: str) -> None:
    plain = asked(template)
    under = prompts.with_system(plain, PERSONA, name="p7")
    assert under.messages == (Message("system", PERSONA), *plain.messages) and under.id == f"{plain.id}@p7"
    assert [under.messages[m.message].content[m.start : m.end] for m in under.marks] == [
        plain.messages[m.message].content[m.start : m.end] for m in plain.marks
    ]
    same = dataclasses.replace(under, id=plain.id, messages=plain.messages, marks=plain.marks)
    assert same == plain, "item, query, source, template and options stay"
    assert plain == asked(template), "the prompt given is left as it was"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("template", ["v1", "response"])
def test_spans_under_a_persona_hold_the_items_words_and_not_the_personas(style: str, template: str) -> None:
    words, plain = tiny.tokenizer(style), asked(template)
    under = prompts.with_system(plain, PERSONA, name="p7")
    bare, tokens = prompts.encode(words, plain), prompts.encode(words, under)
    found = spans(words, tokens)
    assert found == spans(words, bare) and found["response"] == ITEM.response
    assert template == "response" or found["options"] == "like me\nnot like me"
    at = words.decode(tokens.ids).find(PERSONA)
    assert at >= 0 and PERSONA not in words.decode(bare.ids)
    first = min(span.start for span in tokens.spans)
    assert len(words.decode(tokens.ids[:first])) >= at + len(PERSONA), "no span begins inside the persona"
    assert tokens.interval("last_prompt")[1] == tokens.prompt_length
    assert len(tokens.ids) - tokens.prompt_length == len(bare.ids) - bare.prompt_length


@pytest.mark.parametrize("style", STYLES)
def test_answers_under_a_persona_are_those_without_after_a_longer_prompt(style: str) -> None:
    words = tiny.tokenizer(style)
    bare, under = (
        prompts.encode_answers(words, one)
        for one in (asked("v1"), prompts.with_system(asked("v1"), "I rest.", name="a"))
    )
    assert under.options == bare.options and under.ratings == bare.ratings
    assert under.prompt.ids == prompts.encode(words, prompts.with_system(asked("v1"), "I rest.", name="a")).ids
    assert len(under.prompt.ids) > len(bare.prompt.ids)


def test_a_chat_template_without_system_messages_is_answered_with_what_to_do() -> None:
    with pytest.raises(InputError, match="drop the system message"):
        prompts.encode(tiny.tokenizer("inst"), prompts.with_system(asked("v1"), PERSONA, name="a"))


# Reading into memory.


def texts(n: int = 17) -> list[Tokens]:
    backend = FakeBackend()
    return [fake_backend.encode(backend.tokenizer, prompt) for prompt in fake_backend.prompts(n)]


@pytest.mark.parametrize("position", ["last_prompt", "response_mean"])
def test_all_is_read_in_the_order_of_the_texts_whatever_the_batches(position: str) -> None:
    rows = texts()
    one_by_one = np.stack([FakeBackend().read([row], SITES, (position,))[0, 0] for row in rows])
    counts = []
    for budget in (None, 1, 30, 10_000):
        backend = FakeBackend()
        x = activations.read_all(backend, rows, SITES, position, batch_tokens=budget)
        assert x.shape == (17, len(SITES), 8) and x.dtype == np.float32
        np.testing.assert_array_equal(x, one_by_one)
        counts.append(len(backend.calls))
        assert sorted(itertools.chain(*backend.calls)) == sorted(row.prompt_id for row in rows)
    assert counts[1] == 17 and counts[3] == 1 and counts[3] < counts[0] < counts[1]


def test_no_texts_give_an_empty_table() -> None:
    assert activations.read_all(FakeBackend(), [], SITES, "last_prompt").shape == (0, len(SITES), 8)


def test_what_is_read_is_read_under_the_steering_given(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Direction(np.eye(8, dtype=np.float32)[0], Site(2), "power", "covariance", "write")
    change, backend, seen = (Steering(steering.load("add"), way, 1.0),), FakeBackend(), []
    real = backend.read

    def watched(*given: Any, **named: Any) -> np.ndarray:
        seen.append(named["steering"])
        return real(*given, **named)

    monkeypatch.setattr(backend, "read", watched)
    activations.read_all(backend, texts(), SITES, "last_prompt", steering=change)
    assert len(seen) > 1 and all(one is change for one in seen)


def test_numbers_that_are_not_finite_are_refused_with_site_position_and_text() -> None:
    backend = FakeBackend()
    backend.poison = ("i7:response", Site(2))
    with pytest.raises(ModelError, match=r"site resid_post\.2, position last_prompt, prompt i7:response"):
        activations.read_all(backend, texts(), SITES, "last_prompt")


def test_a_position_a_text_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no options in this prompt"):
        activations.read_all(FakeBackend(), texts(), SITES, "option_span")


# What the model does.

GROUPS = tuple(f"q{i // 5}" for i in range(200))


def rated(seed: int, slopes: tuple[float, ...], *, r: float = 0.7, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return labels that correlate r and ratings that follow them by these slopes, both with means by query."""
    rng = np.random.default_rng(seed)
    k = len(slopes)
    labels = rng.standard_normal((200, k)) @ np.linalg.cholesky((1 - r) * np.eye(k) + r).T
    means = np.repeat(rng.standard_normal((40, 1)), 5, axis=0)
    ratings = labels @ np.array(slopes) + 9 * means[:, 0] + noise * rng.standard_normal(200)
    return labels + means, ratings


def by_least_squares(labels: np.ndarray, ratings: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    names = np.array(groups)
    design = np.column_stack([labels, names[:, None] == np.unique(names)])
    return np.linalg.lstsq(design, ratings, rcond=None)[0][: labels.shape[1]]


def test_slopes_hold_the_other_values_constant_and_ignore_what_a_query_shares() -> None:
    labels, ratings = rated(0, (0.5, 0.0, -0.3))
    found = partial_slopes(labels, ratings, GROUPS)
    np.testing.assert_allclose(found, [0.5, 0.0, -0.3], atol=0.05)
    np.testing.assert_allclose(found, by_least_squares(labels, ratings, GROUPS), atol=1e-9)
    each = [float(partial_slopes(labels[:, [i]], ratings, GROUPS)[0]) for i in range(3)]
    assert each[1] > 0.1, "alone, a value without effect would borrow from those it goes with"


def test_slopes_are_points_per_unit_of_the_label() -> None:
    labels, ratings = rated(1, (0.5, 0.2, -0.3))
    once = partial_slopes(labels, ratings, GROUPS)
    scaled = partial_slopes(labels * np.array([10.0, 1.0, 0.1]), 2 * ratings - 3, GROUPS)
    np.testing.assert_allclose(scaled, 2 * once / [10.0, 1.0, 0.1])


def test_samples_without_a_rating_or_a_label_drop_out() -> None:
    labels, ratings = rated(2, (0.5, 0.2))
    labels[5, 1], ratings[[3, 10, 11]] = np.nan, np.nan
    kept = np.delete(np.arange(200), [3, 5, 10, 11])
    expected = by_least_squares(labels[kept], ratings[kept], tuple(GROUPS[i] for i in kept))
    np.testing.assert_allclose(partial_slopes(labels, ratings, GROUPS), expected, atol=1e-9)


def test_values_that_cannot_be_told_apart_have_no_slopes() -> None:
    labels, ratings = rated(3, (0.5, 0.2, 0.1))
    for told in (labels[:, 0], labels @ np.array([1.0, 1.0, 0.0]), np.repeat(np.arange(40.0), 5)):
        assert np.isnan(partial_slopes(np.column_stack([labels[:, :2], told]), ratings, GROUPS)).all()
    assert np.isnan(partial_slopes(labels[:6], ratings[:6], GROUPS[:6])).all()
    assert np.isnan(partial_slopes(labels, np.full(200, np.nan), GROUPS)).all()
    assert np.isfinite(partial_slopes(labels[:30], ratings[:30], GROUPS[:30])).all()


def test_a_model_that_rates_all_alike_has_slopes_of_zero() -> None:
    labels, _ = rated(4, (0.5, 0.2))
    np.testing.assert_allclose(partial_slopes(labels, np.full(200, 3.3), GROUPS), 0.0, atol=1e-12)
