"""Where a classifier of transformers keeps what the usual hooks need, by the names of its modules.

Knows nothing of headscope: the rivals must not stand on what they are compared with.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Names:
    """The names that a family has for two modules of a layer.

    Attributes:
        reader: The end of the name of the projection that reads the heads' outputs.
        values: The same of the projection to values; "" where it cannot be hooked.
        parts: How many projections are fused in `values`, of which the values come last.
    """

    reader: str
    values: str = ""
    parts: int = 1


# The first that fits counts.
_NAMES = (
    Names("attention.output.dense", "attention.self.value"),
    Names("attention.output.dense", "attention.self.value_proj"),
    # DeBERTa v1 fuses its projections head by head.
    Names("attention.output.dense"),
    Names("attention.attn.o", "attention.attn.v"),
    Names("attention.out_lin", "attention.v_lin"),
    Names("attn.Wo", "attn.Wqkv", parts=3),
    Names("self_attn.o_proj", "self_attn.v_proj"),
    Names("attention.dense", "attention.value"),
    Names("post_attention.conv1d", "attention.value"),
)


@dataclass(frozen=True)
class Layer:
    """A layer of a classifier.

    Attributes:
        reader: The projection that reads the heads' outputs.
        values: The projection to values; None where it cannot be hooked.
        parts: How many projections are fused in `values`, of which the values come last.
        attention: How many weights the layer's attention multiplies each token with.
        feed_forward: How many the rest of the layer does.
    """

    reader: Any
    values: Any
    parts: int
    attention: int
    feed_forward: int


def find_layers(hf: nn.Module) -> list[Layer]:
    """The layers as modules, in order; ALBERT's are all the same one, which comes once.

    Raises:
        SystemExit: No module has a name that is known.
    """
    modules = dict(hf.named_modules())
    for names in _NAMES:
        fits = [name for name in modules if f".{name}".endswith(f".{names.reader}")]
        found = [name.removesuffix(names.reader) for name in fits]
        if found and all(not names.values or prefix + names.values in modules for prefix in found):
            return [_layer(hf, modules, prefix, names) for prefix in found]
    raise SystemExit(
        f"no module of {type(hf).__name__} is known to read the outputs of heads: add its name to "
        "benchmarks/disabling/places.py"
    )


def _layer(hf: Any, modules: dict[str, nn.Module], prefix: str, names: Names) -> Layer:
    attention, others = 0, 0
    # The first word of both names: "attention", "attn".
    of_attention = prefix + names.reader.split(".")[0] + "."
    for name, module in modules.items():
        weight = getattr(module, "weight", None)
        if not name.startswith(prefix) or weight is None or weight.dim() < 2:
            continue
        if name.startswith((of_attention, prefix + "attention.", prefix + names.reader)):
            attention += weight.numel()
        else:
            others += weight.numel()
    # With fewer heads for keys and values than for queries, values are not those of one head.
    groups = getattr(hf.config, "num_key_value_heads", None)
    is_hookable = names.values and groups in (None, hf.config.num_attention_heads)
    values = modules[prefix + names.values] if is_hookable else None
    return Layer(modules[prefix + names.reader], values, names.parts, attention, others)
