"""The embedded task `builtin`: do two sentences describe the same event? Its own grammar makes the
pairs.

A positive pair says one event in two ways: passive, cleft, synonym, another order of the adjuncts.
A negative pair says two events that differ in one thing: the roles are swapped, it never happened
(the other says: often), or the object is another.

Pairs come as twins: a positive and a negative pair with the same first sentence, and in the second
the same wording. Swapped roles leave the second sentence the same words. Where the twins differ in
the object or the negation, the positive pair has a synonym where the negative has another word
("doctor": "physician" or "sailor"; "never": "not" or "often"), and over all pairs each of these
words stands in each place equally often with either label. So no count of words tells the label:
not in one sentence, in both, or in their difference. What tells it is which word answers to which,
and who did it to whom. (Who knows the synonyms can tell the object and the negation, but not the
roles, from the words in any order.)
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, TypeVar

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Split, Word
from headscope.tasks.base import TASKS, Task
from headscope.tasks.grammar import (
    CIRCLE,
    CLEFT,
    FORMS,
    FREQUENCIES,
    MOMENTS,
    PASSIVE,
    PEOPLE,
    PLACES,
    SEASONS,
    VERBS,
    Event,
    Form,
    Wording,
    orders,
    realise,
)

Contrast = Literal["roles", "negation", "object"]
Alternation = Literal["passive", "cleft", "synonym", "order"]
SplitName = Literal["train", "validation"]

DIFFERENT, SAME = 0, 1
CONTRASTS: tuple[Contrast, ...] = (
    *("roles", "roles"),
    *("object", "object", "object", "object", "object"),
    *("negation", "negation", "negation"),
)
"""Equally likely each. Swapped roles are the hardest to learn, a negation the easiest."""
FORM_SHARES: tuple[Form, ...] = ("active", "passive", *FORMS, "active", "passive", "agent cleft")
"""Equally likely each: the plain forms come more often than the clefts."""
LONGEST = 14
"""Words of the longest sentence, punctuation not counted."""
MOST = 1_000_000
"""Pairs of the largest split."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Two sentences, whether they describe the same event, and how they were made.

    `contrast` is what tells the events of a negative pair apart; for a positive pair, what does so
    in its twin. `alternations` are the ways in which the wording of the positive twin differs;
    there is one at least, and the negative twin shares all of them but the synonym for the word
    that tells. `words` holds the tagged words of the first and of the second sentence.
    """

    first: str
    second: str
    label: int
    contrast: Contrast
    alternations: tuple[Alternation, ...]
    words: tuple[tuple[Word, ...], tuple[Word, ...]]

    @property
    def kind(self) -> str:
        """What made the pair what it is: a negative pair's contrast, a positive pair's
        alternations.
        """
        return self.contrast if self.label == DIFFERENT else "+".join(self.alternations)


def pairs(seed: int, split: SplitName) -> Iterator[Pair]:
    """The endless stream of pairs of a split, twin after twin; no pair comes twice, and the same
    seed gives the same.

    The two splits have no sentence in common, not even with different seeds: sentences that share
    verb, place, time and the circles of their people are all in the same split.
    """
    # A string seeds by SHA-512, and `random()` is the one method whose stream Python promises to
    # keep.
    rng = random.Random(f"builtin {split} {seed}")
    seen: set[tuple[str, str]] = set()
    while True:
        contrast = _pick(rng, CONTRASTS)
        event = _event(rng, contrast)
        if _home(event) != split:
            continue
        one = _wording(rng, event)
        two = _wording(rng, event, like=one)
        other, three = _changed(rng, event, contrast), two
        # A positive pair never repeats the word that tells, or the overlap of the words would tell
        # the label.
        if contrast != "roles":
            told, new = (
                (event.patient, other.patient)
                if contrast == "object"
                else (event.frequency, other.frequency)
            )
            rest = two.synonyms - {told, new}
            two = replace(two, synonyms=rest | ({told} - one.synonyms))
            three = replace(two, synonyms=rest | ({new} if rng.random() < 0.5 else set()))
        alternations = _alternations(one, two)
        if not alternations:
            continue
        first, first_words = realise(event, one)
        made = []
        for label, (second, words) in (
            (SAME, realise(event, two)),
            (DIFFERENT, realise(other, three)),
        ):
            made.append(Pair(first, second, label, contrast, alternations, (first_words, words)))
        if max(_length(words) for pair in made for words in pair.words) > LONGEST:
            continue
        if rng.random() < 0.5:
            made.reverse()
        for pair in made:
            key = pair.first, pair.second
            if key in seen:
                break
        else:
            seen.update((pair.first, pair.second) for pair in made)
            yield from made


def generate(seed: int, train: int, validation: int) -> tuple[Split, Split]:
    """The splits of the task: `train` and `validation` pairs from `seed`, with gold words.

    Half of the pairs of a split have each label (one more if their number is odd). A smaller split
    is the beginning of a larger one. Raises HeadscopeError if a size is less than 1 or more than
    `MOST`.
    """
    return _split(seed, "train", train), _split(seed, "validation", validation)


def _split(seed: int, name: SplitName, size: int) -> Split:
    if not 1 <= size <= MOST:
        raise HeadscopeError(
            f"cannot generate {size} {name} pairs for the task 'builtin': ask for at least 1 and "
            f"at most {MOST:,}."
        )
    rows = list(islice(pairs(seed, name), size))
    return Split(
        first=tuple(pair.first for pair in rows),
        second=tuple(pair.second for pair in rows),
        labels=np.array([pair.label for pair in rows], dtype=np.int64),
        words=tuple(pair.words for pair in rows),
    )


def _event(rng: random.Random, contrast: Contrast) -> Event:
    """An event that can differ in `contrast`."""
    agent = _pick(rng, tuple(PEOPLE))
    patient = _pick(
        rng, [p for p in PEOPLE if p != agent and (contrast != "object" or _has_synonym(p))]
    )
    frequency = _pick(
        rng, ("never", "often") if contrast == "negation" else (*[""] * 6, "never", "often")
    )
    return Event(
        verb=_pick(rng, tuple(VERBS)),
        agent=agent,
        patient=patient,
        place=_pick(rng, PLACES) if rng.random() < 0.3 else "",
        time=_pick(rng, SEASONS if frequency else MOMENTS + SEASONS) if rng.random() < 0.3 else "",
        frequency=frequency,
    )


def _changed(rng: random.Random, event: Event, contrast: Contrast) -> Event:
    """The event that differs in `contrast` and in nothing else."""
    if contrast == "roles":
        return replace(event, agent=event.patient, patient=event.agent)
    if contrast == "negation":
        return replace(event, frequency="often" if event.frequency == "never" else "never")
    circle = [p for p in PEOPLE if CIRCLE[p] == CIRCLE[event.patient] and _has_synonym(p)]
    return replace(
        event, patient=_pick(rng, [p for p in circle if p not in (event.agent, event.patient)])
    )


def _wording(rng: random.Random, event: Event, like: Wording | None = None) -> Wording:
    """A wording of the event; most concepts keep the word that they have in `like`."""
    form = _pick(rng, FORM_SHARES)
    order = _pick(rng, orders(event, form))
    synonyms = set()
    for concept in (event.verb, event.agent, event.patient, event.frequency):
        second = rng.random() < 0.5
        if like is not None and rng.random() < 0.7:
            second = concept in like.synonyms
        if second and _has_synonym(concept):
            synonyms.add(concept)
    return Wording(form, order, frozenset(synonyms))


def _has_synonym(concept: str) -> bool:
    return (
        concept in FREQUENCIES
        or len(PEOPLE.get(concept, ())) > 1
        or len(VERBS.get(concept, ())) > 1
    )


def _alternations(one: Wording, two: Wording) -> tuple[Alternation, ...]:
    """In what two wordings of an event differ."""
    differ: dict[Alternation, bool] = {
        "passive": (one.form in PASSIVE) != (two.form in PASSIVE),
        "cleft": _focus(one) != _focus(two),
        "synonym": one.synonyms != two.synonyms,
        "order": one.order != two.order,
    }
    return tuple(name for name, differs in differ.items() if differs)


def _focus(wording: Wording) -> str:
    """Who a cleft sets apart."""
    if wording.form not in CLEFT:
        return ""
    return "agent" if wording.form == "agent cleft" else "patient"


def _home(event: Event) -> SplitName:
    """The split of an event and of all that differ from it in a contrast; a quarter of them are for
    validation.

    Python's own `hash` of a string changes from run to run.
    """
    circles = sorted((CIRCLE[event.agent], CIRCLE[event.patient]))
    identity = "|".join((*map(str, circles), event.verb, event.place, event.time))
    digest = hashlib.blake2b(identity.encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(digest, "big") % 4 == 0 else "train"


def _length(words: tuple[Word, ...]) -> int:
    return sum(word.upos != "PUNCT" for word in words)


def _pick(rng: random.Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


TASKS.register("builtin")(
    Task(
        name="builtin",
        columns=("sentence1", "sentence2"),
        labels=("different", "same"),
        metrics=("accuracy", "f1"),
        generate=generate,
    )
)
