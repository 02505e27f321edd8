"""Draw annotated maps for docs/patterns.md, docs/images/{patterns,borders}.png: python
tools/pattern_pictures.py.
"""

from pathlib import Path

import vl_convert as vlc

from headscope.annotation.records import AnnotatedMap, Labels, read_maps
from headscope.names import CLASSES

ROOT = Path(__file__).parents[1]
SIDE, GAP, TITLE = 150, 26, 34
_LENGTHS = range(20, 52)


def picture(one: AnnotatedMap, x: float, y: float, title: str, under: str = "") -> str:
    """One map as SVG: black is its largest weight; red marks [CLS] and [SEP], blue the border
    between the texts.
    """
    weights, n = one.weights, len(one.segments)
    cell = SIDE / n
    parts = [
        f'<text x="{x}" y="{y - 18}" font-size="12" font-weight="bold">{title}</text>',
        f'<text x="{x}" y="{y - 6}" font-size="9" fill="#444">{under}</text>',
    ]
    top = float(weights.max())
    for i in range(n):
        for j in range(n):
            if (dark := weights[i, j] / top) > 0.01:
                grey = round(255 * (1 - dark))
                place = f'x="{x + j * cell:.2f}" y="{y + i * cell:.2f}" width="{cell:.2f}" height="{cell:.2f}"'
                parts.append(f'<rect {place} fill="rgb({grey},{grey},{grey})"/>')
    for i, special in enumerate(one.special):
        if special:
            parts.append(
                f'<rect x="{x + i * cell}" y="{y - 4}" width="{cell}" height="3" fill="#d22020"/>'
            )
            parts.append(
                f'<rect x="{x - 4}" y="{y + i * cell}" width="3" height="{cell}" fill="#d22020"/>'
            )
    if one.is_pair:
        at = one.segments.index(1) * cell
        dash = 'stroke="#2a6fe0" stroke-dasharray="3 3"'
        parts.append(f'<path d="M{x + at} {y}v{SIDE}M{x} {y + at}h{SIDE}" {dash}/>')
    parts.append(
        f'<rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>'
    )
    return "".join(parts)


def sheet(cells: list[tuple[AnnotatedMap, str, str]], columns: int, path: Path) -> None:
    """Several maps in a grid, as PNG."""
    rows = -(-len(cells) // columns)
    width, height = columns * (SIDE + GAP) + GAP, rows * (SIDE + TITLE + 10) + 10
    body = "".join(
        picture(
            one,
            GAP + (i % columns) * (SIDE + GAP),
            TITLE + (i // columns) * (SIDE + TITLE + 10),
            title,
            under,
        )
        for i, (one, title, under) in enumerate(cells)
    )
    style = 'font-family="Liberation Sans, Arial, sans-serif"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>'
    path.write_bytes(
        vlc.svg_to_png(
            f'{svg}<rect width="100%" height="100%" fill="white"/>{body}</svg>', scale=1.4
        )
    )


def main() -> None:
    """Clear cases of every class, and maps that two passes labelled differently."""
    folder = ROOT / "annotations"
    maps = {one.id: one for one in read_maps(folder)}
    labels = Labels(folder)
    given: dict[str, list[tuple[int, str, str]]] = {}
    for line in labels.lines:
        given.setdefault(line.map, []).append((line.round, line.label, line.note))
    settled = labels.settled()
    clear: list[tuple[AnnotatedMap, str, str]] = []
    for name in CLASSES:
        sure = [
            one
            for key, one in maps.items()
            if settled.get(key) == name
            and len(one.segments) in _LENGTHS
            and one.is_pair
            and all(label == name and not note for _, label, note in given[key])
        ]
        by_head = {f"{one.family}{one.head.head}": one for one in sure}
        clear += [
            (one, name, f"{one.model} {one.head}, {one.source}")
            for one in list(by_head.values())[:3]
        ]
    sheet(clear, 3, ROOT / "docs" / "images" / "patterns.png")
    border = [
        (
            maps[key],
            settled[key],
            " / ".join(sorted({label for round, label, _ in lines if round < 3})),
        )
        for key, lines in sorted(given.items())
        if key in settled
        and len({label for round, label, _ in lines if round < 3}) > 1
        and len(maps[key].segments) in _LENGTHS
    ]
    kinds: dict[str, tuple[AnnotatedMap, str, str]] = {}
    for one, name, was in border:
        kinds.setdefault(f"{name}{was}", (one, name, f"was {was}"))
    sheet(list(kinds.values())[:9], 3, ROOT / "docs" / "images" / "borders.png")


if __name__ == "__main__":
    main()
