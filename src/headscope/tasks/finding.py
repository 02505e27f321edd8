"""Which files of a folder hold a split: by name, format, and number of parts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headscope.errors import HeadscopeError, refusing
from headscope.scratch import in_words

FORMATS = ("parquet", "jsonl", "json", "tsv", "csv")
UD = "ud:"
"""How a task is named whose words are tagged in a treebank."""
TREEBANKS = (".conllu", ".conllu.gz")
COLUMNS = (".conll", ".iob", ".iob2", ".bio")
"""How files end that have a word a line, with its tag."""
_SHOWN = 8
_NAME = re.compile(
    r"(?P<stem>.+?)(-(?P<number>\d{1,6})-of-(?P<total>\d{1,6}))?"
    r"\.(?P<form>parquet|(jsonl|json|tsv|csv)(\.gz)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """What the name of a file says of it.

    Attributes:
        path: The file.
        stem: The split that it belongs to, in lower case.
        form: One of FORMATS, with ".gz" where it is compressed.
        number: Which part of the split it is, from 0.
        total: How many parts the split has; 0 where it is in one file.
    """

    path: Path
    stem: str
    form: str
    number: int
    total: int

    @classmethod
    def of(cls, path: Path) -> "Named | None":
        """What the name says; None if it is not the name of a file with rows."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        total = int(match["total"] or 0)
        number = int(match["number"] or 0)
        return cls(path, match["stem"].lower(), match["form"].lower(), number, total)

    @property
    def called(self) -> str:
        """What a note calls it."""
        return self.path.name if in_words(self.path) is None else where(self.path)

    @property
    def where(self) -> str:
        """What an error calls it."""
        return where(self.path)


def where(path: Path) -> str:
    """What an error calls a file or a folder: its path, unless it holds rows in memory."""
    if in_words(path) is None:
        return str(path)
    split = f"{path.stem} " if path.stem in ("train", "validation") else ""
    return f"{split}rows in memory"


def has_split(folder: Path, stems: Sequence[str]) -> bool:
    """Whether a folder holds something with the name of a split."""
    with refusing(f"the folder {folder} cannot be read"):
        entries = sorted(folder.iterdir())
    return any(name.stem in stems for name in map(Named.of, entries) if name is not None)


def split_files(folder: Path, stems: Sequence[str]) -> list[Named]:
    """The file of a split, or all of its parts in order.

    Args:
        folder: Where to look.
        stems: What the split may be called.

    Raises:
        HeadscopeError: There is no such file, there are several that could be meant, a part is
            missing, or something else than a file has its name.
    """
    with refusing(f"the folder {folder} cannot be read"):
        entries = sorted(folder.iterdir())
    named = [name for name in map(Named.of, entries) if name is not None]
    files = [name for name in named if name.stem in stems]
    if not files:
        raise _missing(folder, stems, entries)
    kinds = {(name.stem, name.form, name.total) for name in files}
    # On some disks, train.csv and Train.csv are two.
    if len(kinds) > 1 or (len(files) > 1 and not files[0].total):
        raise HeadscopeError(
            f"{folder} has several files that could be the {stems[0]} split: "
            f"{', '.join(name.path.name for name in files)}; keep one of them there"
        )
    for name in files:
        # A pipe or a device would be waited for.
        if not name.path.is_file():
            raise HeadscopeError(
                f"{name.path} is not a file, but a folder, a pipe or the like: put the rows of "
                "the split there as a file"
            )
    return _parts_in_order(files, folder)


def _parts_in_order(files: list[Named], folder: Path) -> list[Named]:
    total = files[0].total
    in_order = sorted(files, key=lambda name: name.number)
    if total and [name.number for name in in_order] != list(range(total)):
        raise HeadscopeError(
            f"{folder} has {len(files)} of the {total} parts of {files[0].stem}: all are needed, "
            "from 0 on"
        )
    return in_order


def _missing(folder: Path, stems: Sequence[str], entries: Sequence[Path]) -> HeadscopeError:
    names = [path.name for path in entries]
    there = ", ".join(names[:_SHOWN]) or "nothing"
    if len(names) > _SHOWN:
        there += f" and {len(names) - _SHOWN} more"
    way_out = ""
    if "train" in stems:
        way_out = "; put one there, or give a single table in place of the folder: it is divided"
    return HeadscopeError(
        f"{folder} has no {stems[0]} file: expected {' or '.join(stems)} with one of "
        f".{', .'.join(FORMATS)}; the folder holds {there}{way_out}"
    )
