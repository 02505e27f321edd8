"""Words: where they come from, the tokens that they are made of, their classes, and the same word
in another text.

    words = tag(split)                        # gold, spaCy, or a plain segmentation
    aligned = align(encoded, split, words)    # every word with its tokens
    nouns = [t for word, t in zip(aligned[0].words, aligned[0].tokens) if CLASSES["noun"](word)]

Alignment goes by character offsets, so that it is the same for WordPiece, SentencePiece and
byte-level BPE.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache as cached
from pathlib import Path

from headscope.errors import HeadscopeError, unknown
from headscope.examples import Split, Word
from headscope.model.encoding import Encoded
from headscope.words.spacy_tags import PINNED, default_pipeline, pipelines, spacy_words

NEGATIONS: dict[str, frozenset[str]] = {
    language: frozenset(lemmas.split())
    for language, lemmas in {
        "en": "not n't no never none nobody nothing nowhere neither nor nary",
        "de": "nicht nichts nein nie niemals niemand nirgends weder kein keine keinen keinem keiner keines",
        "fi": "ei en et emme ette eivät älä älköön älkäämme älkää älkööt",
        "ru": "не ни нет нету никогда никто ничто ничего нигде никуда никак никакой ничей нельзя некого нечего",
        "ko": "안 않 않다 아니 아니다 아니하 아니하다 못 못하 못하다 없 없다 없이",
        "ja": "ない 無い ず ぬ いいえ いえ 非 不 未 無",
        "tr": "değil yok hayır hiç hiçbir hiçbiri asla",
    }.items()
}
"""The words that negate, by language, as casefolded lemmas (for Finnish and German with the forms
of `ei` and `kein`, for texts without lemmas). A negation that is a suffix (Turkish -me) is no word
and cannot be listed.
"""

CLASSES: dict[str, Callable[[Word], bool]] = {
    "noun": lambda word: word.upos in ("NOUN", "PROPN"),
    "verb": lambda word: word.upos == "VERB",
    "pronoun": lambda word: word.upos == "PRON",
    "subject": lambda word: word.is_subject,
    "object": lambda word: word.is_object,
    "negation": lambda word: word.negation,
    "punctuation": lambda word: word.upos == "PUNCT",
}
"""The classes of words that attention is measured to. A word can be in several. `tag` marks the
negations.
"""

CLOSED = frozenset({"ADP", "AUX", "CCONJ", "DET", "PART", "PRON", "PUNCT", "SCONJ", "SYM"})
"""The classes whose words `matches` leaves out: they recur in any two texts."""


@dataclass(frozen=True)
class Aligned:
    """One example's words with the tokens that they are made of. All three have one entry per
    word.
    """

    words: tuple[Word, ...]
    """Of all texts of the example, in order. `Word.head` counts within the word's own text."""
    text: tuple[int, ...]
    """Which text each word is in: 0 or 1."""
    tokens: tuple[tuple[int, ...], ...]
    """Indices of its tokens in the example, ascending; empty where it was cut off or has no token.
    """


def align(
    encoded: Encoded, split: Split, words: Sequence[Sequence[Sequence[Word]]]
) -> list[Aligned]:
    """Every example's words with their tokens. `words` is [example][text][word], as `tag` gives it.

    A token belongs to the word with which it shares the most characters, to the first of these if
    there are several, and to none if it shares no character with any ([CLS], white space, a token
    without characters). Of the words that share one stretch of text (UD's multiword tokens) the
    first gets the tokens. Takes O(characters + words + tokens).

    Raises HeadscopeError if the words are not those of the texts, with the first mismatch, counted
    from 1.
    """
    columns = [split.first] if split.second is None else [split.first, split.second]
    if not len(encoded) == len(split) == len(words):
        raise HeadscopeError(
            f"{len(words)} examples have words, but the split has {len(split)} and {len(encoded)} "
            "are encoded: tag and encode the same rows."
        )
    out = []
    for i, example in enumerate(words):
        if len(example) != len(columns):
            raise HeadscopeError(
                f"example {i + 1} has words for {len(example)} texts, but {len(columns)} texts."
            )
        for which, (column, part) in enumerate(zip(columns, example, strict=True)):
            _check(
                part,
                column[i],
                f"example {i + 1}" if which == 0 else f"the second text of example {i + 1}",
            )
        tokens: list[list[list[int]]] = [[[] for _ in part] for part in example]
        ends = [[word.end for word in part] for part in example]
        marks = zip(encoded.segments[i], encoded.special[i], encoded.offsets[i], strict=True)
        for token, (which, special, (start, end)) in enumerate(marks):
            owner = -1 if special else _owner(example[which], ends[which], start, end)
            if owner >= 0:
                tokens[which][owner].append(token)
        out.append(
            Aligned(
                words=tuple(word for part in example for word in part),
                text=tuple(which for which, part in enumerate(example) for _ in part),
                tokens=tuple(tuple(own) for part in tokens for own in part),
            )
        )
    return out


