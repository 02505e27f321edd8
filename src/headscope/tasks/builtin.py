"""The embedded task `builtin`: do two sentences describe the same event? A grammar makes them.

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
from functools import lru_cache
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
CONTRASTS: tuple[Contrast, ...] = 2 * ("roles",) + 5 * ("object",) + 3 * ("negation",)
"""Equally likely each. Swapped roles are the hardest to learn, a negation the easiest."""
FORM_SHARES: tuple[Form, ...] = ("active", "passive", *FORMS, "active", "passive", "agent cleft")
"""Equally likely each: the plain forms come more often than the clefts."""
LONGEST = 14
"""How many words the longest sentence has, punctuation not counted."""
MOST = 1_000_000
"""How many pairs the largest split has."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Two sentences, whether they describe the same event, and how they were made.

    Attributes:
        first: The first sentence.
        second: The second.
        label: `SAME` or `DIFFERENT`.
        contrast: What tells the events of a negative pair apart; for a positive pair, what does so
            in its twin.
        alternations: The ways in which the wording of the positive twin differs, one at least. The
            negative twin shares all of them but the synonym for the word that tells.
        words: The tagged words of the first and of the second sentence.
    """

    first: str
    second: str
    label: int
    contrast: Contrast
    alternations: tuple[Alternation, ...]
    words: tuple[tuple[Word, ...], tuple[Word, ...]]

    @property
    def kind(self) -> str:
        """The contrast of a negative pair, the alternations of a positive one."""
        return self.contrast if self.label == DIFFERENT else "+".join(self.alternations)


def pairs(seed: int, split: SplitName) -> Iterator[Pair]:
    """The endless stream of the pairs of a split, twin after twin; no pair comes twice.

    The same seed gives the same pairs. The two splits have no sentence in common, not even with
    different seeds: sentences that share verb, place, time and the circles of their people are all
    in the same split.
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
        twins = _twins(rng, event, contrast)
        if not twins or max(_length(words) for pair in twins for words in pair.words) > LONGEST:
            continue
        if rng.random() < 0.5:
            twins.reverse()
        texts = {(pair.first, pair.second) for pair in twins}
        if texts.isdisjoint(seen):
            seen |= texts
            yield from twins


def _twins(rng: random.Random, event: Event, contrast: Contrast) -> list[Pair]:
    """A positive and a negative pair about the event; none if both wordings are the same."""
    wording = _wording(rng, event)
    rewording = _wording(rng, event, like=wording)
    other = _changed(rng, event, contrast)
    other_wording = rewording
    # A positive pair never repeats the word that tells, or the overlap of the words would tell the
    # label.
    if contrast != "roles":
        telling, replaced = event.frequency, other.frequency
        if contrast == "object":
            telling, replaced = event.patient, other.patient
        synonyms = rewording.synonyms - {telling, replaced}
        rewording = replace(rewording, synonyms=synonyms | ({telling} - wording.synonyms))
        drawn = {replaced} if rng.random() < 0.5 else set()
        other_wording = replace(rewording, synonyms=synonyms | drawn)
    alternations = _alternations(wording, rewording)
    if not alternations:
        return []
    first, first_words = realise(event, wording)
    twins = []
    for label, (second, second_words) in (
        (SAME, realise(event, rewording)),
        (DIFFERENT, realise(other, other_wording)),
    ):
        words = (first_words, second_words)
        twins.append(Pair(first, second, label, contrast, alternations, words))
    return twins


def generate(seed: int, train: int, validation: int) -> tuple[Split, Split]:
    """The splits of the task, with gold words.

    Half of the pairs of a split have each label (one more if their number is odd). A smaller split
    is the beginning of a larger one.

    Args:
        seed: Of both.
        train: How many pairs to train on.
        validation: How many to validate on.

    Raises:
        HeadscopeError: A size is less than 1 or more than `MOST`.
    """
    return _split(seed, "train", train), _split(seed, "validation", validation)


# A program that asks for the same pairs again, as a study does, need not wait for them again.
@lru_cache(maxsize=4)
def _split(seed: int, name: SplitName, size: int) -> Split:
    if not 1 <= size <= MOST:
        raise HeadscopeError(
            f"cannot generate {size} {name} pairs for the task 'builtin': ask for at least 1 and "
            f"at most {MOST:,}."
        )
    rows = list(islice(pairs(seed, name), size))
    labels = np.array([pair.label for pair in rows], dtype=np.int64)
    # Whoever asks again gets the same array.
    labels.setflags(write=False)
    return Split(
        first=tuple(pair.first for pair in rows),
        second=tuple(pair.second for pair in rows),
        labels=labels,
        words=tuple(pair.words for pair in rows),
    )


def _event(rng: random.Random, contrast: Contrast) -> Event:
    """An event that can differ in `contrast`."""
    agent = _pick(rng, tuple(PEOPLE))
    others = [person for person in PEOPLE if person != agent]
    if contrast == "object":
        others = [person for person in others if _has_synonym(person)]
    patient = _pick(rng, others)
    usual = () if contrast == "negation" else 6 * ("",)
    frequency = _pick(rng, (*usual, "never", "often"))
    verb = _pick(rng, tuple(VERBS))
    place = _pick(rng, PLACES) if rng.random() < 0.3 else ""
    times = SEASONS if frequency else MOMENTS + SEASONS
    time = _pick(rng, times) if rng.random() < 0.3 else ""
    return Event(verb, agent, patient, place, time, frequency)


def _changed(rng: random.Random, event: Event, contrast: Contrast) -> Event:
    """The event that differs in `contrast` and in nothing else."""
    if contrast == "roles":
        return replace(event, agent=event.patient, patient=event.agent)
    if contrast == "negation":
        return replace(event, frequency="often" if event.frequency == "never" else "never")
    circle = CIRCLE[event.patient]
    others = [
        person
        for person in PEOPLE
        if CIRCLE[person] == circle
        and _has_synonym(person)
        and person not in (event.agent, event.patient)
    ]
    return replace(event, patient=_pick(rng, others))


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
    words = FREQUENCIES.get(concept) or PEOPLE.get(concept) or VERBS.get(concept) or ()
    return len(words) > 1


def _alternations(wording: Wording, other: Wording) -> tuple[Alternation, ...]:
    """In what two wordings of an event differ."""
    differ: dict[Alternation, bool] = {
        "passive": (wording.form in PASSIVE) != (other.form in PASSIVE),
        "cleft": _focus(wording) != _focus(other),
        "synonym": wording.synonyms != other.synonyms,
        "order": wording.order != other.order,
    }
    return tuple(name for name, differs in differ.items() if differs)


def _focus(wording: Wording) -> str:
    """Who a cleft sets apart."""
    if wording.form not in CLEFT:
        return ""
    return "agent" if wording.form == "agent cleft" else "patient"


def _home(event: Event) -> SplitName:
    """The split of an event and of all that differ from it in a contrast.

    A quarter of the events are for validation.
    """
    circles = sorted((CIRCLE[event.agent], CIRCLE[event.patient]))
    identity = "|".join((*map(str, circles), event.verb, event.place, event.time))
    # Python's own `hash` of a string changes from run to run.
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
