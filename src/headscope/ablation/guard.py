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


class Guard:
    """The bound on how far bfloat16 moves the difference of two outputs, learnt from outputs in
    both formats.
    """

    def __init__(
        self, rounded: Float[Tensor, "example output"], exact: Float[Tensor, "example output"]
    ) -> None:
        self.bound = 0.0
        self.learn(rounded[None], exact[None])

    def learn(
        self,
        rounded: Float[Tensor, "variant example output"],
        exact: Float[Tensor, "variant example output"],
    ) -> bool:
        """Take in outputs in both formats; False when they lie further apart than the bound, which
        is raised then.
        """
        # What is no number in bfloat16 is always scored again, and says nothing of the others.
        error = (rounded.float() - exact.float()).nan_to_num(0.0)
        seen = float((error.amax(-1) - error.amin(-1)).max())
        if seen <= self.bound:
            return True
        self.bound = FACTOR * seen
        return False

    def doubtful(self, rounded: Float[Tensor, "variant example output"]) -> Bool[Tensor, "example"]:
        """The examples whose two largest outputs lie within the bound of each other, in any of the
        variants.
        """
        top = rounded.float().topk(2, -1).values
        return (~(top[..., 0] - top[..., 1] > self.bound)).any(0)
