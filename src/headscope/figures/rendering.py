"""Charts as SVG, and SVG as a file: SVG, PDF or PNG, without a network.

A chart is laid out once, into SVG; PDF and PNG are made from that.
"""

import re
from pathlib import Path
from typing import Any

from headscope.errors import HeadscopeError

_SIZE = r'width="([\d.]+)" height="([\d.]+)"'


def svg(chart: Any) -> str:
    """A chart as SVG."""
    import altair as alt
    import vl_convert as vlc

    # Altair refuses data of more than 5,000 rows, which a map of a long text has.
    with alt.data_transformers.disable_max_rows():
        layout = chart.to_json(indent=None)
    return str(vlc.vegalite_to_svg(layout))


def save(chart: Any, path: Path) -> Path:
    """Write a chart as `.svg`, `.pdf` or `.png`, by the suffix of `path`. Returns `path`.

    Raises HeadscopeError for another suffix.
    """
    return write(svg(chart), Path(path))


def write(picture: str, path: Path, width: float | None = None) -> Path:
    """Write an SVG as `.svg`, `.pdf` or `.png` (300 dots an inch), by the suffix of `path`.

    Args:
        picture: The SVG.
        path: Where to; its folder is made where it is missing.
        width: What to scale it to, in points; by default a pixel becomes a point.

    Returns:
        `path`.

    Raises:
        HeadscopeError: For another suffix.
    """
    import vl_convert as vlc

    match path.suffix.lower():
        case ".svg":
            content = (picture if width is None else _scaled(picture, width, "pt")).encode()
        case ".pdf":
            # There a pixel is a point.
            content = vlc.svg_to_pdf(picture if width is None else _scaled(picture, width, ""))
        case ".png":
            sized = picture if width is None else _scaled(picture, width, "")
            content = vlc.svg_to_png(sized, ppi=300)
        case suffix:
            raise HeadscopeError(
                f"a figure cannot be written as {suffix or 'a file without a suffix'}: use .svg, "
                ".png or .pdf"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def size_of(picture: str) -> tuple[float, float]:
    """Width and height of an SVG, in pixels."""
    size = re.search(_SIZE, picture)
    return (float(size[1]), float(size[2])) if size else (0.0, 0.0)


def _scaled(picture: str, width: float, unit: str) -> str:
    drawn, height = size_of(picture)
    size = f'width="{width:g}{unit}" height="{height * width / drawn:g}{unit}"'
    return re.sub(_SIZE, size, picture, count=1)
