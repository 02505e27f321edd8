"""Attention to linguistic features (paper, section 4.4): what a class of words receives, from all
rows and from [CLS].

The value of an example is the column mean over all real rows, maximum over the tokens of the class;
the mean is over the examples that have the class. The notebook gives 0 to examples without it (but
for negation), and takes for a class every token whose id occurs in one of its words: `FAITHFUL`
has that form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscope.examples import Word
from headscope.measures.base import FAITHFUL, MEASURES, Measure, Values, WordMeasure
from headscope.measures.tokens import most_in
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.transfer import on_device
from headscope.words.align import Aligned
from headscope.words.classes import CLASSES

Mask = Bool[Tensor, "batch token"]


@dataclass(frozen=True)
class ClassMasks:
    """Which tokens belong to each class of words; `masks["noun"]` are those of nouns.

    Attributes:
        names: The names of the classes, as in `CLASSES`.
        marks: The tokens of every class.
    """

    names: tuple[str, ...]
    marks: Bool[Tensor, "class batch token"]

    def __getitem__(self, name: str) -> Mask:
        return self.marks[self.names.index(name)]


_NOTEBOOK_NEGATIONS = ("not", "n't", "no", "nor", "never", "neither", "none")


def class_masks(batch: Batch, words: Sequence[Aligned]) -> ClassMasks:
    """Which tokens of the batch belong to each class of words."""
    marks = np.zeros((len(CLASSES), *batch.real.shape), dtype=bool)
    for is_in_class, of_class in zip(CLASSES.values(), marks, strict=True):
        for row, aligned in enumerate(words):
            of_class[row, _tokens_where(is_in_class, aligned)] = True
    return ClassMasks(tuple(CLASSES), on_device(marks, batch.real.device))


def _tokens_where(condition: Callable[[Word], bool], aligned: Aligned) -> list[int]:
    """The tokens of the words that meet the condition."""
    return [
        token
        for word, tokens in zip(aligned.words, aligned.tokens, strict=True)
        if condition(word)
        for token in tokens
    ]


def notebook_masks(batch: Batch, words: Sequence[Aligned]) -> dict[str, Mask]:
    """Which tokens of the batch belong to each class of words as the notebook finds them.

    Every token of the input whose id occurs in a word of the class; a negation is a word that
    contains one; a spaCy `agent` or `expl` counts as subject, an `attr` or `oprd` as object.
    """
    masks = {}
    for name in CLASSES:
        rows = []
        for ids, aligned in zip(batch.ids, words, strict=True):
            words_of_class = notebook_words(aligned, name)
            tokens = [token for _, of_word in words_of_class for token in of_word]
            rows.append(torch.isin(ids, ids[tokens] if tokens else ids.new_empty(0)))
        masks[name] = torch.stack(rows) & batch.real & ~batch.special
    return masks


@dataclass(frozen=True)
class NotebookClasses:
    """The classes of words of a batch as the notebook finds them.

    Attributes:
        masks: Which tokens belong to each class (`notebook_masks`).
        is_placed: Of which examples it is known where their tokens stand, [batch].
    """

    masks: dict[str, Mask]
    is_placed: Bool[Tensor, " batch"]


def notebook_classes(batch: Batch, words: Sequence[Aligned]) -> NotebookClasses:
    """The classes of words of a batch as the notebook finds them."""
    is_placed = torch.tensor([aligned.is_placed for aligned in words], device=batch.real.device)
    return NotebookClasses(notebook_masks(batch, words), is_placed)


def notebook_words(aligned: Aligned, name: str) -> list[tuple[Word, tuple[int, ...]]]:
    """The words of a class as the notebook counts them, with their tokens."""
    words = aligned.words
    governors = aligned.governors
    chosen = []
    for word, governor, tokens in zip(words, governors, aligned.tokens, strict=True):
        # What spaCy calls an agent is the "by" of a passive.
        is_agent = (
            word.relation == "case"
            and governor is not None
            and words[governor].relation == "obl:agent"
        )
        also_counts = {
            "subject": word.relation == "expl" or is_agent,
            "object": word.relation == "xcomp",
            "negation": any(part in word.form.casefold() for part in _NOTEBOOK_NEGATIONS),
        }
        if also_counts.get(name, False) or CLASSES[name](word):
            chosen.append((word, tokens))
    return chosen


def from_cls_to_cls(maps: LayerMaps) -> Values:
    """Attention of [CLS] to itself: a_00, a fraction of mass (paper, section 4.5, figure 7)."""
    return most_in(maps.from_cls, maps.batch.is_cls)


def from_cls_to_sep(maps: LayerMaps) -> Values:
    """Attention of [CLS] to [SEP]: the larger a_0j of the [SEP]s, a fraction of mass (paper,
    section 4.5, figure 7).
    """
    return most_in(maps.from_cls, maps.batch.separators)


def to_classes(maps: LayerMaps, masks: ClassMasks) -> Float[Tensor, "class batch head"]:
    """The largest column mean over the tokens of every class."""
    return most_in(maps.received, masks.marks)


def from_cls_to_classes(maps: LayerMaps, masks: ClassMasks) -> Float[Tensor, "class batch head"]:
    """The largest attention of [CLS] to the tokens of every class."""
    return most_in(maps.from_cls, masks.marks)


def _to_class(name: str) -> Callable[[LayerMaps, ClassMasks], Values]:
    def update(maps: LayerMaps, masks: ClassMasks) -> Values:
        return maps.shared(to_classes, masks)[masks.names.index(name)]

    update.__doc__ = (
        f"Attention to {_article(name)}: max over the {name} tokens j of (1/L) sum_i a_ij, a "
        "fraction of mass; mean over the examples that have one (paper, section 4.4)."
    )
    return update


def _from_cls(name: str) -> Callable[[LayerMaps, ClassMasks], Values]:
    def update(maps: LayerMaps, masks: ClassMasks) -> Values:
        return maps.shared(from_cls_to_classes, masks)[masks.names.index(name)]

    update.__doc__ = (
        f"Attention of [CLS] to {_article(name)}: max over the {name} tokens j of a_0j, a "
        "fraction of mass; mean over the examples that have one (paper, section 4.5, figure 7)."
    )
    return update


def _in_notebook(name: str) -> Callable[[LayerMaps, NotebookClasses], Values]:
    def update(maps: LayerMaps, classes: NotebookClasses) -> Values:
        values = most_in(maps.received, classes.masks[name])
        if name == "negation":
            return values
        # An example whose words have no tokens may have the class: it has no value, not 0.
        return values.nan_to_num(0.0).masked_fill(~classes.is_placed[:, None], torch.nan)

    return update


def _article(name: str) -> str:
    if name == "punctuation":
        return name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


_MASS = "fraction of mass"
for _name in CLASSES:
    _to, _from = f"attention_to_{_name}", f"from_cls_to_{_name}"
    MEASURES.register(_to)(WordMeasure(_MASS, _to_class(_name), class_masks))
    MEASURES.register(_from)(WordMeasure(_MASS, _from_cls(_name), class_masks))
    FAITHFUL[_to] = WordMeasure(_MASS, _in_notebook(_name), notebook_classes)
MEASURES.register("from_cls_to_cls")(Measure(_MASS, from_cls_to_cls))
MEASURES.register("from_cls_to_sep")(Measure(_MASS, from_cls_to_sep))
