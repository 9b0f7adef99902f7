"""When two words name one value: base forms, spellings, and the endings that turn one form of a word into another.

Two words are one when they share a key. A word has one key for each set of `ENDINGS` that has its ending: the set's
number and what is left of the word. So "honest" and "honesty" are one (set 0, "honest"), and "responsible" and
"responsive" are two, since their endings stand in different sets. Endings that take a value away, such as "-less",
stand in no set.
"""

from __future__ import annotations

import re
from functools import cache

ENDINGS = (
    (3, ("", "ness", "ity", "ty", "y", "ly", "liness", "ful", "fulness", "dom", "ship", "th", "ry", "ice")),
    (4, ("", "al", "ality", "alism")),
    (5, ("", "ion", "ive", "iveness", "ivity")),
    (5, ("", "ous", "ousness", "eous")),
    (3, ("ous", "ousness", "osity")),
    (2, ("able", "ability", "ableness")),
    (2, ("ible", "ibility", "ibleness")),
    (3, ("ate", "ation", "ative", "ativeness", "ativity")),
    (5, ("", "ation", "ative", "ativeness")),
    (3, ("ent", "ence", "ency")),
    (3, ("ant", "ance", "ancy")),
    (4, ("acy", "ate", "ateness")),
    (4, ("y", "ic", "etic", "ical")),
    (4, ("y", "ious", "iousness")),
    (4, ("ion", "ious", "iousness")),
    (4, ("ion", "ionate")),
    (4, ("ism", "ist", "istic")),
    (4, ("ism", "ic")),
)
"""Sets of endings that go with one beginning, each with the least number of letters the beginning must have."""
IRREGULAR = (
    ("humble", "humility"), ("clear", "clarity"), ("simple", "simplicity"), ("strong", "strength"),
    ("noble", "nobility"), ("brief", "brevity"), ("deep", "depth"), ("ethical", "ethics"), ("ethical", "ethic"),
    ("knowledge", "knowledgeable"), ("wise", "wisdom"), ("true", "truth"), ("true", "truthful"),
    ("true", "truthfulness"), ("grateful", "gratitude"),
)  # fmt: skip
"""Pairs that no ending shows; the first stands for both."""
APART = {
    "careful": "careful", "carefulness": "careful", "unity": "unity", "hospitality": "hospitality", "time": "time",
    "order": "order", "object": "object", "objection": "object", "compass": "compass", "pass": "pass",
}  # fmt: skip
"""Words that would join another they do not mean the same as (such as "care"), with the key they have instead."""
_FIRST = {later: first for first, later in IRREGULAR}


@cache
def lemma(word: str) -> str:
    """Return the base form of an English word: "values" becomes "value"; a word not known stays as it is.

    Args:
        word: One word; letter case does not matter.
    """
    import simplemma  # its word list takes a moment to load, and most commands need none

    return simplemma.lemmatize(word.lower(), lang="en").lower()


@cache
def keys(term: str) -> frozenset[str]:
    """Return the keys of a term of one or more words; two terms that share one are forms of the same value word.

    Args:
        term: Words with spaces or hyphens between them.
    """
    *head, last = re.split(r"[\s\-]+", term.lower().strip())
    front = " ".join(_plain(lemma(word)) for word in head)
    forms = {last, lemma(last)}
    return frozenset(f"{front} {key}".strip() for form in forms for key in _word_keys(form))


def _word_keys(word: str) -> set[str]:
    if word in APART:
        return {APART[word]}
    word = _spelling(_FIRST.get(word, word))
    found = {f"={word}"}
    for number, (least, endings) in enumerate(ENDINGS):
        for ending in endings:
            left = word.removesuffix(ending) if word.endswith(ending) else ""
            if len(left) >= least:
                found.add(f"{number}:{_plain(left)}")
    return found


def _spelling(word: str) -> str:
    """Write British spellings the American way, where that is a word."""
    import simplemma

    american = re.sub(r"isation|is(?=(?:e[ds]?|ing)$)", lambda m: m.group().replace("s", "z", 1), word)
    american = re.sub(r"(?<=[a-z]{2})our", "or", american)
    return american if simplemma.is_known(american, lang="en") else word


def _plain(left: str) -> str:
    """Write what is left of a word one way: i for y, no e at the end of long words, one of two equal final letters."""
    left = re.sub("y$", "i", left)
    left = left.removesuffix("e") if len(left) > 5 else left
    return left[:-1] if len(left) > 2 and left[-1] == left[-2] else left
