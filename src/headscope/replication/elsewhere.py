"""Parts of the paper on other machines.

A worker that sees the run folder writes its part there, as this machine does. To one that does not,
all that the part reads is sent, and what it wrote comes back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from headscope.engine.executor import Executor, Held, Item, Shared
from headscope.engine.folders import Files
from headscope.results.contents import CHECKPOINT_DONE, TRAINING_STATE, clear, is_leftover
from headscope.results.lock import locked
from headscope.results.record import DONE

_MARK = ".driver.tmp"
"""A file in the run folder, by which a worker knows that it sees the same folder."""
_MODELS = ("model", "before", "after")
"""Arguments that can be the folder of a model."""
_EVERYTHING = ("**/*",)
_OF_A_RELEASE = ("frame/*.xml", "lu/*.xml")
"""The files of a FrameNet release that are read."""
_WRITTEN_LAST = (CHECKPOINT_DONE, DONE)
"""Files that say that all the others are there."""
_MOST = 1000
"""At most so many parts run at once: a thread waits for each."""


@dataclass(frozen=True)
class Place:
    """Where the driver works.

    Attributes:
        root: The run folder, as an absolute path.
        here: The folder that relative paths go out from, as an absolute path.
        mark: What stands in the file `_MARK` of the run folder.
    """

    root: Path
    here: Path
    mark: str

    @property
    def is_seen(self) -> bool:
        """Whether this machine sees the driver's run folder."""
        file = self.root / _MARK
        is_same = file.is_file() and file.read_text(encoding="utf-8") == self.mark
        return is_same and self.here.is_dir()

    def relative(self, path: str | Path) -> str:
        """A path as it is given to a part: it leads to the same place in a copy of the folders."""
        whole = Path(path).expanduser()
        return os.path.relpath(whole, self.here) if whole.is_absolute() else str(path)


@dataclass(frozen=True)
class Attempt:
    """What came of a part.

    Attributes:
        is_done: Whether it was done: without files, a machine that does not see the driver's folder
            does nothing.
        written: What it wrote, where that is not in the driver's folder.
    """

    is_done: bool
    written: Files | None = None


@contextmanager
def elsewhere(executor: Executor | None, root: Path) -> Iterator[Executor | None]:
    """What runs parts in the run folder, as long as the block lasts.

    Args:
        executor: The workers; where they stay on this machine, they are left as they are.
        root: The run folder.
    """
    if executor is None or not executor.is_elsewhere:
        yield executor
        return
    place = Place(root.absolute(), Path.cwd(), uuid4().hex)
    file = place.root / _MARK
    file.write_text(place.mark, encoding="utf-8")
    parts = Elsewhere(executor, place)
    failed = True
    try:
        yield parts
        failed = False
    finally:
        parts.close(failed=failed)
        file.unlink(missing_ok=True)


