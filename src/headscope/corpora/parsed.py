"""Texts without annotations as a corpus: its links are those that a parser finds."""

from collections.abc import Sequence

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.errors import HeadscopeError
from headscope.examples import Split, Word

_NO_LINK = ("punct", "root", "dep", "")
"""Relations that link nothing: `dep` is what a parser says of a link that it cannot name."""


def parsed_corpus(
    split: Split, words: Sequence[Sequence[Sequence[Word]]], *, name: str, source: str, parser: str
) -> Corpus:
    """A corpus of texts, with a link from every word to the governor that a parser gives it.

    Args:
        split: The texts; of pairs, each text is one of the corpus. Equal texts are taken once.
        words: The parsed words, [example][text][word].
        name: What the corpus is called.
        source: The file.
        parser: What found the words and their relations.

    Raises:
        HeadscopeError: No word has a governor: they were not parsed.
    """
    columns = [split.first] if split.second is None else [split.first, split.second]
    texts = list(zip(*columns, strict=True))
    found: dict[str, Sequence[Word]] = {}
    for of_example, of_words in zip(texts, words, strict=True):
        found.update(zip(of_example, of_words, strict=True))
    sentences = []
    for number, (text, of_text) in enumerate(found.items(), start=1):
        links = [
            Link(word.relation, (index,), (word.head,))
            for index, word in enumerate(of_text)
            if word.head >= 0 and word.relation.split(":")[0] not in _NO_LINK
        ]
        sentences.append(Sentence(f"{name}, text {number}", text, tuple(of_text), tuple(links)))
    linked = sum(len(sentence.links) for sentence in sentences)
    if not linked:
        raise HeadscopeError(
            f"--text {source}: relations between words need a parser, and the words have none "
            f"({parser}): for English run pip install 'headscope[words]', for another language "
            "install its spaCy pipeline and give --words spacy:PIPELINE"
        )
    counts = (
        ("texts read", len(texts) * len(columns)),
        ("different texts", len(sentences)),
        ("words", sum(len(sentence.words) for sentence in sentences)),
        ("links", linked),
    )
    return Corpus(
        name=name,
        kind="ud",
        sentences=tuple(sentences),
        counts=counts,
        source=source,
        hash=content_hash(sentences),
        notes=(
            *split.notes,
            f"the relations of {name} are those that {parser} found, its mistakes included; in a "
            "treebank people annotated them",
        ),
    )
