"""Spans and heads: the attention from one span of words to another, as from a frame element to its
predicate.

A head's score is the paper's (section 4.2): the mean over sentences of the largest attention
between a token of a span and a token of the other. The paper's notebook pairs the two lists of
tokens one by one and drops the rest of the longer (`faithful`). The control moves both spans by the
same number of words to every other place of the sentence where they fit: same sizes, same distance,
same maximum, no relation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.corpora.base import Link
from headscope.linguistics.clustered import Clustered, add_layer
from headscope.model.passes import Batch, LayerMaps

QUANTITIES = ("score", "attention", "attention_matched", "attention_control", "attention_excess")
"""`score` is the paper's; `attention` is the mean over a sentence's links of a link's largest
attention.
"""
Tokens = Sequence[Sequence[int]]
Pair = tuple[int, int]


def link_pairs(tokens: Tokens, link: Link, *, shift: int = 0, faithful: bool = False) -> list[Pair]:
    """The pairs of tokens (row, column) of a link, its words moved by `shift`; [] where a word has
    no token or the words are not there.
    """
    source, target = ([w + shift for w in words] for words in (link.source, link.target))
    if not all(0 <= w < len(tokens) and tokens[w] for w in (*source, *target)):
        return []
    rows, columns = ([t for w in words for t in tokens[w]] for words in (source, target))
    return (
        list(zip(rows, columns, strict=False))
        if faithful
        else [(q, k) for q in rows for k in columns]
    )


def shifts(tokens: Tokens, link: Link, links: Sequence[Link]) -> list[int]:
    """By how many words a link can be moved so that its spans stay within the sentence and no pair
    of its words is one of the sentence's links.
    """
    related = {(a, b) for one in links for a in one.source for b in one.target}
    words = (*link.source, *link.target)
    return [
        by
        for by in range(-min(words), len(tokens) - max(words))
        if by
        and all(tokens[w + by] for w in words)
        and not any((a + by, b + by) in related for a in link.source for b in link.target)
    ]


@dataclass(frozen=True)
class _Pairs:
    """Pairs of tokens of a batch, in sets: a link's, or those of a link moved elsewhere.

    `part` says which set a pair is in; `link` which link a set is of, `moved` whether it was moved.
    A link belongs to a sentence and relation, numbered `owner`; `row` and `relation` say which
    sentence and relation that is.
    """

    example: Int[Tensor, "pair"]
    query: Int[Tensor, "pair"]
    key: Int[Tensor, "pair"]
    part: Int[Tensor, "pair"]
    link: Int[Tensor, "part"]
    moved: Int[Tensor, "part"]
    owner: Int[Tensor, "link"]
    row: Int[Tensor, "owner"]
    relation: Int[Tensor, "owner"]


class Spans:
    """Sums of all quantities while a pass runs: `sums[quantity]` is `Clustered` with a group a
    relation, in which a sentence is one case. `scores` [sentence, relation, layer, head] keeps the
    paper's score of each, NaN for none.
    """

    def __init__(
        self,
        words: Sequence[Tokens],
        links: Sequence[Sequence[Link]],
        relations: Sequence[str],
        layers: int,
        heads: int,
        *,
        faithful: bool = False,
    ) -> None:
        """words: the tokens of every word of every sentence; links: those of every sentence whose
        words have tokens.
        """
        self._words, self._links, self._relations, self._faithful = (
            words,
            links,
            list(relations),
            faithful,
        )
        self.sums = {q: Clustered.zero(len(relations), layers, heads) for q in QUANTITIES}
        self.scores: npt.NDArray[np.float32] = np.full(
            (len(words), len(relations), layers, heads), np.nan, np.float32
        )

    def prepare(self, batch: Batch) -> _Pairs:
        """The pairs of tokens of the batch."""
        pairs: list[tuple[int, int, int, int]] = []
        parts: list[Pair] = []
        owners: list[int] = []
        named: dict[Pair, int] = {}
        for at, i in enumerate(batch.examples.tolist()):
            tokens, links = self._words[i], self._links[i]
            for link in links:
                owner = named.setdefault((i, self._relations.index(link.relation)), len(named))
                for by in (0, *shifts(tokens, link, links)):
                    own = link_pairs(tokens, link, shift=by, faithful=self._faithful)
                    pairs += [(at, q, k, len(parts)) for q, k in own]
                    parts.append((len(owners), int(by != 0)))
                owners.append(owner)
        columns = [
            column
            for rows, width in ((pairs, 4), (parts, 2), (owners, 1), (list(named), 2))
            for column in torch.tensor(rows, dtype=torch.long, device=batch.real.device)
            .reshape(-1, width)
            .unbind(1)
        ]
        return _Pairs(*columns)

    def see(self, maps: LayerMaps, prepared: _Pairs) -> None:
        """Add one layer of one batch."""
        p = prepared
        if not len(p.owner):
            return
        largest = _largest(maps.maps[p.example, :, p.query, p.key], p.part, len(p.link))
        moved = p.moved.bool()
        own = largest[
            ~moved
        ]  # A link's own set comes first, so these are in the order of the links.
        count = torch.bincount(p.link[moved], minlength=len(p.owner))
        control = (
            own.new_zeros(own.shape).index_add_(0, p.link[moved], largest[moved]) / count[:, None]
        )
        score = _largest(own, p.owner, len(p.row))
        self.scores[p.row.cpu().numpy(), p.relation.cpu().numpy(), maps.layer] = score.cpu().numpy()
        named = {
            "score": score,
            "attention": _mean(own, p.owner, len(p.row)),
            "attention_matched": _mean(
                own.masked_fill(torch.isnan(control), torch.nan), p.owner, len(p.row)
            ),
            "attention_control": _mean(control, p.owner, len(p.row)),
            "attention_excess": _mean(own - control, p.owner, len(p.row)),
        }
        case = torch.arange(len(p.row), device=p.row.device)
        for quantity, values in named.items():
            add_layer(self.sums[quantity], maps.layer, values, case, p.relation)

    def arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """What a file keeps of the sums."""
        out: dict[str, npt.NDArray[np.float64]] = {}
        for quantity, sums in self.sums.items():
            out |= sums.arrays(quantity)
        return out


def _largest(
    values: Float[Tensor, "item head"], group: Int[Tensor, "item"], groups: int
) -> Float[Tensor, "group head"]:
    out = values.new_full((groups, values.shape[1]), -torch.inf)
    return out.scatter_reduce(0, group[:, None].expand_as(values), values, "amax")


def _mean(
    values: Float[Tensor, "item head"], group: Int[Tensor, "item"], groups: int
) -> Float[Tensor, "group head"]:
    """The mean of the values in each group that are there; NaN where there is none."""
    there = ~torch.isnan(values[:, 0])
    count = torch.bincount(group[there], minlength=groups)
    return (
        values.new_zeros(groups, values.shape[1]).index_add_(0, group[there], values[there])
        / count[:, None]
    )
