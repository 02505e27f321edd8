"""The tokens that words are made of.

    words = sources.tag(split)                # gold, spaCy, or a plain segmentation
    aligned = align(encoded, split, words)    # every word with its tokens

Alignment goes by character offsets, so that it is the same for WordPiece, SentencePiece and
byte-level BPE.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.model.encoding import Encoded


@dataclass(frozen=True)
class Aligned:
    """One example's words with the tokens that they are made of, an entry per word.

    Attributes:
        words: The words of all texts of the example, in order. `Word.head` counts within the word's
            own text.
        text: Which text each word is in, 0 or 1.
        tokens: The indices of its tokens in the example, ascending; empty where the word was cut
            off or has no token.
        is_placed: Whether it is known where the tokens stand in the texts; no word has any if not.
    """

    words: tuple[Word, ...]
    text: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    is_placed: bool = True

    @cached_property
    def governors(self) -> tuple[int | None, ...]:
        """The index in `words` of the word that governs each word; None for a root."""
        first = {text: self.text.index(text) for text in set(self.text)}
        return tuple(
            first[text] + word.head if word.head >= 0 else None
            for word, text in zip(self.words, self.text, strict=True)
        )


def align(
    encoded: Encoded, split: Split, words: Sequence[Sequence[Sequence[Word]]]
) -> list[Aligned]:
    """Every example's words with their tokens.

    A token belongs to the word with which it shares the most characters, to the first of these if
    there are several, and to none if it shares no character with any ([CLS], white space, a token
    without characters). Of the words that share one stretch of text (UD's multiword tokens) the
    first gets the tokens. Takes O(characters + words + tokens).

    Args:
        encoded: The encoded examples.
        split: The same examples as texts.
        words: The words of their texts, [example][text][word], as `sources.tag` gives them.

    Raises:
        HeadscopeError: The words are not those of the texts; it names the first mismatch, counted
            from 1.
    """
    columns = [split.first] if split.second is None else [split.first, split.second]
    if not len(encoded) == len(split) == len(words):
        raise HeadscopeError(
            f"{len(words)} examples have words, but the split has {len(split)} and {len(encoded)} "
            "are encoded: tag and encode the same rows."
        )
    aligned = []
    for row, texts in enumerate(words):
        if len(texts) != len(columns):
            raise HeadscopeError(
                f"example {row + 1} has words for {len(texts)} texts, but {len(columns)} texts."
            )
        for which, (column, text_words) in enumerate(zip(columns, texts, strict=True)):
            where = f"example {row + 1}" if which == 0 else f"the second text of example {row + 1}"
            _check(text_words, column[row], where)
        aligned.append(_align_example(encoded, row, texts))
    return aligned


def _align_example(encoded: Encoded, row: int, texts: Sequence[Sequence[Word]]) -> Aligned:
    ends = [[word.end for word in words] for words in texts]
    # [text][word][token]
    tokens: list[list[list[int]]] = [[[] for _ in words] for words in texts]
    places = zip(encoded.segments[row], encoded.special[row], encoded.offsets[row], strict=True)
    for token, (which, special, (start, end)) in enumerate(places):
        owner = -1 if special else _owner(texts[which], ends[which], start, end)
        if owner >= 0:
            tokens[which][owner].append(token)
    return Aligned(
        words=tuple(word for words in texts for word in words),
        text=tuple(which for which, words in enumerate(texts) for _ in words),
        tokens=tuple(tuple(of_word) for of_text in tokens for of_word in of_text),
        is_placed=row not in encoded.unplaced,
    )


def _owner(words: Sequence[Word], ends: Sequence[int], start: int, end: int) -> int:
    """The index of the word that shares the most of the characters from `start` to `end`, -1 if
    none does.
    """
    best, most = -1, 0
    # Words before this one end before the token starts.
    for index in range(bisect_right(ends, start), len(words)):
        word = words[index]
        if word.start >= end:
            break
        shared = min(word.end, end) - max(word.start, start)
        if shared > most:
            best, most = index, shared
    return best


def _check(words: Sequence[Word], text: str, where: str) -> None:
    """Raises HeadscopeError unless the words stand in the text as they say, one after the other."""
    spans = [(word.start, word.end) for word in words]
    for index, word in enumerate(words):
        in_text = text[max(word.start, 0) : max(word.end, 0)]
        # The words of a multiword token ("au": "à" + "le") share its characters and have forms of
        # their own.
        neighbours = spans[max(index - 1, 0) : index] + spans[index + 1 : index + 2]
        shares_span = spans[index] in neighbours
        is_inside = 0 <= word.start < word.end <= len(text)
        if not is_inside or (in_text != word.form and not shares_span):
            problem = f"where the text has {in_text!r}"
        elif index and word.start < spans[index - 1][1] and spans[index] != spans[index - 1]:
            problem = f"which begins before the word {words[index - 1].form!r} ends"
        elif not -1 <= word.head < len(words):
            problem = f"and its head is word {word.head + 1} of {len(words)}"
        else:
            continue
        raise HeadscopeError(
            f"the words do not fit {where}: its word {index + 1} is {word.form!r} at characters "
            f"{word.start} to {word.end}, {problem}. These are tags for another text or "
            "tokenisation: tag the texts anew."
        )
