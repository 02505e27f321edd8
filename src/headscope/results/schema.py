"""What a table is: columns, each with a type, a unit and a sentence, and the commands that write
it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from polars import DataType
else:
    # beartype refuses the types of polars as hints, since their repr is not their name.
    DataType = object

TEXT, TRUTH = pl.String(), pl.Boolean()
COUNT, NUMBER = pl.Int64(), pl.Float64()
AS_UNIT = "as `unit` says"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: Name in the file.
        dtype: Type in the file. A column without any value has the type Null there.
        unit: What a number is measured in or counts; empty for words.
        meaning: A sentence that defines it.
        nullable: Whether a row may be without a value.
    """

    name: str
    dtype: DataType
    unit: str
    meaning: str
    nullable: bool = False

    def admits(self, dtype: DataType) -> bool:
        """Whether a column of this type may be written as it is."""
        return dtype == self.dtype or (self.nullable and dtype == pl.Null())

    def reads(self, dtype: DataType) -> bool:
        """Whether a column of this type can be read as this one's."""
        if self.dtype == NUMBER:
            return dtype.is_numeric() or dtype == pl.Null()
        if self.dtype == COUNT:
            return dtype.is_integer() or dtype == pl.Null()
        return dtype in (self.dtype, pl.Null())


@dataclass(frozen=True)
class Table:
    """A table that commands write as `<name>.parquet`.

    Args:
        name: Name of the file without its suffix.
        meaning: A sentence that says what a row is.
        columns: The columns, in the order in which they are read.
        required: Columns without which a file cannot be read. A file that another version wrote may
            lack others.
        commands: The commands that write it.
        always: Those of them whose complete run is damaged without it.
        called: What the report calls it; empty where the report does not show it.
        hidden: Columns that the report and its CSV files leave out.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    required: tuple[str, ...]
    commands: tuple[str, ...]
    always: tuple[str, ...] = ()
    called: str = ""
    hidden: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of its file in a run folder."""
        return f"{self.name}.parquet"

    @property
    def schema(self) -> dict[str, DataType]:
        """Its types by column."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def shown(self) -> list[str]:
        """The columns that the report and its CSV files have, in order."""
        return [column.name for column in self.columns if column.name not in self.hidden]

    def check(self, frame: pl.DataFrame) -> None:
        """Refuse what is not this table. The order of the columns is free.

        Raises:
            ValueError: A column is unknown, missing, of another type, or has no value in a row that
                must have one. It is no HeadscopeError: the program is wrong, not its user.
        """
        wrong = self._surplus(frame) + self._lacking(frame) + self._mistyped(frame)
        if wrong:
            raise ValueError(f"the table {self.name!r} cannot be written: {'; '.join(wrong)}")

    def _surplus(self, frame: pl.DataFrame) -> list[str]:
        names = self.schema
        unknown = [repr(name) for name in frame.columns if name not in names]
        return [f"it has no column {', '.join(unknown)}"] if unknown else []

    def _lacking(self, frame: pl.DataFrame) -> list[str]:
        missing = [repr(name) for name in self.schema if name not in frame.columns]
        return [f"the column {', '.join(missing)} is missing"] if missing else []

    def _mistyped(self, frame: pl.DataFrame) -> list[str]:
        wrong = []
        for column in self.columns:
            if column.name not in frame.columns:
                continue
            values = frame[column.name]
            if not column.admits(values.dtype):
                wrong.append(f"{column.name!r} is {values.dtype}, not {column.dtype}")
            elif values.null_count() and not column.nullable:
                wrong.append(f"{column.name!r} is missing in {values.null_count()} rows")
        return wrong

    def without_nan(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The table with null in place of NaN where a row may be without a value.

        Polars takes NaN for larger than every number, so a filter would keep such rows.
        """
        names = [
            column.name
            for column in self.columns
            if column.nullable and frame.schema.get(column.name) == NUMBER
        ]
        return frame.with_columns(pl.col(names).fill_nan(None))

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of this table, in order and of their types; those that a file lacks are null.

        Raises:
            ValueError: A required column is missing, or one is of another type.
        """
        if missing := [name for name in self.required if name not in frame.columns]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        read = []
        for column in self.columns:
            values = pl.lit(None)
            if column.name in frame.columns:
                values = pl.col(column.name)
                if not column.reads(frame.schema[column.name]):
                    raise ValueError(f"its column {column.name} is not {column.dtype}")
            read.append(values.cast(column.dtype).alias(column.name))
        return frame.select(read)


def text(name: str, meaning: str) -> Column:
    """A column of words."""
    return Column(name, TEXT, "", meaning)


def count(name: str, unit: str, meaning: str) -> Column:
    """A column of integers."""
    return Column(name, COUNT, unit, meaning)


def number(name: str, unit: str, meaning: str) -> Column:
    """A column of numbers with a fraction."""
    return Column(name, NUMBER, unit, meaning)


def optional(column: Column) -> Column:
    """The same column in a table whose rows may be without a value."""
    return replace(column, nullable=True)


def columns_of(table: Table, names: Iterable[str]) -> tuple[Column, ...]:
    """Some columns of a table, for another table that shares them."""
    by_name = {column.name: column for column in table.columns}
    return tuple(by_name[name] for name in names)


MODEL = text("model", "The model, as it was named or by its folder.")
TASK = text("task", "The task, or the corpus whose relations are looked at.")
LAYER = count("layer", "number from 1", "The layer of the head.")
HEAD = count("head", "number from 1", "The head in its layer.")
MEASURE = text("measure", "What `value` is; see docs/measures.md.")
_WHERE = "of the 95% confidence interval of `value`; none where there is no basis for one"
LOW = optional(number("low", AS_UNIT, f"Lower end {_WHERE} (docs/statistics.md)."))
HIGH = optional(number("high", AS_UNIT, f"Upper end {_WHERE} (docs/statistics.md)."))
UNIT = text("unit", "The unit of `value` and its interval.")
EXAMPLES = count("n", "examples", "How many examples `value` is computed from.")
SOURCE = (MODEL, TASK)
PLACE = (*SOURCE, LAYER, HEAD)
INTERVAL = (LOW, HIGH)
MEAN = (*INTERVAL, EXAMPLES, UNIT)
"""What follows a mean over examples."""
