"""What must hold of a tokenizer: it is the model's own as far as that shows, and it marks the
beginning and the end of a text where the measures look for them.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from headscope.errors import HeadscopeError, refusing
from headscope.model.encoding import Encoded
from headscope.model.tokenized import cls_place, tokenized

MANY_UNKNOWN, MOST_UNKNOWN = 0.05, 0.5
"""Which share of unknown tokens is a note, and which an error."""
_CLS_NOT_FIRST = ("t5", "mt5", "umt5", "xlnet")
"""Families whose texts have no [CLS], or have it at their end. In others that is a wrong tokenizer,
with which a classifier would read a word.
"""
_TEXTS = ("The nurse thanked the pilot.", "Two sailors rowed back.")


def check_tokenizer(
    name: str, tokenizer: PreTrainedTokenizerBase, hf: PreTrainedModel, folder: Path
) -> tuple[str, ...]:
    """Refuse a tokenizer that cannot be the model's, and let it cut texts at their end.

    Args:
        name: The model as the user named it.
        tokenizer: Its tokenizer.
        hf: The model.
        folder: Where its files are.

    Returns:
        What the user must know.

    Raises:
        HeadscopeError: It has no vocabulary, more tokens than the model has embeddings, or special
            tokens elsewhere than the measures look for them.
    """
    vocabulary = tokenizer.get_vocab()
    if not set(vocabulary) - set(tokenizer.all_special_tokens):
        raise HeadscopeError(
            f"the tokenizer of {name!r} has no vocabulary, so every word would be unknown: put the "
            "model's own tokenizer files (tokenizer.json, or vocab.txt and the like) beside its "
            "weights"
        )
    embeddings: Any = hf.get_input_embeddings()
    rows = len(embeddings.weight)
    largest = max(vocabulary.values())
    if largest >= rows:
        raise HeadscopeError(
            f"the tokenizer of {name!r} numbers its tokens up to {largest}, but the model has "
            f"embeddings for {rows}, numbered from 0: put the model's own tokenizer files beside "
            "its weights"
        )
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float):
        raise HeadscopeError(
            f"the tokenizer of {name!r} has the model_max_length {limit!r}: expected a number of "
            "tokens, correct it in tokenizer_config.json"
        )
    _check_special_tokens(name, tokenizer, str(hf.config.model_type))
    _check_added(name, tokenizer, folder)
    return (
        *_cls_note(tokenizer),
        *_cut_note(tokenizer),
        *_padding_note(tokenizer, hf),
        *_types_note(tokenizer, hf),
    )


def _cls_note(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    if cls_place(tokenizer) is not None:
        return ()
    return (
        "the tokenizer gives a text no [CLS], so measures of attention to or from it have no value",
    )


def _cut_note(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Let it cut texts at their end, and say so where it would not."""
    if tokenizer.truncation_side == "right":
        return ()
    # For whoever calls it: `encoding.encode` cuts at the end by itself.
    tokenizer.truncation_side = "right"
    return (
        "the tokenizer asks to cut long texts at their beginning; headscope cuts them at their end",
    )


def _padding_note(tokenizer: PreTrainedTokenizerBase, hf: PreTrainedModel) -> tuple[str, ...]:
    """A note on another padding token than the model's: RoBERTa's kin count positions by it."""
    expected = getattr(hf.config, "pad_token_id", None)
    if expected is None or expected == tokenizer.pad_token_id:
        return ()
    return (
        f"the tokenizer pads with token {tokenizer.pad_token_id} ({tokenizer.pad_token!r}), the "
        f"model's config.json says {expected}: one of the two may be another model's",
    )


def _types_note(tokenizer: PreTrainedTokenizerBase, hf: PreTrainedModel) -> tuple[str, ...]:
    """A note where the model tells the texts of a pair apart and the tokenizer does not."""
    types = int(getattr(hf.config, "type_vocab_size", 0) or 0)
    if types < 2 or "token_type_ids" in tokenizer.model_input_names:
        return ()
    return (
        f"the model has {types} types of tokens, its tokenizer gives none: both texts of a pair "
        "are taken as its first (model_input_names in tokenizer_config.json)",
    )


