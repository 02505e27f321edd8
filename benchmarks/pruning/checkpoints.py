"""The models that heads are removed from: fine-tuned on all training examples but some held out.

Heads are chosen on the examples that were held out: on those that a model was fine-tuned on its
loss is low whatever it has learnt.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headscope.examples import Split
from headscope.model.encoding import MAX_LENGTH, encode
from headscope.model.loading import load
from headscope.results.contents import CHECKPOINT_DONE
from headscope.tasks.base import Task
from headscope.tasks.files import Data
from headscope.training.checkpoint import save_checkpoint
from headscope.training.loop import train
from headscope.training.recipe import Recipe

MODEL = "minilm"
MOST = {"sst2": 20_000, "qnli": 10_000}
"""How many training examples of a task are used at most; all of the others."""
HELD_OUT = 1_000
"""How many of them are held out at most, and never more than a quarter."""
EPOCHS, LEARNING_RATE = 3, 1e-4


@dataclass(frozen=True)
class Parts:
    """The training examples in two parts.

    Attributes:
        trained: What the model is fine-tuned on.
        held_out: What it never saw, in random order.
    """

    trained: Split
    held_out: Split


def parts(task: Task, train_split: Split, seed: int) -> Parts:
    """Divide the training examples, drawn from the seed."""
    order = np.random.default_rng(seed).permutation(len(train_split))
    order = order[: MOST.get(task.name, len(order))]
    held_out = min(HELD_OUT, len(order) // 4)
    return Parts(
        trained=train_split.take(order[held_out:]), held_out=train_split.take(order[:held_out])
    )


def make_checkpoint(task: Task, data: Data, seed: int, folder: Path) -> None:
    """Fine-tune the model into a folder, unless that is whole already; goes on after a kill."""
    if (folder / CHECKPOINT_DONE).is_file():
        return
    split = parts(task, data.train, seed).trained
    model = load(MODEL, labels=task.outputs, seed=seed)
    encoded = encode(split, model.tokenizer, min(MAX_LENGTH, model.max_length))
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "training.safetensors"
    recipe = Recipe(epochs=EPOCHS, lr=LEARNING_RATE, seed=seed)
    train(model, task, encoded, split.labels, recipe, state=state)
    save_checkpoint(model, task, folder)
    state.unlink(missing_ok=True)
