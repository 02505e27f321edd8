"""The examples that the report shows: tokens, words, labels, predictions and maps."""

from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.commands.class_names import has_head_for
from headscope.commands.session import Session
from headscope.model.encoding import Encoded, only
from headscope.model.example_maps import KEPT, WHOLE, ExampleRow, cell_size, example_maps
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.results.tables import Map
from headscope.stats.metrics import EXACT, NO_LABEL
from headscope.tasks.base import Task
from headscope.tasks.outputs import predictions

Logits = npt.NDArray[np.float32]


def kept(session: Session) -> npt.NDArray[np.int64]:
    """The indices of the kept examples, drawn from the seed, in order."""
    n = len(session.encoded)
    drawn = np.random.default_rng(session.settings.seed).choice(n, min(n, KEPT), replace=False)
    return np.sort(drawn).astype(np.int64)


def kept_maps(session: Session, model: Model, state: str) -> dict[str, Map]:
    """The maps of the kept examples, as the report finds them.

    Args:
        session: The examples.
        model: Whose maps.
        state: The state of the model, as in `headscope.names`.

    Returns:
        Maps by `state/example`.
    """
    maps = example_maps(model, session.encoded, kept(session).tolist())
    return {f"{state}/{row}": of_example for row, of_example in maps.items()}


def example_rows(
    session: Session,
    model: Model,
    outputs: Logits | None = None,
    scored: Session | None = None,
) -> list[ExampleRow]:
    """The rows of the table `examples`.

    Args:
        session: The examples.
        model: Whose predictions.
        outputs: Its outputs for all examples, where they are known already.
        scored: The same examples as they are scored, where that is otherwise: their labels are
            shown.
    """
    rows = kept(session)
    shown = session if scored is None else scored
    labels: list[str | None] = [None] * len(rows)
    if shown.validation.questions is not None:
        labels = [_first_answer(shown, row) for row in rows.tolist()]
    elif shown.task.has_labels:
        labels = [_label(shown.task, label) for label in shown.validation.labels[rows]]
    predicted = _predictions(shown, model, rows, outputs)
    words = session.word_numbers(rows)
    encoded = session.encoded
    made = []
    for index, row in enumerate(rows.tolist()):
        tokens = list(model.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][row]))
        size = cell_size(len(tokens), model.layers * model.heads)
        made.append(
            ExampleRow(
                example=row,
                label=labels[index],
                prediction=predicted[index],
                tokens=cell_names(tokens, size),
                segments=encoded.segments[row][::size],
                special=[
                    any(encoded.special[row][start : start + size])
                    for start in range(0, len(tokens), size)
                ],
                # A cell is of no one word.
                words=words[index] if size == 1 else [-1] * -(-len(tokens) // size),
            )
        )
    return made


def cell_names(tokens: list[str], size: int) -> list[str]:
    """The cells of a map by their first tokens and how many follow.

    >>> cell_names(["[CLS]", "the", "nurse", "[SEP]", "."], 2)
    ['[CLS] +1', 'nurse +1', '.']
    """
    names = []
    for start in range(0, len(tokens), size):
        following = len(tokens[start : start + size]) - 1
        names.append(f"{tokens[start]} +{following}" if following else tokens[start])
    return names


def coarse_note(encoded: Encoded, heads: int) -> tuple[str, ...]:
    """A note on the examples whose maps are kept in cells, if there are any.

    Args:
        encoded: The examples.
        heads: The heads of all layers of the model.
    """
    lengths = encoded.lengths
    longest = int(lengths.max(initial=0))
    size = cell_size(longest, heads)
    if size == 1:
        return ()
    return (
        f"maps of examples with more than {WHOLE} tokens ({int((lengths > WHOLE).sum())} of "
        f"{len(lengths)}) are kept for the report in cells of up to {size} x {size} tokens, named "
        "by the first token and how many follow: the mean over the rows of what they give to the "
        "columns; measures are of whole maps",
    )


def _predictions(
    session: Session, model: Model, rows: npt.NDArray[np.int64], outputs: Logits | None
) -> list[str | None]:
    """What the model says of the kept examples; None where it has no head for the task."""
    task = session.task
    if outputs is not None:
        chosen = outputs[rows]
    elif has_head_for(model, task):
        chosen = logits(
            model,
            only(session.encoded, rows.tolist()),
            batch_tokens=session.settings.batch_tokens,
        )
    else:
        return [None] * len(rows)
    predicted = predictions(task, chosen)
    if session.validation.questions is not None:
        pairs = zip(rows.tolist(), predicted, strict=True)
        return [_given_answer(_first_answer(session, row), of_text[0]) for row, of_text in pairs]
    return [_label(task, value) for value in predicted]


_NO_ANSWER = "no answer"


def _first_answer(session: Session, row: int) -> str:
    """The first true answer to the first question about a text."""
    questions = session.validation.questions or ()
    answers = questions[row][0].answers
    return answers[0].text if answers else _NO_ANSWER


def _given_answer(true: str, rightness: float) -> str:
    """What is said of an answer of the model, which is kept as how right it is alone."""
    if rightness == EXACT:
        return true
    return "an answer" if true == _NO_ANSWER else f"another answer (F1 {100 * rightness:.0f})"


def _label(task: Task, value: Any) -> str:
    """A label as a person reads it: a class by its name, a score to two digits; of tokens the
    classes of all that are scored.
    """
    if task.of_tokens:
        return " ".join(task.labels[int(one)] for one in value if one != NO_LABEL)
    return f"{float(value):.2f}" if task.is_regression else task.labels[int(value)]
