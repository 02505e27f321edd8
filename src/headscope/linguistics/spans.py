"""Spans and heads: the attention from one span of words to another, as from a frame element to its
predicate.

A head's score is the paper's (section 4.2): the mean over sentences of the largest attention
between a token of one span and a token of the other. The paper's notebook pairs the two lists of
tokens one by one and drops the rest of the longer (`faithful`). The control moves both spans by the
same number of tokens to every other place of the sentence where they fit: as many tokens, the same
distance, the same maximum, no relation.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.corpora.base import Link
from headscope.linguistics.clustered import Clustered, add_layers
from headscope.linguistics.linked import LinkedCorpus
from headscope.linguistics.word_attention import Tokens
from headscope.model.budget import fitting_tokens
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.model import Model
from headscope.model.passes import EncoderPass
from headscope.model.precision import Precision

QUANTITIES = ("score", "attention", "attention_matched", "attention_control", "attention_excess")
"""`score` is the paper's; `attention` is the mean over a sentence's links of a link's largest
attention, `control` that of the link moved elsewhere, `matched` that of the links that have a
control, `excess` the difference.
"""
Pair = tuple[int, int]


def link_pairs(tokens: Tokens, link: Link, *, faithful: bool = False) -> list[Pair]:
    """The pairs of tokens of a link, (row, column) of each.

    Args:
        tokens: The tokens of every word of the sentence.
        link: A link between two spans of words that have tokens.
        faithful: Pair the tokens one by one, as the paper's notebook does.
    """
    rows = chain.from_iterable(tokens[word] for word in link.source)
    columns = chain.from_iterable(tokens[word] for word in link.target)
    return list(zip(rows, columns, strict=False) if faithful else product(rows, columns))


def shifts(
    tokens: Tokens, pairs: Sequence[Pair], related: Set[Pair], punctuation: Set[int]
) -> list[int]:
    """By how many tokens the pairs of a link can be moved, all of them together.

    Args:
        tokens: The tokens of every word of the sentence.
        pairs: The pairs of tokens of the link.
        related: The pairs of tokens of all links of the sentence.
        punctuation: The tokens of punctuation.

    Returns:
        The shifts to where every pair is of two words, none is related, and no more tokens that are
        attended to are punctuation than are of the link.
    """
    word = {token: number for number, pieces in enumerate(tokens) for token in pieces}
    places = {token for pair in pairs for token in pair}
    attended = {column for _, column in pairs}
    allowed = len(attended & punctuation)
    possible = []
    for shift in range(min(word) - min(places), max(word) - max(places) + 1):
        moved = {(row + shift, column + shift) for row, column in pairs}
        are_of_words = all(token + shift in word for token in places)
        if not shift or not are_of_words or not related.isdisjoint(moved):
            continue
        is_between_words = all(word[row] != word[column] for row, column in moved)
        marks = sum(token + shift in punctuation for token in attended)
        if is_between_words and marks <= allowed:
            possible.append(shift)
    return possible


@dataclass(frozen=True)
class TokenPairs:
    """The pairs of tokens of a batch. A placement is a link where it stands, or moved elsewhere.

    Attributes:
        row: Which row of the batch a pair's sentence is.
        query: The token that attends.
        key: The token that is attended to.
        placement: Number of the placement of a pair.
        link: Number of the link of a placement; a link's own place comes before the others.
        is_moved: Whether a placement is another than the link's own.
        case: Number of the case of a link: of a sentence and relation.
        sentence: Index of the sentence of a case.
        relation: Number of the relation of a case.
    """

    row: Int[Tensor, " pair"]
    query: Int[Tensor, " pair"]
    key: Int[Tensor, " pair"]
    placement: Int[Tensor, " pair"]
    link: Int[Tensor, " placement"]
    is_moved: Bool[Tensor, " placement"]
    case: Int[Tensor, " link"]
    sentence: Int[Tensor, " case"]
    relation: Int[Tensor, " case"]


class Spans:
    """Observes a pass over sentences with linked spans and sums up every quantity.

    Args:
        words: The tokens of every word of every sentence.
        punctuation: The tokens of punctuation of every sentence.
        links: The links of every sentence; all their words have tokens.
        relations: The names of the relations.
        layers: Number of layers.
        heads: Number of heads of a layer.
        faithful: Pair tokens as the paper's notebook does.

    Attributes:
        sums: By quantity; a group is a relation, and a sentence is one case of it.
        scores: The paper's score of every sentence, [sentence, relation, layer, head]; NaN for
            none.
    """

    def __init__(
        self,
        words: Sequence[Tokens],
        punctuation: Sequence[Set[int]],
        links: Sequence[Sequence[Link]],
        relations: Sequence[str],
        layers: int,
        heads: int,
        *,
        faithful: bool = False,
    ) -> None:
        self._words = words
        self._punctuation = punctuation
        self._links = links
        self._numbers = {name: number for number, name in enumerate(relations)}
        self._faithful = faithful
        self.sums = {
            quantity: Clustered.zero(len(relations), layers, heads) for quantity in QUANTITIES
        }
        shape = (len(words), len(relations), layers, heads)
        self.scores: npt.NDArray[np.float32] = np.full(shape, np.nan, np.float32)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The sums and scores, for a pass that is to be resumed."""
        arrays: dict[str, npt.NDArray[Any]] = {"scores": self.scores}
        for quantity, sums in self.sums.items():
            arrays |= sums.arrays(quantity)
        return arrays

    def placements(self, sentence: int) -> list[list[list[Pair]]]:
        """The pairs of tokens of every link of a sentence: where it stands, then wherever else it
        fits.
        """
        tokens, links = self._words[sentence], self._links[sentence]
        related: set[Pair] = set()
        for link in links:
            related.update(link_pairs(tokens, link))
        places = []
        for link in links:
            pairs = link_pairs(tokens, link, faithful=self._faithful)
            elsewhere = shifts(tokens, pairs, related, self._punctuation[sentence])
            of_link = []
            for shift in (0, *elsewhere):
                of_link.append([(query + shift, key + shift) for query, key in pairs])
            places.append(of_link)
        return places

    def prepare(self, batch: Batch) -> TokenPairs:
        """The pairs of tokens of the batch."""
        pairs: list[tuple[int, int, int, int]] = []
        placements: list[Pair] = []
        case_of_link: list[int] = []
        cases: dict[Pair, int] = {}
        for row, sentence in enumerate(batch.examples.tolist()):
            places = self.placements(sentence)
            for link, places_of_link in zip(self._links[sentence], places, strict=True):
                for number, of_place in enumerate(places_of_link):
                    pairs += [(row, query, key, len(placements)) for query, key in of_place]
                    placements.append((len(case_of_link), int(number > 0)))
                # The links of a sentence and relation are one case.
                case = (sentence, self._numbers[link.relation])
                case_of_link.append(cases.setdefault(case, len(cases)))
        return _token_pairs(pairs, placements, case_of_link, list(cases), batch.real.device)

    def see(self, maps: LayerMaps, prepared: TokenPairs) -> None:
        """Add one layer of one batch."""
        pairs = prepared
        if not len(pairs.case):
            return
        cases = len(pairs.sentence)
        attention = maps.maps[pairs.row, :, pairs.query, pairs.key]  # [pair, head]
        largest = _largest(attention, pairs.placement, len(pairs.link))  # [placement, head]
        # A link's own place comes before the others, so these are in the order of the links.
        in_place = largest[~pairs.is_moved]  # [link, head]
        link_of_moved = pairs.link[pairs.is_moved]
        control = _mean(largest[pairs.is_moved], link_of_moved, len(pairs.case))  # [link, head]
        matched = in_place.masked_fill(torch.isnan(control), torch.nan)
        quantities = {
            "score": _largest(in_place, pairs.case, cases),
            "attention": _mean(in_place, pairs.case, cases),
            "attention_matched": _mean(matched, pairs.case, cases),
            "attention_control": _mean(control, pairs.case, cases),
            "attention_excess": _mean(in_place - control, pairs.case, cases),
        }
        # Layer after layer, the scores of a batch go to their sentences and relations.
        places = (pairs.sentence.cpu().numpy(), pairs.relation.cpu().numpy(), maps.layer)
        self.scores[places] = quantities["score"].cpu().numpy()
        numbers = torch.arange(cases, device=pairs.case.device)
        sums = [self.sums[quantity] for quantity in quantities]
        values = torch.stack(list(quantities.values()), 1)  # [case, quantity, head]
        add_layers(sums, maps.layer, values, numbers, pairs.relation)


