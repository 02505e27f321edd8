"""The examples that the report shows: which they are, their tokens and words, and their maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.commands.session import Session
from headscope.model.encoding import Encoded, only
from headscope.model.model import Model
from headscope.model.passes import Batch, LayerMaps, run_pass
from headscope.results.tables import Map
from headscope.tasks.metrics import predictions

_SHOWN = 16


def shown(n: int, seed: int, count: int = _SHOWN) -> npt.NDArray[np.int64]:
    """Which examples the report shows: `count` of the `n`, drawn from `seed`, in order."""
    drawn = np.random.default_rng(seed).choice(n, min(n, count), replace=False)
    return np.sort(drawn).astype(np.int64)


class _MapKeeper:
    """Keeps the maps of every example of a pass, in 255ths, one example a batch."""

    def __init__(self) -> None:
        self.maps: dict[int, list[Map]] = {}

    def prepare(self, batch: Batch) -> list[Map]:
        """The list that takes the example's layers."""
        return self.maps.setdefault(int(batch.examples.item()), [])

    def see(self, maps: LayerMaps, prepared: list[Map]) -> None:
        """Keep a layer."""
        prepared.append((maps.maps[0] * 255).round().byte().cpu().numpy())


def example_maps(model: Model, encoded: Encoded, rows: npt.NDArray[np.int64]) -> dict[int, Map]:
    """The maps of single examples by the example's index."""
    keeper = _MapKeeper()
    # No example fits a budget of one token, so each is a batch, and nothing is padded.
    run_pass(model, only(encoded, rows.tolist()), [keeper], batch_tokens=1)
    return {row: np.stack(keeper.maps[index]) for index, row in enumerate(rows.tolist())}


def example_rows(
    session: Session, rows: npt.NDArray[np.int64], out: npt.NDArray[np.float32] | None
) -> Sequence[dict[str, Any]]:
    """The `examples` table: the tokens and words of the examples `rows`, the true and the predicted
    label.

    out: the model's outputs for these rows; None where it has no head for the task.
    """
    task, encoded = session.task, session.encoded
    predicted = [None] * len(rows) if out is None else list(predictions(task, out))

    def name(value: Any) -> str | None:
        if value is None:
            return None
        return f"{float(value):.2f}" if task.is_regression else task.labels[int(value)]

    return [
        {
            "example": row,
            "label": name(session.validation.labels[row]),
            "prediction": name(predicted[at]),
            "tokens": session.model.tokenizer.convert_ids_to_tokens(
                encoded.columns["input_ids"][row]
            ),
            "segments": encoded.segments[row],
            "special": encoded.special[row],
            "words": words,
        }
        for at, (row, words) in enumerate(
            zip(rows.tolist(), session.word_numbers(rows), strict=True)
        )
    ]
