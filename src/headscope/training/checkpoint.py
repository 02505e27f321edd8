"""A trained model as a plain Hugging Face folder."""

from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors

from headscope.files import move
from headscope.model.model import Model
from headscope.tasks.base import Task

CHECKPOINT_DONE = "config.json"
"""The file that is written last into a checkpoint's folder."""


def save_checkpoint(model: Model, task: Task, folder: Path) -> None:
    """Write a folder that `from_pretrained` loads anywhere, with the task's label names.

    Raises:
        OSError: It could not be written.
    """
    if task.labels:
        model.hf.config.id2label = dict(enumerate(task.labels))
        model.hf.config.label2id = {name: index for index, name in enumerate(task.labels)}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
        try:
            model.hf.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
        except safetensors.SafetensorError as error:
            # The writer in Rust reports a full disk in its own words; the caller expects an
            # OSError.
            raise OSError(f"the checkpoint could not be written: {error}") from error
        # A folder that has CHECKPOINT_DONE is whole, also after a kill in the middle of this.
        files = sorted(Path(unfinished).iterdir(), key=lambda file: file.name == CHECKPOINT_DONE)
        for file in files:
            move(file, folder / file.name)
