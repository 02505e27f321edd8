"""Attention to linguistic features (paper, section 4.4): what a class of words receives, from all
rows and from [CLS].

The value of an example is the column mean over all real rows, maximum over the tokens of the class;
the mean is over the examples that have the class. The notebook gives 0 to examples without it (but
for negation), and takes for a class every token whose piece occurs in one of its words: `FAITHFUL`
has that form.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.examples import Word
from headscope.measures.base import FAITHFUL, MEASURES, Measure
from headscope.model.passes import Batch, LayerMaps
from headscope.words.align import CLASSES, Aligned

Values = Float[Tensor, "batch head"]
Mask = Bool[Tensor, "batch token"]
_NEGATION_PARTS = ("not", "n't", "no", "nor", "never", "neither", "none")


def class_masks(batch: Batch, words: Sequence[Aligned]) -> Mapping[str, Any]:
    """The tokens of every class of words: `class/noun` and so on, [batch, token]."""
    return {
        f"class/{name}": _mask(batch, [_tokens(one, name) for one in words]) for name in CLASSES
    }


def notebook_masks(batch: Batch, words: Sequence[Aligned]) -> Mapping[str, Any]:
    """The tokens of every class as the notebook finds them: `notebook/noun` and so on, [batch,
    token].

    Every token of the input whose piece occurs in a word of the class; a negation is a word that
    contains one; a spaCy `agent` or `expl` counts as subject, an `attr` or `oprd` as object.
    """
    masks = {}
    for name in CLASSES:
        rows = []
        for example, aligned in enumerate(words):
            own = [t for _, part in _notebook_words(aligned, name) for t in part]
            pieces = batch.ids[example][own] if own else batch.ids.new_empty(0)
            found = (
                torch.isin(batch.ids[example], pieces)
                & batch.real[example]
                & ~batch.special[example]
            )
            rows.append(found)
        masks[f"notebook/{name}"] = torch.stack(rows)
    return masks


def _notebook_words(aligned: Aligned, name: str) -> list[tuple[Word, tuple[int, ...]]]:
    """The words of a class as the notebook counts them, with their tokens."""
    pairs = list(zip(aligned.words, aligned.tokens, strict=True))
    first = {text: aligned.text.index(text) for text in set(aligned.text)}

    def counts(at: int, word: Word) -> bool:
        governor = aligned.words[first[aligned.text[at]] + word.head] if word.head >= 0 else None
        agent = (
            word.relation == "case" and governor is not None and governor.relation == "obl:agent"
        )
        if name == "subject" and (word.relation == "expl" or agent):
            return True
        if name == "object" and word.relation == "xcomp":
            return True
        if name == "negation" and any(part in word.form.casefold() for part in _NEGATION_PARTS):
            return True
        return CLASSES[name](word)

    return [pair for at, pair in enumerate(pairs) if counts(at, pair[0])]


def _tokens(aligned: Aligned, name: str) -> list[int]:
    is_in = CLASSES[name]
    return [
        t
        for word, own in zip(aligned.words, aligned.tokens, strict=True)
        if is_in(word)
        for t in own
    ]


def _mask(batch: Batch, tokens: Sequence[Sequence[int]]) -> Mask:
    mask = torch.zeros(batch.real.shape, dtype=torch.bool)
    for example, own in enumerate(tokens):
        mask[example, list(own)] = True
    return mask.to(batch.real.device)


def most_in(received: Float[Tensor, "batch head token"], mask: Mask) -> Values:
    """The largest of `received` over the tokens of `mask`; NaN for an example that has none."""
    most = received.masked_fill(~mask[:, None], -1.0).amax(-1)
    return torch.where(most < 0, torch.nan, most)


def _article(name: str) -> str:
    return name if name == "punctuation" else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _to_class(name: str) -> Callable[[LayerMaps], Values]:
    def update(maps: LayerMaps) -> Values:
        return most_in(maps.received, maps.batch.extra[f"class/{name}"])

    update.__doc__ = (
        f"Attention to {_article(name)}: max over the {name} tokens j of (1/L) sum_i a_ij, a "
        "fraction of mass; mean over the examples that have one (paper, section 4.4)."
    )
    return update


def _from_cls(name: str) -> Callable[[LayerMaps], Values]:
    def update(maps: LayerMaps) -> Values:
        return most_in(maps.maps[:, :, 0], maps.batch.extra[f"class/{name}"])

    update.__doc__ = (
        f"Attention of [CLS] to {_article(name)}: max over the {name} tokens j of a_0j, a "
        "fraction of mass; mean over the examples that have one (paper, section 4.5, figure 7)."
    )
    return update


def from_cls_to_cls(maps: LayerMaps) -> Values:
    """Attention of [CLS] to itself: a_00, a fraction of mass (paper, section 4.5, figure 7)."""
    return maps.maps[:, :, 0, 0]


def from_cls_to_sep(maps: LayerMaps) -> Values:
    """Attention of [CLS] to [SEP]: the larger a_0j of the [SEP]s, a fraction of mass (paper,
    section 4.5, figure 7).
    """
    return most_in(maps.maps[:, :, 0], separators(maps.batch))


def separators(batch: Batch) -> Mask:
    """Every special token but the first: [SEP]."""
    sep = batch.special.clone()
    sep[:, 0] = False
    return sep


def _notebook(name: str) -> Callable[[LayerMaps], Values]:
    def update(maps: LayerMaps) -> Values:
        value = most_in(maps.received, maps.batch.extra[f"notebook/{name}"])
        return value if name == "negation" else value.nan_to_num(0.0)

    return update


for _name in CLASSES:
    _measure = Measure("fraction of mass", _to_class(_name), class_masks)
    MEASURES.register(f"attention_to_{_name}")(_measure)
    MEASURES.register(f"from_cls_to_{_name}")(
        Measure("fraction of mass", _from_cls(_name), class_masks)
    )
    FAITHFUL[f"attention_to_{_name}"] = Measure(_measure.unit, _notebook(_name), notebook_masks)
MEASURES.register("from_cls_to_cls")(Measure("fraction of mass", from_cls_to_cls))
MEASURES.register("from_cls_to_sep")(Measure("fraction of mass", from_cls_to_sep))
