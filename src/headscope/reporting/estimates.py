"""What findings are made of: a number of a table with its interval, and a sentence about it."""

from dataclasses import dataclass

import polars as pl

from headscope.names import SIGNIFICANT
from headscope.results.numbers import number, p_value


@dataclass(frozen=True)
class Estimate:
    """A number in a unit, the ends of its 95% interval, and how many examples it is from."""

    value: float
    low: float | None
    high: float | None
    n: int | None
    unit: str

    def __str__(self) -> str:
        return number(self.value, self.unit)

    @property
    def change(self) -> str:
        """The number as a change: signed, with its unit."""
        return f"{number(self.value, self.unit, signed=True)} {self.unit}".rstrip()

    def within(self, *, signed: bool = False) -> str:
        """` (95% 77.0 to 84.6, n = 408)` or ` (no interval, n = 3)`; of a change without n."""
        known = []
        if self.low is not None and self.high is not None:
            low = number(self.low, self.unit, signed)
            known.append(f"95% {low} to {number(self.high, self.unit, signed)}")
        else:
            known.append("no interval")
        if self.n is not None and not signed:
            known.append(f"n = {self.n}")
        return f" ({', '.join(known)})"


def estimates(rows: pl.DataFrame, column: str = "value") -> list[Estimate]:
    """The numbers of a column, which has no null, with the intervals beside it."""
    unit = pl.col("unit").fill_null("")
    chosen = rows.select(column, "low", "high", "n", unit)
    return [Estimate(*numbers) for numbers in chosen.iter_rows()]


@dataclass(frozen=True)
class Finding:
    """A sentence with its verdict, and the number that it is about, if it is about one."""

    text: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    metric: str = ""
    """The metric that it is about, by its name in the tables; empty where it is about none."""
    topic: str = ""
    """What it is about: a heading of the page."""

    @classmethod
    def about(cls, estimate: Estimate, text: str, verdict: str, metric: str = "") -> "Finding":
        """A sentence about an estimate."""
        numbers = (estimate.value, estimate.low, estimate.high, estimate.unit)
        return cls(text, verdict, *numbers, metric)


def p_text(p: float | None) -> str:
    """A p-value in a sentence.

    >>> p_text(0.012), p_text(0.0004)
    ('p = 0.012', 'p < 0.001')
    """
    return f"p {p_value(p)}" if p is not None and p < 0.001 else f"p = {p_value(p)}"


def is_significant(p: float | None) -> bool:
    """Whether an adjusted p-value is known and below `SIGNIFICANT`."""
    return p is not None and p < SIGNIFICANT
