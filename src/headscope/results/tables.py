"""The one registry of tables: what every command writes, what the reader and the report expect."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.results.definitions import (
    ablation,
    heads,
    paper,
    pruning,
    relations,
    scores,
    together,
)
from headscope.results.schema import Table

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for room in (scores, heads, ablation, together, pruning, relations, paper)
        for table in room.TABLES
    }
)
"""Every table by its name."""

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

Map = NDArray[np.uint8]
"""The maps of one example in 255ths: [layer, head, query, key]."""
