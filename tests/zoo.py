"""Every family of text encoders that transformers has, as a tiny random model, or as a configuration alone where it is refused.

The families are those that transformers registers for masked language modelling, for the encoding of texts, or for
classification, tagging or question answering without being language models that read from left to right; and some that only
`AutoModel` knows.
"""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

import families
from families import HEAD_SIZE, HEADS, LAYERS

OF_AUTO_MODEL_ALONE = (
    "bert-generation",
    "dpr",
    "embedding_gemma2",
    # EmbeddingGemma, if its configuration says so.
    "gemma3_text",
    "longt5",
    "switch_transformers",
    "udop",
    "visual_bert",
    "xlnet",
)


def universe() -> list[str]:
    """The families, by name."""
    with_heads = {
        *MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        *MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        *MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    }
    of_texts = {*MODEL_FOR_MASKED_LM_MAPPING_NAMES, *MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES}
    not_causal = with_heads - set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return sorted(of_texts | not_causal | set(OF_AUTO_MODEL_ALONE))


def has_classifier(family: str) -> bool:
    """Whether transformers has a classifier of texts for a family that headscope uses."""
    is_with_decoder = CONFIG_MAPPING[family].is_encoder_decoder
    # XLNet's reads the last token, which may be padding.
    is_usable = family in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES and family != "xlnet"
    return is_usable and not is_with_decoder


_RELATIVE: dict[str, Any] = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "type_vocab_size": 0,
    "position_biased_input": False,
}
_GROUPED: dict[str, Any] = {"num_key_value_heads": HEADS, "head_dim": HEAD_SIZE}
_T5: dict[str, Any] = {
    "d_model": 20,
    "d_kv": HEAD_SIZE,
    "d_ff": 23,
    "num_layers": LAYERS,
    "num_decoder_layers": 2,
    "num_heads": HEADS,
    "decoder_start_token_id": 1,
    # T5 draws its weights by a factor, from which attention is far from uniform only if large.
    "initializer_factor": 1.0,
}
GEMMA: dict[str, Any] = {
    **{key: families.SIZES[key] for key in ("vocab_size", "hidden_size", "pad_token_id")},
    **_GROUPED,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 23,
    # Of layers with full attention.
    "global_head_dim": 8,
    "num_global_key_value_heads": 1,
    "embedding_dim": 20,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    "sliding_window": 6,
    "vocab_size_per_layer_input": 131,
    "hidden_size_per_layer_input": 8,
    "max_position_embeddings": 41,
}
_BIDIRECTIONAL: dict[str, Any] = {
    **_GROUPED,
    "use_bidirectional_attention": True,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    "sliding_window": 6,
    "query_pre_attn_scalar": HEAD_SIZE,
}
PICTURES: dict[str, Any] = {
    "model_type": "gemma4_vision",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 8,
}
# What a family needs besides the sizes of all, or names otherwise.
CONFIGS: dict[str, dict[str, Any]] = {
    **families.OWN,
    "bert-generation": {},
    "convbert": {"hidden_size": 40, "embedding_size": 20, "num_attention_heads": 10},
    "deberta": _RELATIVE,
    "deberta-v2": _RELATIVE
    | {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "embedding_gemma2": {"text_config": GEMMA, "vision_config": PICTURES},
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 3},
    "esmc": {"d_model": 20, "n_heads": HEADS, "n_layers": LAYERS},
    "eurobert": {"mask_token_id": 3, **_GROUPED},
    "gemma3_text": _BIDIRECTIONAL,
    "gte": {},
    "ibert": {},
    "jina_embeddings_v3": {},
    "layoutlm": {},
    "lilt": {"hidden_size": 60, "channel_shrink_ratio": 2},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 20},
    "markuplm": {},
    "megatron-bert": {},
    "mobilebert": {
        "embedding_size": 20,
        "intra_bottleneck_size": 20,
        "true_hidden_size": 20,
        "use_bottleneck": False,
        "normalization_type": "layer_norm",
    },
    "mpnet": {},
    "mt5": _T5,
    "neomme": {"hidden_size": 80, "num_key_value_heads": HEADS, "head_dim": 16}
    | {"embedding_rank": 8, "embedding_dim": 8},
    "nomic_bert": {},
    "rembert": {"input_embedding_size": 20, "output_embedding_size": 20},
    "roc_bert": {},
    "roformer": {"embedding_size": 20},
    "splinter": {},
    "squeezebert": {
        "embedding_size": 20,
        "q_groups": 1,
        "k_groups": 1,
        "v_groups": 1,
        "post_attention_groups": 1,
        "intermediate_groups": 1,
        "output_groups": 1,
    },
    "t5": _T5,
    "tapas": {},
    "tipsv2_text_model": {},
    "ultrabert": {},
    "umt5": _T5,
    "visual_bert": {"visual_embedding_dim": 8},
    "xlm-roberta-xl": {"type_vocab_size": 1},
    "xlnet": {
        "d_model": 20,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "d_inner": 23,
        "max_position_embeddings": None,
    },
    "xmod": {"default_language": "en_XX", "languages": ["en_XX"], "type_vocab_size": 1},
}

