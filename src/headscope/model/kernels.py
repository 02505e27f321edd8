"""Which of torch's kernels of attention are used."""

from contextlib import AbstractContextManager

from torch.nn.attention import SDPBackend, sdpa_kernel


def kernels_for_any_shape() -> AbstractContextManager[object]:
    """A context for attention over batches of many shapes.

    On a GPU torch prefers cuDNN's kernel in half precision. It is prepared anew for every shape,
    which takes longer than hundreds of layers of a base model over a batch; the other kernels take
    any shape as it comes. On a processor nothing changes.
    """
    return sdpa_kernel(
        [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
