"""The files of a folder as data, so that a machine that does not have the folder can be sent it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headscope.errors import HeadscopeError


@dataclass(frozen=True)
class Files:
    """The files of a folder.

    Attributes:
        content: The bytes of every file, by its path within the folder, with "/" between names.

    Example:
        >>> files = Files({"config.json": np.frombuffer(b"{}", np.uint8)})
        >>> files.key[:8]
        '555dc369'
    """

    content: Mapping[str, npt.NDArray[np.uint8]]

    @classmethod
    def read(cls, folder: Path, patterns: tuple[str, ...]) -> "Files":
        """The files of a folder that fit a pattern, as in "*.json" or "*/*.json".

        They are read when they are used, so they must not change until then; they may be removed.

        Raises:
            HeadscopeError: One of them cannot be read.
        """
        content = {}
        found = {path for pattern in patterns for path in folder.glob(pattern)}
        for path in sorted(found):
            if path.is_file():
                try:
                    content[path.relative_to(folder).as_posix()] = _bytes(path)
                except OSError as error:
                    raise HeadscopeError(
                        f"{path} cannot be read ({error.strerror}), so it cannot be sent to other "
                        "machines"
                    ) from error
        return cls(content)

    @cached_property
    def key(self) -> str:
        """A hash of the names and the bytes."""
        digest = hashlib.sha256()
        for name, data in sorted(self.content.items()):
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data.tobytes())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """How many bytes they are."""
        return sum(len(data) for data in self.content.values())

    def write(self, folder: Path) -> None:
        """Write the files into a folder, which is made.

        Raises:
            HeadscopeError: A name leads out of the folder.
        """
        for name, data in self.content.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise HeadscopeError(f"{name!r} leads out of the folder that was sent")
            path.parent.mkdir(parents=True, exist_ok=True)
            data.tofile(path)


def _bytes(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file, which stay on the disk until they are used."""
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))
