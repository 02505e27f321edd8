"""What is wrong with a command line, in one sentence that says what to write instead."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from headscope.commands.settings import Settings, arguments, flag

_MEANINGS: Mapping[str, str] = {
    "task": "a task",
    "model": "a model",
    "before": "the model before fine-tuning",
    "after": "the fine-tuned model",
    "corpus": "a corpus",
    "out": "the folder of the results",
}
"""What is often written without its option, by the option's name."""
_LONGEST = 60


def parse_mistake(error: CycloptsError) -> str:
    """What is wrong with a command line.

    Args:
        error: What the parser raised.
    """
    unread = list(error.unused_tokens or ())
    if isinstance(error, UnusedCliTokensError | MissingArgumentError) and unread:
        # In front of the first option nothing but a word without one can stand.
        is_unnamed = isinstance(error, UnusedCliTokensError) or not unread[0].startswith("-")
        if is_unnamed and (said := _unnamed(error, unread[0])):
            return said
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        names = [name for name in error.argument.names if name in unread]
        if names:
            return (
                f"{names[0]} needs a value behind it: {_command(error)} --help says which it takes"
            )
        if "Did you mean" not in str(error):
            return _missing(error, error.root_input_tokens or ())
    return str(error)


def _command(error: CycloptsError) -> str:
    return " ".join(["headscope", *(error.command_chain or ())])


def _settings(error: CycloptsError) -> type[Settings] | None:
    """The settings of the command; None of one that has none."""
    return getattr(error.target, "settings", None)


def _unnamed(error: CycloptsError, word: str) -> str:
    """What a word without an option may be meant for; "" where the command has no such option."""
    settings = _settings(error)
    known = () if settings is None else arguments(settings)
    options = [name for name in _likely(word) if name in known]
    if not options:
        return ""
    shown = word if len(word) <= _LONGEST else f"{word[:_LONGEST]}..."
    first, *others = options[:2]
    line = f"{_command(error)} {flag(first)} {shlex.quote(shown)}"
    sentence = (
        f"{shown!r} stands without an option: {_MEANINGS[first]} goes with {flag(first)}, as in "
        f"{line}"
    )
    for name in others:
        sentence += f", and {_MEANINGS[name]} with {flag(name)}"
    return f"{sentence} (what has spaces stands in quotes)" if others else sentence


def _likely(word: str) -> Sequence[str]:
    """The options that a word may be meant for, the likeliest first."""
    if word == "minilm" or (Path(word) / "config.json").is_file():
        return ("model", "before", "after", "task", "corpus", "out")
    return ("task", "corpus", "model", "before", "after", "out")


def _missing(error: MissingArgumentError, words: Sequence[str]) -> str:
    """Which options must be given, and are not."""
    settings = _settings(error)
    if settings is None:
        return str(error)
    needed = []
    for name, field in arguments(settings).items():
        is_given = any(word == flag(name) or word.startswith(f"{flag(name)}=") for word in words)
        if field.default is MISSING and not is_given:
            needed.append(flag(name))
    if not needed:
        return str(error)
    command = _command(error)
    listed = " and ".join(filter(None, (", ".join(needed[:-1]), needed[-1])))
    named = command.removeprefix("headscope ")
    return f"{named} needs {listed}: {command} --help shows two examples"
