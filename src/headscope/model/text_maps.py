"""The attention maps of one text or pair of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from headscope.axes import Head, Heads, check_inside, head_set
from headscope.model.encoding import Encoded


@dataclass(frozen=True)
class TextMaps:
    """The attention maps of one text or pair of texts.

    Attributes:
        maps: Fraction of a row's mass on each key; rows sum to 1.
        tokens: The pieces, [token].
        special: Which tokens are [CLS] or [SEP], [token].
        segments: Which text a token belongs to, 0 or 1, [token].
        words: The number of the word that a token is a piece of, [token]; -1 for special tokens,
            and for all where the tokenizer does not say where its tokens stand. Words are what
            white space separates.
    """

    maps: Float[np.ndarray, "layer head query key"]
    tokens: tuple[str, ...]
    special: tuple[bool, ...]
    segments: tuple[int, ...]
    words: tuple[int, ...]

    def __repr__(self) -> str:
        layers, heads, tokens, _ = self.maps.shape
        return (
            f"TextMaps({layers} layers x {heads} heads, {tokens} tokens: {' '.join(self.tokens)})"
        )

    def of(self, head: str | Head) -> Float[np.ndarray, "query key"]:
        """The map of one head, counted from 1.

        >>> maps.of("L3H10").sum(axis=1)                          # doctest: +SKIP

        Raises:
            HeadscopeError: The model has no such head.
        """
        (chosen,) = self._heads(head)
        of_head: Float[np.ndarray, "query key"] = self.maps[chosen.index]
        return of_head

    def plot(self, heads: Heads) -> Any:
        """The maps of heads as heat maps side by side: rows attend, columns are attended to.

        >>> maps.plot("L3H10")                                    # doctest: +SKIP

        Args:
            heads: The heads, counted from 1.

        Returns:
            An Altair chart, which a notebook shows.

        Raises:
            HeadscopeError: The model has no such head.
        """
        # Figures stand above models: nothing of them is needed unless one is drawn.
        from headscope.figures.text_maps import map_panels, map_rows

        chosen = self._heads(heads)
        named = {str(head): self.maps[head.index] for head in chosen}
        return map_panels(map_rows(named, self.tokens))

    def _heads(self, heads: Heads) -> list[Head]:
        chosen = sorted(head_set(heads))
        check_inside(chosen, *self.maps.shape[:2])
        return chosen


def numbers_of_words(encoded: Encoded, row: int) -> tuple[int, ...] | None:
    """The number of the word of every token of an example, where words are what white space
    separates; None where the tokenizer does not say where its tokens stand.
    """
    if row in encoded.unplaced:
        return None
    return word_numbers(encoded.offsets[row], encoded.special[row], encoded.segments[row])


def word_numbers(
    offsets: Sequence[tuple[int, int]], special: Sequence[bool], segments: Sequence[int]
) -> tuple[int, ...]:
    """The number of the word of every token, where words are what white space separates.

    >>> word_numbers([(0, 0), (0, 3), (4, 7), (7, 9)], [True, False, False, False], [0] * 4)
    (-1, 0, 1, 1)
    """
    numbers, word, last = [], -1, (-1, -1)
    for (start, end), is_special, segment in zip(offsets, special, segments, strict=True):
        if is_special:
            numbers.append(-1)
            continue
        # A token that begins where the last one of the same text ended goes on with its word.
        word += (segment, start) != last
        last = (segment, end)
        numbers.append(word)
    return tuple(numbers)
