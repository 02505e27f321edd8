"""Write docs/tables.md from the registry of tables: python tools/tables_page.py."""

from pathlib import Path

from headscope.results.schema import Column, Table
from headscope.results.tables import TABLES

PAGE = Path(__file__).parents[1] / "docs" / "tables.md"
HEAD = """# Tables

A command writes its results as tables into the folder that `--out` names, a Parquet file per table:

```python
run = headscope.open_run("runs/mrpc")
run.tables["disabled"].sort("delta")  # a polars data frame with the columns below
run.record.versions  # run.json: what was run, on what, with which versions
```

`open_run` gives every column its type, also where a file has no value in it or was written by an
earlier version that did not have the column. `headscope paper` writes the tables of all tasks into
one folder. This page is written by `python tools/tables_page.py` from the definitions that a table
is checked against when it is written; a test keeps it true.
"""
TYPES = {
    "String": "text",
    "Int64": "integer",
    "Float64": "number",
    "Boolean": "true or false",
    "Binary": "bytes",
    "List(String)": "list of texts",
    "List(Int64)": "list of integers",
    "List(Boolean)": "list of true or false",
}


def page() -> str:
    """The whole page."""
    return HEAD + "".join(section(table) for table in TABLES.values())


def section(table: Table) -> str:
    """A table with its columns."""
    commands = ", ".join(f"`{name}`" for name in table.commands)
    rows = "".join(row(column) for column in table.columns)
    return (
        f"\n## {table.name}\n\n{table.meaning} Written by {commands}.\n\n"
        f"| column | type | unit | meaning |\n|---|---|---|---|\n{rows}"
    )


def row(column: Column) -> str:
    """A column as a row of the page."""
    kind = TYPES[str(column.dtype)]
    if column.nullable:
        kind += ", or none"
    return f"| `{column.name}` | {kind} | {column.unit} | {column.meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