# The module of a layer that reads the concatenated outputs of its heads, by the end of its name.
OF_BERT = "attention.output.dense"
READERS: dict[str, str] = {
    "albert": "attention.dense",
    "distilbert": "attention.out_lin",
    "embedding_gemma2": "self_attn.o_proj",
    "esmc": "self_attn.o_proj",
    "eurobert": "self_attn.o_proj",
    "gemma3_text": "self_attn.o_proj",
    "gte": "self_attn.o_proj",
    "jina_embeddings_v3": "self_attn.o_proj",
    "modernbert": "attn.Wo",
    "mpnet": "attention.attn.o",
    "mt5": "SelfAttention.o",
    "nomic_bert": "self_attn.o_proj",
    "squeezebert": "post_attention.conv1d",
    "t5": "SelfAttention.o",
    "tipsv2_text_model": "self_attn.out_proj",
    "ultrabert": "self_attn.o_proj",
    "umt5": "SelfAttention.o",
}
# Where no module reads them as they are: the end of a module's name, the method of it that does, and which argument they are,
# with the order of its axes.
METHODS: dict[str, tuple[str, str, int, str]] = {
    "xlnet": ("rel_attn", "post_attention", 1, "qbhd"),
    "neomme": ("self_attn", "exclusive_self_attention", 0, "bqhd"),
}


def folder_of(family: str, root: Path, **more: Any) -> Path:
    """Write a tiny random encoder with its tokenizer, and with a classifier where there is one."""
    torch.manual_seed(17)
    sizes = {**families.SIZES, **CONFIGS[family], "num_labels": 3, **more}
    if sizes.get("max_position_embeddings", 0) is None:
        del sizes["max_position_embeddings"]
    config = AutoConfig.for_model(family, **sizes)
    auto: Any = AutoModelForSequenceClassification if has_classifier(family) else AutoModel
    folder = root / family
    hf = auto.from_config(config)
    for module in hf.modules():
        # Some families begin with small projections, or with zeros, with which no head does anything.
        if isinstance(module, nn.Linear) and module.weight.std() < 0.2:
            nn.init.normal_(module.weight, std=0.4)
        # What is the same for all tokens, such as a box that is not there, must not hide what differs.
        if isinstance(module, nn.Embedding) and module is not hf.get_input_embeddings():
            module.weight.data *= 0.01 if family == "markuplm" else 0.2
    hf.save_pretrained(folder)
    marks = {"t5": "t5", "mt5": "t5", "umt5": "t5", "xlnet": "xlnet"}.get(family, "bert")
    families.tokenizer(family in families.TYPED, marks).save_pretrained(folder)
    return folder
