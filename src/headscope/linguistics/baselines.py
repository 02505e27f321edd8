"""What a head has to beat: the best fixed offset, a head drawn at random, and itself on shuffled
words.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int

from headscope.corpora.base import Link, Sentence
from headscope.examples import Word
from headscope.linguistics.dependencies import LONGEST_OFFSET, WordLinks


def halves(sentences: int, seed: int) -> Int[np.ndarray, "sentence"]:
    """0 or 1 for every sentence, drawn from the seed: heads are chosen on half 0 and scored on half
    1.
    """
    out: npt.NDArray[np.int64] = np.zeros(sentences, dtype=np.int64)
    out[np.random.default_rng(seed).permutation(sentences)[: sentences // 2]] = 1
    return out


def best_offsets(
    links: Sequence[WordLinks], chosen: Bool[np.ndarray, "sentence"], relations: int
) -> Int[np.ndarray, "relation"]:
    """For every relation the distance from dependent to head, from -10 to 10, that is most frequent
    in the chosen sentences, the shortest of equals; Clark et al. 2019, table 1. A relation that is
    not there gets 1.
    """
    counts = np.zeros((relations, 2 * LONGEST_OFFSET + 1), dtype=np.int64)
    for own, is_chosen in zip(links, chosen, strict=True):
        distance = own.head - own.dependent
        near = np.abs(distance) <= LONGEST_OFFSET
        if is_chosen:
            np.add.at(counts, (own.relation[near], distance[near] + LONGEST_OFFSET), 1)
    # A head is at no distance 0; the nearest first, and 1 before -1, so that the first of equals is
    # the shortest.
    order = np.array(
        sorted(
            (d for d in range(-LONGEST_OFFSET, LONGEST_OFFSET + 1) if d), key=lambda d: (abs(d), -d)
        )
    )
    found: npt.NDArray[np.int64] = order[counts[:, order + LONGEST_OFFSET].argmax(1)]
    return found


def shuffled(sentence: Sentence, seed: int) -> Sentence:
    """The same words in an order drawn from the seed, with the links that they had.

    Words are put together with a space where the sentence has any, else without. Words that share
    characters (of a multiword token) are written out one by one.
    """
    order = np.random.default_rng(seed).permutation(len(sentence.words)).tolist()
    place = {old: new for new, old in enumerate(order)}
    gap = " " if " " in sentence.text.strip() else ""
    words, text = [], ""
    for old in order:
        word = sentence.words[old]
        text += gap if text else ""
        governor = place[word.head] if word.head >= 0 else -1
        start, text = len(text), text + word.form
        words.append(
            Word(
                word.form,
                word.lemma,
                start,
                len(text),
                word.upos,
                word.relation,
                governor,
                word.negation,
                word.role,
            )
        )
    links = tuple(
        Link(
            one.relation,
            tuple(place[w] for w in one.source),
            tuple(place[w] for w in one.target),
            one.detail,
        )
        for one in sentence.links
    )
    return Sentence(sentence.name, text, tuple(words), links)


def random_head(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """What a head drawn at random gives: the mean over heads and directions, and the central 95% of
    them.

    values: anything, one a head; NaN is left out.
    """
    there = values[~np.isnan(values)]
    if not len(there):
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(there, [0.025, 0.975])
    return float(there.mean()), float(low), float(high)
