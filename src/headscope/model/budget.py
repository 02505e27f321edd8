"""How many tokens go through a model at once, where nobody said: as many as its device is fast with
and has room for.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from headscope.model.classes import text_config
from headscope.model.encoding import BATCH_TOKENS, Encoded, batches
from headscope.model.model import Model

MOST_TOKENS = 65_536
"""From 16,384 tokens on a pass of BERT-base's size is as fast as an H100 makes it."""
OF_ALL_LAYERS = 8_192
"""Where something is held of every layer: maps of two models, or what gradients need."""
SHARE = 0.25
"""Of a GPU's memory, what is alive between two layers may take."""
_LENGTH, _COPIES = 512, 6


def fitting_tokens(model: Model, given: int | None = None, most: int = MOST_TOKENS) -> int:
    """The most tokens of a batch.

    A GPU's whole memory decides, not what is free, so that a run that is begun again makes the same
    batches.

    Args:
        model: The model, on its device.
        given: What the user asked for, which is taken as it is.
        most: More are never chosen.
    """
    if given is not None:
        return given
    device = model.hf.device
    if device.type != "cuda":
        return BATCH_TOKENS
    memory = torch.cuda.get_device_properties(device).total_memory
    return min(most, tokens_in(model, memory))


def device_batches(
    model: Model, encoded: Encoded, batch_tokens: int | None = None
) -> Iterator[dict[str, Tensor]]:
    """Examples in batches that fit the model's device, as the model is called with them.

    Args:
        model: The model, on its device.
        encoded: The examples.
        batch_tokens: The most tokens of a batch; by default what fits.
    """
    for rows in batches(encoded.lengths, fitting_tokens(model, batch_tokens)):
        yield encoded.batch(rows, model.hf.device)


def tokens_in(model: Model, memory: int) -> int:
    """How many tokens fit into the share of a device's memory, a power of two, at least as many as
    on a processor.
    """
    config: Any = text_config(model.hf.config)
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    # States, queries, keys, values; the inner states twice; maps of long texts, and what is made of
    # them.
    numbers = 12 * hidden + 2 * inner + _COPIES * model.heads * _LENGTH
    fitting = max(1, int(SHARE * memory / (4 * numbers)))
    return max(BATCH_TOKENS, 1 << (fitting.bit_length() - 1))
