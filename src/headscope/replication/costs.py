"""What the parts of the whole paper cost: tokens forward through the whole model, or as much work.

The factors are ratios of times that were measured; docs/scale.md has the table, and what it leaves
out.
"""

from dataclasses import dataclass

from headscope.commands.path import FEW

START = 0.5
"""Seconds that a part takes beside: its files are read, the model is checked."""
FRAMES = 20_000
"""Tokens of a FrameNet release's exemplars that pass the paper's filter, and controls: a guess."""
_TRAINING = 2
"""A step of training, forward and backward, in bfloat16; in float32 it takes 3 passes."""
_SCORED_BESIDE = 3
"""Passes over the examples of `disable` beside its sets: the model is scored, the states that sets
share are computed, and what sets put out is compared.
"""
_COMPARED = 9
"""Passes for two models with their maps, all measures, and gradients of the trained one."""
_MAPS_COMPARED = 5
"""Passes for two models with their maps alone: a guess between 2 and 9."""
_ABOVE = 0.2
"""What a set of heads takes of the layers above it on average, twice their share: half of that is
saved in the last layer and by half precision.
"""
_SETS_A_HEAD = 7
"""How many sets the search for heads that can go together scores, for each head."""


@dataclass(frozen=True)
class Costs:
    """What is done on one task costs so many tokens forward through the whole model.

    Attributes:
        tokens: The mean number of tokens of an example.
        layers: How many layers the model has.
        heads: How many heads, all layers together.
        training: How many examples it is trained on.
        scored: How many examples it is scored on.
        analysed: How many of these are looked at head by head.
    """

    tokens: float
    layers: int
    heads: int
    training: int
    scored: int
    analysed: int

    def fine_tuning(self, epochs: int) -> int:
        """A model is trained for so many epochs, and scored."""
        return self._of(_TRAINING * epochs * self.training + self.scored)

    def comparison(self, *, is_whole: bool) -> int:
        """Two models are compared: by all measures where `is_whole`, else by their maps alone."""
        return self._of((_COMPARED if is_whole else _MAPS_COMPARED) * self.analysed)

    def disabling(self, sets: int) -> int:
        """A model is scored with so many sets of heads disabled in turn."""
        return self._of((_SCORED_BESIDE + sets * self._share) * self.analysed)

    def path(self) -> int:
        """Heads that can go together are searched for on training examples; for every number of
        heads the best set is scored on others, and on the validation examples.
        """
        examples = (_SETS_A_HEAD + 1) * FEW + self.analysed
        return self._of(self.heads * self._share * examples + _SCORED_BESIDE * self.analysed)

    @property
    def _share(self) -> float:
        """What a set of heads takes of a pass, on average over the layers that it can begin in."""
        return _ABOVE * (self.layers - 1) / self.layers

    def _of(self, examples: int | float) -> int:
        return round(examples * self.tokens)