class Elsewhere(Executor):
    """Runs parts by workers of which some, or none, see the run folder.

    Args:
        executor: The workers.
        place: Where this process works.
    """

    is_elsewhere = True

    def __init__(self, executor: Executor, place: Place) -> None:
        self._executor = executor
        self._place = place
        self._threads = ThreadPoolExecutor(_MOST, thread_name_prefix="part")
        self._shared: dict[Path, Shared[Files]] = {}

    @property
    def workers(self) -> int:  # type: ignore[override]
        """How many parts run at once."""
        return self._executor.workers

    def submit(self, item: Item) -> Future[Any]:
        """Begin a part; the future ends when what it wrote is in the run folder."""
        return self._threads.submit(self._do, item)

    def close(self, *, failed: bool) -> None:
        """Wait for nothing where `failed`; the workers are their owner's to end."""
        self._threads.shutdown(wait=not failed, cancel_futures=failed)

    def _do(self, item: Item) -> None:
        from headscope.replication.batch import is_done

        folder = self._place.root / item.name
        if is_done(folder):
            return
        there = replace(item, arguments=self._arguments(item))
        attempt = self._try(there, None)
        if not attempt.is_done:
            attempt = self._try(there, self._read_by(item))
        if attempt.written is not None:
            receive(attempt.written, folder)

    def _try(self, item: Item, files: Mapping[Path, Shared[Files]] | None) -> Attempt:
        given = {"place": self._place, "item": item, "files": files}
        path = f"{__name__}:{call_there.__name__}"
        attempt: Attempt = self._executor.submit(
            replace(item, function=path, arguments=given)
        ).result()
        return attempt

    def _arguments(self, item: Item) -> dict[str, Any]:
        """The arguments of a part, with paths that lead to the same place in a copy."""
        given = dict(item.arguments)
        # A worker's environment is not this process's.
        data = given.get("data") or os.environ.get("HEADSCOPE_DATA")
        if "task" in given and data:
            given["data"] = Path(self._place.relative(data))
        for name in _MODELS:
            if _model_folder(given.get(name)) is not None:
                given[name] = self._place.relative(given[name])
        for name in ("out", "measured"):
            if given.get(name) is not None:
                given[name] = Path(self._place.relative(given[name]))
        if (release := _release(given)) is not None:
            given["corpus"] = f"framenet:{self._place.relative(release)}"
        return given

    def _read_by(self, item: Item) -> dict[Path, Shared[Files]]:
        """What a part reads of this machine's disk, by its folder."""
        from headscope.model.sent import MODEL_FILES
        from headscope.tasks import find
        from headscope.tasks.files import folder_of

        given = item.arguments
        read: dict[Path, Shared[Files]] = {}
        for need in item.needs:
            folder = self._place.root / need
            read[folder] = Held(_own_files(folder))
        models = [_model_folder(given.get(name)) for name in _MODELS]
        for model in models:
            if model is not None and model not in read:
                read[model] = self._share(model, MODEL_FILES)
        if "task" in given:
            data = folder_of(find(given["task"]), given.get("data"))
            if data is not None:
                read[data.absolute()] = self._share(data.absolute(), ("*",))
        if (release := _release(given)) is not None:
            folder = release.expanduser().absolute()
            read[folder] = self._share(folder, _OF_A_RELEASE)
        return read

    def _share(self, folder: Path, patterns: tuple[str, ...]) -> Shared[Files]:
        """A folder that many parts read: it is sent to a node once."""
        if folder not in self._shared:
            self._shared[folder] = self._executor.share(Files.read(folder, patterns))
        return self._shared[folder]


def call_there(
    place: Place, item: Item, files: Mapping[Path, Shared[Files]] | None = None
) -> Attempt:
    """Run a part, as the function of an item.

    Args:
        place: Where the driver works.
        item: The part, with relative paths.
        files: What it reads, by the absolute path of its folder on the driver's machine; None where
            it is to be done only if this machine sees the driver's folder.
    """
    if place.is_seen:
        os.chdir(place.here)
        item.call()
        return Attempt(is_done=True)
    if files is None:
        return Attempt(is_done=False)
    before = Path.cwd()
    with TemporaryDirectory(prefix="headscope-part-") as copy:
        here = _in_copy(place.here, copy)
        here.mkdir(parents=True)
        for folder, content in files.items():
            content.get().write(_in_copy(folder, copy))
        os.chdir(here)
        try:
            item.call()
        finally:
            os.chdir(before)
        # They can be read after the folder is gone: the files are held open.
        return Attempt(is_done=True, written=_own_files(_in_copy(place.root / item.name, copy)))


def receive(written: Files, folder: Path) -> None:
    """Write what a part has written into its folder, in place of what was begun there.

    Args:
        written: What it wrote.
        folder: Its folder within the run.

    Raises:
        HeadscopeError: Another process writes there.
    """
    last = [name for name in _WRITTEN_LAST if name in written.content]
    others = {name: data for name, data in written.content.items() if name not in last}
    with locked(folder):
        clear(folder)
        for name in ("", *last):
            Files({name: written.content[name]} if name else others).write(folder)


def _own_files(folder: Path) -> Files:
    """What a complete run keeps in its folder."""
    found = Files.read(folder, _EVERYTHING).content
    kept = {name: data for name, data in found.items() if not _is_passing(Path(name).name)}
    return Files(kept)


def _is_passing(name: str) -> bool:
    return name == TRAINING_STATE or is_leftover(name)


def _in_copy(path: Path, copy: str) -> Path:
    """Where an absolute path of the driver's leads to in a copy of its folders."""
    return Path(copy, *path.parts[1:])


def _model_folder(name: object) -> Path | None:
    """The folder of a model; None where it is named otherwise."""
    from headscope.model.embedded import EMBEDDED

    if not isinstance(name, str | Path) or str(name) in EMBEDDED:
        return None
    folder = Path(name).expanduser()
    return folder.absolute() if folder.is_dir() else None


def _release(given: Mapping[str, Any]) -> Path | None:
    """The folder of a FrameNet release that a part reads."""
    kind, colon, folder = str(given.get("corpus", "")).partition(":")
    return Path(folder) if colon and kind == "framenet" else None
