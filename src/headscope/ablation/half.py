"""Half precision for exact predictions: which format a device has, and whether it pays for a model.

float16 has eight times bfloat16's precision and a small range; on a GPU both are as fast, so
float16 is tried first, and bfloat16 where a number is too large for it. Processors compute products
of bfloat16 alone.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from headscope.ablation.layered import Layered
from headscope.ablation.rounding_guard import RoundingGuard
from headscope.ablation.stacked import Precise
from headscope.model.precision import has_bf16

MOST_DOUBTS = 0.5
"""Where half precision leaves a larger share of the examples in doubt, float32 is as fast."""


def formats(device: torch.device) -> tuple[torch.dtype, ...]:
    """The formats of half precision that a device is fast in, the most precise first."""
    if not has_bf16(device):
        return ()
    return (torch.float16, torch.bfloat16) if device.type == "cuda" else (torch.bfloat16,)


def halves(
    exact: Layered,
    unchanged: Float[Tensor, "example output"],
    outputs: Callable[[Layered], Float[Tensor, "example output"]],
    note: Callable[[str], object],
) -> tuple[Layered, Precise] | None:
    """The model in the first format that gives numbers, and what makes its predictions exact.

    Args:
        exact: The model in float32.
        unchanged: What it puts out with nothing disabled.
        outputs: Runs a model with nothing disabled.
        note: Is told why a format was left.

    Returns:
        None where float32 is used for all.
    """
    for dtype in formats(exact.model.hf.device):
        tried = try_format(exact, dtype, outputs, note)
        if tried is None:
            continue
        half, rounded = tried
        guard = RoundingGuard(rounded, unchanged)
        share = float(guard.doubtful(rounded).float().mean())
        if share <= MOST_DOUBTS:
            return half, Precise(exact, guard)
        note(
            f"{_name(dtype)} leaves {100 * share:.0f}% of the predictions of {exact.model.name} in "
            "doubt: float32 is used"
        )
    return None


def try_format(
    exact: Layered,
    dtype: torch.dtype,
    outputs: Callable[[Layered], Float[Tensor, "example output"]],
    note: Callable[[str], object],
) -> tuple[Layered, Float[Tensor, "example output"]] | None:
    """The model in a format of half precision, and what it puts out with nothing disabled; None
    where it cannot be run in it, or has numbers that are too large for it.
    """
    name = exact.model.name
    try:
        half = exact.rounded(dtype)
        rounded = outputs(half)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        note(f"{name} cannot be run in {_name(dtype)} ({error}): a slower way is used")
        return None
    if not bool(rounded.isfinite().all()):
        note(f"{name} has numbers that are too large for {_name(dtype)}: another format is used")
        return None
    return half, rounded


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
