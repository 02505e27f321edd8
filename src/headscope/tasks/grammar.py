"""A small grammar of English: an event and a wording give a sentence whose every word carries gold
tags.

An `Event` is what happened: who did what to whom, how often, where and when. A `Wording` is how it
is said: voice, cleft, order of the adjuncts, synonyms. `realise` builds the dependency tree of the
sentence and reads the words off it, so that heads and offsets are right by construction.

The relations are those of UD English-EWT 2.x, also where they surprise: the `It` of a cleft is an
expletive, what is in focus is the root, the clause after it is `advcl:relcl`, and a time without a
preposition is `obl:unmarked`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from headscope.examples import Role, Word

Form = Literal["active", "passive", "agent cleft", "patient cleft", "passive cleft"]
FORMS: tuple[Form, ...] = ("active", "passive", "agent cleft", "patient cleft", "passive cleft")
PASSIVE = frozenset({"passive", "passive cleft"})
CLEFT = frozenset({"agent cleft", "patient cleft", "passive cleft"})

# Circles of people, each person with the synonym if there is one. Each lemma stands here once: a
# word tells its concept. Whoever takes another's place in an event is of the same circle, which
# keeps the splits apart.
CIRCLES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        *(("doctor", "physician"), ("writer", "author"), ("thief", "robber")),
        *(("nurse",), ("baker",), ("judge",), ("priest",)),
    ),
    (
        *(("lawyer", "attorney"), ("cook", "chef"), ("sailor", "seaman")),
        *(("farmer",), ("actor",), ("mayor",), ("teacher",)),
    ),
    (
        *(("reporter", "journalist"), ("boss", "manager"), ("pilot", "aviator")),
        *(("banker",), ("dancer",), ("driver",), ("tailor",)),
    ),
    (
        *(("singer", "vocalist"), ("student", "pupil"), ("soldier", "trooper")),
        *(("editor",), ("painter",), ("waiter",), ("guard",)),
    ),
)
PEOPLE: dict[str, tuple[str, ...]] = {words[0]: words for circle in CIRCLES for words in circle}
CIRCLE: dict[str, int] = {words[0]: i for i, circle in enumerate(CIRCLES) for words in circle}

# (lemma, past), and where there is one the synonym's. All are regular, so that the past form is the
# participle too and a change of voice does not show in the form of the verb; none is symmetric, as
# "meet" would be.
VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    words[0][0]: words
    for words in (
        (("greet", "greeted"), ("welcome", "welcomed")),
        (("praise", "praised"), ("commend", "commended")),
        (("help", "helped"), ("assist", "assisted")),
        (("chase", "chased"), ("pursue", "pursued")),
        (("warn", "warned"), ("alert", "alerted")),
        (("hire", "hired"), ("employ", "employed")),
        (("trick", "tricked"), ("fool", "fooled")),
        (("attack", "attacked"), ("assault", "assaulted")),
        (("hug", "hugged"), ("embrace", "embraced")),
        (("surprise", "surprised"), ("astonish", "astonished")),
        (("watch", "watched"), ("observe", "observed")),
        (("thank", "thanked"),),
        (("visit", "visited"),),
        (("interview", "interviewed"),),
        (("blame", "blamed"),),
        (("insult", "insulted"),),
    )
}

PLACES = (
    *(
        "in the park",
        "in the kitchen",
        "in the garden",
        "in the library",
        "in the village",
        "at the station",
    ),
    *(
        "at the airport",
        "at the market",
        "at the museum",
        "at the hotel",
        "near the lake",
        "near the bridge",
    ),
    *("near the church", "outside", "upstairs"),
)
MOMENTS = ("on Monday", "on Friday", "on Sunday", "yesterday", "recently")
SEASONS = ("at noon", "at night", "in May", "in winter", "last week", "last year")
"""The times that can go with a frequency."""

# How often; "did not thank" says "never thanked" of what is past.
FREQUENCIES: dict[str, tuple[str, str]] = {
    "never": ("never", "not"),
    "often": ("often", "frequently"),
}

_PREPOSITIONS = frozenset({"in", "at", "on", "near"})
_NAMES = frozenset({"Monday", "Friday", "Sunday", "May"})
_NEGATIONS = frozenset({"not", "never"})
_ADVERBS = frozenset({"outside", "upstairs", "recently"})

Order = tuple[Literal["place", "clause", "time"], ...]


@dataclass(frozen=True)
class Event:
    """What happened: concepts (keys of `VERBS`, `PEOPLE`, `FREQUENCIES`) and adjuncts; "" where
    there is none.
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

    `order` puts the adjuncts before or after the clause; it names exactly those that the event has.
    `synonyms` are the concepts that are said by their second word.
    """

    form: Form = "active"
    order: Order = ("clause",)
    synonyms: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Node:
    """A word of a dependency tree, with its dependents before and after it in the order of the
    sentence.
    """

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
    """The sentence that says `event` in this `wording`, and its tagged words, punctuation
    included.
    """
    return _read_off(_sentence(event, wording))


def _sentence(event: Event, wording: Wording) -> _Node:
    """The dependency tree of the sentence."""
    form = wording.form
    at = wording.order.index("clause")
    adjuncts: dict[str, _Node] = {}
    if event.place:
        adjuncts["place"] = _adjunct(event.place, "place")
    if event.time:
        adjuncts["time"] = _adjunct(event.time, "time")
    front = tuple(node for name in wording.order[:at] for node in (adjuncts[name], _COMMA))
    back = tuple(adjuncts[name] for name in wording.order[at + 1 :])

    agent = _person(event.agent, wording, "agent", "nsubj")
    patient = _person(event.patient, wording, "patient", "nsubj:pass" if form in PASSIVE else "obj")
    if form == "active":
        return _predicate(event, wording, "root", (*front, agent), (patient, *back, _STOP))
    by = replace(agent, relation="obl:agent", left=(_BY, *agent.left))
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


def _predicate(
    event: Event, wording: Wording, relation: str, left: tuple[_Node, ...], right: tuple[_Node, ...]
) -> _Node:
    """The verb between its subject and what follows it, with auxiliaries and the adverb of its
    frequency.
    """
    passive = wording.form in PASSIVE
    lemma, past = VERBS[event.verb][event.verb in wording.synonyms]
    verb = _Node(past, lemma, "VERB", relation, right=right, role="predicate")
    adverb: tuple[_Node, ...] = ()
    if event.frequency:
        word = FREQUENCIES[event.frequency][event.frequency in wording.synonyms]
        adverb = (
            _Node(
                word,
                word,
                "PART" if word == "not" else "ADV",
                "advmod",
                negation=word in _NEGATIONS,
            ),
        )
        if word == "not" and not passive:
            return replace(verb, form=lemma, left=(*left, _DID, *adverb))
    return replace(verb, left=(*left, *((_WAS,) if passive else ()), *adverb))


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


def _adjunct(phrase: str, role: Role) -> _Node:
    """An adjunct from its words: the last is the head."""
    *before, head = phrase.split()
    if head in _ADVERBS:
        return _Node(head, head, "ADV", "advmod", role=role)
    left = tuple(
        _THE
        if w == "the"
        else _Node(w, w, *(("ADP", "case") if w in _PREPOSITIONS else ("ADJ", "amod")))
        for w in before
    )
    relation = "obl" if before and before[0] in _PREPOSITIONS else "obl:unmarked"
    return _Node(head, head, "PROPN" if head in _NAMES else "NOUN", relation, left=left, role=role)


def _read_off(root: _Node) -> tuple[str, tuple[Word, ...]]:
    """The text and the words of a tree, in order."""
    slots = list(_slots(root, -1, iter(range(1_000))))
    index = {own: i for i, (_, own, _) in enumerate(slots)} | {-1: -1}
    text, words = "", []
    for node, _, head in slots:
        form = node.form if text else node.form[0].upper() + node.form[1:]
        if text and node.upos != "PUNCT":
            text += " "
        start = len(text)
        text += form
        words.append(
            Word(
                form,
                node.lemma,
                start,
                len(text),
                node.upos,
                node.relation,
                index[head],
                node.negation,
                node.role,
            )
        )
    return text, tuple(words)


def _slots(node: _Node, head: int, numbers: Iterator[int]) -> Iterator[tuple[_Node, int, int]]:
    """Every node of a tree in the order of the sentence, with a number of its own and its
    head's.
    """
    own = next(numbers)
    for child in node.left:
        yield from _slots(child, own, numbers)
    yield node, own, head
    for child in node.right:
        yield from _slots(child, own, numbers)
