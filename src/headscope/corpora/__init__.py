"""Corpora whose sentences say which words stand in which relation: FrameNet, treebanks, a file of
the user's own.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from headscope.corpora.base import Corpus
from headscope.errors import HeadscopeError, refusing, unknown

_FILES = {
    "framenet": "folder of a FrameNet release",
    "ud": "CoNLL-U files",
    "tsv": "file of relations",
}
KINDS = tuple(_FILES)
_FORMS = "framenet:DIR, ud:FILE..., or tsv:FILE"


def read(
    specs: Sequence[str], *, faithful: bool = False, cache: Path | None = None, quiet: bool = False
) -> Corpus:
    """Read a corpus.

    Args:
        specs: `framenet:DIR`, `ud:FILE...` or `tsv:FILE`; of several files only one must name the
            kind. A folder after `ud:` stands for the .conllu and .conllu.gz files in it.
        faithful: Filter FrameNet as the paper's notebook does.
        cache: A folder to keep what is costly to read.
        quiet: Show no progress.

    Raises:
        HeadscopeError: The kind is unknown or not the only one, or a file is missing or broken.
    """
    kind, paths = kind_and_paths(specs)
    for path in paths:
        if not path.exists():
            raise HeadscopeError(f"--corpus {kind}:{path} does not exist: name the {_FILES[kind]}")
        # Reading a pipe would wait for ever, and a device has no end.
        if not (path.is_file() or path.is_dir()):
            raise HeadscopeError(
                f"--corpus {kind}:{path} is a pipe or a device: name the {_FILES[kind]}"
            )
    if kind == "ud":
        from headscope.corpora.ud import read as read_treebanks

        files: list[Path] = []
        for path in paths:
            files += _treebanks(path)
        return read_treebanks(files, quiet=quiet)
    if len(paths) > 1:
        raise HeadscopeError(f"--corpus {kind}: takes one {_FILES[kind]}, got {len(paths)}")
    if kind == "framenet":
        from headscope.corpora.framenet import read as read_framenet

        return read_framenet(paths[0], faithful=faithful, cache=cache, quiet=quiet)
    from headscope.corpora.tsv import read as read_tsv

    return read_tsv(paths[0])


def kind_and_paths(specs: Sequence[str]) -> tuple[str, list[Path]]:
    """The kind of a corpus, and the files or folders that it is read from.

    Raises:
        HeadscopeError: The kind is unknown or not the only one.
    """
    kinds: set[str] = set()
    paths: list[Path] = []
    for spec in specs:
        kind, colon, path = spec.partition(":")
        if colon and kind in KINDS:
            kinds.add(kind)
            paths.append(_path(path))
        elif colon and not _path(spec).exists():
            raise unknown("kind of corpus", kind, KINDS, f"write {_FORMS}")
        else:
            paths.append(_path(spec))
    if len(kinds) != 1:
        got = ", ".join(specs) or "nothing"
        raise HeadscopeError(f"--corpus is {_FORMS}, one kind at a time; got {got}")
    return kinds.pop(), paths


def _path(written: str) -> Path:
    """The path, with `~` as the home folder. Raises HeadscopeError where no file can be there."""
    path = Path(os.path.expanduser(written))  # noqa: PTH111  (no error for ~nobody)
    with refusing(f"--corpus {written[:60]!r} names no file", f"write {_FORMS}"):
        path.exists()
    return path


def _treebanks(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    names = [*path.glob("*.conllu"), *path.glob("*.conllu.gz")]
    files = sorted(name for name in names if name.is_file())
    if not files:
        raise HeadscopeError(
            f"{path} holds no .conllu or .conllu.gz file: name the files of a treebank, or its "
            "folder"
        )
    return files
