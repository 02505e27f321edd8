"""Classes of words, negations by language, and the same word in another text."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from headscope.examples import Word
from headscope.words.align import Aligned

CLASSES: dict[str, Callable[[Word], bool]] = {
    "noun": lambda word: word.upos in ("NOUN", "PROPN"),
    "verb": lambda word: word.upos == "VERB",
    "pronoun": lambda word: word.upos == "PRON",
    "subject": lambda word: word.is_subject,
    "object": lambda word: word.is_object,
    "negation": lambda word: word.negation,
    "punctuation": lambda word: word.upos == "PUNCT",
}
"""The classes of words that attention is measured to. A word can be in several. `sources.tag` marks
the negations.
"""

CLOSED = frozenset({"ADP", "AUX", "CCONJ", "DET", "PART", "PRON", "PUNCT", "SCONJ", "SYM"})
"""The classes whose words `matches` leaves out: they recur in any two texts."""

_NEGATIONS = {
    "en": "not n't no never none nobody nothing nowhere neither nor nary",
    "de": "nicht nichts nein nie niemals niemand nirgends weder kein keine keinen keinem keiner "
    "keines",
    "fi": "ei en et emme ette eivät älä älköön älkäämme älkää älkööt",
    "ru": "не ни нет нету никогда никто ничто ничего нигде никуда никак никакой ничей нельзя "
    "некого нечего",
    "ko": "안 않 않다 아니 아니다 아니하 아니하다 못 못하 못하다 없 없다 없이",
    "ja": "ない 無い ず ぬ いいえ いえ 非 不 未 無",
    "tr": "değil yok hayır hiç hiçbir hiçbiri asla",
}
NEGATIONS = {language: frozenset(lemmas.split()) for language, lemmas in _NEGATIONS.items()}
"""The words that negate, by language, as casefolded lemmas (for Finnish and German with the forms
of `ei` and `kein`, for texts without lemmas). A negation that is a suffix (Turkish -me) is no word
and cannot be listed.
"""


def mark_negations(words: Sequence[Word], language: str) -> tuple[Word, ...]:
    """The words, with those marked whose lemma (or form, where no lemma is known) negates in the
    language.
    """
    return tuple(
        replace(word, negation=True) if _negates(word, language) else word for word in words
    )


def _negates(word: Word, language: str) -> bool:
    negations = NEGATIONS.get(language, frozenset())
    lemma = word.form if word.lemma in ("", "_") else word.lemma
    lemma = lemma.casefold().replace("’", "'")
    if lemma in negations:
        return True
    # Korean lemmas are written as morphemes: "않+았+다".
    return language == "ko" and not negations.isdisjoint(lemma.split("+"))


def matches(aligned: Aligned) -> list[tuple[int, int]]:
    """The pairs (word of text 0, word of text 1) with the same form or the same lemma, as indices,
    in order.

    Case and canonical equivalence ("é" and "e" + accent) make no difference. Left out are words
    without a token and those of the classes `CLOSED` ("the", "a", "be"); of a plain segmentation,
    which has no tags, only punctuation.
    """
    second_text: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in _open_words(aligned, 1):
        for key in _keys(aligned.words[index]):
            second_text[key].append(index)
    pairs: set[tuple[int, int]] = set()
    for index in _open_words(aligned, 0):
        for key in _keys(aligned.words[index]):
            pairs.update((index, match) for match in second_text.get(key, ()))
    return sorted(pairs)


@lru_cache(maxsize=2**16)
def normal_form(form: str) -> str:
    """A form without what makes no difference: case, and how its accents are written."""
    return unicodedata.normalize("NFC", form.casefold())


def _open_words(aligned: Aligned, text: int) -> list[int]:
    """The indices of the words of a text that can match."""
    return [
        index
        for index, word in enumerate(aligned.words)
        if aligned.text[index] == text and aligned.tokens[index] and word.upos not in CLOSED
    ]


def _keys(word: Word) -> set[tuple[str, str]]:
    """What a word has to share with another to be the same word: its form or its lemma."""
    form, lemma = normal_form(word.form), normal_form(word.lemma)
    return {("form", form), ("lemma", form if lemma in ("", "_") else lemma)}
