"""The check at load: does this model really let its heads be seen and disabled? Refuse it by name
if not.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.axes import Head
from headscope.errors import InterventionError
from headscope.model.model import Model
from headscope.model.reduced_files import folded_heads
from headscope.model.tap import Call, Edit

Maps = Float[Tensor, "batch head query key"]
Real = Bool[Tensor, "batch token"]

_TEXTS = [
    "The nurse thanked the pilot.",
    "After the storm, two tired sailors slowly rowed back to the old harbour.",
]
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Outcome:
    """What a pass over one batch gave.

    Attributes:
        maps: A layer's maps each.
        states: The encoder's output, [batch, token, hidden].
    """

    maps: Sequence[Maps]
    states: Tensor


@torch.no_grad()
def check(model: Model) -> tuple[str, ...]:
    """Run a padded batch, a single text and a single pair with headscope's attention, observed,
    unobserved and edited, and with the model's own.

    Without padding transformers hands over no mask, and other code runs.

    Returns:
        What the user must know.

    Raises:
        InterventionError: The first condition that does not hold, as a clause.
    """
    batches = _batches(model)
    seen = [_observed(model, batch) for batch in batches]
    # The shortest batch is enough for what costs a pass a layer.
    single = batches[1]
    output = model.hf(**single)[0]
    for batch, ours in zip(batches, seen, strict=True):
        attention_is_finite(ours.maps)
        output_is_finite(ours.states, batch["attention_mask"].bool())
        every_layer_is_seen(ours.maps, model.layers, model.heads)
    output_is_finite(output, single["attention_mask"].bool())
    unobserved = [model.hf.base_model(**batch)[0] for batch in batches]
    with model.tap.edited(Edit({}, "uniform")):
        edited = model.hf.base_model(**single)[0]
    plain = _plain(model, batches)
    for batch, expected in zip(batches, plain, strict=True):
        plain_maps_are_returned(expected.maps, model.layers)
        attention_is_not_causal(expected.maps, batch["attention_mask"].bool())
    for batch, ours, states, expected in zip(batches, seen, unobserved, plain, strict=True):
        real = batch["attention_mask"].bool()
        for layer, (maps, own) in enumerate(zip(ours.maps, expected.maps, strict=True), start=1):
            maps_are_the_models_own(maps, own, real, layer)
            rows_sum_to_one(maps, real, layer)
            padding_gets_nothing(maps, real, layer)
        states_are_the_models_own(ours.states, expected.states, real, "observed")
        states_are_the_models_own(states, expected.states, real, "unobserved")
    real = single["attention_mask"].bool()
    states_are_the_models_own(edited, plain[1].states, real, "edited in no head")
    folded = folded_heads(model.hf.config, model.name)
    for layer in range(1, model.layers + 1):
        disabling_changes_the_output(model, single, output, layer, folded)
    notes = padding_note(unobserved[0], unobserved[1], real)
    if model.has_head and not notes:
        head_does_not_read_padding(model.hf(**batches[0])[0], output)
    return notes


def _batches(model: Model) -> list[dict[str, Tensor]]:
    """Two texts, one of them padded; one text; one pair of texts."""
    batches = []
    for texts in ((_TEXTS,), (_TEXTS[:1],), (_TEXTS[:1], _TEXTS[1:])):
        encoded = model.tokenizer(
            *texts,
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=model.max_length,
            return_tensors="pt",
        )
        batches.append({name: values.to(model.hf.device) for name, values in encoded.items()})
    return batches


def _observed(model: Model, batch: dict[str, Tensor]) -> Outcome:
    """What headscope sees of a batch, and what the encoder puts out meanwhile."""
    seen: list[Tensor] = []

    def capture(call: Call) -> None:
        seen.append(call.maps)

    with model.observed(capture):
        states = model.hf.base_model(**batch)[0]
    return Outcome(seen, states)


def _plain(model: Model, batches: Sequence[dict[str, Tensor]]) -> list[Outcome]:
    """What the model gives by itself for every batch."""
    outcomes = []
    with model.tapping.plain(model.hf):
        for batch in batches:
            output = model.hf.base_model(**batch, output_attentions=True)
            maps = [model.tapping.as_maps(returned) for returned in output.attentions or ()]
            outcomes.append(Outcome(maps, output[0]))
    return outcomes


def attention_is_finite(seen: Sequence[Maps]) -> None:
    """No weight of attention is NaN or infinite."""
    for layer, maps in enumerate(seen, start=1):
        if not torch.isfinite(maps).all():
            raise InterventionError(
                f"the attention of layer {layer} is not finite, so its weights are damaged"
            )


def output_is_finite(output: Tensor, real: Real) -> None:
    """No output is NaN or infinite: [batch, output], or [batch, token, hidden] at real tokens."""
    if not torch.isfinite(output[real] if output.dim() == 3 else output).all():
        raise InterventionError("its output is not finite, so its weights are damaged")


def every_layer_is_seen(seen: Sequence[Maps], layers: int, heads: int) -> None:
    """Attention is called once a layer, with the maps of all heads."""
    if len(seen) != layers or any(maps.shape[1] != heads for maps in seen):
        raise InterventionError(
            f"{len(seen)} calls of attention were seen, {layers} layers of {heads} heads were "
            "expected"
        )


def plain_maps_are_returned(plain: Sequence[Maps], layers: int) -> None:
    """The model itself returns a map for every layer, to compare with."""
    if len(plain) != layers:
        raise InterventionError(
            f"asked for its own maps, it returns {len(plain)} for {layers} layers"
        )


def attention_is_not_causal(plain: Sequence[Maps], real: Real) -> None:
    """In every layer some token attends to one that comes after it."""
    for layer, maps in enumerate(plain, start=1):
        if (maps.triu(1) * real[:, None, :, None]).max() <= 0:
            raise InterventionError(
                f"it is a decoder with causal attention: no token of layer {layer} attends to one "
                "that comes after it, and headscope takes encoders"
            )


def states_are_the_models_own(states: Tensor, plain: Tensor, real: Real, how: str) -> None:
    """The encoder's output with headscope's attention equals that of the model by itself."""
    difference = (states - plain)[real].abs().max()
    if not difference <= _TOLERANCE * plain[real].abs().max():
        raise InterventionError(
            f"its output differs from transformers' own by {difference:.1e} while it is {how}"
        )


def padding_note(padded: Tensor, unpadded: Tensor, real: Real) -> tuple[str, ...]:
    """A note where padding changes what the encoder puts out for the first text.

    Args:
        padded: The states of a batch whose first text is padded, [batch, token, hidden].
        unpadded: Those of the first text alone.
        real: The tokens of the first text, [1, token].
    """
    difference = (padded[:1, : real.shape[1]] - unpadded)[real].abs().max()
    relative = float(difference / unpadded[real].abs().max())
    if relative <= _TOLERANCE:
        return ()
    return (
        f"padding beside a text changes what the model puts out for it (on one text by "
        f"{relative:.1%} of its largest state), so numbers depend on which texts share a batch",
    )


def head_does_not_read_padding(padded: Tensor, unpadded: Tensor) -> None:
    """A classification head says the same of the first text with padding beside it and without.

    Args:
        padded: The outputs for a batch whose first text is padded, [batch, output]; of a head that
            reads token by token [batch, token, output], of one that answers questions [batch,
            token].
        unpadded: Those for the first text alone.
    """
    difference = (padded[:1, : unpadded.shape[1]] - unpadded).abs().max()
    if not difference <= 10 * _TOLERANCE * unpadded.abs().max():
        raise InterventionError(
            f"its classification head reads padding: what it puts out for a text differs by "
            f"{difference:.1e} where the text is padded at its end"
        )


def maps_are_the_models_own(maps: Maps, plain: Maps, real: Real, layer: int) -> None:
    """The captured maps equal those that the model returns."""
    rows = _real_rows(maps, real)
    if not torch.allclose(rows, _real_rows(plain, real), atol=_TOLERANCE):
        raise InterventionError(f"the maps of layer {layer} differ from transformers' own")


def rows_sum_to_one(maps: Maps, real: Real, layer: int) -> None:
    """A token gives away all of its attention."""
    sums = _real_rows(maps, real).sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=_TOLERANCE):
        raise InterventionError(f"the rows of layer {layer} do not sum to 1")


def padding_gets_nothing(maps: Maps, real: Real, layer: int) -> None:
    """No real token attends to padding."""
    on_padding = maps * ~real[:, None, None, :]
    if _real_rows(on_padding, real).max() > _TOLERANCE:
        raise InterventionError(f"layer {layer} attends to padding")


def disabling_changes_the_output(
    model: Model,
    batch: dict[str, Tensor],
    output: Tensor,
    layer: int,
    folded: Collection[Head] = (),
) -> None:
    """With the heads of a layer disabled, the output of each of them moves, and the model's too;
    those whose removal is folded into the weights need not.
    """
    heads = torch.arange(model.heads, device=model.hf.device)
    with model.tap.edited(Edit({layer - 1: heads}, "uniform")) as edit:
        disabled = model.hf(**batch)[0]
    working = [Head(layer, head) for head in range(1, model.heads + 1)]
    working = [head for head in working if head not in folded]
    moved = [edit.change[head] > 0 for head in working]
    if not all(moved) or (working and torch.equal(output, disabled)):
        raise InterventionError(f"disabling the heads of layer {layer} changed nothing")


def _real_rows(maps: Maps, real: Real) -> Float[Tensor, "row head key"]:
    return maps.transpose(1, 2)[real]
