"""Models, removals and batches of the tests of checkpoints without some heads."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from families import HEADS, LAYERS
from headscope.axes import Head, all_heads
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.removal import Removal
from headscope.model.tap import Mode
from headscope.tasks.base import Task

FAMILIES = (
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "electra",
    "ernie",
    "distilbert",
    "mpnet",
    "modernbert",
)
MODES: tuple[Mode, ...] = ("zero", "mean", "uniform")
TASK = Task("toy", ("text",), ("no", "yes", "maybe"), ("accuracy",))
TEXTS = [
    "the nurse thanked the pilot.",
    "it was not the pilot who was in it.",
    "who was thanked by the nurse in the storm? " * 3,
]
# Kept and removed heads of several layers; a layer without heads; one head left; no head left.
SETS = {
    "some": (Head(1, 2), Head(2, 1), Head(2, 4), Head(2, 5)),
    "a whole layer": (Head(1, 3), *(Head(2, head) for head in range(1, HEADS + 1))),
    "all but one": tuple(head for head in all_heads(LAYERS, HEADS) if head != Head(2, 3)),
    "all": tuple(all_heads(LAYERS, HEADS)),
}


def model_of(family: str, root: Path, **more: Any) -> Model:
    """A tiny random classifier that knows its heads' means."""
    model = load(zoo.folder_of(family, root, **more), device="cpu")
    model.measure_means([batch_of(model)])
    return model


def batch_of(model: Model, texts: list[str] = TEXTS) -> dict[str, Tensor]:
    """Texts of several lengths, padded."""
    encoded = model.tokenizer(texts, padding=True, return_tensors="pt")
    return dict(encoded.items())


@torch.no_grad()
def outputs(model: Model, removal: Removal | None = None) -> Tensor:
    """What a model puts out for the padded texts, and for the first alone, without some heads."""
    batches = [batch_of(model), batch_of(model, TEXTS[:1])]
    put_out = []
    for batch in batches:
        if removal is None:
            put_out.append(model.hf(**batch).logits)
        else:
            with removal.applied(model):
                put_out.append(model.hf(**batch).logits)
    return torch.cat(put_out)
