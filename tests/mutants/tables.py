"""Mutants of a task's files: every format, whole and damaged, and task.toml."""

import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from functools import partial

import polars as pl

from mutants.world import CLASSES, COLUMNS, TASK_TOML, Expect, Mutant, World, rows, serialised

SAME, GUARDED, REFUSED, OTHER = Expect.SAME, Expect.GUARDED, Expect.REFUSED, Expect.OTHER
Text = Callable[[str], str]


def mutants() -> Iterator[Mutant]:
    """All of them."""
    for ending in ("csv", "tsv"):
        yield from _delimited(ending)
    yield from _jsonl()
    yield from _parquet()
    yield from _endings()
    yield from _labels()
    yield from _task_toml()
    yield from _structure()


def _edited(world: World, ending: str, edit: Text, encoding: str = "utf-8") -> None:
    """The validation file in this format, its text changed."""
    world.only(f".{ending}")
    path = world.task / f"validation.{ending}"
    path.write_bytes(edit(path.read_bytes().decode()).encode(encoding))


def _line(number: int, edit: Text) -> Text:
    """An edit of one line of a text."""

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines[number] = edit(lines[number])
        return "".join(lines)

    return change


def _delimited(ending: str) -> Iterator[Mutant]:
    mark = "\t" if ending == "tsv" else ","
    clean = serialised(rows("validation"), ending).decode()
    edits: list[tuple[str, Text, Expect]] = [
        ("as it is", lambda text: text, SAME),
        ("a byte order mark", lambda text: "\ufeff" + text, SAME),
        ("Windows line ends", lambda text: text.replace("\n", "\r\n"), SAME),
        ("no last line end", lambda text: text.rstrip("\n"), SAME),
        ("blank lines at the end", lambda text: text + "\n\n", SAME),
        ("a blank line in the middle", _line(4, lambda line: line + "\n"), SAME),
        ("old Mac line ends", lambda text: text.replace("\n", "\r"), GUARDED),
        ("a row longer than the header", _line(3, lambda line: line.rstrip("\n") + mark + "x\n"), GUARDED),
        ("a row longer than the header in front", _line(3, lambda line: f"x{mark}{line}"), GUARDED),
        ("a row cut short", _line(3, lambda line: line.split(mark)[0] + "\n"), GUARDED),
        ("an open quote before a row", _line(3, lambda line: '"' + line), GUARDED),
        ("an open quote before the label", _line(3, lambda line: line[:-2] + '"' + line[-2:]), GUARDED),
        ("an open quote in the last row", _line(-1, lambda line: '"' + line), GUARDED),
        ("an open quote in the header", _line(0, lambda line: '"' + line), GUARDED),
        ("a doubled header name", _line(0, lambda line: line.replace("b", "a")), REFUSED),
        ("no header", lambda text: text.split("\n", 1)[1], REFUSED),
        ("a second header in the middle", _line(4, lambda line: mark.join(COLUMNS) + "\n" + line), GUARDED),
        ("spaces in the header", _line(0, lambda line: line.replace(mark, f" {mark} ")), GUARDED),
        ("an upper-case header", _line(0, str.upper), GUARDED),
        ("another delimiter", lambda text: text.replace(mark, ";"), REFUSED),
        ("another delimiter in a row", _line(3, lambda line: line.replace(mark, ";")), GUARDED),
        ("NUL bytes", _line(3, lambda line: "\0" + line), GUARDED),
        ("an empty text", _line(3, lambda line: mark + line.split(mark, 1)[1]), GUARDED),
        ("a text of spaces", _line(5, lambda line: "   " + mark + line.split(mark, 1)[1]), GUARDED),
        ("an empty label", _line(3, lambda line: line[:-2] + "\n"), GUARDED),
        ("a label out of range", _line(3, lambda line: line[:-2] + "7\n"), GUARDED),
        ("a label of words", _line(3, lambda line: line[:-2] + "perhaps\n"), GUARDED),
        ("a label with a space", _line(3, lambda line: line[:-2] + " " + line[-2:]), GUARDED),
        ("a label as a float", _line(3, lambda line: line[:-1] + ".0\n"), GUARDED),
        ("a label of 0.5", _line(3, lambda line: line[:-2] + "0.5\n"), GUARDED),
        ("the header alone", lambda text: text.split("\n", 1)[0] + "\n", REFUSED),
        ("an empty file", lambda text: "", REFUSED),
        ("spaces alone", lambda text: " \n \n", REFUSED),
    ]  # fmt: skip
    for what, edit, expects in edits:
        yield Mutant(f"{ending}: {what}", partial(_edited, ending=ending, edit=edit), expects)
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037"):
        changed = partial(_edited, ending=ending, edit=lambda text: text, encoding=encoding)
        yield Mutant(f"{ending}: in {encoding}", changed)
    accented = partial(
        _edited, ending=ending, edit=_line(3, lambda line: "é" + line), encoding="latin-1"
    )
    yield Mutant(f"{ending}: an accent in latin-1", accented, REFUSED)
    yield Mutant(f"{ending}: an extra column", partial(_more_columns, ending=ending), SAME)
    yield Mutant(f"{ending}: columns in another order", partial(_reordered, ending=ending), SAME)
    yield Mutant(f"{ending}: all fields quoted", partial(_all_quoted, ending=ending), SAME)
    yield Mutant(f"{ending}: a line break in a text", partial(_line_break, ending=ending), SAME)
    rng = random.Random(ending)
    for number in range(14):
        at = rng.randrange(20, len(clean) - 3)
        # Cut within a row, not at its end, where a shorter file would be as good.
        while clean[at - 1] == "\n" or clean[at] == "\n":
            at += 1
        cut = partial(_edited, ending=ending, edit=lambda text, at=at: text[:at])
        yield Mutant(f"{ending}: cut after {at} characters ({number})", cut)
    for number in range(14):
        edit = _moved_structure(random.Random(f"{ending}{number}"), mark)
        yield Mutant(
            f"{ending}: structure broken ({number})", partial(_edited, ending=ending, edit=edit)
        )


