"""Every condition of the check at load can fail, by itself and in a model that is broken so."""

# mypy: disable-error-code="index, union-attr"

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import families
from headscope.errors import InterventionError
from headscope.model import check, loading
from headscope.model.attention import ScoredCall
from headscope.model.loading import load
from headscope.model.model import Model

REAL = torch.tensor([[True, True, True], [True, True, False]])


def uniform() -> Tensor:
    """Uniform maps of two examples, [batch, head, query, key]: three tokens, and two with a padding."""
    rows = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1 / 2, 1 / 2, 0]])
    return rows[:, None, None].expand(2, 5, 3, 3).clone()


def test_whole_maps_pass() -> None:
    maps = uniform()
    # Whatever stands in the rows of the padding.
    maps[1, :, 2] = 7.0
    check.attention_is_finite([maps])
    check.every_layer_is_seen([maps, maps], 2, 5)
    check.maps_are_the_models_own(maps, uniform(), REAL, 1)
    check.rows_sum_to_one(maps, REAL, 1)
    check.padding_gets_nothing(maps, REAL, 1)
    check.plain_maps_are_returned([maps], 1)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_attention_is_finite(bad: float) -> None:
    maps = uniform()
    maps[1, 4, 0, 1] = bad
    with pytest.raises(InterventionError, match="the attention of layer 2 is not finite"):
        check.attention_is_finite([uniform(), maps])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_output_is_finite(bad: float) -> None:
    logits = torch.zeros(2, 7)
    states = torch.zeros(2, 3, 7)
    states[1, 2, 5] = bad
    check.output_is_finite(logits, REAL)
    # Only at a padding.
    check.output_is_finite(states, REAL)
    logits[1, 3] = bad
    states[0, 2, 5] = bad
    for output in (logits, states):
        with pytest.raises(InterventionError, match="its output is not finite"):
            check.output_is_finite(output, REAL)


def test_every_layer_is_seen() -> None:
    maps = uniform()
    with pytest.raises(InterventionError, match="1 calls of attention were seen, 2 layers of 5"):
        check.every_layer_is_seen([maps], 2, 5)
    with pytest.raises(InterventionError, match="2 calls of attention were seen, 2 layers of 11"):
        check.every_layer_is_seen([maps, maps], 2, 11)


def test_plain_maps_are_returned() -> None:
    with pytest.raises(InterventionError, match="it returns 0 for 3 layers"):
        check.plain_maps_are_returned([], 3)


def test_maps_are_the_models_own() -> None:
    maps = uniform()
    maps[0, 3, 1] = torch.tensor([0.4, 0.3, 0.3])
    with pytest.raises(
        InterventionError, match="the maps of layer 4 differ from transformers' own"
    ):
        check.maps_are_the_models_own(maps, uniform(), REAL, 4)


def test_rows_sum_to_one() -> None:
    maps = uniform()
    maps[1, 2, 1, 0] += 0.001
    with pytest.raises(InterventionError, match="the rows of layer 3 do not sum to 1"):
        check.rows_sum_to_one(maps, REAL, 3)


def test_padding_gets_nothing() -> None:
    maps = uniform()
    maps[1, 2, 1] = 1 / 3
    check.rows_sum_to_one(maps, REAL, 2)
    with pytest.raises(InterventionError, match="layer 2 attends to padding"):
        check.padding_gets_nothing(maps, REAL, 2)


def unread(model: Model) -> None:
    """All heads move, and nobody reads them."""
    model.hf.base_model.encoder.layer[1].attention.output.dense.weight.data.zero_()


def constant(model: Model) -> None:
    """One head puts out the same for every token, whatever it attends to."""
    attention: Any = model.hf.base_model.encoder.layer[1].attention.self
    head = slice(3 * families.HEAD_SIZE, 4 * families.HEAD_SIZE)
    attention.value.weight.data[head] = 0
    attention.value.bias.data[head] = 0


