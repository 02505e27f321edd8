"""Controls of pairs of tokens, on made heads that have nothing to do with any relation.

Places of pairs are those of real texts; maps are made. What a head gives a relation and what it
gives the control must be the same on average, whatever the head does.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from headscope.corpora import read
from headscope.examples import Split
from headscope.measures.controls import FoundPairs, Pair, TokenPairs, WordPlaces
from headscope.measures.pairs import (
    RELATIONS,
    RelatedPairs,
    largest,
    related_tokens,
    same_words,
    token_pairs,
    weighted_sums,
)
from headscope.model.embedded import embedded_path
from headscope.model.encoding import encode
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.stats.paired import Z
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import Aligned, align
from headscope.words.classes import matches
from headscope.words.sources import tag
from relation_text import folder
from simulations.base import Section

Array = npt.NDArray[np.float64]
BATCH = 64


@dataclass(frozen=True)
class Texts:
    """Examples with their words.

    Attributes:
        words: The words of every example and their tokens.
        lengths: How many tokens each has, special ones included.
    """

    words: Sequence[Aligned]
    lengths: Sequence[int]


# ---- made heads


@dataclass(frozen=True)
class Places:
    """What a made head may look at: of an example of n tokens.

    Attributes:
        rng: What is drawn at random.
        word: The number of the word of each token, -1 for none, [n].
        is_punctuation: Whether the word is punctuation, [n].
        apart: The distance from a token of the first text to the one at its place in the second.
    """

    rng: np.random.Generator
    word: npt.NDArray[np.int64]
    is_punctuation: npt.NDArray[np.bool_]
    apart: int

    @property
    def n(self) -> int:
        """How many tokens there are."""
        return len(self.word)

    @property
    def distance(self) -> npt.NDArray[np.int64]:
        """How far each token is from each, [n, n]."""
        place = np.arange(self.n)
        return np.asarray(np.abs(place[:, None] - place))

    def popularity(self) -> Array:
        """How much each token is looked at: drawn, and five times as much if punctuation, [n]."""
        return self.rng.lognormal(size=self.n) * np.where(self.is_punctuation, 5.0, 1.0)


def uniform(places: Places) -> Array:
    """Every token alike."""
    return np.ones((places.n, places.n))


def vertical(places: Places) -> Array:
    """The same tokens from everywhere."""
    return np.tile(places.popularity(), (places.n, 1))


def vertical_by_word(places: Places) -> Array:
    """The same words from everywhere, all tokens of a word alike."""
    of_word = places.rng.lognormal(size=places.word.max() + 2)
    return np.tile(of_word[places.word], (places.n, 1))


def diagonal(places: Places) -> Array:
    """What is near."""
    return np.exp(-places.distance / 3)


def aligned(places: Places) -> Array:
    """What is at the same place of the other text."""
    return np.exp(-np.abs(places.distance - places.apart) / 5)


def mixed(places: Places) -> Array:
    """What is near, the more popular, and something of its own for every pair."""
    own = places.rng.lognormal(size=(places.n, places.n))
    return np.exp(-places.distance / 6) * places.popularity() * own


def at_the_beginning(places: Places) -> Array:
    """The beginning of the input, less and less along ten tokens."""
    return np.tile(np.exp(-np.arange(places.n) / 10), (places.n, 1))


def falling(places: Places) -> Array:
    """Less and less from the beginning to the end."""
    return np.tile(np.arange(places.n, 0.0, -1.0), (places.n, 1))


Head = Callable[[Places], Array]
HEADS: dict[str, Head] = {
    "uniform": uniform,
    "vertical": vertical,
    "vertical, by word": vertical_by_word,
    "diagonal": diagonal,
    "diagonal, across texts": aligned,
    "mixed": mixed,
    "linear in the position": falling,
    "looks at the beginning": at_the_beginning,
}


# ---- what relations get, and what controls get


Found = Callable[[Batch, Sequence[Aligned]], RelatedPairs]


@dataclass(frozen=True)
class Rule:
    """Controls of all relations.

    Attributes:
        related: The pairs of `RELATIONS`, with their controls.
        across: The same words in two texts, with their controls.
    """

    related: Found
    across: Found


def one_by_one(batch: Batch, words: Sequence[Aligned]) -> RelatedPairs:
    """The rule of version 0.1: of every pair of tokens the control is drawn by itself, from all at
    the same distance.
    """
    places = WordPlaces.of(words)
    found = []
    for relation in RELATIONS:
        of_examples = [token_pairs(aligned, relation.find(aligned)) for aligned in words]
        drawn: list[list[Pair]] = []
        for row, pairs in enumerate(of_examples):
            draw = random.Random(int(batch.examples[row]))
            word, text = places.word[row], places.text[row]
            drawn.append([_drawn(pair, set(pairs), word, text, draw) for pair in pairs])
        every, control = TokenPairs.of(of_examples), TokenPairs.of(drawn)
        is_matched = control.query >= 0
        ones = np.ones(len(is_matched))
        weights = (ones, ones[is_matched], ones[is_matched])
        found.append(FoundPairs(every, is_matched, control.where(is_matched), weights))
    return RelatedPairs.of(found, batch)


def _drawn(
    pair: Pair,
    related: set[Pair],
    word: npt.NDArray[np.int32],
    text: npt.NDArray[np.int32],
    draw: random.Random,
) -> Pair:
    far = pair[1] - pair[0]
    candidates = [
        (query, query + far)
        for query in range(max(0, -far), min(len(word), len(word) - far))
        if min(word[query], word[query + far]) >= 0
        and word[query] != word[query + far]
        and text[query] == text[query + far]
        and (query, query + far) not in related
    ]
    return draw.choice(candidates) if candidates else (-1, -1)


def another_word(batch: Batch, words: Sequence[Aligned]) -> RelatedPairs:
    """The rule of version 0.1: another word of the other text, whatever its number of tokens."""
    every: list[list[Pair]] = []
    controls: list[list[Pair]] = []
    of_every: list[float] = []
    of_control: list[float] = []
    for row, aligned in enumerate(words):
        draw = random.Random(int(batch.examples[row]))
        pairs = matches(aligned)
        pairs += [(second, first) for first, second in pairs]
        every.append([])
        controls.append([])
        for query, key in pairs:
            others = [
                index
                for index, word in enumerate(aligned.words)
                if aligned.text[index] == aligned.text[key]
                and aligned.tokens[index]
                and word.upos != "PUNCT"
                and (query, index) not in pairs
            ]
            weight = 1 / len(pairs) / len(aligned.tokens[query])
            for tokens, of_tokens, word in (
                (every, of_every, key),
                (controls, of_control, draw.choice(others)),
            ):
                between = token_pairs(aligned, [(query, word)])
                tokens[-1] += between
                of_tokens += [weight] * len(between)
    is_matched = np.ones(len(of_every), dtype=bool)
    weights = (np.array(of_every), np.array(of_every), np.array(of_control))
    pairs_found = FoundPairs(TokenPairs.of(every), is_matched, TokenPairs.of(controls), weights)
    return RelatedPairs.of([pairs_found], batch)


OLD = Rule(one_by_one, another_word)
NEW = Rule(related_tokens, same_words)
ACROSS = "same_word_across"
NAMES = (*(relation.name for relation in RELATIONS), ACROSS)


@dataclass(frozen=True)
class Values:
    """What made heads give one relation, an example a row and a head a column; NaN for none.

    Attributes:
        every: Over all pairs.
        matched: Over the pairs that have a control.
        control: Over the controls.
    """

    every: Array
    matched: Array
    control: Array

    def excess(self, head: int) -> tuple[float, float]:
        """The mean excess of a head, and half of its 95% interval, per cent of the control."""
        control = self.control[:, head]
        excess = self.matched[:, head] - control
        unit = 100 / np.nanmean(control)
        half = Z * np.nanstd(excess, ddof=1) / np.sqrt(np.sum(~np.isnan(excess)))
        return float(np.nanmean(excess) * unit), float(half * unit)


def values_of(
    texts: Texts, rule: Rule, heads: Sequence[Head], seed: int, carried: float = 0.0
) -> dict[str, Values]:
    """What heads give relations and controls.

    Args:
        texts: Examples.
        rule: How controls are found.
        heads: Made heads.
        seed: Of all draws; the maps are the same under every rule.
        carried: What is added to the weights of all pairs of a relation: how much more the heads
            attend to it.

    Returns:
        By relation.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in NAMES}
    for start in range(0, len(texts.words), BATCH):
        words = texts.words[start : start + BATCH]
        lengths = np.array(texts.lengths[start : start + BATCH])
        real = torch.arange(int(lengths.max())) < torch.as_tensor(lengths)[:, None]
        numbers = np.arange(start, start + len(words)) + seed * len(texts.words)
        batch = Batch(numbers, real, ~real, real.long(), real.long())
        maps = torch.zeros(len(words), len(heads), *[real.shape[1]] * 2)
        for row, (aligned_words, n) in enumerate(zip(words, lengths, strict=True)):
            places = _places(aligned_words, int(n), rng)
            for number, head in enumerate(heads):
                weights = torch.as_tensor(head(places), dtype=torch.float32)
                maps[row, number, :n, :n] = weights / weights.sum(-1, keepdim=True)
        for reduce, found, names in (
            (largest, rule.related, NAMES[:-1]),
            (weighted_sums, rule.across, NAMES[-1:]),
        ):
            pairs = found(batch, words)
            for number, name in enumerate(names):
                of_relation = _with_attention(maps, pairs, 3 * number, carried)
                layer = LayerMaps(0, batch, of_relation, of_relation[..., :1])
                parts[name].append(reduce(layer, pairs)[3 * number : 3 * number + 3].numpy())
    joined = {name: np.concatenate(part, axis=1) for name, part in parts.items()}
    return {name: Values(*values.astype(np.float64)) for name, values in joined.items()}


