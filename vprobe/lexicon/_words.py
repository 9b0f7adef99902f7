"""Value words in a text: the entries of its lists, without the words that only carry them."""

from __future__ import annotations

import re
import unicodedata

from vprobe.benchmarks import _valuelex_words as lists

MOST_WORDS = 2
"""Longest term, words."""
_CARRIERS = (
    "a an the this that these those my your our their his her its i me we us you they them he she it one ones who "
    "whom which what as at by for from in into of on onto over to toward towards under up with within upon about "
    "above across after against all almost also although always am among and any are around be because been before "
    "being between both but can could did do does doing done down during each either else ensure even ever every "
    "everyone everything few first further had has have having here how however if indeed just last least less let "
    "lot made make makes making many may maybe might more most much must need never next nor not now off often only "
    "or other others otherwise out own per perhaps please quite rather same second shall should since so some "
    "something such than then there therefore third through thus too unless until very via want was were when where "
    "whether while why will would yes yet etc well sure "
    "value values principle principles quality qualities trait traits word words list term terms virtue virtues "
    "belief beliefs core guiding key main important importance essential central fundamental primary sense level "
    "degree way ways thing things part aspect aspects matter matters "
    "answer answers answering ask asks asked believe believes choose consider describe describes embody embodies "
    "express follow following give gives giving guide guides guided hold holds include includes including keep "
    "keeping know known like likes name named offer offers prioritize prioritise prioritizes provide provides "
    "providing put say says seek seeks show shows showing stand stands strive strives striving take takes think tell "
    "tells treat treating try tries trying use used using work works working aim aims act acts acting come comes go "
    "goes going get gets sum represent represents reflect reflects "
    "people person user users someone somebody anyone world life assistant ai model language system"
)
"""Words that stand around value words."""
_STRESSES = "deep great high highest strong genuine true utmost real good best better top personal"
"""Words that only stress the word they stand before; alone they count."""
_DENIES = "no not never without avoid avoiding lack lacking neither nor"
_FUNCTION, _STRESS, _DENIALS = (frozenset(words.split()) for words in (_CARRIERS, _STRESSES, _DENIES))
_ABSTRACT = re.compile(r"(ness|ity|ty|cy|ence|ance|ism|dom|ship|ment|tion|sion|hood|tude|ful|ous|able|ible)$")
"""Endings by which a word in a sentence is taken for a noun or adjective that may name a value."""
_BULLET = re.compile(r"^\s*(?:[-*•–—·▪►]+|\(?\d{1,2}[.):]|\(?[a-z][.)])\s+")
_HEAD = re.compile(r"^([^:–—]{1,40}?)\s*(?::|\s[-–—]\s|[–—])\s*(.*)$")
_BREAK = re.compile(r"[,;/|.!?()\[\]\"“”&+\n…、，。；]|\s[-–—]\s|\b(?:and|or|plus|then|as well as|along with|but)\b")
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_IDIOMS = re.compile(r"\bcares? (?:deeply |most )?about\b|\b(?:kinds?|sorts?) of\b")


def value_words(text: str) -> tuple[str, ...]:
    """Return the value words of a text, each once, in order of appearance and in lower case.

    Entries of lists are kept when one or two words are left without function words, adverbs and talk about values. In
    longer stretches, which are sentences, only words count that end as abstract nouns and adjectives do, or stand in
    our word lists. What follows the head of a bullet ("Honesty: I tell the truth") is explanation and left out, and
    so is a stretch that denies something ("not greed").

    Args:
        text: What a model wrote when asked for its values. English; other languages give nothing usable.
    """
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    plain = _IDIOMS.sub(" ", plain)
    plain = re.sub(r"[*_`#>~]+", lambda found: "*" if found.group().startswith("*") else " ", plain)
    out: list[str] = []
    for line in plain.splitlines():
        for stretch, sentence in _stretches(line):
            out += _terms(stretch, sentence=sentence)
    return tuple(dict.fromkeys(out))


def _stretches(line: str) -> list[tuple[str, bool]]:
    """Cut a line into stretches, each with whether it stands in an explanation."""
    bullet = bool(_BULLET.match(line))
    line = _BULLET.sub("", line).replace("*", " ").strip()
    head = _HEAD.match(line)
    if head and _content(head.group(1)):
        rest = [] if bullet else [(one, True) for one in _BREAK.split(head.group(2))]
        return [(one, False) for one in _BREAK.split(head.group(1))] + rest
    body = head.group(2) if head else line
    return [(one, False) for one in _BREAK.split(body)]


def _content(stretch: str) -> list[tuple[int, str]]:
    """Return the words of a stretch that may name something, with their places."""
    words = [found.group().removesuffix("'s") for found in _TOKEN.finditer(stretch)]
    found = [(place, word) for place, word in enumerate(words) if _may_name(word)]
    return [one for one in found if one[1] not in _STRESS] or found


def _may_name(word: str) -> bool:
    adverb = word.endswith("ly") and word not in ("friendly", "orderly")
    return len(word) > 2 and word.isascii() and "'" not in word and not adverb and word not in _FUNCTION


def _terms(stretch: str, *, sentence: bool) -> list[str]:
    if _DENIALS & set(_TOKEN.findall(stretch)):
        return []
    found = _content(stretch)
    together = bool(found) and found[-1][0] - found[0][0] == len(found) - 1
    if not sentence and together and len(found) <= MOST_WORDS:
        return [" ".join(word for _, word in found)]
    return [word for _, word in found if _ABSTRACT.search(word) or lists.sub_of(word)]