@pytest.mark.parametrize("damage", [unread, constant])
@torch.no_grad()
def test_disabling_changes_the_output(tiny: Path, damage: Callable[[Model], None]) -> None:
    model = load(tiny)
    batch = dict(model.tokenizer(["The nurse thanked the pilot."], return_tensors="pt"))
    check.disabling_changes_the_output(model, batch, model.hf(**batch)[0], 2)
    damage(model)
    output = model.hf(**batch)[0]
    check.disabling_changes_the_output(model, batch, output, 1)
    with pytest.raises(InterventionError, match="disabling the heads of layer 2 changed nothing"):
        check.disabling_changes_the_output(model, batch, output, 2)


def test_the_output_must_be_finite(tiny: Path) -> None:
    model = load(tiny)
    hf: Any = model.hf
    hf.classifier.bias.data[0] = torch.nan
    with pytest.raises(InterventionError, match="its output is not finite, so its weights are"):
        check.check(model)


def test_a_failed_check_says_of_which_model_and_what_to_do(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_model: Model) -> None:
        raise InterventionError("its output is not finite, so its weights are damaged")

    monkeypatch.setattr(loading, "check", fail)
    with pytest.raises(InterventionError) as error:
        load(tiny)
    assert str(error.value) == (
        f"{tiny} (bert) failed the check at load: its output is not finite, so its weights are "
        "damaged. Its heads cannot be measured or disabled reliably; use a model of another "
        "family (bert, roberta, electra, ...) or report this one"
    )


def test_a_model_that_does_not_return_its_own_maps_is_refused(tiny: Path) -> None:
    model = load(tiny)
    model.tapping = replace(model.tapping, plain=lambda _: nullcontext())
    with pytest.raises(
        InterventionError, match="asked for its own maps, it returns 0 for 3 layers"
    ):
        check.check(model)


def test_scores_that_are_capped_are_refused_with_the_models_name(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = ScoredCall.__init__

    def capped(self: ScoredCall, *arguments: Any) -> None:
        as_it_is(self, *arguments)
        self._options = {"softcap": 30.0}

    monkeypatch.setattr(ScoredCall, "__init__", capped)
    with pytest.raises(InterventionError, match=r"\(bert\) failed the check .* caps its attention"):
        load(tiny)


def test_attention_is_not_causal() -> None:
    maps = uniform()
    check.attention_is_not_causal([maps], REAL)
    # In the rows of real tokens; what a padding looks at does not count.
    triangle = maps.tril()
    triangle[1, :, 2] = 1 / 3
    with pytest.raises(InterventionError, match="no token of layer 2 attends to one that comes"):
        check.attention_is_not_causal([maps, triangle], REAL)


def test_states_are_the_models_own() -> None:
    states = torch.ones(2, 3, 7)
    other = states.clone()
    # Only at a padding.
    other[1, 2] = 5.0
    check.states_are_the_models_own(other, states, REAL, "observed")
    for bad in (1.001, torch.nan):
        other[0, 1, 3] = bad
        with pytest.raises(InterventionError, match="its output differs .* while it is edited"):
            check.states_are_the_models_own(other, states, REAL, "edited")


@pytest.mark.parametrize(("observers", "edits"), [(0, 0), (0, 1), (1, 0)])
def test_attention_that_differs_in_one_state_alone_is_refused(
    tiny: Path, observers: int, edits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is wrong without padding, in one of: unobserved, observed, edited in no head."""
    model = load(tiny)
    module: Any = model.hf.base_model.encoder.layer[1].attention.self

    def damage(_module: Any, _arguments: Any, output: tuple[Tensor, None]) -> tuple[Tensor, None]:
        tap = model.tap
        is_alone = len(output[0]) == 1 and model.hf.config._attn_implementation == "headscope"
        if is_alone and (len(tap.observers), len(tap.edits)) == (observers, edits):
            return output[0] * 1.01, None
        return output

    module.register_forward_hook(damage)
    how = "observed" if observers else "edited in no head" if edits else "unobserved"
    # Observed, the maps of the next layer have noticed before.
    expected = "maps of layer 3 differ" if observers else f"output differs .* while it is {how}"
    with pytest.raises(InterventionError, match=expected):
        check.check(model)
