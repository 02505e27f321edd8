"""Gradient importance against a gate in the head's output that is turned by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModelForSequenceClassification
from transformers.masking_utils import AttentionMaskInterface, eager_mask

import families
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.measures.gradient import gradient_importance, normalised
from headscope.model.encoding import Encoded, encode, only
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.tasks.base import Task

FIRST = (
    "The nurse thanked the pilot.",
    "Ah.",
    "No, it was the old pilot who thanked her on that day in May!",
    "Not by it.",
)
SECOND = (
    "He was thanked.",
    "It was by the nurse that the pilot was thanked.",
    "Ah, the nurse.",
    "No.",
)
CLASSES = Task("classes", ("a", "b"), ("no", "yes"), ("accuracy",))
SCORES = Task("scores", ("a", "b"), (), ("pearson",), limits=(0.0, 5.0))
LABELS = {"classes": np.array([0, 1, 1, 0]), "scores": np.array([0.0, 2.5, 5.0, 1.0])}


def pairs(model: Model) -> Encoded:
    return encode(Split(FIRST, SECOND, LABELS["classes"]), model.tokenizer, 97)


@pytest.fixture
def bert(tiny: Path) -> Model:
    return load(tiny)


class Gates:
    """Eager attention in which every head's output is multiplied by its gate, [row, layer, head]."""

    def __init__(self, gates: Tensor) -> None:
        self.gates, self.calls = gates, 0

    def __call__(
        self,
        _module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        scores = query @ key.transpose(2, 3) * options["scaling"]
        maps = (scores if mask is None else scores + mask).softmax(-1)
        output = maps @ value * self.gates[:, self.calls, :, None, None]
        self.calls += 1
        return output.transpose(1, 2).contiguous(), None


@torch.no_grad()
def gates_turned(folder: Path, task: Task, encoded: Encoded) -> npt.NDArray[np.float64]:
    """|loss at a gate of 1 + e - loss at 1 - e| / 2e for every example, layer and head, in double precision.

    An example is run alone, without padding, with a row for every gate and direction.
    """
    step, shape = 1e-4, (families.LAYERS, families.HEADS)
    one_each = torch.eye(15, dtype=torch.float64).view(15, *shape) * step
    turned = torch.cat([1 + one_each, 1 - one_each])
    gates = Gates(turned)
    AttentionInterface.register("gates", lambda *a, **k: gates(*a, **k))
    AttentionMaskInterface.register("gates", eager_mask)
    hf = (
        AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
        .eval()
        .double()
    )
    hf.set_attn_implementation("gates")
    out = np.zeros((len(encoded), *shape))
    for example in range(len(encoded)):
        gates.calls = 0
        logits = hf(**encoded.batch([example] * len(turned))).logits
        assert gates.calls == families.LAYERS
        label = LABELS[task.name][example]
        if task.is_regression:
            losses = (logits[:, 0] - float(label)) ** 2
        else:
            losses = logits.logsumexp(1) - logits[:, int(label)]
        up, down = losses.view(2, *shape).numpy()
        out[example] = np.abs(up - down) / (2 * step)
    return out


@pytest.mark.parametrize(
    ("family", "task"),
    [("bert", CLASSES), ("bert", SCORES), ("albert", CLASSES), ("distilbert", SCORES), ("modernbert", CLASSES),
     ("roberta-prelayernorm", SCORES)],
)  # fmt: skip
def test_equal_to_a_gate_that_is_turned(family: str, task: Task, tmp_path: Path) -> None:
    folder = families.make(family, tmp_path, labels=task.outputs)
    model = load(folder)
    encoded = pairs(model)
    slow = gates_turned(folder, task, encoded)
    fast = gradient_importance(model, task, encoded, LABELS[task.name])
    scale = float(slow.max())
    assert scale > 1e-3
    assert (slow.mean(0) > 1e-4 * scale).all()
    np.testing.assert_allclose(fast.compute()[0], slow.mean(0), rtol=1e-3, atol=1e-5 * scale)
    np.testing.assert_allclose(fast.squares, (slow**2).sum(0), rtol=2e-3, atol=1e-5 * scale**2)
    assert (fast.n == len(encoded)).all()


def test_independent_of_batch_padding_order_and_shards(bert: Model) -> None:
    encoded, labels = pairs(bert), LABELS["classes"]

    def over(rows: list[int], **more: Any) -> Any:
        return gradient_importance(bert, CLASSES, only(encoded, rows), labels[rows], **more)

    whole = over([0, 1, 2, 3])
    merged = over([2, 0]) + over([1, 3])
    for other in (over([0, 1, 2, 3], batch_tokens=1), over([3, 1, 0, 2]), merged):
        assert np.array_equal(other.n, whole.n)
        np.testing.assert_allclose(other.total, whole.total, rtol=1e-4, atol=1e-6)
        # A square has twice the relative rounding error of its value.
        np.testing.assert_allclose(other.squares, whole.squares, rtol=2e-4, atol=1e-6)
    # Twice in a row: no gradient of the first run is left for the second.
    assert np.array_equal(over([0, 1, 2, 3]).total, whole.total)


def state_of(model: Model) -> tuple[list[Tensor], list[bool], list[Tensor | None], bool]:
    parameters = list(model.hf.parameters())
    return (
        [p.detach().clone() for p in parameters],
        [p.requires_grad for p in parameters],
        [None if p.grad is None else p.grad.clone() for p in parameters],
        model.hf.training,
    )


def assert_same_state(
    model: Model, before: tuple[list[Tensor], list[bool], list[Tensor | None], bool]
) -> None:
    after = state_of(model)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]
    for a, b in zip(before[2], after[2], strict=True):
        assert (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
    assert before[3] == after[3]


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_as_it_was_also_after_an_exception(bert: Model, training: bool) -> None:
    encoded, labels = pairs(bert), LABELS["classes"]
    first, *_, last = bert.hf.parameters()
    first.requires_grad_(False)
    last.grad = torch.full_like(last, 7.0)
    bert.hf.train(training)
    before = state_of(bert)
    with torch.no_grad():
        one = gradient_importance(bert, CLASSES, encoded, labels)
    assert_same_state(bert, before)

    def fail(_call: Any) -> None:
        assert not any(p.requires_grad for p in bert.hf.parameters())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), bert.observed(fail):
        gradient_importance(bert, CLASSES, encoded, labels)
    assert_same_state(bert, before)
    assert not bert.tap.observers
    # No dropout took part: the numbers are the same as in evaluation.
    bert.hf.train(False)
    assert np.array_equal(gradient_importance(bert, CLASSES, encoded, labels).total, one.total)


