"""What fine-tuning changes: the cosine of maps before and after (paper, section 4.3), and each
measure's difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.measures.base import Measures, Moments, MomentSums, Prepared, Values
from headscope.model.encoding import Encoded
from headscope.model.layer_maps import LayerMaps, PairMaps
from headscope.model.model import Model
from headscope.model.passes import check_like, run_pair_pass
from headscope.model.precision import Precision
from headscope.model.tokenizers import number_alike
from headscope.model.transfer import to_host
from headscope.progress import Advance, silent
from headscope.words.align import Aligned

COSINE = "cosine_to_pretrained"
OVER_LAST = "cosine_over_last_layers"
LAST = 2
"""So many last layers are held against the others, as in the paper."""
NOTEBOOK_WIDTH = 200
"""The notebook pads every map to so many tokens, and counts the rows of the padding."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples.

    Attributes:
        before: Every measure of the first model.
        after: Every measure of the second.
        difference: After minus before, example by example.
        cosine: The cosine of the two maps.
        over_last: How much higher the mean cosine of a layer is than that of one of the last two
            (`over_last_layers`). Empty where the model has no more than two layers.
    """

    before: dict[str, Moments]
    after: dict[str, Moments]
    difference: dict[str, Moments]
    cosine: Moments
    over_last: Moments


def cosine(before: LayerMaps, after: LayerMaps, *, padding: bool = False) -> Values:
    """Cosine of the two maps of a head, flattened: sum_ij a_ij b_ij / (|a| |b|); 1 if nothing
    changed.

    Over real tokens; with `padding` the rows of the padding count too, as in the notebook.
    """
    a, b = before.maps, after.maps
    if not padding:
        rows = before.real[:, None, :, None].to(a.dtype)
        a, b = a * rows, b * rows
    norms = a.square().sum((2, 3)).sqrt() * b.square().sum((2, 3)).sqrt()
    return (a * b).sum((2, 3)) / norms


def over_last_layers(cosines: Float[Tensor, "layer batch"]) -> Float[Tensor, "contrast batch"]:
    """How much less the maps of a layer change than those of one of the last two layers.

    Args:
        cosines: The mean cosine of the heads of every layer, example by example; at least three
            layers.

    Returns:
        The cosine of every layer before the last two minus that of the last but one, then the same
        minus that of the last, and in the end the mean of all these. Above 0 where the last layers
        change more.

    >>> over_last_layers(torch.tensor([[0.75], [0.5], [0.25], [0.0]])).T.tolist()
    [[0.5, 0.25, 0.75, 0.5, 0.5]]
    """
    others, last = cosines[:-LAST], cosines[-LAST:]
    contrasts = (others - last[:, None]).flatten(0, 1)
    return torch.cat([contrasts, contrasts.mean(0, keepdim=True)])


class ComparisonObserver:
    """Compares the measures and the maps of two models over the examples of a pass.

    Args:
        measures: The measures.
        layers: The models' layers.
        heads: The heads of a layer.
        padding: Whether the cosine counts the rows of the padding, as in the notebook.
    """

    def __init__(
        self, measures: Measures, layers: int, heads: int, *, padding: bool = False
    ) -> None:
        self.prepare = measures.prepare
        self._measures = measures
        self._padding = padding
        self._before = MomentSums(measures.names, layers, heads)
        self._after = MomentSums(measures.names, layers, heads)
        self._difference = MomentSums(measures.names, layers, heads)
        self._cosine = MomentSums([COSINE], layers, heads)
        # Of the batch that is passing: the mean cosine of a layer's heads, [batch], by layer.
        self._of_layers: dict[int, Tensor] = {}
        # [moment, contrast], as `over_last_layers` has them.
        contrasts = LAST * (layers - LAST) + 1 if layers > LAST else 0
        self._over_last = np.zeros((3, contrasts))

    def see(self, maps: PairMaps, prepared: Prepared) -> None:
        """Compare one layer of one batch."""
        layer = maps.after.layer
        before = self._measures.values(maps.before, prepared)
        after = self._measures.values(maps.after, prepared)
        cosines = cosine(maps.before, maps.after, padding=self._padding)
        self._before.add(layer, before)
        self._after.add(layer, after)
        self._difference.add(layer, after - before)
        self._cosine.add(layer, cosines[None])
        self._of_layers[layer] = cosines.mean(-1)

    def finish(self) -> None:
        """Add up the batch."""
        self._finish_layers()
        for sums in (self._before, self._after, self._difference, self._cosine):
            sums.finish()

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sums, for a pass that is to be resumed."""
        return {
            "before": self._before.state()["sums"],
            "after": self._after.state()["sums"],
            "difference": self._difference.state()["sums"],
            "cosine": self._cosine.state()["sums"],
            "over_last": self._over_last,
        }

    def _finish_layers(self) -> None:
        """Add the contrasts of the batch's layers, which are all known once it has passed."""
        of_layers, self._of_layers = self._of_layers, {}
        if not of_layers or not self._over_last.size:
            return
        cosines = torch.stack([of_layers[layer] for layer in sorted(of_layers)])
        (values,) = to_host([over_last_layers(cosines)])
        contrasts = values.astype(np.float64)
        self._over_last[0] += contrasts.shape[1]
        self._over_last[1] += contrasts.sum(1)
        self._over_last[2] += (contrasts**2).sum(1)

    def comparison(self) -> Comparison:
        """What was found."""
        self.finish()
        return Comparison(
            before=self._before.moments(),
            after=self._after.moments(),
            difference=self._difference.moments(),
            cosine=self._cosine.moments()[COSINE],
            over_last=Moments(*self._over_last.copy()),
        )


