"""Label maps from sheets, and keep the labels: python tools/label_maps.py COMMAND ...

choose LIST [--new DIR]                     number the maps to label: those of DIR (see
                                            tools/draw_maps.py), those of the set that the guide
                                            may change, and some others
sheets LIST OUT --seed N [--new DIR] [--said]
                                            draw OUT/sheet-001.png ..., in an order of the
                                            seed's; --said shows what the two passes said
add DIR                                     add the maps of DIR to the set
keep LIST ROUND NAME=FILE...                append annotators' files to the set's labels: all
                                            maps of LIST once, JSON lines such as
                                            {"map": 17, "class": "vertical", "note": ""}
differing LIST OUT                          how far passes 6 and 7 agree, and a list of the maps
                                            on which they do not, to settle in pass 8
"""

import argparse
from pathlib import Path

import numpy as np

from headscope.annotation.agreement import agreement
from headscope.annotation.records import LATER, AnnotatedMap, Labels, read_maps, write_maps
from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from patterns.relabelling import labels_of, read_list, said_in, to_look_at_again, write_list
from patterns.sheets import Cell, write_sheets

SET = Path(__file__).parents[1] / "annotations"
FIRST, SECOND, _ = LATER
OTHERS, SEED = 60, 18


def maps_of(new: Path | None) -> dict[str, AnnotatedMap]:
    """The maps of the set and of a folder of new ones, by id."""
    maps = [*read_maps(SET), *(read_maps(new) if new else [])]
    return {annotated.id: annotated for annotated in maps}


def choose(asked: argparse.Namespace) -> None:
    """Number what is to be labelled."""
    again = to_look_at_again(read_maps(SET), Labels(SET).settled(), OTHERS, SEED)
    new = [annotated.id for annotated in read_maps(asked.new)] if asked.new else []
    names = [*dict.fromkeys([*again, *new])]
    order = np.random.default_rng(SEED).permutation(len(names)).tolist()
    write_list({index: names[row] for index, row in enumerate(order, 1)}, asked.list)
    print(f"{len(again)} maps to look at again ({OTHERS} of them as a check), {len(new)} new ones")


def sheets(asked: argparse.Namespace) -> None:
    """Draw the list in the order of a seed."""
    listed, maps = read_list(asked.list), maps_of(asked.new)
    labels = Labels(SET)
    passes = [said_in(labels, round) for round in (FIRST, SECOND)] if asked.said else []
    numbers = np.random.default_rng(asked.seed).permutation(sorted(listed)).tolist()
    cells = []
    for number in numbers:
        name = listed[number]
        said = " / ".join(of_pass.get(name, "") for of_pass in passes)
        cells.append(Cell(number, maps[name], said))
    print(f"{len(cells)} maps on {write_sheets(cells, asked.out)} sheets")


def add(asked: argparse.Namespace) -> None:
    """Add the new maps to the set."""
    known = read_maps(SET)
    ids = {annotated.id for annotated in known}
    new = [annotated for annotated in read_maps(asked.new) if annotated.id not in ids]
    write_maps(SET, [*known, *new])
    print(f"{len(new)} maps added to {len(known)}")


def keep(asked: argparse.Namespace) -> None:
    """Append what annotators wrote."""
    files = {name: Path(file) for name, _, file in (pair.partition("=") for pair in asked.files)}
    written = labels_of(files, read_list(asked.list), asked.round)
    labels = Labels(SET, {annotated.id for annotated in read_maps(SET)})
    unknown = [label.map for label in written if label.map not in maps_of(None)]
    if unknown:
        raise HeadscopeError(f"{len(unknown)} maps are not in the set: add them first")
    before = said_in(labels, asked.round).keys() & {label.map for label in written}
    if before:
        raise HeadscopeError(f"{len(before)} of the maps have a label of pass {asked.round}")
    labels.add(*written)
    print(f"{len(written)} labels of pass {asked.round} kept")


def differing(asked: argparse.Namespace) -> None:
    """Compare the two passes on the list."""
    listed, labels = read_list(asked.list), Labels(SET)
    names = set(listed.values())
    first, second = (
        {name: label for name, label in said_in(labels, round).items() if name in names}
        for round in (FIRST, SECOND)
    )
    agreed = agreement(first, second)
    low, high = agreed.kappa_interval
    print(f"n {agreed.n}, raw {agreed.raw:.3f}, kappa {agreed.kappa:.2f} ({low:.2f} to {high:.2f})")
    print(CLASSES, agreed.table, sep="\n")
    both = first.keys() & second.keys()
    open_ = {
        index: name
        for index, name in listed.items()
        if name in both and first[name] != second[name]
    }
    write_list(open_, asked.out)
    print(f"{len(open_)} differ")


def main() -> None:
    """Run the command that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for run, arguments in {
        choose: ["list"],
        sheets: ["list", "out"],
        add: ["new"],
        keep: ["list"],
        differing: ["list", "out"],
    }.items():
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        for name in arguments:
            command.add_argument(name, type=Path)
        if run in (choose, sheets):
            command.add_argument("--new", type=Path)
        if run is sheets:
            command.add_argument("--seed", type=int, required=True)
            command.add_argument("--said", action="store_true")
        if run is keep:
            command.add_argument("round", type=int, choices=LATER)
            command.add_argument("files", nargs="+", metavar="NAME=FILE")
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
