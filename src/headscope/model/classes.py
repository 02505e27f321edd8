"""Which class of transformers a checkpoint is loaded with, and where its layers are described."""

from typing import Any

from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForTextEncoding,
    PretrainedConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

from headscope.errors import HeadscopeError


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


def refuse_classifier(config: PretrainedConfig, name: str) -> None:
    """Refuse to put a classifier on an encoder for which transformers has none.

    Raises:
        HeadscopeError: The encoder is that of an encoder-decoder.
    """
    if is_taken_alone(config):
        raise HeadscopeError(
            f"{name} ({config.model_type}) is the encoder of an encoder-decoder, on which "
            "transformers puts no classifier: measure, compare and relations work with it; to "
            "fine-tune, to disable heads or for importance use an encoder such as bert or roberta"
        )


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a configuration that describes the layers of the text encoder."""
    encoder = getattr(config, "encoder", None)
    if isinstance(encoder, PretrainedConfig):
        return encoder
    nested: PretrainedConfig = config.get_text_config()
    return nested
