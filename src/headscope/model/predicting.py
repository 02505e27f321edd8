"""What a model with a head for texts says of them: classes with probabilities, or scores."""

import numpy as np
import polars as pl
import torch

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.progress import say_notes


def predict(model: Model, split: Split, encoded: Encoded) -> pl.DataFrame:
    """A row per text: the text, the class with its probability and that of every class, or a score.

    Raises:
        HeadscopeError: The model has no head for texts.
    """
    classes = _classes(model)
    notes = []
    if not model.trained_head:
        notes.append(
            f"the head of {model.name} was new when it was loaded: unless it was trained since, "
            "its predictions are random"
        )
    if encoded.truncated:
        notes.append(
            f"{encoded.truncated} of {len(encoded)} texts were cut to {encoded.max_length} tokens"
        )
    say_notes(notes)
    outputs = torch.from_numpy(logits(model, encoded)).double()
    columns: dict[str, object] = {"text": split.first}
    if split.second is not None:
        columns["second"] = split.second
    if len(classes) == 1:
        return pl.DataFrame({**columns, "score": outputs[:, 0].numpy()})
    is_multiple = model.hf.config.problem_type == "multi_label_classification"
    probabilities = (outputs.sigmoid() if is_multiple else outputs.softmax(-1)).numpy()
    best = probabilities.argmax(1)
    columns["label"] = [classes[number] for number in best]
    columns["probability"] = probabilities[np.arange(len(best)), best]
    for number, name in enumerate(classes):
        columns[f"p_{name}"] = probabilities[:, number]
    return pl.DataFrame(columns)


def _classes(model: Model) -> tuple[str, ...]:
    """The names of the outputs. Raises HeadscopeError where no head gives one answer a text."""
    if not model.has_head or not type(model.hf).__name__.endswith("ForSequenceClassification"):
        raise HeadscopeError(
            f"{model.name} has no head for texts, so it predicts nothing: fine-tune it first with "
            "headscope.finetune"
        )
    return model.classes
