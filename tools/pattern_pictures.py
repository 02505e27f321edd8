"""Draw annotated maps for docs/patterns.md, docs/images/{patterns,borders}.png: python
tools/pattern_pictures.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import vl_convert as vlc

from headscope.annotation.records import BLIND, LATER, AnnotatedMap, Label, Labels, read_maps
from headscope.names import CLASSES

ROOT = Path(__file__).parents[1]
SIDE, GAP, TITLE = 150, 26, 34
COLUMNS = 3
_LENGTHS = range(20, 52)
_PALEST = 0.01  # of the largest weight: paler cells are not drawn
_SPECIAL = "#d22020"


@dataclass(frozen=True)
class Cell:
    """A map in a sheet, with its title and a line below that."""

    map: AnnotatedMap
    title: str
    below: str


def picture(cell: Cell, x: float, y: float) -> str:
    """One map as SVG: black is its largest weight; red marks [CLS] and [SEP], blue the border
    between the texts.
    """
    parts = [
        f'<text x="{x}" y="{y - 18}" font-size="12" font-weight="bold">{cell.title}</text>',
        f'<text x="{x}" y="{y - 6}" font-size="9" fill="#444">{cell.below}</text>',
        *_weights(cell.map, x, y),
    ]
    size = SIDE / len(cell.map.segments)
    for position, special in enumerate(cell.map.special):
        if special:
            along = position * size
            parts.append(_rectangle(x + along, y - 4, size, 3, _SPECIAL))
            parts.append(_rectangle(x - 4, y + along, 3, size, _SPECIAL))
    if cell.map.is_pair:
        border = cell.map.segments.index(1) * size
        dash = 'stroke="#2a6fe0" stroke-dasharray="3 3"'
        parts.append(f'<path d="M{x + border} {y}v{SIDE}M{x} {y + border}h{SIDE}" {dash}/>')
    frame = f'width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"'
    parts.append(f'<rect x="{x}" y="{y}" {frame}/>')
    return "".join(parts)


def _weights(map_: AnnotatedMap, x: float, y: float) -> Iterator[str]:
    weights, tokens = map_.weights, len(map_.segments)
    size = SIDE / tokens
    largest = float(weights.max())
    for query in range(tokens):
        for key in range(tokens):
            darkness = weights[query, key] / largest
            if darkness > _PALEST:
                grey = round(255 * (1 - darkness))
                colour = f"rgb({grey},{grey},{grey})"
                yield _rectangle(x + key * size, y + query * size, size, size, colour)


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    size = f'width="{width:.2f}" height="{height:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} fill="{colour}"/>'


def sheet(cells: Sequence[Cell | None], path: Path) -> None:
    """Several maps in a grid, as PNG."""
    across, down = SIDE + GAP, SIDE + TITLE + 10
    rows = -(-len(cells) // COLUMNS)
    parts = ['<rect width="100%" height="100%" fill="white"/>']
    for number, cell in enumerate(cells):
        row, column = divmod(number, COLUMNS)
        if cell is not None:
            parts.append(picture(cell, GAP + column * across, TITLE + row * down))
    size = f'width="{COLUMNS * across + GAP}" height="{rows * down + 10}"'
    font = 'font-family="Liberation Sans, Arial, sans-serif"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{"".join(parts)}</svg>'
    path.write_bytes(vlc.svg_to_png(svg, scale=1.4))


def clear_cases(maps: list[AnnotatedMap], labels: Labels) -> Iterator[Cell | None]:
    """Of every class up to three maps of pairs, of different heads, that all agree on."""
    settled, lines = labels.settled(), _by_map(labels)
    for name in CLASSES:
        by_head = {}
        for map_ in maps:
            if settled.get(map_.id) != name or not map_.is_pair:
                continue
            blind = _newest(lines[map_.id])
            is_clear = all(line.label == name and not line.note for line in blind)
            if is_clear and len(map_.segments) in _LENGTHS:
                by_head[map_.family, map_.head.head] = map_
        shown = list(by_head.values())[:COLUMNS]
        for map_ in shown:
            yield Cell(map_, name, f"{map_.model} {map_.head}, {map_.source}")
        # A row a class.
        yield from [None] * (COLUMNS - len(shown))


def border_cases(maps: list[AnnotatedMap], labels: Labels) -> Iterator[Cell]:
    """Maps that two passes labelled differently, one for every pair of old and settled labels."""
    settled, lines = labels.settled(), _by_map(labels)
    seen = set()
    for map_ in sorted(maps, key=lambda map_: map_.id):
        if map_.id not in settled or len(map_.segments) not in _LENGTHS:
            continue
        blind = {line.label for line in _newest(lines[map_.id])}
        was = " / ".join(sorted(blind))
        name = settled[map_.id]
        if len(blind) > 1 and (name, was) not in seen:
            seen.add((name, was))
            yield Cell(map_, name, f"was {was}")


def _newest(lines: list[Label]) -> list[Label]:
    """The blind labels under the guide as it stands, where there are any, else those of before."""
    later = [line for line in lines if line.round in LATER[:2]]
    return later or [line for line in lines if line.round in BLIND]


def _by_map(labels: Labels) -> dict[str, list[Label]]:
    lines: dict[str, list[Label]] = {}
    for line in labels.lines:
        lines.setdefault(line.map, []).append(line)
    return lines


def main() -> None:
    """Clear cases of every class, and maps that two passes labelled differently."""
    folder, images = ROOT / "annotations", ROOT / "docs" / "images"
    maps, labels = read_maps(folder), Labels(folder)
    sheet(list(clear_cases(maps, labels)), images / "patterns.png")
    sheet(list(border_cases(maps, labels))[:9], images / "borders.png")


if __name__ == "__main__":
    main()
