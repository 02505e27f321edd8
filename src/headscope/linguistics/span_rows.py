"""What the sums over linked spans say: the heads by their score, and sentences that show it."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from headscope.axes import Head, all_heads
from headscope.corpora.base import Link, Sentence
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.estimates import MASS, Estimates
from headscope.linguistics.linked import LinkedCorpus
from headscope.linguistics.rows import RankedHead, RelationRow, SpanExample, SpanHead, SpanMeasure
from headscope.stats.means import known

_SUFFIXES = {"score": "", "attention_control": "_control", "attention_excess": "_excess"}
_SHOWN_HEADS, _SHOWN_SENTENCES = 3, 5


def span_measures(rows: Sequence[RelationRow]) -> list[SpanMeasure]:
    """Score, control and excess as measures of heads, named by the relation."""
    return [
        SpanMeasure(
            layer=row.layer,
            head=row.head,
            value=row.value,
            low=row.low,
            high=row.high,
            n=row.n,
            unit=row.unit,
            measure=row.relation + _SUFFIXES[row.measure],
        )
        for row in rows
        if row.measure in _SUFFIXES
    ]


def span_heads(sums: Mapping[str, Clustered], relations: Sequence[str]) -> list[SpanHead]:
    """The heads of every relation, the largest score first, with the 99th percentile of all heads'
    scores (paper, figure 3) and what is left beyond the control.

    Args:
        sums: Sums by quantity, in which a group is a relation.
        relations: The names of the relations.
    """
    score = Estimates.of("score", sums["score"])
    control = sums["attention_control"].mean
    excess = Estimates.of("attention_excess", sums["attention_excess"])
    rows = []
    for number, relation in enumerate(relations):
        p_corrected = excess.p_corrected(number)
        for ranked in _ranked(score, number, relation):
            index = Head(ranked.layer, ranked.head).index
            place = (number, *index)
            row = SpanHead(
                **vars(ranked),
                control=known(control[place]),
                excess=known(excess.mean[place]),
                excess_low=known(excess.low[place]),
                excess_high=known(excess.high[place]),
                excess_n=int(excess.n[number]),
                p=known(excess.p[place]),
                p_corrected=known(p_corrected[index]),
            )
            rows.append(row)
    return rows


def _ranked(score: Estimates, number: int, relation: str) -> list[RankedHead]:
    values = score.mean[number]  # [layer, head]
    percentile = float(np.quantile(values, 0.99))
    # Equal scores stay in the order of layers and heads.
    heads = sorted(all_heads(*values.shape), key=lambda head: -values[head.index])
    return [
        RankedHead(
            relation=relation,
            rank=rank,
            set=str(head),
            layer=head.layer,
            head=head.head,
            measure="score",
            value=values[head.index],
            low=known(score.low[number][head.index]),
            high=known(score.high[number][head.index]),
            n=int(score.n[number]),
            unit=MASS,
            percentile_99=percentile,
            above=bool(values[head.index] > percentile),
        )
        for rank, head in enumerate(heads, 1)
    ]


def span_examples(
    heads: Sequence[SpanHead],
    scores: Float[np.ndarray, "sentence relation layer head"],
    linked: LinkedCorpus,
) -> list[SpanExample]:
    """For the heads of the first three ranks, the five sentences with the highest scores."""
    number = {name: i for i, name in enumerate(linked.relations)}
    rows = []
    for head in heads:
        if head.rank > _SHOWN_HEADS:
            continue
        of_head = scores[:, number[head.relation], head.layer - 1, head.head - 1]
        for i in _highest(of_head):
            links = [link for link in linked.links[i] if link.relation == head.relation]
            rows.append(_example(head, linked.sentences[i], links, float(of_head[i])))
    return rows


def _highest(scores: npt.NDArray[np.float32]) -> list[int]:
    """The sentences with the highest scores, after those without a score; scores are [sentence]."""
    order = np.argsort(np.where(np.isnan(scores), -1.0, -scores), kind="stable")
    highest: list[int] = order[:_SHOWN_SENTENCES].tolist()
    return highest


def _example(
    head: SpanHead, sentence: Sentence, links: Sequence[Link], score: float
) -> SpanExample:
    sources = [_text_of(sentence, link.source) for link in links]
    targets = [_text_of(sentence, link.target) for link in links]
    return SpanExample(
        relation=head.relation,
        set=head.set,
        layer=head.layer,
        head=head.head,
        sentence=sentence.name,
        text=sentence.text,
        value=score,
        source="; ".join(sources),
        target="; ".join(dict.fromkeys(targets)),
        detail="; ".join(link.detail for link in links if link.detail),
        unit=MASS,
    )


def _text_of(sentence: Sentence, words: Sequence[int]) -> str:
    first, last = sentence.words[words[0]], sentence.words[words[-1]]
    return sentence.text[first.start : last.end]
