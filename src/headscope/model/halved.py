"""A copy of a model whose weights are in half precision: converted once, where autocast converts
them again and again.
"""

import copy

import torch
from transformers import PreTrainedModel

from headscope.model.model import Model


def halved(model: Model, dtype: torch.dtype) -> PreTrainedModel:
    """A copy of a model with its weights in half precision, tapped by the model's own tap.

    Buffers keep their format: what positions are rotated by needs float32. The two may not run at
    the same time.

    Args:
        model: The model, which stays as it is.
        dtype: torch.bfloat16 or torch.float16.
    """
    # The tap stays one, so that what is observed and edited is so in the copy too.
    copied: PreTrainedModel = copy.deepcopy(model.hf, {id(model.tap): model.tap})
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    return copied
