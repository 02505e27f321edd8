"""Controls of relations between words of a corpus, on made heads that know of no relation."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from headscope.corpora import read
from headscope.corpora.base import Link
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.dependencies import Dependencies, LinkedBatch, of_half
from headscope.linguistics.linked import link as linked_corpus
from headscope.linguistics.linked import word_links
from headscope.linguistics.spans import Pair, Spans, link_pairs
from headscope.linguistics.word_attention import Tokens, count_pairs
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.loading import load
from headscope.stats.paired import Z
from relation_text import folder
from simulations.base import Section
from simulations.controls import HEADS, Head, Places

BATCH = 32
RELATIONS = ("nsubj", "obj", "det", "case", "compound", "flat")
SHOWN = ("uniform", "vertical", "diagonal", "mixed", "looks at the beginning")


@dataclass(frozen=True)
class Linked:
    """Sentences with links.

    Attributes:
        tokens: The tokens of every word of every sentence.
        punctuation: The tokens of punctuation of every sentence.
        links: The links of every sentence; all their words have tokens.
    """

    tokens: Sequence[Tokens]
    punctuation: Sequence[Set[int]]
    links: Sequence[Sequence[Link]]

    @property
    def relations(self) -> list[str]:
        """The relations that occur."""
        return sorted({link.relation for links in self.links for link in links})


class SpansByWords(Spans):
    """The rule of version 0.1: a link is moved by words, to punctuation too."""

    def placements(self, sentence: int) -> list[list[list[Pair]]]:
        """The pairs of tokens of every link: where it stands, then wherever else it fits."""
        tokens, links = self._words[sentence], self._links[sentence]
        related = {pair for link in links for pair in product(link.source, link.target)}
        places = []
        for link in links:
            used = (*link.source, *link.target)
            of_link = [link_pairs(tokens, link)]
            for shift in range(-min(used), len(tokens) - max(used)):
                source = tuple(word + shift for word in link.source)
                target = tuple(word + shift for word in link.target)
                has_tokens = all(tokens[word] for word in (*source, *target))
                if shift and has_tokens and related.isdisjoint(product(source, target)):
                    moved = replace(link, source=source, target=target)
                    of_link.append(link_pairs(tokens, moved))
            places.append(of_link)
        return places


class DependenciesByWords(Dependencies):
    """The rule of version 0.1: attention to a word, however many pieces it has, and punctuation is
    a word.
    """

    def prepare(self, batch: Batch) -> LinkedBatch:
        """The words and links of the batch."""
        prepared = super().prepare(batch)
        words = prepared.frame.has_tokens
        frame = replace(prepared.frame, pieces=words.float())
        return replace(prepared, frame=frame, receives=words, pairs=count_pairs(words, words))


@dataclass(frozen=True)
class Excess:
    """The excess of a head over the control of a relation.

    Attributes:
        value: The mean, per cent of the control.
        half: Half of its 95% interval.
        share: Of the links of the relation, how many have a control.
    """

    value: float
    half: float
    share: float

    def __str__(self) -> str:
        low, high = self.value - self.half, self.value + self.half
        return f"{self.value:+.1f}% ({low:+.1f} to {high:+.1f})"


def span_excess(
    linked: Linked, heads: Sequence[Head], seed: int, kind: type[Spans] = Spans
) -> dict[str, list[Excess]]:
    """The excess of every head in every relation between spans."""
    names = linked.relations
    observer = kind(
        linked.tokens, linked.punctuation, linked.links, names, layers=1, heads=len(heads)
    )
    for layer in _layers(linked, heads, seed):
        observer.see(layer, observer.prepare(layer.batch))
    return _excesses(
        names,
        observer.sums["attention"],
        observer.sums["attention_control"],
        observer.sums["attention_excess"],
    )


def word_excess(
    linked: Linked, heads: Sequence[Head], seed: int, kind: type[Dependencies] = Dependencies
) -> dict[str, list[Excess]]:
    """The excess of attention of every head from a word to its governor, in every relation."""
    names = linked.relations
    observer = kind(
        linked.tokens,
        linked.punctuation,
        word_links(linked.links, names),
        np.zeros(len(linked.tokens), dtype=np.int64),
        np.ones(len(names), dtype=np.int64),
        layers=1,
        heads=len(heads),
    )
    for layer in _layers(linked, heads, seed):
        observer.see(layer, observer.prepare(layer.batch))
    sums = of_half(observer.sums, 0)
    return _excesses(
        names,
        sums["to_head", "attention"],
        sums["to_head", "attention_control"],
        sums["to_head", "attention_excess"],
    )


def _excesses(
    names: Sequence[str], whole: Clustered, control: Clustered, excess: Clustered
) -> dict[str, list[Excess]]:
    found: dict[str, list[Excess]] = {}
    for number, name in enumerate(names):
        unit = 100 / control.mean[number, 0]
        means = excess.mean[number, 0] * unit
        halves = Z * excess.error[number, 0] * unit
        share = float(excess.n[number] / whole.n[number])
        pairs = zip(means.tolist(), halves.tolist(), strict=True)
        found[name] = [Excess(mean, half, share) for mean, half in pairs]
    return found


def _layers(linked: Linked, heads: Sequence[Head], seed: int) -> Iterator[LayerMaps]:
    """The maps of made heads, batch by batch."""
    rng = np.random.default_rng(seed)
    for start in range(0, len(linked.tokens), BATCH):
        rows = range(start, min(start + BATCH, len(linked.tokens)))
        # [CLS] and [SEP] stand around the words.
        lengths = [max(max(own, default=0) for own in linked.tokens[row]) + 2 for row in rows]
        real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        maps = torch.zeros(len(rows), len(heads), max(lengths), max(lengths))
        for number, (row, n) in enumerate(zip(rows, lengths, strict=True)):
            word = np.full(n, -1)
            for index, pieces in enumerate(linked.tokens[row]):
                word[list(pieces)] = index
            is_punctuation = np.zeros(n, dtype=bool)
            is_punctuation[list(linked.punctuation[row])] = True
            places = Places(rng, word, is_punctuation, apart=n)
            for head, weights_of in enumerate(heads):
                weights = torch.as_tensor(weights_of(places), dtype=torch.float32)
                maps[number, head, :n, :n] = weights / weights.sum(-1, keepdim=True)
        batch = Batch(np.array(rows), real, ~real, real.long(), real.long())
        yield LayerMaps(0, batch, maps, maps[..., :1])


def corpus(source: str, relations: Sequence[str] = ()) -> Linked:
    """A corpus as all-MiniLM-L6-v2 sees it, with these relations, or with all."""
    found = linked_corpus(
        load("minilm"), read([source], quiet=True), examples=None, seed=0, max_length=128
    )
    links = [
        [one for one in of_sentence if not relations or one.relation in relations]
        for of_sentence in found.links
    ]
    return Linked(found.tokens, found.punctuation, links)


def section() -> Section:
    """The section of docs/statistics.md."""
    treebank = next((folder("HEADSCOPE_UD") / "English-EWT").glob("*dev*"))
    words = corpus(f"ud:{treebank}", RELATIONS)
    frames = corpus(f"framenet:{folder('HEADSCOPE_FRAMENET')}")
    heads = [HEADS[name] for name in SHOWN]
    rows = []
    for old, new in (
        (word_excess(words, heads, 0, DependenciesByWords), word_excess(words, heads, 0)),
        (span_excess(frames, heads, 0, SpansByWords), span_excess(frames, heads, 0)),
    ):
        for relation in new:
            shares = f"{old[relation][0].share:.2f}, {new[relation][0].share:.2f}"
            for number, name in enumerate(SHOWN):
                cells = (str(old[relation][number]), str(new[relation][number]))
                rows.append((relation, name, *cells, shares))
    return Section(
        title="Controls of relations in a corpus",
        text="""
The same for the relations of a corpus: attention from a word to its governor in UD English-EWT
(development set), and between a frame element and its predicate in FrameNet, with the places of
the pairs in the tokens of all-MiniLM-L6-v2 and made maps; excess in per cent of the control, with
sentences as clusters. The old rule (0.1) compared attention to words, summed over their pieces, of
which linked words have more or fewer than others, and moved spans by words, so that they had
other numbers of tokens; and punctuation, which no link goes to, was a word as any other. The new
rule compares what a piece of a word gets, moves spans by tokens, and leaves out punctuation that
is attended to. A diagonal head gives the
further pieces of a word less, which the treebank's control does not know: its excess is too low for
words of many pieces. That control does not know where in a sentence words stand either: a head that
looks at the beginning has an excess at subjects. The last column is the share of links (of
sentences) with a control, by the old rule and the new.""".strip(),
        header=("relation", "head", "old excess", "new excess", "have one"),
        rows=rows,
    )
