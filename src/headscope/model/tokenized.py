"""Texts as a tokenizer gives them, uncut, from fast and slow (Python) tokenizers alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from headscope.errors import HeadscopeError
from headscope.model.places import Marks, Place, places

_NO_COLUMNS = ("attention_mask", "special_tokens_mask")
_PROBE = "The nurse thanked the pilot."


@dataclass(frozen=True)
class Tokens:
    """One example; lists have an entry per token.

    Attributes:
        columns: What the model takes, by name.
        texts: Which text a token is of, 0 or 1; None for one that the tokenizer adds.
        special: Whether the tokenizer adds it.
        offsets: Its start and end in its text, in characters.
        is_placed: Whether the offsets are known; they are (0, 0) if not.
    """

    columns: dict[str, list[int]]
    texts: list[int | None]
    special: list[bool]
    offsets: list[Place]
    is_placed: bool = True

    def __len__(self) -> int:
        return len(self.texts)

    def cut(self, max_length: int) -> "Tokens":
        """The first tokens of each text with all special tokens; the longer text is cut first."""
        if len(self) <= max_length:
            return self
        counts = [self.texts.count(0), self.texts.count(1)]
        left = kept(counts[0], counts[1], max_length - (len(self) - sum(counts)))
        stays = []
        for text in self.texts:
            if text is not None:
                left[text] -= 1
            stays.append(text is None or left[text] >= 0)
        return self.only(stays)

    def only(self, stays: Sequence[bool]) -> "Tokens":
        """The tokens that stay."""
        return Tokens(
            {name: list(compress(column, stays)) for name, column in self.columns.items()},
            list(compress(self.texts, stays)),
            list(compress(self.special, stays)),
            list(compress(self.offsets, stays)),
            self.is_placed,
        )


def kept(first: int, second: int, room: int) -> list[int]:
    """How many tokens of two texts are kept, as fast tokenizers cut the longest first.

    >>> kept(9, 2, 8), kept(9, 9, 7), kept(9, 8, 7), kept(9, 0, 4)
    ([6, 2], [3, 4], [4, 3], [4, 0])
    """
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = room - shorter
    return [longer, shorter] if first > second else [shorter, longer]


def tokenized(
    first: Sequence[str], second: Sequence[str] | None, tokenizer: Any
) -> Iterator[Tokens]:
    """The tokens of every example, all of them.

    Args:
        first: The texts.
        second: The second texts of pairs.
        tokenizer: A tokenizer of transformers.

    Raises:
        HeadscopeError: A slow tokenizer contradicts itself.
    """
    texts = (list(first), None if second is None else list(second))
    form = _fast if tokenizer.is_fast else _slow
    return form(texts, tokenizer)


_Texts = tuple[list[str], list[str] | None]


def _fast(texts: _Texts, tokenizer: Any) -> Iterator[Tokens]:
    whole = tokenizer(
        *texts, truncation=False, padding=False, add_special_tokens=True, verbose=False
    )
    names = [name for name in tokenizer.model_input_names if name in whole]
    for row, encoding in enumerate(whole.encodings):
        yield Tokens(
            {name: whole[name][row] for name in names if name not in _NO_COLUMNS},
            encoding.sequence_ids,
            list(map(bool, encoding.special_tokens_mask)),
            list(encoding.offsets),
        )


def _slow(texts: _Texts, tokenizer: Any) -> Iterator[Tokens]:
    """RoCBERT gives the model more than it names among its inputs, so everything is taken."""
    whole = tokenizer(
        *texts,
        truncation=False,
        padding=False,
        add_special_tokens=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    names = [name for name in whole if name not in _NO_COLUMNS]
    marks = Marks.of(tokenizer.get_vocab())
    for row, mask in enumerate(whole["special_tokens_mask"]):
        columns = {name: whole[name][row] for name in names}
        of_example = [column[row] for column in texts if column is not None]
        yield _slow_example(of_example, columns, mask, tokenizer, marks)


def _slow_example(
    texts: Sequence[str],
    columns: dict[str, list[int]],
    mask: Sequence[int],
    tokenizer: Any,
    marks: Marks,
) -> Tokens:
    pieces = [tokenizer.tokenize(text) for text in texts]
    lengths = {len(column) for column in columns.values()}
    if lengths != {len(mask)} or mask.count(0) != sum(map(len, pieces)):
        raise HeadscopeError(
            f"the tokenizer {type(tokenizer).__name__} gives {sum(map(len, pieces))} tokens for "
            f"{texts[0][:40]!r} and marks {mask.count(0)} of {max(lengths)} as the text's: leave "
            "this text out, or use a model with a fast tokenizer"
        )
    found = [
        places(text, of_text, marks, str(tokenizer.unk_token))
        for text, of_text in zip(texts, pieces, strict=True)
    ]
    is_placed = None not in found
    owners: Iterator[tuple[int, Place]] = (
        (text, place)
        for text, of_text in enumerate(pieces)
        for place in (found[text] if is_placed else None) or [(0, 0)] * len(of_text)
    )
    which: list[int | None] = []
    offsets: list[Place] = []
    for is_special in mask:
        text, place = (None, (0, 0)) if is_special else next(owners)
        which.append(text)
        offsets.append(place)
    return Tokens(columns, which, list(map(bool, mask)), offsets, is_placed)


def padding(tokenizer: Any, columns: Sequence[str]) -> dict[str, int]:
    """The padding value of each column."""
    if tokenizer.is_fast:
        known = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        return {name: known.get(name, 0) for name in columns}
    # A slow tokenizer pads columns of its own by rules of its own.
    one: dict[str, list[int]] = {name: [0] for name in columns}
    two = tokenizer.pad(one, padding="max_length", max_length=2, padding_side="right")
    return {name: int(two[name][1]) for name in columns}


def cls_place(tokenizer: Any) -> int | None:
    """Which token of an example is [CLS]: 0 for the first, -1 for the last, None if none is.

    A special token before the text is [CLS], whatever it is called; else the last one is if it is
    the tokenizer's `cls_token` (XLNet's). T5's has none.
    """
    (tokens,) = tokenized([_PROBE], None, tokenizer)
    if tokens.special[0]:
        return 0
    is_last = tokens.special[-1] and tokens.columns["input_ids"][-1] == tokenizer.cls_token_id
    return -1 if is_last else None