def check_comparable(before: Model, after: Model, *, faithful: bool = False) -> None:
    """Check that two models can be compared map by map.

    Raises:
        HeadscopeError: They differ in layers, heads or tokens, or `faithful` needs more positions
            than they have.
    """
    check_like(before, after)
    least = min(before.positions, after.positions)
    if faithful and least < NOTEBOOK_WIDTH:
        raise HeadscopeError(
            f"--faithful pads every map to {NOTEBOOK_WIDTH} tokens, as the paper's notebook does, "
            f"and the models have positions for {least}: leave out --faithful"
        )
    if not number_alike(before.tokenizer, after.tokenizer):
        raise HeadscopeError(
            f"the tokenizers of {before.name} and {after.name} number their tokens differently, so "
            "the two do not read the same texts: compare a model with its own fine-tuned form"
        )


def compare(
    before: Model,
    after: Model,
    encoded: Encoded,
    names: Sequence[str],
    *,
    words: Sequence[Aligned] | None = None,
    faithful: bool = False,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> Comparison:
    """Run both models over the same batches and compare the named measures and the maps.

    Args:
        before: The first model.
        after: The second, its own fine-tuned form.
        encoded: The examples.
        names: The measures' names.
        words: The words of every example (`words.align`), for measures that look at words.
        faithful: Whether to take the notebook's forms, with maps padded to 200 tokens.
        batch_tokens: The most tokens in a batch, padding included; by default what fits.
        precision: The models' precision; measures compute in float32.
        advance: Is told how many examples are done.

    Raises:
        HeadscopeError: The two models differ in layers, heads or tokens, a measure is unknown,
            or looks at words and there are none, or `faithful` needs more positions than they have.
    """
    check_comparable(before, after, faithful=faithful)
    measures = Measures(names, words, faithful=faithful)
    observer = ComparisonObserver(measures, before.layers, before.heads, padding=faithful)
    run_pair_pass(
        before,
        after,
        encoded,
        [observer],
        width=NOTEBOOK_WIDTH if faithful else 0,
        batch_tokens=batch_tokens,
        precision=precision,
        advance=advance,
    )
    return observer.comparison()
