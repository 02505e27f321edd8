"""A corpus as a model sees it: sentences as tokens, links as words that have tokens."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headscope.corpora.base import Corpus, Link, Sentence
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.linguistics.dependencies import WordLinks
from headscope.model.encoding import Encoded, encode, only
from headscope.model.model import Model
from headscope.model.tokenizers import unknown_note, unplaced_note
from headscope.words.align import align

WordTokens = tuple[tuple[int, ...], ...]
"""The tokens of every word of a sentence."""


@dataclass(frozen=True)
class LinkedCorpus:
    """The sentences of a corpus that a model can be shown.

    Attributes:
        corpus: The corpus as it was read.
        sentences: Its sentences that are not too long.
        encoded: The same as token ids.
        tokens: The tokens of every word of every sentence.
        links: The links of every sentence whose words all have tokens.
        counts: What was left out and what is left, in words, with a number.
    """

    corpus: Corpus
    sentences: tuple[Sentence, ...]
    encoded: Encoded
    tokens: list[WordTokens]
    links: list[tuple[Link, ...]]
    counts: tuple[tuple[str, int], ...]

    @property
    def relations(self) -> list[str]:
        """The relations that occur, the most frequent first, then by name."""
        count: Counter[str] = Counter()
        for links in self.links:
            count.update(link.relation for link in links)
        return sorted(count, key=lambda name: (-count[name], name))

    @property
    def punctuation(self) -> list[frozenset[int]]:
        """The tokens of every sentence's words without a letter or a digit."""
        return punctuation_tokens(self.sentences, self.tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, a sentence each."""
        lost = [f"{n} {what}" for what, n in self.counts[:2] if n]
        unplaced = unplaced_note(self.encoded, "corpus")
        return (*self.corpus.notes, *lost, *unknown_note(self.encoded, "corpus"), *unplaced)


def link(
    model: Model, corpus: Corpus, *, examples: int | None, seed: int, max_length: int
) -> LinkedCorpus:
    """Encode the sentences and find the tokens of every word.

    A sentence of more tokens than the limit is left out, as is a link one of whose words has no
    token of its own; both are counted.

    Args:
        model: The model that will see the sentences.
        corpus: Sentences with links.
        examples: At most so many sentences, drawn from the seed; None for all.
        seed: Decides which sentences are drawn.
        max_length: The largest number of tokens of a sentence.

    Raises:
        HeadscopeError: No link is left, or the tokenizer does not know most of the tokens.
    """
    sentences = _drawn(corpus.sentences, examples, seed)
    encoded, tokens = encode_words(model, sentences, max_length)
    unknown_note(encoded, "corpus")
    # A text without a token has no offsets.
    kept = [
        i
        for i, sentence in enumerate(sentences)
        if encoded.offsets[i] and not _is_cut(sentence, tokens[i], encoded, i)
    ]
    links = [links_with_tokens(sentences[i], tokens[i]) for i in kept]
    linked = sum(len(of_sentence) for of_sentence in links)
    lost = sum(len(sentences[i].links) for i in kept) - linked
    if not linked:
        raise HeadscopeError(
            f"{corpus.source} has no relation between words that {model.name} has tokens for: "
            "give a corpus in a language that the model's tokenizer knows, or a larger "
            "--max-length"
        )
    return LinkedCorpus(
        corpus=corpus,
        sentences=tuple(sentences[i] for i in kept),
        encoded=only(encoded, kept),
        tokens=[tokens[i] for i in kept],
        links=links,
        counts=(
            ("sentences of more tokens than the limit, left out", len(sentences) - len(kept)),
            ("links with a word that has no token of its own, left out", lost),
            ("sentences that the model sees", len(kept)),
            ("links that are looked at", linked),
        ),
    )


def _drawn(
    sentences: tuple[Sentence, ...], examples: int | None, seed: int
) -> tuple[Sentence, ...]:
    if examples is None or examples >= len(sentences):
        return sentences
    drawn = np.random.default_rng(seed).choice(len(sentences), examples, replace=False)
    return tuple(sentences[i] for i in np.sort(drawn))


def encode_words(
    model: Model, sentences: Sequence[Sentence], max_length: int
) -> tuple[Encoded, list[WordTokens]]:
    """The sentences as token ids, and the tokens of every word of every sentence."""
    # What encodes examples of a task takes a label for each; here none is looked at.
    texts = tuple(sentence.text for sentence in sentences)
    split = Split(texts, None, np.zeros(len(texts), dtype=np.int64))
    encoded = encode(split, model.tokenizer, min(max_length, model.max_length))
    aligned = align(encoded, split, [(sentence.words,) for sentence in sentences])
    return encoded, [sentence.tokens for sentence in aligned]


def _is_cut(sentence: Sentence, tokens: WordTokens, encoded: Encoded, i: int) -> bool:
    """Whether the end of sentence `i` was cut off: its last token ends before its last word."""
    if len(encoded.segments[i]) < encoded.max_length or not sentence.words:
        return False
    if i in encoded.unplaced:
        return False
    last_token_ends = max(end for _, end in encoded.offsets[i])
    return last_token_ends <= sentence.words[-1].start and not tokens[-1]


def links_with_tokens(sentence: Sentence, tokens: WordTokens) -> tuple[Link, ...]:
    """The links of a sentence whose words all have tokens."""
    return tuple(
        link
        for link in sentence.links
        if all(tokens[word] for word in (*link.source, *link.target))
    )


def punctuation_tokens(
    sentences: Sequence[Sentence], tokens: Sequence[WordTokens]
) -> list[frozenset[int]]:
    """The tokens of every sentence's words without a letter or a digit."""
    found = []
    for sentence, of_words in zip(sentences, tokens, strict=True):
        own: set[int] = set()
        for word, pieces in zip(sentence.words, of_words, strict=True):
            if not any(character.isalnum() for character in word.form):
                own.update(pieces)
        found.append(frozenset(own))
    return found


def word_links(links: Sequence[Sequence[Link]], relations: Sequence[str]) -> list[WordLinks]:
    """The links between single words of every sentence as numbers.

    Args:
        links: The links of every sentence, from a dependent to its governor.
        relations: The relations that are wanted, in the order of their numbers.
    """
    number = {name: i for i, name in enumerate(relations)}
    found = []
    for of_sentence in links:
        rows = [
            (link.source[0], link.target[0], number[link.relation])
            for link in of_sentence
            if link.relation in number
        ]
        dependent, governor, relation = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        found.append(WordLinks(dependent, governor, relation))
    return found
