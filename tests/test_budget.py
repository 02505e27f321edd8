"""How many tokens go through a model at once, and what happens where a device has no room for them."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import families
from family_checks import FIRST, SECOND
from headscope.ablation import stacked
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import parse_sets
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.budget import fitting_tokens, tokens_in
from headscope.model.encoding import BATCH_TOKENS, Encoded, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load(families.make("bert", tmp_path))


def examples(model: Model) -> Encoded:
    return encode(
        Split(tuple(FIRST * 3), tuple(SECOND * 3), np.zeros(9, np.int64)), model.tokenizer
    )


def narrow(model: Model, monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Lets the model run out of memory where more than `most` tokens go through it; returns how many
    tokens were asked for.
    """
    asked: list[int] = []
    layer: Any = model.layer_modules[0].get_submodule("intermediate.dense")
    original = layer.forward

    def forward(states: torch.Tensor) -> torch.Tensor:
        asked.append(states[..., 0].numel())
        if asked[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        out: torch.Tensor = original(states)
        return out

    monkeypatch.setattr(layer, "forward", forward)
    return asked


def test_a_processor_takes_as_many_as_ever_and_what_is_asked_for_holds(model: Model) -> None:
    assert fitting_tokens(model) == BATCH_TOKENS
    assert fitting_tokens(model, 100) == 100
    assert fitting_tokens(model, 10**6, most=10) == 10**6


def test_a_gpu_takes_what_fits_into_a_share_of_its_memory(model: Model) -> None:
    config: Any = model.hf.config
    config.hidden_size, config.intermediate_size, model.heads = 768, 3072, 12
    # 12 x 768 + 2 x 3,072 + 6 x 12 x 512 = 52,224 numbers, 208,896 bytes a token.
    assert tokens_in(model, 80 * 2**30) == 65_536
    assert tokens_in(model, 16 * 2**30) == 16_384
    assert tokens_in(model, 2**30) == BATCH_TOKENS


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_full_device_gets_smaller_stacks_and_goes_on(
    model: Model, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    monkeypatch.setattr(stacked, "LEAST_TOKENS", 8)
    data, sets = examples(model), parse_sets("each", 3, 5)
    expected = {one.name: one.outputs for one in Scorer(model, data, precision="fp32").score(sets)}
    notes: list[str] = []
    scorer = Scorer(model, data, precision=precision, note=notes.append)
    # What is tried at the start is tried with all its memory.
    assert scorer.way == "layers"
    notes.clear()
    asked = narrow(model, monkeypatch, 64)
    results = {one.name: one for one in scorer.score(sets)}
    assert max(asked) > 64 >= asked[-1]
    assert results.keys() == expected.keys()
    for name, one in results.items():
        np.testing.assert_array_equal(one.outputs.argmax(1), expected[name].argmax(1))
        if precision == "fp32":
            np.testing.assert_allclose(one.outputs, expected[name], atol=2e-5)
        assert one.activation_change > 0
    assert "has no room for so many tokens at once" in notes[0]
    # Once it is known, nothing larger is tried again.
    asked.clear()
    list(scorer.score(parse_sets("L1H1,L1H2;L1H2,L1H3;L1H3,L1H4", 3, 5)))
    assert max(asked) <= 64


def test_a_device_without_room_for_a_small_stack_is_an_error(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(model, examples(model), precision="fp32", note=lambda _: None)
    assert scorer.way == "layers"
    narrow(model, monkeypatch, 0)
    with pytest.raises(HeadscopeError, match=r"no room for 256 tokens at once: give a smaller"):
        list(scorer.score(parse_sets("L1H1", 3, 5)))


def test_outputs_of_a_batch_that_is_too_large_come_in_halves(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = examples(model)
    expected = logits(model, data)
    asked = narrow(model, monkeypatch, 60)
    np.testing.assert_allclose(logits(model, data), expected, atol=1e-5)
    assert max(asked) > 60
    narrow(model, monkeypatch, 3)
    with pytest.raises(HeadscopeError, match=r"no room for a single example of \d+ tokens"):
        logits(model, data)


@pytest.mark.parametrize(("memory", "kept"), [(10**9, 15), (8 * 5 * 9 * 2 * 4, 5), (0, 0)])
def test_sets_that_were_scored_are_not_scored_again(model: Model, memory: int, kept: int) -> None:
    data, sets = examples(model), parse_sets("each", 3, 5)
    scorer = Scorer(model, data, precision="fp32", memory=memory)
    first = {one.name: one.outputs for one in scorer.score(sets)}
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    hook = model.layer_modules[2].attention.self.query.register_forward_hook(count)  # type: ignore[union-attr]
    renamed = [(f"again {name}", heads) for name, heads in sets]
    again = {one.name: one.outputs for one in scorer.score(renamed)}
    hook.remove()
    assert len(scorer._scored) == kept
    for name, outputs in first.items():
        np.testing.assert_allclose(again[f"again {name}"], outputs, atol=1e-5)
    assert (runs == 0) == (kept == 15)
    # What is done is not given, whether it is known or not.
    assert not list(scorer.score(renamed, done=[name for name, _ in renamed]))
