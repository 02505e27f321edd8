"""Model and batches -> outputs, or maps one layer at a time. Batches are of like length, and
nothing is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.attention import Call
from headscope.model.encoding import Encoded, batches
from headscope.model.model import Model
from headscope.model.precision import Precision, scoring_autocast
from headscope.model.projections import gram
from headscope.progress import Advance, silent

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Batch:
    """What is known of the tokens of one batch, the same for all its layers. Read only.

    `examples` are the rows' indices in the data. `special` marks [CLS] and [SEP], `segment` says
    which text a token belongs to, `ids` its piece; all, like `real` (no padding), are [batch,
    token]. `extra` holds what a measure's `prepare` made of the batch, by name: class masks, pairs
    of tokens.
    """

    examples: Int[np.ndarray, "batch"]
    real: Bool[Tensor, "batch token"]
    special: Bool[Tensor, "batch token"]
    segment: Int[Tensor, "batch token"]
    ids: Int[Tensor, "batch token"]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerMaps:
    """What a measure sees: one layer's maps of one batch. Read only. `layer` counts from 0.

    `values` are the values before they are weighted, [batch, head, key, d]. `gram` gives, when it
    is asked for, what stands for the layer's output projection in norms (`projections.gram`).
    """

    layer: int
    batch: Batch
    maps: Float[Tensor, "batch head query key"]
    values: Float[Tensor, "batch head key d"]
    gram: Callable[[], Float[Tensor, "head d d"]] | None = None

    @property
    def real(self) -> Bool[Tensor, "batch token"]:
        """The tokens that are no padding."""
        return self.batch.real

    @cached_property
    def received(self) -> Float[Tensor, "batch head key"]:
        """The column means over the real rows: what fraction of all mass a token receives."""
        weight = self.real.to(self.maps.dtype)
        weight = weight / weight.sum(-1, keepdim=True)
        return (weight[:, None, None] @ self.maps)[:, :, 0]

    @cached_property
    def value_norms(self) -> Float[Tensor, "batch head key"]:
        """The length of what a token's value adds to the layer's output at weight 1: ||value_j
        W_O^h||.
        """
        if self.gram is None:
            raise HeadscopeError(
                "the norms of projected values need the model: get the maps from stream.stream"
            )
        return (self.values @ self.gram() * self.values).sum(-1).clamp_min(0.0).sqrt()

    def over_queries(
        self, values: Float[Tensor, "batch head query"]
    ) -> Float[Tensor, "batch head"]:
        """The mean over the real rows of a value per row."""
        real = self.real[:, None].to(values.dtype)
        return (values * real).sum(-1) / real.sum(-1)


@torch.inference_mode()
def logits(
    model: Model,
    encoded: Encoded,
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> npt.NDArray[np.float32]:
    """The classification head's outputs for every example, in the order of the examples: [example,
    output].
    """
    out: npt.NDArray[np.float32] | None = None
    for rows in batches(encoded.lengths, batch_tokens):
        with scoring_autocast(precision, model.hf.device):
            part = model.hf(**encoded.batch(rows, model.hf.device)).logits.float().cpu().numpy()
        if out is None:
            out = np.empty((len(encoded), part.shape[1]), dtype=np.float32)
        out[rows] = part
        advance(len(rows))
    if out is None:
        raise HeadscopeError("there are no examples to score: give at least one")
    return out


@torch.inference_mode()
def stream(
    model: Model,
    encoded: Encoded,
    see: Callable[[LayerMaps], None],
    *,
    prepare: Callable[[Batch], Batch] = lambda batch: batch,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> None:
    """Run every example through the model and hand `see` the maps of each layer of each batch,
    once.

    prepare: called once a batch, before its layers; what it returns is the `batch` that they come
    with.
    """
    for rows in batches(encoded.lengths, batch_tokens):
        inputs, batch = batch_of(encoded, rows, model.hf.device)
        see_batch(model, inputs, prepare(batch), see, precision=precision)
        advance(len(rows))


def batch_of(
    encoded: Encoded, rows: list[int], device: torch.device, width: int = 0
) -> tuple[dict[str, Tensor], Batch]:
    """What the model takes of the examples `rows`, and what measures know of them; padded to at
    least `width`.
    """
    inputs = encoded.batch(rows, device, width)
    real = inputs["attention_mask"].bool()
    special, segment = (
        torch.tensor(
            [own[i] + [0] * (real.shape[1] - len(own[i])) for i in rows], dtype=dtype, device=device
        )
        for own, dtype in ((encoded.special, torch.bool), (encoded.segments, torch.long))
    )
    return inputs, Batch(np.array(rows), real, special, segment, inputs["input_ids"])


@torch.inference_mode()
def see_batch(
    model: Model,
    inputs: dict[str, Tensor],
    batch: Batch,
    see: Callable[[LayerMaps], None],
    *,
    precision: Precision = "auto",
) -> None:
    """Run one batch through the encoder and hand `see` the maps of each layer, in order."""

    def observe(call: Call) -> None:
        maps, values = call.maps.float(), call.value.float()
        # The model may run in bfloat16; what is made of its maps may not.
        with torch.autocast(model.hf.device.type, enabled=False):
            see(
                LayerMaps(
                    call.layer, batch, maps, values, lambda: gram(model.projections[call.layer])
                )
            )

    with model.observed(observe), scoring_autocast(precision, model.hf.device):
        model.hf.base_model(**inputs)
