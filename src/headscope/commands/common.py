"""What commands share: open the session that their arguments describe, and its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.errors import HeadscopeError
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.commands.session import Session
    from headscope.results.run import Run

STUDY_EXAMPLES = 1000
"""How many validation examples `study` takes at most where nothing is said (paper, section 4:
1,000).
"""


def open_session(given: dict[str, Any], **more: Any) -> Session:
    """Open the session that a command's arguments describe; its notes are said at once."""
    from headscope.commands.session import Session

    for name in (
        "epochs",
        "batch_size",
        "batch_tokens",
        "max_length",
        "examples",
        "train_examples",
    ):
        if (value := given.get(name)) is not None and value < 1:
            raise HeadscopeError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    session = Session.open(
        given["model"],
        given["task"],
        given["data"],
        seed=given["seed"],
        precision=given["precision"],
        batch_tokens=given["batch_tokens"],
        quiet=given["quiet"],
        train_examples=given.get("train_examples"),
        max_length=given["max_length"],
        words_from=given.get("words", "auto"),
        language=given.get("language", "en"),
        **more,
    )
    for note in session.notes:
        say(f"note: {note}", quiet=session.quiet)
    return session


def begin(
    session: Session, out: Path, request: dict[str, Any], overwrite: bool
) -> tuple[Run, bool]:
    """The run folder, and whether it already holds the whole result."""
    from headscope.results.run import Run

    run = Run.begin(out, request, overwrite=overwrite)
    if run.is_complete:
        say(
            f"{out} holds the result of this very command already (--overwrite runs it again)",
            quiet=session.quiet,
        )
    elif run.is_resumed:
        say(f"resuming what was begun in {out}", quiet=session.quiet)
    return run, run.is_complete
