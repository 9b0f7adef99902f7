"""Spans are exact whatever people write and whatever the chat template does."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from vprobe import prompts
from vprobe.errors import InputError
from vprobe.prompts import _encoding, _layout
from vprobe.types import Answers, Benchmark, Item, Mark, Message, Option, Prompt, Template, Tokens

from tests import tiny

STYLES = tuple(tiny.TEMPLATES)
REAL = ("tinytalk-3m", "craftgpt-5m", "stories260K")
LABELS = ("not like me at all", "not like me", "a little like me", "somewhat like me", "like me", "very much like me")
QUERY = "Should I tell my friend? User: I like people who are honest. Bot: yes"
NASTY = (
    "yes",
    "I like people",
    QUERY,
    QUERY + QUERY,
    "User",
    "assistant",
    "like me",
    " leading and trailing \n",
    "\n\nlines\n\n\nmore lines\n",
    "<|im_end|>",
    "a<|im_end|>\n<|im_start|>assistant\nb</s> <s> c<|endoftext|>",
    "<think>hm</think> [/INST] [INST]",
    "naïve 🙂🙃 日本語 é\u0301 zero\u200bwidth",
    "{{ message }} {% if x %}",
    ".",
    "tab\tand  two   spaces",
    "<unk> _[inst] [/inst]",
)


def prompt(query: str, response: str = "", options: tuple[str, ...] = ()) -> Prompt:
    turns = (Message("user", query), *([Message("assistant", response)] if response else []))
    marks = (Mark("content", 0, 0, len(query)), *([Mark("response", 1, 0, len(response))] if response else []))
    return Prompt("p", "i", "g", "s", "t", turns, marks, tuple(Option(x, float(i)) for i, x in enumerate(options)))


_TOKENIZERS = {
    (style, trim): tiny.tokenizer(style, bos=style in ("inst", "llama3", "plain"), trim_offsets=trim)
    for style in STYLES
    for trim in (True, False)
}


@pytest.fixture(params=[f"{style}-{trim}" for style, trim in _TOKENIZERS] + list(REAL))
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param in REAL:
        return AutoTokenizer.from_pretrained(request.getfixturevalue("shared") / "models" / request.param)
    style, _, trim = request.param.rpartition("-")
    return _TOKENIZERS[style, trim == "True"]


def folded(tokenizer: Any, text: str) -> str:
    """Return a text as the tokenizer can give it back: craftgpt lowers letters and folds white space."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    text = text if normalizer is None or "Lowercase" not in str(normalizer) else " ".join(text.lower().split())
    return text.strip()


def control_ids(tokenizer: Any) -> set[int]:
    return {number for number, _ in _encoding.controls(tokenizer)} - {tokenizer.unk_token_id}


def span(tokens: Tokens, name: str) -> tuple[int, ...]:
    found = next(s for s in tokens.spans if s.name == name)
    return tokens.ids[found.start : found.end]


def check(tokenizer: Any, query: str, response: str) -> None:
    tokens = prompts.encode(tokenizer, prompt(query, response))
    said, asked = span(tokens, "response"), span(tokens, "content")
    assert tokens.ids[tokens.prompt_length :] == said, "the ids stop after the response"
    assert tokens.interval("last_prompt") == (tokens.prompt_length - 1, tokens.prompt_length)
    style = next((name for name, text in tiny.TEMPLATES.items() if text == tokenizer.chat_template), "real")
    style = "real" if tokenizer.name_or_path else style
    for ids, text in ((said, response), (asked, query)):
        if style not in ("real", "phi3"):  # phi3's own special tokens swallow the white space after them
            shown = text.strip() if style in ("llama3", "words") else text
            assert shown in tokenizer.decode(ids, clean_up_tokenization_spaces=False), "some of the words are missing"
        assert not control_ids(tokenizer).intersection(ids), "a special token came out of somebody's words"
        if tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids:
            assert tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip() == folded(tokenizer, text)


@pytest.mark.parametrize("response", NASTY)
def test_decoding_the_spans_gives_the_words_back(tokenizer: Any, response: str) -> None:
    check(tokenizer, QUERY, response)


@pytest.mark.parametrize("query", NASTY)
def test_queries_may_be_nasty_too(tokenizer: Any, query: str) -> None:
    check(tokenizer, query, "I like people")


