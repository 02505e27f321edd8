"""What is known of a word: the one record that gold annotation, a treebank and a parser all fill in."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["", "predicate", "agent", "patient", "place", "time"]


@dataclass(frozen=True)
class Word:
    """A word of a text with its tags, in the terms of Universal Dependencies 2.

    `start` and `end` are character offsets into the text (end exclusive). `head` is the index of the governing word
    in the same text, -1 for the root. `relation` is the dependency relation to it (`nsubj`, `nsubj:pass`, `obj`, ...).
    `role` is the semantic role in the event of the clause, where it is known.
    """

    form: str
    lemma: str
    start: int
    end: int
    upos: str
    relation: str
    head: int
    negation: bool = False
    role: Role = ""

    @property
    def is_subject(self) -> bool:
        """A nominal or clausal subject, active or passive."""
        return self.relation.split(":")[0] in ("nsubj", "csubj")

    @property
    def is_object(self) -> bool:
        """A direct or indirect object."""
        return self.relation.split(":")[0] in ("obj", "iobj")
