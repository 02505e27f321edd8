"""A module's `forward` replaced by a function that calls `attend`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

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


def visible_keys(module: nn.Module) -> Tensor | None:
    """Which keys may be seen in the pass in progress, [batch, 1, 1, key]; None for all."""
    tap = tap_of(module)
    return None if tap is None else tap.visible


def dropout_of(module: Any) -> float:
    """The dropout of a module's maps, as it applies now."""
    return float(module.dropout.p) if module.training else 0.0
