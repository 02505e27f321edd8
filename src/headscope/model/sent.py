"""A model as something that can be sent: its name, and its files where the other machine may lack
them.
"""

from dataclasses import dataclass
from pathlib import Path

from headscope.engine.executor import Executor, Shared
from headscope.engine.folders import Files
from headscope.errors import HeadscopeError
from headscope.model.fingerprint import configuration
from headscope.model.model import Model
from headscope.scratch import scratch

_ENDINGS = ("json", "safetensors", "txt", "model", "jinja")
"""How the files of a checkpoint and its tokenizer end."""
_WHERE = ("", "[0-9]_*/")
"""Where they are: in the folder, and in those of sentence-transformers' modules. What a run keeps
in other folders beside a checkpoint is not sent.
"""
MODEL_FILES = tuple(f"{where}*.{ending}" for where in _WHERE for ending in _ENDINGS)
"""The files of a checkpoint, as patterns."""


@dataclass(frozen=True)
class SentModel:
    """A checkpoint that a worker can load.

    Attributes:
        name: The folder or hub name that its files come from.
        hash: The driver's hash of the weights (`Model.hash`).
        encoder_hash: The same of the encoder's.
        configuration: The same of the configuration.
        files: The folder's files; None where the worker has them, or gets them from the hub.
    """

    name: str
    hash: str
    encoder_hash: str
    configuration: str
    files: Shared[Files] | None = None

    @classmethod
    def of(cls, model: Model, executor: Executor) -> "SentModel":
        """A model for the workers of an executor.

        Args:
            model: The model. Changes of its weights in memory are not sent.
            executor: Shares the files where its workers do not have them.
        """
        folder = Path(model.path)
        files = None
        if executor.is_elsewhere and folder.is_dir():
            files = executor.share(Files.read(folder, MODEL_FILES))
        hashes = (model.hash, model.encoder_hash, configuration(model))
        return cls(model.path, *hashes, files)

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from other models."""
        return (self.name, self.hash, self.encoder_hash, self.configuration)

    def path(self) -> str:
        """The folder or hub name to load it from here; its files are written down if need be."""
        if self.files is None:
            return self.name
        files = self.files.get()
        folder = scratch("models") / files.key
        if not folder.is_dir():
            files.write(folder)
        return str(folder)

    def checked(self, model: Model) -> Model:
        """The model that a worker loaded, if it is the driver's.

        Raises:
            HeadscopeError: It is another one of the same name, such as a newer one of the hub.
        """
        return self._checked(model, is_same=model.hash == self.hash)

    def checked_encoder(self, model: Model) -> Model:
        """The same where only the encoder matters: one of the two may have lost its head."""
        return self._checked(model, is_same=model.encoder_hash == self.encoder_hash)

    def _checked(self, model: Model, *, is_same: bool) -> Model:
        if not is_same or configuration(model) != self.configuration:
            raise HeadscopeError(
                f"a worker has another model under the name {self.name} than the process that it "
                "works for: let all have the same files, or give a folder, whose files are sent"
            )
        return model
