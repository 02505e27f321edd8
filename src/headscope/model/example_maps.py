"""The maps of single examples, as a report draws them: whole, or of a long example coarse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.model.encoding import Encoded, only
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.model import Model
from headscope.model.passes import run_pass

WHOLE = 512
"""Maps of up to so many tokens are kept whole."""
SHOWN = 2**24
"""How many cells the maps of a run have together, where examples are long: a page holds as many."""
FEWEST, MOST = 64, 256
"""How many cells a side the map of a long example has at least and at most."""
KEPT = 16
"""How many examples of a run are kept."""


@dataclass(frozen=True)
class ExampleRow:
    """An example that a page shows, token by token.

    Attributes:
        example: Its index among the examples.
        label: The name of its class, its score, the tags of its words, or an answer; None for texts
            without labels.
        prediction: The same as the model has it; None for a model without a head for the task.
        tokens: Its subwords and special tokens; of a long example the cells of its maps, each by
            its first token and how many follow.
        segments: Which text a token belongs to, 0 or 1.
        special: Whether a token is a special one, or a cell holds one.
        words: The number of the word that a token belongs to, -1 for none; None where that is not
            known.
    """

    example: int
    label: str | None
    prediction: str | None
    tokens: list[str]
    segments: list[int]
    special: list[bool]
    words: list[int] | None


def cell_size(tokens: int, heads: int) -> int:
    """How many tokens one cell of the kept map of an example stands for.

    Args:
        tokens: The tokens of the example.
        heads: The heads of all layers.

    >>> cell_size(512, 144), cell_size(513, 144), cell_size(8192, 144), cell_size(8192, 15)
    (1, 7, 97, 32)
    """
    if tokens <= WHOLE:
        return 1
    cells = min(MOST, max(FEWEST, isqrt(SHOWN // (KEPT * heads))))
    return -(-tokens // cells)


def coarse(
    maps: Float[Tensor, "head query key"], size: int
) -> Float[Tensor, "head query_cell key_cell"]:
    """Maps in cells of `size` tokens a side, the last of which may have fewer: what a row of a cell
    gives to the columns of a cell, averaged over the rows. Rows sum to 1 still.

    >>> coarse(torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]]), 2)
    tensor([[[0.7500, 0.2500],
             [0.0000, 1.0000]]])
    """
    heads, tokens = maps.shape[:2]
    cells = -(-tokens // size)
    missing = cells * size - tokens
    columns = torch.nn.functional.pad(maps, (0, missing)).view(heads, tokens, cells, size).sum(-1)
    rows = torch.nn.functional.pad(columns, (0, 0, 0, missing)).view(heads, cells, size, cells)
    counts = torch.full((cells,), float(size), device=maps.device)
    counts[-1] = size - missing
    return rows.sum(2) / counts[:, None]


class _MapKeeper:
    """Keeps the maps of every example of a pass in 255ths, one example a batch."""

    heads_by_themselves = True

    def __init__(self, heads: int) -> None:
        self._heads = heads
        # [example][layer][block of heads]
        self._maps: dict[int, list[list[npt.NDArray[np.uint8]]]] = {}

    def prepare(self, batch: Batch) -> list[list[npt.NDArray[np.uint8]]]:
        return self._maps.setdefault(int(batch.examples.item()), [])

    def see(self, maps: LayerMaps, prepared: list[list[npt.NDArray[np.uint8]]]) -> None:
        of_example = maps.maps[0]
        size = cell_size(of_example.shape[-1], self._heads)
        if size > 1:
            of_example = coarse(of_example, size)
        if maps.layer == len(prepared):
            prepared.append([])
        prepared[maps.layer].append((of_example * 255).round().byte().cpu().numpy())

    def of(self, example: int) -> npt.NDArray[np.uint8]:
        """[layer, head, query, key]."""
        return np.stack([np.concatenate(blocks) for blocks in self._maps[example]])


def example_maps(
    model: Model, encoded: Encoded, rows: Sequence[int]
) -> dict[int, npt.NDArray[np.uint8]]:
    """The maps of some examples, in 255ths; of an example of more than `WHOLE` tokens in cells.

    Returns:
        example -> [layer, head, query, key].
    """
    keeper = _MapKeeper(model.layers * model.heads)
    # No example fits a budget of one token, so each is a batch, and nothing is padded.
    run_pass(model, only(encoded, rows), [keeper], batch_tokens=1)
    return {row: keeper.of(index) for index, row in enumerate(rows)}