def _places(words: Aligned, n: int, rng: np.random.Generator) -> Places:
    word = np.full(n, -1)
    is_punctuation = np.zeros(n, dtype=bool)
    for index, tokens in enumerate(words.tokens):
        word[list(tokens)] = index
        is_punctuation[list(tokens)] = words.words[index].upos == "PUNCT"
    of_second = [t[0] for t, text in zip(words.tokens, words.text, strict=True) if t and text]
    return Places(rng, word, is_punctuation, min(of_second, default=n) - 1)


def _with_attention(
    maps: torch.Tensor, pairs: RelatedPairs, kind: int, carried: float
) -> torch.Tensor:
    """The maps with more attention in the pairs of a relation."""
    if not carried:
        return maps
    every = pairs.kinds[kind]
    more = maps.clone()
    more[every.example, :, every.query, every.key] += carried
    return more


# ---- on real texts


def treebank_sentences() -> Texts:
    """The development set of UD English-EWT, as all-MiniLM-L6-v2 sees it."""
    from transformers import AutoTokenizer

    corpus = next((folder("HEADSCOPE_UD") / "English-EWT").glob("*dev*"))
    sentences = read([f"ud:{corpus}"], quiet=True).sentences
    texts = tuple(sentence.text for sentence in sentences)
    split = Split(texts, None, np.zeros(len(texts), dtype=np.int64))
    encoded = encode(split, AutoTokenizer.from_pretrained(embedded_path("minilm")), 128)
    words = align(encoded, split, [(sentence.words,) for sentence in sentences])
    return Texts(words, encoded.lengths.tolist())