texts = st.lists(
    st.sampled_from([*NASTY, *tiny._SPECIAL, " ", "\n", "a", "like", "Q: ", "A:"]) | st.text(max_size=6), max_size=6
).map("".join)


@settings(max_examples=300, deadline=None)
@given(style=st.sampled_from(STYLES), trim=st.booleans(), query=texts, response=texts)
def test_any_words_come_back(style: str, trim: bool, query: str, response: str) -> None:
    if (
        query.strip()
        and response.strip()
        and all(unicodedata.category(c) not in ("Cs", "Co") for c in query + response)
    ):
        check(_TOKENIZERS[style, trim], query, response)


def test_a_response_found_inside_the_query_is_not_mistaken_for_it() -> None:
    words = _TOKENIZERS["chatml", True]
    tokens = prompts.encode(words, prompt("yes yes yes", "yes"))
    start, end = tokens.interval("response_mean")
    assert end == len(tokens.ids) and start > tokens.interval("last_content")[0]


@pytest.mark.parametrize("style", STYLES)
def test_without_special_words_the_ids_are_those_of_the_plain_chat(style: str) -> None:
    words = _TOKENIZERS[style, True]
    got = prompts.encode(words, prompt(QUERY, "I like people"))
    if style == "plain":
        want = words(QUERY + "\n\n" + "I like people").input_ids
    else:
        chat = [{"role": "user", "content": QUERY}, {"role": "assistant", "content": "I like people"}]
        want = words.apply_chat_template(chat, tokenize=True, return_dict=True).input_ids
    assert list(got.ids) == want[: len(got.ids)] and len(want) - len(got.ids) <= 4


@pytest.mark.parametrize("style", ["inst", "llama3", "plain"])
def test_the_start_token_stands_once(style: str) -> None:
    words = _TOKENIZERS[style, True]
    for tokens in (prompts.encode(words, prompt(QUERY, "yes")), prompts.encode_text(words, QUERY)):
        assert tokens.ids[0] == words.bos_token_id and words.bos_token_id not in tokens.ids[1:]


def test_a_prompt_without_answer_ends_where_the_model_is_to_speak() -> None:
    tokens = prompts.encode_text(_TOKENIZERS["chatml", True], "hi", system="Be brief.")
    assert (
        tokens.text
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokens.prompt_length == len(tokens.ids)
    plain = _TOKENIZERS["plain", True]
    assert prompts.encode_text(plain, "Once upon").text == "Once upon"
    assert prompts.encode(plain, prompt("Rate it", options=LABELS)).text == "Rate it\n"
    assert prompts.encode(plain, prompt("Rate it", "yes")).text == "Rate it\n\nyes"


def test_dates_in_a_template_do_not_change_from_day_to_day() -> None:
    words = tiny.tokenizer("chatml")
    words.chat_template = "{{ strftime_now('%d %b %Y') }}|" + words.chat_template
    assert prompts.encode_text(words, "hi").text.startswith("26 Jul 2024|")


def test_refusals_name_the_cause() -> None:
    chatml = _TOKENIZERS["chatml", True]
    with pytest.raises(InputError, match="empty response"):
        prompts.encode(chatml, Prompt("p", "i", "g", "s", "t", (Message("user", "x"), Message("assistant", "  "))))
    with pytest.raises(InputError, match="empty text"):
        prompts.encode_text(chatml, "  ")
    with pytest.raises(InputError, match=r"refuses[\s\S]*roles[\s\S]*system message"):
        prompts.encode_text(_TOKENIZERS["inst", True], "hi", system="Be brief.")
    with pytest.raises(InputError, match="same tokens"):
        prompts.encode_answers(chatml, prompt("hi", options=("yes", "yes")))
    loud = tiny.tokenizer("chatml")
    loud.chat_template = loud.chat_template.replace("m['content']", "m['content'] | upper")
    with pytest.raises(InputError, match="rewrites the user message"):
        prompts.encode_text(loud, "hi")
    endless = tiny.tokenizer("bare")
    endless.eos_token = None
    with pytest.raises(InputError, match="end-of-sequence"):
        prompts.encode_answers(endless, prompt("hi", options=LABELS))


# --- answers ---------------------------------------------------------------------------------------------------------


def test_every_option_is_whole_and_ends_its_turn(tokenizer: Any) -> None:
    asked = prompt(QUERY, options=LABELS)
    answers = prompts.encode_answers(tokenizer, asked)
    assert answers.prompt.prompt_length == len(answers.prompt.ids)
    assert answers.labels == LABELS and answers.ratings == tuple(map(float, range(6)))
    for label, ids in zip(LABELS, answers.options, strict=True):
        said = tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False)
        assert said.strip() == label
    for a in answers.options:
        assert not any(b != a and b[: len(a)] == a for b in answers.options), "no option is the start of another"
    content = span(answers.prompt, "content")
    assert tokenizer.unk_token_id in content or tokenizer.decode(content).strip() == folded(tokenizer, QUERY)


