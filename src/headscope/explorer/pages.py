"""The page: its parts for the server, or one file that holds a text with heads switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headscope.axes import all_heads, set_name
from headscope.explorer.live import Explorer, Request
from headscope.explorer.shown import Shown
from headscope.explorer.viewed import MODES, Switched, TextsAsked, Viewed
from headscope.names import GIVEN
from headscope.progress import Advance, progress
from headscope.reporting.html import (
    PAGE,
    SHARED,
    environment,
    in_one_scope,
    joined,
    offline_policy,
)
from headscope.reporting.packing import EXACT_CELLS, PackedMap, Packer
from headscope.serving import Part

_OWN = Path(__file__).parent / "page"
_SCRIPTS = {
    SHARED: ("dom.js", "heatmap.js"),
    PAGE: (
        *("text.js", "data.js", "downloads.js", "colourings.js", "view.js", "search.js"),
        *("atlas.js", "card.js", "scrolling.js", "map_data.js", "map_drawing.js", "maps.js"),
    ),
    _OWN: ("asking.js", "answers.js", "switches.js", "look.js"),
}
_STYLES = {
    SHARED: ("colours.css",),
    PAGE: ("page.css", "section.css", "atlas.css", "maps.css"),
    _OWN: ("look.css",),
}


@dataclass(frozen=True)
class HeadsFound:
    """A set of heads that a run has found.

    Attributes:
        title: What it is.
        heads: The heads, by name.
    """

    title: str
    heads: list[str]


@dataclass(frozen=True)
class Beginning:
    """What a page shows first.

    Attributes:
        texts: The texts.
        head: The selected head, as in "L3H10"; "" for the first.
        heads: The heads that are switched off, as in "L1H2,L7H6"; "" for none.
        mode: What they put out.
        found: Sets of heads that runs have found.
    """

    texts: TextsAsked
    head: str = ""
    heads: str = ""
    mode: str = MODES[0]
    found: Sequence[HeadsFound] = ()


@dataclass(frozen=True)
class SavedModel:
    """What a file holds of a model.

    Attributes:
        shown: What the page shows of the texts.
        switched: What the model says with heads off, by the heads.
        maps: The maps of the whole model, by state and example.
    """

    shown: Shown
    switched: dict[str, Switched]
    maps: dict[str, PackedMap]


@dataclass(frozen=True)
class _Start:
    """What the script begins with."""

    models: list[str]
    notes: list[tuple[str, ...]]
    presets: list[HeadsFound]
    first: str
    second: str
    head: str
    heads: str
    mode: str
    token: str
    saved: list[SavedModel] | None


def live_parts(models: Sequence[Viewed], beginning: Beginning, token: str) -> dict[str, Part]:
    """The parts of the page by their paths, for a server.

    Args:
        models: The models.
        beginning: What the page shows first.
        token: What a request must carry.
    """
    start = _start(models, beginning, token, None)
    return {
        "/": Part("text/html", _html(start, policy="", script="", style="")),
        "/page.js": Part("text/javascript", in_one_scope(_SCRIPTS)),
        "/page.css": Part("text/css", joined(_STYLES)),
    }


def saved_page(models: Sequence[Viewed], beginning: Beginning, *, quiet: bool = True) -> str:
    """The page as one file: of one text, with single heads, layers and the heads of the beginning
    switched off, and the sets that runs have found.

    Args:
        models: The models.
        beginning: What the page shows.
        quiet: Whether to show no progress.

    Raises:
        HeadscopeError: The text is empty, too long, or none for a model.
    """
    sets = _sets(models, beginning)
    with progress("switching heads off", len(models) * len(sets), quiet=quiet) as advance:
        saved = [_saved(models, number, beginning, sets, advance) for number in range(len(models))]
    script, style = in_one_scope(_SCRIPTS), joined(_STYLES)
    start = _start(models, beginning, "", saved)
    return _html(start, policy=offline_policy(script, style), script=script, style=style)


def _saved(
    models: Sequence[Viewed],
    number: int,
    beginning: Beginning,
    sets: Sequence[str],
    advance: Advance,
) -> SavedModel:
    explorer = Explorer(models)
    texts = {"first": beginning.texts.first, "second": beginning.texts.second}
    asked = {"model": number, **texts, "mode": beginning.mode}
    switched = {}
    for heads in sets:
        switched[heads] = explorer.switch(Request({**asked, "heads": heads}))
        advance()
    read = explorer.read(number, beginning.texts)
    maps = {f"{GIVEN}/{row}": map_ for row, map_ in enumerate(read.maps)}
    is_exact = sum(map_.size for map_ in maps.values()) <= EXACT_CELLS
    packer = Packer(maps, is_exact=is_exact)
    return SavedModel(
        shown=explorer.show(Request(asked)),
        switched=switched,
        maps={key: packer.packed(key) for key in maps},
    )


def _sets(models: Sequence[Viewed], beginning: Beginning) -> list[str]:
    """The sets of heads that a file holds switched off, those of all models; the first is of none.

    What is switched off is switched off in every model.
    """
    sets = [""]
    for viewed in models:
        every = all_heads(viewed.model.layers, viewed.model.heads)
        sets += map(str, every)
        for layer in range(1, viewed.model.layers + 1):
            sets.append(set_name([head for head in every if head.layer == layer]))
    sets += [",".join(one.heads) for one in beginning.found]
    return list(dict.fromkeys([*sets, beginning.heads]))


def _start(
    models: Sequence[Viewed],
    beginning: Beginning,
    token: str,
    saved: list[SavedModel] | None,
) -> _Start:
    return _Start(
        models=[viewed.model.name for viewed in models],
        notes=[viewed.notes for viewed in models],
        presets=list(beginning.found),
        first=beginning.texts.first,
        second=beginning.texts.second,
        head=beginning.head,
        heads=beginning.heads,
        mode=beginning.mode,
        token=token,
        saved=saved,
    )


def _html(start: _Start, *, policy: str, script: str, style: str) -> str:
    template = environment(_OWN).get_template("look.html.j2")
    return template.render(
        title=" and ".join(start.models),
        start=start,
        policy=policy,
        script=script,
        style=style,
    )
