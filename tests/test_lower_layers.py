"""Layers below the first disabled head that are left out change no bit of what a model puts out."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import families
from headscope.ablation.forms import OneByOne
from headscope.ablation.lower_layers import LowerLayers, lower_layers
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import parse_sets
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode, only
from headscope.model.loading import load
from headscope.model.model import Model

FAMILIES = ("roberta", "distilbert", "modernbert", "mpnet", "deberta-v2", "rembert", "esm")
MORE: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "type_vocab_size": 0,
        "conv_kernel_size": 3,
    },
    "rembert": {"input_embedding_size": 20, "output_embedding_size": 20},
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 3},
}
TEXTS = (
    "The nurse thanked the pilot.",
    "Ah.",
    "No, it was the old pilot who thanked her in May!",
    "Not in 1999, they say.",
)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / request.param
    return load(families.make(request.param, folder, **MORE.get(request.param, {})))


def encoded(model: Model) -> Encoded:
    return encode(Split(TEXTS, None, np.zeros(len(TEXTS), np.int64)), model.tokenizer)


class Runs:
    """Counts how often each layer of a model computes something."""

    def __init__(self, model: Model) -> None:
        self.by_layer = [0] * model.layers
        self._hooks = [
            # What stands in a layer runs only if the layer does.
            next(module.children()).register_forward_pre_hook(self._count(layer))
            for layer, module in enumerate(model.layer_modules)
        ]

    def _count(self, layer: int) -> Any:
        def count(_module: nn.Module, _given: tuple[Tensor, ...]) -> None:
            self.by_layer[layer] += 1

        return count

    def stop(self) -> list[int]:
        for hook in self._hooks:
            hook.remove()
        return self.by_layer


@torch.no_grad()
def test_no_bit_differs_and_lower_layers_run_once(model: Model) -> None:
    data = encoded(model)
    # Two batches, of which one is padded.
    sets = [*parse_sets("each", 3, 5), *parse_sets("L3H1,L2H5;L1H1,L3H2", 3, 5)]
    whole = OneByOne(model, data, "uniform", 40, "fp32")
    lower = lower_layers(model, data, "uniform", 1 << 20)
    assert lower is not None
    shared = OneByOne(model, data, "uniform", 40, "fp32", lower)
    plan = shared.plan(sets)
    runs = Runs(model)
    scored = [result for unit in plan for result in shared.score(unit)]
    by_layer = runs.stop()
    for result in scored:
        expected = whole.score_set(result.name, result.heads)
        assert np.array_equal(result.outputs, expected.outputs)
        assert result.activation_change == expected.activation_change > 0
    # In each of two batches: the sets that begin in a layer, and once for those above.
    begin = [6, 6, 5]
    assert by_layer == [2 * (begin[0] + 1), 2 * (sum(begin[:2]) + 1), 2 * sum(begin)]


@torch.no_grad()
def test_any_order_and_any_memory_give_the_same(model: Model) -> None:
    data = encoded(model)
    sets = dict(parse_sets("each", 3, 5))
    whole = OneByOne(model, data, "zero", 40, "fp32")
    for memory in (0, 2000, 1 << 20):
        lower = lower_layers(model, data, "zero", memory)
        shared = OneByOne(model, data, "zero", 40, "fp32", lower)
        for name in ("L3H1", "L1H2", "L2H4", "L3H5", "L2H1"):
            one, other = (form.score_set(name, sets[name]) for form in (shared, whole))
            assert np.array_equal(one.outputs, other.outputs)


def test_layers_that_share_a_module_all_run(tmp_path: Path) -> None:
    model = load(families.make("albert", tmp_path))
    assert model.layer_modules == []
    data = encoded(model)
    lower = LowerLayers(model, 1 << 20)
    with lower.below(2, (0,)), model.disabled("L3H1") as edit:
        model.hf(**data.batch([0]))
    assert edit.change


def test_whoever_observes_sees_every_layer(tmp_path: Path) -> None:
    model = load(families.make("distilbert", tmp_path))
    scorer = Scorer(model, encoded(model), precision="fp32")
    (last,) = [named for named in parse_sets("each", 3, 5) if named[0] == "L3H1"]
    list(scorer.score([last]))
    layers: list[int] = []
    with model.observed(lambda call: layers.append(call.layer)):
        list(scorer.score([last]))
    assert sorted(set(layers)) == [0, 1, 2]
    # And a head that somebody else disables counts.
    with model.disabled("L1H1,L1H2,L1H3", "zero"):
        (edited,) = scorer.score([last])
    (alone,) = scorer.score([last])
    assert not np.array_equal(edited.outputs, alone.outputs)


def test_a_model_whose_layers_are_not_all_is_run_whole(tmp_path: Path) -> None:
    model = load(families.make("distilbert", tmp_path))
    base: Any = model.hf.base_model
    states: list[Tensor] = []
    first, last = model.layer_modules[0], model.layer_modules[2]
    first.register_forward_hook(lambda _m, _i, output: states.append(output))
    last.register_forward_hook(lambda _m, _i, output: output + states[-1])
    assert base is not model.hf
    assert lower_layers(model, encoded(model), "uniform", 1 << 20) is None


def test_lower_layers_are_tried_with_padding_and_without(model: Model) -> None:
    widths: list[list[int]] = []
    tokens = [len(special) for special in encoded(model).special]

    def remember(_module: nn.Module, _given: Any, options: dict[str, Any]) -> None:
        widths.append(options["attention_mask"].sum(1).tolist())

    hook = model.hf.register_forward_pre_hook(remember, with_kwargs=True)
    assert lower_layers(model, encoded(model), "uniform", 1 << 20) is not None
    hook.remove()
    assert tokens in widths
    assert [tokens[-1]] in widths
    assert len(set(tokens)) > 1


def test_without_examples_or_modules_there_is_nothing_to_share(tmp_path: Path) -> None:
    albert = load(families.make("albert", tmp_path / "albert"))
    assert lower_layers(albert, encoded(albert), "uniform", 1 << 20) is None
    model = load(families.make("distilbert", tmp_path / "distilbert"))
    assert lower_layers(model, only(encoded(model), []), "uniform", 1 << 20) is None
