"""Passes that are broken off and resumed: nothing is done twice, and the numbers are those of an unbroken run, to the
bit; what was kept and is not what is asked for is made again.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import families
import golden_runs
import headscope
from headscope.commands import session
from headscope.measures import gradient
from headscope.model import passes, resuming
from headscope.model.resuming import Arrays, Keeping, unfinished
from headscope.progress import silent
from headscope.results.run import Parts
from test_framenet import AIM, GOOD, release

Say = pytest.CaptureFixture[str]


class Memory:
    """Parts in memory: what is kept is a copy."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, npt.NDArray[Any]]] = {}
        self.refused: list[str] = []

    def get(self, name: str) -> Arrays | None:
        return self.arrays.get(name)

    def put(self, name: str, arrays: Arrays) -> None:
        self.arrays[name] = {key: array.copy() for key, array in arrays.items()}

    def refuse(self, name: str) -> None:
        self.refused.append(name)


class Sum:
    """Adds up the numbers of rows, so that the order decides the last bits."""

    def __init__(self) -> None:
        self.total = np.zeros(2)

    def state(self) -> Arrays:
        return {"total": self.total}

    def add(self, rows: list[int]) -> None:
        self.total += [sum(0.1 * row for row in rows), len(rows)]


PLAN = [[0, 3], [1], [2, 4, 5], [6], [7, 8]]


def passed(parts: Memory, stop: int | None = None, plan: list[list[int]] = PLAN) -> tuple[Sum, int]:
    """The sum, and how many batches were added up by this call, which stops before batch number `stop`."""
    total, done = Sum(), 0
    for rows in unfinished(plan, [total], Keeping("pass", parts), silent):
        if done == stop:
            break
        total.add(rows)
        done += 1
    return total, done


@pytest.mark.parametrize("stop", range(len(PLAN)))
def test_a_pass_goes_on_behind_the_last_batch_that_was_kept(
    stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SAVE_EVERY_SECONDS", 0.0)
    whole, _ = passed(Memory())
    parts = Memory()
    passed(parts, stop)
    total, done = passed(parts)
    assert done == len(PLAN) - stop
    assert total.total.tobytes() == whole.total.tobytes()
    assert passed(parts)[1] == 0
    assert not parts.refused


def test_what_was_kept_of_other_batches_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "SAVE_EVERY_SECONDS", 0.0)
    parts = Memory()
    passed(parts, 3)
    total, done = passed(parts, plan=[[0, 1], [2, 3, 4], [5, 6], [7], [8]])
    assert done == 5
    assert total.total[1] == 9


