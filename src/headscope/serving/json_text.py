"""Answers as JSON, which has no numbers that are not finite."""

import json
import math
from dataclasses import fields, is_dataclass


def json_text(answer: object) -> str:
    """Write an answer: dataclasses by their fields, numbers that are not finite as null.

    Raises:
        TypeError: The answer holds what is no JSON.

    Example:
        >>> json_text([1.5, float("nan")])
        '[1.5, null]'
    """
    try:
        return json.dumps(answer, default=_by_fields, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(answer), allow_nan=False)


def _by_fields(value: object) -> dict[str, object]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} is no JSON")
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _finite(value: object) -> object:
    """The same with null for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(held) for held in value]
    if value is None or isinstance(value, str | int):
        return value
    return _finite(_by_fields(value))
