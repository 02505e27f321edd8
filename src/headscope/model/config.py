"""A model's config.json: read without running anything, checked, and freed of options that change
no number.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.activations import ACT2FN

from headscope.errors import HeadscopeError, refusing, unknown
from headscope.model.classes import layer_config, text_config
from headscope.model.families import refuse_by_name
from headscope.model.source import CONFIG
from headscope.model.taken_over import in_transformers_words, refuse_own_code

# What a caller may ask of a model; headscope asks it at each call, and no number depends on it.
_ASKED_AT_THE_CALL = (
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
    "chunk_size_feed_forward",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "torchscript",
    "use_cache",
)
_SIZES = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "vocab_size", "max_position_embeddings", "embedding_size",
    "num_hidden_groups", "inner_group_num", "head_dim", "dim", "n_heads", "n_layers",
    "hidden_dim", "n_embd", "n_head", "n_layer", "num_labels",
)  # fmt: skip
_ACTIVATIONS = ("hidden_act", "activation", "hidden_activation", "classifier_activation")
_MOST_LAYERS = 1000


def read_config(folder: Path, name: str) -> PretrainedConfig:
    """Read and check a model's config.json.

    Args:
        folder: The folder that holds it.
        name: The model as the user named it.

    Raises:
        HeadscopeError: It is damaged, names no family that transformers knows or one that is
            refused, contradicts itself, or asks for what transformers does not compute.
    """
    cannot = f"the configuration of {name!r} cannot be read"
    with refusing(cannot, f"fetch its {CONFIG} again"):
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise HeadscopeError(f"{cannot}: {CONFIG} must hold an object, it holds a {_kind(values)}")
    family = values.get("model_type")
    if not isinstance(family, str):
        raise HeadscopeError(
            f'{cannot}: {CONFIG} names no model_type: add it, as in "model_type": "bert"'
        )
    refuse_own_code(values, family, name)
    if family not in CONFIG_MAPPING:
        raise HeadscopeError(
            f"{cannot}: transformers has no model_type {family!r}, and the model's own code is not "
            "run: use a model of a family that transformers has"
        )
    refuse_by_name(name, family)
    values = in_transformers_words(values, family, name)
    _check_values(values, name)
    kept = {key: value for key, value in values.items() if key not in _ASKED_AT_THE_CALL}
    kept.pop("auto_map", None)
    with refusing(cannot, f"correct its {CONFIG}"):
        config: PretrainedConfig = CONFIG_MAPPING[family].from_dict(kept)
    _check_config(config, values, name)
    return config


def language_note(config: PretrainedConfig, name: str) -> tuple[str, ...]:
    """A note on the language that X-MOD's texts are read as; it has weights for each."""
    if config.model_type != "xmod":
        return ()
    language = config.default_language
    return (
        f"all texts are read with the weights of {name} for the language {language} "
        f"(default_language in its {CONFIG})",
    )


def _kind(value: object) -> str:
    return {"list": "list", "str": "text", "NoneType": "null"}.get(type(value).__name__, "number")


def _check_values(values: Mapping[str, Any], name: str) -> None:
    """Check what config.json says, before transformers sees it.

    Raises:
        HeadscopeError: A size is no whole number of at least 1, an activation is unknown, or the
            weights are quantised.
    """
    architectures = values.get("architectures") or []
    are_names = isinstance(architectures, list) and all(isinstance(x, str) for x in architectures)
    if not are_names:
        raise HeadscopeError(
            f"the configuration of {name!r} has architectures = {architectures!r}, expected a list "
            f"of names: correct its {CONFIG}"
        )
    for key in _SIZES:
        value = values.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise HeadscopeError(
                f"the configuration of {name!r} has {key} = {value!r}, expected a whole number of "
                f"at least 1: correct its {CONFIG}"
            )
    for key in _ACTIVATIONS:
        value = values.get(key)
        if isinstance(value, str) and value not in ACT2FN:
            raise unknown(f"{key} in {CONFIG} of {name!r}:", value, ACT2FN)
    quantised = values.get("quantization_config") or values.get("compression_config")
    if quantised:
        method = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        raise HeadscopeError(
            f"the weights of {name!r} are quantised{f' ({method})' if method else ''}: headscope "
            "measures float weights; use the model from which this one was made, or dequantise it "
            "(model.dequantize() in transformers) and save it"
        )


def _check_config(config: PretrainedConfig, values: Mapping[str, Any], name: str) -> None:
    """Check what transformers made of config.json.

    Raises:
        HeadscopeError: Heads do not divide the hidden size or were pruned, there are too many
            layers to be true, no language is chosen where there are several, or transformers
            leaves out what the positions are.
    """
    layers = getattr(text_config(config), "num_hidden_layers", None)
    if isinstance(layers, int) and layers > _MOST_LAYERS:
        raise HeadscopeError(
            f"the configuration of {name!r} has {layers} layers, at most {_MOST_LAYERS} are "
            f"possible: correct its {CONFIG}"
        )
    encoder = layer_config(config)
    hidden = getattr(encoder, "hidden_size", None)
    heads = getattr(encoder, "num_attention_heads", None)
    has_own_size = getattr(encoder, "head_dim", None) is not None
    if isinstance(hidden, int) and isinstance(heads, int) and hidden % heads and not has_own_size:
        raise HeadscopeError(
            f"the configuration of {name!r} has a hidden size of {hidden}, which {heads} heads do "
            f"not divide: correct its {CONFIG}"
        )
    if config.model_type == "xmod" and config.default_language not in config.languages:
        raise HeadscopeError(
            f"{name} (xmod) has weights of its own for each language, and default_language in its "
            f"{CONFIG} is {config.default_language!r}: set it to the language of the texts, one of "
            f"{', '.join(config.languages)}"
        )
    if values.get("pruned_heads"):
        raise HeadscopeError(
            f"heads of {name} were pruned with an older transformers (pruned_heads in {CONFIG}), "
            "which transformers 5 cannot load: use the model before pruning"
        )
    positions = values.get("position_embedding_type") or "absolute"
    known = {field.name for field in fields(config)}
    if positions != "absolute" and "position_embedding_type" not in known:
        raise HeadscopeError(
            f"{name} was trained with position_embedding_type = {positions!r}, which transformers "
            f"5 no longer computes for {config.model_type}: use a model with absolute positions"
        )
