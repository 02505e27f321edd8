"""Examples whose tokens or answers are scored, as texts whose heads are measured."""

from dataclasses import replace

import numpy as np

from headscope.commands.session import Session, cut_note
from headscope.model.encoding import encode
from headscope.progress import say_notes


def as_texts(session: Session) -> Session:
    """The examples of a session as `measure` and `compare` take them: texts without labels. Where
    texts have labels, they are the session's.

    Of a text with questions it is the first question and the text: all questions, or all windows,
    would count a text many times, and intervals take examples as independent.

    Args:
        session: A session of texts, of tags of words, or of questions.

    Returns:
        A session with the same models and names; its notes say what is measured.
    """
    if session.marker is None:
        return session
    split, columns = session.validation, session.task.columns
    notes: tuple[str, ...] = ()
    if split.questions is not None:
        questions = tuple(of_text[0].text for of_text in split.questions)
        split = replace(split, first=questions, second=split.first, questions=None)
        columns = ("question", "context")
        notes = (
            "what is measured of a text is its first question with the beginning of the text: "
            "intervals of measures take texts",
        )
    split = replace(split, labels=np.full(len(split), np.nan), spans=None)
    encoded = encode(split, session.model.tokenizer, session.encoded.max_length)
    if columns != session.task.columns:
        notes += cut_note(encoded, "measured")
    say_notes(notes, quiet=session.settings.quiet)
    task = replace(
        session.task,
        columns=columns,
        labels=(),
        metrics=(),
        of_tokens=False,
        of_answers=False,
    )
    return replace(
        session,
        task=task,
        validation=split,
        encoded=encoded,
        joining=None,
        marker=None,
        notes=notes,
    )
