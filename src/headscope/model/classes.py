"""Which class of transformers a checkpoint is loaded with, and where its layers are described."""

from dataclasses import dataclass
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    AutoModelForTokenClassification,
    PretrainedConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

from headscope.errors import HeadscopeError

# What a part of a configuration, vision_config and its like, stands for.
_SENSES = {
    "vision": "pictures",
    "image": "pictures",
    "video": "films",
    "audio": "sounds",
    "speech": "sounds",
}


# Their classifiers read the last token of a row: padding, where a text is padded at its end.
_READ_THE_LAST_TOKEN = ("xlnet",)


@dataclass(frozen=True)
class Head:
    """A kind of head that transformers puts on encoders.

    Attributes:
        called: What a message calls it.
        endings: How the classes end that have it, in the config.json of a checkpoint.
        auto: The class of transformers that builds encoders with it.
        families: For which configurations it does.
        task: What the hub and pipelines of transformers call what it does.
        outputs: What its outputs are called: one for every text, or for every token.
    """

    called: str
    endings: tuple[str, ...]
    auto: Any
    families: Any
    task: str
    outputs: tuple[str, ...] = ("logits",)

    def is_of(self, claimed: str) -> bool:
        """Whether a class has such a head."""
        return claimed.endswith(self.endings)


OF_TEXTS = Head(
    "classification head",
    ("ForSequenceClassification",),
    AutoModelForSequenceClassification,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "text-classification",
)
"""Classes or scores of whole texts."""
OF_TOKENS = Head(
    "token classification head",
    ("ForTokenClassification",),
    AutoModelForTokenClassification,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "token-classification",
)
"""A class for every token."""
OF_MASKED_TOKENS = Head(
    "head for masked language modelling",
    ("ForMaskedLM", "ForPreTraining"),
    AutoModelForMaskedLM,
    MODEL_FOR_MASKED_LM_MAPPING,
    "fill-mask",
)
"""Which token stood where [MASK] stands."""
OF_QUESTIONS = Head(
    "head for question answering",
    ("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
    AutoModelForQuestionAnswering,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    "question-answering",
    ("start_logits", "end_logits"),
)
"""Where the answer to a question begins and ends in a text."""
HEADS = (OF_TEXTS, OF_TOKENS, OF_MASKED_TOKENS, OF_QUESTIONS)
"""Every kind of head."""


def head_of(claimed: str) -> Head | None:
    """The kind of head that a class has; None of an encoder alone.

    >>> head_of("BertForTokenClassification").task
    'token-classification'
    """
    return next((head for head in HEADS if head.is_of(claimed)), None)


def has_decoder(config: PretrainedConfig) -> bool:
    """Whether models of the family have a decoder beside the encoder.

    A checkpoint of the encoder alone may say that it is no encoder-decoder: the family counts too.
    """
    return bool(config.is_encoder_decoder or type(config).is_encoder_decoder)


def is_taken_alone(config: PretrainedConfig) -> bool:
    """Whether the encoder of an encoder-decoder is taken, without the decoder: transformers has a
    class for it.
    """
    return has_decoder(config) and config.model_type in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES


def without_decoder(config: PretrainedConfig) -> None:
    """Make a configuration say that the encoder is taken alone, as some classes demand."""
    if is_taken_alone(config):
        config.is_encoder_decoder = False


def taken_alone() -> list[str]:
    """The families of encoder-decoders whose encoder is taken."""
    families = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES
    return sorted(name for name in families if CONFIG_MAPPING[name].is_encoder_decoder)


def encoder_class(config: PretrainedConfig) -> Any:
    """The class of transformers that builds the encoder alone."""
    return AutoModelForTextEncoding if is_taken_alone(config) else AutoModel


def has_classifier(config: PretrainedConfig, head: Head = OF_TEXTS) -> bool:
    """Whether transformers can put a head on the encoder that reads texts padded at their end."""
    if is_taken_alone(config) or config.model_type in _READ_THE_LAST_TOKEN:
        return False
    return type(config) in head.families


def refuse_classifier(config: PretrainedConfig, name: str, head: Head = OF_TEXTS) -> None:
    """Refuse to put a head on an encoder for which transformers has none.

    Raises:
        HeadscopeError: The encoder is that of an encoder-decoder, or the family has no such head.
    """
    if has_classifier(config, head):
        return
    kind = "classifier" if head is OF_TEXTS else head.called
    why = f"is of a family on which transformers puts no {kind}"
    if is_taken_alone(config):
        why = f"is the encoder of an encoder-decoder on which transformers puts no {kind}"
    elif config.model_type in _READ_THE_LAST_TOKEN:
        why = "is of a family whose classifier reads the last token, which here may be padding"
    raise HeadscopeError(
        f"{name} ({config.model_type}) {why}: measure, compare and relations work with it; to "
        "fine-tune, to disable heads or for importance use an encoder such as bert or roberta"
    )


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a configuration that describes the layers of the text encoder."""
    encoder = getattr(config, "encoder", None)
    if isinstance(encoder, PretrainedConfig):
        return encoder
    try:
        nested: PretrainedConfig = config.get_text_config()
    except ValueError:
        # There are several, as in a model that makes music: such models are refused as a whole.
        return config
    return nested


def layer_config(config: PretrainedConfig) -> PretrainedConfig:
    """What describes the first layer of the text encoder; layers may differ in their sizes."""
    encoder = text_config(config)
    if not getattr(encoder, "is_heterogeneous", False):
        return encoder
    first: PretrainedConfig = encoder.per_layer_config[0]
    return first


def texts_alone(config: PretrainedConfig, name: str) -> tuple[str, ...]:
    """Take the parts of a model away that read something else than texts, where transformers
    builds it without them.

    Args:
        config: The model's configuration; the parts are taken from it.
        name: The model as the user named it.

    Returns:
        A note on what was taken away.

    Raises:
        HeadscopeError: The model cannot be without them.
    """
    family = config.model_type
    others: dict[str, str] = {}
    for part in config.sub_configs:
        sense = _SENSES.get(part.removesuffix("_config"))
        if sense and getattr(config, part) is not None:
            others[part] = sense
    if not others:
        return ()
    senses = " and ".join(sorted(set(others.values())))
    optional = _optional_parts(config)
    for part in others:
        if part not in optional:
            raise HeadscopeError(
                f"{name} ({family}) reads {senses} beside texts ({part} in its config.json), and "
                "headscope gives a model texts alone: use an encoder of texts"
            )
        setattr(config, part, None)
    return (f"of {name}, which reads {senses} beside texts, only the encoder of texts is built",)


def _optional_parts(config: PretrainedConfig) -> set[str]:
    """The parts of a configuration that may be None."""
    # Older versions of transformers do not say.
    parts = getattr(type(config), "sub_configs_defaults", {})
    return {name for name, part in parts.items() if getattr(part, "optional", False)}
