"""A pass whose batches others run gives the sums of a pass in one process, to the bit, however it is cut."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import families
import headscope
from headscope.commands.engine import Engine
from headscope.engine.executor import Item, Shared
from headscope.engine.folders import Files
from headscope.engine.local import Local
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.model.resuming import Keeping, unfinished
from headscope.model.sent import SentModel
from headscope.model.shards import Added, OfBatch, Part, shared_pass
from headscope.progress import silent
from test_resuming import Memory

T = TypeVar("T")
BATCHES, EXAMPLES = 12, 30
PLAN = [list(range(at, EXAMPLES, BATCHES)) for at in range(BATCHES)]


class Sums:
    """Sums numbers of all sizes, so that another order would give other bits; and keeps a number of every example."""

    def __init__(self) -> None:
        self.sums = np.zeros(4)
        self.seen = np.full(EXAMPLES, -1, np.int8)
        self.scores = np.full(EXAMPLES, np.nan, np.float32)

    def state(self) -> Mapping[str, NDArray[Any]]:
        return {"sums": self.sums, "seen": self.seen, "scores": self.scores}

    def see(self, rows: list[int]) -> None:
        rng = np.random.default_rng(rows[0])
        self.sums += rng.normal(size=4) * 10.0 ** rng.integers(-8, 8, 4)
        self.seen[rows] = rows[0]
        self.scores[rows] = rng.normal(size=len(rows))

    def finish(self) -> None:
        """Nothing waits."""

    @property
    def bits(self) -> list[bytes]:
        return [array.tobytes() for array in self.state().values()]


def whole() -> Sums:
    sums = Sums()
    for rows in PLAN:
        sums.see(rows)
    return sums


def part(first: int, stop: int) -> dict[int, OfBatch]:
    sums, share = Sums(), Part(first, stop)
    for rows in unfinished(PLAN, [sums], share, silent):
        sums.see(rows)
    return share.found


def item(first: int, stop: int) -> Item:
    return Item(f"{first}", f"{__name__}:part", {"first": first, "stop": stop})


class Shuffled(Local):
    """Runs items when they are asked for, in an order that was drawn."""

    def __init__(self, order: list[float], workers: int) -> None:
        super().__init__()
        self.order, self.workers = order, workers


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(BATCHES)), st.sampled_from([1, 2, 7]))
def test_parts_in_any_order_add_up_to_the_bit(order: list[int], parts: int) -> None:
    size = -(-BATCHES // parts)
    cut = [(at, min(at + size, BATCHES)) for at in range(0, BATCHES, size)]
    cut.sort(key=lambda one: order[one[0]])
    found = {number: of for first, stop in cut for number, of in part(first, stop).items()}
    sums = Sums()
    for number in range(BATCHES):
        for name, added in found[number].items():
            added.to(sums.state()[name.partition("/")[2]])
    assert sums.bits == whole().bits


def test_another_order_of_the_batches_would_give_other_bits() -> None:
    sums = Sums()
    for rows in reversed(PLAN):
        sums.see(rows)
    assert sums.bits != whole().bits
    np.testing.assert_allclose(sums.sums, whole().sums)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_a_shared_pass_is_a_pass_and_goes_on_where_it_ended(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headscope.model.resuming.SAVE_EVERY_SECONDS", 0.0)
    memory = Memory()
    begun: list[str] = []

    def counted(first: int, stop: int) -> Item:
        begun.extend(str(number) for number in range(first, stop))
        return item(first, stop)

    sums = Sums()
    done: list[int] = []

    def advance(steps: int = 1, note: str = "") -> None:
        done.append(steps)
        if sum(done) == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared_pass(
            Shuffled([], workers),
            counted,
            PLAN,
            [sums],
            advance=advance,
            keeping=Keeping("pass", memory),
        )
    begun.clear()
    done.clear()
    again = Sums()
    shared_pass(
        Shuffled([], workers),
        counted,
        PLAN,
        [again],
        advance=advance_all(done),
        keeping=Keeping("pass", memory),
    )
    assert again.bits == whole().bits
    assert sum(done) == EXAMPLES
    # What was kept is not run again.
    assert begun == [str(number) for number in range(BATCHES - len(begun), BATCHES)]
    assert 0 < len(begun) < BATCHES


def advance_all(done: list[int]) -> Any:
    def advance(steps: int = 1, note: str = "") -> None:
        done.append(steps)

    return advance


def test_what_is_of_one_example_takes_its_place_and_sums_are_added() -> None:
    added = Added.to_sums(np.array([0.0, 2.0, 0.0]))
    array = np.ones(3)
    added.to(array)
    added.to(array)
    assert array.tolist() == [1, 5, 1]
    before = np.array([[-1.0, np.nan], [-1, -1]])
    places = Added.of_examples([2, 0], before, np.array([[5.0, np.nan], [-1, np.nan]]))
    assert places.places.tolist() == [4, 1]
    numbers = np.full((3, 2), -1.0)
    places.to(numbers)
    places.to(numbers)
    np.testing.assert_array_equal(numbers, [[-1, np.nan], [-1, -1], [5, -1]])


def test_files_are_written_as_they_were_and_never_outside(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "training.parquet").write_bytes(b"not sent")
    (folder / "parts").mkdir()
    (folder / "parts" / "heads.safetensors").write_bytes(b"not sent")
    patterns = ("*.json", "*.safetensors", "*.txt", "[0-9]_*/*.json")
    files = Files.read(folder, patterns)
    files.write(tmp_path / "again")
    names = {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*")}
    assert Path("1_Pooling/config.json") in names
    assert names.isdisjoint({Path("training.parquet"), Path("parts/heads.safetensors")})
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert Files.read(tmp_path / "again", patterns).key == files.key
    (folder / "config.json").write_text("{ }")
    assert Files.read(folder, patterns).key != files.key
    bad = Files({"../outside.json": np.zeros(1, np.uint8)})
    with pytest.raises(HeadscopeError, match="leads out of the folder"):
        bad.write(tmp_path / "inside")
    assert not (tmp_path / "outside.json").exists()
    assert files.size > 0


def test_counts_of_whole_numbers_are_added_too() -> None:
    added = Added.to_sums(np.array([0, 2, 1]))
    counts = np.array([1, 1, 1])
    added.to(counts)
    assert counts.tolist() == [1, 3, 2]


def test_another_model_under_the_same_name_is_refused(tmp_path: Path) -> None:
    model = load(families.make("bert", tmp_path / "model"))
    sent = SentModel.of(model, Local())
    assert sent.checked(load(sent.path())).hash == model.hash
    # A newer revision of the hub, of which a node knows and the driver does not.
    families.make("bert", tmp_path / "model", initializer_range=0.03)
    newer = load(sent.path())
    for check in (sent.checked, sent.checked_encoder):
        with pytest.raises(HeadscopeError, match="a worker has another model under the name"):
            check(newer)
    other = replace(sent, configuration="of another")
    with pytest.raises(HeadscopeError, match="a worker has another model"):
        other.checked(model)


def test_another_head_is_another_model_with_the_same_encoder(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model")
    sent = SentModel.of(load(folder), Local())
    weights = load_file(folder / "model.safetensors")
    save_file(
        {**weights, "classifier.weight": weights["classifier.weight"] + 1},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    other = load(folder)
    assert sent.checked_encoder(other) is other
    with pytest.raises(HeadscopeError, match="a worker has another model"):
        sent.checked(other)


def test_a_model_is_sent_once_for_a_command(tmp_path: Path) -> None:
    class Elsewhere(Local):
        is_elsewhere = True
        shared = 0

        def share(self, value: T) -> Shared[T]:
            self.shared += 1
            return super().share(value)

    executor = Elsewhere()
    engine = Engine(executor)
    model = load(families.make("bert", tmp_path / "model"))
    first, second = engine.sent(model), engine.sent(model)
    assert first is second
    assert executor.shared == 1
    # What arrives is the model.
    assert first.path() != str(tmp_path / "model")
    assert first.checked(load(first.path())).hash == model.hash


@pytest.fixture(scope="module")
def pair_of_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    first = families.make_encoder("bert", folder / "one")
    second = families.make_encoder("bert", folder / "two", initializer_range=0.03)
    return str(first), str(second)


def test_two_processes_give_the_tables_of_one(
    pair_of_models: tuple[str, str], tmp_path: Path
) -> None:
    before, after = pair_of_models
    given: dict[str, Any] = {"task": "builtin", "examples": 24, "batch_tokens": 150}
    given |= {"measures": "entropy,patterns", "precision": "fp32", "quiet": True}
    engines: dict[str, dict[str, Any]] = {
        "local": {},
        "processes": {"engine": "processes", "workers": 2},
    }
    for engine, more in engines.items():
        out = tmp_path / engine
        headscope.compare(before=before, after=after, out=out, **given, **more)
    for file in sorted((tmp_path / "local").glob("*.parquet")):
        other = pl.read_parquet(tmp_path / "processes" / file.name)
        assert pl.read_parquet(file).equals(other), file.name


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"engine": "slurm"}, "--engine 'slurm' is not understood: give local, processes, ray"),
        ({"engine": "ray:"}, "is not understood"),
        ({"engine": "processes:2"}, "is not understood"),
        ({"engine": "ray", "workers": 2}, "--workers goes with --engine processes"),
        ({"gpus_per_item": 0.5}, "--gpus-per-item goes with --engine ray"),
    ],
)
def test_an_engine_that_does_not_exist_is_one_sentence(
    more: dict[str, Any], said: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(HeadscopeError, match=said):
        headscope.disable(model=str(tiny), task="builtin", out=tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()


def test_devices_and_an_engine_exclude_each_other(tiny: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": str(tiny), "task": "builtin", "out": tmp_path / "run"}
    with pytest.raises(HeadscopeError, match="--devices names the processes itself"):
        headscope.disable(**given, devices="cpu,cpu", engine="processes")
