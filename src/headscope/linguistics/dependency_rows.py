"""What the sums over a treebank say: the best head of every relation beside its baselines, where
heads look, and what goes through diagonal heads.

Sums here have a relation as group. Arrays of heads are [layer, head].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int

from headscope.axes import Head, all_heads
from headscope.linguistics.baselines import random_head
from headscope.linguistics.dependencies import DIRECTIONS, LONGEST_OFFSET, Sums, of_direction
from headscope.linguistics.estimates import WORDS, Array, Estimates, corrected, estimates_of
from headscope.linguistics.rows import (
    BestHead,
    ChosenHead,
    ExplainedRow,
    HeadBesideBaselines,
    OffsetRow,
)
from headscope.names import CARRIES, CLASSES, DIAGONAL, SIGNIFICANT, VERTICAL_DIAGONAL
from headscope.reference import reference
from headscope.stats.means import FEWEST as FEWEST_SENTENCES
from headscope.stats.means import known

FEWEST = 20
"""Links that a relation must have in each half to be given a best head."""
NOT_TESTED = f"not tested: fewer than {FEWEST_SENTENCES} sentences"
PUBLISHED = {
    "det": ("det", "det"),
    "obj": ("dobj", "dobj"),
    "case": ("pobj", "pobj, the other way round"),
    "nsubj": ("nsubj", "nsubj"),
    "amod": ("amod", "amod"),
    "aux": ("aux", "aux"),
    "nmod:poss": ("poss", "poss"),
    "compound:prt": ("prt", "prt"),
}
"""Relations of UD: the Penn Treebank's in Clark et al. 2019, and what the column says. In UD a
preposition depends on its noun.
"""
CORE = ("nsubj", "csubj", "obj", "iobj")
"""Relations of a verb's arguments, whatever their subtype."""


@dataclass(frozen=True)
class TreebankSums:
    """What the best heads are found from.

    Attributes:
        choosing: Sums over the half that chooses.
        held_out: Sums over the half that scores.
        shuffled: Sums over sentences whose words were shuffled, of both halves.
        best_offset: The best fixed offset of every relation on the choosing half.
        looks: How many words have a head's arg max at each offset, [layer, head, offset].
    """

    choosing: Sums
    held_out: Sums
    shuffled: Sums
    best_offset: Int[np.ndarray, " relation"]
    looks: npt.NDArray[np.float64]


_Estimated = Mapping[tuple[str, str], Estimates]
"""Estimates on the held-out half by direction and quantity."""
_Place = tuple[int, int, int]
"""Indices of a relation, a layer and a head."""


def best_heads(sums: TreebankSums, relations: Sequence[str]) -> list[BestHead]:
    """The best head of every relation that has enough links: chosen on one half of the sentences,
    scored on the other.
    """
    held_out = {
        (direction, quantity): estimates
        for direction in DIRECTIONS
        for quantity, estimates in estimates_of(of_direction(sums.held_out, direction)).items()
    }
    scored: dict[_Place, HeadBesideBaselines] = {}
    for number, relation in enumerate(relations):
        direction, place = _choice(sums, number)
        chosen = _chosen_head(relation, direction, place, sums, held_out)
        if min(chosen.n, chosen.chosen_n) >= FEWEST:
            scored[place] = _beside_baselines(chosen, place, sums, held_out)
    if not scored:
        return []
    # One test a relation: that its head hits no more often than at the same distance elsewhere.
    p = [held_out[row.direction, "accuracy_excess"].p[place] for place, row in scored.items()]
    return [
        _best_head(row, place, held_out, sums.looks, known(p_corrected))
        for (place, row), p_corrected in zip(scored.items(), corrected(np.array(p)), strict=True)
    ]


def _choice(sums: TreebankSums, number: int) -> tuple[str, _Place]:
    """The direction and the head with the highest accuracy on the choosing half."""
    of_directions = [sums.choosing[direction, "accuracy"].mean[number] for direction in DIRECTIONS]
    accuracy = np.stack(of_directions)  # [direction, layer, head]
    direction, layer, head = np.unravel_index(accuracy.argmax(), accuracy.shape)
    return DIRECTIONS[direction], (number, int(layer), int(head))


