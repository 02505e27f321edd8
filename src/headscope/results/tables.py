"""What the tables of a run folder hold."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

Map = NDArray[np.uint8]
"""The maps of one example in 255ths: [layer, head, query, key]."""
