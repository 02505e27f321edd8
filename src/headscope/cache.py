"""Work that other runs can use, in files of JSON lines that know whether they are whole.

The first line says what made the file and has the checksum of the rest; a row per line follows.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from headscope.errors import HeadscopeError
from headscope.files import replacing
from headscope.progress import say

T = TypeVar("T")


@dataclass(frozen=True)
class Format(Generic[T]):
    """How a result is kept.

    Args:
        content: What the result is, in the plural, for messages.
        remaking: What is done when a file is damaged, for messages.
        pack: Facts for the first line, and the rows. Both are JSON.
        unpack: The result from the facts and rows. May raise ValueError, KeyError or TypeError
            where they are not what `pack` gave.
    """

    content: str
    remaking: str
    pack: Callable[[T], tuple[Mapping[str, Any], Iterable[Any]]]
    unpack: Callable[[Mapping[str, Any], Sequence[Any]], T]


def cache_folder() -> Path:
    """Where work is kept for other runs: HEADSCOPE_CACHE, or a folder of the user's cache."""
    if own := os.environ.get("HEADSCOPE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscope"


def cached(
    path: Path,
    made_by: Mapping[str, Any],
    form: Format[T],
    make: Callable[[], T],
    *,
    quiet: bool = False,
) -> T:
    """The result in the file, or a new one that is put there; a damaged file is made anew.

    Args:
        path: A file named by all that the result depends on.
        made_by: What made it, as JSON, for the first line.
        form: How it is kept.
        make: Makes the result.
        quiet: Whether to be silent about a damaged file.

    Raises:
        HeadscopeError: The folder cannot be read or written.
    """
    try:
        if path.is_file():
            kept = _read(path, form)
            if kept is not None:
                return kept
            say(f"the cached {form.content} in {path} are damaged: {form.remaking}", quiet=quiet)
        # A folder that cannot be made is found before the work.
        path.parent.mkdir(parents=True, exist_ok=True)
        made = make()
        _write(path, made_by, form, made)
    except OSError as error:
        raise HeadscopeError(
            f"the {form.content} cannot be cached in {path.parent} ({error.strerror}): give a "
            "folder that can be written to."
        ) from error
    return made


def _read(path: Path, form: Format[T]) -> T | None:
    head, _, body = path.read_bytes().partition(b"\n")
    try:
        facts = json.loads(head)
        if facts["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        return form.unpack(facts, [json.loads(line) for line in body.splitlines()])
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, made_by: Mapping[str, Any], form: Format[T], made: T) -> None:
    facts, rows = form.pack(made)
    body = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
    checksum = hashlib.sha256(body).hexdigest()
    head = json.dumps({**made_by, **facts, "sha256": checksum}).encode()
    with replacing(path, shared=True) as unfinished:
        unfinished.write_bytes(head + b"\n" + body)