def _chosen_head(
    relation: str, direction: str, place: _Place, sums: TreebankSums, held_out: _Estimated
) -> ChosenHead:
    number, layer, head = place
    name = Head.at(layer, head)
    choosing = sums.choosing[direction, "accuracy"]
    accuracy = held_out[direction, "accuracy"]
    return ChosenHead(
        relation=relation,
        set=str(name),
        layer=name.layer,
        head=name.head,
        direction=direction,
        measure="accuracy",
        value=accuracy.mean[place],
        low=known(accuracy.low[place]),
        high=known(accuracy.high[place]),
        n=int(accuracy.n[number]),
        unit=WORDS,
        chosen_on=choosing.mean[place],
        chosen_n=int(choosing.n[number]),
    )


def _beside_baselines(
    chosen: ChosenHead, place: _Place, sums: TreebankSums, held_out: _Estimated
) -> HeadBesideBaselines:
    number, _, _ = place
    over = held_out[chosen.direction, "accuracy_over_offset"]
    # A head drawn at random is drawn with a direction.
    of_all = [held_out[direction, "accuracy"].mean[number] for direction in DIRECTIONS]
    drawn, drawn_low, drawn_high = random_head(np.stack(of_all).ravel())
    shuffled = Estimates.of("accuracy", sums.shuffled[chosen.direction, "accuracy"])
    return HeadBesideBaselines(
        **vars(chosen),
        offset=int(sums.best_offset[number]),
        offset_accuracy=chosen.value - over.mean[place],
        over_offset=over.mean[place],
        over_offset_low=known(over.low[place]),
        over_offset_high=known(over.high[place]),
        random_head=drawn,
        random_low=drawn_low,
        random_high=drawn_high,
        shuffled=known(shuffled.mean[place]),
        shuffled_low=known(shuffled.low[place]),
        shuffled_high=known(shuffled.high[place]),
        shuffled_n=int(shuffled.n[number]),
    )


def _best_head(
    scored: HeadBesideBaselines,
    place: _Place,
    held_out: _Estimated,
    looks: Array,
    p_corrected: float | None,
) -> BestHead:
    excess = held_out[scored.direction, "accuracy_excess"]
    mean = known(excess.mean[place])
    counts = looks[place[1:]]  # [offset]
    looks_at = int(counts.argmax()) - LONGEST_OFFSET
    looks_share = counts.max() / max(counts.sum(), 1)
    theirs, shown = PUBLISHED.get(scored.relation, ("", None))
    published: Mapping[str, Any] = reference("relations").get(theirs, {})
    return BestHead(
        **vars(scored),
        control=known(held_out[scored.direction, "accuracy_control"].mean[place]),
        excess=mean,
        excess_low=known(excess.low[place]),
        excess_high=known(excess.high[place]),
        p=known(excess.p[place]),
        looks_at=looks_at,
        looks_share=looks_share,
        published_relation=shown,
        published_head=published.get("head"),
        published_accuracy=published.get("accuracy"),
        published_offset=published.get("offset"),
        p_corrected=p_corrected,
        verdict=verdict(p_corrected, mean, scored.over_offset_low, looks_at, looks_share),
    )


