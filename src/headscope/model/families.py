"""Families of encoders, by transformers' `model_type`: how each is tapped, and which are refused.

A family that nobody named is tried with the defaults; the check at load decides. How to add one is
in CONTRIBUTING.md.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from headscope.errors import HeadscopeError
from headscope.model.attention import Tap, attach, eager
from headscope.model.positions import positions
from headscope.model.projections import output_layers
from headscope.registry import Registry

BERT_LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.self.scaling",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate",
    "output",
    "feed_forward_chunk",
)


@dataclass(frozen=True)
class Family:
    """What headscope knows of a family. The defaults serve all that call attention through
    transformers' interface.

    Attributes:
        model_type: transformers' name of the family.
        refused: Why its heads can be neither seen nor disabled, as a verb phrase; "" if they can.
        attach: Taps the attention of a model of the family.
        plain: A context in which a tapped model runs its own attention and can return its maps; the
            check at load compares with them.
        output_layers: Finds the linear layer that reads the concatenated heads of every layer.
        positions: Says how many tokens a model has positions for.
        layer_parts: What every layer must have, by path, so that `ablation.encoder` can run a model
            layer by layer; () if only the model itself can run its layers.
    """

    model_type: str
    refused: str = ""
    attach: Callable[[PreTrainedModel], Tap] = attach
    plain: Callable[[PreTrainedModel], AbstractContextManager[None]] = eager
    output_layers: Callable[
        [PreTrainedModel, Tap, PreTrainedTokenizerFast, str], list[nn.Linear]
    ] = output_layers
    positions: Callable[[PreTrainedModel, Tap, PreTrainedTokenizerFast], int] = positions
    layer_parts: tuple[str, ...] = BERT_LAYER


FAMILIES: Registry[Family] = Registry("model family")
for _name in (
    "bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "electra", "distilbert",
    "albert", "modernbert", "ernie", "data2vec-text", "roberta-prelayernorm", "mobilebert",
    "nomic_bert", "eurobert", "esm", "roc_bert",
):  # fmt: skip
    FAMILIES.register(_name)(Family(_name))

# Not in the registry, so that a plug-in can register one of them with an adapter.
_COMPUTE_ATTENTION_THEMSELVES = (
    "mpnet", "deberta", "deberta-v2", "convbert", "roformer", "luke", "funnel", "xlnet",
    "longformer", "big_bird", "canine", "reformer", "squeezebert", "ibert", "rembert",
    "megatron-bert", "layoutlm", "fnet", "nystromformer", "yoso", "mra", "markuplm", "tapas",
    "perceiver",
)  # fmt: skip
_OWN_ATTENTION = (
    "computes its attention outside of the function that transformers lets others replace"
)


def family_of(model_type: str) -> Family:
    """The registered family of that name, else one that is refused or has the defaults."""
    if model_type in FAMILIES.names():
        return FAMILIES.get(model_type)
    refused = _OWN_ATTENTION if model_type in _COMPUTE_ATTENTION_THEMSELVES else ""
    return Family(model_type, refused)


def refuse(name: str, config: PretrainedConfig) -> None:
    """Refuse a model whose heads cannot be tapped, before its weights are read.

    A decoder that this does not know is refused by the check at load, which sees its maps.

    Raises:
        HeadscopeError: Its family is refused, or it is a decoder or an encoder-decoder.
    """
    usable = ", ".join(known for known in FAMILIES.names() if not FAMILIES.get(known).refused)
    family = family_of(config.model_type)
    if family.refused:
        raise HeadscopeError(
            f"{name} is of the family {family.model_type}, which {family.refused}, so its heads "
            f"can be neither seen nor disabled: use a model of one of these families: {usable}"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise HeadscopeError(
            f"{name} ({family.model_type}) is an encoder-decoder, whose attention is of three "
            f"kinds: headscope takes encoders, of these families: {usable}"
        )
    if getattr(config, "is_decoder", False) or _is_known_decoder(config):
        raise HeadscopeError(
            f"{name} ({family.model_type}) is a decoder with causal attention, in which a token "
            "does not see what comes after it: headscope takes encoders, of these families: "
            f"{usable}"
        )


def _is_known_decoder(config: PretrainedConfig) -> bool:
    """Whether transformers knows the family as a language model that reads from left to right and
    not as a masked one; a plug-in may register it, and `is_causal = false` makes it an encoder.
    """
    family = config.model_type
    if family in FAMILIES.names() or not getattr(config, "is_causal", True):
        return False
    is_causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return is_causal and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
