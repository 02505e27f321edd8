"""A treebank that is passed through a model in blocks of sentences, here or by workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from headscope.corpora.base import Sentence
from headscope.engine.executor import Executor, Item, Shared, as_completed
from headscope.linguistics.baselines import CHOOSING, HELD_OUT, best_offsets, halves, shuffled
from headscope.linguistics.dependencies import (
    Dependencies,
    WordLinks,
)
from headscope.linguistics.linked import (
    LinkedCorpus,
    WordTokens,
    encode_words,
    links_with_tokens,
    punctuation_tokens,
    word_links,
)
from headscope.model.budget import fitting_tokens
from headscope.model.encoding import Encoded, only
from headscope.model.layer_maps import LayerMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import Observer, run_pass
from headscope.model.precision import Precision
from headscope.model.resuming import Arrays, Parts, fits
from headscope.model.sent import SentModel
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.progress import Advance, silent

SHUFFLED = 1000
"""How many sentences are passed once more with their words shuffled."""
OF_SHUFFLED = "shuffled"
"""The name of the block of these."""
_BLOCK = 2000
"""How many sentences are passed before what is known of them is kept."""


@dataclass(frozen=True)
class PassSettings:
    """How sentences pass through the model.

    Attributes:
        precision: The number format.
        batch_tokens: The most tokens of a batch; None for what fits.
        advance: Is told how many sentences are done.
        executor: The workers that share the pass; None for this process alone.
    """

    precision: Precision
    batch_tokens: int | None
    advance: Advance
    executor: Executor | None = None


def pass_through(
    model: Model,
    encoded: Encoded,
    observers: Sequence[Observer[LayerMaps, Any]],
    settings: PassSettings,
) -> None:
    """Show observers the maps of all sentences."""
    run_pass(
        model,
        encoded,
        observers,
        batch_tokens=settings.batch_tokens,
        precision=settings.precision,
        advance=settings.advance,
    )


@dataclass(frozen=True)
class Treebank:
    """A treebank, and what all its blocks are passed with.

    Attributes:
        model: The model whose heads are looked at.
        linked: The treebank as the model sees it.
        settings: How sentences pass through the model.
        seed: Of the halves and of the shuffled words.
        relations: The names of the relations, in the order of their numbers.
        links: The links of every sentence as numbers.
        half: Which half a sentence belongs to, [sentence].
        best_offset: The best fixed offset on the choosing half, [relation].
    """

    model: Model
    linked: LinkedCorpus
    settings: PassSettings
    seed: int
    relations: list[str]
    links: list[WordLinks]
    half: npt.NDArray[np.int64]
    best_offset: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, model: Model, linked: LinkedCorpus, settings: PassSettings, seed: int
    ) -> "Treebank":
        """A treebank with its links as numbers, its halves, and the best offsets."""
        relations = linked.relations
        links = word_links(linked.links, relations)
        half = halves(len(linked.sentences), seed)
        best_offset = best_offsets(links, half == CHOOSING, len(relations))
        return cls(model, linked, settings, seed, relations, links, half, best_offset)

    @cached_property
    def blocks(self) -> dict[str, list[int]]:
        """The sentences of every block, by its name; those of the last one are shuffled, of the
        held-out half first.
        """
        count = len(self.linked.sentences)
        starts = range(0, count, _BLOCK)
        blocks = {f"block-{at}": list(range(at, min(at + _BLOCK, count))) for at in starts}
        chosen = np.argsort(self.half != HELD_OUT, kind="stable")[:SHUFFLED]
        return {**blocks, OF_SHUFFLED: chosen.tolist()}

    def make(self, name: str, rows: list[int]) -> Arrays:
        """The sums over the sentences of a block, and the class of every map; of shuffled sentences
        the sums alone.

        Args:
            name: The name of the block.
            rows: Its sentences.
        """
        if name == OF_SHUFFLED:
            return self._shuffled(rows)
        encoded = only(self.linked.encoded, rows)
        sentences = [self.linked.sentences[i] for i in rows]
        tokens = [self.linked.tokens[i] for i in rows]
        links = [self.links[i] for i in rows]
        collector = self.collector(len(rows))
        observer = self.observer(sentences, tokens, links, self.half[rows])
        pass_through(self.model, encoded, [observer, collector], self.settings)
        return {**observer.arrays(), **collector.state()}

    def _shuffled(self, rows: list[int]) -> Arrays:
        sentences = [shuffled(self.linked.sentences[i], self.seed + i) for i in rows]
        encoded, tokens = encode_words(self.model, sentences, self.linked.encoded.max_length)
        known = [links_with_tokens(*pair) for pair in zip(sentences, tokens, strict=True)]
        links = word_links(known, self.relations)
        observer = self.observer(sentences, tokens, links, self.half[rows])
        pass_through(self.model, encoded, [observer], self.settings)
        return observer.arrays()

    def empty(self, name: str) -> Arrays:
        """What `make` gives, without what is found: names, shapes and types."""
        observer = self.observer([], [], [], self.half[:0])
        if name == OF_SHUFFLED:
            return observer.arrays()
        return {**observer.arrays(), **self.collector(len(self.blocks[name])).state()}

    def collector(self, sentences: int) -> Collector:
        """What collects the classes of the maps of so many sentences."""
        return Collector(load_classifier(), sentences, self.model.layers, self.model.heads)

    def observer(
        self,
        sentences: list[Sentence],
        tokens: list[WordTokens],
        links: list[WordLinks],
        half: npt.NDArray[np.int64],
    ) -> Dependencies:
        """What sums up the quantities of some sentences."""
        punctuation = punctuation_tokens(sentences, tokens)
        layers, heads = self.model.layers, self.model.heads
        return Dependencies(tokens, punctuation, links, half, self.best_offset, layers, heads)


@dataclass(frozen=True, eq=False)
class SentTreebank:
    """A treebank as it is sent to workers.

    Attributes:
        model: The model.
        linked: The treebank as the model sees it.
        precision: The number format.
        batch_tokens: The most tokens of a batch.
        seed: Of the halves and of the shuffled words.
        key: Tells it from others.
    """

    model: SentModel
    linked: LinkedCorpus
    precision: Precision
    batch_tokens: int
    seed: int
    key: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, treebank: Treebank, executor: Executor) -> "SentTreebank":
        """A treebank for the workers of an executor."""
        model, settings = treebank.model, treebank.settings
        sent = SentModel.of(model, executor)
        tokens = fitting_tokens(model, settings.batch_tokens)
        return cls(sent, treebank.linked, settings.precision, tokens, treebank.seed)

    def treebank(self) -> Treebank:
        """The treebank with its model, loaded here."""
        settings = PassSettings(self.precision, self.batch_tokens, silent)
        model = self.model.checked_encoder(load(self.model.path()))
        return Treebank.of(model, self.linked, settings, self.seed)


_treebanks: dict[str, Treebank] = {}
"""The treebank of this process, by its key."""


def block(work: Shared[SentTreebank], name: str, rows: list[int]) -> Arrays:
    """A block of a treebank, as the function of an item."""
    given = work.get()
    if given.key not in _treebanks:
        _treebanks.clear()
        _treebanks[given.key] = given.treebank()
    return _treebanks[given.key].make(name, rows)


def kept_block(blocks: Parts, name: str, treebank: "Treebank") -> Arrays | None:
    """The arrays of a block that an earlier run finished; None where it is to be made."""
    kept = blocks.get(name)
    if kept is None:
        return None
    if not fits(kept, treebank.empty(name)):
        blocks.refuse(name)
        return None
    treebank.settings.advance(len(treebank.blocks[name]))
    return kept


def made_blocks(treebank: "Treebank", names: Sequence[str]) -> Iterator[tuple[str, Arrays]]:
    """Blocks as they are made, in this process or by the workers."""
    settings = treebank.settings
    if settings.executor is None:
        for name in names:
            yield name, treebank.make(name, treebank.blocks[name])
        return
    work = settings.executor.share(SentTreebank.of(treebank, settings.executor))
    items = []
    for name in names:
        arguments = {"work": work, "name": name, "rows": treebank.blocks[name]}
        path = f"{__name__}:{block.__name__}"
        items.append(Item(name, path, arguments, cost=len(treebank.blocks[name])))
    for item, future in as_completed(items, settings.executor):
        yield item.name, future.result()
        settings.advance(len(treebank.blocks[item.name]))
