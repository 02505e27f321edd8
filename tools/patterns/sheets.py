"""Sheets of maps for annotators who label by look: PNGs of twelve, with nothing that tells where a
map came from.
"""

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vl_convert as vlc
from jaxtyping import Float

from headscope.annotation.records import AnnotatedMap

ACROSS, DOWN = 4, 3
MAP, BARS = 300, 46
"""The largest side of a map and the length of the bars, in pixels."""
_WIDTH, _HEIGHT, _LEFT, _TOP = 390, 394, 22, 76
AGREES = 0.4
"""Where the dashed line beside the rows stands, as a distance from the mean row."""
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5)
_SPECIAL, _BORDER, _STANDS_OUT, _OTHER, _ROW = "#d22020", "#2a6fe0", "#222", "#aaa", "#7a5a9a"


@dataclass(frozen=True)
class Cell:
    """A map of a sheet: its number, and a line that is shown beside the number (what two passes
    said, where they are settled).
    """

    index: int
    map: AnnotatedMap
    said: str = ""


def column_shares(weights: Float[np.ndarray, "query key"]) -> Float[np.ndarray, " key"]:
    """The share of the map's mass that each column has: the mean row."""
    return np.asarray(weights.mean(0))


def row_distances(weights: Float[np.ndarray, "query key"]) -> Float[np.ndarray, " query"]:
    """How far each row lies from the mean row: the total variation distance, 0 to 1.

    >>> row_distances(np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([0.5, 0.5])
    """
    return np.asarray(np.abs(weights - column_shares(weights)).sum(1) / 2)


def write_sheets(cells: Sequence[Cell], folder: Path) -> int:
    """Write sheet-001.png and so on in the order of the cells; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    size = ACROSS * DOWN
    starts = range(0, len(cells), size)
    for number, start in enumerate(starts, 1):
        svg = _sheet(cells[start : start + size])
        (folder / f"sheet-{number:03}.png").write_bytes(vlc.svg_to_png(svg, scale=1))
    return len(starts)


def _sheet(cells: Sequence[Cell]) -> str:
    parts = ['<rect width="100%" height="100%" fill="white"/>']
    for number, cell in enumerate(cells):
        row, column = divmod(number, ACROSS)
        x, y = column * _WIDTH, row * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{"".join(_picture(cell))}</g>')
    size = f'width="{ACROSS * _WIDTH}" height="{DOWN * _HEIGHT + 6}"'
    font = 'font-family="Liberation Sans, Arial, sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{"".join(parts)}</svg>'


def _picture(cell: Cell) -> Iterator[str]:
    """One map with its title, the bars over its columns and those beside its rows."""
    tokens = len(cell.map.segments)
    # Whole pixels a cell, so that no line is blurred or thicker than its neighbour.
    size = MAP // tokens
    side = size * tokens
    kind = "pair" if cell.map.is_pair else "single text"
    strongest = f"highest bar {column_shares(cell.map.weights).max():.2f}"
    title = ", ".join(filter(None, [f"{tokens} tokens", kind, strongest, cell.said]))
    yield (
        f'<text x="{_LEFT}" y="17"><tspan font-size="17" font-weight="bold">{cell.index}</tspan>'
        f'<tspan font-size="12" fill="#444" dx="8">{title}</tspan></text>'
    )
    yield f'<g transform="translate({_LEFT} {_TOP})">'
    pixels = _png(cell.map.weights, size)
    yield f'<image width="{side}" height="{side}" href="data:image/png;base64,{pixels}"/>'
    frame = f'width="{side + 1}" height="{side + 1}" fill="none" stroke="#999"'
    yield f'<rect x="-0.5" y="-0.5" {frame}/>'
    yield from _marks(cell.map, size)
    yield from _column_bars(column_shares(cell.map.weights), size)
    yield from _row_bars(row_distances(cell.map.weights), size)
    yield "</g>"


def _marks(shown: AnnotatedMap, size: int) -> Iterator[str]:
    """Red for special tokens, a dashed blue line between the texts."""
    for position, special in enumerate(shown.special):
        if special:
            yield _rectangle(position * size, -5, size, 4, _SPECIAL)
            yield _rectangle(-6, position * size, 4, size, _SPECIAL)
    if shown.is_pair:
        border, side = shown.segments.index(1) * size, len(shown.segments) * size
        path = f"M{border} 0v{side}M0 {border}h{side}"
        yield f'<path d="{path}" fill="none" stroke="{_BORDER}" stroke-dasharray="4 4"/>'


def _column_bars(shares: Float[np.ndarray, " key"], size: int) -> Iterator[str]:
    """The columns' shares, up to the largest; dashed: twice what each would have if all had the
    same.
    """
    tokens, largest = len(shares), float(shares.max())
    base, side = -8, tokens * size
    line = 2 / tokens
    scale = BARS / max(largest, line)
    # At most five lines of the scale.
    step = next((tick for tick in _TICKS if max(largest, line) / tick < 5.5), _TICKS[-1])
    for tick in np.arange(step, max(largest, line) + 1e-9, step):
        y = base - tick * scale
        yield f'<path d="M0 {y:.1f}h{side}" stroke="#ddd"/>'
        yield _text(side + 4, y + 3, f"{tick:.2f}")
    for position, share in enumerate(shares.tolist()):
        colour = _STANDS_OUT if share > line else _OTHER
        gap = 1 if size > 3 else 0
        height = share * scale
        yield _rectangle(position * size, base - height, size - gap, height, colour)
    y = base - line * scale
    yield f'<path d="M0 {y:.1f}h{side}" stroke="#c05000" stroke-dasharray="5 3"/>'


def _row_bars(distances: Float[np.ndarray, " query"], size: int) -> Iterator[str]:
    """The rows' distances from the mean row, 0 to 1; dashed: AGREES."""
    side = len(distances) * size
    start = side + 6
    for position, distance in enumerate(distances.tolist()):
        gap = 1 if size > 3 else 0
        yield _rectangle(start, position * size, distance * BARS, size - gap, _ROW)
    yield f'<path d="M{start} 0v{side}M{start + BARS} 0v{side}" stroke="#ccc"/>'
    x = start + AGREES * BARS
    yield f'<path d="M{x} 0v{side}" stroke="#c05000" stroke-dasharray="5 3"/>'
    for value in (0, AGREES, 1):
        yield _text(start + value * BARS - 3, side + 11, f"{value:g}")


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    size = f'width="{width:.2f}" height="{height:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} fill="{colour}"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" fill="#666">{text}</text>'


def _png(weights: Float[np.ndarray, "query key"], size: int) -> str:
    """The map in linear grey, black for its largest weight, as a PNG in base64."""
    grey = np.rint(255 * (1 - weights / weights.max())).astype(np.uint8)
    pixels = np.kron(grey, np.ones((size, size), np.uint8))
    side = len(pixels)
    # Each line of a PNG begins with the number of its filter: none.
    lines = np.concatenate([np.zeros((side, 1), np.uint8), pixels], 1)
    content = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes())),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in content:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        png += struct.pack(">I", len(data)) + name + data + checksum
    return base64.b64encode(png).decode()
