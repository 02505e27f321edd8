"""Types and shapes are checked under test; the dear check, of shapes, only where an annotation has one.

jaxtyping's own decorator binds the arguments of every call and checks them twice, whatever they are, and makes its checks
while a module is imported. Most functions have no array, and most are called by few of the tests that import them.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import Any

import jaxtyping
from beartype import beartype

_with_shapes: Any = jaxtyping.jaxtyped
"""What checks the types and shapes of a call together, by jaxtyping."""


def install() -> None:
    """Let modules that jaxtyping's import hook reads from now on have these checks."""
    vars(jaxtyping)["jaxtyped"] = decorator


def decorator(checked: Any = None, *, typechecker: Any) -> Any:
    """In the place of `jaxtyping.jaxtyped`, which its import hook puts on every function and class."""
    if checked is None:
        return lambda function: decorator(function, typechecker=typechecker)
    if isinstance(checked, type):
        if dataclasses.is_dataclass(checked) and "__init__" in vars(checked):
            of_fields: Any = checked
            of_fields.__init__ = decorator(of_fields.__init__, typechecker=typechecker)
        return checked
    if not isinstance(checked, types.FunctionType):
        return _with_shapes(checked, typechecker=typechecker)
    checking: list[Callable[..., Any]] = []

    def called(*given: Any, **named: Any) -> Any:
        if not checking:
            checking.append(with_checks(checked, typechecker))
        return checking[0](*given, **named)

    return update_wrapper(called, checked)


def with_checks(function: types.FunctionType, typechecker: Any) -> Callable[..., Any]:
    """A function that checks what it is given and what it returns."""
    hints = {name: resolved(hint, function) for name, hint in function.__annotations__.items()}
    if any(is_shape(part) for hint in hints.values() for part in parts(hint)):
        checking: Callable[..., Any] = _with_shapes(function, typechecker=typechecker)
        return checking
    return with_types(function, hints)


def resolved(hint: Any, function: Callable[..., Any]) -> Any:
    """An annotation as a type; one that only a type checker can read allows anything, as for jaxtyping."""
    holder: Any = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["hint"]
    except Exception:
        return Any


def parts(hint: Any) -> Iterator[Any]:
    """An annotation and all that it is made of."""
    yield hint
    for inner in hint if isinstance(hint, list) else typing.get_args(hint):
        yield from parts(inner)


def is_shape(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)


def with_types(function: types.FunctionType, hints: dict[str, Any]) -> Callable[..., Any]:
    """A function that checks the types of its arguments and of what it returns."""
    copied = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__qualname__, copied.__module__ = function.__qualname__, function.__module__
    copied.__annotations__ = hints
    return beartype(copied)