def _owner(words: Sequence[Word], ends: Sequence[int], start: int, end: int) -> int:
    """The index of the word that shares the most of the characters from `start` to `end`, -1 if
    none does.
    """
    best, most = -1, 0
    for at in range(bisect_right(ends, start), len(words)):
        if words[at].start >= end:
            break
        shared = min(words[at].end, end) - max(words[at].start, start)
        if shared > most:
            best, most = at, shared
    return best


def _check(words: Sequence[Word], text: str, where: str) -> None:
    """Raises HeadscopeError unless the words stand in the text as they say, one after the other."""
    spans = [(word.start, word.end) for word in words]
    for at, word in enumerate(words):
        there = text[max(word.start, 0) : max(word.end, 0)]
        # The words of a multiword token ("au": "à" + "le") share its characters and have forms of
        # their own.
        shared = spans[at] in spans[max(at - 1, 0) : at] or spans[at] in spans[at + 1 : at + 2]
        if not 0 <= word.start < word.end <= len(text) or (there != word.form and not shared):
            problem = f"where the text has {there!r}"
        elif at and word.start < spans[at - 1][1] and spans[at] != spans[at - 1]:
            problem = f"which begins before the word {words[at - 1].form!r} ends"
        elif not -1 <= word.head < len(words):
            problem = f"and its head is word {word.head + 1} of {len(words)}"
        else:
            continue
        raise HeadscopeError(
            f"the words do not fit {where}: its word {at + 1} is {word.form!r} at characters "
            f"{word.start} to {word.end}, {problem}. These are tags for another text or "
            "tokenisation: tag the texts anew."
        )


def tag(
    split: Split,
    source: str = "auto",
    *,
    language: str = "en",
    cache: Path | None = None,
    quiet: bool = False,
) -> tuple[tuple[tuple[Word, ...], ...], ...]:
    """The words of every text of the split: [example][text][word].

    `source` is "gold" (the words that the split came with), "plain" (`segment`: no tags), "spacy"
    (a pipeline for the language), "spacy:NAME" (any installed pipeline, which brings its own
    language) or "auto": the first of gold, spacy and plain that there is. Words whose lemma is in
    `NEGATIONS` for the language are marked as negations. spaCy's words are kept in the folder
    `cache`, if it is given. Equal texts are tagged once.

    Raises HeadscopeError if there is no such source, the split has no gold words, or spaCy or its
    pipeline is missing.
    """
    kind, colon, name = source.partition(":")
    if kind not in ("auto", "gold", "plain", "spacy") or (colon and (kind != "spacy" or not name)):
        raise unknown("source of words", source, ["auto", "gold", "plain", "spacy", "spacy:NAME"])
    if kind == "auto":
        kind = (
            "gold"
            if split.words is not None
            else "spacy"
            if default_pipeline(language)
            else "plain"
        )
    if kind == "gold":
        if split.words is None:
            raise HeadscopeError(
                "the data has no gold words: take the words from 'spacy' or 'plain'."
            )
        return tuple(tuple(_negated(text, language) for text in example) for example in split.words)
    columns = [split.first] if split.second is None else [split.first, split.second]
    texts = list(dict.fromkeys(text for column in columns for text in column))
    if kind == "plain":
        found = [segment(text, language) for text in texts]
    else:
        if name and name.split("_")[0] in NEGATIONS:
            language = name.split("_")[0]
        if not name and pipelines() and default_pipeline(language) is None:
            raise HeadscopeError(
                f"no spaCy pipeline for the language {language!r} is installed: install one, or "
                f"name one as in 'spacy:{PINNED}', or take 'plain'."
            )
        found = spacy_words(texts, name or default_pipeline(language) or PINNED, cache, quiet=quiet)
    known = {text: _negated(words, language) for text, words in zip(texts, found, strict=True)}
    return tuple(tuple(known[text] for text in example) for example in zip(*columns, strict=True))


