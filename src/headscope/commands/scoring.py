"""Score a session's examples with a model."""

import numpy as np

from headscope.commands.session import Session
from headscope.errors import HeadscopeError
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.tasks.outputs import Logits
from headscope.tasks.scores import ScoreRow, score_rows_of


def score(session: Session, model: Model, configuration: str) -> tuple[list[ScoreRow], Logits]:
    """Score the validation examples.

    Args:
        session: The examples.
        model: Whose predictions.
        configuration: What the rows say of how the model was made, as in `headscope.names`.

    Returns:
        A row per metric, and the outputs of the model, [example, output].
    """
    outputs = outputs_of(session, model)
    if broken := int((~np.isfinite(outputs).all(1)).sum()):
        raise HeadscopeError(
            f"the outputs of {model.name} are not finite for {broken} of {len(outputs)} examples, "
            "so there is no score: its weights are damaged, or its training diverged; take "
            "another model, or a smaller --lr"
        )
    rows = score_rows_of(
        session.task,
        session.train.labels,
        session.validation.labels,
        outputs,
        configuration=configuration,
        seed=session.settings.seed,
        groups=session.groups,
    )
    return rows, outputs


def outputs_of(session: Session, model: Model) -> Logits:
    """What a model puts out for the validation examples, [example, output]."""
    settings = session.settings
    outputs = logits(
        model,
        session.encoded,
        batch_tokens=settings.batch_tokens,
        precision=settings.precision,
    )
    return outputs if session.joining is None else session.joining.joined(outputs)
