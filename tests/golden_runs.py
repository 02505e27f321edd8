"""One small run of every command, and its tables as they are pinned: names and types of columns, values in float32.

    python tests/golden_runs.py pin           pins the tables of this version under tests/golden
    python tests/golden_runs.py make DIR      makes the runs in DIR and keeps them
    python tests/golden_runs.py compare A B   compares two such folders bit for bit

Only the command line is called, so that the package behind it can be rebuilt.
"""

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import polars as pl
from safetensors import safe_open

PINNED = Path(__file__).parent / "golden"
COLUMNS = "columns.txt"
PROSE = ("text", "evidence", "caveat")
"""Columns of sentences: their wording may change, so only their names and types are pinned."""
UNPINNED = ("pruned", "sizes")
"""Tables of which the columns alone are pinned: rounding can lead a search to another set as good, and
speeds are of the moment.
"""
SMALL = "--examples 40 --batch-tokens 300 --precision fp32 --quiet"
TRAINED = "--train-examples 60 --epochs 1 --max-length 64"
RUNS = {
    "study": f"study --model bare {TRAINED} {SMALL}",
    "untrained": f"finetune --model bare --task builtin --init none --train-examples 60 {SMALL}",
    "random": f"finetune --model bare --task builtin --init random {TRAINED} --lr 1e-3 {SMALL}",
    "measured": f"measure --model bare --task builtin {SMALL}",
    "notebook": f"measure --model bare --task builtin --faithful --words gold {SMALL}",
    "compared": f"compare --before bare --after study/checkpoint --task builtin {SMALL}",
    "layers": f"disable --model study/checkpoint --task builtin --heads layers {SMALL}",
    "named": f"disable --model study/checkpoint --task builtin --heads L1H2,L3H1;L2H1 --mode zero {SMALL}",
    "drawn": f"disable --model study/checkpoint --task builtin --heads random:2 --mode mean {SMALL}",
    "all-but-one": f"disable --model study/checkpoint --task builtin --heads all-but-one --part 1/2 {SMALL}",
    "pairs": f"disable --model study/checkpoint --task builtin --heads pairs --mode zero {SMALL}",
    "shapley": f"disable --model study/checkpoint --task builtin --heads shapley:10 {SMALL}",
    "top": f"disable --model study/checkpoint --task builtin --heads top:entropy:2 --measured measured {SMALL}",
    "scored": f"finetune --model bare --task similar {TRAINED} {SMALL}",
    "scored-heads": f"disable --model scored --task similar {SMALL}",
    "pruned": f"prune --model tiny --task known --within 0.1 --mode mean --search-examples 50 {SMALL}",
    "treebank": f"relations --model bare --corpus ud:en_made-ud-dev.conllu {SMALL}",
    "frames": "relations --model bare --corpus framenet:frames-release --precision fp32 --quiet",
    "own-links": "relations --model bare --corpus tsv:own.tsv --precision fp32 --quiet",
    "paper": "paper --model tiny --tasks rte,mrpc --data glue --epochs 1 --lr 1e-3 --examples 12 --seeds 2 "
    "--framenet frames-release --precision fp32 --quiet",
    "labelled": "annotate --model bare --task builtin --count 20 --agreement --quiet",
    "figures": "report study --figures figures --quiet",
}
"""The folder of a run, and the command line that makes it; --out is added where it is missing."""


def make(folder: Path) -> None:
    """Make the inputs and every run in `folder`."""
    from headscope.cli import run

    inputs(folder)
    with chdir(folder):
        for name, line in RUNS.items():
            words = line.split()
            where = [] if name == "figures" else ["--out", name]
            code = run([*words, *where])
            if code != 0:
                raise RuntimeError(f"headscope {line} --out {name} ended with exit code {code}")


