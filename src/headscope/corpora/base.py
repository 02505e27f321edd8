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
    """One instance of a relation: it goes from the words `source` to the words `target`, indices
    into the sentence.

    In a treebank the source is the dependent and the target its head; in FrameNet the source is a
    frame element and the target the predicate that evokes the frame. `detail` says more where there
    is more, as in `Motion: Goal`.
    """

    relation: str
    source: tuple[int, ...]
    target: tuple[int, ...]
    detail: str = ""


@dataclass(frozen=True)
class Sentence:
    """A text with its words, in order, and the links between them. `name` finds it again in its
    source.
    """

    name: str
    text: str
    words: tuple[Word, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Corpus:
    """The sentences of a corpus that were kept.

    `counts` is what was read and what each filter left out or kept, in order: (what, how many).
    `source` says where it came from, `hash` is 16 hex digits of its content.
    """

    name: str
    kind: Kind
    sentences: tuple[Sentence, ...]
    counts: tuple[tuple[str, int], ...]
    source: str
    hash: str

    @property
    def relations(self) -> dict[str, int]:
        """How many links every relation has, the most frequent first."""
        return dict(
            Counter(link.relation for one in self.sentences for link in one.links).most_common()
        )


def content_hash(sentences: Iterable[Sentence]) -> str:
    """16 hex digits that stand for the sentences with all that is known of them."""
    digest = hashlib.sha256()
    for one in sentences:
        # The same as dataclasses.astuple, in a seventh of its time.
        words, links = (
            [tuple(vars(part).values()) for part in parts] for parts in (one.words, one.links)
        )
        digest.update(json.dumps((one.name, one.text, words, links), ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
