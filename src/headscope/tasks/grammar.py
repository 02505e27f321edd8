"""A small grammar of English that makes sentences with gold tags for every word.

An `Event` is what happened: who did what to whom, how often, where and when. A `Wording` is how it
is said: voice, cleft, order of the adjuncts, synonyms. `realise` builds the dependency tree of the
sentence and reads the words off it, so that heads and offsets are right by construction.

The relations are those of UD English-EWT 2.x, also where they surprise: the `It` of a cleft is an
expletive, what is in focus is the root, the clause after it is `advcl:relcl`, and a time without a
preposition is `obl:unmarked`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, NamedTuple

from headscope.examples import Role, Word

Form = Literal["active", "passive", "agent cleft", "patient cleft", "passive cleft"]
FORMS: tuple[Form, ...] = ("active", "passive", "agent cleft", "patient cleft", "passive cleft")
PASSIVE = frozenset({"passive", "passive cleft"})
CLEFT = frozenset({"agent cleft", "patient cleft", "passive cleft"})

CIRCLES = (
    "doctor/physician writer/author thief/robber nurse baker judge priest",
    "lawyer/attorney cook/chef sailor/seaman farmer actor mayor teacher",
    "reporter/journalist boss/manager pilot/aviator banker dancer driver tailor",
    "singer/vocalist student/pupil soldier/trooper editor painter waiter guard",
)
"""Circles of people, each person with the synonym if there is one.

Each lemma stands here once: a word tells its concept. Whoever takes another's place in an event is
of the same circle, which keeps the splits apart.
"""


def _people() -> Iterator[tuple[int, tuple[str, ...]]]:
    """The number of the circle and the words of every person."""
    for number, circle in enumerate(CIRCLES):
        for person in circle.split():
            yield number, tuple(person.split("/"))


PEOPLE = {words[0]: words for _, words in _people()}
"""The words for a person, by the first of them."""
CIRCLE = {words[0]: number for number, words in _people()}
"""The number of a person's circle."""

VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    "greet": (("greet", "greeted"), ("welcome", "welcomed")),
    "praise": (("praise", "praised"), ("commend", "commended")),
    "help": (("help", "helped"), ("assist", "assisted")),
    "chase": (("chase", "chased"), ("pursue", "pursued")),
    "warn": (("warn", "warned"), ("alert", "alerted")),
    "hire": (("hire", "hired"), ("employ", "employed")),
    "trick": (("trick", "tricked"), ("fool", "fooled")),
    "attack": (("attack", "attacked"), ("assault", "assaulted")),
    "hug": (("hug", "hugged"), ("embrace", "embraced")),
    "surprise": (("surprise", "surprised"), ("astonish", "astonished")),
    "watch": (("watch", "watched"), ("observe", "observed")),
    "thank": (("thank", "thanked"),),
    "visit": (("visit", "visited"),),
    "interview": (("interview", "interviewed"),),
    "blame": (("blame", "blamed"),),
    "insult": (("insult", "insulted"),),
}
"""A verb's lemma and past, and where there is one the synonym's.

All are regular, so that the past form is the participle too and a change of voice does not show in
the form of the verb; none is symmetric, as "meet" would be.
"""

PLACES = (
    "in the park",
    "in the kitchen",
    "in the garden",
    "in the library",
    "in the village",
    "at the station",
    "at the airport",
    "at the market",
    "at the museum",
    "at the hotel",
    "near the lake",
    "near the bridge",
    "near the church",
    "outside",
    "upstairs",
)
MOMENTS = ("on Monday", "on Friday", "on Sunday", "yesterday", "recently")
SEASONS = ("at noon", "at night", "in May", "in winter", "last week", "last year")
"""The times that can go with a frequency."""

FREQUENCIES: dict[str, tuple[str, str]] = {
    "never": ("never", "not"),
    "often": ("often", "frequently"),
}
"""How often; "did not thank" says "never thanked" of what is past."""

_PREPOSITIONS = frozenset({"in", "at", "on", "near"})
_NAMES = frozenset({"Monday", "Friday", "Sunday", "May"})
_NEGATIONS = frozenset({"not", "never"})
_ADVERBS = frozenset({"outside", "upstairs", "recently"})

Order = tuple[Literal["place", "clause", "time"], ...]


@dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
        verb: A key of `VERBS`.
        agent: A key of `PEOPLE`.
        patient: Another.
        place: One of `PLACES`, or "".
        time: One of `MOMENTS` or `SEASONS`, or "".
        frequency: A key of `FREQUENCIES`, or "".
    """

    verb: str
    agent: str
    patient: str
    place: str = ""
    time: str = ""
    frequency: str = ""


@dataclass(frozen=True)
class Wording:
    """How an event is said.

    Attributes:
        form: Voice and cleft.
        order: Which adjuncts stand before and after the clause; it names those that the event has.
        synonyms: The concepts that are said by their second word.
    """

    form: Form = "active"
    order: Order = ("clause",)
    synonyms: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Node:
    """A word of a dependency tree, with its dependents before (left) and after it, in order."""

    form: str
    lemma: str
    upos: str
    relation: str
    left: "tuple[_Node, ...]" = ()
    right: "tuple[_Node, ...]" = ()
    negation: bool = False
    role: Role = ""


_THE = _Node("the", "the", "DET", "det")
_BY = _Node("by", "by", "ADP", "case")
_DID = _Node("did", "do", "AUX", "aux")
_WAS = _Node("was", "be", "AUX", "aux:pass")
_COPULA = _Node("was", "be", "AUX", "cop")
_IT = _Node("it", "it", "PRON", "expl")
_COMMA = _Node(",", ",", "PUNCT", "punct")
_STOP = _Node(".", ".", "PUNCT", "punct")
_BEFORE_NOUN = {word: _Node(word, word, "ADP", "case") for word in _PREPOSITIONS} | {"the": _THE}


def orders(event: Event, form: Form) -> list[Order]:
    """The orders that the adjuncts of this event can take. Nothing stands before a cleft."""
    present: list[Order] = []
    if event.place and event.time:
        present = [("clause", "place", "time"), ("clause", "time", "place")]
        present += [("time", "clause", "place"), ("place", "clause", "time")]
    elif event.place:
        present = [("clause", "place"), ("place", "clause")]
    elif event.time:
        present = [("clause", "time"), ("time", "clause")]
    else:
        present = [("clause",)]
    return [order for order in present if form not in CLEFT or order[0] == "clause"]


def realise(event: Event, wording: Wording) -> tuple[str, tuple[Word, ...]]:
    """The sentence that says an event in some wording, and its words, punctuation included."""
    return _words(_sentence(event, wording))


def _sentence(event: Event, wording: Wording) -> _Node:
    """The dependency tree of the sentence."""
    form = wording.form
    front, back = _adjuncts(event, wording.order)
    agent = _person(event.agent, wording, "agent", "nsubj")
    patient = _person(event.patient, wording, "patient", "nsubj:pass" if form in PASSIVE else "obj")
    by = replace(agent, relation="obl:agent", left=(_BY, *agent.left))
    if form == "active":
        return _predicate(event, wording, "root", (*front, agent), (patient, *back, _STOP))
    if form == "passive":
        return _predicate(event, wording, "root", (*front, patient), (by, *back, _STOP))
    if form == "agent cleft":
        who = _Node("who", "who", "PRON", "nsubj")
        return _cleft(agent, _predicate(event, wording, "advcl:relcl", (who,), (patient, *back)))
    if form == "passive cleft":
        who = _Node("who", "who", "PRON", "nsubj:pass")
        return _cleft(patient, _predicate(event, wording, "advcl:relcl", (who,), (by, *back)))
    that = _Node("that", "that", "PRON", "obj")
    return _cleft(patient, _predicate(event, wording, "advcl:relcl", (that, agent), back))


def _adjuncts(event: Event, order: Order) -> tuple[tuple[_Node, ...], tuple[_Node, ...]]:
    """The adjuncts before the clause, each with a comma, and those after it."""
    front: list[_Node] = []
    back: list[_Node] = []
    after_clause = False
    for name in order:
        if name == "clause":
            after_clause = True
        elif after_clause:
            back.append(_adjunct(event, name))
        else:
            front += [_adjunct(event, name), _COMMA]
    return tuple(front), tuple(back)


def _adjunct(event: Event, role: Literal["place", "time"]) -> _Node:
    """The adjunct from its words, of which the last is the head."""
    *before, head = (event.place if role == "place" else event.time).split()
    if head in _ADVERBS:
        return _Node(head, head, "ADV", "advmod", role=role)
    left = tuple(_BEFORE_NOUN.get(word) or _Node(word, word, "ADJ", "amod") for word in before)
    relation = "obl" if before and before[0] in _PREPOSITIONS else "obl:unmarked"
    return _Node(head, head, "PROPN" if head in _NAMES else "NOUN", relation, left=left, role=role)


def _predicate(
    event: Event, wording: Wording, relation: str, left: tuple[_Node, ...], right: tuple[_Node, ...]
) -> _Node:
    """The verb between its subject and what follows it, with auxiliaries and adverb."""
    passive = wording.form in PASSIVE
    lemma, past = VERBS[event.verb][event.verb in wording.synonyms]
    verb = _Node(past, lemma, "VERB", relation, right=right, role="predicate")
    if passive:
        left = (*left, _WAS)
    if not event.frequency:
        return replace(verb, left=left)
    word = FREQUENCIES[event.frequency][event.frequency in wording.synonyms]
    tag = "PART" if word == "not" else "ADV"
    adverb = _Node(word, word, tag, "advmod", negation=word in _NEGATIONS)
    if word == "not" and not passive:
        return replace(verb, form=lemma, left=(*left, _DID, adverb))
    return replace(verb, left=(*left, adverb))


def _cleft(focus: _Node, clause: _Node) -> _Node:
    return replace(
        focus,
        relation="root",
        left=(_IT, _COPULA, *focus.left),
        right=(*focus.right, clause, _STOP),
    )


def _person(concept: str, wording: Wording, role: Role, relation: str) -> _Node:
    lemma = PEOPLE[concept][concept in wording.synonyms]
    return _Node(lemma, lemma, "NOUN", relation, left=(_THE,), role=role)


def _words(root: _Node) -> tuple[str, tuple[Word, ...]]:
    """The text and the words of a tree, in order."""
    slots = list(_slots(root, -1, count()))
    position = {slot.number: place for place, slot in enumerate(slots)}
    text = ""
    words = []
    for slot in slots:
        node = slot.node
        if text and node.upos != "PUNCT":
            text += " "
        start = len(text)
        text += node.form if text else node.form.capitalize()
        word = Word(
            form=text[start:],
            lemma=node.lemma,
            start=start,
            end=len(text),
            upos=node.upos,
            relation=node.relation,
            head=position.get(slot.head, -1),
            negation=node.negation,
            role=node.role,
        )
        words.append(word)
    return text, tuple(words)


class _Slot(NamedTuple):
    """A node of a tree with a number of its own and the number of its governor, -1 for none."""

    node: _Node
    number: int
    head: int


def _slots(node: _Node, head: int, numbers: Iterator[int]) -> Iterator[_Slot]:
    """Every node of a tree in the order of the sentence."""
    number = next(numbers)
    for child in node.left:
        yield from _slots(child, number, numbers)
    yield _Slot(node, number, head)
    for child in node.right:
        yield from _slots(child, number, numbers)
