"""`headscope look`: type a text, see what every head attends to, switch heads off."""

from __future__ import annotations

import secrets
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.axes import check_inside, head_set, set_name
from headscope.commands import options
from headscope.commands.checks import ArgumentError
from headscope.commands.outcome import Outcome, open_page
from headscope.commands.settings import Settings, WordSource, command
from headscope.progress import say, say_notes

if TYPE_CHECKING:
    from headscope.explorer.pages import Beginning
    from headscope.explorer.viewed import Viewed

TEXT = "The nurse thanked the pilot who had flown her home."
"""What the page begins with where no text is given."""
_MOST_TEXTS = 2


@dataclass(frozen=True, kw_only=True)
class Looking(Settings, WordSource):
    """What `headscope look` is asked, but for the texts."""

    command = "look"
    unnamed = "texts"

    texts: options.LookedTexts = ()
    model: options.LookedAt
    beside: options.Beside = None
    kind: options.LookedKind = None
    pool: options.Pooling = None
    prompt: options.Prompt = None
    head: options.SelectedHead = None
    off: options.OffHeads = None
    mode: options.OffMode = "uniform"
    run: options.FoundBy = None
    out: options.LookPage = None
    port: options.Port = 8378
    open: options.OpenBrowser = False


@command(Looking)
def look(asked: Looking) -> Outcome | None:
    """Type a text, see what every head attends to, switch heads off, see what changes.

    A local page, until Ctrl-C; with --out a file instead, which needs no server and no network.

    For example:
    headscope look --model minilm "A man sleeps." "A man naps."
    headscope look --model runs/demo/checkpoint --beside minilm --open
    """
    models = opened(asked)
    beginning = begins(asked, models)
    for viewed in models:
        say_notes(viewed.notes, quiet=asked.quiet)
    if asked.out is not None:
        from headscope.explorer.looked import Looked

        page = Looked(models, beginning, quiet=asked.quiet).save(asked.out)
        return Outcome(page.resolve(), (), open_page(page))
    _serve(asked, models, beginning)
    kept = replace(asked, out=Path("look.html"), open=False).command_line()
    say(f"to keep the page as a file: {kept}", quiet=asked.quiet)
    return None


def opened(asked: Looking) -> list[Viewed]:
    """The models that are looked at."""
    from headscope.commands.session import aligned_words
    from headscope.explorer.opening import Wanted, open_viewed

    wanted = Wanted(asked.kind, asked.pool, asked.prompt)
    source = WordSource(words=asked.words, language=asked.language)
    words_of = partial(aligned_words, source=source, quiet=True)
    names = [asked.model] if asked.beside is None else [asked.model, asked.beside]
    return [open_viewed(name, wanted, words_of) for name in names]


def begins(asked: Looking, models: Sequence[Viewed]) -> Beginning:
    """What the page shows first.

    Raises:
        HeadscopeError: There are more than two texts, a text is empty or too long, or a head does
            not exist.
    """
    from headscope.explorer.found import heads_found
    from headscope.explorer.pages import Beginning
    from headscope.explorer.viewed import TextsAsked

    texts = asked.texts or (TEXT,)
    if len(texts) > _MOST_TEXTS:
        raise ArgumentError(
            f"look shows a text or a pair of texts, got {len(texts)}: put each text into quotes"
        )
    first, second = [*texts, ""][:2]
    head, off = (head_set(heads) if heads else frozenset() for heads in (asked.head, asked.off))
    check_inside(head | off, models[0].model.layers, models[0].model.heads)
    if len(head) > 1:
        raise ArgumentError(f"--head is the head that is shown large, one: got {asked.head}")
    beginning = Beginning(
        texts=TextsAsked(first, second),
        head=set_name(head),
        heads=set_name(off),
        mode=asked.mode,
        found=[] if asked.run is None else heads_found(asked.run),
    )
    # What is wrong with a text is said at once, not on the page.
    for viewed in models:
        viewed.read(beginning.texts)
    return beginning


def _serve(asked: Looking, models: Sequence[Viewed], beginning: Beginning) -> None:
    """Serve the page until Ctrl-C."""
    from headscope.explorer.live import MOST_CHARACTERS, Explorer
    from headscope.explorer.pages import live_parts
    from headscope.serving import LocalServer

    token = secrets.token_urlsafe(16)
    server = LocalServer(
        live_parts(models, beginning, token),
        Explorer(models).answers,
        token=token,
        port=asked.port,
        # A character has up to twelve bytes in JSON; heads and the like have room beside the texts.
        most_bytes=12 * _MOST_TEXTS * MOST_CHARACTERS + 2**16,
    )
    try:
        say(f"the page is at {server.url} (Ctrl-C ends)", quiet=asked.quiet)
        if asked.open:
            webbrowser.open(server.url)
        server.serve_forever()
    except KeyboardInterrupt:
        say("stopped", quiet=asked.quiet)
    finally:
        server.close()
