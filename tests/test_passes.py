"""One pass over the data: what observers are shown, how often, and that nobody changes it."""

# mypy: disable-error-code="type-arg"

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel

import families
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.measures import MEASURES, WordMeasure, similarity
from headscope.measures.base import MeasureObserver, Measures
from headscope.measures.comparison import ComparisonObserver
from headscope.measures.similarity import DivergenceObserver, likeness
from headscope.model import example_maps as example_maps_module
from headscope.model import passes
from headscope.model.encoding import Encoded, batches, encode, only
from headscope.model.example_maps import example_maps
from headscope.model.layer_maps import Batch, LayerMaps, PairMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import Observer, batch_of, run_pair_pass, run_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import Aligned, align
from headscope.words.sources import tag

Place = tuple[int, int]
"""Example and layer."""


class Case:
    """A model with encoded, tagged examples of different lengths."""

    def __init__(self, folder: Path, rows: int = 7) -> None:
        self.model, self.folder = load(folder), folder
        split: Split = load_data(find("builtin"), sizes=(1, rows)).validation
        self.encoded: Encoded = encode(split, self.model.tokenizer)
        self.words: list[Aligned] = align(self.encoded, split, tag(split, "gold"))

    def measures(self) -> MeasureObserver:
        every = Measures(MEASURES.names(), self.words)
        return MeasureObserver(every, self.model.layers, self.model.heads)

    def collector(self) -> Collector:
        examples = len(self.encoded)
        return Collector(load_classifier(), examples, self.model.layers, self.model.heads)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(families.make("bert", tmp_path_factory.mktemp("models") / "bert"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "other"
    return load(families.make("bert", folder, initializer_range=0.4))


class Recorder:
    """Keeps the real part of every map, and in what order it was asked and shown."""

    def __init__(self) -> None:
        self.maps: dict[Place, Tensor] = {}
        self.calls: list[str] = []

    def prepare(self, batch: Batch) -> tuple[int, ...]:
        self.calls.append("prepare")
        return tuple(batch.examples.tolist())

    def see(self, maps: LayerMaps, prepared: tuple[int, ...]) -> None:
        assert prepared == tuple(maps.batch.examples.tolist())
        self.calls.append(f"layer {maps.layer}")
        for row, example in enumerate(prepared):
            n = int(maps.real[row].sum())
            assert (example, maps.layer) not in self.maps
            self.maps[example, maps.layer] = maps.maps[row, :, :n, :n].clone()


def assert_same_maps(
    one: dict[Place, Tensor], two: dict[Place, Tensor], tolerance: float = 0.0
) -> None:
    assert one.keys() == two.keys()
    for place, maps in one.items():
        torch.testing.assert_close(maps, two[place], atol=tolerance, rtol=0)


def test_every_observer_is_shown_what_it_is_shown_alone(case: Case) -> None:
    together, first, second = [Recorder(), Recorder()], Recorder(), Recorder()
    run_pass(case.model, case.encoded, together, batch_tokens=150)
    run_pass(case.model, case.encoded, [first], batch_tokens=150)
    run_pass(case.model, case.encoded, [second], batch_tokens=150)
    assert_same_maps(together[0].maps, first.maps)
    assert_same_maps(together[1].maps, second.maps)
    every = {(e, layer) for e in range(len(case.encoded)) for layer in range(case.model.layers)}
    assert set(first.maps) == every


def test_measures_and_patterns_of_one_pass_are_those_of_two(case: Case) -> None:
    measures, collector = case.measures(), case.collector()
    run_pass(case.model, case.encoded, [collector, measures], batch_tokens=150)
    alone, classes = case.measures(), case.collector()
    run_pass(case.model, case.encoded, [alone], batch_tokens=150)
    run_pass(case.model, case.encoded, [classes], batch_tokens=150)
    assert np.array_equal(collector.classes, classes.classes)
    for name, moments in measures.moments().items():
        assert np.array_equal(moments.n, alone.moments()[name].n)
        assert np.array_equal(moments.total, alone.moments()[name].total, equal_nan=True)


def test_a_batch_is_prepared_once_before_its_layers_come_in_order(case: Case) -> None:
    recorder = Recorder()
    done: list[int] = []

    def advance(steps: int = 1, note: str = "") -> None:
        assert not note
        done.append(steps)

    run_pass(case.model, case.encoded, [recorder], batch_tokens=150, advance=advance)
    layers = [f"layer {layer}" for layer in range(case.model.layers)]
    assert len(done) > 1
    assert recorder.calls == ["prepare", *layers] * len(done)
    assert sum(done) == len(case.encoded)


def test_maps_do_not_depend_on_batches_padding_and_order(case: Case) -> None:
    alone, padded, reverse = Recorder(), Recorder(), Recorder()
    run_pass(case.model, case.encoded, [alone], batch_tokens=1)
    run_pass(case.model, case.encoded, [padded], batch_tokens=10_000)
    order = list(range(len(case.encoded)))[::-1]
    run_pass(case.model, only(case.encoded, order), [reverse], batch_tokens=150)
    assert_same_maps(alone.maps, padded.maps, 1e-6)
    turned = {(order[example], layer): maps for (example, layer), maps in reverse.maps.items()}
    assert_same_maps(alone.maps, turned, 1e-6)


class Guard:
    """Holds a layer as it came, and says whether it still is the same."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, ...] = ()
        self.checked = 0

    def prepare(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch.real.clone(), batch.special.clone(), batch.segment.clone(), batch.ids.clone())

    def see(self, maps: LayerMaps, prepared: tuple[Tensor, ...]) -> None:
        batch = maps.batch
        now = (maps.maps, maps.values, batch.real, batch.special, batch.segment, batch.ids)
        if not self.kept:
            self.kept = (maps.maps.clone(), maps.values.clone(), *prepared)
            return
        assert all(torch.equal(one, two) for one, two in zip(self.kept, now, strict=True))
        self.kept = ()
        self.checked += 1


def test_no_observer_changes_what_it_is_shown(case: Case) -> None:
    guard = Guard()
    divergences = DivergenceObserver(case.model.layers, case.model.heads)
    others: list[Observer[LayerMaps, Any]] = [case.measures(), case.collector(), divergences]
    run_pass(case.model, case.encoded, [guard, *others, guard], batch_tokens=1)
    assert guard.checked == len(case.encoded) * case.model.layers


class Vandal:
    """Changes the maps: what the guard is for."""

    def prepare(self, batch: Batch) -> float:
        return 2.0 if len(batch.examples) else 1.0

    def see(self, maps: LayerMaps, prepared: float) -> None:
        maps.maps.mul_(prepared)


def test_the_guard_can_fail(case: Case) -> None:
    guard = Guard()
    with pytest.raises(AssertionError):
        run_pass(case.model, case.encoded, [guard, Vandal(), guard])
    # And the model is as it was.
    assert not case.model.tap.observers


def counted(name: str, calls: list[str]) -> None:
    """Register two measures that share a preparation which counts its calls."""

    def preparation(batch: Batch, words: Sequence[Aligned]) -> Tensor:
        calls.append(",".join(map(str, batch.examples)))
        assert len(words) == len(batch.examples)
        return batch.real.float()

    def update(maps: LayerMaps, real: Tensor) -> Tensor:
        """What real tokens receive."""
        return (maps.received * real[:, None]).sum(-1)

    for suffix in ("one", "two"):
        MEASURES.register(f"{name}_{suffix}")(WordMeasure("mass", update, preparation))


@pytest.mark.parametrize("pair", [False, True])
def test_measures_share_the_work_of_their_preparation(case: Case, other: Model, pair: bool) -> None:
    calls: list[str] = []
    names = ["counted_one", "counted_two"]
    counted("counted", calls)
    try:
        measures = Measures([*names, "attention_to_noun"], case.words)
        shape = (case.model.layers, case.model.heads)
        recorder = Recorder()
        if pair:
            comparison = ComparisonObserver(measures, *shape)
            run_pair_pass(case.model, other, case.encoded, [comparison], batch_tokens=150)
            found = comparison.comparison().after
        else:
            observer = MeasureObserver(measures, *shape)
            run_pass(case.model, case.encoded, [observer], batch_tokens=150)
            found = observer.moments()
        run_pass(case.model, case.encoded, [recorder], batch_tokens=150)
    finally:
        for name in names:
            MEASURES._items.pop(name)
    assert recorder.calls.count("prepare") == len(calls) == len(set(calls)) > 1
    for name in names:
        np.testing.assert_allclose(found[name].compute()[0], 1, atol=1e-5)


class PairRecorder:
    """Records both models."""

    def __init__(self) -> None:
        self.before, self.after = Recorder(), Recorder()

    def prepare(self, batch: Batch) -> tuple[int, ...]:
        return self.before.prepare(batch)

    def see(self, maps: PairMaps, prepared: tuple[int, ...]) -> None:
        assert maps.before.layer == maps.after.layer
        assert maps.before.batch is maps.after.batch
        self.before.see(maps.before, prepared)
        self.after.see(maps.after, prepared)


@pytest.mark.parametrize("width", [0, 90])
def test_a_pair_is_shown_what_each_model_shows_alone(case: Case, other: Model, width: int) -> None:
    pair, first, second = PairRecorder(), Recorder(), Recorder()
    run_pair_pass(case.model, other, case.encoded, [pair], width=width, batch_tokens=150)
    run_pass(case.model, case.encoded, [first], batch_tokens=150)
    run_pass(other, case.encoded, [second], batch_tokens=150)
    tolerance = 1e-6 if width else 0.0
    assert_same_maps(pair.before.maps, first.maps, tolerance)
    assert_same_maps(pair.after.maps, second.maps, tolerance)
    assert not torch.equal(first.maps[0, 0], second.maps[0, 0])


def test_models_of_other_shapes_are_no_pair(case: Case, tmp_path: Path) -> None:
    small = load(families.make("bert", tmp_path / "small", num_hidden_layers=2))
    with pytest.raises(HeadscopeError, match="compare a model with its own fine-tuned form"):
        run_pair_pass(case.model, small, case.encoded, [])


def test_maps_of_examples_are_those_of_eager_attention_in_255ths(case: Case) -> None:
    rows = [5, 1, 3]
    found = example_maps(case.model, case.encoded, rows)
    assert list(found) == rows
    eager = AutoModel.from_pretrained(case.folder, attn_implementation="eager").eval()
    for row in rows:
        with torch.no_grad():
            attentions = eager(**case.encoded.batch([row]), output_attentions=True).attentions
        exact = torch.cat(attentions).numpy() * 255
        assert found[row].dtype == np.uint8
        # A rounding of 255ths, and one of another order of sums.
        assert np.abs(found[row] - exact).max() <= 0.5 + 1e-3


class Sizes:
    """How many bytes of maps it was shown at a time."""

    heads_by_themselves = True

    def __init__(self) -> None:
        self.seen: list[int] = []

    def prepare(self, _batch: Batch) -> None:
        return None

    def see(self, maps: LayerMaps, _prepared: None) -> None:
        self.seen.append(4 * maps.maps.numel())


def seen_alike(case: Case, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the blocks of a pass over all measures and patterns were, whose results are those
    of whole layers.
    """
    found = []
    for most in (2**40, block_bytes):
        monkeypatch.setattr(passes, "BLOCK_BYTES", most)
        observer, collector, sizes = case.measures(), case.collector(), Sizes()
        run_pass(case.model, case.encoded, [observer, collector, sizes], batch_tokens=150)
        found.append((observer.moments(), collector.classes))
    (whole, classes), (blocks, of_blocks) = found
    assert np.array_equal(classes, of_blocks)
    for name, moments in whole.items():
        assert np.array_equal(moments.n, blocks[name].n)
        np.testing.assert_allclose(moments.total, blocks[name].total, rtol=1e-4, atol=1e-5)
    return sizes.seen


def test_in_blocks_of_heads_measures_and_patterns_are_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = case.encoded.lengths
    one_map = 4 * int(lengths.max()) ** 2
    for most in (1, one_map, 3 * one_map):
        sizes = seen_alike(case, most, monkeypatch)
        # Never more than was allowed, but for single heads, of which a batch may have several maps.
        batch = max(4 * len(rows) * int(lengths[rows].max()) ** 2 for rows in batches(lengths, 150))
        assert max(sizes) <= max(most, batch)
        assert len(sizes) > case.model.layers * len(list(batches(lengths, 150)))


def test_an_observer_that_needs_all_heads_gets_them(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "BLOCK_BYTES", 1)
    recorder = Recorder()
    run_pass(case.model, case.encoded, [case.measures(), recorder], batch_tokens=150)
    assert {len(maps) for maps in recorder.maps.values()} == {case.model.heads}


def test_what_holds_all_layers_is_refused_where_it_is_too_large(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "WHOLE_BYTES", 1000)
    with pytest.raises(HeadscopeError, match="comparing two models holds the maps of all layers"):
        run_pair_pass(case.model, case.model, case.encoded, [])
    monkeypatch.setattr(similarity, "MOST_BYTES", 1000)
    with pytest.raises(HeadscopeError, match=r"likeness of heads holds .* give a smaller --max-le"):
        likeness(case.model, case.encoded)


def test_maps_of_long_examples_are_kept_in_cells(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_maps_module, "WHOLE", 9)
    monkeypatch.setattr(example_maps_module, "FEWEST", 6)
    monkeypatch.setattr(example_maps_module, "SHOWN", 1)
    row = int(case.encoded.lengths.argmax())
    tokens = int(case.encoded.lengths[row])
    size = example_maps_module.cell_size(tokens, 15)
    assert size > 1
    for most in (2**40, 1):
        monkeypatch.setattr(passes, "BLOCK_BYTES", most)
        found = example_maps(case.model, case.encoded, [row])[row]
        eager = AutoModel.from_pretrained(case.folder, attn_implementation="eager").eval()
        with torch.no_grad():
            attentions = eager(**case.encoded.batch([row]), output_attentions=True).attentions
        exact = torch.cat(attentions).numpy()
        starts = range(0, tokens, size)
        assert found.shape[2:] == (len(starts), len(starts))
        for i, first in enumerate(starts):
            for j, other in enumerate(starts):
                cell = exact[:, :, first : first + size, other : other + size]
                assert np.abs(found[:, :, i, j] - 255 * cell.sum(-1).mean(-1)).max() <= 0.501


def test_separators_are_the_special_tokens_but_the_first(case: Case) -> None:
    _, batch = batch_of(case.encoded, [0, 2], torch.device("cpu"), width=120)
    special = batch.special.clone()
    assert batch.real.shape[1] == 120
    for row, example in enumerate((0, 2)):
        places = batch.separators[row].nonzero().flatten().tolist()
        assert places == [
            token for token, mark in enumerate(case.encoded.special[example]) if mark and token
        ]
        assert len(places) == 2
    assert torch.equal(batch.special, special)