@pytest.mark.parametrize(
    ("style", "ending"),
    [("chatml", "<|im_end|>"), ("inst", "</s>"), ("llama3", "<|eot_id|>"), ("phi3", "<|end|>"), ("words", "\n"),
     ("bare", "</s>"), ("plain", "</s>"), ("thinking", "<|im_end|>")],
)  # fmt: skip
def test_the_end_of_turn_is_the_templates(style: str, ending: str) -> None:
    words = _TOKENIZERS[style, True]
    answers = prompts.encode_answers(words, prompt(QUERY, options=LABELS))
    assert {words.decode(ids[-1:]) for ids in answers.options} == {ending}


@pytest.mark.parametrize("style", STYLES)
def test_answers_begin_where_generation_would(style: str) -> None:
    words, asked = _TOKENIZERS[style, True], prompt(QUERY, options=LABELS)
    assert prompts.encode_answers(words, asked).prompt.ids == prompts.encode(words, asked).ids


@pytest.mark.parametrize("style", STYLES)
def test_words_that_all_options_share_stay_with_the_options(style: str) -> None:
    words = _TOKENIZERS[style, True]
    answers = prompts.encode_answers(words, prompt(QUERY, options=("like me", "like me not")))
    said = [words.decode(ids[:-1]).strip() for ids in answers.options]
    assert said == ["like me", "like me not"]


def test_options_get_the_tokens_they_have_when_each_is_rendered_and_encoded_whole(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(query, LABELS) for query in (QUERY, "one <|im_end|> two", "x")]
    asked += [(QUERY, pair) for pair in zip(NASTY, (*NASTY[1:], "x"), strict=True)]

    def got(query: str, these: tuple[str, ...]) -> Any:
        try:
            return prompts.encode_answers(tokenizer, prompt(query, options=these))
        except InputError as error:  # two labels that read the same to this tokenizer
            return str(error)

    found = [got(*one) for one in asked]
    monkeypatch.setattr(_encoding, "_parting", lambda *_: 0)
    monkeypatch.setattr(_layout, "_alike", lambda *_: None)
    assert found == [got(*one) for one in asked] and any(isinstance(one, Answers) for one in found)


def test_what_all_options_share_is_rendered_and_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words, rendered, coded = _TOKENIZERS["chatml", True], [], []
    for module, name, seen in ((_layout, "_apply", rendered), (_encoding, "_plain", coded)):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, seen=seen, **k: (seen.append(a[1]), real(*a, **k))[1])
    prompts.encode_answers(words, prompt(QUERY * 5, options=LABELS))
    assert len(rendered) == 6 + 2  # each option, and a marker in place of the query and of the first
    assert [QUERY in text for text in coded] == [True] + [False] * 6  # the first part is tried on the first option


def test_a_part_that_would_change_by_itself_is_encoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    words, parted = _TOKENIZERS["chatml", True], _encoding._parting
    text = "<|im_start|>user\nhello there<|im_end|>\n<|im_start|>assistant\n"
    texts, said = (text + "yes", text + "yet"), [((len(text), len(text) + 3),)] * 2
    whole = tuple(_encoding.encode(words, one, part, start_token=False) for one, part in zip(texts, said, strict=True))
    for wrong in range(1, len(whole[0].ids)):  # parted anywhere, or at what is no special token
        monkeypatch.setattr(_encoding, "_parting", lambda *_, wrong=wrong: wrong)
        assert _encoding.encode_alike(words, texts, said, start_token=False)[0] == whole[0]
    monkeypatch.setattr(_encoding, "_parting", parted)
    assert _encoding.encode_alike(words, texts, said, start_token=False) == whole


