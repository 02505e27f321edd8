"""The checkpoint full: the same architecture and size, with heads folded into weights and biases.
It loads wherever the whole model does, and is the proof of what the checkpoint small puts out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from headscope.errors import HeadscopeError
from headscope.model.model import Model
from headscope.model.pooling import Pooling
from headscope.model.reduced import PARTS
from headscope.model.reduced_files import FOLDED, Reduced, say_reduced
from headscope.model.reduced_weights import plain_config
from headscope.model.removal import Removal
from headscope.pruning.card import Cost, Subject
from headscope.pruning.checkpoint import Checkpoint, refuse_shared_layers, write
from headscope.pruning.names import name_labels
from headscope.pruning.repair import Repair, repaired
from headscope.tasks.base import Task

_WINDOW = "sliding_attention"


def write_full(
    model: Model,
    removal: Removal,
    task: Task,
    folder: Path,
    costs: Sequence[Cost] = (),
    repair: Repair | None = None,
    pooling: Pooling | None = None,
) -> Checkpoint:
    """Write a checkpoint of the same architecture in which heads do what `removal` says, and check
    that its outputs are those of the model with the same heads disabled.

    In the mode zero the output projection reads nothing of a head; in the mode mean its bias has
    the constant as well; in the mode uniform a head asks for nothing, so that it attends to all
    tokens alike.

    >>> write_full(model, Removal.of(model, "L1H2", "zero"), task, folder)      # doctest: +SKIP

    Args:
        model: The whole model.
        removal: What is removed.
        task: The task of its classification head; gives the labels' names.
        folder: Where the checkpoint goes. One that is there is replaced.
        costs: What the removal costs, for the model card.
        repair: Output projections that were fitted again, which the checkpoint gets.
        pooling: How the states of an embedder become vectors, which the checkpoint says too; None
            for a model with a head.

    Raises:
        HeadscopeError: The mode cannot be put into the weights of this model, or the checkpoint is
            not the same.
        OSError: It could not be written.
    """
    with repaired(model, repair):
        hf = folded_copy(model, removal)
        if pooling is None:
            name_labels(hf.config, task)

        def save(target: Path) -> None:
            hf.save_pretrained(target)

        subject = Subject(
            model, removal, task, "full", tuple(costs), repair=repair, pooling=pooling
        )
        return write(subject, folder, save)


def folded_copy(model: Model, removal: Removal) -> PreTrainedModel:
    """A model of the same architecture and with the outputs of `removal.applied`.

    Raises:
        HeadscopeError: The mode cannot be put into the weights of this model.
    """
    outputs = _outputs(model)
    state = {name: tensor.detach().cpu().clone() for name, tensor in model.hf.state_dict().items()}
    if removal.mode == "uniform":
        _refuse_uniform(model, removal)
        _ask_for_nothing(model, removal, state)
    else:
        _read_nothing(model, removal, state, outputs)
    config = plain_config(model.hf)
    if any(f"{name}.bias" in state for name in outputs) and hasattr(config, "attention_bias"):
        config.attention_bias = True
    kept = removal.kept(model.layers, model.heads)
    say_reduced(config, Reduced.of(kept, removal.mode, model.heads), FOLDED)
    with torch.random.fork_rng(devices=[]):
        hf: Any = type(model.hf)(config)
    hf.eval()
    for name, tensor in hf.state_dict().items():
        if name not in state:
            # ModernBERT has biases everywhere in its attention, or nowhere; the encoder of a
            # classifier may have no pooler.
            state[name] = torch.zeros_like(tensor)
    hf.load_state_dict(state, strict=True)
    folded: PreTrainedModel = hf
    return folded


def _outputs(model: Model) -> list[str]:
    """The names of the output projections of all layers."""
    refuse_shared_layers(model)
    names = {id(module): name for name, module in model.hf.named_modules()}
    linears = model.output_layers
    if any(id(linear) not in names for linear in linears):
        raise HeadscopeError(
            f"heads of {model.name} ({model.family}) cannot be removed, since its output "
            "projection is no linear layer of the heads alone: use a model of another family "
            "(bert, roberta, distilbert, ...)"
        )
    return [names[id(linear)] for linear in linears]


@torch.no_grad()
def _read_nothing(
    model: Model, removal: Removal, state: dict[str, Tensor], outputs: Sequence[str]
) -> None:
    """Let the output projections read nothing of the heads, and add their means, if they are
    wanted, to the biases.
    """
    for head in sorted(removal.heads):
        layer, index = head.index
        weight = state[f"{outputs[layer]}.weight"]
        columns = weight.view(len(weight), model.heads, -1)[:, index]  # [hidden, d]
        if removal.means is not None:
            _add_constant(model, state, outputs[layer], columns @ removal.means[layer, index].cpu())
        columns.zero_()


def _add_constant(model: Model, state: dict[str, Tensor], name: str, constant: Tensor) -> None:
    key = f"{name}.bias"
    if key not in state:
        if getattr(model.hf.config, "attention_bias", None) is None:
            raise HeadscopeError(
                f"the output projections of {model.name} ({model.family}) have no bias for the "
                "mean outputs of removed heads: use the mode zero"
            )
        state[key] = torch.zeros_like(constant)
    state[key] += constant


def _refuse_uniform(model: Model, removal: Removal) -> None:
    """Refuse a model in which a head without queries does not attend to all tokens alike."""
    config: Any = model.hf.config
    small = "the checkpoint small has it, or use the mode mean or zero"
    if model.family not in PARTS:
        raise HeadscopeError(
            f"uniform attention cannot be put into the weights of {model.name}: it is not known "
            f"for {model.family} that a head without queries attends to all tokens alike; use the "
            "mode mean or zero"
        )
    if model.family == "mpnet":
        raise HeadscopeError(
            f"uniform attention cannot be put into the weights of {model.name} ({model.family}), "
            f"whose heads also attend by relative positions, the same in all layers: {small}"
        )
    kinds = getattr(config, "layer_types", None) or []
    local = [head for head in sorted(removal.heads) if _WINDOW in kinds[head.index[0] :][:1]]
    if local:
        raise HeadscopeError(
            f"uniform attention cannot be put into the weights of {model.name} ({model.family}): "
            f"layer {local[0].layer} sees a window, not all tokens: {small}"
        )


@torch.no_grad()
def _ask_for_nothing(model: Model, removal: Removal, state: dict[str, Tensor]) -> None:
    """Make the queries of the heads 0."""
    parts = PARTS[model.family]
    names = {id(module): name for name, module in model.hf.named_modules()}
    for head in sorted(removal.heads):
        layer, index = head.index
        attention = model.layer_modules[layer].get_submodule(parts.attention)
        queries = attention.get_submodule(parts.projections[0])
        assert isinstance(queries, nn.Linear)  # noqa: S101 - for the types
        size = queries.out_features * len(parts.projections) // 3 // model.heads
        for kind in ("weight", "bias"):
            tensor = state.get(f"{names[id(queries)]}.{kind}")
            # Queries come first where one layer makes queries, keys and values.
            if tensor is not None:
                tensor[index * size : (index + 1) * size] = 0