@pytest.mark.parametrize(
    "damage",
    [
        {"0/total": np.zeros(3)},
        {"0/total": np.zeros(2, np.float32)},
        {"batches_done": np.array([99])},
        {"batches_done": np.array([-1])},
        {"plan": np.zeros(4, np.uint8)},
        {"other": np.zeros(1)},
    ],
)
def test_a_state_that_is_none_of_this_pass_is_refused(
    damage: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SAVE_EVERY_SECONDS", 0.0)
    parts = Memory()
    passed(parts, 3)
    parts.arrays["pass"] |= damage
    assert passed(parts)[1] == len(PLAN)
    assert parts.refused == ["pass"]


def test_an_observer_without_a_state_cannot_be_kept() -> None:
    with pytest.raises(TypeError, match="object has no state"):
        list(unfinished(PLAN, [object()], Keeping("pass", Memory()), silent))


def cache_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the function gave at its first call, at every call."""
    made: list[Any] = []

    def called(settings: Any, *given: Any, **more: Any) -> Any:
        made.extend([] if made else [function(settings, *given, **more)])
        return replace(made[0], settings=settings)

    return called


class Stopped(BaseException):
    pass


def stopping(function: Callable[..., Any], at: int) -> tuple[Callable[..., Any], list[int]]:
    """A function that is stopped at its call number `at`; and a list with an entry per call."""
    calls: list[int] = []

    def called(*given: Any, **more: Any) -> Any:
        if len(calls) == at:
            raise Stopped
        calls.append(len(calls))
        return function(*given, **more)

    return called, calls


MEASURED: dict[str, Any] = {
    "task": "builtin",
    "examples": 30,
    "batch_tokens": 100,
    "precision": "fp32",
    "quiet": True,
}


def corpus(folder: Path) -> dict[str, str]:
    """The corpora of `relations` that are small."""
    golden_runs.treebank(folder / "en_made-ud-dev.conllu")
    release(folder / "frames", [GOOD, AIM] * 3)
    return {
        "treebank": f"ud:{folder / 'en_made-ud-dev.conllu'}",
        "frames": f"framenet:{folder / 'frames'}",
    }


CASES = ["measure", "compare", "importance", "likeness", "treebank", "frames"]


@pytest.mark.parametrize("case", CASES)
def test_a_command_that_is_broken_off_goes_on_and_its_tables_are_the_same(
    case: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(session, "open_session", cache_of(session.open_session))
    model = str(tiny)
    common: dict[str, Any] = {**MEASURED, "measures": "entropy,distance,patterns"}
    runs: dict[str, tuple[Callable[..., Any], Any, str, dict[str, Any]]] = {
        "measure": (headscope.measure, passes, "observe_batch", {**common, "model": model}),
        "compare": (
            headscope.compare,
            passes,
            "observe_batch",
            {
                **common,
                "before": model,
                "after": str(families.make("bert", tmp_path / "m", initializer_range=0.3)),
            },
        ),
        "importance": (
            headscope.measure,
            gradient,
            "training_loss",
            {**common, "model": model, "measures": "gradient_importance"},
        ),
        "likeness": (
            headscope.measure,
            passes,
            "observe_batch",
            {**common, "model": model, "measures": "likeness"},
        ),
    }
    if case in runs:
        command, module, name, given = runs[case]
    else:
        command, module, name = headscope.relations, passes, "observe_batch"
        given = {
            "model": model,
            "corpus": corpus(tmp_path)[case],
            "precision": "fp32",
            "quiet": True,
        }
        given |= {"batch_tokens": 20}
    if case == "treebank":
        monkeypatch.setattr("headscope.linguistics.treebank._BLOCK", 20)
    original = getattr(module, name)
    uninterrupted, calls = stopping(original, 10**6)
    monkeypatch.setattr(module, name, uninterrupted)
    command(**given, out=tmp_path / "whole")
    needed = len(calls)
    assert needed > 4
    stop = needed // 2
    broken, _ = stopping(original, stop)
    monkeypatch.setattr(module, name, broken)
    out = tmp_path / "broken"
    with pytest.raises(Stopped):
        command(**given, out=out)
    kept = {path: path.stat().st_mtime_ns for path in (out / "parts").rglob("*.safetensors")}
    assert kept
    again, calls = stopping(original, 10**6)
    monkeypatch.setattr(module, name, again)
    command(**given, out=out)
    # A model that is compared runs twice a batch, and a treebank keeps whole blocks.
    spare = {"compare": 1, "treebank": 20}.get(case, 0)
    assert needed - stop <= len(calls) <= needed - stop + spare
    tables = sorted(path.name for path in (tmp_path / "whole").glob("*.parquet"))
    assert tables
    for table in tables:
        one, two = (pl.read_parquet(folder / table) for folder in (tmp_path / "whole", out))
        assert one.equals(two), table
    for arrays in (tmp_path / "whole").glob("*.safetensors"):
        assert arrays.read_bytes() == (out / arrays.name).read_bytes(), arrays.name


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(name: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], path: Path) -> None:
    arrays = load_file(path)
    save_file({**arrays, name: np.ascontiguousarray(change(arrays[name]))}, path)


def without_logits(path: Path) -> None:
    save_file({"change": np.zeros(1)}, path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "junk": lambda path: path.write_bytes(b"\xff" * 64),
    "other rows": partial(changed, "logits", lambda logits: logits[1:]),
    "no logits": without_logits,
    "three classes": partial(changed, "logits", lambda logits: np.repeat(logits, 2, 1)[:, :3]),
    "NaN": partial(changed, "logits", lambda logits: logits * np.nan),
    "another type": partial(changed, "logits", lambda logits: logits.astype(np.float64)),
}


def test_a_damaged_part_is_made_again_and_said(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    monkeypatch.setattr(session, "open_session", cache_of(session.open_session))
    given: dict[str, Any] = {"model": str(tiny), "task": "builtin", "examples": 12}
    given |= {"heads": "layers", "precision": "fp32", "out": tmp_path / "run"}
    headscope.disable(**given)
    whole = pl.read_parquet(tmp_path / "run" / "disabled.parquet")
    parts = sorted((tmp_path / "run" / "parts" / "disabled").iterdir())
    for name, damage in DAMAGES.items():
        (tmp_path / "run" / "run.json").unlink()
        damage(parts[1])
        before = [part.stat().st_mtime_ns for part in parts]
        capsys.readouterr()
        headscope.disable(**given)
        said = capsys.readouterr().err
        assert said.count(f"part disabled/{parts[1].stem} is damaged: it is made again") == 1, name
        assert pl.read_parquet(tmp_path / "run" / "disabled.parquet").equals(whole), name
        after = [part.stat().st_mtime_ns for part in parts]
        is_kept = [one == two for one, two in zip(before, after, strict=True)]
        assert is_kept == [True, False, True], name


@pytest.mark.parametrize("block", ["block-0", "shuffled"])
def test_a_damaged_block_of_a_treebank_is_made_again(
    block: str, tiny: Path, tmp_path: Path, capsys: Say
) -> None:
    given: dict[str, Any] = {"model": str(tiny), "corpus": corpus(tmp_path)["treebank"]}
    out = tmp_path / "run"
    headscope.relations(**given, out=out)
    whole = pl.read_parquet(out / "relations.parquet")
    (out / "run.json").unlink()
    path = out / "parts" / "relations" / f"{block}.safetensors"
    changed("offsets", lambda offsets: offsets[:1], path)
    headscope.relations(**given, out=out)
    assert f"the saved part relations/{block} is damaged" in capsys.readouterr().err
    assert pl.read_parquet(out / "relations.parquet").equals(whole)


def test_little_is_written_while_a_pass_runs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty seconds of work lie between two saves: a short pass is saved once, in the end."""
    puts: list[str] = []
    original = Parts.put

    def put(self: Any, name: str, arrays: Any) -> None:
        puts.append(name)
        original(self, name, arrays)

    monkeypatch.setattr(Parts, "put", put)
    headscope.measure(**MEASURED, model=str(tiny), measures="entropy", out=tmp_path / "run")
    assert puts == ["heads"]