def _moved_structure(rng: random.Random, mark: str) -> Text:
    """An edit that takes away, doubles or replaces a delimiter or line end outside of quotes."""

    def change(text: str) -> str:
        places = []
        quoted = False
        for at, character in enumerate(text):
            quoted ^= character == '"'
            if not quoted and character in (mark, "\n") and at > text.index("\n"):
                places.append(at)
        at = rng.choice(places[:-1])
        other = mark if text[at] == "\n" else "\n"
        return text[:at] + rng.choice(["", text[at] * 2, other, '"']) + text[at + 1 :]

    return change


def _more_columns(world: World, ending: str) -> None:
    world.only(f".{ending}")
    mark = "\t" if ending == "tsv" else ","
    path = world.task / f"validation.{ending}"
    header, *lines = path.read_text().splitlines()
    text = "".join(f"{mark}{line}\n" for line in lines)
    path.write_text(f"id{mark}{header}\n{text}")


def _reordered(world: World, ending: str) -> None:
    world.only(f".{ending}")
    table = [("label", "b", "a"), *(row[::-1] for row in rows("validation"))]
    (world.task / f"validation.{ending}").write_bytes(serialised(table, ending, header=False))


def _all_quoted(world: World, ending: str) -> None:
    world.only(f".{ending}")
    mark = "\t" if ending == "tsv" else ","
    frame = pl.DataFrame(rows("validation"), COLUMNS, orient="row")
    path = world.task / f"validation.{ending}"
    frame.write_csv(path, separator=mark, quote_style="always")


def _line_break(world: World, ending: str) -> None:
    """White space is the same to the model, in whatever form it comes."""
    world.only(f".{ending}")
    table = [(first.replace(" ", "\n", 1), *rest) for first, *rest in rows("validation")]
    (world.task / f"validation.{ending}").write_bytes(serialised(table, ending))


