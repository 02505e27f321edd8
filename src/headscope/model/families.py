"""Families of encoders, by transformers' `model_type`: how each is tapped, and which are refused.

A family that nobody named is tried in the ways that need no adapter; the check at load decides. How
to add one is in CONTRIBUTING.md.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from headscope.errors import HeadscopeError
from headscope.model import attention, dropouts
from headscope.model.adapters.deberta import DEBERTA_V1, DEBERTA_V2, refuses_talking_heads
from headscope.model.adapters.mpnet import MPNET
from headscope.model.classes import (
    has_decoder,
    is_taken_alone,
    layer_config,
    taken_alone,
)
from headscope.model.layer_parts import (
    ALBERT_LAYER,
    BERT_LAYER,
    DISTILBERT_LAYER,
    MPNET_LAYER,
    LayerParts,
)
from headscope.model.positions import positions
from headscope.model.projections import as_linear, output_layers
from headscope.model.tap import Tap
from headscope.registry import Registry


def _unchanged(maps: Tensor) -> Tensor:
    return maps


@dataclass(frozen=True)
class Tapping:
    """A way to tap the attention of a model.

    Attributes:
        name: What is tapped, as in "tried: NAME".
        attach: Lets every layer show its attention to the tap that is returned.
        plain: A context in which a tapped model runs its own attention and can return its maps; the
            check at load compares with them.
        as_maps: Turns what the model returns in place of a map into a map.
    """

    name: str
    attach: Callable[[PreTrainedModel], Tap]
    plain: Callable[[PreTrainedModel], AbstractContextManager[None]]
    as_maps: Callable[[Tensor], Tensor] = _unchanged


def _as_it_is(_hf: PreTrainedModel) -> AbstractContextManager[None]:
    return nullcontext()


INTERFACE = Tapping("transformers' attention interface", attention.attach, attention.eager)
DROPOUT = Tapping("the dropout of its maps", dropouts.attach, _as_it_is)


def _takes_all(_config: PretrainedConfig) -> str:
    return ""


def _heads(config: PretrainedConfig) -> int:
    return int(layer_config(config).num_attention_heads)


@dataclass(frozen=True)
class Family:
    """What headscope knows of a family. The defaults serve a family that nobody named.

    Attributes:
        model_type: transformers' name of the family.
        tappings: The ways to tap its attention, of which the first that passes the check at load is
            taken.
        refuses: Why a model of this configuration can be neither seen nor disabled, as a verb
            phrase; "" if it can.
        note: What the user must know of every model of the family; "" if there is nothing.
        heads: The number of heads of a layer.
        output_layers: Finds the linear layer that reads the concatenated heads of every layer.
        positions: Says how many tokens a model has positions for.
        layer_parts: Where a layer has its parts, if it is built like BERT's, so that
            `ablation.bert_layers` can run a model layer by layer; None if it is not.
    """

    model_type: str
    tappings: tuple[Tapping, ...] = (INTERFACE, DROPOUT)
    refuses: Callable[[PretrainedConfig], str] = _takes_all
    note: str = ""
    heads: Callable[[PretrainedConfig], int] = _heads
    output_layers: Callable[
        [PreTrainedModel, Tap, PreTrainedTokenizerBase, str], list[nn.Linear]
    ] = output_layers
    positions: Callable[[PreTrainedModel, Tap, PreTrainedTokenizerBase], int] = positions
    layer_parts: LayerParts | None = BERT_LAYER


def _heads_beside_a_convolution(config: PretrainedConfig) -> int:
    """ConvBERT's: a part of its heads is replaced by a convolution."""
    return max(1, int(config.num_attention_heads) // int(config.head_ratio))


def _output_layers_of_xlnet(hf: PreTrainedModel, *_: object) -> list[nn.Linear]:
    """XLNet's projection is no layer but a weight [hidden, head, d]."""
    layers: Any = hf.base_model.layer
    return [as_linear(layer.rel_attn.o.flatten(1)) for layer in layers]


def _attach_to_languages(hf: PreTrainedModel) -> Tap:
    """X-MOD: as others, and what the part for a language puts out has the format of what enters it.

    The model writes it into a tensor of that format, which bfloat16 autocast would change.
    """
    tap = attention.attach(hf)

    def formatted(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.to(given[0].dtype)

    for module in hf.modules():
        if type(module).__name__ == "XmodAdapter":
            tap.undo.callback(module.register_forward_hook(formatted).remove)
    return tap


def _output_layers_of_ibert(hf: PreTrainedModel, *_: object) -> list[nn.Linear]:
    """I-BERT's projection is a class of its own, for weights that may be whole numbers."""
    encoder: Any = hf.base_model.encoder
    return [as_linear(layer.attention.output.dense.weight) for layer in encoder.layer]


def _output_layers_of_squeezebert(hf: PreTrainedModel, *_: object) -> list[nn.Linear]:
    """SqueezeBERT's projection is a convolution over single tokens, in groups."""
    encoder: Any = hf.base_model.encoder
    block_diagonal: Any = torch.block_diag
    found = []
    for layer in encoder.layers:
        convolution = layer.post_attention.conv1d
        weight = convolution.weight[..., 0]  # [hidden, size of a group]
        if convolution.groups > 1:
            weight = block_diagonal(*weight.chunk(convolution.groups))
        found.append(as_linear(weight))
    return found


FAMILIES: Registry[Family] = Registry("model family")


def _register(family: Family) -> None:
    FAMILIES.register(family.model_type)(family)


for _name in (
    "bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "electra",
    "modernbert", "ernie", "data2vec-text", "roberta-prelayernorm", "mobilebert",
    "nomic_bert", "eurobert", "esm", "roc_bert", "splinter", "gte", "jina_embeddings_v3",
    "ultrabert", "esmc", "tipsv2_text_model", "neomme", "t5", "mt5", "umt5", "embedding_gemma2",
    "bert-generation",
):  # fmt: skip
    _register(Family(_name, (INTERFACE,)))
_register(Family("distilbert", (INTERFACE,), layer_parts=DISTILBERT_LAYER))
_register(Family("albert", (INTERFACE,), layer_parts=ALBERT_LAYER))
# EmbeddingGemma's; a model of the family without `use_bidirectional_attention` is a decoder.
_register(Family("gemma3_text", (INTERFACE,)))

_NO_BOXES = (
    "models of this family read where words stand on a page, and headscope has texts alone: every "
    "word stands at the place 0"
)
# Its embeddings need boxes, which the model itself puts in.
_register(Family("layoutlm", (INTERFACE,), note=_NO_BOXES, layer_parts=None))
# Its layers end with a part for the language.
_register(
    Family("xmod", (replace(INTERFACE, attach=_attach_to_languages),), layer_parts=None),
)
_register(
    Family(
        "markuplm",
        (INTERFACE,),
        note="models of this family read the paths of words in a page of HTML, and headscope has "
        "texts alone: no word has a path",
    )
)

_register(
    Family(
        "mpnet",
        (Tapping("its adapter", MPNET.attach, MPNET.plain),),
        layer_parts=MPNET_LAYER,
    )
)
_register(Family("deberta-v2", (Tapping("its adapter", DEBERTA_V2.attach, DEBERTA_V2.plain),)))
_register(
    Family(
        "deberta",
        (Tapping("its adapter", DEBERTA_V1.attach, DEBERTA_V1.plain),),
        refuses_talking_heads,
    )
)

for _name in ("roformer", "rembert", "megatron-bert"):
    _register(Family(_name, (DROPOUT,)))
_register(Family("ibert", (DROPOUT,), output_layers=_output_layers_of_ibert))
# SqueezeBERT returns its scores.
_register(
    Family(
        "squeezebert",
        (replace(DROPOUT, as_maps=partial(torch.softmax, dim=-1)),),
        output_layers=_output_layers_of_squeezebert,
    )
)
_register(Family("xlnet", (DROPOUT,), output_layers=_output_layers_of_xlnet))
for _name, _besides in (
    ("luke", "names of entities"),
    ("visual_bert", "pictures"),
    ("tapas", "the rows and columns of tables"),
):
    _note = f"models of this family read {_besides} beside texts; headscope gives them texts alone"
    _register(Family(_name, (DROPOUT,), note=_note))
_register(Family("convbert", (DROPOUT,), heads=_heads_beside_a_convolution))
# LiLT has a second stream, of places, whose maps are those of the text and come first.
_register(
    Family(
        "lilt",
        (Tapping(DROPOUT.name, partial(dropouts.attach, maps_a_layer=2), _as_it_is),),
        note=f"{_NO_BOXES}; the outputs of heads are those of the text",
    )
)

# Not in the registry, so that a plug-in can register one of them with an adapter.
REFUSED = {
    "big_bird": "attends in blocks, so that it has no map",
    "bros": "needs the places of words on a page",
    "canine": "reads characters and pools them, so that its maps are not those of tokens",
    "clip_text_model": "is a decoder with causal attention",
    "dpr": "gives a vector for a text and no states of its tokens",
    "flaubert": "computes its attention where nothing can be replaced",
    "fnet": "has no attention",
    "funnel": "pools its tokens, so that its maps are not square",
    "layoutlmv2": "reads pictures of pages",
    "layoutlmv3": "reads pictures of pages",
    "longformer": "attends in windows, so that it has no map",
    "lxmert": "attends from texts to pictures and back",
    "mistral4": "is a decoder with causal attention",
    "molmo2_text": "is a decoder with causal attention",
    "mra": "approximates its maps in blocks",
    "nystromformer": "approximates its maps by landmarks",
    "openai_privacy_filter": "gives a part of its attention to no token",
    "perceiver": "attends from learned places, not from tokens",
    "reformer": "attends within buckets, so that it has no map",
    "xlm": "computes its attention where nothing can be replaced",
    "yoso": "approximates its attention by hashing",
}


def family_of(model_type: str) -> Family:
    """The registered family of that name, else one with the defaults."""
    if model_type in FAMILIES.names():
        return FAMILIES.get(model_type)
    return Family(model_type)


def refuse_by_name(name: str, family: str) -> None:
    """Refuse a family, before its configuration is looked at.

    Args:
        name: The model as the user named it.
        family: Its `model_type`.

    Raises:
        HeadscopeError: The family cannot be tapped, and no plug-in has an adapter for it.
    """
    if family not in FAMILIES.names() and family in REFUSED:
        raise _refusal(name, family, REFUSED[family])


def _refusal(name: str, family: str, reason: str) -> HeadscopeError:
    return HeadscopeError(
        f"{name} is of the family {family}, which {reason}, so its heads can be neither seen nor "
        f"disabled: use a model of one of these families: {', '.join(FAMILIES.names())}"
    )


def refuse(name: str, config: PretrainedConfig) -> None:
    """Refuse a model whose heads cannot be tapped, before its weights are read.

    A decoder that this does not know is refused by the check at load, which sees its maps.

    Raises:
        HeadscopeError: Its family refuses its configuration, or it is a decoder or an
            encoder-decoder, or it caps its attention scores.
    """
    usable = ", ".join(FAMILIES.names())
    family = config.model_type
    if refused := family_of(family).refuses(config):
        raise _refusal(name, family, refused)
    if has_decoder(config) and not is_taken_alone(config):
        alone = [known for known in taken_alone() if known in FAMILIES.names()]
        raise HeadscopeError(
            f"{name} ({family}) is an encoder-decoder, whose attention is of three kinds, and "
            f"transformers has no class for its encoder alone: headscope takes encoders (of "
            f"{', '.join(alone)} without the decoder), of these families: {usable}"
        )
    if getattr(config, "is_decoder", False) or _is_known_decoder(config):
        raise HeadscopeError(
            f"{name} ({family}) is a decoder with causal attention, in which a token "
            "does not see what comes after it: headscope takes encoders, of these families: "
            f"{usable}"
        )
    cap = getattr(layer_config(config), "attn_logit_softcapping", None)
    if cap is not None:
        raise HeadscopeError(
            f"{name} ({family}) caps its attention scores (attn_logit_softcapping = {cap}), which "
            f"headscope does not compute: use a model of one of these families: {usable}"
        )


def _is_known_decoder(config: PretrainedConfig) -> bool:
    """Whether transformers knows the family as a language model that reads from left to right and
    not as a masked one; a plug-in may register it, and `is_causal = false` or
    `use_bidirectional_attention = true` makes it an encoder.
    """
    family = config.model_type
    is_causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # Gemma's can be either; where it is ignored (Gemma 2), the check at load finds it.
    is_bidirectional = getattr(config, "use_bidirectional_attention", None)
    if is_causal and isinstance(is_bidirectional, bool):
        return not is_bidirectional
    if family in FAMILIES.names() or not getattr(config, "is_causal", True):
        return False
    return is_causal and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
