"""What cannot be spared: the layers that must be run for sets of heads, at the rate of a bare pass.

A bare pass is the forward pass of the encoder over the examples with nothing observed, sorted by
length, in a number format that may be chosen.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from disabling.rivals import Batches, Plain

Form = Literal["fp32", "tf32", "bf16-autocast", "bf16", "fp16"]
FORMS: tuple[Form, ...] = ("fp32", "tf32", "bf16-autocast", "bf16", "fp16")
_WEIGHTS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def half_forms(device: torch.device) -> tuple[Form, ...]:
    """The forms that `auto` may compute in on a device, of which the fastest sets its limit."""
    if device.type == "cuda":
        return ("tf32", "bf16-autocast", "bf16", "fp16")
    return ("bf16-autocast", "bf16")


def bare_pass(plain: Plain, batches: Batches, form: Form) -> Callable[[], None]:
    """A bare pass that is ready to be run: weights are converted before."""
    encoder = plain.hf.base_model
    if form in _WEIGHTS:
        encoder = copy.deepcopy(encoder).to(_WEIGHTS[form])
    return partial(_run, encoder, batches.inputs, partial(_context, form, plain.device))


def _context(form: Form, device: torch.device) -> AbstractContextManager[object]:
    if form == "tf32":
        return _tf32()
    if form == "bf16-autocast":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


class _tf32:  # noqa: N801 - it is used as a function is.
    """While it is open, products of float32 on a GPU are rounded to TF32."""

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision(self.before)


@torch.no_grad()
def _run(
    encoder: Any,
    inputs: Sequence[dict[str, Tensor]],
    context: Callable[[], AbstractContextManager[object]],
) -> None:
    with context():
        for batch in inputs:
            encoder(**batch)


def reads_one_token(plain: Plain, batches: Batches) -> bool:
    """Whether the classifier reads one token of the encoder's output; of others no last layer must
    be computed.
    """
    states: list[Tensor] = []

    def keep(_module: Any, _given: Any, output: Any) -> None:
        output[0].retain_grad()
        states.append(output[0])

    hook = plain.hf.base_model.register_forward_hook(keep)
    try:
        plain.hf(**batches.inputs[-1]).logits.sum().backward()
    finally:
        hook.remove()
        plain.hf.zero_grad()
    gradient = states[0].grad
    # [batch, token]
    read = torch.zeros(1, 2) if gradient is None else gradient.abs().sum(-1) > 0
    return int(read.sum(1).max()) == 1


def needed_passes(plain: Plain, first_layers: Sequence[int], one_token: bool) -> float:
    """How many layers must be run for sets of heads, in units of a whole layer.

    Of the layer in which a set begins that is the feed-forward part, of the last layer keys and
    values alone if the classifier reads one token; all between is run as a whole. Shares of a layer
    are those of its weights: products of queries with keys are not counted.

    Args:
        plain: The model.
        first_layers: The layer of its first head for every set, from 1.
        one_token: What `reads_one_token` says.
    """
    count = int(plain.hf.config.num_hidden_layers)
    shape = plain.layers[0]
    whole = shape.attention + shape.feed_forward
    feed_forward, keys = shape.feed_forward / whole, shape.attention / whole / 2
    passes = 0.0
    for layer in first_layers:
        if not one_token:
            passes += feed_forward + count - layer
        elif layer < count:
            passes += feed_forward + (count - layer - 1) + keys
    return passes


def share_of_tokens(lengths: Sequence[int], batches: Batches) -> float:
    """Which share of what a pass computes is no padding."""
    computed = sum(batch["input_ids"].numel() for batch in batches.inputs)
    return float(sum(lengths)) / computed
