"""One short text is run through a model to see how it is built: what flows in says more than names.

Families call the output projection `dense`, `out_lin`, `Wo` or `o_proj`, and count positions from 0
or from the padding index. The inputs of their modules show which is which.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.model.tap import Observer, Tap

_TEXT = "The nurse thanked the pilot."


@torch.no_grad()
def probe(
    hf: PreTrainedModel,
    tap: Tap,
    tokenizer: PreTrainedTokenizerBase,
    kind: type[nn.Module],
    before: Callable[[nn.Module, tuple[Any, ...]], None],
    observer: Observer | None = None,
) -> None:
    """Run the encoder on one short text.

    Args:
        hf: The model.
        tap: Its tap. Who observes or edits at the moment is left out of the run.
        tokenizer: Its tokenizer.
        kind: Which modules are looked at.
        before: Called with every such module and its positional arguments, before it runs.
        observer: Called with every call of attention.
    """
    modules = [module for module in hf.modules() if isinstance(module, kind)]
    hooks = [module.register_forward_pre_hook(before) for module in modules]
    try:
        with tap.set_aside():
            if observer is not None:
                tap.observers.append(observer)
            hf.base_model(**tokenizer(_TEXT, return_tensors="pt").to(hf.device))
    finally:
        for hook in hooks:
            hook.remove()
