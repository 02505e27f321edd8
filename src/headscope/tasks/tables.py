"""The columns that a task needs from a file of rows, in every format, and what was left out."""

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import NoneType

import polars as pl

from headscope.errors import HeadscopeError, reason, refusing
from headscope.tasks.finding import Named

Values = Sequence[object]
_POINTER = b"version https://git-lfs"
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Layout:
    """The names of the columns of a task in a file: of its one or two texts, and of its label."""

    texts: tuple[str, ...]
    label: str

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.texts, self.label)


@dataclass(frozen=True)
class Table:
    """The columns of a task, as a file has them.

    Attributes:
        texts: The text columns, [text][row].
        label: The label column, [row].
        names: The names of the text columns.
        rows: The number of each row in the file, from 1.
        notes: What was left out.
        classes: The names of the classes by their index, where the file says them.
    """

    texts: list[Values]
    label: Values
    names: tuple[str, ...]
    rows: Sequence[int]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What a task wants of a file.

    Attributes:
        task: The name of the task.
        layouts: The names that its columns may have, the preferred ones first.
        is_label: Whether a field could be a label of the task.
        archive: Whether the file may be one of GLUE's archives, which quote nothing.
    """

    task: str
    layouts: tuple[Layout, ...]
    is_label: Callable[[str], bool]
    archive: bool

    def layout(self, names: Sequence[str], file: Named) -> Layout:
        """The layout that a file with columns of these names has."""
        for layout in self.layouts:
            if set(layout.names) <= set(names):
                break
        else:
            first = self.layouts[0].names
            missing = [repr(name) for name in first if name not in names]
            raise HeadscopeError(
                f"{file.path} has no column {', '.join(missing)}: {self.task} needs "
                f"{', '.join(first)}; the file has {', '.join(names) or 'none'}"
                f"{' (is its delimiter another one?)' if len(names) == 1 else ''}"
            )
        for name in layout.names:
            if list(names).count(name) > 1:
                raise HeadscopeError(
                    f"{file.path} has more than one column {name!r}: rename or remove the others"
                )
        return layout


def read_table(file: Named, wanted: Wanted) -> Table:
    """Read the columns that a task needs.

    Raises:
        HeadscopeError: The file is damaged, lacks a column, or its rows cannot be told apart.
    """
    with refusing(f"{file.path} cannot be read"), file.path.open("rb") as opened:
        start = opened.read(len(_POINTER))
    if start == _POINTER:
        raise HeadscopeError(
            f"{file.path} is a pointer of git-lfs in place of the file: fetch it with git lfs pull"
        )
    if file.form == "parquet":
        return _parquet(file, wanted)
    text = _text(file)
    form = file.form.removesuffix(".gz")
    if form == "jsonl":
        return _columns(_json_lines(text, file), file, wanted)
    if form == "json":
        return _columns(_json(text, file), file, wanted)
    return _delimited(text, file, wanted)


def _text(file: Named) -> str:
    """The text of a file, of which a byte order mark tells the encoding; else it is UTF-8."""
    with refusing(f"{file.path} cannot be read", "make the file again, or unpack it"):
        data = file.path.read_bytes()
        if file.form.endswith(".gz"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f"it is not whole gzip: {reason(error)}") from error
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise HeadscopeError(
            f"{file.path} cannot be read as {file.form}: it is not UTF-8 (byte {error.start}): "
            "save it as UTF-8"
        ) from error
    if "\0" in text:
        raise HeadscopeError(
            f"{file.path} holds NUL characters, so it is damaged or not UTF-8: save it as UTF-8"
        )
    return text


def _parquet(file: Named, wanted: Wanted) -> Table:
    path = file.path
    with refusing(f"{path} cannot be read as parquet", "make the file again"):
        try:
            names = list(pl.read_parquet_schema(path))
            layout = wanted.layout(names, file)
            # Else brackets in the path are a pattern, of which another folder's file is read.
            frame = pl.read_parquet(
                path, columns=list(layout.names), glob=False, hive_partitioning=False
            )
            classes = _classes(pl.read_parquet_metadata(path), layout.label)
        # polars panics on some damaged files, which is no Exception.
        except pl.exceptions.PanicException as error:
            raise ValueError(reason(error)) from error
    texts = [_text_column(frame[name], file) for name in layout.texts]
    label = frame[layout.label]
    if label.dtype.is_nested() or label.dtype.is_temporal() or label.dtype == pl.Binary:
        raise HeadscopeError(
            f"{path}: the label column {layout.label!r} is of type {label.dtype}: expected a class "
            "name, its index, or a number in every row"
        )
    notes = [note for _, note in texts if note]
    rows = range(1, len(frame) + 1)
    values: list[Values] = [column for column, _ in texts]
    return Table(values, label.to_list(), layout.texts, rows, tuple(notes), classes)


def _text_column(column: pl.Series, file: Named) -> tuple[Values, str]:
    """The texts, and a note if they are numbers."""
    kind = column.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return column.cast(pl.String).to_list(), ""
    if kind.is_numeric():
        note = f"{file.path.name}: the column {column.name!r} holds numbers, taken as texts"
        return column.cast(pl.String).to_list(), note
    raise HeadscopeError(
        f"{file.path}: the column {column.name!r} is of type {kind}: expected a text in every row"
    )


def _classes(metadata: dict[str, str], label: str) -> tuple[str, ...]:
    """The names of the classes that `datasets` wrote into a Parquet file."""
    try:
        features = json.loads(metadata["huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _json_lines(text: str, file: Named) -> list[tuple[int, dict[str, object]]]:
    """The objects of a file with their line numbers."""
    objects = []
    # Not splitlines(): a text may hold other separators of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            objects.append((number, _object(line, file, f", line {number}")))
    return objects


def _json(text: str, file: Named) -> list[tuple[int, dict[str, object]]]:
    """The objects of an array, or of lines of JSON that are called .json."""
    if not text.lstrip().startswith("["):
        return _json_lines(text, file)
    rows = _parsed(text, file, "")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HeadscopeError(f"{file.path} is not an array of objects, one for every row")
    return list(enumerate(rows, start=1))


def _object(line: str, file: Named, where: str) -> dict[str, object]:
    value = _parsed(line, file, where)
    if not isinstance(value, dict):
        raise HeadscopeError(
            f'{file.path}{where}: expected an object such as {{"text": ..., "label": ...}}, got '
            f"{line.strip()[:40]}"
        )
    return value


def _parsed(text: str, file: Named, where: str) -> object:
    try:
        value = json.loads(text)
        # More colons than keys: perhaps a key stands twice, which only the slow reader can tell.
        if not isinstance(value, dict) or text.count('":') + text.count('" :') > len(value):
            value = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        # Within a line of its own, the reader's "line 1" would mislead.
        why = reason(error)
        if where and isinstance(error, json.JSONDecodeError):
            why = f"{error.msg} (column {error.colno})"
        raise HeadscopeError(
            f"{file.path} cannot be read as {file.form}{where}: {why}; correct it"
        ) from error
    return value


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _columns(objects: list[tuple[int, dict[str, object]]], file: Named, wanted: Wanted) -> Table:
    """The columns of objects; a row that lacks a key has None there."""
    # The keys of all objects in order, each once.
    kinds = dict.fromkeys(tuple(row) for _, row in objects)
    names = list(dict.fromkeys(chain.from_iterable(kinds)))
    layout = wanted.layout(names, file)
    rows = [number for number, _ in objects]
    texts: list[Values] = []
    notes = []
    for name in layout.texts:
        # pandas has NaN where a text is missing, and only that is not itself.
        values = [None if row.get(name) != row.get(name) else row.get(name) for _, row in objects]
        if not set(map(type, values)) <= {str, NoneType}:
            notes.append(_number_note(values, rows, name, file))
        column = [None if value is None else str(value) for value in values]
        _check_characters(column, rows, file)
        texts.append(column)
    labels = [row.get(layout.label) for _, row in objects]
    return Table(texts, labels, layout.texts, rows, tuple(notes))


def _number_note(values: Values, rows: Sequence[int], name: str, file: Named) -> str:
    """A note on the texts that are numbers; what is neither is refused."""
    for number, value in zip(rows, values, strict=True):
        if isinstance(value, list | dict | bool):
            raise HeadscopeError(
                f"{file.path}, row {number}: the text in {name!r} is {str(value)[:40]!r}: expected "
                "a text"
            )
    numbers = sum(isinstance(value, int | float) for value in values)
    return (
        f"{file.path.name}: {numbers} of {len(values)} texts in {name!r} are numbers, taken as "
        "texts"
    )


def _check_characters(column: Sequence[str | None], rows: Sequence[int], file: Named) -> None:
    """Refuse half a surrogate pair, which JSON can write and no encoding has."""
    try:
        "".join(filter(None, column)).encode()
    except UnicodeEncodeError:
        for number, text in zip(rows, column, strict=True):
            with refusing(f"{file.path}, row {number}: a text is no Unicode", "mend its \\u"):
                (text or "").encode()


def _delimited(text: str, file: Named, wanted: Wanted) -> Table:
    """A table whose rows are lines of fields; rows without the header's number of fields are left
    out.
    """
    csv.field_size_limit(sys.maxsize)
    mark = "\t" if file.form.startswith("tsv") else ","
    cells = _bare(text, mark) if mark == "\t" and wanted.archive else None
    if cells is None:
        cells = _quoted(text, mark, file)
    header = cells[0] if cells else []
    layout = wanted.layout(header, file)
    places = [header.index(name) for name in layout.names]
    whole = []
    rows = []
    filled = [(number, row) for number, row in enumerate(cells[1:], start=1) if row]
    halves = _halves([row for _, row in filled], header, layout)
    odd = half = 0
    for at, (number, row) in enumerate(filled):
        _check_lines_within(row, number, header, layout, file, wanted)
        if len(row) != len(header):
            odd += 1
        elif at in halves:
            half += 1
        else:
            rows.append(number)
            whole.append([row[place] for place in places])
    notes: tuple[str, ...] = ()
    for left_out, why in (
        (odd, f"which have fewer or more fields than the {len(header)} of the header"),
        (half, "of which a text may go on in a line without a delimiter"),
    ):
        if left_out:
            notes += (f"{file.path.name}: {left_out} of {len(filled)} rows left out, {why}",)
    columns: list[Values] = [[row[at] for row in whole] for at in range(len(places))]
    return Table(columns[:-1], columns[-1], layout.texts, rows, notes)


def _halves(rows: list[list[str]], header: list[str], layout: Layout) -> set[int]:
    """The rows that look whole and may be half of one: of a text with a line break and no quotes,
    one line has all fields, if the text is in the first or the last column, and the other only one.
    """
    halves = set()
    for at, row in enumerate(rows):
        if len(row) == 1:
            if header[-1] in layout.texts:
                halves.add(at - 1)
            if header[0] in layout.texts:
                halves.add(at + 1)
    return halves


def _quoted(text: str, mark: str, file: Named) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        return list(reader)
    except csv.Error as error:
        raise HeadscopeError(
            f"{file.path} cannot be read as {file.form}, line {reader.line_num}: {reason(error)}; "
            "a text with quotes, delimiters or line breaks stands in quotes, with every quote in "
            "it doubled"
        ) from error


def _bare(text: str, mark: str) -> list[list[str]] | None:
    """The fields of a file of GLUE's archives, in which a quote is a character like any other; None
    if the file quotes: a name in its header stands in quotes, or a field does and doubles those
    within, which none of GLUE does.
    """
    lines = [line.rstrip("\r") for line in text.split("\n" if "\n" in text else "\r")]
    cells = [line.split(mark) if line else [] for line in lines]
    if cells[0] and cells[0][0][:1] == cells[0][0][-1:] == '"':
        return None
    for row in cells:
        for field in row:
            if field[:1] == field[-1:] == '"' and '""' in field[2:-2]:
                return None
    return cells


def _check_lines_within(
    row: list[str],
    number: int,
    header: list[str],
    layout: Layout,
    file: Named,
    wanted: Wanted,
) -> None:
    """Refuse a text that has swallowed rows: an open quote ends only at the next one."""
    mark = "\t" if file.form.startswith("tsv") else ","
    label = header.index(layout.label)
    for field in row:
        for line in field.splitlines()[1:]:
            fields = next(csv.reader([line], delimiter=mark), [])
            if len(fields) == len(header) and wanted.is_label(fields[label]):
                raise HeadscopeError(
                    f"{file.path}, row {number}: a text in quotes holds a line that is a whole row "
                    f"({line[:40]!r}), so its quote was left open: close it, or double it"
                )
