"""What a section of docs/statistics.md is, and how shares of draws are counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from headscope.stats.paired import wilson
from pages import table


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: What it is about.
        text: What is drawn, which rule is looked at, and what the rates should be. Markdown.
        header: The names of the columns.
        rows: The cells of every row.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The section as it stands on the page."""
        return f"## {self.title}\n{self.text}\n\n{table(self.header, self.rows)}\n"


@dataclass(frozen=True)
class Rate:
    """How often something happened in the draws of a simulation."""

    hits: int
    draws: int

    @property
    def value(self) -> float:
        """The share of the draws."""
        return self.hits / self.draws

    @property
    def low(self) -> float:
        """The lower end of its 95% interval (Wilson)."""
        return wilson(self.hits, self.draws)[0]

    @property
    def high(self) -> float:
        """The upper end of its 95% interval (Wilson)."""
        return wilson(self.hits, self.draws)[1]

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"
