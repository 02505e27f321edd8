"""A tiny tokenizer of each family's own class in transformers: how the class marks texts is the family's."""

# mypy: disable-error-code="no-untyped-call"

import inspect
import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import (
    TOKENIZER_MAPPING_NAMES,
    tokenizer_class_from_name,
)

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = ".,?!'"
_OF_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[QUESTION]"]
_OF_MPNET = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
_OF_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<cls>", "<sep>"]
_OF_ESM = ["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"]
_SPECIAL = [*_OF_ROBERTA, *_OF_BERT, "<eod>", "<eop>"]
_PIECES = [*_SIGNS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), "the", "nurse"]
_TAGS = {"html": 0, "body": 1}
_ENTITIES = {"[UNK]": 0, "[PAD]": 1, "[MASK]": 2, "[MASK2]": 3}
# The classes that leave marks to the file of a checkpoint.
_OF_THE_FILE = ("TokenizersBackend", "GemmaTokenizer")
VOCABULARY = 211
"""How many tokens a model must have embeddings for."""


def class_of(family: str) -> Any:
    """The class of the family's tokenizers; None where a checkpoint's file alone says how it marks texts."""
    name = TOKENIZER_MAPPING_NAMES.get(family) or ""
    return None if name in _OF_THE_FILE else tokenizer_class_from_name(name)


def own(family: str, folder: Path) -> Any:
    """A tokenizer of the family's own class with a tiny vocabulary.

    Args:
        family: The family; `class_of` has a class for it.
        folder: Where files of its vocabulary are written, if it reads files.

    Raises:
        ImportError: It needs a package that is not installed.
    """
    kind = class_of(family)
    arguments = inspect.signature(kind).parameters
    if not issubclass(kind, PreTrainedTokenizerFast):
        return _of_files(family, kind, folder)
    if kind.__name__ == "EsmcTokenizer":
        return kind()
    if "merges" in arguments:
        tokens = [*_SPECIAL, *_SIGNS, *_LETTERS, *_LETTERS.upper(), "\u0120"]
        more = {"entity_vocab": _ENTITIES, "tags_dict": _TAGS}
        given = {name: value for name, value in more.items() if name in arguments}
        return kind(vocab=_numbered(tokens), merges=[], **given)
    if kind.__name__ == "MPNetTokenizer":
        return kind(vocab=_numbered([*_OF_MPNET, *_PIECES]))
    if "tokenize_chinese_chars" in arguments:
        return kind(vocab=_numbered([*_OF_BERT, *_PIECES]))
    scores = {"\u2581": -5.0} | dict.fromkeys([*_SIGNS, *_LETTERS, *_LETTERS.upper()], -5.0)
    return kind(vocab=[*((token, 0.0) for token in _SPECIAL), *scores.items()])


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _of_files(family: str, kind: Any, folder: Path) -> Any:
    """A slow tokenizer, which reads its vocabulary from a file."""
    tokens = [*_OF_ESM, *_LETTERS.upper()] if family == "esm" else [*_OF_BERT, *_PIECES]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(tokens) + "\n", "utf-8")
    others = []
    if family == "roc_bert":
        # The shapes and the sounds of its tokens.
        for name in ("word_shape.json", "word_pronunciation.json"):
            (folder / name).write_text(json.dumps(_numbered(tokens)), "utf-8")
            others.append(str(folder / name))
    return kind(str(vocabulary), *others)


def put_beside(family: str, folder: Path) -> None:
    """Put a tokenizer of the family's own class beside a model in place of the one that is there.

    Raises:
        ImportError: It needs a package that is not installed.
    """
    for file in folder.glob("*token*"):
        file.unlink()
    tokenizer = own(family, folder)
    tokenizer.model_max_length = min(139, tokenizer.model_max_length)
    tokenizer.save_pretrained(folder)