def _jsonl() -> Iterator[Mutant]:
    clean = serialised(rows("validation"), "jsonl").decode()

    def row(number: int, edit: Callable[[dict[str, object]], object]) -> Text:
        def change(line: str) -> str:
            content = json.loads(line)
            edit(content)
            return json.dumps(content) + "\n"

        return _line(number, change)

    def every(key: str, values: Callable[[int], object]) -> Text:
        def change(text: str) -> str:
            lines = [
                json.loads(line) | {key: values(at)} for at, line in enumerate(text.splitlines())
            ]
            return "".join(json.dumps(line) + "\n" for line in lines)

        return change

    edits: list[tuple[str, Text, Expect]] = [
        ("as it is", lambda text: text, SAME),
        ("a byte order mark", lambda text: "\ufeff" + text, SAME),
        ("Windows line ends", lambda text: text.replace("\n", "\r\n"), SAME),
        ("blank lines", lambda text: text.replace("\n", "\n\n"), SAME),
        ("no last line end", lambda text: text.rstrip("\n"), SAME),
        ("an extra key in a row", row(3, lambda line: line.update(more=1)), SAME),
        ("an extra column of changing type", every("more", lambda at: at if at < 9 else 0.5), SAME),
        ("an extra column of objects and texts", every("more", lambda at: {} if at else "x"), SAME),
        ("NaN in an extra column", every("more", lambda at: float("nan")), SAME),
        ("infinity in an extra column", every("more", lambda at: float("inf")), SAME),
        ("labels as texts of digits", every("label", lambda at: str(at % 2)), SAME),
        ("labels as floats", every("label", lambda at: float(at % 2)), SAME),
        ("labels as names", every("label", lambda at: CLASSES[at % 2]), SAME),
        ("labels as booleans", every("label", lambda at: bool(at % 2)), GUARDED),
        ("labels as lists", every("label", lambda at: [at % 2]), REFUSED),
        ("labels one-hot", every("label", lambda at: [1 - at % 2, at % 2]), REFUSED),
        ("labels as objects", every("label", lambda at: {"id": at % 2}), REFUSED),
        ("labels of NaN", every("label", lambda at: float("nan")), REFUSED),
        ("a label late of another type", every("label", lambda at: at % 2 if at < 9 else "yes"), GUARDED),
        ("no label in a row", row(3, lambda line: line.pop("label")), GUARDED),
        ("no text in a row", row(3, lambda line: line.pop("a")), GUARDED),
        ("null as a text", row(3, lambda line: line.update(a=None)), GUARDED),
        ("null as a label", row(3, lambda line: line.update(label=None)), GUARDED),
        ("a number as a text", row(3, lambda line: line.update(a=5)), GUARDED),
        ("a list as a text", row(3, lambda line: line.update(a=["x", "y"])), GUARDED),
        ("an object as a text", row(3, lambda line: line.update(a={"x": "y"})), GUARDED),
        ("lists as texts", every("a", lambda at: ["x", "y"]), REFUSED),
        ("objects as texts", every("b", lambda at: {"x": "y"}), REFUSED),
        ("a lone surrogate", _line(3, lambda line: line.replace('"a": "', '"a": "\\ud800')), GUARDED),
        ("an array on a line", _line(3, lambda line: "[1, 2]\n"), GUARDED),
        ("a number on a line", _line(3, lambda line: "7\n"), GUARDED),
        ("two objects on a line", _line(3, lambda line: line.rstrip("\n")), GUARDED),
        ("a trailing comma", _line(3, lambda line: line.replace("}", ",}")), GUARDED),
        ("single quotes", _line(3, lambda line: line.replace('"', "'")), GUARDED),
        ("a comment", _line(3, lambda line: "// x\n" + line), GUARDED),
        ("a key twice", _line(3, lambda line: line.replace('{"a"', '{"a": "the old house", "a"')), GUARDED),
        ("an array of objects", lambda text: json.dumps([json.loads(line) for line in text.splitlines()]), GUARDED),
        ("objects over many lines", lambda text: "".join(json.dumps(json.loads(line), indent=1) + "\n" for line in text.splitlines()), GUARDED),
        ("an empty file", lambda text: "", REFUSED),
        ("an empty object", lambda text: "{}\n", REFUSED),
        ("null", lambda text: "null\n", REFUSED),
        ("deep nesting", _line(3, lambda line: "[" * 5000 + "]" * 5000 + "\n"), GUARDED),
    ]  # fmt: skip
    for what, edit, expects in edits:
        yield Mutant(f"jsonl: {what}", partial(_edited, ending="jsonl", edit=edit), expects)
    for encoding in ("utf-16", "utf-32", "cp037"):
        changed = partial(_edited, ending="jsonl", edit=lambda text: text, encoding=encoding)
        yield Mutant(f"jsonl: in {encoding}", changed)
    rng = random.Random("jsonl")
    for number in range(14):
        at = rng.randrange(5, len(clean) - 3)
        while clean[at - 1] in "}\n":
            at += 1
        cut = partial(_edited, ending="jsonl", edit=lambda text, at=at: text[:at])
        yield Mutant(f"jsonl: cut after {at} characters ({number})", cut)
    structure = [at for at, character in enumerate(clean) if character in '{}:,"\n']
    for number in range(14):
        at = rng.choice(structure)
        other = rng.choice(["", "{", "}", ":", ",", "[", '"', "\n", "\\"])
        edit = lambda text, at=at, other=other: text[:at] + other + text[at + 1 :]
        # A comma within a text is a text like any other.
        within = clean[at] == "," and clean[at + 1] != " "
        expects = OTHER if within or clean[at : at + 3] == ", a" else GUARDED
        yield Mutant(
            f"jsonl: structure broken ({number})",
            partial(_edited, ending="jsonl", edit=edit),
            expects,
        )


