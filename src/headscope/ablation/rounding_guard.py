"""Which examples must be scored again in float32 so that bfloat16 predicts the same class.

A prediction can only differ if rounding moves the difference of two outputs by more than the margin
between the two largest. How far rounding moves such a difference is measured, not assumed: on every
example with nothing disabled, and again on every example that is scored in both formats. The bound
is a multiple of the largest movement seen; when a later one exceeds the bound, the bound is raised
and the unit is scored anew.
"""

from jaxtyping import Bool, Float
from torch import Tensor

# Rounding errors of different heads and examples are much alike; three times the largest of
# hundreds leaves room.
FACTOR = 3.0


class RoundingGuard:
    """The bound on how far bfloat16 moves the difference of two outputs, learnt from both formats.

    Args:
        rounded: The unchanged model's outputs in bfloat16.
        exact: The same in float32.
    """

    def __init__(
        self, rounded: Float[Tensor, "example output"], exact: Float[Tensor, "example output"]
    ) -> None:
        self.bound = 0.0
        self.learn(rounded[None], exact[None])

    def learn(
        self,
        rounded: Float[Tensor, "set example output"],
        exact: Float[Tensor, "set example output"],
    ) -> bool:
        """Take in outputs in both formats.

        Returns:
            False when they lie further apart than the bound, which is raised then.
        """
        # What is no number in bfloat16 is always scored again, and says nothing of the others.
        error = (rounded.float() - exact.float()).nan_to_num(0.0)
        largest = float((error.amax(-1) - error.amin(-1)).max())
        if largest <= self.bound:
            return True
        self.bound = FACTOR * largest
        return False

    def doubtful(self, rounded: Float[Tensor, "set example output"]) -> Bool[Tensor, "example"]:
        """The examples whose two largest outputs lie within the bound of each other, in any set."""
        top = rounded.float().topk(2, -1).values
        is_clear = top[..., 0] - top[..., 1] > self.bound
        # The comparison is false for a not-a-number, which is thereby in doubt.
        return (~is_clear).any(0)
