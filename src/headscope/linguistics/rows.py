"""The rows of the tables that `headscope relations` writes; a field is a column.

Layers and heads count from 1. `low` and `high` are the ends of a 95% interval with sentences as
clusters, `n` is the number of links. An interval or a p-value for which there are too few sentences
is None.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CorpusCount:
    """`corpus`: how much was read, left out and kept."""

    what: str
    value: int
    unit: str = "count"


@dataclass(frozen=True)
class RelationRow:
    """`relations`: a quantity of a head for a relation, in one direction where there are two.

    `p` is the p-value that an excess is not above 0, `p_corrected` the same after Holm's correction
    over the heads; other quantities are not tested.
    """

    relation: str
    direction: str
    layer: int
    head: int
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    sentences: int
    unit: str
    p: float | None
    p_corrected: float | None


@dataclass(frozen=True)
class OffsetRow:
    """`offsets`: which share of all words has a head's arg max so many words away."""

    layer: int
    head: int
    offset: int
    measure: str
    value: float
    n: int
    unit: str


@dataclass(frozen=True)
class ChosenHead:
    """The head and direction with the highest accuracy on the choosing half (`chosen_on`, of
    `chosen_n` links), scored on the held-out half (`value`).
    """

    relation: str
    set: str
    layer: int
    head: int
    direction: str
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    chosen_on: float
    chosen_n: int


@dataclass(frozen=True)
class HeadBesideBaselines(ChosenHead):
    """The same beside the best fixed offset, which the choosing half chose, the mean over all heads
    and directions (with the central 95% of them), and the same head on shuffled words.
    """

    offset: int
    offset_accuracy: float
    over_offset: float
    over_offset_low: float | None
    over_offset_high: float | None
    random_head: float
    random_low: float
    random_high: float
    shuffled: float | None
    shuffled_low: float | None
    shuffled_high: float | None
    shuffled_n: int


@dataclass(frozen=True)
class BestHead(HeadBesideBaselines):
    """`relations_best`: the best head of a relation, and what its hits are worth.

    `control` is its accuracy for other words at the same signed distance, `excess` what is left
    beyond it, None where no sentence has other words there; `p_corrected` is corrected over the
    relations (Holm). Over all words, its arg max lies at the distance `looks_at` the most often, in
    the share `looks_share` of cases. `published` is what Clark et al. 2019 report.
    """

    control: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    p: float | None
    looks_at: int
    looks_share: float
    published_relation: str | None
    published_head: str | None
    published_accuracy: float | None
    published_offset: float | None
    p_corrected: float | None
    verdict: str


@dataclass(frozen=True)
class ExplainedRow:
    """`explained`: how much of a relation's attention goes through diagonal heads (`value`).

    `distance` is the attention that all heads give other words at the same distance, as a share of
    what they give the linked words; `distance_of_diagonal` the same for diagonal heads.
    """

    relation: str
    direction: str
    diagonal_heads: int
    heads: int
    measure: str
    value: float
    distance: float
    distance_of_diagonal: float | None
    best_diagonal: float | None
    best_other: float | None
    n: int
    unit: str


@dataclass(frozen=True)
class SpanMeasure:
    """`heads`: what a head gives linked spans, as a measure of the head."""

    layer: int
    head: int
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    measure: str


@dataclass(frozen=True)
class RankedHead:
    """A head's score for a relation between spans; the largest has rank 1."""

    relation: str
    rank: int
    set: str
    layer: int
    head: int
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    percentile_99: float
    above: bool


@dataclass(frozen=True)
class SpanHead(RankedHead):
    """`span_heads`: the same beside the control, both spans moved elsewhere together.

    `p_corrected` is corrected over the heads (Holm).
    """

    control: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    excess_n: int
    p: float | None
    p_corrected: float | None


@dataclass(frozen=True)
class SpanExample:
    """`span_examples`: a sentence that a head scores high on, with its linked spans."""

    relation: str
    set: str
    layer: int
    head: int
    sentence: str
    text: str
    value: float
    source: str
    target: str
    detail: str
    unit: str