@dataclass(frozen=True, eq=False)
class SpanPass(EncoderPass):
    """The pass in which links between spans are looked at. `of` makes one.

    Attributes:
        words: The tokens of every word of every sentence.
        punctuation: The tokens of punctuation of every sentence.
        links: The links of every sentence; all their words have tokens.
        relations: The names of the relations.
        faithful: Pair tokens as the paper's notebook does.
    """

    words: Sequence[Tokens]
    punctuation: Sequence[Set[int]]
    links: Sequence[Sequence[Link]]
    relations: Sequence[str]
    faithful: bool

    @classmethod
    def of(
        cls,
        model: Model,
        linked: LinkedCorpus,
        *,
        faithful: bool,
        batch_tokens: int | None,
        precision: Precision,
    ) -> "SpanPass":
        """The pass of a corpus through a model.

        Args:
            model: The model.
            linked: The corpus as the model sees it.
            faithful: Pair tokens as the paper's notebook does.
            batch_tokens: The most tokens of a batch; None for what fits.
            precision: The number format.
        """
        return cls(
            encoded=linked.encoded,
            words=linked.tokens,
            punctuation=linked.punctuation,
            links=linked.links,
            relations=linked.relations,
            layers=model.layers,
            heads=model.heads,
            faithful=faithful,
            batch_tokens=fitting_tokens(model, batch_tokens),
            precision=precision,
        )

    def observers(self) -> list[Spans]:
        """What sums up the quantities, the only observer."""
        given = (self.words, self.punctuation, self.links, self.relations)
        return [Spans(*given, self.layers, self.heads, faithful=self.faithful)]


