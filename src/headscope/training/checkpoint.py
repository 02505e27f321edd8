"""A trained model as a plain Hugging Face folder."""

from pathlib import Path
from tempfile import TemporaryDirectory

from headscope.errors import HeadscopeError
from headscope.files import move, written
from headscope.model.model import Model
from headscope.results.contents import CHECKPOINT_DONE
from headscope.tasks.base import Task


def save_checkpoint(model: Model, task: Task, folder: Path) -> None:
    """Write a folder that `from_pretrained` loads anywhere, with the task's label names. A head of
    tags that came trained keeps its own names: its outputs may stand in another order.

    Raises:
        HeadscopeError: A weight is not finite.
        OSError: It could not be written.
    """
    if (name := not_finite(model)) is not None:
        raise HeadscopeError(
            f"the weights of {model.name} are not finite (the first is in {name}), so they are "
            "not saved: train with a smaller --lr, or take a model without such weights"
        )
    if task.labels and not (task.of_tokens and model.trained_head):
        model.hf.config.id2label = dict(enumerate(task.labels))
        model.hf.config.label2id = {name: index for index, name in enumerate(task.labels)}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
        with written("the checkpoint"):
            model.hf.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
        # A folder that has CHECKPOINT_DONE is whole, also after a kill in the middle of this.
        files = sorted(Path(unfinished).iterdir(), key=lambda file: file.name == CHECKPOINT_DONE)
        for file in files:
            move(file, folder / file.name)


def not_finite(model: Model) -> str | None:
    """The name of a weight with a value that is not a number or infinite; None if there is none."""
    for name, parameter in model.hf.named_parameters():
        if not bool(parameter.detach().isfinite().all()):
            return name
    return None
