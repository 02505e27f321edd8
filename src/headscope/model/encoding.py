"""Texts to token ids, and batches of like length: not computing padding saves the most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.tokenized import Tokens, cls_place, padding, tokenized

MAX_LENGTH = 128
BATCH_TOKENS = 2048
"""Of a batch at most, where nobody said otherwise: a processor is no faster with more."""
T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """Examples as token ids, without padding. Lists are [example][token].

    Attributes:
        columns: What the model takes, by name: `input_ids`, `token_type_ids`.
        segments: Which text a token belongs to, 0 or 1.
        special: Whether a token is [CLS] or [SEP].
        offsets: A token's start and end in its text, in characters; (0, 0) where that is not known.
        truncated: How many examples were longer than `max_length`.
        max_length: The most tokens of an example.
        pad: The padding value of each column.
        unknown: The share of the texts' tokens that the tokenizer does not know ([UNK]).
        cls: Which token is [CLS]: 0 for the first, -1 for the last, None if none is.
        unplaced: The examples whose tokens were not found in their texts, so that no word has any.
    """

    columns: dict[str, list[list[int]]]
    segments: list[list[int]]
    special: list[list[bool]]
    offsets: list[list[tuple[int, int]]]
    truncated: int
    max_length: int
    pad: dict[str, int]
    unknown: float = 0.0
    cls: int | None = 0
    unplaced: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def lengths(self) -> Int[np.ndarray, " example"]:
        """Tokens per example."""
        return np.array([len(tokens) for tokens in self.segments], dtype=np.int64)

    def cls_place(self, row: int) -> int:
        """Where [CLS] stands in an example; -1 if it has none."""
        count = len(self.special[row])
        return range(count)[self.cls] if self.cls is not None and count else -1

    def batch(
        self, rows: Sequence[int], device: torch.device | str = "cpu", width: int = 0
    ) -> dict[str, Tensor]:
        """The model's arguments for the examples `rows`, with their attention mask.

        Args:
            rows: Row numbers of examples.
            device: Where the tensors go.
            width: Pad to at least so many tokens; always to the longest of the examples.

        Returns:
            Each argument by name, [batch, token].
        """
        lengths = [len(self.segments[row]) for row in rows]
        width = max(width, *lengths)
        arguments = {}
        for name, column in self.columns.items():
            ids = padded([column[row] for row in rows], width, self.pad[name])
            arguments[name] = torch.tensor(ids).to(device, non_blocking=True)
        mask = padded([[1] * length for length in lengths], width, 0)
        arguments["attention_mask"] = torch.tensor(mask).to(device, non_blocking=True)
        return arguments


def padded(rows: Sequence[Sequence[T]], width: int, fill: T) -> list[list[T]]:
    """The rows, each filled up at its end to `width` entries.

    >>> padded([[1, 2], [3]], 3, 0)
    [[1, 2, 0], [3, 0, 0]]
    """
    return [[*row, *[fill] * (width - len(row))] for row in rows]


def encode(split: Split, tokenizer: Any, max_length: int = MAX_LENGTH) -> Encoded:
    """Encode every example.

    Args:
        split: The examples.
        tokenizer: A tokenizer of transformers.
        max_length: The most tokens of an example; of a longer one the longer text is cut first.

    Returns:
        The encoded examples, in the order of the split.

    Raises:
        HeadscopeError: `max_length` has no room for a token of each text.
    """
    check_room(max_length, tokenizer, 1 if split.second is None else 2)
    whole = list(tokenized(split.first, split.second, tokenizer))
    encoded = encoded_tokens([tokens.cut(max_length) for tokens in whole], tokenizer, max_length)
    return replace(encoded, truncated=sum(len(tokens) > max_length for tokens in whole))


def encoded_tokens(examples: Sequence[Tokens], tokenizer: Any, max_length: int) -> Encoded:
    """Examples whose tokens are known, none of them cut here.

    Args:
        examples: Their tokens, at most `max_length` each.
        tokenizer: The tokenizer that gave them.
        max_length: The most tokens of an example.
    """
    # An encoding without examples has its columns all the same.
    names = list(examples[0].columns) if examples else ["input_ids"]
    columns = {name: [tokens.columns[name] for tokens in examples] for name in names}
    return Encoded(
        columns=columns,
        segments=[_segments(tokens.texts) for tokens in examples],
        special=[tokens.special for tokens in examples],
        offsets=[tokens.offsets for tokens in examples],
        truncated=0,
        max_length=max_length,
        pad=padding(tokenizer, names),
        unknown=_unknown_share(examples, tokenizer.unk_token_id),
        cls=cls_place(tokenizer),
        unplaced=frozenset(row for row, tokens in enumerate(examples) if not tokens.is_placed),
    )


def check_room(max_length: int, tokenizer: Any, texts: int) -> None:
    """Raise HeadscopeError if the special tokens and a token of each text are too many."""
    least = int(tokenizer.num_special_tokens_to_add(pair=texts == 2)) + texts
    if max_length < least:
        raise HeadscopeError(
            f"{max_length} tokens an example are too few: the special tokens and one token of each "
            f"text need {least}, so give a --max-length of at least {least}"
        )


def _unknown_share(examples: Sequence[Tokens], unknown: int | None) -> float:
    """The share of [UNK] among the tokens that stand in a text."""
    total = found = 0
    for tokens in examples:
        for token, text in zip(tokens.columns["input_ids"], tokens.texts, strict=True):
            total += text is not None
            found += text is not None and token == unknown
    return found / total if total else 0.0


def only(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """The examples with these row numbers, in this order."""
    return replace(
        encoded,
        columns={name: [column[row] for row in rows] for name, column in encoded.columns.items()},
        segments=[encoded.segments[row] for row in rows],
        special=[encoded.special[row] for row in rows],
        offsets=[encoded.offsets[row] for row in rows],
        unplaced=frozenset(i for i, row in enumerate(rows) if row in encoded.unplaced),
    )


def _segments(sequence_ids: Sequence[int | None]) -> list[int]:
    """A special token belongs to the text before it: [CLS] a a [SEP] b b [SEP] is 0 0 0 0 1 1 1."""
    segments, current = [], 0
    for sequence in sequence_ids:
        if sequence is not None:
            current = max(current, sequence)
        segments.append(current)
    return segments


def batches(
    lengths: Sequence[int] | Int[np.ndarray, " example"], batch_tokens: int
) -> Iterator[list[int]]:
    """Row numbers of examples in batches of like length.

    The order within and between batches depends on the lengths alone. Every row comes exactly once;
    an example longer than the budget is a batch of its own.

    Args:
        lengths: Tokens per example.
        batch_tokens: The most tokens of a batch, padding included.

    >>> list(batches([5, 2, 9, 2], 10))
    [[1, 3], [0], [2]]
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    batch: list[int] = []
    for row in order.tolist():
        # Lengths ascend, so this example would be the longest of the batch.
        if batch and (len(batch) + 1) * int(lengths[row]) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