def _token_pairs(
    pairs: Sequence[tuple[int, int, int, int]],
    placements: Sequence[Pair],
    case_of_link: Sequence[int],
    cases: Sequence[Pair],
    device: torch.device,
) -> TokenPairs:
    """The pairs of a batch as tensors.

    Args:
        pairs: Row, query, key and placement of each pair.
        placements: Link of each placement, and whether it is moved.
        case_of_link: Case of each link.
        cases: Sentence and relation of each case.
        device: Where the tensors are wanted.
    """
    row, query, key, placement = _columns(pairs, 4, device)
    link, is_moved = _columns(placements, 2, device)
    sentence, relation = _columns(cases, 2, device)
    return TokenPairs(
        row=row,
        query=query,
        key=key,
        placement=placement,
        link=link,
        is_moved=is_moved.bool(),
        case=torch.tensor(case_of_link, dtype=torch.long, device=device),
        sentence=sentence,
        relation=relation,
    )


def _columns(
    rows: Sequence[tuple[int, ...]], width: int, device: torch.device
) -> tuple[Int[Tensor, " row"], ...]:
    """The columns of a list of rows; `width` is their number, for a list without rows."""
    return torch.tensor(rows, dtype=torch.long, device=device).reshape(-1, width).unbind(1)


def _largest(
    values: Float[Tensor, "item head"], group: Int[Tensor, " item"], groups: int
) -> Float[Tensor, "group head"]:
    """The largest value of each group, which has at least one."""
    out = values.new_full((groups, values.shape[1]), -torch.inf)
    return out.scatter_reduce(0, group[:, None].expand_as(values), values, "amax")


def _mean(
    values: Float[Tensor, "item head"], group: Int[Tensor, " item"], groups: int
) -> Float[Tensor, "group head"]:
    """The mean of the known values of each group; NaN for a group without any.

    An item has a value for all heads or, NaN, for none.
    """
    is_known = ~torch.isnan(values[:, 0])
    values, group = values[is_known], group[is_known]
    total = values.new_zeros(groups, values.shape[1]).index_add_(0, group, values)
    return total / torch.bincount(group, minlength=groups)[:, None]
