"""A checkpoint without some heads: written whole, loaded again, and compared with the model whose
heads are disabled before it stands in its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from headscope.errors import HeadscopeError, InterventionError
from headscope.files import replacing_folder, written
from headscope.model.classes import OF_TEXTS
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.pooling import Pooling, pooling_of, save_pooling
from headscope.model.removal import Removal
from headscope.model.source import CONFIG, find
from headscope.pruning.card import Form, Subject, card

TOLERANCE = 1e-4
"""How far an output may lie from that of the disabled model, relative to the largest output."""
_SENTENCES = (
    "The nurse thanked the pilot.",
    "After the storm, two tired sailors slowly rowed back to the old harbour.",
)
_LONG = 30
_MOST_TOKENS = 256


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was written and checked.

    Attributes:
        folder: Where it is.
        parameters: How many weights its model has.
        bytes: How large its file of weights is.
        difference: The largest distance of its outputs from those of the disabled model, relative
            to the largest output or 1.
    """

    folder: Path
    parameters: int
    bytes: int
    difference: float


def write(subject: Subject, folder: Path, save: Callable[[Path], None]) -> Checkpoint:
    """Write a checkpoint, check it, and put it in its place.

    Args:
        subject: What is removed from which model, and what the card says of it.
        folder: Where the checkpoint goes. One that is there is replaced.
        save: Writes the weights and config.json into a folder.

    Raises:
        InterventionError: What was written puts out something else than the disabled model; nothing
            is left behind.
        HeadscopeError: The folder has something else in it.
        OSError: It could not be written.
    """
    _refuse_other_content(folder)
    model, form = subject.model, subject.form
    with replacing_folder(folder) as unfinished:
        with written(f"the checkpoint {form}"):
            save(unfinished)
            model.tokenizer.save_pretrained(unfinished)
            if subject.pooling is not None:
                width = int(model.hf.config.hidden_size)
                save_pooling(subject.pooling, find(model.path), width, unfinished)
        if subject.pooling is not None:
            check_pooling(subject.pooling, unfinished, form)
        head = model.head or OF_TEXTS
        loaded = load(unfinished, device=str(model.hf.device), head=head)
        difference = check_same(model, subject.removal, loaded, form)
        parameters = sum(tensor.numel() for tensor in loaded.hf.parameters())
        size = sum(file.stat().st_size for file in unfinished.glob("*.safetensors"))
        text = card(subject, parameters, size)
        (unfinished / "README.md").write_text(text, encoding="utf-8")
    return Checkpoint(folder, parameters, size, difference)


def check_pooling(pooling: Pooling, folder: Path, form: Form) -> None:
    """Check that a folder says of itself how its vectors are pooled.

    Raises:
        InterventionError: It says something else.
    """
    said, _ = pooling_of(find(folder))
    if said != pooling:
        raise InterventionError(
            f"the checkpoint {form} says of its vectors {said}, and they were scored with "
            f"{pooling}, so it is not kept: please report the model's folder"
        )


def refuse_shared_layers(model: Model) -> None:
    """Refuse a model whose layers are one and the same module.

    Raises:
        HeadscopeError: They are, as ALBERT's.
    """
    linears = model.output_layers
    if len({id(linear) for linear in linears}) < len(linears):
        raise HeadscopeError(
            f"{model.name} ({model.family}) has one module for all layers, so a head cannot be "
            "removed from one of them alone: disable it with headscope disable, or use a model "
            "whose layers have weights of their own"
        )


def _refuse_other_content(folder: Path) -> None:
    if not folder.exists() or (folder / CONFIG).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise HeadscopeError(
            f"{folder} holds something else than a checkpoint, which would be lost: give another "
            "folder"
        )


@torch.no_grad()
def check_same(model: Model, removal: Removal, written_model: Model, form: Form) -> float:
    """Compare the outputs of a checkpoint with those of the model whose heads are disabled, for
    padded texts of several lengths and for a single text and pair.

    Args:
        model: The whole model.
        removal: What is removed.
        written_model: The checkpoint, loaded.
        form: What the checkpoint is called in an error.

    Returns:
        The largest difference, relative to the largest output or 1.

    Raises:
        InterventionError: It is larger than `TOLERANCE`.
    """
    largest = 0.0
    for batch in padded_batches(model):
        with removal.applied(model):
            expected = real_outputs(model, batch)
        put_out = real_outputs(written_model, batch)
        scale = max(1.0, float(expected.abs().max()))
        difference = float((put_out - expected).abs().max()) / scale
        # A number that is not finite is no small difference.
        largest = max(largest, difference if difference == difference else float("inf"))
    if largest > TOLERANCE:
        raise InterventionError(
            f"the checkpoint {form} of {model.name} puts out something else than the model with "
            f"the same heads disabled (difference {largest:.1e}, at most {TOLERANCE:.0e} is "
            "rounding), so it is not kept: please report the model's family and the mode"
        )
    return largest


def real_outputs(model: Model, batch: dict[str, Tensor]) -> Tensor:
    """What a model puts out for every text, or for every token that is not padding: that of padding
    means nothing. [text or token, output].
    """
    head, outputs = model.head, model.hf(**batch)
    whole = [outputs[0]] if head is None else [outputs[name] for name in head.outputs]
    if head is OF_TEXTS:
        return torch.cat(whole)
    real = batch["attention_mask"].bool()
    of_tokens = [values[real].reshape(int(real.sum()), -1) for values in whole]
    return torch.cat(of_tokens, dim=1)


def padded_batches(model: Model) -> list[dict[str, Tensor]]:
    """Three texts, two of them padded; one text; one pair of texts."""
    short, longer = _SENTENCES
    # Longer than the window of local layers.
    long = " ".join(_SENTENCES * _LONG)
    length = min(model.max_length, _MOST_TOKENS)
    batches = []
    for texts in (([short, longer, long],), ([longer],), ([short], [longer])):
        encoded = model.tokenizer(
            *texts,
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        batches.append({name: values.to(model.hf.device) for name, values in encoded.items()})
    return batches
