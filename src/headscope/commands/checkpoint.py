"""Fine-tune a session's model into a folder, or take up the weights that it holds already."""

from pathlib import Path

from headscope.commands.session import Session, cut_note
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.model.token_marks import Marked
from headscope.progress import progress, say
from headscope.results.contents import CHECKPOINT_DONE
from headscope.training.checkpoint import save_checkpoint
from headscope.training.loop import train
from headscope.training.recipe import Recipe
from headscope.training.state import DamagedStateError


def make_checkpoint(
    session: Session, recipe: Recipe | None, checkpoint: Path, state: Path
) -> tuple[str, ...]:
    """Fine-tune the session's model in place and write it.

    Args:
        session: The model and the training examples.
        recipe: How to train; None writes the model as it is, with its new head.
        checkpoint: The folder to write. Where it is whole already, its weights are taken up.
        state: The file of a training in progress, from which a broken one goes on.

    Returns:
        What the user must know: examples that were cut, a batch that was computed in parts.
    """
    read = session.read(session.train, f"training {session.unit}")
    encoded = read.encoded
    notes = (*cut_note(encoded, "training"), *read.notes)
    if (checkpoint / CHECKPOINT_DONE).is_file() and _take_up(session, checkpoint):
        # A run that was killed just after the checkpoint was whole left it.
        state.unlink(missing_ok=True)
        return notes
    if recipe is not None:
        notes += _train(session, recipe, read, state)
    save_checkpoint(session.model, session.task, checkpoint)
    state.unlink(missing_ok=True)
    return notes


def _take_up(session: Session, checkpoint: Path) -> bool:
    """Take up the weights of a checkpoint; whether it could be loaded."""
    device = str(session.model.hf.device)
    # A head of tags may have fewer than the task, whose entities have both tags of every type.
    outputs = len(session.model.classes)
    try:
        trained = load(checkpoint, labels=outputs, device=device, head=session.head)
    except HeadscopeError as error:
        say(f"the checkpoint is made again: {error}", quiet=session.settings.quiet)
        (checkpoint / CHECKPOINT_DONE).unlink()
        return False
    session.model.hf.load_state_dict(trained.hf.state_dict())
    return True


def _train(session: Session, recipe: Recipe, read: Marked, state: Path) -> tuple[str, ...]:
    """Train; returns a note if the GPU's memory was too small for a batch."""
    quiet = session.settings.quiet
    steps = recipe.epochs * -(-len(read.encoded) // recipe.batch_size)
    notes: list[str] = []

    def note_split(size: int) -> None:
        # Only the last, smallest size is kept.
        notes[:] = [
            f"the GPU's memory is too small for {recipe.batch_size} examples at once: trained in "
            f"parts of {size}, the gradients added up"
        ]
        say(f"note: {notes[0]}", quiet=quiet)

    def say_step(step: int) -> None:
        say(f"resuming training at step {step} of {steps}", quiet=quiet)

    def from_state() -> None:
        with progress("fine-tuning", steps, quiet=quiet) as advance:
            train(
                session.model,
                session.task,
                read.encoded,
                read.split.labels,
                recipe,
                state=state,
                advance=advance,
                on_resume=say_step,
                on_split=note_split,
            )

    try:
        from_state()
    except DamagedStateError:
        say(f"the state of the training in {state} is damaged: it begins anew", quiet=quiet)
        state.unlink()
        from_state()
    return tuple(notes)
