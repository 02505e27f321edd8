"""Checkpoints that name code of their own, of families that transformers took over since: which of
them transformers computes alike, and what their configuration says in its words.
"""

from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING

from headscope.errors import HeadscopeError
from headscope.model.source import CONFIG

# Families whose class in transformers was made from the code that these checkpoints name.
_TAKEN_OVER = ("nomic_bert", "eurobert")
# A part of the name of the code, the family in transformers, and a checkpoint of it.
_KNOWN_CODE = (
    ("new-impl", "gte", "alibaba-nlp-community/gte-multilingual-base"),
    ("xlm-roberta-flash-implementation", "jina_embeddings_v3", "jinaai/jina-embeddings-v3-hf"),
)
_NOMIC_NAMES = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "layer_norm_epsilon": "layer_norm_eps",
}
# What transformers' NomicBERT computes; the code that it was made from can do otherwise.
_NOMIC_FORM: dict[str, Any] = {
    "activation_function": "swiglu",
    "prenorm": False,
    "parallel_block": False,
    "use_rms_norm": False,
    "causal": False,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "scale_attn_by_inverse_layer_idx": False,
    "num_experts": 0,
    "moe_every_n_layers": 0,
}


def refuse_own_code(values: Mapping[str, Any], family: str, name: str) -> None:
    """Refuse a model that comes with code of its own: transformers' class of that name may compute
    something else (Jina's BERT has ALiBi where transformers' has position embeddings).

    Raises:
        HeadscopeError: Names the code, and a checkpoint of the same family that transformers
            computes, if one is known.
    """
    auto_map = values.get("auto_map")
    if not auto_map or (family in _TAKEN_OVER and family in CONFIG_MAPPING):
        return
    code = _first(next(iter(auto_map.values())) if isinstance(auto_map, dict) else auto_map)
    way_out = "use a model that transformers computes itself"
    for part, known, checkpoint in _KNOWN_CODE:
        if part in code:
            way_out = (
                f"transformers has such models as the family {known}: use a checkpoint that names "
                f"it, as {checkpoint} does"
            )
    other = f"transformers' {family} need not be the same model"
    if family not in CONFIG_MAPPING:
        other = f"transformers has no family {family}"
    raise HeadscopeError(
        f"{name} computes with code of its own (auto_map in {CONFIG}: {code}), which is "
        f"not run, and {other}: {way_out}"
    )


def in_transformers_words(values: Mapping[str, Any], family: str, name: str) -> dict[str, Any]:
    """A configuration in the words of transformers, which would pass over others and take its
    defaults.

    Args:
        values: What config.json says.
        family: Its model_type.
        name: The model as the user named it.

    Raises:
        HeadscopeError: It describes what transformers' class does not compute.
    """
    if family != "nomic_bert" or "n_embd" not in values:
        return dict(values)
    for key, expected in _NOMIC_FORM.items():
        value = values.get(key, expected)
        if value != expected:
            raise HeadscopeError(
                f"{name} has {key} = {value!r} in its {CONFIG}, and transformers' {family} "
                f"computes with {expected!r}: use another model"
            )
    renamed = {_NOMIC_NAMES.get(key, key): value for key, value in values.items()}
    # Longer texts would need the scaling of positions that the code has and transformers has not.
    longest = values.get("max_trained_positions", 2048)
    renamed["max_position_embeddings"] = min(
        longest, renamed.get("max_position_embeddings", longest)
    )
    base = values.get("rotary_emb_base", 10_000.0)
    renamed.setdefault("rope_parameters", {"rope_type": "default", "rope_theta": float(base)})
    return renamed


def _first(code: object) -> str:
    """One name of what an auto_map holds: a text, or a list of texts and nulls."""
    if isinstance(code, list):
        return next((str(part) for part in code if part), "nothing")
    return str(code)