def inputs(folder: Path) -> None:
    """Tiny models, a task of one's own, GLUE's files, a treebank, a FrameNet release and a file of links."""
    import families
    from test_framenet import AIM, GOOD, release

    families.make_encoder("bert", folder / "bare")
    families.make("bert", folder / "tiny")
    rng = random.Random(5)
    for task in ("rte", "mrpc"):
        (folder / "glue" / task).mkdir(parents=True)
        for split, count in (("train", 40), ("validation", 12)):
            rows = [(*pair(rng), at % 2, at) for at in range(count)]
            frame = pl.DataFrame(rows, ["sentence1", "sentence2", "label", "idx"], orient="row")
            frame.write_parquet(folder / "glue" / task / f"{split}.parquet")
    (folder / "similar").mkdir()
    (folder / "similar" / "task.toml").write_text(
        'columns = ["one", "two"]\nlabel = "score"\nlimits = [0, 5]\n'
    )
    for split, count in (("train", 60), ("validation", 40)):
        lines = [
            f"{one}\t{two}\t{rng.randint(0, 10) / 2}"
            for one, two in (pair(rng) for _ in range(count))
        ]
        text = "one\ttwo\tscore\n" + "".join(f"{line}\n" for line in lines)
        (folder / "similar" / f"{split}.tsv").write_text(text)
    known(folder / "known")
    treebank(folder / "en_made-ud-dev.conllu")
    release(folder / "frames-release", [GOOD, AIM] * 3)
    links = ["The nurse thanked the old pilot today .\tThe nurse\tthanked\tagent"] * 3
    links += [
        "He said that the man was not by it .\tthe man\twas\tsubject",
        "They thank her .\ther\tthank\tpatient",
    ]
    (folder / "own.tsv").write_text(
        "sentence\tsource\ttarget\trelation\n" + "".join(f"{row}\n" for row in links)
    )


SAID = "1ab7ceaaed6a153d6ed32fcf7eb37bf"
"""What the tiny model says of the texts of `known`, a bit each."""


def known(folder: Path) -> None:
    """A task that the tiny model does well, so that it has something to lose: its labels are what
    the model says, but for every tenth.
    """
    rng = random.Random(11)
    folder.mkdir()
    (folder / "task.toml").write_text(
        'columns = ["one", "two"]\nlabels = ["no", "yes"]\nlabel = "label"\n'
    )
    said = bin(int(SAID, 16))[3:]
    for split, first, last in (("train", 0, 80), ("validation", 80, 120)):
        rows = ["one\ttwo\tlabel"]
        for bit in said[first:last]:
            label = int(bit) ^ (rng.random() < 0.1)
            rows.append("\t".join([*pair(rng), str(label)]))
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")


TEXT = (
    "the nurse thanked a pilot who was not in it ; he saw her by an old house and they left on time"
)
WORDS = TEXT.split()


def pair(rng: random.Random) -> tuple[str, str]:
    """Two texts of 4 to 12 words, the second with some words of the first."""
    first = rng.choices(WORDS, k=rng.randint(4, 12))
    second = [
        word if rng.random() < 0.6 else rng.choice(WORDS) for word in first[: rng.randint(4, 12)]
    ]
    return " ".join(first), " ".join(second)


FORMS = ("the", "old", "nurse", "thanked", "a", "pilot", "today")
GOVERNORS = (3, 3, 4, 0, 6, 4, 4)
RELATIONS = ("det", "amod", "nsubj", "root", "det", "obj", "obl:tmod")


def treebank(path: Path) -> None:
    """Sentences of 5 to 7 words in CoNLL-U."""
    lines = []
    for sentence in range(60):
        kept = len(FORMS) - sentence % 3
        for at in range(kept):
            governor = 4 if GOVERNORS[at] > kept else GOVERNORS[at]
            lines.append(
                f"{at + 1}\t{FORMS[at]}\t{FORMS[at]}\tX\t_\t_\t{governor}\t{RELATIONS[at]}\t_\t_"
            )
        lines.append("")
    path.write_text("\n".join(lines) + "\n")


