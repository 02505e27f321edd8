"""Attention between words, and how much of it falls at every distance.

Word level as in Clark et al. 2019, section 4.1: the sum over the pieces of the word attended to,
the mean over the pieces of the word that attends. Special tokens are left out, and a word's
attention to itself is 0.

A signed distance is counted in words, to the right: entry d + words - 1 of an axis `distance` is
the distance d, from 1 - words to words - 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Tokens = Sequence[Sequence[int]]
"""The indices of the tokens of every word of a sentence."""


@dataclass(frozen=True)
class WordFrame:
    """The words of a batch: the matrices that turn maps of tokens into maps of words.

    Attributes:
        averaging: Takes the mean over the pieces of a word, [batch, word, token].
        summing: Takes the sum over the pieces of a word, [batch, token, word].
        has_tokens: Whether a word has a piece; padding has none, [batch, word].
        pieces: How many pieces a word has, [batch, word].
    """

    averaging: Float[Tensor, "batch word token"]
    summing: Float[Tensor, "batch token word"]
    has_tokens: Bool[Tensor, "batch word"]
    pieces: Float[Tensor, "batch word"]

    @classmethod
    def of(cls, tokens: Sequence[Tokens], width: int, device: torch.device) -> "WordFrame":
        """The frame of a batch.

        Args:
            tokens: The tokens of every word of every sentence.
            width: Number of tokens of the padded batch.
            device: Where the matrices are wanted.
        """
        places: list[tuple[int, int, int]] = []
        weights: list[float] = []
        for row, words in enumerate(tokens):
            for word, pieces in enumerate(words):
                for piece in pieces:
                    places.append((row, word, piece))
                    weights.append(1 / len(pieces))
        most_words = max(1, *(len(words) for words in tokens))
        averaging = torch.zeros(len(tokens), most_words, width)
        if places:
            averaging[torch.tensor(places).unbind(1)] = torch.tensor(weights)
        averaging = averaging.to(device)
        summing = (averaging > 0).to(averaging.dtype).transpose(1, 2)
        count = summing.sum(1)
        return cls(averaging, summing, count > 0, count)


def word_maps(
    maps: Float[Tensor, "batch head query key"], frame: WordFrame
) -> Float[Tensor, "batch head word attended"]:
    """Attention from word to word.

    Rows do not sum to 1: what goes to special tokens and to the word itself is left out.
    """
    from_words = frame.averaging[:, None] @ maps  # [batch, head, word, token]
    # Heads side by side: what is summed is the same for all of them.
    between = from_words.flatten(1, 2) @ frame.summing
    between = between.view(*from_words.shape[:3], between.shape[-1])
    between.diagonal(dim1=-2, dim2=-1).zero_()
    return between


def diagonal_sums(
    maps: Float[Tensor, "batch head word attended"], weight: Float[Tensor, "batch attended"]
) -> Float[Tensor, "batch head distance"]:
    """The weighted sum of the attention at every signed distance: of w_j a_ij with j - i = d."""
    words = maps.shape[-1]
    # Rows of 2 words - 1 entries, read as rows of 2 words, move left by one entry from row to row:
    # what was on a diagonal stands in a column.
    flat = maps.new_zeros(*maps.shape[:-2], 2 * words * words)
    rows = flat[..., : words * (2 * words - 1)].view(*maps.shape[:-1], 2 * words - 1)
    torch.mul(maps, weight[:, None, None], out=rows[..., words - 1 :])
    skewed = flat.view(*maps.shape[:-1], 2 * words)  # [batch, head, word, distance + 1]
    return skewed.sum(-2)[..., :-1]


def largest_places(
    maps: Float[Tensor, "batch head word attended"], dim: int
) -> Int[Tensor, "batch head word"]:
    """Where the largest weight stands along a dimension: the first of several."""
    if maps.device.type != "cpu":
        return maps.argmax(dim)
    # NumPy finds it in a half to a quarter of the time.
    return torch.from_numpy(maps.numpy().argmax(dim))


def count_distances(
    target: Int[Tensor, "batch head word"], counts: Bool[Tensor, " batch #head word"]
) -> Float[Tensor, "batch head distance"]:
    """How many words have their target at every signed distance.

    Args:
        target: Index of the word that a word points to.
        counts: The words that count.
    """
    words = target.shape[-1]
    distance = target - torch.arange(words, device=target.device) + words - 1
    weight = counts.expand_as(distance).to(torch.float32)
    found = weight.new_zeros(*target.shape[:2], 2 * words - 1)
    return found.scatter_add_(-1, distance, weight)


def count_pairs(
    attends: Bool[Tensor, "batch word"], receives: Bool[Tensor, "batch word"]
) -> Float[Tensor, "batch distance"]:
    """How many pairs of a word of the first kind with one of the second are at every signed
    distance.
    """
    from_each = attends[:, None, :, None].expand(-1, 1, -1, attends.shape[1])
    return diagonal_sums(from_each.to(torch.float32), receives.to(torch.float32))[:, 0]
