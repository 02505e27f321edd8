"""One scale for every head that stays, fitted without training (Kwon et al. 2022, section 4.3)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.model.encoding import BATCH_TOKENS, batches
from pruning.sets import Set, heads_of
from pruning.setting import Examples, Setting

Scales = Float[np.ndarray, "layer head"]
LARGEST = 10.0
"""Where a layer's fit goes beyond this, it and the layers above keep scales of 1, as published."""


@torch.no_grad()
def fitted_scales(setting: Setting, examples: Examples, removed: Set) -> Scales:
    """A scale for every head: 1 for those that are removed.

    Layer by layer from the bottom, the sum of attention and residual is brought as near as possible
    to the whole model's on the same examples, in the least squares over all real tokens; the layers
    below are those of the pruned model with their scales. Unlike the published code it fits the
    first layer too and pulls the scales to 1 by no more than rounding needs.

    Raises:
        SystemExit: The model is not built like BERT.
    """
    model = setting.model
    scales = np.ones((model.layers, model.heads))
    by_layer = removed.reshape(model.layers, model.heads)
    for layer in range(model.layers):
        kept = np.flatnonzero(~by_layer[layer])
        if not len(kept) or not by_layer[: layer + 1].any():
            continue
        fit = _fit(setting, examples, removed, scales, layer, kept)
        if np.abs(fit).max() > LARGEST:
            break
        scales[layer, kept] = fit
    return scales


def _fit(
    setting: Setting,
    examples: Examples,
    removed: Set,
    scales: Scales,
    layer: int,
    kept: np.ndarray,
) -> np.ndarray:
    """The scales of a layer's heads that stay."""
    model = setting.model
    weight = model.projections[layer].double()  # [hidden, head, d]
    gram = np.zeros((len(kept), len(kept)))
    right = np.zeros(len(kept))
    up_to_here = np.arange(len(removed)) < (layer + 1) * model.heads
    gone = heads_of(removed & up_to_here, model.heads)
    others = np.setdiff1d(np.arange(model.heads), kept)
    for rows in batches(examples.encoded.lengths, BATCH_TOKENS):
        inputs = examples.encoded.batch(rows, model.hf.device)
        real = inputs["attention_mask"].bool()
        target_heads, target_residual = _seen(setting, inputs, layer)
        with model.disabled(gone, setting.mode), scaled(setting, scales):
            heads, residual = _seen(setting, inputs, layer)
        # [token, head, hidden]
        whole = _parts(target_heads[real], weight)
        parts = _parts(heads[real], weight)
        missing = whole.sum(1) + target_residual[real].double() - residual[real].double()
        # What stands for removed heads is not scaled.
        missing = missing - parts[:, others].sum(1)
        columns = parts[:, kept]
        gram += torch.einsum("tih,tjh->ij", columns, columns).cpu().numpy()
        right += torch.einsum("tih,th->i", columns, missing).cpu().numpy()
    ridge = 1e-9 * np.trace(gram) / len(kept)
    # The step from scales of 1.
    step = np.linalg.solve(gram + ridge * np.eye(len(kept)), right - gram.sum(1))
    return np.asarray(1.0 + step)


def _parts(heads: Tensor, weight: Tensor) -> Tensor:
    """What every head adds to the states, [token, head, hidden]."""
    by_head = heads.double().view(len(heads), *weight.shape[1:])
    return torch.einsum("thd,nhd->thn", by_head, weight)


def _seen(setting: Setting, inputs: dict[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    """What a layer's output projection reads before it is scaled, and the residual beside it."""
    caught: list[tuple[Tensor, Tensor]] = []

    def keep(_module: Any, given: tuple[Tensor, ...]) -> None:
        caught.append((given[0], given[1]))
        # What comes after is not needed.
        raise _SeenError

    hook = _attention_outputs(setting)[layer].register_forward_pre_hook(keep)
    try:
        setting.model.hf(**inputs)
    except _SeenError:
        pass
    finally:
        hook.remove()
    return caught[0]


class _SeenError(Exception):
    """Ends a forward pass."""


def _attention_outputs(setting: Setting) -> Sequence[Any]:
    """BERT's modules that project the heads' outputs and add the residual."""
    layers: Sequence[Any] = setting.model.layer_modules
    if not layers or not hasattr(getattr(layers[0], "attention", None), "output"):
        raise SystemExit(f"{setting.model.name} is not built like BERT: its layers are not found")
    return [layer.attention.output for layer in layers]


@contextmanager
def scaled(setting: Setting, scales: Scales) -> Iterator[None]:
    """While it is open, the output projections read every head times its scale."""
    with ExitStack() as stack:
        for module, of_layer in zip(_attention_outputs(setting), scales, strict=True):
            weight = module.dense.weight
            before = weight.data
            factors = torch.tensor(of_layer, dtype=weight.dtype, device=weight.device)
            size = weight.shape[1] // len(of_layer)
            weight.data = before * factors.repeat_interleave(size)
            stack.callback(setattr, weight, "data", before)
        yield
