"""Between the host and a device that works on its own: copies, and batches that are prepared while
the device still has work.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

T = TypeVar("T")


def on_device(values: npt.ArrayLike, device: torch.device) -> Tensor:
    """Values of the host as a tensor on the device. The host does not wait for work that the device
    has not done.
    """
    return torch.as_tensor(np.asarray(values)).to(device, non_blocking=True)


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Tensors of one type as arrays of the host, in one copy; the host waits for it."""
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    parts = zip(np.split(flat, ends[:-1]), tensors, strict=True)
    return [part.reshape(tensor.shape) for part, tensor in parts]


class Ahead(Generic[T]):
    """Batches, each prepared while the device works on the one before.

    Args:
        every: All batches, as row numbers.
        prepare: Prepares a batch.
    """

    def __init__(
        self, every: Sequence[Sequence[int]], prepare: Callable[[Sequence[int]], T]
    ) -> None:
        self._prepare = prepare
        # A row is in one batch only, so its first row tells a batch from the others.
        firsts = [rows[0] for rows in every]
        self._following = dict(zip(firsts, every[1:], strict=False))
        self._ready: dict[int, T] = {}

    def take(self, rows: Sequence[int]) -> T:
        """A batch, prepared."""
        if rows[0] in self._ready:
            return self._ready.pop(rows[0])
        return self._prepare(rows)

    def make_following(self, rows: Sequence[int]) -> None:
        """Prepare the batch that follows this one, if there is one."""
        following = self._following.get(rows[0])
        if following is not None:
            self._ready[following[0]] = self._prepare(following)