def paraphrases() -> Texts:
    """The validation set of MRPC, as all-MiniLM-L6-v2 sees it."""
    from transformers import AutoTokenizer

    split = load_data(find("mrpc"), Path(folder("HEADSCOPE_DATA"))).validation
    encoded = encode(split, AutoTokenizer.from_pretrained(embedded_path("minilm")))
    return Texts(align(encoded, split, tag(split)), encoded.lengths.tolist())


def _cells(texts: Texts, names: Sequence[str], repeats: int, source: str) -> list[list[str]]:
    heads = list(HEADS.values())
    rows = []
    by_rule: dict[str, list[dict[str, Values]]] = {"old": [], "new": []}
    carried = []
    for seed in range(repeats):
        by_rule["old"].append(values_of(texts, OLD, heads, seed))
        by_rule["new"].append(values_of(texts, NEW, heads, seed))
        carried.append(values_of(texts, NEW, [vertical], seed, carried=0.1))
    for name in names:
        old, new = (_joined([values[name] for values in by_rule[rule]]) for rule in by_rule)
        have = np.mean(~np.isnan(new.control[:, 0])) / np.mean(~np.isnan(new.every[:, 0]))
        for number, head in enumerate(HEADS):
            if head != "diagonal, across texts" or name == ACROSS:
                cells = [_text(values.excess(number)) for values in (old, new)]
                rows.append([name, head, *cells, f"{have:.2f}", source])
        more = _joined([values[name] for values in carried])
        rows.append(
            [
                name,
                "vertical, and 0.1 more in the relation",
                "",
                _text(more.excess(0)),
                f"{have:.2f}",
                source,
            ]
        )
    return rows


def _joined(values: Sequence[Values]) -> Values:
    return Values(
        np.concatenate([part.every for part in values]),
        np.concatenate([part.matched for part in values]),
        np.concatenate([part.control for part in values]),
    )


def _text(excess: tuple[float, float]) -> str:
    value, half = excess
    return f"{value:+.1f}% ({value - half:+.1f} to {value + half:+.1f})"


def section() -> Section:
    """The section of docs/statistics.md."""
    return Section(
        title="Controls of pairs of tokens",
        text="""
The excess of heads that were made without any relation in mind, in per cent of their control (mean
over examples, 95% interval): it should be 0. The places of the pairs are real: those of UD
English-EWT (development set) and, for the same words in two texts, of MRPC (validation set), in
the tokens of all-MiniLM-L6-v2; only the maps are made. The old rule (0.1) drew a control for every
pair of tokens by itself, and for the same word another word of the other text. A maximum over many
drawn columns is larger than one over the one or two columns of a pronoun, and words that occur in
both texts have more tokens than others and are at the same place of both. The new rule moves pairs
together: as many rows and columns, the same distances. Half of the shifts of a relation within a
text are to the left, so that what rises or falls evenly along a text cancels; what is steep does
not to the last per cent, and the edges of a text are seen too (diagonal). In the made vertical
heads punctuation is five times as popular as words; no control attends to it. The last row of a
relation is a head that does attend to it. "Have one" is the share of the examples with the relation
in which any pair has a control; the others are not in the excess.""".strip(),
        header=("relation", "head", "old excess", "new excess", "have one", "texts"),
        rows=[
            *_cells(treebank_sentences(), NAMES[:-1], 4, "EWT"),
            *_cells(paraphrases(), NAMES[-1:], 4, "MRPC"),
        ],
    )
