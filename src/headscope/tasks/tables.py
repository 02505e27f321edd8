"""Read a file of rows: Parquet, or text in JSON or with delimiters, whatever its encoding."""

import codecs
import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from types import NoneType

import polars as pl

from headscope.errors import HeadscopeError, reason, refusing
from headscope.tasks.columns import Table, Values, Wanted
from headscope.tasks.delimited import read_cells, read_delimited
from headscope.tasks.finding import Named

_POINTER = b"version https://git-lfs"
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_table(file: Named, wanted: Wanted) -> Table:
    """Read the columns that a task needs.

    Raises:
        HeadscopeError: The file is damaged, lacks a column, or its rows cannot be told apart.
    """
    _check_whole(file)
    if file.form == "parquet":
        return _parquet(file, wanted)
    text = read_text(file)
    form = file.form.removesuffix(".gz")
    if form == "jsonl":
        return _columns(_json_lines(text, file), file, wanted)
    if form == "json":
        return _columns(_json(text, file), file, wanted)
    return read_delimited(text, file, wanted)


def read_columns(file: Named) -> dict[str, list[object]]:
    """All columns of a file by name, their values as they are; of a file with delimiters, texts.

    Rows with fewer or more fields than the header are left out here, and a key that an object lacks
    is None.

    Raises:
        HeadscopeError: The file is damaged.
    """
    _check_whole(file)
    if file.form == "parquet":
        with refusing(f"{file.where} cannot be read as parquet", "make the file again"):
            try:
                frame = pl.read_parquet(file.path, glob=False, hive_partitioning=False)
            except pl.exceptions.PanicException as error:
                raise ValueError(reason(error)) from error
        return {column.name: column.to_list() for column in frame}
    text = read_text(file)
    form = file.form.removesuffix(".gz")
    if form in ("jsonl", "json"):
        objects = (_json_lines if form == "jsonl" else _json)(text, file)
        names = dict.fromkeys(chain.from_iterable(row for _, row in objects))
        return {name: [row.get(name) for _, row in objects] for name in names}
    header, *rows = read_cells(text, file) or [[]]
    whole = [row for row in rows if len(row) == len(header)]
    return {name: [row[place] for row in whole] for place, name in enumerate(header)}


def class_names(file: Named, label: str) -> tuple[str, ...]:
    """The names of the classes that a Parquet file itself says; none for other files."""
    if file.form != "parquet":
        return ()
    with refusing(f"{file.where} cannot be read as parquet", "make the file again"):
        return _classes(pl.read_parquet_metadata(file.path), label)


def _check_whole(file: Named) -> None:
    """Refuse a file that is not there, and what git-lfs left in its place."""
    with refusing(f"{file.where} cannot be read"), file.path.open("rb") as opened:
        start = opened.read(len(_POINTER))
    if start == _POINTER:
        raise HeadscopeError(
            f"{file.where} is a pointer of git-lfs in place of the file: fetch it with git lfs pull"
        )


def read_text(file: Named) -> str:
    """The text of a file, of which a byte order mark tells the encoding; else it is UTF-8."""
    with refusing(f"{file.where} cannot be read", "make the file again, or unpack it"):
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
            f"{file.where} cannot be read as {file.form}: it is not UTF-8 (byte {error.start}): "
            "save it as UTF-8"
        ) from error
    if "\0" in text:
        raise HeadscopeError(
            f"{file.where} holds NUL characters, so it is damaged or not UTF-8: save it as UTF-8"
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
                path, columns=list(dict.fromkeys(layout.names)), glob=False, hive_partitioning=False
            )
            classes = _classes(pl.read_parquet_metadata(path), layout.label)
        # polars panics on some damaged files, which is no Exception.
        except pl.exceptions.PanicException as error:
            raise ValueError(reason(error)) from error
    texts = [_text_column(frame[name], file) for name in layout.texts]
    label = frame[layout.label]
    if label.dtype.is_nested() or label.dtype.is_temporal() or label.dtype == pl.Binary:
        raise HeadscopeError(
            f"{file.where}: the label column {layout.label!r} is of type {label.dtype}: expected a "
            "class name, its index, or a number in every row"
        )
    notes = [note for _, note in texts if note]
    rows = range(1, len(frame) + 1)
    values: list[Values] = [*(column for column, _ in texts), label.to_list()]
    if layout.group:
        values.append(frame[layout.group].to_list())
    return replace(layout.table(values, rows, tuple(notes)), classes=classes)


def _text_column(column: pl.Series, file: Named) -> tuple[Values, str]:
    """The texts, and a note if they are numbers."""
    kind = column.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return column.cast(pl.String).to_list(), ""
    if kind.is_numeric():
        note = f"{file.called}: the column {column.name!r} holds numbers, taken as texts"
        return column.cast(pl.String).to_list(), note
    raise HeadscopeError(
        f"{file.where}: the column {column.name!r} is of type {kind}: expected a text in every row"
    )


def _classes(metadata: dict[str, str], label: str) -> tuple[str, ...]:
    """The names of the classes that `datasets` wrote into a Parquet file."""
    try:
        features = json.loads(metadata["huggingface"])["info"]["features"]
        feature = features[label]
        # Of a column of lists they are in what the lists hold.
        return tuple(map(str, feature.get("feature", feature)["names"]))
    except (AttributeError, KeyError, TypeError, ValueError):
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
        raise HeadscopeError(f"{file.where} is not an array of objects, one for every row")
    return list(enumerate(rows, start=1))


def _object(line: str, file: Named, where: str) -> dict[str, object]:
    value = _parsed(line, file, where)
    if not isinstance(value, dict):
        raise HeadscopeError(
            f'{file.where}{where}: expected an object such as {{"text": ..., "label": ...}}, got '
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
            f"{file.where} cannot be read as {file.form}{where}: {why}; correct it"
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
    others = [[row.get(name) for _, row in objects] for name in layout.names[len(texts) :]]
    return layout.table([*texts, *others], rows, tuple(notes))


def _number_note(values: Values, rows: Sequence[int], name: str, file: Named) -> str:
    """A note on the texts that are numbers; what is neither is refused."""
    for number, value in zip(rows, values, strict=True):
        if isinstance(value, list | dict | bool):
            raise HeadscopeError(
                f"{file.where}, row {number}: the text in {name!r} is {str(value)[:40]!r}: "
                "expected a text"
            )
    numbers = sum(isinstance(value, int | float) for value in values)
    return (
        f"{file.called}: {numbers} of {len(values)} texts in {name!r} are numbers, taken as texts"
    )


def _check_characters(column: Sequence[str | None], rows: Sequence[int], file: Named) -> None:
    """Refuse half a surrogate pair, which JSON can write and no encoding has."""
    try:
        "".join(filter(None, column)).encode()
    except UnicodeEncodeError:
        for number, text in zip(rows, column, strict=True):
            with refusing(f"{file.where}, row {number}: a text is no Unicode", "mend its \\u"):
                (text or "").encode()
