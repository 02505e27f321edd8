"""A model that is looked at: what it reads of a text, and what it says with heads switched off."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headscope.axes import Head, head_set, set_name
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.explorer.answers import Answer, Asked, Kind, Outputs, answers
from headscope.model.encoding import Encoded, encode
from headscope.model.example_maps import WHOLE, example_maps
from headscope.model.model import Model
from headscope.model.texts import split_of
from headscope.results.tables import Map
from headscope.words.align import Aligned

WordsOf = Callable[[Encoded, Split], list[Aligned]]
"""The tagged words of examples, which measures look at."""
MODES = ("uniform", "zero")
"""What a head that is switched off may put out; means are of many texts."""


@dataclass(frozen=True)
class TextsAsked:
    """The texts that are looked at.

    Attributes:
        first: The first text.
        second: The second text; "" for none.
    """

    first: str
    second: str = ""

    @property
    def given(self) -> tuple[str, ...]:
        """One text, or two."""
        return (self.first, self.second) if self.second.strip() else (self.first,)


@dataclass(frozen=True, eq=False)
class Viewed:
    """A model, and how it is looked at.

    Attributes:
        model: The model, whose outputs are what it says.
        kind: What its outputs are.
        outputs: The names of its outputs; none of vectors.
        words_of: Who says what the words of a text are.
        prompt: What stands before every text of an embedder.
        longest: The most tokens of a text.
        notes: What a reader must know of the model.
    """

    model: Model
    kind: Kind
    outputs: Sequence[str]
    words_of: WordsOf
    prompt: str = ""
    longest: int = WHOLE
    notes: tuple[str, ...] = ()
    # Heads are switched off in the model itself: one at a time.
    _turn: RLock = field(default_factory=RLock, repr=False)

    def read(self, texts: TextsAsked) -> "Read":
        """The texts as the model reads them: an embedder each by itself, others as a pair.

        Raises:
            HeadscopeError: A text is empty or too long, or there are two and the model takes one.
        """
        if not texts.first.strip():
            raise HeadscopeError("the text is empty: type one")
        if len(texts.given) == 2 and self.kind == "tags":
            raise HeadscopeError("the model gives a tag to every word of one text: leave one out")
        if self.kind == "vectors":
            split = split_of([self.prompt + text for text in texts.given])
        else:
            split = split_of([texts.given if len(texts.given) == 2 else texts.first])
        limit = min(self.longest, WHOLE, self.model.max_length)
        encoded = encode(split, self.model.tokenizer, limit)
        if encoded.truncated:
            raise HeadscopeError(
                f"a text has more than {limit} tokens, and no more are shown here: give a shorter "
                "one, or measure it with headscope measure"
            )
        return Read(self, texts, split, encoded)

    @contextmanager
    def switched(self, heads: str, mode: str) -> Iterator[dict[Head, float]]:
        """While the context is open, heads are switched off, and nobody else uses the model.

        Args:
            heads: As in "L1H2,L7H6"; "" for none.
            mode: One of `MODES`.

        Yields:
            How far the output of each head moved, relative to its norm, after a forward pass.

        Raises:
            HeadscopeError: A head or a mode does not exist.
        """
        if mode not in MODES:
            raise HeadscopeError(
                f"heads are switched off by {' or '.join(MODES)}, not by {mode!r:.40}"
            )
        with self._turn:
            opened: Any = nullcontext()
            if heads:
                opened = self.model.disabled(heads, mode)
            with opened as edit:
                yield {} if edit is None else edit.change


@dataclass(frozen=True, eq=False)
class Read:
    """Texts as a model reads them, and what it makes of them.

    Attributes:
        of: The model.
        texts: The texts.
        split: They as examples: one, or of an embedder one a text.
        encoded: They as token ids.
    """

    of: Viewed
    texts: TextsAsked
    split: Split
    encoded: Encoded

    @cached_property
    def tokens(self) -> list[list[str]]:
        """The tokens of every example."""
        name = self.of.model.tokenizer.convert_ids_to_tokens
        return [list(name(ids)) for ids in self.encoded.columns["input_ids"]]

    @cached_property
    def outputs(self) -> Outputs:
        """What the whole model puts out."""
        with self.of.switched("", MODES[0]):
            return self._outputs()

    @cached_property
    def maps(self) -> list[Map]:
        """The maps of every example, in 255ths, [layer, head, query, key]."""
        return self.maps_without("", MODES[0])

    def maps_without(self, heads: str, mode: str) -> list[Map]:
        """The maps with heads switched off; those of such a head are what it would attend to."""
        rows = range(len(self.encoded))
        with self.of.switched(heads, mode):
            found = example_maps(self.of.model, self.encoded, rows)
        return [found[row] for row in rows]

    def switch(self, heads: str, mode: str) -> "Switched":
        """What the model says with heads switched off.

        Raises:
            HeadscopeError: A head or the mode does not exist, or an output is not finite.
        """
        before = self.outputs
        with self.of.switched(heads, mode) as change:
            after = self._outputs() if heads else before
        still = sorted(head for head, moved in change.items() if moved == 0)
        notes = []
        if still:
            notes.append(
                f"switching off {set_name(still)} changed nothing: on this text the output of such "
                "a head is the same without it"
            )
        if self.of.kind == "masks" and not self.masks:
            notes.append(
                f"the model guesses masked tokens: write {self.of.model.tokenizer.mask_token} in "
                "place of a word"
            )
        if self.of.kind == "vectors" and len(self.texts.given) == 1:
            notes.append("type a second text to see how alike the vectors of the two are")
        return Switched(
            heads=set_name(head_set(heads)) if heads else "",
            mode=mode,
            answers=answers(self.of.kind, before, after, self._asked),
            notes=notes,
        )

    @property
    def masks(self) -> list[int]:
        """Where [MASK] stands in the first example."""
        mask = self.of.model.tokenizer.mask_token_id
        ids = self.encoded.columns["input_ids"][0]
        return [place for place, token in enumerate(ids) if token == mask]

    @property
    def _asked(self) -> Asked:
        count = len(self.texts.given)
        return Asked(self.of.outputs, self.encoded.special, self.masks, count)

    @torch.inference_mode()
    def _outputs(self) -> list[npt.NDArray[np.float64]]:
        """What the model puts out, each example by itself: none is padded."""
        model: Any = self.of.model.hf
        found = []
        for row in range(len(self.encoded)):
            logits = model(**self.encoded.batch([row], model.device)).logits[0]
            found.append(logits.double().cpu().numpy())
        return found


@dataclass(frozen=True)
class Switched:
    """What a model says with heads switched off.

    Attributes:
        heads: The heads, as in "L1H2,L7H6"; "" for none.
        mode: What they put out.
        answers: What the model says, before and after.
        notes: What a reader must know of it.
    """

    heads: str
    mode: str
    answers: list[Answer]
    notes: list[str]
