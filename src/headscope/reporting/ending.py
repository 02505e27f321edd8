"""What a run says at its end, on the console: few sentences, in its first metric alone.

The report has the others.
"""

from collections.abc import Iterator, Mapping, Sequence

from headscope.names import CUT_TO, LEFT_OUT
from headscope.reporting.doubts import beside_baseline, doubts
from headscope.reporting.findings import findings_by_table
from headscope.reporting.together import adding_up
from headscope.results.tables import Tables

MOST = 6
"""So many sentences at most: two lines more say where the results are, and what to run next."""
_TAKEN: Mapping[str, int] = {"patterns": 2, "heads": 3}
"""How many sentences are taken of a table, where it is more than the first."""
_WITH_METRIC = ("scores", "disabled", "selection", "pruned")


def ending(tables: Tables, notes: Sequence[str] = ()) -> tuple[str, ...]:
    """What was found, the most important first, and last what limits it, with what to do.

    Args:
        tables: The tables of the run.
        notes: The notes of its record.
    """
    chosen = _in_first_metric(tables)
    # A doubt in any metric comes first; the same sentence is not said twice.
    first = doubts(tables["scores"]) if "scores" in tables else []
    said = dict.fromkeys((*first, *_found(chosen)))
    return shortened(tuple(said), (*_cautions(chosen), *limits(tables, notes)))


def shortened(said: Sequence[str], last: Sequence[str]) -> tuple[str, ...]:
    """As many sentences as there is room for, before those that stand last in any case."""
    return (*said[: max(0, MOST - len(last))], *last)


def limits(tables: Tables, notes: Sequence[str]) -> Iterator[str]:
    """What a reader must know before believing any of it, and what to do about it.

    Args:
        tables: The tables of the run.
        notes: The notes of its record.
    """
    if "scores" in tables and (text := beside_baseline(tables["scores"])):
        yield text
    left_out = [note for note in notes if LEFT_OUT in note]
    if left_out:
        text = "; ".join(left_out)
        yield f"{text[0].upper()}{text[1:]}."
    cut = [note for note in notes if CUT_TO in note]
    if cut:
        yield (
            f"Texts were cut: {'; '.join(cut)}. --max-length takes more tokens, as far as the "
            "model can read them."
        )


def _in_first_metric(tables: Tables) -> Tables:
    """The tables, with the rows of the metric alone that the task is judged by."""
    judged = [name for name in _WITH_METRIC if name in tables and tables[name].height]
    if not judged:
        return tables
    metric = tables[judged[0]]["metric"][0]
    chosen = {name: tables[name].filter(metric=metric) for name in judged}
    # A table of another metric alone stays as it is.
    return {**tables, **{name: table for name, table in chosen.items() if table.height}}


def _found(tables: Tables) -> Iterator[str]:
    """The first sentences of every table, in the order of the report."""
    for name, findings in findings_by_table(tables):
        for finding in findings[: _TAKEN.get(name, 1)]:
            yield _first_sentence(finding.text)


def _cautions(tables: Tables) -> Iterator[str]:
    """That effects of single heads do not add up, where nothing else says what many cost."""
    if "together" not in tables and "pruned" not in tables:
        for finding in adding_up(tables):
            yield finding.text


def _first_sentence(text: str) -> str:
    """A text up to the first full stop that a capital letter follows.

    >>> _first_sentence("It costs −0.5 points (95% −1.0 to 0.1). That is little. More.")
    'It costs −0.5 points (95% −1.0 to 0.1).'
    """
    at = text.find(". ")
    while at >= 0:
        if text[at + 2 : at + 3].isupper():
            return text[: at + 1]
        at = text.find(". ", at + 1)
    return text
