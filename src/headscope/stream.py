"""Model and batches -> outputs, or maps one layer at a time. Batches are of like length, and nothing is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.attention import Call
from headscope.errors import HeadscopeError
from headscope.models import Model
from headscope.precision import Precision, scoring_autocast
from headscope.progress import Advance, silent
from headscope.tasks.encoding import Encoded, batches

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class LayerMaps:
    """What a measure sees: one layer's maps of one batch, with what is known of the tokens. Read only.

    `layer` counts from 0; `examples` are the rows' indices in the data. `special` marks [CLS] and [SEP], `segment`
    says which text a token belongs to; both, like `real`, are [batch, token].
    """

    layer: int
    examples: Int[np.ndarray, "batch"]
    maps: Float[Tensor, "batch head query key"]
    real: Bool[Tensor, "batch token"]
    special: Bool[Tensor, "batch token"]
    segment: Int[Tensor, "batch token"]


@torch.inference_mode()
def logits(
    model: Model,
    encoded: Encoded,
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> npt.NDArray[np.float32]:
    """The classification head's outputs for every example, in the order of the examples: [example, output]."""
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
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> None:
    """Run every example through the model and hand `see` the maps of each layer of each batch, once."""
    device = model.hf.device
    for rows in batches(encoded.lengths, batch_tokens):
        batch = encoded.batch(rows, device)
        special = _padded([encoded.special[i] for i in rows], torch.bool, device)
        segment = _padded([encoded.segments[i] for i in rows], torch.long, device)
        examples = np.array(rows)

        def observe(call: Call, examples: Any = examples, special: Tensor = special, segment: Tensor = segment) -> None:
            see(LayerMaps(call.layer, examples, call.maps.float(), call.real, special, segment))

        with model.observed(observe), scoring_autocast(precision, device):
            model.hf.base_model(**batch)
        advance(len(rows))


def _padded(rows: list[list[Any]], dtype: torch.dtype, device: torch.device) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows], dtype=dtype, device=device)
