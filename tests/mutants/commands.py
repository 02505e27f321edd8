"""Mutants of arguments, and of run folders that a command finds."""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mutants.world import Expect, Mutant, World

SAME, GUARDED, REFUSED, OTHER = Expect.SAME, Expect.GUARDED, Expect.REFUSED, Expect.OTHER


def mutants() -> Iterator[Mutant]:
    """All of them."""
    yield from _values()
    yield from _words()


def _values() -> Iterator[Mutant]:
    """Odd values of every option."""
    numbers = (
        "0", "-1", "1.5", "1e3", "nan", "inf", "", " ", "x", "0x10", "1_0", "99999999999999999999999",
        "\N{ARABIC-INDIC DIGIT THREE}", "--quiet",
    )  # fmt: skip
    for option in ("--seed", "--examples", "--max-length", "--batch-tokens", "--memory"):
        for value in numbers:
            # Each of these values that is a number asks for another run.
            yield Mutant(f"{option} {value!r}", _set(option, value), OTHER)
    for value in ("1", "2", "3", "4"):
        expects = REFUSED if value in ("1", "2") else OTHER
        yield Mutant(f"--max-length {value} of a pair", _set("--max-length", value), expects)
    for option, values in {
        "--precision": ("fp8", "", "FP32", "float32"),
        "--mode": ("none", "", "UNIFORM"),
        "--part": ("0/2", "3/2", "1/0", "1/99999999999999", "1/", "/2", "a/b", "", "1/2/3", "-1/2", "1.0/2", "test"),
        "--heads": ("", ";", "L0H1", "L1H0", "L4H1", "L1H6", "L1", "H1", "L1H1,,L1H2", "L1H1;L1H1", "random:0", "random:99", "random:x", "random:-1", "top:entropy:5", "top:", "every", "L99999999999999999999H1", "l1h2", "layers:2", "all-but-one:1"),
        "--devices": ("hpu", "cuda:99", "", ",", "cpu,", "meta", "cpu:7", "no such", "mps"),
        "--task": ("", " ", "mrcp", "/", "/dev/null", "model", "\0", "task/task.toml", "http://x.y/z"),
        "--model": ("", " ", "/", "/dev/null", "task", "nobody/no-such-model", "../x/../y", "\0", "model/config.json", "a/b/c/d", "-"),
        "--data": ("", "nowhere", "/dev/null", "task/task.toml", "\0"),
        "--measured": ("nowhere", "model", ""),
        "--out": ("", "model", "task", "task/task.toml", "/dev/null", "\0", "x" * 300, "/proc/x", "task/../model"),
    }.items():  # fmt: skip
        for value in values:
            shown = value if len(value) < 40 else f"{value[:10]}... of {len(value)}"
            yield Mutant(f"{option} {shown!r}", _set(option, value), OTHER)
    yield Mutant("--out 2,000 folders deep", _set("--out", "/".join(["d"] * 2000)), OTHER)
    yield Mutant("--out with a lone surrogate", _set("--out", "a\udc80"), OTHER)
    for option in ("--out model --overwrite", "--out task --overwrite", "--out . --overwrite"):
        yield Mutant(option, _more(*option.split()), REFUSED)


def _words() -> Iterator[Mutant]:
    """Command lines that lack something or have too much."""
    yield Mutant("an unknown option", _more("--hedas", "L1H1"), REFUSED)
    yield Mutant("a word too many", _more("L1H1"), REFUSED)
    yield Mutant("an option without its value", _more("--seed"), REFUSED)
    yield Mutant("an option twice", _more("--seed", "0", "--seed", "1"), OTHER)
    for option in ("--model", "--task"):
        yield Mutant(f"without {option}", partial(_without, option=option), REFUSED)
    yield Mutant("an unknown command", lambda world: world.words.__setitem__(0, "disabel"), REFUSED)
    yield Mutant("no command", lambda world: world.words.clear(), OTHER)
    yield Mutant("--measured without top", _more("--measured", "x"), REFUSED)


def _set(option: str, value: str) -> Callable[[World], None]:
    return lambda world: world.instead(option, value)


def _more(*words: str) -> Callable[[World], None]:
    return lambda world: world.words.extend(words)


def _without(world: World, option: str) -> None:
    at = world.words.index(option)
    del world.words[at : at + 2]


def run_damages() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """What may have happened to the folder of a run that had ended well."""
    for name in (
        "run.json",
        "begun.json",
        "scores.parquet",
        "disabled.parquet",
        "selection.parquet",
    ):
        yield f"{name} gone", lambda run, name=name: (run / name).unlink()
        for what, data in (
            ("empty", b""),
            ("junk", bytes(range(256))),
            ("{}", b"{}"),
            ("null", b"null"),
        ):
            yield f"{name} {what}", lambda run, name=name, data=data: (run / name).write_bytes(data)
        yield f"{name} halved", partial(_halved, name=name)
    for key in ("model", "task", "data", "notes", "seed", "command", "files", "options"):
        yield (
            f"run.json without {key}",
            partial(_edited, edit=lambda record, key=key: record.pop(key, None)),
        )
        yield (
            f"run.json with {key} null",
            partial(_edited, edit=lambda record, key=key: record.update({key: None})),
        )
    for key, value in {
        "seed": "0",
        "notes": "none",
        "versions": {"torch": 2},
        "seconds": True,
    }.items():
        yield (
            f"run.json with {key} {value!r}",
            partial(_edited, edit=lambda record, key=key, value=value: record.update({key: value})),
        )
    yield "disabled.parquet of other rows", partial(_shorter, name="disabled")
    yield "scores.parquet of no rows", partial(_shorter, name="scores")
    parts: tuple[tuple[str, bytes | None], ...] = (
        ("empty", b""),
        ("junk", b"junk" * 9),
        ("half", None),
    )
    for what, content in parts:
        yield f"the parts {what}, run.json gone", partial(_parts, data=content)
    rng = random.Random(4)
    for number in range(6):
        yield f"a random byte of a table ({number})", partial(_flipped, seed=rng.randrange(10**6))


def _halved(run: Path, name: str) -> None:
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: len(data) // 2])


def _edited(run: Path, edit: Callable[[dict[str, object]], object]) -> None:
    record = json.loads((run / "run.json").read_text())
    edit(record)
    (run / "run.json").write_text(json.dumps(record))


def _shorter(run: Path, name: str) -> None:
    import polars as pl

    path = run / f"{name}.parquet"
    pl.read_parquet(path).head(0 if name == "scores" else 1).write_parquet(path)


def _parts(run: Path, data: bytes | None) -> None:
    (run / "run.json").unlink()
    for file in (run / "parts").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:60] if data is None else data)


def _flipped(run: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = rng.choice(sorted(run.glob("*.parquet")))
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 + rng.randrange(255)
    path.write_bytes(bytes(data))
