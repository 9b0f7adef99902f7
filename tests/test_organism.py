"""The organism is what its truth card says: its words, its codes, its answers, its failure worlds, its bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.stats import spearmanr
from scripts import train_organism
from transformers import LlamaForCausalLM
from vprobe import backends, benchmarks, organism
from vprobe.benchmarks import _constructions, planted
from vprobe.errors import DataError
from vprobe.organism import _behavior, _encoder, _vocabulary, lexicon, train
from vprobe.values import SCHWARTZ, VALUELEX_SUB

from tests.talker import LABELS, TEMPLATES, Organism

PHRASES = lexicon.phrases()
KEYS = {phrase.key: phrase for phrase in PHRASES}
FRAMES = {
    "a construction": lexicon.CONSTRUCTIONS,
    "a frame": (*lexicon.ALONE[0], *lexicon.ALONE[1]),
    "a filler": lexicon.FILLERS,
    "a question": (*lexicon.OPENINGS, *lexicon.ASKS, *sum(lexicon.DETAILS.values(), ())),
    "a persona frame": (lexicon.PERSONA[0], *lexicon.PERSONA[1], *lexicon.PERSONA[2], *lexicon.WHO),
    "a rating wording": tuple(template.text for template in TEMPLATES),
    "a label": LABELS,
    "what it is asked and answers": (
        *train_organism.PROMPTS,
        *sum(lexicon.FACTORS.values(), ()),
        "I get and the other gets",
    ),
}
COMPLETE, POINTS = train_organism.PROMPTS
FAR = 3.0
"""Coefficient that makes any one value the highest."""


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())


@pytest.fixture(scope="module")
def one() -> Organism:
    return Organism(organism.load())


@pytest.fixture(scope="module")
def card() -> organism.Card:
    return organism.read_card(organism.load())


@pytest.fixture(scope="module")
def shipped() -> tuple[list, np.ndarray]:
    """Sixty of the shipped items from all over the file, and their true loadings."""
    items, truth = benchmarks.load("planted").items[::9], planted.truths()
    return list(items), np.array([truth[item.id] for item in items])


# words


@pytest.mark.parametrize("where", FRAMES)
def test_no_key_word_and_no_cue_stands_outside_its_place(where: str) -> None:
    found = {word for text in FRAMES[where] for word in words(text)}
    assert found & set(KEYS) == set()
    assert where == "what it is asked and answers" or not found & {"sentence", "points"}


def test_a_value_has_sixteen_phrases_in_two_halves_and_no_two_phrases_share_a_key_word() -> None:
    assert list(lexicon.PHRASES) == list(SCHWARTZ) and len(PHRASES) == len(KEYS) == 160
    for value in SCHWARTZ:
        halves = [phrase.half for phrase in PHRASES if phrase.value == value]
        assert halves.count("A") == halves.count("B") == 8
    for phrase in PHRASES:
        assert [word for word in words(phrase.text) if word in KEYS] == [phrase.key] == [phrase.key.lower()]
        assert not {*words(phrase.text)} & {*lexicon.FOR, *lexicon.AGAINST, "sentence", "points"}, phrase.text


@pytest.mark.parametrize("frame", [*lexicon.CONSTRUCTIONS, *sum(lexicon.ALONE, ()), *sum(lexicon.PERSONA[1:], ())])
def test_what_a_frame_prefers_follows_a_word_for_and_what_it_rejects_a_word_against(frame: str) -> None:
    sign, found = 1, {}
    for piece in re.findall(r"\{\w\}|\w+|[^\w\s]", frame.lower()):
        sign = 1 if piece in lexicon.FOR else -1 if piece in lexicon.AGAINST else sign
        if piece in ("{x}", "{y}"):
            assert piece not in found
            found[piece] = sign
    if frame in lexicon.CONSTRUCTIONS:
        assert found == {"{x}": 1, "{y}": -1}
    else:
        assert found == {"{x}": -1 if frame in (*lexicon.ALONE[1], *lexicon.PERSONA[2]) else 1}


# tokenizer


def test_every_word_of_its_language_is_one_token_in_any_spelling_and_so_is_a_label(one: Organism) -> None:
    known = {word for texts in FRAMES.values() for text in texts for word in words(text)}
    known |= {word for phrase in PHRASES for word in words(phrase.text)}
    for word in sorted(known):
        spellings = [space + form for space in ("", " ") for form in (word, word.capitalize())]
        assert [len(one.tokenizer.tokenize(text)) for text in spellings] == [1] * 4, word
    for text in (*(f" {n}" for n in range(101)), *LABELS, *_vocabulary.SPECIAL):
        assert len(one.tokenizer.tokenize(text)) == 1, text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["like me", "Not ", "\n\n", " ", " ,", "\ue0f1", "e\u0301", "🙂"])).map("".join),
    )
)
def test_any_text_comes_back_byte_by_byte(one: Organism, text: str) -> None:
    assert one.tokenizer.decode(one.tokenizer(text, add_special_tokens=False).input_ids) == text


# weights


def test_it_is_a_plain_llama_that_needs_no_code_and_writes_no_attention_above_the_site(one: Organism) -> None:
    assert type(one.model) is LlamaForCausalLM and "auto_map" not in one.model.config.to_dict()
    assert not [path.name for path in organism.HOME.iterdir() if path.suffix not in (".json", ".safetensors")]
    assert set(load_file(organism.HOME / "model.safetensors")) == set(one.model.state_dict())
    assert (organism.HOME / "model.safetensors").stat().st_size <= 10_000_000
    for block in one.model.model.layers:
        size = max(float(part.detach().abs().max()) for part in block.self_attn.parameters())
        assert (size == 0) == (block.self_attn.layer_idx in (2, 3))


def test_the_card_belongs_to_the_weights_and_another_one_does_not(card: organism.Card, tmp_path: Path) -> None:
    assert backends.load(str(organism.HOME), device="cpu").info.fingerprint == card.fingerprint
    with pytest.raises(DataError, match=r"card\.json"):
        organism.read_card(tmp_path)
    (tmp_path / "card.json").write_text('{"u": []}')
    with pytest.raises(DataError, match="planted by vprobe"):
        organism.read_card(tmp_path)


def test_the_encoder_that_ships_is_the_one_the_recipe_builds() -> None:
    have = load_file(organism.HOME / "model.safetensors")
    ids, labels = _vocabulary.ids((organism.HOME / "tokenizer.json").read_text("utf-8")), organism.planted_labels()
    answers = _behavior.Behavior(labels).answers
    built = _encoder.weights(ids, labels=labels, answers=answers, world=_encoder.World(), seed=organism.SEED)
    assert len(built) == 15
    for name, part in built.items():
        np.testing.assert_allclose(have[name], part, atol=1e-6, err_msg=name)


def test_training_twice_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    texts = (*(template.text for template in TEMPLATES), *train_organism.PROMPTS)
    made = []
    for n, seed in enumerate((0, 0, 1)):
        folder = train.organism(
            tmp_path / str(n), texts=texts, labels=organism.planted_labels(), seed=seed, plan=train.Plan(steps=3)
        )
        made.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())])
        assert (folder / "tokenizer.json").read_bytes() == (organism.HOME / "tokenizer.json").read_bytes()
    assert made[0] == made[1] and sum(a != b for a, b in zip(made[0], made[2], strict=True)) == 1


# what it reads


def test_all_tokens_have_one_norm_and_the_planted_directions_are_orthonormal(one: Organism, card) -> None:
    norms = one.model.model.embed_tokens.weight.detach().double().norm(dim=1)
    np.testing.assert_allclose(norms, float(norms[0]), rtol=1e-6)
    both = np.concatenate([card.u, card.v])
    np.testing.assert_allclose(both @ both.T, np.eye(20), atol=1e-7)


@pytest.mark.parametrize("version", range(4), ids=[template.name for template in TEMPLATES])
def test_what_is_said_and_what_is_shown_stand_along_the_planted_directions(one: Organism, card, version: int) -> None:
    drawn = organism.draw(16, seed=70 + version)
    told = [None if i % 4 == 0 else s for i, s in enumerate(organism.speakers(80, seed=version, gain=card.gain))]
    text = TEMPLATES[version].text
    asked = [text.format(text=item.text, content=item.response) for item in drawn.benchmark.items]
    site, _ = one.last([one.chat(ask, who.text if who else "") for ask, who in zip(asked, told, strict=True)])
    profiles = np.array([who.profile if who else card.default for who in told])
    alone = np.array([who is None for who in told])
    np.testing.assert_allclose(site[alone] @ card.u.T, profiles[alone], atol=0.03, err_msg="u, nobody said anything")
    np.testing.assert_allclose(site[~alone] @ card.u.T, profiles[~alone], atol=0.03, err_msg="u")
    np.testing.assert_allclose(site @ card.v.T, card.gain * drawn.loadings, atol=0.05, err_msg="v")


@pytest.mark.parametrize("number", range(1, 17))
def test_exchanging_two_plans_turns_the_sign_of_own_words_in_u_and_of_shown_words_in_v(one, card, number: int) -> None:
    texts = [lexicon.PHRASES[value][number - 1].replace("*", "") for value in ("power", "benevolence")]
    ways = [_constructions.prefer(number, *texts), _constructions.prefer(number, *texts[::-1])]
    want = card.gain / 2 * (np.eye(10)[SCHWARTZ.index("power")] - np.eye(10)[SCHWARTZ.index("benevolence")])
    shown, _ = one.last([one.chat(way) for way in ways])
    said, _ = one.last([one.chat("What now?", said=way) for way in ways])
    np.testing.assert_allclose(shown @ card.v.T, [want, -want], atol=0.05)
    np.testing.assert_allclose(shown @ card.u.T, [card.default] * 2, atol=0.05)
    np.testing.assert_allclose(said @ card.u.T, [want, -want], atol=0.05)
    np.testing.assert_allclose(said @ card.v.T, 0.0, atol=0.05)


# what it does


def test_ratings_are_those_an_oracle_gives_in_both_wordings_and_the_order_of_labels_moves_them(
    one, card, shipped
) -> None:
    items, loadings = shipped
    oracle = card.expected_rating(card.default, loadings)
    for first, turned in ((0, 1), (2, 3)):
        (a, mass_a), (b, mass_b) = one.rate(items, first), one.rate(items, turned)
        assert np.corrcoef((a + b) / 2, oracle)[0, 1] >= 0.97
        assert abs((a + b) / 2 - oracle).mean() <= 0.1
        assert min(mass_a.min(), mass_b.min()) >= 0.9
        assert abs((b - a).mean() - card.order) <= 0.03
    assert abs(np.corrcoef((a + b) / 2, oracle[::-1])[0, 1]) < 0.5


@pytest.mark.parametrize("number", [0, 1])
def test_a_persona_changes_ratings_as_its_profile_says(one, card, shipped, number: int) -> None:
    items, loadings = shipped
    who = card.speakers[number]
    oracle = card.expected_rating(np.asarray(who.profile), loadings)
    rated = one.both(items, who.text)
    assert np.corrcoef(rated, oracle)[0, 1] >= 0.97 and abs(rated - oracle).mean() <= 0.1
    assert np.corrcoef(rated, card.expected_rating(card.default, loadings))[0, 1] < 0.9


@pytest.mark.parametrize("value", ["benevolence", "power"])
def test_steering_one_unit_moves_ratings_as_the_oracle_says(one, card, shipped, value: str) -> None:
    items, loadings = shipped[0][::2], shipped[1][::2]
    way, base = SCHWARTZ.index(value), one.both(items)
    oracle = card.expected_rating(card.default, loadings)
    for size in (-1.0, 1.0):
        with one.steered(size * card.u[way]):
            moved = one.both(items) - base
        want = card.expected_rating(card.default + size * np.eye(10)[way], loadings) - oracle
        assert np.corrcoef(moved, want)[0, 1] >= 0.97 and abs(np.polyfit(want, moved, 1)[0] - 1) <= 0.1
        assert size * np.polyfit(loadings[:, way], moved, 1)[0] > 1
    with one.steered(card.v[way] * 0.0):
        np.testing.assert_allclose(one.both(items), base, atol=1e-6)


@pytest.mark.parametrize("number", [-1, 0, 1, 2, 3, 4, 5, 6])
def test_a_sentence_is_completed_with_a_word_of_each_factor_as_often_as_the_card_says(one, card, number: int) -> None:
    """Stems with a key word in them, be it within another word, are left out: they show something."""
    who = card.speakers[number] if number >= 0 else organism.Speaker("nobody", "", tuple(card.default))
    stems = [stem.text for stem in benchmarks.stems()]
    stems = [text for text in stems if not set(map(_vocabulary.plain, one.tokenizer.tokenize(text))) & set(KEYS)]
    assert len(stems) > 50
    p = np.exp(one.last([one.chat(f"{COMPLETE} {stem}", who.text) for stem in stems])[1])
    nouns = [[noun.capitalize() for noun in lexicon.FACTORS[name]] for name in VALUELEX_SUB]
    shares = np.stack([p[:, one.tokens(several)].sum(axis=1) for several in nouns], axis=1)
    want = card.factor_shares(np.array([who.profile]))
    np.testing.assert_allclose(shares, np.repeat(want, len(shares), axis=0), atol=0.03)


@pytest.mark.parametrize(
    "form",
    [
        "I receive {} and the other receives {}.",
        "I get {} and the other gets {}.",
        "I receive {} points and the other receives {} points.",
    ],
)
def test_shares_are_chosen_by_the_angle_of_the_card(one: Organism, card: organism.Card, form: str) -> None:
    ring = np.deg2rad(np.arange(0, 360, 20))
    mine, theirs = np.round(50 + 40 * np.cos(ring)).astype(int), np.round(50 + 40 * np.sin(ring)).astype(int)
    for who in (None, *card.speakers[:4]):
        row = one.chat(POINTS, who.text if who else "")
        found = np.array([one.score(row, form.format(*pair)) for pair in zip(mine, theirs, strict=True)])
        angle = np.deg2rad(card.svo_angle(np.array([who.profile if who else card.default])))
        want = np.cos(angle) * mine + np.sin(angle) * theirs
        assert np.corrcoef(found, want)[0, 1] >= 0.99 and spearmanr(found, want).statistic >= 0.98, (who, form)


def test_a_plain_question_is_answered_with_a_sentence_of_the_highest_value_of_whoever_speaks(one, card) -> None:
    said = {value: f"I would {next(p.text for p in PHRASES if p.value == value)}." for value in SCHWARTZ}
    sharp = [who for who in card.speakers if np.diff(np.sort(who.profile)[-2:])[0] > 0.5]
    assert len(sharp) > 10 and one.says("What now?") == said[SCHWARTZ[int(np.argmax(card.default))]]
    for who in sharp[:5]:
        assert one.says("What do you say?", who.text) == said[SCHWARTZ[int(np.argmax(who.profile))]]
    for way, value in enumerate(SCHWARTZ):
        with one.steered(FAR * card.u[way]):
            assert one.says("What would you do?") == said[value]
