"""Scores sets of heads where an example is made of several texts that the model reads: the two of a
pair, whose vectors are compared, or the windows of a paragraph, in which answers are sought.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from headscope.ablation.plan import Unit
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult
from headscope.model.text_pairs import TextPairs
from headscope.model.windows import Windows
from headscope.tasks.outputs import Logits

Joining = TextPairs | Windows
"""Says which texts are of one example, and joins what the model puts out for them."""


class JoinedScorer:
    """Scores examples that are made of several texts.

    Args:
        scorer: Scores the texts.
        joining: Which texts are of one example.
    """

    def __init__(self, scorer: Scorer, joining: Joining) -> None:
        self.scorer, self.joining = scorer, joining

    @cached_property
    def unchanged(self) -> Logits:
        """What the examples get with nothing disabled, [example, output]."""
        return self.joining.joined(self.scorer.unchanged)

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """The units that the sets are scored in."""
        return self.scorer.plan(sets)

    def score(self, sets: Sequence[NamedSet], *, done: Collection[str] = ()) -> Iterator[SetResult]:
        """What the examples get with each set disabled."""
        for result in self.scorer.score(sets, done=done):
            yield self._joined(result)

    def score_unit(self, unit: Unit) -> list[SetResult]:
        """What the examples get with every set of a unit disabled."""
        return [self._joined(result) for result in self.scorer.score_unit(unit)]

    def _joined(self, result: SetResult) -> SetResult:
        return replace(result, outputs=self.joining.joined(result.outputs))


OneScorer = Scorer | JoinedScorer
"""What scores sets of disabled heads in one process."""


def scorer_of(scorer: Scorer, joining: Joining | None) -> OneScorer:
    """What scores examples: a head's outputs as they are, or joined."""
    return scorer if joining is None else JoinedScorer(scorer, joining)
