"""Whether the classes that a trained head tells apart are those of a task."""

from headscope.model.model import Model
from headscope.tasks.base import Task


def foreign_labels(model: Model, task: Task) -> str:
    """What is wrong with the classes of a trained head, in a clause: it was fine-tuned on another
    task, or numbers the classes otherwise, and its outputs would be read wrongly. Empty where
    nothing is known to be wrong.
    """
    if not model.trained_head or task.is_regression:
        return ""
    names = {int(number): str(name) for number, name in (model.hf.config.id2label or {}).items()}
    named = [names.get(number, "") for number in range(task.outputs)]
    if all(name.casefold() == f"label_{i}" for i, name in enumerate(named)):
        return ""
    if [name.casefold() for name in named] == [name.casefold() for name in task.labels]:
        return ""
    if numbers_its_classes(task) and len(names) == task.outputs:
        return ""
    return (
        f"its head tells apart {', '.join(named)}, the task {task.name} has "
        f"{', '.join(task.labels)}, in this order"
    )


def numbers_its_classes(task: Task) -> bool:
    """Whether a table of the user's own has the indices 0, 1, ... for names of its classes."""
    return bool(task.guessed) and task.labels == tuple(map(str, range(len(task.labels))))


def has_head_for(model: Model, task: Task) -> bool:
    """Whether a model has a head that was trained on classes like a task's, in their order."""
    if not task.has_labels:
        return False
    has_outputs = model.hf.config.num_labels == task.outputs
    return model.trained_head and has_outputs and not foreign_labels(model, task)


def trust_note(model: Model, task: Task) -> tuple[str, ...]:
    """A note that nothing says which class an output of a trained head stands for."""
    if not model.trained_head or task.is_regression:
        return ()
    names = [str(name) for name in (model.hf.config.id2label or {}).values()]
    if numbers_its_classes(task) and names != list(task.labels):
        return (
            f"{task.name} numbers its classes; they are taken to be {', '.join(names)} of "
            f"{model.name}, in this order",
        )
    if not all(name.casefold().startswith("label_") for name in names):
        return ()
    return (
        f"the head of {model.name} does not name its classes; they are taken to be "
        f"{', '.join(task.labels)}, in this order",
    )
