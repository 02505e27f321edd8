"""The rows of a .csv or .tsv file: quoted as Python's csv module does, or bare as in GLUE."""

import csv
import io
import re
import sys

from headscope.errors import HeadscopeError, reason
from headscope.tasks.columns import Layout, Table, Values, Wanted
from headscope.tasks.finding import Named


def read_delimited(text: str, file: Named, wanted: Wanted) -> Table:
    """A table whose rows are lines of fields; rows without the header's number of fields are left
    out, and counted.

    Raises:
        HeadscopeError: A column is missing, or a quote is left open, which would swallow rows.
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
    return layout.table(columns, rows, notes)


def read_cells(text: str, file: Named) -> list[list[str]]:
    """The fields of every line that is not empty, the header's first.

    Raises:
        HeadscopeError: A quote is left open.
    """
    mark = "\t" if file.form.startswith("tsv") else ","
    csv.field_size_limit(sys.maxsize)
    return [row for row in _quoted(text, mark, file) if row]


def _halves(rows: list[list[str]], header: list[str], layout: Layout) -> set[int]:
    """The rows that look whole and may be half of one: of a text with a line break and no quotes,
    one line has all fields, if the text is in the first or the last column, and the other only one.
    """
    halves: set[int] = set()
    if len(header) == 1:
        return halves
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
    for place, field in enumerate(row):
        if "\n" not in field and "\r" not in field:
            continue
        first, *others = re.split(r"\r\n|\n|\r", field)
        # The fields before it make a row of its first line, if that has a delimiter.
        begun = _cut(first, mark)
        rows = [(first, [*row[:place], *begun])] if len(begun) > 1 else []
        for line, fields in rows + [(line, _cut(line, mark)) for line in others]:
            if len(fields) == len(header) and wanted.is_label(fields[label]):
                raise HeadscopeError(
                    f"{file.path}, row {number}: a text in quotes holds a line that is a whole row "
                    f"({line[:40]!r}), so its quote was left open: close it, or double it"
                )


def _cut(line: str, mark: str) -> list[str]:
    return next(csv.reader([line], delimiter=mark), [])
