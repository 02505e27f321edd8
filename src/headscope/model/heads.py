"""The head of a checkpoint: of which task it is, whether it counts, and what is said where it does
not.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

from headscope.errors import HeadscopeError
from headscope.model.classes import HEADS, OF_TEXTS, Head, has_classifier
from headscope.model.compared import Names, in_order

# Heads of pre-training, of which a new classifier may take up a layer (ModernBERT's does). What
# any other head learned must not pass for a classifier of texts.
_PRE_TRAINING = ("ForMaskedLM", "ForPreTraining")
_TASKS = {
    "ForSequenceClassification": "classification",
    "ForMaskedLM": "masked language modelling",
    "LMHeadModel": "language modelling",
    "ForCausalLM": "language modelling",
    "ForPreTraining": "pre-training",
    "ElectraForPreTraining": "replaced-token detection",
    "ForTokenClassification": "token classification",
    "ForQuestionAnswering": "question answering",
    "ForMultipleChoice": "multiple choice",
    "ForNextSentencePrediction": "next-sentence prediction",
    "ForConditionalGeneration": "text generation",
}


def architecture(config: PretrainedConfig, head: Head = OF_TEXTS) -> str:
    """The class that saved the checkpoint, one with such a head before others; "" if config.json
    does not say.
    """
    architectures = [str(kind) for kind in config.architectures or ()]
    with_head = [kind for kind in architectures if head.is_of(kind)]
    return (with_head or architectures or [""])[0]


def claims(config: PretrainedConfig, head: Head = OF_TEXTS) -> bool:
    """Whether config.json says that the checkpoint has such a head, and transformers builds it."""
    return head.is_of(architecture(config, head)) and has_classifier(config, head)


def head_claimed(config: PretrainedConfig) -> Head | None:
    """The kind of head that config.json says the checkpoint has, and transformers builds; None of
    an encoder alone.
    """
    return next((head for head in HEADS if claims(config, head)), None)


def is_encoder(claimed: str) -> bool:
    """Whether a class is an encoder without a head."""
    return claimed.endswith("Model") and not claimed.endswith("LMHeadModel")


def is_pre_training(claimed: str) -> bool:
    """Whether a class puts a head of pre-training on its encoder."""
    return claimed.endswith(_PRE_TRAINING)


def check_outputs(
    config: PretrainedConfig, labels: int | None, name: str, head: Head = OF_TEXTS
) -> None:
    """Refuse a trained head that has another number of outputs than the task needs.

    Raises:
        HeadscopeError: Names both numbers.
    """
    if labels is not None and config.num_labels != labels:
        raise HeadscopeError(
            f"the checkpoint {name} has a {head.called} with {config.num_labels} outputs, the task "
            f"needs {labels}: use a checkpoint fine-tuned on this task, or fine-tune one with "
            "headscope finetune"
        )
    if labels is not None and labels > 1 and config.problem_type == "regression":
        raise HeadscopeError(
            f"the checkpoint {name} was fine-tuned for a regression with {labels} values, the task "
            f"needs {labels} classes: use a checkpoint fine-tuned on this task"
        )


def expect(config: PretrainedConfig, labels: int) -> None:
    """Make a configuration that of a new head; the classes of another head have no say in it."""
    # Names of as many classes of another task would be kept.
    config.id2label = {index: f"LABEL_{index}" for index in range(labels)}
    config.label2id = {name: index for index, name in config.id2label.items()}
    config.problem_type = None


def kind_note(config: PretrainedConfig, name: str) -> tuple[str, ...]:
    """A note on a head whose outputs are no classes that exclude each other."""
    if config.problem_type != "multi_label_classification":
        return ()
    return (
        f"the head of {name} was trained to say yes or no to each class; the class with the "
        "largest output counts as its answer",
    )


@dataclass(frozen=True)
class Unused:
    """The tensors of a file that are not its encoder's.

    Attributes:
        decoder: Those of a decoder beside the encoder.
        head: All others.
        taken: Those of the head that a new classifier takes up.
    """

    decoder: Sequence[str]
    head: Sequence[str]
    taken: Sequence[str] = ()


def beside_the_encoder(encoder: Names, stored: Iterable[str]) -> Unused:
    """Sort out the tensors of a file.

    Args:
        encoder: The names of the encoder alone.
        stored: The tensors of the file, without a foreign prefix.
    """
    others = in_order(key for key in stored if not encoder.is_encoders(key))
    decoder = [key for key in others if encoder.is_decoders(key)]
    return Unused(decoder, [key for key in others if key not in decoder])


def unused_notes(
    unused: Unused, config: PretrainedConfig, new: Collection[str], labels: int | None, name: str
) -> tuple[str, ...]:
    """What is said of a decoder and a head that are not used, and of what is new.

    Args:
        unused: What is beside the encoder.
        config: The model's configuration.
        new: The encoder's tensors that are not in the file.
        labels: How many outputs the new classifier has; None if there is none.
        name: The model as the user named it.
    """
    notes = []
    if unused.decoder:
        notes.append(
            f"of {name}, an encoder-decoder, the encoder is used alone: the {len(unused.decoder)} "
            "tensors of the decoder are not"
        )
    pooler = "its pooler is not in the file and is new" if _has_pooler(new) else ""
    if unused.head:
        follows = _what_follows(config, unused, labels)
        notes.append("; ".join(filter(None, (_of_head(unused, config, name), follows, pooler))))
    elif pooler:
        notes.append(f"{name}: {pooler}")
    return tuple(notes)


def _has_pooler(new: Collection[str]) -> bool:
    return any("pooler" in key.split(".") for key in new)


def _of_head(unused: Unused, config: PretrainedConfig, name: str) -> str:
    claimed = architecture(config)
    count, first = len(unused.head), unused.head[0]
    if not claimed:
        return (
            f"{count} tensors in the weights of {name} are not used (first: {first}): its "
            "config.json names no architectures, so it does not say of which task a head would be"
        )
    if is_encoder(claimed):
        return (
            f"{count} tensors in the weights of {name} are not used: they are not of its encoder "
            f"(first: {first})"
        )
    whose = f"it is that of a {claimed}{_task(claimed)}"
    if not unused.taken:
        return f"the head of {name} is not used: {whose}"
    return (
        f"of the head of {name} {len(unused.taken)} of {count} tensors are used, as the beginning "
        f"of a new classifier (first: {unused.taken[0]}): {whose}"
    )


def _task(claimed: str) -> str:
    """The task of a head as a clause, by the longest ending that fits; "" where none does."""
    endings = [ending for ending in _TASKS if claimed.endswith(ending)]
    return f", for {_TASKS[max(endings, key=len)]}" if endings else ""


def _what_follows(config: PretrainedConfig, unused: Unused, labels: int | None) -> str:
    if not has_classifier(config):
        return "headscope puts no classifier on this encoder"
    if labels is not None:
        return f"the {'rest of the ' if unused.taken else ''}classifier is new"
    return "disable and importance need a classifier: fine-tune it with headscope finetune"
