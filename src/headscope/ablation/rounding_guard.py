"""Which predictions must be scored again in float32 so that half precision predicts the same class.

A prediction can only differ if rounding moves the difference of two outputs by more than the margin
between the two largest. How far rounding moves such a difference is measured, not assumed: on every
example with nothing disabled, and again on every (set, example) that is scored in both formats. The
bound is a multiple of the largest movement seen; when a later one exceeds the bound, the bound is
raised, and what is in doubt by the new bound is scored again too.
"""

from jaxtyping import Bool, Float
from torch import Tensor

# Rounding errors of different heads and examples are much alike; three times the largest of
# hundreds leaves room.
FACTOR = 3.0


class RoundingGuard:
    """The bound on how far half precision moves the difference of two outputs, learnt from both
    formats.

    Args:
        rounded: The unchanged model's outputs in half precision.
        exact: The same in float32.
    """

    def __init__(
        self, rounded: Float[Tensor, "example output"], exact: Float[Tensor, "example output"]
    ) -> None:
        self.bound = 0.0
        self.learn(rounded, exact)

    def learn(
        self, rounded: Float[Tensor, "*rows output"], exact: Float[Tensor, "*rows output"]
    ) -> None:
        """Take in outputs in both formats, and raise the bound if they lie further apart."""
        # What is no number in half precision is always scored again, and says nothing of the rest.
        error = (rounded.float() - exact.float()).nan_to_num(0.0, 0.0, 0.0)
        if not error.numel():
            return
        largest = float((error.amax(-1) - error.amin(-1)).max())
        if largest > self.bound:
            self.bound = FACTOR * largest

    def doubtful(self, rounded: Float[Tensor, "*rows output"]) -> Bool[Tensor, "*rows"]:
        """Where the two largest outputs lie within the bound of each other."""
        top = rounded.float().topk(2, -1).values
        is_clear = top[..., 0] - top[..., 1] > self.bound
        # The comparison is false for a not-a-number, and no infinite output is taken as it is.
        return ~is_clear | ~rounded.isfinite().all(-1)
