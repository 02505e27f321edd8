"""A module's `forward` replaced by a function that calls `attend`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from headscope.model.attention import attend
from headscope.model.tap import Tap, open_tap, tap_of


class Replaced:
    """The attention modules of a family, by the name of their class, and what they run instead.

    Args:
        class_name: The class of the module that multiplies queries and keys, once a layer.
        forward: What runs instead: it takes the module and what the module takes.
    """

    def __init__(self, class_name: str, forward: Callable[..., Any]) -> None:
        self._class_name = class_name
        self._forward = forward

    def attach(self, hf: PreTrainedModel) -> Tap:
        """Put the function into every attention module of a model."""
        tap = open_tap(hf)
        self._replace(hf)
        tap.undo.callback(self._put_back, hf)
        return tap

    def plain(self, hf: PreTrainedModel) -> AbstractContextManager[None]:
        """A context in which the modules run as they are."""
        return self._plain(hf)

    @contextmanager
    def _plain(self, hf: PreTrainedModel) -> Iterator[None]:
        self._put_back(hf)
        try:
            yield
        finally:
            self._replace(hf)

    def _modules(self, hf: PreTrainedModel) -> list[nn.Module]:
        return [module for module in hf.modules() if type(module).__name__ == self._class_name]

    def _replace(self, hf: PreTrainedModel) -> None:
        for module in self._modules(hf):
            module.__dict__["forward"] = partial(self._forward, module)

    def _put_back(self, hf: PreTrainedModel) -> None:
        for module in self._modules(hf):
            module.__dict__.pop("forward", None)


def attended(
    module: Any,
    query: Float[Tensor, "batch head query d"],
    key: Float[Tensor, "batch head key d"],
    value: Float[Tensor, "batch head key d"],
    bias: Float[Tensor, "_ head query key"] | None,
    scaling: float,
) -> Float[Tensor, "batch query size"]:
    """The outputs of a module's heads, one beside the other, by headscope's attention.

    Args:
        module: The module whose `forward` is replaced; its `dropout` is that of the maps.
        query: The queries.
        key: The keys.
        value: The values.
        bias: What is added to the scores.
        scaling: What the product of queries and keys is multiplied by.
    """
    tap = tap_of(module)
    visible = None if tap is None or tap.real is None else tap.real[:, None, None]
    dropout = float(module.dropout.p) if module.training else 0.0
    output, _ = attend(module, query, key, value, visible, bias, scaling=scaling, dropout=dropout)
    return output.flatten(-2)
