"""The columns that a task wants of a file, by which names, and what was read of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headscope.errors import HeadscopeError
from headscope.tasks.finding import Named

Values = Sequence[object]


@dataclass(frozen=True)
class Layout:
    """The names of the columns of a task in a file.

    Attributes:
        texts: Those of its one or two texts.
        label: That of its label.
        group: That of what says which rows belong together; "" for none.
    """

    texts: tuple[str, ...]
    label: str
    group: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.texts, self.label, *([self.group] if self.group else []))

    def table(
        self, columns: Sequence[Values], rows: Sequence[int], notes: tuple[str, ...] = ()
    ) -> "Table":
        """A table of columns in the order of `names`.

        Args:
            columns: Their values.
            rows: The number of each row in the file, from 1.
            notes: What was left out.
        """
        count = len(self.texts)
        groups = columns[count + 1] if self.group else None
        return Table(list(columns[:count]), columns[count], self.texts, rows, notes, groups=groups)


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
        groups: What says which rows belong together, [row]; None where nothing was asked for.
    """

    texts: list[Values]
    label: Values
    names: tuple[str, ...]
    rows: Sequence[int]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    groups: Values | None = None


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
                f"{file.where} has no column {', '.join(missing)}: {self.task} needs "
                f"{', '.join(first)}; the file has {', '.join(names) or 'none'}"
                f"{' (is its delimiter another one?)' if len(names) == 1 else ''}"
            )
        for name in layout.names:
            if list(names).count(name) > 1:
                raise HeadscopeError(
                    f"{file.where} has more than one column {name!r}: rename or remove the others"
                )
        return layout
