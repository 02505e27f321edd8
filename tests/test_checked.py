"""Types and shapes of headscope's functions are checked while they are tested."""

import numpy as np
import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation
from jaxtyping import Float, TypeCheckError

from checked import decorator
from headscope.axes import Head
from headscope.pruning.search import Step, with_one_exchanged
from headscope.pruning.surrogate import Surrogate
from headscope.stats.groups import Groups


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="removed"):
        with_one_exchanged(np.zeros((2, 3), dtype=bool))


def test_an_array_of_other_numbers_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="removed"):
        with_one_exchanged(np.zeros(3))


def test_two_arrays_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(TypeCheckError, match="costs"):
        Surrogate.fit(np.zeros((4, 3), dtype=bool), np.zeros(5))


def halved(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    return values[::2]


def said(number: int) -> str:
    return number  # type: ignore[return-value]


def test_what_is_returned_is_checked() -> None:
    with pytest.raises(TypeCheckError, match="return value"):
        decorator(halved, typechecker=beartype)(np.zeros(4))
    with pytest.raises(BeartypeCallHintReturnViolation):
        decorator(said, typechecker=beartype)(4)


def test_a_field_of_another_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="removed"):
        Step(removed=np.zeros((2, 3), dtype=bool), loss=0.0)


def test_types_without_shapes_are_checked() -> None:
    with pytest.raises(BeartypeCallHintParamViolation, match="layer"):
        Head("1", 2)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintParamViolation):
        Groups.of(7)  # type: ignore[arg-type]
