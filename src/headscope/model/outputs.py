"""What a model puts out for every example, and the refusal of what is not finite."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.budget import fitting_tokens
from headscope.model.encoding import Encoded, batches
from headscope.model.kernels import kernels_for_any_shape
from headscope.model.model import Model
from headscope.model.precision import Precision, scoring_autocast
from headscope.progress import Advance, silent


def refuse_not_finite(
    model: Model,
    examples: Sequence[int] | Int[np.ndarray, " batch"],
    is_finite: npt.NDArray[np.bool_],
) -> None:
    """Raises HeadscopeError if what a model puts out for one of the examples is not finite."""
    if not is_finite.all():
        example = int(examples[int(np.argmin(is_finite))])
        raise HeadscopeError(
            f"what {model.name} puts out for example {example + 1} is not finite, so its weights "
            "are damaged: use another copy of the checkpoint, or train it again"
        )


def _scored(model: Model, encoded: Encoded, rows: Sequence[int]) -> Tensor:
    """The outputs for a batch; where a GPU has no room for it, for one half and then the other."""
    try:
        scored: Tensor = model.hf(**encoded.batch(rows, model.hf.device)).logits
        return scored
    except torch.OutOfMemoryError as error:
        if len(rows) == 1:
            raise HeadscopeError(
                f"{model.hf.device} has no room for a single example of "
                f"{int(encoded.lengths[rows[0]])} tokens: give a smaller --max-length, or free its "
                "memory"
            ) from error
    half = len(rows) // 2
    return torch.cat([_scored(model, encoded, part) for part in (rows[:half], rows[half:])])


@torch.inference_mode()
def logits(
    model: Model,
    encoded: Encoded,
    *,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> npt.NDArray[np.float32]:
    """The classification head's outputs for every example.

    Args:
        model: The model.
        encoded: The examples.
        batch_tokens: The most tokens in a batch, padding included; by default what fits.
        precision: The number format.
        advance: Told of how many examples more are done.

    Returns:
        The logits in the order of the examples, [example, output].

    Raises:
        HeadscopeError: There are no examples, or the outputs of one are not finite.
    """
    if not len(encoded):
        raise HeadscopeError("there are no examples to score: give at least one")
    order: list[int] = []
    outputs: list[npt.NDArray[np.float32]] = []
    for rows in batches(encoded.lengths, fitting_tokens(model, batch_tokens)):
        with kernels_for_any_shape(), scoring_autocast(precision, model.hf.device):
            scored = _scored(model, encoded, rows)
        order += rows
        outputs.append(scored.float().cpu().numpy())
        is_finite = torch.isfinite(scored).all(-1)
        refuse_not_finite(model, rows, is_finite.cpu().numpy())
        advance(len(rows))
    # Batches go by length: put every example back into its place.
    return np.concatenate(outputs)[np.argsort(order)]