def _negated(words: Sequence[Word], language: str) -> tuple[Word, ...]:
    """The words, with those marked whose lemma (or form, where no lemma is known) negates in the
    language.
    """
    listed = NEGATIONS.get(language, frozenset())

    def negates(word: Word) -> bool:
        lemma = (word.form if word.lemma in ("", "_") else word.lemma).casefold().replace("’", "'")
        # Korean lemmas are written as morphemes: "않+았+다".
        return lemma in listed or (language == "ko" and not listed.isdisjoint(lemma.split("+")))

    return tuple(
        replace(word, negation=True) if not word.negation and negates(word) else word
        for word in words
    )


# One letter per kind of character (`_kind`): a text's kinds are a string as long as the text, and
# regular.
_WORD = re.compile(
    r"[ad](?:[adm]|[fj]+(?=[adm])|(?<=[adm])q(?=a)|(?<=d)n(?=d))*"  # letters and digits; don't, 3.14, zero-width inside
    r"|cm*"  # CJK: every character
    r"|rr?m*"  # a flag
    r"|s(?:[mt]|js)*"  # a symbol, an emoji with what modifies it
    r"|(?P<punctuation>[pqn])m*"
    r"|m+"  # a mark that marks nothing
)
_CLITIC = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|re|ve|ll|d|m))$", re.IGNORECASE)


def segment(text: str, language: str = "en") -> tuple[Word, ...]:
    """A plain segmentation by Unicode's classes, without tags: `upos` is "PUNCT" or "X", the lemma
    the casefolded form.

    - A word is a run of letters and digits with their combining marks; an apostrophe between
      letters and a point or comma between digits belong to it, and so do zero-width characters
      inside (the zero-width space parts words).
    - Every Chinese character and Japanese kana is a word. Korean has spaces; Thai and the like stay
      unparted.
    - Every punctuation mark is a word; a repeated one ("...") is one. So is every other symbol, and
      every emoji with its skin tone, joined emoji and variation selector.
    - In English the clitics n't, 's, 're, 've, 'll, 'd and 'm are words of their own, as in
      treebanks.
    """
    spans: list[tuple[int, int, str]] = []
    for match in _WORD.finditer("".join(map(_kind, text))):
        start, end = match.span()
        if match["punctuation"]:
            if (
                spans
                and spans[-1][1:] == (start, "PUNCT")
                and text[start - 1 : end] == text[start] * 2
            ):
                start = spans.pop()[0]
            spans.append((start, end, "PUNCT"))
        elif language == "en" and (clitic := _CLITIC.search(text[start:end])):
            cut = start + clitic.start()
            spans += [(start, cut, "X"), (cut, end, "X")]
        else:
            spans.append((start, end, "X"))
    return tuple(Word(text[s:e], text[s:e].casefold(), s, e, upos, "", -1) for s, e, upos in spans)


_CJK = re.compile(
    "[々〆〇\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af]"
)


@cached
def _kind(character: str) -> str:
    """The kind of a character, as `_WORD` knows it: "a" a letter, "d" a digit, "m" a mark, " " what
    parts words...
    """
    category = unicodedata.category(character)
    if category in ("Zs", "Zl", "Zp", "Cc") or character == "\u200b":
        return " "
    if character in "'’.,":
        return "q" if character in "'’" else "n"
    if category[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff":  # A skin tone marks, too.
        return "m"
    if "\U000e0020" <= character <= "\U000e007f":
        return "t"
    if category == "Cf":
        return "j" if character == "\u200d" else "f"
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "r"
    if _CJK.match(character):
        return "c"
    return {"L": "a", "N": "d", "P": "p"}.get(category[0], "s")


def matches(aligned: Aligned) -> list[tuple[int, int]]:
    """The pairs (word of text 0, word of text 1) with the same form or the same lemma, as indices,
    in order.

    Case and canonical equivalence ("é" and "e" + accent) make no difference. Left out are words
    without a token and those of the classes `CLOSED` ("the", "a", "be"); of a plain segmentation,
    which has no tags, only punctuation.
    """
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at in _open(aligned, 1):
        for key in _keys(aligned.words[at]):
            places[key].append(at)
    return sorted(
        {
            (at, other)
            for at in _open(aligned, 0)
            for key in _keys(aligned.words[at])
            for other in places.get(key, ())
        }
    )


def _open(aligned: Aligned, text: int) -> list[int]:
    """The indices of the words of a text that can match."""
    rows = enumerate(zip(aligned.words, aligned.text, aligned.tokens, strict=True))
    return [
        at for at, (word, which, own) in rows if which == text and own and word.upos not in CLOSED
    ]


def _keys(word: Word) -> set[tuple[str, str]]:
    form, lemma = (
        unicodedata.normalize("NFC", part.casefold()) for part in (word.form, word.lemma)
    )
    return {("form", form), ("lemma", form if lemma in ("", "_") else lemma)}