def _check_special_tokens(name: str, tokenizer: PreTrainedTokenizerBase, family: str) -> None:
    """One special token ([CLS]) before a text, or in some families none, and one or more ([SEP])
    after each.
    """
    with refusing(
        f"the tokenizer of {name!r} cannot read a text and a pair of texts",
        "use a model whose tokenizer does",
    ):
        (single,) = tokenized([_TEXTS[0]], None, tokenizer)
        (pair,) = tokenized([_TEXTS[0]], [_TEXTS[1]], tokenizer)
    for tokens in (single, pair):
        is_first = tokens.texts[0] is None
        if not _is_marked(tokens.texts) or not (is_first or family in _CLS_NOT_FIRST):
            raise HeadscopeError(
                f"the tokenizer of {name!r} does not put one special token before a text and one "
                "after each text of a pair, as [CLS] a [SEP] b [SEP], so attention to [CLS] and "
                "[SEP] would be that to words: use the tokenizer that the model was trained with"
            )


def _check_added(name: str, tokenizer: Any, folder: Path) -> None:
    """Refuse special tokens that transformers made up, with embeddings that nobody trained: it does
    so where tokenizer_config.json does not say what they are called.
    """
    special = (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token)
    if tokenizer.is_fast:
        vocabulary = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False)
    else:
        vocabulary = tokenizer.vocab_size
    numbers = tokenizer.get_vocab()
    added = {token for token in special if token and numbers.get(token, 0) >= vocabulary}
    file = folder / ("tokenizer.json" if tokenizer.is_fast else "tokenizer_config.json")
    if not added or not file.is_file():
        return
    with refusing(f"the tokenizer of {name!r} cannot be loaded"):
        content = json.loads(file.read_text("utf-8"))
        if tokenizer.is_fast:
            listed = content["added_tokens"]
        else:
            listed = content.get("added_tokens_decoder", {}).values()
        known = {token["content"] for token in listed}
    if made_up := sorted(added - known):
        raise HeadscopeError(
            f"the tokenizer of {name!r} has no {', '.join(made_up)} in its {file.name}: put the "
            "tokenizer_config.json that belongs to it beside it"
        )


def _is_marked(sequences: Sequence[int | None]) -> bool:
    """Whether the text of every token (None: special) goes [CLS] a [SEP] or [CLS] a [SEP] b
    [SEP], with or without [CLS].
    """
    # Without repetitions: what stands beside what.
    order = [text for text, _ in groupby(sequences)]
    if order[:1] == [None]:
        order = order[1:]
        # One before the text.
        if sequences[1] is None:
            return False
    return order in ([0, None], [0, None, 1, None])


def unknown_note(encoded: Encoded, split: str) -> tuple[str, ...]:
    """A note on the tokens that the tokenizer does not know, if there are many.

    Raises:
        HeadscopeError: It does not know most of them.
    """
    if encoded.unknown > MOST_UNKNOWN:
        raise HeadscopeError(
            f"the tokenizer does not know {encoded.unknown:.0%} of the tokens of the {split} "
            "examples, so it is not for these texts or not the model's own: use a model of their "
            "language, or put the model's own tokenizer files beside its weights"
        )
    if encoded.unknown <= MANY_UNKNOWN:
        return ()
    return (
        f"the tokenizer does not know {encoded.unknown:.0%} of the tokens of the {split} examples",
    )


def unplaced_note(encoded: Encoded, split: str) -> tuple[str, ...]:
    """A note on the examples whose tokens were not found in their texts, if there are any."""
    count = len(encoded.unplaced)
    if not count:
        return ()
    return (
        f"the tokenizer does not say where its tokens stand, and those of {count} of "
        f"{len(encoded)} {split} examples match their texts in no way or in several: measures that "
        "look at words leave these examples out",
    )


def number_alike(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give the same numbers to the same tokens."""
    return bool(first.get_vocab() == second.get_vocab())
