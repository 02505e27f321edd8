"""Draw annotated maps for docs/patterns.md, docs/images/{patterns,borders}.png: python
tools/pattern_pictures.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vl_convert as vlc

from headscope.annotation.records import AnnotatedMap, Labels, read_maps
from headscope.names import CLASSES

ROOT = Path(__file__).parents[1]
SIDE, GAP, TITLE = 150, 26, 34
_LENGTHS = range(20, 52)
_FIRST_PASSES = (1, 2)


@dataclass(frozen=True)
class Cell:
    """A map with what stands over it, in bold and below."""

    map: AnnotatedMap
    title: str
    under: str = ""


def picture(cell: Cell, x: float, y: float) -> str:
    """One map as SVG: black is its largest weight; red marks [CLS] and [SEP], blue the border
    between the texts.
    """
    weights, special = cell.map.weights, cell.map.special
    n = len(special)
    size = SIDE / n
    shades = 1 - weights / weights.max()
    parts = [
        f'<text x="{x}" y="{y - 18}" font-size="12" font-weight="bold">{cell.title}</text>',
        f'<text x="{x}" y="{y - 6}" font-size="9" fill="#444">{cell.under}</text>',
    ]
    for row, column in np.argwhere(shades < 0.99).tolist():
        grey = round(255 * shades[row, column])
        place = f'x="{x + column * size:.2f}" y="{y + row * size:.2f}"'
        extent = f'width="{size:.2f}" height="{size:.2f}"'
        parts.append(f'<rect {place} {extent} fill="rgb({grey},{grey},{grey})"/>')
    for token in np.flatnonzero(special).tolist():
        along = token * size
        parts.append(rectangle(x + along, y - 4, size, 3, 'fill="#d22020"'))
        parts.append(rectangle(x - 4, y + along, 3, size, 'fill="#d22020"'))
    if cell.map.is_pair:
        border = cell.map.segments.index(1) * size
        dash = 'stroke="#2a6fe0" stroke-dasharray="3 3"'
        parts.append(f'<path d="M{x + border} {y}v{SIDE}M{x} {y + border}h{SIDE}" {dash}/>')
    parts.append(rectangle(x, y, SIDE, SIDE, 'fill="none" stroke="#999"'))
    return "".join(parts)


def rectangle(x: float, y: float, width: float, height: float, look: str) -> str:
    """A rectangle as SVG."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" {look}/>'


def sheet(cells: list[Cell], columns: int, path: Path) -> None:
    """Several maps in a grid, as PNG."""
    rows = -(-len(cells) // columns)
    width, height = columns * (SIDE + GAP) + GAP, rows * (SIDE + TITLE + 10) + 10
    pictures = []
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        x, y = GAP + column * (SIDE + GAP), TITLE + row * (SIDE + TITLE + 10)
        pictures.append(picture(cell, x, y))
    style = 'font-family="Liberation Sans, Arial, sans-serif"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(pictures)}</svg>'
    )
    path.write_bytes(vlc.svg_to_png(svg, scale=1.4))


def clear_cases(maps: dict[str, AnnotatedMap], labels: Labels) -> list[Cell]:
    """Three maps of every class, of different heads, that nobody doubted."""
    settled = labels.settled()
    doubted = {line.map for line in labels.lines if line.note}
    doubted |= {line.map for line in labels.lines if line.label != settled.get(line.map)}
    cells = []
    for name in CLASSES:
        by_head = {
            f"{annotated.family}{annotated.head.head}": Cell(
                annotated, name, f"{annotated.model} {annotated.head}, {annotated.source}"
            )
            for key, annotated in maps.items()
            if settled.get(key) == name
            and key not in doubted
            and is_shown(annotated)
            and annotated.is_pair
        }
        cells += list(by_head.values())[:3]
    return cells


def border_cases(maps: dict[str, AnnotatedMap], labels: Labels) -> list[Cell]:
    """Maps that the first two passes labelled differently, one of each kind of difference."""
    settled = labels.settled()
    by_map: dict[str, set[str]] = {}
    for line in labels.lines:
        if line.round in _FIRST_PASSES:
            by_map.setdefault(line.map, set()).add(line.label)
    cells: dict[tuple[str, str], Cell] = {}
    for key, seen in sorted(by_map.items()):
        if key in settled and len(seen) > 1 and is_shown(maps[key]):
            was = " / ".join(sorted(seen))
            cells.setdefault((settled[key], was), Cell(maps[key], settled[key], f"was {was}"))
    return list(cells.values())


def is_shown(annotated: AnnotatedMap) -> bool:
    """Whether a map is of a length that can be looked at in a small picture."""
    return len(annotated.segments) in _LENGTHS


def main() -> None:
    """Clear cases of every class, and maps that two passes labelled differently."""
    maps = {annotated.id: annotated for annotated in read_maps(ROOT / "annotations")}
    labels = Labels(ROOT / "annotations")
    images = ROOT / "docs" / "images"
    sheet(clear_cases(maps, labels), 3, images / "patterns.png")
    sheet(border_cases(maps, labels)[:9], 3, images / "borders.png")


if __name__ == "__main__":
    main()
