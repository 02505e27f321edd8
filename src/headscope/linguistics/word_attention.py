"""Attention between words, and how much of it falls at every distance.

Word level as in Clark et al. 2019, section 4.1: the sum over the pieces of the word attended to,
the mean over those of the word that attends; special tokens are left out, and a word's attention to
itself is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class WordFrame:
    """The words of a batch: `attends` [batch, word, token] averages a word's pieces, `attended`
    [batch, token, word] sums them, `there` [batch, word] says which words have any.
    """

    attends: Float[Tensor, "batch word token"]
    attended: Float[Tensor, "batch token word"]
    there: Bool[Tensor, "batch word"]

    @classmethod
    def of(
        cls, tokens: Sequence[Sequence[Sequence[int]]], width: int, device: torch.device
    ) -> "WordFrame":
        """From the tokens of every word of every example; `width` is the number of tokens with
        padding.
        """
        words = max(1, *(len(own) for own in tokens))
        flat = [
            (b, w, t, 1 / len(own))
            for b, row in enumerate(tokens)
            for w, own in enumerate(row)
            for t in own
        ]
        attends = torch.zeros(len(tokens), words, width)
        if flat:
            at = torch.tensor([entry[:3] for entry in flat]).unbind(1)
            attends[at] = torch.tensor([entry[3] for entry in flat])
        attends = attends.to(device)
        return cls(attends, (attends > 0).to(attends.dtype).transpose(1, 2), attends.sum(-1) > 0)


def word_maps(
    maps: Float[Tensor, "batch head query key"], frame: WordFrame
) -> Float[Tensor, "batch head word attended"]:
    """Attention from word to word. Rows do not sum to 1: what goes to special tokens and to the
    word itself is gone.
    """
    found = frame.attends[:, None] @ maps @ frame.attended[:, None]
    found.diagonal(dim1=-2, dim2=-1).zero_()
    return found


def diagonal_sums(
    maps: Float[Tensor, "batch head word attended"],
) -> Float[Tensor, "batch head distance"]:
    """The sum of all entries at every distance: entry d + words - 1 sums a_ij with j - i = d."""
    words = maps.shape[-1]
    # Lines of 2 words - 1 entries, read as lines of one more: every line begins one step earlier
    # than the one before.
    lines = torch.nn.functional.pad(maps, (words - 1, 0)).flatten(-2)
    skewed = torch.nn.functional.pad(lines, (0, words)).reshape(*maps.shape[:-2], words, 2 * words)
    return skewed.sum(-2)[..., :-1]


def at_distance(
    found: Int[Tensor, "batch head word"], there: Bool[Tensor, "batch word"]
) -> Float[Tensor, "batch head distance"]:
    """How many words have `found` at every distance from themselves: entry d + words - 1 counts
    found - word = d.
    """
    words = found.shape[-1]
    distance = found - torch.arange(words, device=found.device) + words - 1
    weight = there[:, None].expand_as(distance).to(torch.float32)
    return weight.new_zeros(*found.shape[:2], 2 * words - 1).scatter_add_(-1, distance, weight)


def pairs_at(there: Bool[Tensor, "batch word"]) -> Float[Tensor, "batch distance"]:
    """How many pairs of two words that have tokens there are at every distance."""
    both = (there[:, :, None] & there[:, None, :]).to(torch.float32)
    return diagonal_sums(both[:, None])[:, 0]
