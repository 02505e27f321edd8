"""Families that compute their attention themselves, against plain hooks on the modules of transformers."""

# mypy: disable-error-code="index, union-attr, no-untyped-call"

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

import families
from headscope.errors import HeadscopeError, InterventionError
from headscope.examples import Split
from headscope.measures.gradient import gradient_importance
from headscope.model import dropouts
from headscope.model.encoding import encode
from headscope.model.families import DROPOUT, FAMILIES, family_of
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.tap import Call, tap_of
from headscope.tasks.base import Task

FIRST = ("The nurse thanked the pilot.", "Ah.", "Not in 1999!", "It was the old pilot who did.")
SECOND = ("The pilot was thanked.", "It was by the nurse, they say.", "Who?", "No.")
CLASSES = Task("classes", ("first", "second"), ("no", "yes", "who"), ("accuracy",))
LABELS = np.array([1, 0, 2, 1])

# A family's module that reads the concatenated heads of a layer, by the end of its name.
READERS = {
    "mpnet": "attention.attn.o",
    "deberta": "attention.output.dense",
    "deberta-v2": "attention.output.dense",
    "roformer": "attention.output.dense",
    "rembert": "attention.output.dense",
    "megatron-bert": "attention.output.dense",
    "convbert": "attention.output.dense",
}
MORE: dict[str, dict[str, Any]] = {
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "type_vocab_size": 0,
        "position_biased_input": False,
    },
    "roformer": {"embedding_size": 20},
    "rembert": {"input_embedding_size": 20, "output_embedding_size": 20},
    "convbert": {"hidden_size": 40, "embedding_size": 20, "num_attention_heads": 10},
}
SIZE = families.HEAD_SIZE


@cache
def folder_of(family: str, root: Path) -> Path:
    return families.make(family, root / family, labels=3, **MORE.get(family, {}))