def tables(folder: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of the runs in `folder` by its path without the suffix, in order: Parquet files and figures' CSVs."""
    found = [
        path for name in RUNS for path in (folder / name).rglob("*") if "parts" not in path.parts
    ]
    for path in sorted(found):
        if path.suffix == ".parquet":
            yield path.relative_to(folder).with_suffix("").as_posix(), pl.read_parquet(path)
        elif path.suffix == ".csv":
            yield path.relative_to(folder).as_posix(), pl.read_csv(path)


def is_pinned(name: str) -> bool:
    """Whether the values of a table are pinned, by its path."""
    return Path(name).name not in UNPINNED


def columns(folder: Path) -> str:
    """A line per table with its columns and their types, and per array of a run folder with its shape."""
    lines = []
    for name, frame in tables(folder):
        lines += [
            f"{name}: " + ", ".join(f"{column} {dtype}" for column, dtype in frame.schema.items())
        ]
    for path in sorted(folder.rglob("*.safetensors")):
        if path.name in ("maps.safetensors", "patterns.safetensors"):
            with safe_open(path, "np") as file:
                for key in sorted(file.keys()):
                    array = file.get_tensor(key)
                    lines.append(
                        f"{path.relative_to(folder).as_posix()} {key}: {array.dtype} {array.shape}"
                    )
    return "".join(f"{line}\n" for line in lines)


def in_float32(frame: pl.DataFrame) -> pl.DataFrame:
    """A table as it is pinned: without prose, numbers with a fraction in single precision."""
    kept = frame.select(name for name in frame.columns if name not in PROSE)
    return kept.with_columns(pl.col(pl.Float64).cast(pl.Float32))


DRAW = 1 / 2001 + 1e-6
"""One of the 2,000 draws of a permutation test: where it lies within rounding of what was observed, another
processor may count it on the other side.
"""


def difference(name: str, pinned: pl.DataFrame, frame: pl.DataFrame, tolerance: float = 0.0) -> str:
    """What is not the same in two tables, in a sentence; empty where they are. NaN equals NaN.

    Where numbers may differ, p-values may by a draw; where none may, neither may they.
    """
    if pinned.schema != frame.schema or pinned.height != frame.height:
        return f"{name}: {frame.height} rows of {frame.columns}, pinned are {pinned.height} of {pinned.columns}"
    for column, dtype in pinned.schema.items():
        if dtype != pl.Float32:
            if not pinned[column].equals(frame[column], null_equal=True):
                return f"{name}: the column {column} has other values"
            continue
        first, second = (part[column].to_numpy() for part in (pinned, frame))
        most = max(tolerance, DRAW) if tolerance and column == "p" else tolerance
        if not np.allclose(first, second, rtol=tolerance, atol=most, equal_nan=True):
            worst = np.abs(first - second)[~np.isnan(first - second)]
            size = f"by up to {worst.max():.3g}" if worst.size else "in what is missing"
            return f"{name}: the column {column} differs {size}"
    return ""


def pin(folder: Path) -> None:
    """Pin the tables of the runs in `folder`."""
    for old in PINNED.rglob("*.parquet"):
        old.unlink()
    (PINNED / COLUMNS).write_text(columns(folder))
    for name, frame in tables(folder):
        if not is_pinned(name):
            continue
        path = PINNED / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        in_float32(frame).write_parquet(
            path, compression="zstd", compression_level=19, statistics=False
        )


def compare(first: Path, second: Path) -> list[str]:
    """What is not the same in two folders of runs, bit for bit, prose included."""
    said = [] if columns(first) == columns(second) else ["the columns or the arrays differ"]
    others = dict(tables(second))
    return said + [
        line for name, frame in tables(first)
        if name in others and is_pinned(name)
        and (line := difference(name, in_float32(frame), in_float32(others[name])))
    ]  # fmt: skip


def main(arguments: list[str]) -> None:
    """The command at the top of this file."""
    match arguments:
        case ["pin"]:
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder))
                pin(Path(folder))
        case ["make", folder]:
            Path(folder).mkdir(parents=True)
            make(Path(folder).resolve())
        case ["compare", first, second]:
            said = compare(Path(first), Path(second))
            sys.exit("\n".join(said) or 0)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
