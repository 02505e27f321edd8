"""Scores an embedder with sets of heads disabled: what comes out is the cosine of every pair."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from headscope.ablation.plan import Unit
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult
from headscope.model.text_pairs import TextPairs
from headscope.tasks.outputs import Logits


class PairScorer:
    """Scores pairs of texts by the cosine of their vectors.

    Args:
        scorer: Scores the texts.
        pairs: Which texts are compared.
    """

    def __init__(self, scorer: Scorer, pairs: TextPairs) -> None:
        self.scorer, self.pairs = scorer, pairs

    @cached_property
    def unchanged(self) -> Logits:
        """The cosines with nothing disabled, [pair, 1]."""
        return self.pairs.cosines(self.scorer.unchanged)

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """The units that the sets are scored in."""
        return self.scorer.plan(sets)

    def score(self, sets: Sequence[NamedSet], *, done: Collection[str] = ()) -> Iterator[SetResult]:
        """The cosines with each set disabled."""
        for result in self.scorer.score(sets, done=done):
            yield self._compared(result)

    def score_unit(self, unit: Unit) -> list[SetResult]:
        """The cosines with every set of a unit disabled."""
        return [self._compared(result) for result in self.scorer.score_unit(unit)]

    def _compared(self, result: SetResult) -> SetResult:
        return replace(result, outputs=self.pairs.cosines(result.outputs))


SetScorer = Scorer | PairScorer
"""What scores sets of disabled heads: of a classifier, or of an embedder."""


def scorer_of(scorer: Scorer, pairs: TextPairs | None) -> SetScorer:
    """What scores examples: a head's outputs as they are, vectors in pairs."""
    return scorer if pairs is None else PairScorer(scorer, pairs)
