"""The output projection of every layer's attention, split by head."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.errors import InterventionError
from headscope.model.classes import text_config
from headscope.model.probing import probe
from headscope.model.tap import Call, Tap


def output_layers(
    hf: PreTrainedModel, tap: Tap, tokenizer: PreTrainedTokenizerBase, name: str
) -> list[nn.Linear]:
    """For every layer the linear layer that reads the concatenated outputs of its heads; ALBERT's
    are all the same one.

    Raises:
        InterventionError: When a layer has none.
    """
    outputs: list[Tensor] = []
    readers: dict[int, nn.Linear] = {}

    def remember(call: Call) -> None:
        outputs.append(call.output)

    def compare(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        layer = len(outputs) - 1
        if layer < 0 or layer in readers or not arguments or not isinstance(module, nn.Linear):
            return
        heads = outputs[-1].flatten(-2).flatten(0, -2)  # [token, head * d]
        states = arguments[0].flatten(0, -2)
        width = heads.shape[-1]
        if not torch.equal(states[:, :width], heads):
            return
        # ConvBERT's layer reads the outputs of a convolution behind those of the heads.
        is_all = states.shape[-1] == width
        readers[layer] = module if is_all else as_linear(module.weight[:, :width])

    probe(hf, tap, tokenizer, nn.Linear, compare, remember)
    layers = range(int(text_config(hf.config).num_hidden_layers))
    missed = [str(layer + 1) for layer in layers if layer not in readers]
    if missed:
        raise InterventionError(
            f"no linear layer of {name} ({hf.config.model_type}) reads the concatenated heads of "
            f"layer {', '.join(missed)}, so the heads' output projection is unknown and "
            "no measure can use it: leave out the norm-weighted measures, or use a model of "
            "another family (bert, roberta, electra, ...)"
        )
    return [readers[layer] for layer in sorted(readers)]


def as_linear(weight: Float[Tensor, "hidden size"]) -> nn.Linear:
    """A linear layer with this weight, a view of the model's own."""
    hidden, size = weight.shape
    linear = nn.Linear(size, hidden, bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return linear


def split(linear: nn.Linear, heads: int) -> Float[Tensor, "hidden head d"]:
    """A layer's output projection by head: head h adds `split[:, h] @ z_h` to the layer's output. A
    view, not a copy.
    """
    weight = linear.weight.detach()
    return weight.reshape(len(weight), heads, -1)


def gram(projection: Float[Tensor, "hidden head d"]) -> Float[Tensor, "head d d"]:
    """The small matrices G_h = P_h^T P_h: the squared length of P_h v is v^T G_h v, and hidden is
    many times d.
    """
    by_head = projection.float().transpose(0, 1)
    return by_head.mT @ by_head