@pytest.fixture(scope="module", params=list(READERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(request.param, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


def batch_of(model: Model) -> dict[str, Tensor]:
    return dict(model.tokenizer(list(FIRST), list(SECOND), padding=True, return_tensors="pt"))


def plain(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()


def readers(hf: nn.Module, folder: Path) -> list[nn.Linear]:
    modules = [module for name, module in hf.named_modules() if name.endswith(READERS[folder.name])]
    assert len(modules) == families.LAYERS
    return modules


@torch.no_grad()
def test_values_maps_and_outputs_belong_together(folder: Path, model: Model) -> None:
    batch = batch_of(model)
    real = batch["attention_mask"].bool()
    read: list[Tensor] = []
    for linear in readers(model.hf, folder):
        linear.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].clone()))
    calls: list[Call] = []
    with model.observed(calls.append):
        model.hf(**batch)
    for call, states in zip(calls, read, strict=True):
        heads = states[..., : families.HEADS * SIZE].unflatten(-1, (families.HEADS, SIZE))
        weighted = torch.einsum("bhqk,bhkd->bqhd", call.maps, call.value)
        for output in (call.output, weighted):
            torch.testing.assert_close(output[real], heads[real], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(call.maps_of(slice(1, 3)), call.maps[:, 1:3])


@torch.no_grad()
def test_projections_of_heads_add_up_to_the_layers_output(folder: Path, model: Model) -> None:
    projections = model.projections
    outputs: list[Tensor] = []
    for linear in readers(model.hf, folder):
        linear.register_forward_hook(lambda *given: outputs.append(given[-1]))
    calls: list[Call] = []
    with model.observed(calls.append):
        model.hf(**batch_of(model))
    for call, projection, output, linear in zip(
        calls, projections, outputs, readers(model.hf, folder), strict=True
    ):
        summed = torch.einsum("bqhd,ehd->bqe", call.output, projection) + linear.bias
        # What ConvBERT's convolution adds is no head's.
        if folder.name == "convbert":
            assert projection.shape == (40, families.HEADS, SIZE)
            continue
        torch.testing.assert_close(summed, output, atol=1e-4, rtol=1e-4)


@contextmanager
def gated(hf: nn.Module, folder: Path, gates: Tensor) -> Iterator[None]:
    """While the context is open, every head's output is multiplied by its gate, [batch, layer, head]."""

    def gate(layer: int) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        def multiply(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            states = inputs[0].clone()
            width = families.HEADS * SIZE
            heads = states[..., :width].unflatten(-1, (families.HEADS, SIZE))
            states[..., :width] = (heads * gates[:, layer, None, :, None]).flatten(-2)
            return (states,)

        return multiply

    hooks = [
        linear.register_forward_pre_hook(gate(layer))
        for layer, linear in enumerate(readers(hf, folder))
    ]
    yield
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def test_gradient_importance_is_that_of_a_gate_that_is_turned(folder: Path, model: Model) -> None:
    # DeBERTa v1 normalises in single precision, in which a small step is lost.
    step = 5e-3 if folder.name == "deberta" else 1e-4
    shape = (families.LAYERS, families.HEADS)
    one_each = torch.eye(15, dtype=torch.float64).view(15, *shape) * step
    turned = torch.cat([1 + one_each, 1 - one_each])
    encoded = encode(Split(FIRST, SECOND, LABELS), model.tokenizer)
    hf = plain(folder).double()
    slow = np.zeros((len(encoded), *shape))
    with gated(hf, folder, turned):
        for example in range(len(encoded)):
            logits = hf(**encoded.batch([example] * len(turned))).logits
            losses = logits.logsumexp(1) - logits[:, int(LABELS[example])]
            up, down = losses.view(2, *shape).numpy()
            slow[example] = np.abs(up - down) / (2 * step)
    # One example a batch: ConvBERT's outputs depend on padding.
    fast = gradient_importance(model, CLASSES, encoded, LABELS, batch_tokens=1)
    scale = float(slow.max())
    assert scale > 1e-3
    np.testing.assert_allclose(fast.compute()[0], slow.mean(0), rtol=1e-3, atol=1e-4 * scale)


@torch.no_grad()
def test_a_tap_that_is_taken_out_leaves_the_model_as_it_was(folder: Path) -> None:
    hf = plain(folder)
    tapping = family_of(folder.name).tappings[0]
    hooks = sum(len(module._forward_hooks) for module in hf.modules())
    tap = tapping.attach(hf)
    assert tap_of(hf) is tap
    tapping.attach(hf).detach()
    assert tap_of(hf) is None
    assert sum(len(module._forward_hooks) for module in hf.modules()) == hooks
    assert not hf.base_model._forward_pre_hooks
    assert not any("forward" in vars(module) for module in hf.modules())


def test_training_gives_the_gradients_of_the_model_itself(folder: Path) -> None:
    # Without dropout: SDPA draws its own.
    own = plain(folder)
    model = load(folder)
    batch = batch_of(model)
    for hf in (own, model.hf):
        torch.nn.functional.cross_entropy(hf(**batch).logits, torch.tensor(LABELS)).backward()
    theirs = dict(own.named_parameters())
    for name, parameter in model.hf.named_parameters():
        if (gradient := theirs[name].grad) is not None:
            torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-3)
    assert sum(parameter.grad is not None for parameter in theirs.values()) > 20


def test_talking_heads_are_refused(tmp_path: Path) -> None:
    folder = families.make_encoder(
        "deberta", tmp_path, relative_attention=True, pos_att_type=[], talking_head=True
    )
    with pytest.raises(HeadscopeError, match=r"family deberta, which mixes its heads before"):
        load(folder)


def test_padding_that_changes_an_output_is_said(tmp_path: Path) -> None:
    model = load(folder_of("convbert", tmp_path))
    (note,) = [note for note in model.notes if note.startswith("padding beside a text changes")]
    assert note.endswith("of its largest state), so numbers depend on which texts share a batch")
    assert not any("padding" in note for note in load(folder_of("roformer", tmp_path)).notes)


def test_a_map_whose_product_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropouts, "_letters", lambda *_: ())
    with pytest.raises(InterventionError, match="0 calls of attention were seen, 3 layers of 5"):
        load(folder_of("rembert", tmp_path))


@pytest.mark.parametrize(
    ("equation", "value", "product"),
    [("bnij,jbnd->ibnd", "jbnd", "ibnd"), ("bnij,bjnd->bind", "bjnd", "bind")],
)
def test_a_product_in_any_order_of_axes(equation: str, value: str, product: str) -> None:
    sizes = {"b": 2, "n": 3, "i": 5, "j": 5, "d": 7}
    map_, values = (torch.rand([sizes[axis] for axis in axes]) for axes in ("bnij", value))
    seen: list[dropouts.Product] = []

    def finish(found: dropouts.Product) -> Tensor:
        seen.append(found)
        return found.as_the_modules(found.output)

    result = torch.einsum(equation, dropouts._marked(map_, finish), values)
    assert type(result) is Tensor
    assert torch.equal(result, torch.einsum(equation, map_, values))
    assert torch.equal(seen[0].value, torch.einsum(f"{value}->bnjd", values))
    assert torch.equal(seen[0].output, torch.einsum(f"{product}->bind", result))


def test_the_families_of_the_dropout_are_registered_with_it() -> None:
    assert FAMILIES.get("roformer").tappings == (DROPOUT,)
