"""The check at load: does this model really let its heads be seen and disabled? Refuse it by name
if not.
"""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from headscope.axes import Head
from headscope.errors import InterventionError
from headscope.model.attention import NAME, Call, Edit, Tap

_TEXTS = [
    "The nurse thanked the pilot.",
    "After the storm, two tired sailors slowly rowed back to the old harbour.",
]
_TOLERANCE = 1e-4


@torch.no_grad()
def check(
    hf: PreTrainedModel,
    tap: Tap,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    shape: tuple[int, int],
    max_length: int,
) -> None:
    """Run two sentences, one of them padded, and compare with transformers' eager attention.

    What must hold: captured maps equal eager's within 1e-4, rows sum to 1, no mass lies on padding,
    there are layers x heads of them, and replacing a layer's heads changes what the model puts out.

    Raises InterventionError with the first thing that does not hold.
    """

    def refuse(what: str) -> InterventionError:
        return InterventionError(
            f"{name} ({hf.config.model_type}) failed the check at load: {what}. Its heads cannot "
            "be measured or disabled reliably; use a model of another family (bert, roberta, "
            "electra, ...) or report this one"
        )

    layers, heads = shape
    encoded = tokenizer(
        _TEXTS, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
    )
    batch = {k: v.to(hf.device) for k, v in encoded.items()}
    real = batch["attention_mask"].bool()
    captured: list[torch.Tensor] = []

    def capture(call: Call) -> None:
        captured.append(call.maps)

    with tap.observed(capture):
        before = hf(**batch)[0]
    for layer, maps in enumerate(captured, start=1):
        if not torch.isfinite(maps).all():
            raise refuse(
                f"the attention of layer {layer} is not finite, so its weights are damaged"
            )
    if not torch.isfinite(before[real] if before.dim() == 3 else before).all():
        raise refuse("its output is not finite, so its weights are damaged")
    if len(captured) != layers or any(maps.shape[1] != heads for maps in captured):
        raise refuse(
            f"{len(captured)} calls of attention were seen, {layers} layers of {heads} heads were "
            "expected"
        )
    hf.set_attn_implementation("eager")
    try:
        eager = hf(**batch, output_attentions=True).attentions
    finally:
        hf.set_attn_implementation(NAME)
    for layer, (ours, theirs) in enumerate(zip(captured, eager or (), strict=True), start=1):
        rows = ours.transpose(1, 2)[real]
        if not torch.allclose(rows, theirs.transpose(1, 2)[real], atol=_TOLERANCE):
            raise refuse(f"the maps of layer {layer} differ from transformers' own")
        if not torch.allclose(rows.sum(-1), torch.ones(()).to(rows), atol=_TOLERANCE):
            raise refuse(f"the rows of layer {layer} do not sum to 1")
        if (ours * ~real[:, None, None, :]).transpose(1, 2)[real].max() > _TOLERANCE:
            raise refuse(f"layer {layer} attends to padding")
    every = torch.arange(heads, device=hf.device)
    for layer in range(layers):
        with tap.edited(Edit({layer: every}, "uniform")) as edit:
            after = hf(**batch)[0]
        if not all(edit.change[Head.at(layer, h)] > 0 for h in range(heads)) or torch.equal(
            before, after
        ):
            raise refuse(f"disabling the heads of layer {layer + 1} changed nothing")
