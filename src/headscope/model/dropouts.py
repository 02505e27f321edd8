"""Attention that a family computes itself: tapped where its map passes through a dropout.

There the map is seen; what is made of it next, the product with the values, is replaced by
headscope's account of that product. While nobody observes and nothing is edited, the model runs as
it is, bit for bit.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from headscope.errors import InterventionError
from headscope.model.tap import Call, Tap, open_tap

_Finish = Callable[["Product"], Tensor]


class Product:
    """What a module makes of its map and its values, in the module's own order of axes.

    Args:
        function: The function that the module calls.
        arguments: Its arguments, of which one is the map.
        letters: The axes of map, values and product as letters, as einsum writes them. Those of the
            map are batch, head, query and key.

    Attributes:
        value: The values, [batch, head, key, d].
        output: The product, [batch, query, head, d].
    """

    def __init__(
        self, function: Callable[..., Tensor], arguments: Sequence[Any], letters: Sequence[str]
    ) -> None:
        map_axes, value_axes, self._product_axes = letters
        (size,) = set(value_axes) - set(map_axes)
        batch, head, query, key = list(map_axes)
        self._output_axes = f"{batch}{query}{head}{size}"
        value: Tensor = arguments[-1]
        self.value = _reordered(value, value_axes, f"{batch}{head}{key}{size}")
        self._function, self._arguments = function, arguments

    @cached_property
    def output(self) -> Tensor:
        """What the module's own function makes of them."""
        with torch._C.DisableTorchFunctionSubclass():
            product = self._function(*self._arguments)
        return _reordered(product, self._product_axes, self._output_axes)

    def as_the_modules(self, output: Float[Tensor, "batch query head d"]) -> Tensor:
        """The heads' outputs in the module's order of axes."""
        return _reordered(output, self._output_axes, self._product_axes)


def _reordered(values: Tensor, before: str, after: str) -> Tensor:
    """The same values with their axes, named by letters, in another order."""
    return values.permute([before.index(letter) for letter in after])


class _Map(Tensor):
    """A map on its way to the values.

    Attributes:
        finish: Called with the product of the map and the values; what it returns takes the
            product's place.
    """

    finish: _Finish

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        letters = _letters(func, args)
        if letters:
            # Outside of the context below: an observer may run the model.
            map_: _Map = args[-2]
            return map_.finish(Product(func, args, letters))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        # A mask of heads, another format of numbers: still the map.
        if isinstance(result, Tensor) and isinstance(args[0], cls) and result.dim() == 4:
            return _marked(result, args[0].finish)
        return result


def _marked(map_: Tensor, finish: _Finish) -> _Map:
    marked = map_.as_subclass(_Map)
    marked.finish = finish
    return marked


def _letters(func: Callable[..., Any], args: Sequence[Any]) -> tuple[str, ...]:
    """The axes of map, values and product if a call is their product, else nothing."""
    if len(args) < 2 or not isinstance(args[-2], _Map) or not isinstance(args[-1], Tensor):
        return ()
    if func in (torch.matmul, Tensor.matmul, Tensor.__matmul__):
        return ("bhqk", "bhkd", "bhqd")
    if func is torch.functional.einsum or func is torch.einsum:
        factors, product = str(args[0]).replace(" ", "").split("->")
        return (*factors.split(","), product)
    return ()


class _ShownCall(Call):
    """A call of attention whose map the module computed."""

    def __init__(
        self,
        layer: int,
        map_: Float[Tensor, "batch head query key"],
        product: Product,
        real: Bool[Tensor, "batch key"],
    ) -> None:
        super().__init__(layer, product.value, real)
        self._map = map_
        self._product = product

    def maps_of(self, heads: slice) -> Float[Tensor, "batch head query key"]:
        """The attention weights of some heads."""
        return self._map[:, heads]

    @property
    def output(self) -> Float[Tensor, "batch query head d"]:
        """The heads' outputs before the output projection."""
        return self._product.output


def attach(hf: PreTrainedModel, maps_a_layer: int = 1) -> Tap:
    """Watch every dropout of a model for maps.

    A map is told by its shape, [batch, head, token, token]: the check at load counts one a layer.

    Args:
        hf: The model.
        maps_a_layer: How many such maps a layer has; the last is that of its heads.
    """
    tap = open_tap(hf)
    maps = 0

    def begin(*_: Any) -> None:
        nonlocal maps
        maps = 0

    def watch(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        nonlocal maps
        map_ = inputs[0]
        if tap.real is None or map_.dim() != 4 or map_.shape[::2] != tap.real.shape:
            return None
        maps += 1
        if maps % maps_a_layer:
            return None
        layer = tap.next_layer()
        if tap.is_idle:
            return None
        real = tap.real

        def finish(product: Product) -> Tensor:
            if product.value.shape[2] != real.shape[1]:
                raise InterventionError("its maps are not square, since it pools tokens")
            return product.as_the_modules(tap.met(_ShownCall(layer, map_, product, real)))

        return _marked(output, finish)

    tap.undo.callback(hf.base_model.register_forward_pre_hook(begin).remove)
    for module in hf.modules():
        if isinstance(module, nn.Dropout):
            tap.undo.callback(module.register_forward_hook(watch).remove)
    return tap
