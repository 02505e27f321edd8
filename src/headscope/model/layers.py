"""The layers of a model as modules of their own, so that some can be left out of a forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.model.classes import text_config
from headscope.model.probing import probe
from headscope.model.tap import Tap


def layer_modules(
    hf: PreTrainedModel, tap: Tap, tokenizer: PreTrainedTokenizerBase
) -> list[nn.Module]:
    """The module of every layer, found by running a short text; [] where layers share one.

    They are the outermost list of modules of which each runs once, in order, and calls attention
    once.
    """
    calls: dict[int, list[int]] = {}

    def remember(module: nn.Module, _arguments: tuple[Any, ...]) -> None:
        calls.setdefault(id(module), []).append(tap.calls)

    probe(hf, tap, tokenizer, nn.Module, remember)
    # A probing pass ends with the number of all layers.
    for module in hf.base_model.modules():
        if isinstance(module, nn.ModuleList):
            begun = [calls.get(id(child)) for child in module]
            if begun == [[layer] for layer in range(int(text_config(hf.config).num_hidden_layers))]:
                return list(module)
    return []


@contextmanager
def left_out(modules: Sequence[nn.Module], output: Any, tap: Tap) -> Iterator[None]:
    """While the context is open, these layers, the first of a model, run nothing: each returns
    `output`, what the last of them returned.
    """

    def pass_on(*_given: Any, **_options: Any) -> Any:
        tap.next_layer()
        return output

    # An adapter may have replaced the forward of a layer before.
    replaced = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.__dict__["forward"] = pass_on
    try:
        yield
    finally:
        for module, before in zip(modules, replaced, strict=True):
            del module.__dict__["forward"]
            if before is not None:
                module.__dict__["forward"] = before


@contextmanager
def returned(module: nn.Module, keep: Callable[[Any], None]) -> Iterator[None]:
    """While the context is open, `keep` is told what a layer returns."""

    def tell(_module: nn.Module, _given: tuple[Any, ...], output: Any) -> None:
        keep(output)

    hook = module.register_forward_hook(tell)
    try:
        yield
    finally:
        hook.remove()