def _parquet() -> Iterator[Mutant]:
    def frame(edit: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[World], None]:
        def change(world: World) -> None:
            path = world.task / "validation.parquet"
            edit(pl.read_parquet(path)).write_parquet(path)

        return change

    label = pl.col("label")
    text = pl.col("a")
    edits: list[tuple[str, pl.Expr, Expect]] = [
        ("labels of 8 bits", label.cast(pl.Int8), SAME),
        ("labels of unsigned 64 bits", label.cast(pl.UInt64), SAME),
        ("labels as floats", label.cast(pl.Float32), SAME),
        ("labels as booleans", label.cast(pl.Boolean), GUARDED),
        ("labels as texts", label.cast(pl.String), SAME),
        ("labels as decimals", label.cast(pl.Decimal(5, 2)), SAME),
        ("labels as names", label.replace_strict({0: "no", 1: "yes"}), SAME),
        ("labels as categories", label.replace_strict({0: "no", 1: "yes"}).cast(pl.Categorical), SAME),
        ("labels as dates", label.cast(pl.Date), REFUSED),
        ("labels as durations", label.cast(pl.Duration), REFUSED),
        ("labels as lists", pl.concat_list(label), REFUSED),
        ("labels as structs", pl.struct(label.alias("x")).alias("label"), REFUSED),
        ("labels of nulls", pl.lit(None, pl.Int64).alias("label"), REFUSED),
        ("labels of the type null", pl.lit(None).alias("label"), REFUSED),
        ("a null label", pl.when(pl.int_range(pl.len()) != 3).then(label).alias("label"), GUARDED),
        ("texts as categories", text.cast(pl.Categorical), SAME),
        ("texts as bytes", text.cast(pl.Binary), GUARDED),
        ("texts as bytes that are no text", pl.lit(b"\xff\xfe\x80").alias("a"), REFUSED),
        ("texts as lists", text.str.split(" "), REFUSED),
        ("texts as structs", pl.struct(text.alias("x")).alias("a"), REFUSED),
        ("texts as numbers", pl.int_range(pl.len()).alias("a"), GUARDED),
        ("texts as floats", pl.int_range(pl.len()).cast(pl.Float64).alias("a"), GUARDED),
        ("texts as booleans", (label == 1).alias("a"), GUARDED),
        ("texts as dates", pl.lit(0).cast(pl.Date).alias("a"), GUARDED),
        ("texts of the type null", pl.lit(None).alias("a"), REFUSED),
        ("a null text", pl.when(pl.int_range(pl.len()) != 3).then(text).alias("a"), GUARDED),
        ("an empty text", pl.when(pl.int_range(pl.len()) != 3).then(text).otherwise(pl.lit("")).alias("a"), GUARDED),
        ("an extra column of structs", pl.struct(text.alias("x")).alias("more"), SAME),
        ("an extra column of bytes", pl.lit(b"\xff").alias("more"), SAME),
    ]  # fmt: skip
    for what, expression, expects in edits:
        with_column = lambda table, made=expression: table.with_columns(made)
        yield Mutant(f"parquet: {what}", frame(with_column), expects)
    yield Mutant("parquet: no rows", frame(lambda table: table.clear()), REFUSED)
    yield Mutant("parquet: no columns", frame(lambda table: pl.DataFrame()), REFUSED)
    yield Mutant("parquet: columns in another order", frame(lambda table: table[:, ::-1]), SAME)
    yield Mutant("parquet: no label column", frame(lambda table: table.drop("label")), REFUSED)

    def damaged(world: World, edit: Callable[[bytes], bytes]) -> None:
        path = world.task / "validation.parquet"
        path.write_bytes(edit(path.read_bytes()))

    for what, damage in (
        ("empty", lambda data: b""),
        ("its first bytes alone", lambda data: data[:4]),
        ("its end alone", lambda data: data[-12:]),
        ("text", lambda data: serialised(rows("validation"), "csv")),
        (
            "a length of the footer that is too large",
            lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1",
        ),
        ("a length of the footer of 0", lambda data: data[:-8] + b"\0\0\0\0PAR1"),
    ):
        yield Mutant(f"parquet: {what}", partial(damaged, edit=damage), REFUSED)
    rng = random.Random("parquet")
    size = len(serialised(rows("validation"), "parquet"))
    for number in range(8):
        at = rng.randrange(4, size - 8)
        cut = partial(damaged, edit=lambda data, at=at: data[:at])
        yield Mutant(f"parquet: cut after {at} bytes ({number})", cut, REFUSED)
    for number in range(14):
        at, value = rng.randrange(size), rng.randrange(256)
        # A byte within a page may be that of another text: nothing in the file could tell.
        flip = lambda data, at=at, value=value: data[:at] + bytes([value]) + data[at + 1 :]
        yield Mutant(f"parquet: byte {at} replaced ({number})", partial(damaged, edit=flip), OTHER)


