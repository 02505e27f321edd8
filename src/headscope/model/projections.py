"""The output projection of every layer's attention, split by head: found by what flows into it, not
by its name.

Families call the module `dense`, `out_lin`, `Wo` or `o_proj`. What they share is that a linear
layer reads the heads' concatenated outputs, so one short text run through the model shows which one
it is.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from headscope.errors import InterventionError
from headscope.model.attention import Call, Tap

_TEXT = "The nurse thanked the pilot."


@torch.no_grad()
def output_layers(
    hf: PreTrainedModel, tap: Tap, tokenizer: PreTrainedTokenizerFast, name: str
) -> list[nn.Linear]:
    """For every layer the linear layer that reads the concatenated outputs of its heads; ALBERT's
    are all the same one.

    Whoever observes or edits the model's heads at the moment is left out of the run, and goes on
    after it.

    Raises InterventionError when a layer has none.
    """
    outputs: list[Tensor] = []
    found: dict[int, nn.Linear] = {}

    def remember(call: Call) -> None:
        outputs.append(call.output)

    def compare(module: nn.Module, given: tuple[Any, ...]) -> None:
        layer = len(outputs) - 1
        if layer < 0 or layer in found or not isinstance(module, nn.Linear):
            return
        heads = outputs[-1].flatten(-2).flatten(0, -2)
        if (
            given
            and given[0].shape[-1] == heads.shape[-1]
            and torch.equal(given[0].flatten(0, -2), heads)
        ):
            found[layer] = module

    hooks = [m.register_forward_pre_hook(compare) for m in hf.modules() if isinstance(m, nn.Linear)]
    before = replace(tap)
    tap.observers, tap.edits = [remember], []
    try:
        hf.base_model(**tokenizer(_TEXT, return_tensors="pt").to(hf.device))
    finally:
        # A pass of our own must not count as one of the user's, and may lie within one.
        vars(tap).update(vars(before))
        for hook in hooks:
            hook.remove()
    missed = [layer + 1 for layer in range(int(hf.config.num_hidden_layers)) if layer not in found]
    if missed:
        raise InterventionError(
            f"no linear layer of {name} ({hf.config.model_type}) reads the concatenated heads of "
            f"layer {', '.join(map(str, missed))}, so the heads' output projection is unknown and "
            "no measure can use it: leave out the norm-weighted measures, or use a model of "
            "another family (bert, roberta, electra, ...)"
        )
    return [found[layer] for layer in sorted(found)]


def split(linear: nn.Linear, heads: int) -> Float[Tensor, "hidden head d"]:
    """A layer's output projection by head: head h adds `split[:, h] @ z_h` to the layer's output. A
    view, no copy.
    """
    weight = linear.weight.detach()
    return weight.view(len(weight), heads, -1)


def gram(projection: Float[Tensor, "hidden head d"]) -> Float[Tensor, "head d d"]:
    """The small matrices G_h = P_h^T P_h: the squared length of P_h v is v^T G_h v, and hidden is
    many times d.
    """
    by_head = projection.float().transpose(0, 1)
    return by_head.mT @ by_head
