"""The check at load: does this model really let its heads be seen and disabled? Refuse it by name
if not.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.axes import Head
from headscope.errors import InterventionError
from headscope.model.attention import Call, Edit
from headscope.model.families import family_of
from headscope.model.model import Model

Maps = Float[Tensor, "batch head query key"]
Real = Bool[Tensor, "batch token"]

_TEXTS = [
    "The nurse thanked the pilot.",
    "After the storm, two tired sailors slowly rowed back to the old harbour.",
]
_TOLERANCE = 1e-4


@torch.no_grad()
def check(model: Model) -> None:
    """Run two sentences, one of them padded, with headscope's attention and with the model's own.

    Raises:
        InterventionError: The first condition that does not hold.
    """
    try:
        _check(model)
    except InterventionError as error:
        raise InterventionError(
            f"{model.name} ({model.family}) failed the check at load: {error}. Its heads cannot "
            "be measured or disabled reliably; use a model of another family (bert, roberta, "
            "electra, ...) or report this one"
        ) from error


def _check(model: Model) -> None:
    encoded = model.tokenizer(
        _TEXTS, padding=True, truncation=True, max_length=model.max_length, return_tensors="pt"
    )
    batch = {name: values.to(model.hf.device) for name, values in encoded.items()}
    real = batch["attention_mask"].bool()
    seen: list[Tensor] = []

    def capture(call: Call) -> None:
        seen.append(call.maps)

    with model.observed(capture):
        output = model.hf(**batch)[0]
    attention_is_finite(seen)
    output_is_finite(output, real)
    every_layer_is_seen(seen, model.layers, model.heads)
    with family_of(model.family).plain(model.hf):
        plain = model.hf(**batch, output_attentions=True).attentions or ()
    plain_maps_are_returned(plain, model.layers)
    for layer, (maps, expected) in enumerate(zip(seen, plain, strict=True), start=1):
        maps_are_the_models_own(maps, expected, real, layer)
        rows_sum_to_one(maps, real, layer)
        padding_gets_nothing(maps, real, layer)
    for layer in range(1, model.layers + 1):
        disabling_changes_the_output(model, batch, output, layer)


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
    model: Model, batch: dict[str, Tensor], output: Tensor, layer: int
) -> None:
    """With the heads of a layer disabled, the output of each of them moves, and the model's too."""
    heads = torch.arange(model.heads, device=model.hf.device)
    with model.tap.edited(Edit({layer - 1: heads}, "uniform")) as edit:
        disabled = model.hf(**batch)[0]
    moved = [edit.change[Head(layer, head)] > 0 for head in range(1, model.heads + 1)]
    if not all(moved) or torch.equal(output, disabled):
        raise InterventionError(f"disabling the heads of layer {layer} changed nothing")


def _real_rows(maps: Maps, real: Real) -> Float[Tensor, "row head key"]:
    return maps.transpose(1, 2)[real]
