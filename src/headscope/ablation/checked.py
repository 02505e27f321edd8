"""Whether a model that is run from its layers on puts out what the model itself does: tried on a
few of the examples before anything is scored.
"""

import torch
from torch import Tensor

from headscope.ablation.layered import Batch, Layered, Picked, Removed
from headscope.axes import Head, HeadSet
from headscope.model.encoding import Encoded
from headscope.model.tap import Mode

TOLERANCE = 1e-4
"""How far the outputs may lie from the model's, relative to the model's largest output."""


@torch.inference_mode()
def difference_from_model(layered: Layered, encoded: Encoded, mode: Mode) -> float:
    """How far the outputs lie from the model's own.

    Compared are the examples together with nothing disabled, with a head of every layer disabled,
    from the first layer on and from the last, there by themselves too, and with a head of the last
    layer alone. On the way every layer is entered once by itself.

    Args:
        layered: What is tried.
        encoded: A few examples.
        mode: What a disabled head puts out.

    Returns:
        The largest difference of an output, divided by the model's largest output if above 1.
    """
    model = layered.model
    last = model.layers - 1
    one_of_each = frozenset(Head.at(layer, layer % model.heads) for layer in range(model.layers))
    one_of_last = frozenset([Head.at(last, 0)])
    batch = Batch.of(encoded, range(len(encoded)), model.hf.device)
    expected: dict[HeadSet, Tensor] = {frozenset(): model.hf(**batch.columns).logits}
    for heads in (one_of_each, one_of_last):
        with model.disabled(heads, mode):
            expected[heads] = model.hf(**batch.columns).logits
    found: list[tuple[HeadSet, Tensor]] = []

    def branch(state: object, start: int, *sets: HeadSet) -> None:
        removed = Removed.of(sets, model)
        tokens = len(sets) * batch.tokens
        scored = layered.branch(
            state, batch, start, removed, stack_tokens=tokens, measure=start == 0
        )
        found.extend(zip(sets, scored.outputs, strict=True))

    branch(layered.enter(batch), 0, frozenset(), one_of_each)
    for trunk in (frozenset[Head](), one_of_each):
        state = layered.enter(batch)
        for layer in range(last):
            state = layered.advance(state, batch, layer, layer + 1, trunk)
        # What a layer reads beside its state would now be that of other texts.
        model.hf.base_model(**_others(batch))
        above = one_of_last if not trunk else one_of_each
        branch(state, last, above)
        every = torch.arange(len(encoded), device=model.hf.device)
        picked = [Picked(state, batch, every)]
        rows = layered.rows(picked, last, Removed.of([above] * len(encoded), model))
        found.append((above, rows))
    differences = [(outputs - expected[heads]).abs().max() for heads, outputs in found]
    largest = max(1.0, float(expected[frozenset()].abs().max()))
    # Not-a-number stays one.
    return float(torch.stack(differences).max()) / largest


def _others(batch: Batch) -> dict[str, Tensor]:
    """Other texts in batches of the same shape: the tokens in the opposite order, none padding."""
    columns = {name: column.flip(1) for name, column in batch.columns.items()}
    return {**columns, "attention_mask": torch.ones_like(batch.columns["attention_mask"])}


@torch.inference_mode()
def depends_on_padding(layered: Layered, encoded: Encoded) -> bool:
    """Whether padding beside one of a few examples changes what the model puts out for it, so that
    its outputs are those of one division into batches.
    """
    model = layered.model
    together = model.hf(**encoded.batch(range(len(encoded)), model.hf.device)).logits
    alone = [
        model.hf(**encoded.batch([row], model.hf.device)).logits for row in range(len(encoded))
    ]
    apart = (torch.cat(alone) - together).abs().max()
    # Not-a-number counts as another output.
    return not bool(apart <= TOLERANCE * together.abs().max().clamp_min(1.0))
