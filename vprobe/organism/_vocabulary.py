"""The organism's tokens: one per known word, the bytes for everything else, and one entry per label."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from vprobe.organism import lexicon

START, SYSTEM, USER, ASSISTANT, END, PAD = (
    "<|start|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
)  # fmt: skip
SPECIAL = (PAD, START, SYSTEM, USER, ASSISTANT, END)
TEMPLATE = (
    "{{ '<|start|>' }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPACE = "Ġ"
"""How a byte-level tokenizer writes the space before a word."""


def words(texts: Sequence[str]) -> tuple[str, ...]:
    """List every word, number and sign of the texts, in all the spellings a text may hold, sorted."""
    found: set[str] = set()
    for text in texts:
        found.update(re.findall(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]", text))
    out: set[str] = set()
    for word in found:
        forms = {word, word.lower(), word.lower().capitalize()} if word[0].isalpha() else {word}
        out.update(forms)
        out.update(SPACE + form for form in forms)
    return tuple(sorted(out))


def plain(piece: str) -> str:
    """Return the word a token stands for: no space, lower case."""
    return piece.removeprefix(SPACE).lower()


def own_texts() -> tuple[str, ...]:
    """List everything the organism must know one by one: its phrases, frames, fillers and answers."""
    details = [word for several in lexicon.DETAILS.values() for word in several]
    factors = [word for several in lexicon.FACTORS.values() for word in several]
    persona, liked, disliked = lexicon.PERSONA
    frames = (*lexicon.CONSTRUCTIONS, *lexicon.OPENINGS, *sum(lexicon.ALONE, ()), persona, *liked, *disliked)
    return (
        *(phrase.text for phrase in lexicon.phrases()),
        *(re.sub(r"[{}]", " ", frame) for frame in frames),
        *lexicon.FILLERS, *lexicon.ASKS, *lexicon.WHO, *details, *factors, *lexicon.NUMBERS,
        "I would . I receive and the other receives . points get gets", "Complete the sentence", " ".join(lexicon.FOR),
        " ".join(lexicon.AGAINST),
    )  # fmt: skip


def build(texts: Sequence[str], labels: Sequence[str]) -> str:
    """Return a tokenizer, as JSON: known words whole, other text byte by byte, labels and special tokens whole.

    Args:
        texts: Texts whose words it knows.
        labels: Answers that are one token each.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [piece for piece in words(texts) if len(piece) > 1 and piece.isascii() | piece.startswith(SPACE)]
    scored = [(token, 0.0) for token in SPECIAL]
    scored += [(byte, -20.0) for byte in alphabet]
    scored += [(piece, -8.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(label, special=False, normalized=False) for label in labels])
    return tokenizer.to_str()


def save(folder: Path, tokenizer: str) -> None:
    """Write the tokenizer files a Hugging Face model folder needs."""
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": START, "eos_token": END, "pad_token": PAD,
        "chat_template": TEMPLATE, "model_max_length": 512, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def ids(tokenizer: str) -> dict[str, int]:
    """Return the number of every token of a tokenizer written by `build`."""
    parts = json.loads(tokenizer)
    out = {piece: number for number, (piece, _) in enumerate(parts["model"]["vocab"])}
    return out | {token["content"]: token["id"] for token in parts["added_tokens"]}
