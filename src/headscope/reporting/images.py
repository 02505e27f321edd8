"""A figure on the page: an SVG in a data address, which needs no network and can run nothing."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from headscope.figures.catalogue import Drawing
from headscope.figures.published import PAPER
from headscope.figures.rendering import size_of
from headscope.reporting.payload import embedded

_STYLE = (
    "<style>.c{stroke:#d0d0d0;stroke-width:.5}@media (prefers-color-scheme:dark)"
    "{svg>rect:first-of-type{fill:none}text{fill:#eee}"
    '[stroke="#333333"],[stroke="#111111"]{stroke:#ddd}[fill="#333333"],[fill="#111111"]{fill:#ddd}'
    '[stroke="#808080"]{stroke:#999}}</style>'
)
"""The line of a cell; and where the reader's system asks for dark, texts and lines turn light."""
_CODES = (
    ("%", "%25"),
    ("#", "%23"),
    ('"', "%22"),
    ("\n", "%0A"),
    ("&", "&amp;"),
)
"""Characters that could end the attribute, the address or a reference in it."""


@dataclass(frozen=True)
class Image:
    """A figure for the template."""

    name: str
    image: Markup
    width: str
    height: str
    number: str
    """Which of the paper's figures it is, in a run of the paper; empty in others."""
    title: str
    beside: str
    save: str
    """What the script of the page saves beside it, as JSON."""


def image(drawing: Drawing, *, is_numbered: bool) -> Image:
    """A figure for the template; in a run of the paper with the number that it has there."""
    figure = drawing.figure
    picture = compact(drawing.svg())
    width, height = size_of(picture)
    return Image(
        name=figure.name,
        image=data_address(picture),
        width=f"{width:g}",
        height=f"{height:g}",
        number=f"{figure.number} of {PAPER}" if is_numbered and figure.number else "",
        title=figure.title,
        beside=drawing.beside,
        save=embedded({"name": figure.name, "table": figure.table, "where": drawing.where}),
    )


def compact(picture: str) -> str:
    """An SVG with what repeats said once, and a style for dark pages."""
    text = re.sub(r"<path[^>]*>", _shorter, picture)
    start = text.index(">") + 1
    return f"{text[:start]}{_STYLE}{text[start:]}"


def _shorter(path: re.Match[str]) -> str:
    """A path with the line of a cell by its class, colours in hexadecimal, and two decimals."""
    text = path[0].replace(' stroke="#d0d0d0" stroke-width="0.5"', ' class="c"')
    text = re.sub(r"rgb\((\d+), (\d+), (\d+)\)", _hexadecimal, text)
    return re.sub(r"(\.\d\d)\d+", r"\1", text)


def _hexadecimal(colour: re.Match[str]) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour.groups())


def data_address(picture: str) -> Markup:
    """An SVG as the address of an image, for an attribute in double quotes.

    What could end the attribute, the address or a reference in it is written as its code: a quarter
    shorter than base64.
    """
    text = re.sub(r"<[^<>']*>", lambda tag: tag[0].replace('"', "'"), picture)
    for character, code in _CODES:
        text = text.replace(character, code)
    return Markup("data:image/svg+xml,") + Markup(text)  # noqa: S704 - see above
