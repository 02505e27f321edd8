"""How important heads are by what can be read off the model: gradients, weights, entropy."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.axes import all_heads
from headscope.model.budget import OF_ALL_LAYERS, fitting_tokens
from headscope.model.encoding import batches
from headscope.model.tap import Call, Edit
from headscope.tasks.outputs import targets, training_loss
from pruning.sets import Scores, Set, heads_of
from pruning.setting import Examples, Setting

Gradients = Float[np.ndarray, "example head"]


def mask_gradients(setting: Setting, examples: Examples, removed: Set) -> Gradients:
    """The gradient of every example's own loss by the mask of every head, where some are removed.

    With a mask m a head puts out m z + (1 - m) r: z is its output before the output projection and
    r what stands for it in the mode, so at m = 1 the gradient is the sum over tokens of (z - r)
    dL/dz. In the mode zero that is the mask of Michel et al. 2019. Losses are added over a batch,
    and its gradients are asked for alone, so that none is left over from another batch. For heads
    that are removed already it is 0.
    """
    model, task = setting.model, setting.task
    device = model.hf.device
    target = targets(task, examples.labels, device)
    found = np.zeros((len(examples), setting.heads))
    with torch.inference_mode(False), torch.enable_grad():
        for rows in _batches(setting, examples):
            inputs = examples.encoded.batch(rows, device)
            seen = _Outputs(model.edit(all_heads(model.layers, model.heads), setting.mode))
            with model.observed(seen.keep), _without(setting, removed):
                logits = model.hf(**inputs).logits
            loss = training_loss(task, logits, target[rows], "sum")
            gradients = torch.autograd.grad(loss, seen.outputs)
            real = inputs["attention_mask"][:, :, None, None]
            for layer, gradient in enumerate(gradients):
                # [batch, token, head, d]
                product = seen.moved[layer] * gradient * real
                here = slice(layer * model.heads, (layer + 1) * model.heads)
                found[rows, here] = product.sum((1, 3)).double().cpu().numpy()
    found[:, removed] = 0.0
    return found


class _Outputs:
    """What every layer's heads put out, and how far that is from what stands for them."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self.outputs: list[Tensor] = []
        self.moved: list[Tensor] = []

    def keep(self, call: Call) -> None:
        # An observer sees what heads put out before any is replaced.
        output = call.output
        # Weights need no gradient, so in the first layer the graph has to begin.
        self.outputs.append(output if output.requires_grad else output.requires_grad_())
        every = torch.arange(output.shape[2], device=output.device)
        with torch.no_grad():
            self.moved.append(output.detach() - self._edit.replacement(call, every))


def _without(setting: Setting, removed: Set) -> AbstractContextManager[object]:
    """While it is open, the heads are removed; there may be none."""
    heads = heads_of(removed, setting.model.heads)
    return setting.model.disabled(heads, setting.mode) if heads else nullcontext()


def _batches(setting: Setting, examples: Examples) -> Sequence[list[int]]:
    tokens = fitting_tokens(setting.model, None, OF_ALL_LAYERS)
    return list(batches(examples.encoded.lengths, tokens))


def michel(gradients: Gradients) -> Scores:
    """The mean over examples of |dL/dm| (Michel et al. 2019, equation 2)."""
    return np.asarray(np.abs(gradients).mean(0))


def diagonal(gradients: Gradients) -> Scores:
    """The diagonal of the Fisher information: the mean over examples of (dL/dm)^2."""
    return np.asarray(np.square(gradients).mean(0))


def magnitude(setting: Setting) -> Scores:
    """The L2 norm of all weights of a head: its rows of the projections to queries, keys and
    values, and its columns of the output projection.

    Raises:
        SystemExit: The model is not built like BERT.
    """
    model = setting.model
    squares = []
    for layer, projection in zip(model.layer_modules, model.projections, strict=True):
        attention: Any = getattr(getattr(layer, "attention", None), "self", None)
        if attention is None or not hasattr(attention, "query"):
            raise SystemExit(f"{model.name} is not built like BERT: its weights are not found")
        total = projection.double().square().sum((0, 2))
        for rows in (attention.query, attention.key, attention.value):
            by_head = rows.weight.detach().double().view(model.heads, -1)
            total = total + by_head.square().sum(1)
        squares.append(total)
    return np.asarray(torch.stack(squares).sqrt().flatten().cpu().numpy())


@torch.inference_mode()
def entropy(setting: Setting, examples: Examples) -> Scores:
    """The mean entropy of a head's attention, nats: over the real tokens of an example, then over
    the examples.
    """
    model = setting.model
    total = np.zeros((model.layers, model.heads))

    def add(call: Call) -> None:
        maps = call.maps.double()
        of_rows = torch.special.entr(maps).sum(-1)  # [batch, head, query]
        real = call.real[:, None, :]
        by_example = (of_rows * real).sum(-1) / real.sum(-1)
        total[call.layer] += by_example.sum(0).cpu().numpy()

    for rows in _batches(setting, examples):
        with model.observed(add):
            model.hf(**examples.encoded.batch(rows, model.hf.device))
    return (total / len(examples)).flatten()
