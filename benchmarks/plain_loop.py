"""Every head of a classifier disabled in turn, as a script of one's own would do it.

    python benchmarks/plain_loop.py FOLDER TEXTS.parquet uniform OUTPUTS.npy

FOLDER is a checkpoint with a classifier, TEXTS has the columns `first` and, for pairs, `second`.
Writes the outputs [set, example, output], the sets in the order of layers and heads. Imports
torch, transformers and polars, and nothing of headscope: `benchmarks/disable.py --processes` times
the two as whole processes.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from transformers import AutoTokenizer

from disabling.rivals import Plain, in_order

MAX_LENGTH = 128


def main() -> None:
    """Load, tokenize, run the loop, write."""
    folder, file, mode, out = sys.argv[1:]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = Plain(folder, "zero" if mode == "zero" else "uniform", device)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    columns = [column.to_list() for column in pl.read_parquet(file)]

    def batch(rows: Sequence[int]) -> dict[str, Tensor]:
        texts = [[column[row] for row in rows] for column in columns]
        options = {"padding": True, "truncation": True, "max_length": MAX_LENGTH}
        return dict(tokenizer(*texts, return_tensors="pt", **options).to(device))

    batches = in_order(len(columns[0]), batch)
    outputs = []
    for layer in range(plain.hf.config.num_hidden_layers):
        for head in range(plain.heads):
            outputs.append(plain.outputs(batches, {layer: [head]}))
    np.save(out, np.stack(outputs))


if __name__ == "__main__":
    main()