def _endings() -> Iterator[Mutant]:
    def renamed(world: World, ending: str, train: str, validation: str) -> None:
        world.only(f".{ending}")
        for old, new in (("train", train), ("validation", validation)):
            file = world.task / f"{old}.{ending}"
            file.rename(world.task / new)

    for ending in ("csv", "tsv", "jsonl", "parquet"):
        for stem in ("val", "valid", "dev", "validation-00000-of-00001"):
            train = "train-00000-of-00001" if "of" in stem else "train"
            rename = partial(
                renamed, ending=ending, train=f"{train}.{ending}", validation=f"{stem}.{ending}"
            )
            yield Mutant(f"{stem}.{ending}", rename, SAME)
        upper = partial(
            renamed,
            ending=ending,
            train=f"train.{ending.upper()}",
            validation=f"Validation.{ending.upper()}",
        )
        yield Mutant(f"validation.{ending.upper()}", upper, SAME)

    def zipped(world: World, ending: str) -> None:
        world.only(f".{ending}")
        for file in list(world.task.glob(f"*.{ending}")):
            (world.task / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()

    for ending in ("csv", "tsv", "jsonl"):
        yield Mutant(f"{ending}.gz", partial(zipped, ending=ending), SAME)

    def cut_zip(world: World) -> None:
        zipped(world, "csv")
        path = world.task / "validation.csv.gz"
        path.write_bytes(path.read_bytes()[:-40])

    yield Mutant("csv.gz cut short", cut_zip, REFUSED)

    def half_the_shards(world: World) -> None:
        for file in list(world.task.glob("*.parquet")):
            file.rename(world.task / f"{file.stem}-00000-of-00002.parquet")

    yield Mutant("one of two shards is missing", half_the_shards, REFUSED)

    def two_files(world: World) -> None:
        flipped = [(first, second, 1 - label) for first, second, label in rows("validation")]
        (world.task / "validation.csv").write_bytes(serialised(flipped, "csv"))

    yield Mutant("two files of one split that differ", two_files)
    yield Mutant(
        "no validation file", lambda world: (world.task / "validation.parquet").unlink(), REFUSED
    )
    yield Mutant("no training file", lambda world: (world.task / "train.parquet").unlink())

    def as_folder(world: World) -> None:
        (world.task / "validation.parquet").unlink()
        (world.task / "validation.parquet").mkdir()

    yield Mutant("a folder named like a file", as_folder, REFUSED)


def _labels() -> Iterator[Mutant]:
    """One meaning in all formats: a name, or where no value is a name, an index."""
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        yield Mutant(f"{ending}: class names", partial(_named, ending=ending), SAME)
        yield Mutant(f"{ending}: names and indices in one column", partial(_mixed, ending=ending))
        yield Mutant(
            f"{ending}: names that are the other's index",
            partial(_digits, ending=ending, names=("1", "0"), values=("1", "0")),
            SAME,
        )
        yield Mutant(
            f"{ending}: names that are numbers",
            partial(_digits, ending=ending, names=("1", "2"), values=("1", "2")),
            SAME,
        )
        yield Mutant(
            f"{ending}: an index beside names that are numbers",
            partial(_digits, ending=ending, names=("1", "2"), values=("0", "1")),
        )


def _labelled(world: World, ending: str, labels: Callable[[int, int], object]) -> None:
    world.only(f".{ending}")
    for split in ("train", "validation"):
        table = [(a, b, labels(at, label)) for at, (a, b, label) in enumerate(rows(split))]
        if ending == "parquet":
            frame = pl.DataFrame(table, COLUMNS, orient="row", strict=False)
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            (world.task / f"{split}.parquet").write_bytes(buffer.getvalue())
        else:
            (world.task / f"{split}.{ending}").write_bytes(serialised(table, ending))


def _named(world: World, ending: str) -> None:
    _labelled(world, ending, lambda at, label: CLASSES[label])


def _mixed(world: World, ending: str) -> None:
    _labelled(world, ending, lambda at, label: CLASSES[label] if at < 5 else str(label))


def _digits(world: World, ending: str, names: tuple[str, str], values: tuple[str, str]) -> None:
    toml = TASK_TOML.replace('["no", "yes"]', json.dumps(list(names)))
    (world.task / "task.toml").write_text(toml)
    numbers = ending in ("jsonl", "parquet")
    _labelled(world, ending, lambda at, label: int(values[label]) if numbers else values[label])


def _task_toml() -> Iterator[Mutant]:
    def toml(text: str | bytes) -> Callable[[World], object]:
        data = text.encode() if isinstance(text, str) else text
        return lambda world: (world.task / "task.toml").write_bytes(data)

    for what, content, expects in (
        ("a byte order mark", "\ufeff" + TASK_TOML, SAME),
        ("Windows line ends", TASK_TOML.replace("\n", "\r\n"), SAME),
        ("in UTF-16", TASK_TOML.encode("utf-16"), GUARDED),
        ("in latin-1", (TASK_TOML + "# é\n").encode("latin-1"), GUARDED),
        ("empty", "", REFUSED),
        ("cut", TASK_TOML[:20], REFUSED),
        ("JSON", '{"columns": ["a", "b"]}', REFUSED),
        ("nested deep", "x = " + "[" * 5000 + "]" * 5000, REFUSED),
        ("a key twice", TASK_TOML + 'labels = ["yes", "no"]\n', REFUSED),
        ("an unknown key", TASK_TOML + "colums = 3\n", REFUSED),
        ("no columns", 'labels = ["no", "yes"]\n', REFUSED),
        ("three columns", TASK_TOML.replace('"a", "b"', '"a", "b", "c"'), REFUSED),
        ("one column twice", TASK_TOML.replace('"a", "b"', '"a", "a"'), GUARDED),
        ("the label as a text", TASK_TOML.replace('"b"', '"label"'), GUARDED),
        ("columns as a text", TASK_TOML.replace('["a", "b"]', '"a"'), REFUSED),
        ("labels of numbers", TASK_TOML.replace('["no", "yes"]', "[0, 1]"), GUARDED),
        ("a label twice", TASK_TOML.replace('"yes"', '"no"'), REFUSED),
        ("an empty label", TASK_TOML.replace('"yes"', '""'), REFUSED),
        ("one label", TASK_TOML.replace('"no", ', ""), REFUSED),
        ("three labels", TASK_TOML.replace('"no"', '"no", "perhaps"'), GUARDED),
        ("labels and limits", TASK_TOML + "limits = [0, 1]\n", REFUSED),
        ("limits upside down", 'columns = ["a"]\nlimits = [1, 0]\n', REFUSED),
        ("limits of NaN", 'columns = ["a"]\nlimits = [nan, nan]\n', REFUSED),
        ("limits of infinity", 'columns = ["a"]\nlimits = [-inf, inf]\n', GUARDED),
        ("an unknown metric", TASK_TOML.replace("accuracy", "accurate"), REFUSED),
        ("a metric of scores", TASK_TOML.replace("accuracy", "pearson"), REFUSED),
        ("a metric twice", TASK_TOML.replace('["accuracy"]', '["accuracy", "accuracy"]'), GUARDED),
        ("a name that climbs", TASK_TOML + 'name = "../../x"\n', GUARDED),
        ("a name of 300 letters", TASK_TOML + f'name = "{"x" * 300}"\n', GUARDED),
        ("a name that is a number", TASK_TOML + "name = 5\n", GUARDED),
        ("a label column that is a number", TASK_TOML + "label = 5\n", REFUSED),
        ("a label column that is a list", TASK_TOML + 'label = ["label"]\n', REFUSED),
    ):
        yield Mutant(f"task.toml: {what}", toml(content), expects)


def _structure() -> Iterator[Mutant]:
    yield Mutant(
        "task: one folder too deep",
        lambda world: world.instead("--task", "task/validation.parquet"),
    )
    yield Mutant("task: no such folder", lambda world: world.instead("--task", "tusk"), REFUSED)
    yield Mutant("task: the parent", lambda world: world.instead("--task", "."), REFUSED)
    yield Mutant("task: a slash at the end", lambda world: world.instead("--task", "task/"), SAME)
    yield Mutant("task: a detour", lambda world: world.instead("--task", "task/../task"), SAME)
