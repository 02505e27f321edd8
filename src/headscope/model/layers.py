"""The layers of a model as modules, so that some can be left out of a forward pass, or be given
other states.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.model.classes import text_config
from headscope.model.probing import probe
from headscope.model.tap import Tap


def layer_modules(
    hf: PreTrainedModel, tap: Tap, tokenizer: PreTrainedTokenizerBase
) -> list[nn.Module]:
    """The module of every layer, found by running a short text; [] where none is found.

    They are the outermost list of modules of which each runs once, in order, and calls attention
    once; where layers share their weights (ALBERT), the outermost module that runs once a layer.
    """
    calls: dict[int, list[int]] = {}

    def remember(module: nn.Module, _arguments: tuple[Any, ...]) -> None:
        calls.setdefault(id(module), []).append(tap.calls)

    probe(hf, tap, tokenizer, nn.Module, remember)
    layers = range(int(text_config(hf.config).num_hidden_layers))
    modules = list(hf.base_model.modules())
    for module in modules:
        if isinstance(module, nn.ModuleList):
            begun = [calls.get(id(child)) for child in module]
            if begun == [[layer] for layer in layers]:
                return list(module)
    for module in modules:
        if len(layers) > 1 and calls.get(id(module)) == list(layers):
            return [module] * len(layers)
    return []


@dataclass(frozen=True)
class LayerCall:
    """A layer that is about to run.

    Attributes:
        layer: Which layer, from 0.
        own: Runs the layer as it is and returns what it returns.
        arguments: What it is called with by position.
        options: What it is called with by name.
    """

    layer: int
    own: Callable[[], Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def argument(self, name: str, position: int) -> Any:
        """One of the arguments, however it was given; None if it was not."""
        if len(self.arguments) > position:
            return self.arguments[position]
        return self.options.get(name)


@contextmanager
def instead(
    modules: Sequence[nn.Module], tap: Tap, run: Callable[[LayerCall], Any]
) -> Iterator[None]:
    """While the context is open, every layer of a model returns what `run` returns for its call,
    whether or not that runs the layer.

    Args:
        modules: The modules of all layers (`layer_modules`).
        tap: The model's tap, which counts a layer also where it is left out.
        run: Called in place of every layer.
    """

    def call(own: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        layer = tap.calls
        output = run(LayerCall(layer, lambda: own(*arguments, **options), arguments, options))
        if tap.calls == layer:
            tap.next_layer()
        return output

    distinct = list({id(module): module for module in modules}.values())
    # An adapter may have replaced the forward of a layer before.
    replaced = [module.__dict__.get("forward") for module in distinct]
    for module in distinct:
        own = module.forward
        module.__dict__["forward"] = lambda *given, _own=own, **named: call(_own, *given, **named)
    try:
        yield
    finally:
        for module, before in zip(distinct, replaced, strict=True):
            del module.__dict__["forward"]
            if before is not None:
                module.__dict__["forward"] = before
