"""What observers are shown: a layer's maps of a batch, with what is known of the tokens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.errors import HeadscopeError

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """What is known of the tokens of one batch, the same for all its layers. Read only.

    Attributes:
        examples: The examples' row numbers in the data.
        real: Which tokens are not padding.
        special: Which tokens are [CLS] or [SEP].
        segment: Which text a token belongs to, 0 or 1.
        ids: The token ids.
        cls: Where [CLS] stands in each example, -1 where a text has none; None where it is the
            first token.
    """

    examples: Int[np.ndarray, " batch"]
    real: Bool[Tensor, "batch token"]
    special: Bool[Tensor, "batch token"]
    segment: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch token"]
    cls: Int[Tensor, " batch"] | None = None

    @cached_property
    def cls_places(self) -> Int[Tensor, " batch"]:
        """Where [CLS] stands in each example; -1 where a text has none."""
        if self.cls is not None:
            return self.cls
        return torch.zeros(len(self.real), dtype=torch.long, device=self.real.device)

    @cached_property
    def is_cls(self) -> Bool[Tensor, "batch token"]:
        """Which token is [CLS]."""
        places = torch.arange(self.real.shape[1], device=self.real.device)
        return places == self.cls_places[:, None]

    @cached_property
    def separators(self) -> Bool[Tensor, "batch token"]:
        """Which tokens are [SEP]: every special token but [CLS]."""
        return self.special & ~self.is_cls


@dataclass(frozen=True)
class LayerMaps:
    """One layer's attention maps of one batch. Read only.

    Attributes:
        layer: The layer, counted from 0.
        batch: What is known of the tokens.
        maps: The attention weights; a row sums to 1, and padding receives nothing.
        values: The heads' values before they are weighted.
        gram: Gives, when it is called, what stands for the layer's output projection in norms
            (`projections.gram`).
        heads: Which of the layer's heads these are: all, or a block of them.
    """

    layer: int
    batch: Batch
    maps: Float[Tensor, "batch head query key"]
    values: Float[Tensor, "batch head key d"]
    gram: Callable[[], Float[Tensor, "head d d"]] | None = None
    heads: slice = field(default_factory=partial(slice, None))
    _shared: dict[tuple[object, int], tuple[object, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def shared(self, compute: Callable[["LayerMaps", T], R], prepared: T) -> R:
        """What `compute` makes of these maps and of what was prepared: computed when it is first
        asked for, so that measures share its work.
        """
        key = (compute, id(prepared))
        if key not in self._shared:
            # What was prepared is kept too: another thing could get its id.
            self._shared[key] = (prepared, compute(self, prepared))
        result: R = self._shared[key][1]
        return result

    @property
    def real(self) -> Bool[Tensor, "batch token"]:
        """Which tokens are not padding."""
        return self.batch.real

    @cached_property
    def received(self) -> Float[Tensor, "batch head key"]:
        """The fraction of all mass that each token receives: column means over the real rows."""
        weight = self.real.to(self.maps.dtype)
        weight = weight / weight.sum(-1, keepdim=True)
        return (weight[:, None, None] @ self.maps)[:, :, 0]

    @cached_property
    def from_cls(self) -> Float[Tensor, "batch head key"]:
        """What [CLS] attends to; NaN for an example that has none."""
        places = self.batch.cls_places
        examples = torch.arange(len(places), device=places.device)
        rows = self.maps[examples, :, places.clamp_min(0)]
        return rows.masked_fill((places < 0)[:, None, None], torch.nan)

    @cached_property
    def value_norms(self) -> Float[Tensor, "batch head key"]:
        """The norm of what each token adds to the layer's output at weight 1: ||value_j W_O^h||.

        Raises:
            HeadscopeError: The maps did not come from a model, so `gram` is not known.
        """
        if self.gram is None:
            raise HeadscopeError(
                "the norms of projected values need the model: get the maps from passes.run_pass"
            )
        squares = (self.values @ self.gram() * self.values).sum(-1)
        return squares.clamp_min(0.0).sqrt()

    def over_queries(
        self, values: Float[Tensor, "batch head query"]
    ) -> Float[Tensor, "batch head"]:
        """The mean over the real rows of a value per row."""
        real = self.real[:, None].to(values.dtype)
        return (values * real).sum(-1) / real.sum(-1)


@dataclass(frozen=True)
class PairMaps:
    """The same layer and batch of two models, as before and after fine-tuning. Read only."""

    before: LayerMaps
    after: LayerMaps
