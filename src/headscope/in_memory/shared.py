"""What the functions on texts in memory share: their model, their texts, their frames."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from headscope.commands.given import asked_of
from headscope.commands.session import cut_note
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.texts import Texts, split_of
from headscope.progress import say_notes
from headscope.results.run import typed_frame


def model_of(name: str, given: object) -> Model:
    """The model itself, or the one that a name, a path or a run leads to."""
    if isinstance(given, Model):
        return given
    (path,) = asked_of("", [name], {name: given}).values()
    return load(str(path))


def encoded_texts(model: Model, texts: Texts, max_length: int) -> tuple[Split, Encoded]:
    """The texts as examples, and as token ids; says what was cut."""
    split = split_of(texts)
    encoded = encode(split, model.tokenizer, min(max_length, model.max_length))
    say_notes(cut_note(encoded, "text"))
    return split, encoded


def frame(table: str, rows: Sequence[Any]) -> pl.DataFrame:
    """Rows as a table of docs/tables.md, without the model and the task."""
    if not rows:
        raise HeadscopeError("no text has what these measures look at: choose other measures")
    return typed_frame(table, rows)
