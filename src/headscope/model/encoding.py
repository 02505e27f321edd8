"""Texts to token ids, and batches of like length: the largest saving of all is not to compute
padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headscope.examples import Split

MAX_LENGTH = 128


@dataclass(frozen=True)
class Encoded:
    """Examples as token ids, without padding. `columns` holds what the model takes (`input_ids`,
    `token_type_ids`).

    `segments` and `special` mark for every token which text it belongs to (0, 1) and whether it is
    [CLS] or [SEP]; `offsets` are its character offsets in that text; `truncated` counts the
    examples that were longer than the limit.
    """

    columns: dict[str, list[list[int]]]
    segments: list[list[int]]
    special: list[list[bool]]
    offsets: list[list[tuple[int, int]]]
    truncated: int
    max_length: int
    pad: dict[str, int]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def lengths(self) -> Int[np.ndarray, "example"]:
        """Tokens per example, [example]."""
        return np.array([len(s) for s in self.segments], dtype=np.int64)

    def batch(
        self, rows: Sequence[int], device: torch.device | str = "cpu", width: int = 0
    ) -> dict[str, Tensor]:
        """The examples `rows` with their attention mask, padded to the longest of them and at least
        to `width`.

        Every value is [batch, token].
        """
        width = max(width, *(len(self.segments[i]) for i in rows))
        out = {}
        for name, column in self.columns.items():
            padded = [column[i] + [self.pad[name]] * (width - len(column[i])) for i in rows]
            out[name] = torch.tensor(padded, device=device)
        mask = [[1] * len(self.segments[i]) + [0] * (width - len(self.segments[i])) for i in rows]
        out["attention_mask"] = torch.tensor(mask, device=device)
        return out


def encode(split: Split, tokenizer: Any, max_length: int = MAX_LENGTH) -> Encoded:
    """Encode every example; an example over `max_length` tokens is cut (the longer text first) and
    counted.
    """
    texts = (list(split.first), None if split.second is None else list(split.second))
    whole = tokenizer(
        *texts, truncation=False, padding=False, add_special_tokens=True, verbose=False
    )
    long = [i for i, ids in enumerate(whole["input_ids"]) if len(ids) > max_length]
    columns = {
        name: whole[name]
        for name in tokenizer.model_input_names
        if name in whole and name != "attention_mask"
    }
    encodings = list(whole.encodings)
    if long:
        rows = [
            [_beginning(column[i], encodings[i], which, max_length) for i in long]
            if column is not None
            else None
            for which, column in enumerate(texts)
        ]
        cut = tokenizer(*rows, truncation=True, max_length=max_length, padding=False)
        for at, i in enumerate(long):
            encodings[i] = cut.encodings[at]
            for name, column in columns.items():
                column[i] = cut[name][at]
        tokenizer.backend_tokenizer.no_truncation()
    segments, special, offsets = [], [], []
    for encoding in encodings:
        marks = [bool(m) for m in encoding.special_tokens_mask]
        special.append(marks)
        segments.append(_segments(encoding.sequence_ids))
        offsets.append(list(encoding.offsets))
    pad = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return Encoded(
        columns,
        segments,
        special,
        offsets,
        len(long),
        max_length,
        {n: pad.get(n, 0) for n in columns},
    )


def _beginning(text: str, encoding: Any, which: int, tokens: int) -> str:
    """The text as far as its first `tokens` tokens go: the tokenizer takes minutes to cut a pair of
    very long texts.
    """
    pairs = zip(encoding.sequence_ids, encoding.offsets, strict=True)
    ends = [end for sequence, (_, end) in pairs if sequence == which]
    return text[: ends[tokens]] if len(ends) > tokens else text


def only(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """The examples with these indices, in this order."""
    return replace(
        encoded,
        columns={name: [column[i] for i in rows] for name, column in encoded.columns.items()},
        segments=[encoded.segments[i] for i in rows],
        special=[encoded.special[i] for i in rows],
        offsets=[encoded.offsets[i] for i in rows],
    )


def _segments(sequence_ids: Sequence[int | None]) -> list[int]:
    """A special token belongs to the text before it: [CLS] a a [SEP] b b [SEP] is 0 0 0 0 1 1 1."""
    out, current = [], 0
    for sequence in sequence_ids:
        current = current if sequence is None else max(current, sequence)
        out.append(current)
    return out


def batches(
    lengths: Sequence[int] | Int[np.ndarray, "example"], batch_tokens: int
) -> Iterator[list[int]]:
    """Indices of examples in batches of like length, each of at most `batch_tokens` tokens, padding
    included.

    The order within and between batches depends on the lengths alone. Every index comes exactly
    once; an example longer than the budget is a batch of its own.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    batch: list[int] = []
    for i in order.tolist():
        if batch and (len(batch) + 1) * int(lengths[i]) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
