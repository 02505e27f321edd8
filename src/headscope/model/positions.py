"""How many tokens a model has positions for, measured by the rows that it asks its table for."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.model.classes import text_config
from headscope.model.probing import probe
from headscope.model.tap import Tap

UNBOUNDED = 10**9


def positions(hf: PreTrainedModel, tap: Tap, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens the model has positions for, [CLS] and [SEP] included.

    A learned table of positions is an embedding that is asked for consecutive rows. BERT asks from
    row 0 on, RoBERTa from the row after the padding's; the rows from the first one on can be used.
    Without such a table (rotary positions) the configuration says it.
    """
    usable: list[int] = []

    def measure(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        # A table of sines is asked for a shape.
        if arguments and isinstance(arguments[0], Tensor) and isinstance(module, nn.Embedding):
            rows: Tensor = arguments[0].flatten()
            consecutive = torch.arange(len(rows), device=rows.device) + rows[0]
            if torch.equal(rows, consecutive):
                usable.append(module.num_embeddings - int(rows[0]))

    probe(hf, tap, tokenizer, nn.Embedding, measure)
    if usable:
        return min(usable)
    stated = int(getattr(text_config(hf.config), "max_position_embeddings", None) or 0)
    # XLNet, which has no limit, says -1.
    return stated if stated > 0 else UNBOUNDED
