"""The embedded task: its splits, its gold tags, and that counts of words do not solve it."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.tasks.base import TASKS
from headscope.tasks.builtin import DIFFERENT, MOST, SAME, Pair, SplitName, generate, pairs
from headscope.tasks.grammar import (
    CIRCLE,
    FREQUENCIES,
    PEOPLE,
    VERBS,
    Event,
    Wording,
    orders,
    realise,
)

FIRST_OF_SEED_0 = [
    (
        "The doctor was assaulted by the soldier in the kitchen.",
        "In the kitchen, the soldier assaulted the writer.",
        0,
    ),
    (
        "The doctor was assaulted by the soldier in the kitchen.",
        "In the kitchen, the soldier assaulted the physician.",
        1,
    ),
]

Reading = tuple[str, str, str, str, frozenset[str]]


@cache
def take(n: int, seed: int = 0, split: SplitName = "train") -> list[Pair]:
    return list(islice(pairs(seed, split), n))


# ---------------------------------------------------------------- the splits


def test_the_same_seed_gives_the_same_rows_and_a_smaller_size_is_the_beginning_of_a_larger_one() -> (
    None
):
    train, validation = generate(7, 31, 17)
    again, other = generate(7, 50, 17)
    assert train.second is not None
    assert again.second is not None
    assert (train.first, train.second, train.words) == (
        again.first[:31],
        again.second[:31],
        (again.words or ())[:31],
    )
    assert train.labels.tolist() == again.labels[:31].tolist()
    assert (validation.first, validation.second) == (other.first, other.second)
    assert generate(8, 31, 17)[0].first != train.first


def test_the_rows_of_seed_0_are_these_on_every_machine() -> None:
    assert [(pair.first, pair.second, pair.label) for pair in take(2)] == FIRST_OF_SEED_0


@pytest.mark.parametrize(("train", "validation"), [(1, 1), (2, 3), (101, 7)])
def test_sizes_are_as_asked_and_labels_balanced(train: int, validation: int) -> None:
    for split, size in zip(generate(0, train, validation), (train, validation), strict=True):
        assert split.second is not None
        assert split.words is not None
        assert len(split) == len(split.second) == len(split.labels) == len(split.words) == size
        assert split.labels.dtype == np.int64
        assert abs(2 * int(split.labels.sum()) - size) <= 1


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-3, 5), (MOST + 1, 1)])
def test_a_size_that_cannot_be_met_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(HeadscopeError, match=r"at least 1 and at most 1,000,000"):
        generate(0, *sizes)


def test_no_sentence_is_in_both_splits_whatever_the_seed_and_no_pair_comes_twice() -> None:
    train = [*take(3_000), *take(500, seed=1)]
    validation = [*take(1_000, split="validation"), *take(500, seed=1, split="validation")]
    assert not {t for p in train for t in (p.first, p.second)} & {
        t for p in validation for t in (p.first, p.second)
    }
    assert len({(p.first, p.second) for p in train[:3_000]}) == 3_000


def test_importing_the_module_registers_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscope.registry.load_plugins", lambda: None)
    task = TASKS.get("builtin")
    assert (task.columns, task.labels, task.metrics) == (
        ("sentence1", "sentence2"),
        ("different", "same"),
        ("accuracy", "f1"),
    )
    assert task.generate is generate


# ---------------------------------------------------------------- the sentences

THANKED = Event("thank", "nurse", "pilot")


def tagged(words: tuple[Word, ...]) -> str:
    """form/lemma/upos/relation/head, then role and negation where there is one."""
    return " ".join(
        f"{w.form}/{w.lemma}/{w.upos}/{w.relation}/{w.head}"
        + (f"/{w.role}" if w.role else "")
        + ("/NEG" if w.negation else "")
        for w in words
    )


@pytest.mark.parametrize(
    ("event", "wording", "text", "tags"),
    [
        (
            THANKED,
            Wording(),
            "The nurse thanked the pilot.",
            "The/the/DET/det/1 nurse/nurse/NOUN/nsubj/2/agent thanked/thank/VERB/root/-1/predicate the/the/DET/det/4 "
            "pilot/pilot/NOUN/obj/2/patient ././PUNCT/punct/2",
        ),
        (
            Event("thank", "nurse", "pilot", time="on Monday", place="outside"),
            Wording("passive", ("time", "clause", "place"), synonyms=frozenset({"pilot"})),
            "On Monday, the aviator was thanked by the nurse outside.",
            "On/on/ADP/case/1 Monday/Monday/PROPN/obl/6/time ,/,/PUNCT/punct/6 the/the/DET/det/4 "
            "aviator/aviator/NOUN/nsubj:pass/6/patient was/be/AUX/aux:pass/6 thanked/thank/VERB/root/-1/predicate "
            "by/by/ADP/case/9 the/the/DET/det/9 nurse/nurse/NOUN/obl:agent/6/agent outside/outside/ADV/advmod/6/place "
            "././PUNCT/punct/6",
        ),
        (
            Event("greet", "nurse", "pilot", time="last week", frequency="never"),
            Wording("agent cleft", ("clause", "time"), frozenset({"never", "greet"})),
            "It was the nurse who did not welcome the pilot last week.",
            "It/it/PRON/expl/3 was/be/AUX/cop/3 the/the/DET/det/3 nurse/nurse/NOUN/root/-1/agent who/who/PRON/nsubj/7 "
            "did/do/AUX/aux/7 not/not/PART/advmod/7/NEG welcome/welcome/VERB/advcl:relcl/3/predicate the/the/DET/det/9 "
            "pilot/pilot/NOUN/obj/7/patient last/last/ADJ/amod/11 week/week/NOUN/obl:unmarked/7/time ././PUNCT/punct/3",
        ),
        (
            Event("thank", "nurse", "pilot", place="in the park", frequency="never"),
            Wording("patient cleft", ("clause", "place")),
            "It was the pilot that the nurse never thanked in the park.",
            "It/it/PRON/expl/3 was/be/AUX/cop/3 the/the/DET/det/3 pilot/pilot/NOUN/root/-1/patient "
            "that/that/PRON/obj/8 the/the/DET/det/6 nurse/nurse/NOUN/nsubj/8/agent never/never/ADV/advmod/8/NEG "
            "thanked/thank/VERB/advcl:relcl/3/predicate in/in/ADP/case/11 the/the/DET/det/11 "
            "park/park/NOUN/obl/8/place ././PUNCT/punct/3",
        ),
        (
            Event("thank", "nurse", "pilot", frequency="often"),
            Wording("passive cleft", synonyms=frozenset({"often"})),
            "It was the pilot who was frequently thanked by the nurse.",
            "It/it/PRON/expl/3 was/be/AUX/cop/3 the/the/DET/det/3 pilot/pilot/NOUN/root/-1/patient "
            "who/who/PRON/nsubj:pass/7 was/be/AUX/aux:pass/7 frequently/frequently/ADV/advmod/7 "
            "thanked/thank/VERB/advcl:relcl/3/predicate by/by/ADP/case/10 the/the/DET/det/10 "
            "nurse/nurse/NOUN/obl:agent/7/agent ././PUNCT/punct/3",
        ),
    ],
)
def test_each_form_by_hand(event: Event, wording: Wording, text: str, tags: str) -> None:
    made, words = realise(event, wording)
    assert made == text
    assert tagged(words) == tags


def test_the_orders_of_adjuncts() -> None:
    event = Event("thank", "nurse", "pilot", place="in the park", time="yesterday")
    assert [realise(event, Wording(order=order))[0] for order in orders(event, "active")] == [
        "The nurse thanked the pilot in the park yesterday.",
        "The nurse thanked the pilot yesterday in the park.",
        "Yesterday, the nurse thanked the pilot in the park.",
        "In the park, the nurse thanked the pilot yesterday.",
    ]
    assert len(orders(event, "passive cleft")) == 2


def test_a_word_stands_for_one_concept_only() -> None:
    lemmas = [w for words in PEOPLE.values() for w in words] + [
        v for verbs in VERBS.values() for v, _ in verbs
    ]
    lemmas += [w for words in FREQUENCIES.values() for w in words]
    assert max(Counter(lemmas).values()) == 1
    assert sum(len(words) > 1 for words in PEOPLE.values()) == 12
    assert len(PEOPLE) == len(CIRCLE) == 28


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["train", "validation"]))
def test_every_word_is_tagged_lawfully(seed: int, split: SplitName) -> None:
    for pair in take(10, seed, split):
        assert pair.alternations
        assert pair.first != pair.second
        for text, words in zip((pair.first, pair.second), pair.words, strict=True):
            assert [text[w.start : w.end] for w in words] == [w.form for w in words]
            assert "".join(w.form for w in words) == text.replace(" ", "")
            assert [i for i, w in enumerate(words) if w.head == -1] == [
                i for i, w in enumerate(words) if w.relation == "root"
            ]
            assert sum(w.head == -1 for w in words) == 1
            assert all(-1 <= w.head < len(words) and w.head != i for i, w in enumerate(words))
            for i in range(len(words)):
                path = {i}
                while words[i].head != -1:
                    i = words[i].head
                    assert i not in path, "a circle of heads"
                    path.add(i)
            assert [w.negation for w in words] == [w.lemma in ("not", "never") for w in words]
            roles = Counter(w.role for w in words if w.role)
            assert (roles["predicate"], roles["agent"], roles["patient"]) == (1, 1, 1)
            assert set(roles.values()) == {1}
            assert all(w.upos and w.lemma and w.relation for w in words)
            assert 5 <= sum(w.upos != "PUNCT" for w in words) <= 14
            assert re.fullmatch(r"[A-Z][A-Za-z ,]+\.", text)


# ---------------------------------------------------------------- the labels


def read(words: tuple[Word, ...]) -> Reading:
    """The event of a sentence, from its dependency relations alone: no role tag and no label is looked at."""
    concept = {w: key for key, group in PEOPLE.items() for w in group}
    concept |= {w: key for key, verbs in VERBS.items() for w, _ in verbs}
    verb = next(i for i, w in enumerate(words) if w.upos == "VERB")
    found = {}
    for w in words:
        if w.head == verb:
            named = words[words[verb].head] if w.upos == "PRON" else w
            found[w.relation] = concept.get(named.lemma, "")
    polarity = "never" if any(w.lemma in ("never", "not") for w in words) else ""
    polarity = "often" if any(w.lemma in ("often", "frequently") for w in words) else polarity
    adjuncts = frozenset(
        w.lemma for w in words if w.head == verb and w.relation in ("obl", "obl:unmarked", "advmod")
    )
    agent = found.get("obl:agent") or found["nsubj"]
    patient = found.get("nsubj:pass") or found["obj"]
    return (
        concept[words[verb].lemma],
        agent,
        patient,
        polarity,
        adjuncts - {"never", "not", "often", "frequently"},
    )


def test_the_label_says_whether_the_two_sentences_read_the_same() -> None:
    for pair in [*take(2_000), *take(500, 5, "validation")]:
        one, two = map(read, pair.words)
        assert (one == two) == (pair.label == SAME), pair
        for reading, words in zip((one, two), pair.words, strict=True):
            by_role = {w.role: w.lemma for w in words}
            assert by_role["agent"] in PEOPLE[reading[1]]
            assert by_role["patient"] in PEOPLE[reading[2]]
        if pair.label == DIFFERENT:
            swapped = (one[0], one[2], one[1], *one[3:]) == two
            differ = {i for i in range(5) if one[i] != two[i]}
            assert {"roles": swapped, "object": differ == {2}, "negation": differ == {3}}[
                pair.contrast
            ]


def test_every_kind_occurs() -> None:
    rows = take(3_000)
    kinds = Counter(pair.kind for pair in rows)
    for kind in (
        "roles",
        "object",
        "negation",
        "passive",
        "cleft",
        "synonym",
        "order",
        "passive+cleft+synonym+order",
    ):
        assert kinds[kind] >= 5, kinds
    for label in (DIFFERENT, SAME):
        assert Counter(p.alternations for p in rows if p.label == label) == Counter(
            p.alternations for p in rows if p.label != label
        )


def test_twins_share_the_first_sentence_and_swapped_roles_all_words() -> None:
    rows = take(2_000)
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert {one.label, two.label} == {DIFFERENT, SAME}
        assert (one.first, one.contrast, one.alternations) == (
            two.first,
            two.contrast,
            two.alternations,
        )
        if one.contrast == "roles":
            assert bag(one.second) == bag(two.second)
    assert [f.name for f in fields(Pair)] == [
        "first",
        "second",
        "label",
        "contrast",
        "alternations",
        "words",
    ]


# ---------------------------------------------------------------- what counts of words can do


def bag(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+|[.,]", text.lower()))


def features(rows: list[Pair], vocabulary: dict[str, int]) -> npt.NDArray[np.float64]:
    """Counts of each word in the first and in the second text, their difference and product; sums of all four."""
    counts = np.zeros((2, len(rows), len(vocabulary)))
    for i, pair in enumerate(rows):
        for place, text in enumerate((pair.first, pair.second)):
            for word, n in bag(text).items():
                if word in vocabulary:
                    counts[place, i, vocabulary[word]] = n
    one, two = counts
    parts = [one, two, np.abs(one - two), one * two, np.minimum(one, two)]
    sums = [part.sum(axis=1, keepdims=True) for part in parts]
    overlap = sums[4] / (sums[0] + sums[1])
    return np.hstack([*parts[:4], *sums, overlap])


def baseline(train: list[Pair], validation: list[Pair]) -> float:
    """Accuracy of logistic regression on the bags of words of the pairs."""
    words = sorted(
        {word for pair in train for text in (pair.first, pair.second) for word in bag(text)}
    )
    vocabulary = {word: i for i, word in enumerate(words)}
    model = LogisticRegression(solver="liblinear").fit(
        features(train, vocabulary), [p.label for p in train]
    )
    return float(model.score(features(validation, vocabulary), [p.label for p in validation]))


def leaky(rows: list[Pair]) -> list[Pair]:
    """What a careless grammar makes: a negation that the negative pairs have on one side, and the positive nowhere."""
    return [
        p
        for p in rows
        if sum(w.negation for words in p.words for w in words) == (p.label == DIFFERENT)
    ]


@pytest.mark.parametrize(("variant", "low", "high"), [(list, 0.4, 0.6), (leaky, 0.95, 1.01)])
def test_counts_of_words_do_not_tell_the_label_unless_the_data_leak(
    variant: Callable[[list[Pair]], list[Pair]], low: float, high: float
) -> None:
    accuracy = baseline(variant(take(3_000)), variant(take(1_000, split="validation")))
    print(f"bag of words, {variant.__name__}: accuracy {accuracy:.3f}")  # noqa: T201
    assert low <= accuracy < high
