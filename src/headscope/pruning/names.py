"""The names of a task's labels in a configuration."""

from transformers import PretrainedConfig

from headscope.tasks.base import Task


def name_labels(config: PretrainedConfig, task: Task) -> None:
    """Write the names of a task's classes into a configuration, as fine-tuning does. The head of a
    tagger keeps its own names: its outputs may stand in another order.
    """
    if task.of_tokens:
        return
    if task.labels and len(task.labels) == config.num_labels:
        config.id2label = dict(enumerate(task.labels))
        config.label2id = {name: index for index, name in enumerate(task.labels)}
