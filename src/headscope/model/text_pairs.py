"""Pairs of texts for an embedder, which reads each text by itself."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode


@dataclass(frozen=True, eq=False)
class TextPairs:
    """Pairs of texts, each different text once.

    Attributes:
        encoded: The texts as token ids.
        first: The row of every pair's first text.
        second: The row of its second text.
    """

    encoded: Encoded
    first: Int[np.ndarray, " pair"]
    second: Int[np.ndarray, " pair"]

    @classmethod
    def of(cls, split: Split, tokenizer: Any, max_length: int, prompt: str = "") -> "TextPairs":
        """The pairs of a split.

        Args:
            split: The examples, each of two texts.
            tokenizer: The model's tokenizer.
            max_length: The most tokens of a text; longer ones are cut.
            prompt: What stands before every text.

        Raises:
            HeadscopeError: The examples are of one text.
        """
        if split.second is None:
            raise HeadscopeError(
                "embeddings are compared in pairs, and the examples of this task have one text: "
                "name a task of two texts, as stsb"
            )
        rows: dict[str, int] = {}
        for text in chain(split.first, split.second):
            rows.setdefault(text, len(rows))
        texts = tuple(prompt + text for text in rows)
        alone = Split(texts, None, np.zeros(len(texts), dtype=np.int64))
        return cls(
            encode(alone, tokenizer, max_length),
            np.array([rows[text] for text in split.first], dtype=np.int64),
            np.array([rows[text] for text in split.second], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.first)

    def joined(self, vectors: Float[np.ndarray, "text hidden"]) -> npt.NDArray[np.float32]:
        """The cosine of every pair, [pair, 1], from the vectors of the texts."""
        unit = directions(vectors)
        cosines = (unit[self.first] * unit[self.second]).sum(1)
        return np.asarray(cosines[:, None], dtype=np.float32)


def directions(vectors: Float[np.ndarray, "text hidden"]) -> npt.NDArray[np.float64]:
    """Vectors at length 1, in double precision. The vector of no length has no direction: it stays
    as it is, and its cosine is 0 with any other.

    >>> directions(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = wide / np.where(length > 0, length, 1.0)
    return unit
