"""Universal Dependencies treebanks in CoNLL-U, plain or gzipped, read through the `conllu` library.

The words of the sentence are what relations link. Those of a multiword token have characters of
their own where they stand side by side in it ("do" and "n't"), and share them all where they don't
("à" and "le" in "au"). Empty nodes (1.1) are not words and are left out.
https://universaldependencies.org/format.html
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from conllu import Token

from headscope.corpora.base import Corpus, Link, Sentence, content_hash
from headscope.corpora.ud_checks import NotConlluError, parse
from headscope.corpora.ud_text import Span, WrittenToken, places, put_together, written
from headscope.errors import HeadscopeError
from headscope.examples import Word
from headscope.progress import say

_READ, _MADE = "sentences read", "texts put together from their words"
_WORDS, _MULTIWORD, _EMPTY = "words", "multiword tokens", "empty nodes, left out"
_COUNTS = (_READ, _WORDS, _MULTIWORD, _EMPTY, _MADE, "links")
_NO_LINK = ("punct", "root")


def read(files: Sequence[Path], *, quiet: bool = False, limit: int | None = None) -> Corpus:
    """The sentences of treebanks, with a link from every word to its governor.

    The root and punctuation have no link; a link's relation is the one in the file, subtype
    included. A word has the form that the text has, where white space or Unicode's normal form
    differ. Where there is no `# text`, or it is not the words one after the other, the text is put
    together from them and SpaceAfter=No; such texts are counted.

    Args:
        files: The .conllu or .conllu.gz files.
        quiet: Do not say how many sentences a file has.
        limit: Read only so many sentences, the first.

    Raises:
        HeadscopeError: A file is missing, damaged or not CoNLL-U; the error names the line.
    """
    sentences: list[Sentence] = []
    counts: Counter[str] = Counter()
    for path in files:
        before = len(sentences)
        for line, block in _blocks(path):
            if limit is not None and len(sentences) >= limit:
                break
            try:
                sentences.append(_sentence(block, line, _stem(path), counts))
            except NotConlluError as error:
                where = f"{path}, line {error.line}"
                raise HeadscopeError(f"{where}, is no CoNLL-U: {error}") from error
        else:
            if len(sentences) == before:
                raise HeadscopeError(
                    f"{path} holds no sentence: a CoNLL-U file has ten columns a word, a line each"
                )
        say(f"{path.name}: {len(sentences) - before} sentences", quiet=quiet)
    counts[_READ] = len(sentences)
    counts["links"] = sum(len(sentence.links) for sentence in sentences)
    return Corpus(
        name="ud:" + "+".join(_stem(path) for path in files),
        kind="ud",
        sentences=tuple(sentences),
        counts=tuple((name, counts[name]) for name in _COUNTS),
        source=", ".join(map(str, files)),
        hash=content_hash(sentences),
    )


def _stem(path: Path) -> str:
    for ending in (".conllu.gz", ".conllu"):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return path.stem


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of every sentence, with the number of the first."""
    number, first = 0, 1
    block: list[str] = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if line.strip():
                    first = first if block else number
                    block.append(line)
                elif block:
                    yield first, block
                    block = []
    except UnicodeDecodeError as error:
        raise HeadscopeError(
            f"{path}, line {number}, is not UTF-8 ({error.reason}): CoNLL-U files are"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HeadscopeError(
            f"{path} is damaged after line {number} ({error}): fetch it again"
        ) from error
    except OSError as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error.strerror}): name a .conllu or .conllu.gz file"
        ) from error
    if block:
        yield first, block


def _sentence(block: Sequence[str], line: int, stem: str, counts: Counter[str]) -> Sentence:
    """The sentence of a block of lines, the first of which has the number `line`."""
    parsed, comments = parse(block, line)
    rows = [token for token in parsed if isinstance(token["id"], int)]
    kinds = Counter(token["id"][1] for token in parsed if isinstance(token["id"], tuple))
    counts.update({_WORDS: len(rows), _MULTIWORD: kinds["-"], _EMPTY: kinds["."]})
    tokens = written(parsed)
    text = comments.get("text") or ""
    spans = places(text, [token.form for token in tokens])
    if spans is None:
        text, spans = put_together(tokens)
        counts[_MADE] += 1
    words = _words(rows, tokens, text, spans)
    links = [
        Link(word.relation, (index,), (word.head,))
        for index, word in enumerate(words)
        if word.head >= 0 and word.relation.split(":")[0] not in _NO_LINK
    ]
    name = comments.get("sent_id") or f"{stem}, line {line}"
    return Sentence(name, text, tuple(words), tuple(links))


def _words(
    rows: Sequence[Token], tokens: Sequence[WrittenToken], text: str, spans: Sequence[Span]
) -> list[Word]:
    """The words of a sentence.

    Args:
        rows: The rows of the words.
        tokens: The tokens as they are written.
        text: The sentence.
        spans: The characters of every token.
    """
    words: list[Word] = []
    for token, (start, end) in zip(tokens, spans, strict=True):
        inner = [rows[number - 1] for number in token.words]
        forms = [row["form"] for row in inner]
        word_spans = [(start, end)] * len(inner)
        if len(inner) == 1:
            forms = [text[start:end]]
        elif text[start:end] == token.form == "".join(forms):
            # The words stand side by side in the token: each has characters of its own.
            word_spans = list(pairwise(accumulate(map(len, forms), initial=start)))
        for row, form, span in zip(inner, forms, word_spans, strict=True):
            words.append(_word(row, form, span))
    return words


def _word(row: Token, form: str, span: Span) -> Word:
    return Word(
        form=form,
        lemma=row["lemma"],
        start=span[0],
        end=span[1],
        upos="X" if row["upos"] == "_" else row["upos"],
        relation=row["deprel"],
        head=row["head"] - 1,
    )
