"""On a GPU everything is what it is on the processor: maps, measures, disabled heads, training, memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import families
from headscope.ablation.forms import OneByOne
from headscope.ablation.scorer import Scorer
from headscope.axes import all_heads
from headscope.examples import Split
from headscope.measures import OWN_PASS, known, measure
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.outputs import logits
from headscope.model.passes import run_pass
from headscope.model.tap import Mode
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.training.loop import train
from headscope.training.recipe import Recipe
from headscope.words.align import align
from headscope.words.sources import tag

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def rows() -> Split:
    return load_data(find("builtin"), seed=1, sizes=(96, 24)).validation


@pytest.fixture(params=["bert", "distilbert", "albert", "modernbert"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return families.make(request.param, tmp_path / request.param)


def test_measures_are_those_of_the_processor(folder: Path, rows: Split) -> None:
    here, there = load(folder, device="cpu"), load(folder, device="cuda")
    encoded = encode(rows, here.tokenizer)
    words = align(encoded, rows, tag(rows, "auto"))
    names = [name for name in known() if name not in OWN_PASS]
    one = measure(here, encoded, names, words=words)
    other = measure(there, encoded, names, words=words)
    assert set(one) == set(other) == set(names)
    for name in names:
        for ours, theirs in zip(one[name].compute(), other[name].compute(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=name)


def test_patterns_are_those_of_the_processor(folder: Path, rows: Split) -> None:
    found = []
    for device in ("cpu", "cuda"):
        model = load(folder, device=device)
        encoded = encode(rows, model.tokenizer)
        collector = Collector(load_classifier(), len(encoded), model.layers, model.heads)
        run_pass(model, encoded, [collector])
        found.append(collector.classes)
    # A map on the border of two classes can fall on either side.
    assert (found[0] != found[1]).mean() < 0.01


@pytest.mark.parametrize("mode", ["uniform", "zero"])
def test_disabled_heads_are_those_of_the_explicit_form_and_of_the_processor(
    folder: Path, rows: Split, mode: Mode
) -> None:
    here, there = load(folder, device="cpu"), load(folder, device="cuda")
    encoded = encode(rows, here.tokenizer)
    every = all_heads(there.layers, there.heads)
    rng = np.random.default_rng(5)
    sets = [(str(head), frozenset([head])) for head in every[::3]]
    sets += [
        (f"set {k}", frozenset(every[i] for i in rng.choice(len(every), k, replace=False)))
        for k in (2, 5)
    ]
    before = logits(there, encoded, precision="fp32")
    np.testing.assert_allclose(
        before, logits(here, encoded, precision="fp32"), rtol=1e-3, atol=1e-4
    )
    scorer = Scorer(there, encoded, mode, unchanged=before, precision="fp32")
    scored = {result.name: result.outputs for result in scorer.score(sets)}
    assert set(scored) == {name for name, _ in sets}
    for name, heads in sets:
        slow, elsewhere = (
            OneByOne(model, encoded, mode, 2048, "fp32").score_set(name, heads).outputs
            for model in (there, here)
        )
        np.testing.assert_allclose(scored[name], slow, rtol=1e-3, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(slow, elsewhere, rtol=1e-3, atol=1e-4, err_msg=name)
    # Nothing is left of it.
    np.testing.assert_array_equal(logits(there, encoded, precision="fp32"), before)


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    task, rows = find("builtin"), load_data(find("builtin"), seed=1, sizes=(96, 24)).train
    recipe = Recipe(epochs=2, batch_size=8, lr=1e-3)

    def run(state: Path | None, kill_at: int = 0) -> dict[str, torch.Tensor]:
        model = load(folder, device="cuda")
        done = 0

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal done
            done += steps
            if kill_at and done >= kill_at:
                raise KilledError

        encoded = encode(rows, model.tokenizer)
        train(
            model, task, encoded, rows.labels, recipe, state=state, advance=advance, save_every=0.0
        )
        return {name: value.cpu() for name, value in model.hf.state_dict().items()}

    whole = run(None)
    state = tmp_path / "state.safetensors"
    with pytest.raises(KilledError):
        run(state, kill_at=9)
    resumed = run(state)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A real end of the GPU's memory, where this process may have little of it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_allocated() + 600 * 2**20) / total
    )
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("little_memory")
def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "bert")
    model, task = load(folder, device="cuda"), find("builtin")
    text = "the nurse thanked the pilot " * 40
    rows = Split((text,) * 2048, (text,) * 2048, np.arange(2048) % 2)
    parts: list[int] = []
    encoded = encode(rows, model.tokenizer, 128)
    train(
        model, task, encoded, rows.labels, Recipe(epochs=1, batch_size=2048), on_split=parts.append
    )
    assert parts[0] == 1024
