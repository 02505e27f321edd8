"""What a head has to beat: the best fixed offset, a head drawn at random, and itself on shuffled
words.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int

from headscope.corpora.base import Link, Sentence
from headscope.examples import Word
from headscope.linguistics.dependencies import LONGEST_OFFSET, WordLinks

CHOOSING, HELD_OUT = 0, 1
"""The halves of the sentences: heads are chosen on the first and scored on the second."""


def halves(sentences: int, seed: int) -> Int[np.ndarray, " sentence"]:
    """Which half each of so many sentences belongs to, drawn from the seed."""
    half: npt.NDArray[np.int64] = np.full(sentences, CHOOSING, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(sentences)
    half[order[: sentences // 2]] = HELD_OUT
    return half


def best_offsets(
    links: Sequence[WordLinks], chosen: Bool[np.ndarray, " sentence"], relations: int
) -> Int[np.ndarray, " relation"]:
    """The most frequent distance from dependent to governor of every relation (Clark et al. 2019,
    table 1).

    Args:
        links: The links of every sentence.
        chosen: Which sentences are counted.
        relations: Number of relations.

    Returns:
        A distance from -10 to 10, the shortest of equally frequent ones; 1 for a relation without
        links.
    """
    counts = np.zeros((relations, 2 * LONGEST_OFFSET + 1), dtype=np.int64)
    for sentence, is_chosen in zip(links, chosen, strict=True):
        if is_chosen:
            # Column LONGEST_OFFSET counts distance 0.
            distance = sentence.governor - sentence.dependent
            near = np.abs(distance) <= LONGEST_OFFSET
            np.add.at(counts, (sentence.relation[near], distance[near] + LONGEST_OFFSET), 1)
    # No governor is at distance 0. The nearest come first, and 1 before -1: argmax takes the first
    # of equals.
    offsets = [offset for offset in range(-LONGEST_OFFSET, LONGEST_OFFSET + 1) if offset]
    offsets.sort(key=lambda offset: (abs(offset), -offset))
    order = np.array(offsets)
    best: npt.NDArray[np.int64] = order[counts[:, order + LONGEST_OFFSET].argmax(1)]
    return best


def shuffled(sentence: Sentence, seed: int) -> Sentence:
    """The same words in an order drawn from the seed, with the links that they had.

    Words are put together with a space where the sentence has any, else without. Words that share
    characters (of a multiword token) are written out one by one.
    """
    order = np.random.default_rng(seed).permutation(len(sentence.words)).tolist()
    place = {old: new for new, old in enumerate(order)}
    gap = " " if " " in sentence.text.strip() else ""
    words: list[Word] = []
    text = ""
    # Words are written one after the other; links and governors follow them to their new places.
    for old in order:
        word = sentence.words[old]
        text += gap if text else ""
        start = len(text)
        text += word.form
        governor = place[word.head] if word.head >= 0 else -1
        words.append(replace(word, start=start, end=len(text), head=governor))
    links = tuple(_moved(link, place) for link in sentence.links)
    return Sentence(sentence.name, text, tuple(words), links)


def _moved(link: Link, place: dict[int, int]) -> Link:
    source = tuple(place[word] for word in link.source)
    target = tuple(place[word] for word in link.target)
    return replace(link, source=source, target=target)


def random_head(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """What a head drawn at random gives.

    Args:
        values: A value per head; NaN is left out.

    Returns:
        The mean, and the ends of the central 95% of the values.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(known.mean()), float(low), float(high)
