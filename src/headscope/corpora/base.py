"""What a corpus is: sentences with words, and links between words that stand in a relation."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headscope.examples import Word

Kind = Literal["framenet", "ud", "tsv"]


@dataclass(frozen=True)
class Link:
    """One instance of a relation.

    In a treebank the source is the dependent and the target its governor; in FrameNet the source is
    a frame element and the target the predicate that evokes the frame.

    Attributes:
        relation: The name of the relation.
        source: Indices of the words that it goes from.
        target: Indices of the words that it goes to.
        detail: What else is known of it, as in `Motion: Goal`.
    """

    relation: str
    source: tuple[int, ...]
    target: tuple[int, ...]
    detail: str = ""


@dataclass(frozen=True)
class Sentence:
    """A text with its words, in order, and the links between them.

    `name` says where it stands in its source.
    """

    name: str
    text: str
    words: tuple[Word, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Corpus:
    """The sentences of a corpus that were kept.

    Attributes:
        name: The name of the corpus.
        kind: What it was read from.
        sentences: The sentences that were kept.
        counts: What was read, and what each filter left out or kept, in words, with a number.
        source: The file or folder.
        hash: 16 hex digits that stand for the sentences.
        notes: What the user must know of them.
    """

    name: str
    kind: Kind
    sentences: tuple[Sentence, ...]
    counts: tuple[tuple[str, int], ...]
    source: str
    hash: str
    notes: tuple[str, ...] = ()

    @property
    def relations(self) -> dict[str, int]:
        """How many links every relation has, the most frequent first."""
        count: Counter[str] = Counter()
        for sentence in self.sentences:
            count.update(link.relation for link in sentence.links)
        return dict(count.most_common())


def content_hash(sentences: Iterable[Sentence]) -> str:
    """16 hex digits that stand for the sentences with all that is known of them."""
    digest = hashlib.sha256()
    for sentence in sentences:
        # The same as dataclasses.astuple, in a seventh of its time.
        words = [tuple(vars(word).values()) for word in sentence.words]
        links = [tuple(vars(link).values()) for link in sentence.links]
        content = (sentence.name, sentence.text, words, links)
        digest.update(json.dumps(content, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