def verdict(
    p_corrected: float | None,
    excess: float | None,
    over_offset_low: float | None,
    looks_at: int,
    looks_share: float,
) -> str:
    """Whether the best head of a relation carries it, or only looks so many words away.

    Args:
        p_corrected: The corrected p-value of the excess; None where it was not tested.
        excess: Accuracy beyond that for other words at the same distance; None if there are none.
        over_offset_low: Lower end of the interval of the accuracy beyond the best fixed offset.
        looks_at: The distance at which the head's arg max lies the most often.
        looks_share: How often it lies there, over all words.

    >>> verdict(0.2, 0.1, 0.1, looks_at=-1, looks_share=0.8)
    'only looks 1 word left'
    """
    if excess is None:
        return "not tested: no other words at the same distance"
    if p_corrected is None:
        return NOT_TESTED
    is_beyond_distance = p_corrected < SIGNIFICANT and excess > 0
    if is_beyond_distance and (over_offset_low or 0) > 0:
        return CARRIES
    if is_beyond_distance:
        return "beyond distance, but no better than the best offset"
    if looks_share > 0.5:
        words = "1 word" if abs(looks_at) == 1 else f"{abs(looks_at)} words"
        return f"only looks {words} {'left' if looks_at < 0 else 'right'}"
    return "no more than distance explains"


def offset_rows(looks: Array) -> list[OffsetRow]:
    """How often a head's arg max over words lies at each offset: a row per head and offset that
    occurs.

    Args:
        looks: How many words have it there, [layer, head, offset].
    """
    rows = []
    for head in all_heads(*looks.shape[:2]):
        counts = looks[head.index]
        for place in np.flatnonzero(counts):
            row = OffsetRow(
                layer=head.layer,
                head=head.head,
                offset=int(place) - LONGEST_OFFSET,
                measure="looks_at",
                value=counts[place] / counts.sum(),
                n=int(counts.sum()),
                unit=WORDS,
            )
            rows.append(row)
    return rows


def diagonal_heads(
    classes: Int[np.ndarray, "example layer head"],
) -> Bool[np.ndarray, "layer head"]:
    """Which heads have diagonal maps: more than half of their maps that have a class.

    Args:
        classes: Indices in `names.CLASSES`; -1 for a map without a class. Diagonal maps are those
            of the classes diagonal, and vertical and diagonal.
    """
    numbers = (CLASSES.index(DIAGONAL), CLASSES.index(VERTICAL_DIAGONAL))
    diagonal = np.isin(classes, numbers).sum(0)
    return np.asarray(2 * diagonal > (classes >= 0).sum(0))


def explained(
    sums: Sums, relations: Sequence[str], is_diagonal: Bool[np.ndarray, "layer head"]
) -> list[ExplainedRow]:
    """How much of the attention between verbs and their arguments goes through diagonal heads: a
    row per relation and direction.

    Args:
        sums: Sums over all sentences.
        relations: The names of all relations.
        is_diagonal: Which heads are diagonal.
    """
    rows = []
    for number, relation in enumerate(relations):
        for direction in DIRECTIONS:
            has_control = sums[direction, "attention_matched"].n[number] > 0
            if relation.split(":")[0] in CORE and has_control:
                rows.append(_explained_row(sums, number, relation, direction, is_diagonal))
    return rows


def _explained_row(
    sums: Sums,
    number: int,
    relation: str,
    direction: str,
    is_diagonal: Bool[np.ndarray, "layer head"],
) -> ExplainedRow:
    attention = sums[direction, "attention"].mean[number]
    matched = sums[direction, "attention_matched"].mean[number]
    control = sums[direction, "attention_control"].mean[number]
    accuracy = sums[direction, "accuracy"].mean[number]
    total = attention.sum()
    diagonal, others = accuracy[is_diagonal], accuracy[~is_diagonal]
    # Sums over heads: what other words get at the same distance, as a share of the linked ones'.
    through_distance = control[is_diagonal].sum() / max(matched[is_diagonal].sum(), 1e-12)
    return ExplainedRow(
        relation=relation,
        direction=direction,
        diagonal_heads=int(is_diagonal.sum()),
        heads=is_diagonal.size,
        measure="through_diagonal",
        value=float(attention[is_diagonal].sum() / total) if total else float("nan"),
        distance=float(control.sum() / max(matched.sum(), 1e-12)),
        distance_of_diagonal=float(through_distance) if len(diagonal) else None,
        best_diagonal=float(diagonal.max()) if len(diagonal) else None,
        best_other=float(others.max()) if len(others) else None,
        n=int(sums[direction, "attention"].n[number]),
        unit="share of attention",
    )