def test_a_disabled_head_has_no_importance(bert: Model) -> None:
    with bert.disabled("L2H3", "zero"):
        mean = gradient_importance(bert, CLASSES, pairs(bert), LABELS["classes"]).compute()[0]
    assert mean[1, 2] == 0
    assert (np.delete(mean.ravel(), families.HEADS + 2) > 0).all()


def test_layers_are_normalised_alike() -> None:
    mean = np.array([[3.0, 4.0], [0.0, 0.0], [0.5, 1.2]])
    low, high = mean - 0.5, mean + 0.5
    by_layer = normalised(mean, low, high)
    np.testing.assert_allclose(by_layer[0], [[0.6, 0.8], [0.0, 0.0], [5 / 13, 12 / 13]])
    np.testing.assert_allclose(by_layer[1][0], [0.5, 0.7])
    np.testing.assert_allclose(by_layer[2][2], [1 / 1.3, 1.7 / 1.3])
    assert mean[0, 0] == 3


def test_what_makes_no_sense_is_refused(bert: Model, tmp_path: Path) -> None:
    encoded, labels = pairs(bert), LABELS["classes"]
    encoder = load(families.make_encoder("bert", tmp_path))
    with pytest.raises(HeadscopeError, match="has no classification head, so it has no loss"):
        gradient_importance(encoder, CLASSES, encoded, labels)
    with pytest.raises(HeadscopeError, match="has 2 outputs, the task scores needs 1"):
        gradient_importance(bert, SCORES, encoded, labels)
    with pytest.raises(HeadscopeError, match="there are 4 examples and 3 labels"):
        gradient_importance(bert, CLASSES, encoded, labels[:3])
    with pytest.raises(
        HeadscopeError, match="the labels run from -1 to 1, those of classes from 0 to 1"
    ):
        gradient_importance(bert, CLASSES, encoded, np.array([0, 1, -1, 0]))
