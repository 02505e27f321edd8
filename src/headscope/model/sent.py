"""A model as something that can be sent: its name, and its files where the other machine may lack
them.
"""

from dataclasses import dataclass
from pathlib import Path

from headscope.engine.executor import Executor, Shared
from headscope.engine.folders import Files
from headscope.model.model import Model
from headscope.scratch import scratch

_ENDINGS = ("json", "safetensors", "txt", "model", "jinja")
"""How the files of a checkpoint and its tokenizer end."""
_WHERE = ("", "[0-9]_*/")
"""Where they are: in the folder, and in those of sentence-transformers' modules. What a run keeps
in other folders beside a checkpoint is not sent.
"""
_PATTERNS = tuple(f"{where}*.{ending}" for where in _WHERE for ending in _ENDINGS)


@dataclass(frozen=True)
class SentModel:
    """A checkpoint that a worker can load.

    Attributes:
        name: The folder or hub name that its files come from.
        files: The folder's files; None where the worker has them, or gets them from the hub.
    """

    name: str
    files: Shared[Files] | None = None

    @classmethod
    def of(cls, model: Model, executor: Executor) -> "SentModel":
        """A model for the workers of an executor.

        Args:
            model: The model. Changes of its weights in memory are not sent.
            executor: Shares the files where its workers do not have them.
        """
        folder = Path(model.path)
        if not executor.is_elsewhere or not folder.is_dir():
            return cls(model.path)
        return cls(model.path, executor.share(Files.read(folder, _PATTERNS)))

    def path(self) -> str:
        """The folder or hub name to load it from here; its files are written down if need be."""
        if self.files is None:
            return self.name
        files = self.files.get()
        folder = scratch("models") / files.key
        if not folder.is_dir():
            files.write(folder)
        return str(folder)
