"""A device never waits for the host inside a batch: observers copy nothing to the host while layers
are shown, and the next batch is prepared before the host waits for this one.

On tensors without data (torch's meta device) whatever needs a number on the host raises an error.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import families
from headscope.measures import MEASURES
from headscope.measures.base import FAITHFUL, MeasureObserver, Measures, Prepared
from headscope.measures.comparison import ComparisonObserver
from headscope.model.encoding import batches, encode
from headscope.model.layer_maps import Batch, LayerMaps, PairMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import Observer, run_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector, PairCollector
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import align
from headscope.words.sources import tag

BATCH_TOKENS = 150


class Case:
    """A model with encoded pairs, and whatever looks at their maps."""

    def __init__(self, folder: Path) -> None:
        self.model: Model = load(folder)
        split = load_data(find("builtin"), sizes=(1, 7)).validation
        self.encoded = encode(split, self.model.tokenizer)
        self.words = align(self.encoded, split, tag(split, "gold"))
        self.shape = (self.model.layers, self.model.heads)

    def measures(self, *, faithful: bool = False) -> Measures:
        return Measures(MEASURES.names(), self.words, faithful=faithful)

    def observer(self) -> MeasureObserver:
        return MeasureObserver(self.measures(), *self.shape)

    def collector(self) -> Collector:
        return Collector(load_classifier(), len(self.encoded), *self.shape)

    def pair_collector(self) -> PairCollector:
        return PairCollector(load_classifier(), len(self.encoded), *self.shape)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(families.make("bert", tmp_path_factory.mktemp("models") / "bert"))


def without_data(value: Any) -> Any:
    """The same, its tensors on the meta device."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, dict):
        return {key: without_data(entry) for key, entry in value.items()}
    if isinstance(value, Prepared):
        emptied = Prepared(without_data(value._batch), value._words)
        emptied._made = without_data(value._made)
        return emptied
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: without_data(getattr(value, name)) for name in fields}
        )
    return value


class Shown:
    """Shows another observer maps without data."""

    def __init__(self, observer: Any, *, pair: bool = False) -> None:
        self.observer, self.pair, self.layers = observer, pair, 0

    def prepare(self, batch: Batch) -> Any:
        return without_data(self.observer.prepare(batch))

    def see(self, maps: LayerMaps, prepared: Any) -> None:
        assert maps.gram is not None
        emptied = dataclasses.replace(
            without_data(maps), gram=partial(torch.Tensor.to, maps.gram(), "meta")
        )
        self.observer.see(PairMaps(emptied, emptied) if self.pair else emptied, prepared)
        self.layers += 1


def show(case: Case, observer: Any, *, pair: bool = False) -> None:
    shown = Shown(observer, pair=pair)
    run_pass(case.model, case.encoded, [shown], batch_tokens=BATCH_TOKENS)
    plan = list(batches(case.encoded.lengths, BATCH_TOKENS))
    assert shown.layers == case.model.layers * len(plan)


def test_no_measure_and_no_pattern_needs_a_number_on_the_host(case: Case) -> None:
    assert {"norm_entropy", "verb_to_subject_excess", "same_word_across"} <= set(MEASURES.names())
    show(case, case.observer())
    show(case, case.collector())


def test_neither_does_a_comparison_of_two_models(case: Case) -> None:
    show(case, ComparisonObserver(case.measures(), *case.shape), pair=True)
    show(case, case.pair_collector(), pair=True)


def test_neither_do_the_forms_of_the_notebook(case: Case) -> None:
    assert FAITHFUL
    show(
        case, ComparisonObserver(case.measures(faithful=True), *case.shape, padding=True), pair=True
    )


class Curious:
    """Wants to know a number of every layer."""

    def __init__(self, look: Callable[[Tensor], object]) -> None:
        self.look = look

    def prepare(self, batch: Batch) -> Tensor:
        return batch.real

    def see(self, maps: LayerMaps, prepared: Tensor) -> None:
        self.look(maps.maps.sum() + prepared.sum())


LOOKS: dict[str, Callable[[Tensor], object]] = {
    "cpu": lambda total: total.cpu(),
    "to": lambda total: total.to("cpu"),
    "item": lambda total: total.item(),
    "tolist": lambda total: total.tolist(),
    "bool": lambda total: bool(total > 0),
    "int": lambda total: int(total),
    "numpy": lambda total: total.numpy(),
    "mask": lambda total: total[total > 0],
    "nonzero": lambda total: total.nonzero(),
}


@pytest.mark.parametrize("name", LOOKS)
def test_an_observer_that_needs_one_is_found_out(case: Case, name: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        show(case, Curious(LOOKS[name]))


def test_a_batch_is_copied_to_the_host_a_fixed_number_of_times(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    whole = Tensor.cpu

    def counted(tensor: Tensor) -> Tensor:
        copies.append(tensor.shape)
        return whole(tensor)

    monkeypatch.setattr(Tensor, "cpu", counted)
    observers: list[Observer[LayerMaps, Any]] = [case.observer(), case.collector()]
    run_pass(case.model, case.encoded, observers, batch_tokens=BATCH_TOKENS)
    plan = list(batches(case.encoded.lengths, BATCH_TOKENS))
    # Whether its states are finite, its measures, and the classes of its maps: not once a layer.
    assert len(copies) == 3 * len(plan) > 3


class Order:
    """Notes what it is asked for, by the first example of the batch."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.last = -1

    def prepare(self, batch: Batch) -> int:
        first = int(batch.examples[0])
        self.calls.append(("prepare", first))
        return first

    def see(self, maps: LayerMaps, prepared: int) -> None:
        self.last = prepared
        if maps.layer == 0:
            self.calls.append(("see", prepared))

    def finish(self) -> None:
        self.calls.append(("finish", self.last))


def test_the_next_batch_is_prepared_before_the_host_waits_for_this_one(case: Case) -> None:
    order = Order()
    run_pass(case.model, case.encoded, [order], batch_tokens=BATCH_TOKENS)
    firsts = [rows[0] for rows in batches(case.encoded.lengths, BATCH_TOKENS)]
    expected = [("prepare", firsts[0])]
    for first, following in zip(firsts, [*firsts[1:], None], strict=True):
        expected.append(("see", first))
        if following is not None:
            expected.append(("prepare", following))
        expected.append(("finish", first))
    assert order.calls == expected
