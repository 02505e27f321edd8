"""Corpora whose sentences say which words stand in which relation: FrameNet, Universal
Dependencies, one's own.
"""

from collections.abc import Sequence
from pathlib import Path

from headscope.corpora.base import Corpus
from headscope.errors import HeadscopeError, unknown

KINDS = ("framenet", "ud", "tsv")


def read(
    specs: Sequence[str], *, faithful: bool = False, cache: Path | None = None, quiet: bool = False
) -> Corpus:
    """The corpus that `framenet:DIR`, `ud:FILE...` or `tsv:FILE` names; the kind need only be said
    once.

    faithful: FrameNet filtered as in the paper's notebook. cache: a folder to keep what is costly
    to read. A folder after `ud:` stands for the .conllu and .conllu.gz files in it. Raises
    HeadscopeError for an unknown kind, several kinds at once, or a file that is missing or broken.
    """
    kinds: set[str] = set()
    paths: list[Path] = []
    for spec in specs:
        kind, colon, rest = spec.partition(":")
        if colon and kind not in KINDS and not Path(spec).exists():
            raise unknown(
                "kind of corpus", kind, KINDS, "write framenet:DIR, ud:FILE..., or tsv:FILE"
            )
        if kind in KINDS and colon:
            kinds.add(kind)
        paths.append(Path(rest if kind in KINDS and colon else spec))
    if len(kinds) != 1:
        got = ", ".join(specs) or "nothing"
        raise HeadscopeError(
            f"--corpus is framenet:DIR, ud:FILE..., or tsv:FILE, one kind at a time; got {got}"
        )
    (kind,) = kinds
    for path in paths:
        if not path.exists():
            raise HeadscopeError(f"--corpus {kind}:{path} does not exist: name the {_WHAT[kind]}")
    if kind == "ud":
        from headscope.corpora.ud import read as read_treebanks

        return read_treebanks([file for path in paths for file in _treebanks(path)], quiet=quiet)
    if len(paths) > 1:
        raise HeadscopeError(f"--corpus {kind}: takes one {_WHAT[kind]}, got {len(paths)}")
    if kind == "framenet":
        from headscope.corpora.framenet import read as read_framenet

        return read_framenet(paths[0], faithful=faithful, cache=cache, quiet=quiet)
    from headscope.corpora.tsv import read as read_own

    return read_own(paths[0])


_WHAT = {
    "framenet": "folder of a FrameNet release",
    "ud": "CoNLL-U files",
    "tsv": "file of relations",
}


def _treebanks(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted([*path.glob("*.conllu"), *path.glob("*.conllu.gz")])
    if not found:
        raise HeadscopeError(
            f"{path} holds no .conllu or .conllu.gz file: name the files of a treebank, or its "
            "folder"
        )
    return found
