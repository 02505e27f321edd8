"""Parts of the paper on other machines: they write into the run folder, so that all must see it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from headscope.engine.executor import Executor, Item
from headscope.errors import HeadscopeError

_MARK = ".driver.tmp"
"""A file in the run folder, by which a worker knows that it sees the same folder."""


@dataclass(frozen=True)
class Disk:
    """The disk that the driver writes to.

    Attributes:
        root: The run folder.
        here: The folder that relative paths go out from.
        mark: What stands in the file `_MARK` of the run folder.
    """

    root: Path
    here: Path
    mark: str


@contextmanager
def on_one_disk(
    items: Sequence[Item], executor: Executor | None, root: Path
) -> Iterator[list[Item]]:
    """Items that check that they see the run folder before they begin, as long as the block lasts.

    Args:
        items: The items.
        executor: What runs them; where it stays on this machine, they are left as they are.
        root: The run folder.
    """
    if executor is None or not executor.is_elsewhere:
        yield list(items)
        return
    disk = Disk(root.absolute(), Path.cwd(), uuid4().hex)
    file = disk.root / _MARK
    file.write_text(disk.mark, encoding="utf-8")
    path = f"{__name__}:{call_on_disk.__name__}"
    try:
        yield [
            replace(item, function=path, arguments={"disk": disk, "item": item}) for item in items
        ]
    finally:
        file.unlink(missing_ok=True)


def call_on_disk(disk: Disk, item: Item) -> Any:
    """Run an item in the driver's folder.

    Raises:
        HeadscopeError: This machine does not see the run folder.
    """
    file = disk.root / _MARK
    is_seen = file.is_file() and file.read_text(encoding="utf-8") == disk.mark
    if not is_seen or not disk.here.is_dir():
        raise HeadscopeError(
            f"{item.name}: a node of the cluster does not see {disk.root} as this machine does, "
            "and the parts of the paper are written there: put --out, --data and the model on a "
            "disk that all nodes share, under the same path"
        )
    os.chdir(disk.here)
    return item.call()
