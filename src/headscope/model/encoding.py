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

MAX_LENGTH = 128
BATCH_TOKENS = 2048
T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """Examples as token ids, without padding. Lists are [example][token].

    Attributes:
        columns: What the model takes, by name: `input_ids`, `token_type_ids`.
        segments: Which text a token belongs to, 0 or 1.
        special: Whether a token is [CLS] or [SEP].
        offsets: A token's start and end in its text, in characters.
        truncated: How many examples were longer than `max_length`.
        max_length: The most tokens of an example.
        pad: The padding value of each column.
        unknown: The share of the texts' tokens that the tokenizer does not know ([UNK]).
        cls: The id of [CLS], where it does not stand first.
    """

    columns: dict[str, list[list[int]]]
    segments: list[list[int]]
    special: list[list[bool]]
    offsets: list[list[tuple[int, int]]]
    truncated: int
    max_length: int
    pad: dict[str, int]
    unknown: float = 0.0
    cls: int | None = None

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def lengths(self) -> Int[np.ndarray, "example"]:
        """Tokens per example."""
        return np.array([len(tokens) for tokens in self.segments], dtype=np.int64)

    def cls_place(self, row: int) -> int:
        """Where [CLS] stands in an example: first, or where its id is, as in XLNet's `a [SEP]
        [CLS]`; -1 if a text has none, as T5's.
        """
        special, ids = self.special[row], self.columns["input_ids"][row]
        if special and special[0]:
            return 0
        places = (place for place, token in enumerate(ids) if token == self.cls and special[place])
        return next(places, -1)

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
            arguments[name] = torch.tensor(ids, device=device)
        mask = padded([[1] * length for length in lengths], width, 0)
        arguments["attention_mask"] = torch.tensor(mask, device=device)
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
        tokenizer: A fast tokenizer of transformers.
        max_length: The most tokens of an example; of a longer one the longer text is cut first.

    Returns:
        The encoded examples, in the order of the split.

    Raises:
        HeadscopeError: `max_length` has no room for a token of each text.
    """
    texts = (list(split.first), None if split.second is None else list(split.second))
    _check_room(max_length, tokenizer, 1 if split.second is None else 2)
    whole = tokenizer(
        *texts, truncation=False, padding=False, add_special_tokens=True, verbose=False
    )
    encodings = list(whole.encodings)
    columns = {
        name: whole[name]
        for name in tokenizer.model_input_names
        if name in whole and name != "attention_mask"
    }
    too_long = [row for row, ids in enumerate(whole["input_ids"]) if len(ids) > max_length]
    if too_long:
        beginnings = [
            None
            if column is None
            else [_beginning(column[row], encodings[row], which, max_length) for row in too_long]
            for which, column in enumerate(texts)
        ]
        cut = tokenizer(*beginnings, truncation=True, max_length=max_length, padding=False)
        for row, encoding in zip(too_long, cut.encodings, strict=True):
            encodings[row] = encoding
        for name, column in columns.items():
            for row, ids in zip(too_long, cut[name], strict=True):
                column[row] = ids
        # The tokenizer would go on cutting whatever it is given.
        tokenizer.backend_tokenizer.no_truncation()
    special = [list(map(bool, encoding.special_tokens_mask)) for encoding in encodings]
    unknown = _unknown_share(columns["input_ids"], encodings, tokenizer.unk_token_id)
    pad = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return Encoded(
        columns=columns,
        segments=[_segments(encoding.sequence_ids) for encoding in encodings],
        special=special,
        offsets=[list(encoding.offsets) for encoding in encodings],
        truncated=len(too_long),
        max_length=max_length,
        pad={name: pad.get(name, 0) for name in columns},
        unknown=unknown,
        cls=tokenizer.cls_token_id,
    )


def _check_room(max_length: int, tokenizer: Any, texts: int) -> None:
    """Raise HeadscopeError if the special tokens and a token of each text are too many."""
    least = int(tokenizer.num_special_tokens_to_add(pair=texts == 2)) + texts
    if max_length < least:
        raise HeadscopeError(
            f"{max_length} tokens an example are too few: the special tokens and one token of each "
            f"text need {least}, so give a --max-length of at least {least}"
        )


def _unknown_share(
    ids: Sequence[Sequence[int]], encodings: Sequence[Any], unknown: int | None
) -> float:
    """The share of [UNK] among the tokens that stand in a text."""
    total = found = 0
    for example, encoding in zip(ids, encodings, strict=True):
        for token, sequence in zip(example, encoding.sequence_ids, strict=True):
            total += sequence is not None
            found += sequence is not None and token == unknown
    return found / total if total else 0.0


def _beginning(text: str, encoding: Any, which: int, tokens: int) -> str:
    """The text as far as its first `tokens` tokens go.

    Cutting a pair of very long texts takes the tokenizer minutes.
    """
    places = zip(encoding.sequence_ids, encoding.offsets, strict=True)
    ends = [end for sequence, (_, end) in places if sequence == which]
    return text[: ends[tokens]] if len(ends) > tokens else text


def only(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """The examples with these row numbers, in this order."""
    return replace(
        encoded,
        columns={name: [column[row] for row in rows] for name, column in encoded.columns.items()},
        segments=[encoded.segments[row] for row in rows],
        special=[encoded.special[row] for row in rows],
        offsets=[encoded.offsets[row] for row in rows],
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
    lengths: Sequence[int] | Int[np.ndarray, "example"], batch_tokens: int
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
