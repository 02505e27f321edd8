"""The examples that the report shows: tokens, words, labels, predictions and maps."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscope.commands.session import Session, has_head_for
from headscope.model.encoding import only
from headscope.model.model import Model
from headscope.model.passes import example_maps, logits
from headscope.results.tables import Map
from headscope.tasks.base import Task
from headscope.tasks.outputs import predictions

KEPT = 16
"""How many examples are kept."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExampleRow:
    """An example that the report shows, token by token.

    Attributes:
        example: Its index among the validation examples.
        label: The name of its class, or its score.
        prediction: The same as the model has it; None for a model without a head for the task.
        tokens: Its subwords and special tokens.
        segments: Which text a token belongs to, 0 or 1.
        special: Whether a token is a special one.
        words: The number of the word that a token belongs to, -1 for none.
    """

    example: int
    label: str
    prediction: str | None
    tokens: list[str]
    segments: list[int]
    special: list[bool]
    words: list[int]


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


def example_rows(session: Session, model: Model, outputs: Logits | None = None) -> list[ExampleRow]:
    """The rows of the table `examples`.

    Args:
        session: The examples.
        model: Whose predictions.
        outputs: Its outputs for all examples, where they are known already.
    """
    rows = kept(session)
    labels = [_label(session.task, label) for label in session.validation.labels[rows]]
    predicted = _predictions(session, model, outputs)
    words = session.word_numbers(rows)
    encoded = session.encoded
    return [
        ExampleRow(
            example=row,
            label=labels[index],
            prediction=predicted[index],
            tokens=list(model.tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"][row])),
            segments=encoded.segments[row],
            special=encoded.special[row],
            words=words[index],
        )
        for index, row in enumerate(rows.tolist())
    ]


def _predictions(session: Session, model: Model, outputs: Logits | None) -> list[str | None]:
    """What the model says of the kept examples; None where it has no head for the task."""
    rows = kept(session)
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
    return [_label(task, value) for value in predictions(task, chosen)]


def _label(task: Task, value: np.int64 | np.float64) -> str:
    """A label as a person reads it: a class by its name, a score to two digits."""
    return f"{float(value):.2f}" if task.is_regression else task.labels[int(value)]