def test_white_space_that_is_cut_off_a_text_alone_stays_inside_the_whole() -> None:
    engine = Tokenizer(models.WordLevel({"<unk>": 0, "▁yes": 1, "▁no": 2, "▁word": 3}, unk_token="<unk>"))
    engine.normalizer, engine.pre_tokenizer = normalizers.Strip(), pre_tokenizers.Metaspace(prepend_scheme="always")
    engine.add_special_tokens([AddedToken(text, normalized=True) for text in ("<|turn|>", "<|end|>")])
    words = PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="<unk>", eos_token="<|end|>")
    words.chat_template = "{% for m in messages %}<|turn|>\n{{ m['content'] }}<|end|>{% endfor %}"
    found = prompts.encode_answers(words, prompt("word " * 9, options=("maybe", " no")))
    assert found.options == ((0, 5), (0, 2, 5))  # the end of the line is a word of its own beside a space


@pytest.mark.parametrize("query", ["\U0010a000 " * 6, "one <s> two " * 3, QUERY])
def test_special_tokens_in_one_option_are_treated_as_when_it_is_encoded_whole(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def got() -> Any:
        try:
            return prompts.encode_answers(_TOKENIZERS["chatml", True], prompt(query, options=("yes", "a<s>", "b")))
        except InputError as error:
            return str(error)

    found = got()
    monkeypatch.setattr(_encoding, "_parting", lambda *_: 0)
    assert found == got()
    assert isinstance(found, str) == ("\U0010a000" in query)


# --- items to prompts ------------------------------------------------------------------------------------------------

SHOWN = (
    "Rate:\n\nTitle: {title}\n\nScenario: {text}\n\nResponse: {content}\n\nSay ONLY one:\nlike me\nnot like me\n\nEnd"
)
OPTIONS = (Option("like me", 2.0), Option("not like me", 1.0))


def benchmark(*items: Item, text: str = SHOWN) -> Benchmark:
    templates = (Template("v1", "scenario", text, OPTIONS),)
    return Benchmark("b", items, templates, ("power",), (), "MIT", "", "", "")


ITEM = Item("i1", "q1", "Reddit", "scenario", "They said: like me\nnot like me", "like me", title="A {text} day")


def test_rating_prompts_are_plain_replacements_with_exact_marks() -> None:
    (got,) = prompts.render(benchmark(ITEM), template="v1")
    want = SHOWN.replace("{title}", ITEM.title).replace("{text}", ITEM.text).replace("{content}", ITEM.response)
    text = got.messages[0].content
    assert text == want and len(got.messages) == 1 and got.options == OPTIONS
    marks = {m.name: text[m.start : m.end] for m in got.marks}
    assert marks == {"content": text, "response": "like me", "options": "like me\nnot like me"}
    mark = next(m for m in got.marks if m.name == "response")
    assert text[: mark.start].endswith("Response: ")
    assert (got.id, got.item_id, got.group, got.source, got.template) == ("i1/v1", "i1", "q1", "Reddit", "v1")


def test_option_lists_with_bullets_are_found() -> None:
    (got,) = prompts.render(benchmark(ITEM, text="{text}\n{content}\n- like me\n- not like me\nNow"), template="v1")
    mark = next(m for m in got.marks if m.name == "options")
    assert got.messages[0].content[mark.start : mark.end] == "- like me\n- not like me"
    (bare,) = prompts.render(benchmark(ITEM, text="{text} {content} Rate from 1 to 2."), template="v1")
    assert [m.name for m in bare.marks] == ["content", "response"]


def test_rating_spans_decode_to_their_stretches(tokenizer: Any) -> None:
    (got,) = prompts.render(benchmark(ITEM), template="v1")
    for tokens in (prompts.encode(tokenizer, got), prompts.encode_answers(tokenizer, got).prompt):
        assert tokenizer.decode(span(tokens, "response")).strip() == "like me"
        shown = tokenizer.decode(span(tokens, "options")).strip()
        assert shown == folded(tokenizer, "like me\nnot like me")
        a, b = tokens.interval("last_content")
        assert tokenizer.decode(tokens.ids[a:b]).strip().lower() in "end"


def test_marks_stay_right_when_the_template_trims_in_front_of_them() -> None:
    spaced = benchmark(ITEM, text=" \n  {content} is what they say.\n\nlike me\nnot like me \n")
    (got,) = prompts.render(spaced, template="v1")
    words = _TOKENIZERS["llama3", True]
    tokens = prompts.encode(words, got)
    assert words.decode(span(tokens, "response")) == "like me"
    assert words.decode(span(tokens, "options")) == "like me\nnot like me"


def test_the_response_template_is_the_query_then_the_response() -> None:
    plain = Item("i2", "q2", "LMSYS", "message", "Which one?", "This one.")
    titled, bare = prompts.render(benchmark(ITEM, plain), template="response")
    assert titled.messages == (Message("user", f"{ITEM.title}\n\n{ITEM.text}"), Message("assistant", ITEM.response))
    assert bare.messages[0].content == "Which one?" and bare.options == ()
    assert [(m.name, m.message, m.start, m.end) for m in bare.marks] == [("content", 0, 0, 10), ("response", 1, 0, 9)]


def test_unknown_templates_and_forms_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'response'"):
        prompts.render(benchmark(ITEM), template="respose")
    other = Item("i3", "q3", "s", "message", "x", "y")
    with pytest.raises(InputError, match="no wording for 'message'"):
        prompts.render(benchmark(other), template="v1")


def test_official_wordings_are_rendered_byte_for_byte(shared: Path) -> None:
    folder = shared / "value_portrait" / "upstream" / "lm_evaluation" / "prompts"
    labels = (
        "very much like me",
        "like me",
        "somewhat like me",
        "a little like me",
        "not like me",
        "not like me at all",
    )
    for path in sorted(folder.rglob("*.txt")):
        text = path.read_text(encoding="utf-8")
        shown = labels[::-1] if "reversed" in path.parent.name else labels
        options = tuple(Option(label, float(6 - labels.index(label))) for label in shown)
        made = Benchmark("b", (ITEM,), (Template("v", "scenario", text, options),), ("power",), (), "MIT", "", "", "")
        (got,) = prompts.render(made, template="v")
        content = got.messages[0].content
        assert content == text.replace("{title}", ITEM.title).replace("{text}", ITEM.text).replace(
            "{content}", "like me"
        )
        marks = {m.name: content[m.start : m.end] for m in got.marks}
        assert marks["response"] == "like me" and marks["options"] == "\n".join(shown)


def test_a_prompt_without_options_is_encoded_as_it_stands_for_free_text() -> None:
    chatml = _TOKENIZERS["chatml", True]
    found = prompts.encode_answers(chatml, prompt("hi"))
    assert (found.options, found.labels, found.ratings) == ((), (), ())
    assert found.prompt == prompts.encode(chatml, prompt("hi"))


def test_an_item_whose_response_is_the_models_own_cannot_be_shown_before_the_model_answered() -> None:
    item = Item(id="1", group="1", source="s", form="stem", text="I like", response="")
    stems = Benchmark("b", (item,), (Template("v1", "stem", "Go on: {text}", ()),), (), (), "", "", "", "")
    with pytest.raises(InputError, match="no response"):
        prompts.render(stems, template="response")
    asked = prompts.render(stems, template="v1")
    assert asked[0].messages[0].content == "Go on: I like"
    assert [mark.name for mark in asked[0].marks] == ["content"]


LETTERS = tuple(Option(letter, float(i)) for i, letter in enumerate("ABCDEFGHI", start=1))


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("B", 2), ("b", 2), ('"B"', 2), ("(C)", 3), ("**D**", 4), ("B. I receive 85", 2), ("E: I receive", 5),
        ("Option F", 6), ("The answer is G.", 7), ("Answer: H", 8), (" I ", 9), ("I", 9), ("I.", 9), ("A)", 1),
        ("I think B", None), ("A fair split", None), ("Because", None), ("J", None), ("", None), ("85 and 15", None),
        ("I receive 85", None), ("I'd rather not", None),
    ],
)  # fmt: skip
def test_a_letter_is_an_answer_only_where_it_stands_alone_at_the_opening(text, rating) -> None:
    assert prompts.parse(text, LETTERS).rating == rating
    assert (prompts.parse(text, LETTERS).reason is None) == (rating is not None)
