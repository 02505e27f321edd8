"""What holds of a family, measured on its tiny model: maps beside eager attention's, disabled heads beside an explicit form.

The explicit form knows nothing of headscope and little of families: transformers' own model in double precision, with a head's
part of what is read by the layer's output projection replaced. What uniform attention puts out is the mean of what the model
multiplies its maps with, which is found among all products that it computes.
"""

# mypy: disable-error-code="no-untyped-call"

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForTextEncoding

import zoo
from headscope.ablation.scorer import Scorer
from headscope.axes import Head
from headscope.errors import InterventionError
from headscope.examples import Split
from headscope.model.encoding import batches as cut_into_batches
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.precision import training_autocast
from headscope.model.tap import MODES, Mode

FIRST = ["The nurse thanked the pilot.", "No, it was the old pilot!", "Ah."]
SECOND = ["The pilot was thanked.", "Not him.", "It was by the nurse, in 1999."]
ROUNDED = ("deberta", "deberta-v2")
"""Where the module computes the same in another order: compared in double precision, since single precision rounds
otherwise on every processor.
"""
Change = Callable[[int, Tensor], Tensor]
"""(layer, heads' outputs [batch, query, head, d]) -> what is read instead."""


@dataclass
class Findings:
    """What was measured of a family.

    Attributes:
        tapped: Through what.
        maps: The largest difference of a weight of attention from eager's, over a padded batch, a text and a pair.
        idle: The largest difference of the encoder's output with nothing disabled from transformers' own, under SDPA where the
            family has it, relative to its largest value.
        seen: The same from eager's while maps are observed.
        gradients: The largest difference of the gradient of a weight of the encoder from eager's, relative to the largest
            gradient.
        modes: For every mode that the family can be disabled in the largest difference from the explicit form with a head disabled, relative likewise, over all
            heads.
        least: The least that disabling a head changes the output, relative likewise.
        way: How sets of heads are scored (`Scorer.way`); "" without a classifier.
        scores: The largest difference of what scored sets put out from the model with the set disabled, relative likewise.
        learns: Whether in training every weight gets a gradient that gets one from eager attention.
        words: Whether words are known with the family's own tokenizer, as a word or two; "" if that was not asked.
        projections: Whether the heads' output projections are known.
        notes: What is said of every model of the family.
    """

    tapped: str
    maps: float = 0.0
    idle: float = 0.0
    seen: float = 0.0
    gradients: float = 0.0
    modes: dict[Mode, float] = field(default_factory=dict)
    least: float = float("inf")
    way: str = ""
    scores: float = 0.0
    learns: bool = False
    words: str = ""
    projections: bool = True
    notes: tuple[str, ...] = ()


def findings(family: str, folder: Path) -> Findings:
    """Load the tiny model of a family and measure."""
    model = load(folder)
    found = Findings(model.tapping.name, notes=model.notes)
    found.projections = _has_projections(model)
    own = transformers_own(folder)
    weights = _compare_gradients(model, own, found)
    idle = transformers_own(folder, "sdpa" if own._supports_sdpa else "eager")
    with torch.no_grad():
        if family in ROUNDED:
            own.double()
            idle.double()
            model.hf.double()
        _compare_maps(model, own, found)
        _compare_idle(model, idle, found)
        # In double precision their own mask of windows leaves rows of padding without a number.
        if family not in ("modernbert", "gemma3_text"):
            own.double()
            model.hf.double()
        _compare_disabled(family, model, own, found)
        model.hf.float()
    if model.has_head:
        _compare_scores(model, found)
        found.learns = _learns(model, weights)
    return found


def _has_projections(model: Model) -> bool:
    """Whether projections are known when a measure asks for them, while the model runs."""
    known = []

    def ask(_call: Any) -> None:
        try:
            known.append(len(model.projections) == model.layers)
        except InterventionError:
            known.append(False)

    with torch.no_grad(), model.observed(ask):
        model.hf.base_model(**batches(model)[1])
    return all(known)


def transformers_own(folder: Path, attention: str = "eager") -> Any:
    """transformers' own encoder."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder)
    auto: Any = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    return auto.from_pretrained(folder, attn_implementation=attention).eval()


def batches(model: Model) -> list[dict[str, Tensor]]:
    """A padded batch of pairs, a text, a pair."""
    texts: list[tuple[list[str], list[str] | None]] = [
        (FIRST, SECOND),
        (FIRST[:1], None),
        (FIRST[:1], SECOND[:1]),
    ]
    return [
        dict(model.tokenizer(*given, padding=True, padding_side="right", return_tensors="pt"))
        for given in texts
    ]


def _compare_maps(model: Model, own: Any, found: Findings) -> None:
    for batch in batches(model):
        real = batch["attention_mask"].bool()
        seen: list[Tensor] = []

        def keep(call: Any, seen: list[Tensor] = seen) -> None:
            seen.append(call.maps)

        with model.observed(keep):
            states = model.hf.base_model(**batch)[0]
        expected = own(**batch, output_attentions=True)
        found.seen = max(found.seen, _relative(states, expected[0], real))
        for ours, theirs in zip(seen, expected.attentions, strict=True):
            rows = (ours - model.tapping.as_maps(theirs)).transpose(1, 2)[real]
            largest = float(rows.abs().max())
            assert np.isfinite(largest)
            found.maps = max(found.maps, largest)


def _compare_idle(model: Model, own: Any, found: Findings) -> None:
    for batch in batches(model):
        real = batch["attention_mask"].bool()
        states = model.hf.base_model(**batch)[0]
        found.idle = max(found.idle, _relative(states, own(**batch)[0], real))


def _compare_gradients(model: Model, own: Any, found: Findings) -> list[str]:
    """Gradients with nothing disabled; returns the weights that get one."""
    batch = batches(model)[0]
    real = batch["attention_mask"].bool()
    ours, theirs = (gradients(encoder, batch, real) for encoder in (model.hf.base_model, own))
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    nothing = torch.zeros(())
    differences = []
    for name, gradient in theirs.items():
        differences.append(float((ours.get(name, nothing) - gradient).abs().max()))
    assert np.isfinite(differences).all()
    found.gradients = max(differences) / largest
    # A key's bias moves nothing: what is left of its gradient is rounding.
    return [name for name in theirs if float(theirs[name].abs().max()) > 1e-5 * largest]


def gradients(encoder: Any, batch: dict[str, Tensor], real: Tensor) -> dict[str, Tensor]:
    """The gradient of a random sum of the states of real tokens, by weight."""
    torch.manual_seed(1)
    states = encoder(**batch)[0][real]
    (states * torch.randn_like(states)).sum().backward()
    weights = encoder.named_parameters()
    found = {name: weight.grad for name, weight in weights if weight.grad is not None}
    encoder.zero_grad()
    return found


def _relative(ours: Tensor, theirs: Tensor, real: Tensor) -> float:
    difference = float((ours - theirs)[real].abs().max() / theirs[real].abs().max())
    # Of a NaN max() would keep the other number.
    assert np.isfinite(difference)
    return difference


def _compare_disabled(family: str, model: Model, own: Any, found: Findings) -> None:
    """Every head in every mode, in double precision on both sides."""
    batch = batches(model)[0]
    real = batch["attention_mask"].bool()
    outputs: list[Tensor] = []

    def remember(_layer: int, heads: Tensor) -> Tensor:
        outputs.append(heads)
        return heads

    with read_instead(family, own, model.heads, remember), Products() as products:
        plain = own(**batch, output_attentions=True)
    maps = [model.tapping.as_maps(returned) for returned in plain.attentions]
    replaced = {
        "uniform": [mean_of_values(products.values_of(map_), real) for map_ in maps],
        "zero": [torch.zeros_like(heads) for heads in outputs],
        "mean": [heads[real].mean(0).expand_as(heads) for heads in outputs],
    }
    modes = list(MODES)
    if len({heads.shape for heads in outputs}) == 1:
        model.measure_means([batch])
    else:
        # Heads that differ in size have no table of mean outputs, and headscope says so.
        modes.remove("mean")
    for mode in modes:
        found.modes[mode] = 0.0
        for layer in range(model.layers):
            for head in range(model.heads):
                put_in = replaced[mode][layer]

                def change(
                    of: int,
                    heads: Tensor,
                    put_in: Tensor = put_in,
                    layer: int = layer,
                    head: int = head,
                ) -> Tensor:
                    if of != layer:
                        return heads
                    heads = heads.clone()
                    heads[:, :, head] = put_in[:, :, head]
                    return heads

                with read_instead(family, own, model.heads, change):
                    expected = own(**batch)[0]
                with model.disabled(f"L{layer + 1}H{head + 1}", mode):
                    ours = model.hf.base_model(**batch)[0]
                found.modes[mode] = max(found.modes[mode], _relative(ours, expected, real))
                found.least = min(found.least, _relative(expected, plain[0], real))


class Products(TorchFunctionMode):
    """All products of two factors that are computed while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: list[tuple[Tensor, Tensor, str]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("matmul", "__matmul__", "bmm", "einsum") and len(args) > 1:
            equation = args[0] if isinstance(args[0], str) else ""
            factors = [factor for factor in args if isinstance(factor, Tensor)]
            if len(factors) == 2:
                self.factors.append((factors[0], factors[1], equation))
        return func(*args, **(kwargs or {}))

    def values_of(self, map_: Tensor) -> Tensor:
        """What a map was multiplied with, [batch, head, key, d]."""
        # The last one: in LiLT boxes are weighted with the same map before texts are.
        for first, second, equation in reversed(self.factors):
            if first.numel() != map_.numel() or first.dim() < 3:
                continue
            # A padded query of a local layer may see no key at all, and have no map.
            if torch.equal(first.reshape(map_.shape).nan_to_num(), map_.nan_to_num()):
                if equation:
                    axes = equation.split("->")[0].split(",")[1]
                    return second.permute([axes.index(axis) for axis in "bnjd"])
                return second.reshape(*map_.shape[:2], *second.shape[-2:])
        raise AssertionError("the map is multiplied with nothing")


def mean_of_values(values: Tensor, real: Tensor) -> Tensor:
    """What uniform attention over the real tokens puts out, [batch, 1, head, d] for every query."""
    means = [values[example][:, tokens].mean(1) for example, tokens in enumerate(real)]
    return torch.stack(means)[:, None]


@contextmanager
def read_instead(family: str, own: nn.Module, heads: int, change: Change) -> Iterator[None]:
    """While the context is open, every layer reads what `change` makes of its heads' outputs."""
    layer = -1

    def changed(outputs: Tensor) -> Tensor:
        nonlocal layer
        layer += 1
        return change(layer, outputs)

    def begin(*_: Any) -> None:
        nonlocal layer
        layer = -1

    with ExitStack() as stack:
        stack.callback(own.register_forward_pre_hook(begin).remove)
        ending = zoo.METHODS.get(family, (zoo.READERS.get(family, zoo.OF_BERT),))
        modules = [part for name, part in own.named_modules() if name.endswith(ending[0])]
        assert modules, family
        for module in modules:
            if family in zoo.METHODS:
                stack.enter_context(_method(family, module, changed))
            else:
                stack.callback(_reader(family, module, heads, changed).remove)
        yield


def _reader(family: str, module: nn.Module, heads: int, changed: Callable[[Tensor], Tensor]) -> Any:
    def read(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states = inputs[0]
        # SqueezeBERT's tokens stand last.
        by_token = states.transpose(1, 2) if family == "squeezebert" else states
        width = by_token.shape[-1] // 2 if family == "convbert" else by_token.shape[-1]
        outputs = by_token[..., :width].unflatten(-1, (heads, -1))
        flat = torch.cat([changed(outputs).flatten(-2), by_token[..., width:]], -1)
        return (flat.transpose(1, 2) if family == "squeezebert" else flat, *inputs[1:])

    return module.register_forward_pre_hook(read)


@contextmanager
def _method(family: str, module: nn.Module, changed: Callable[[Tensor], Tensor]) -> Iterator[None]:
    _, name, place, axes = zoo.METHODS[family]
    method = getattr(module, name)
    order = [axes.index(axis) for axis in "bqhd"]

    def call(*given: Any, **options: Any) -> Any:
        outputs = changed(given[place].permute(order)).permute(np.argsort(order).tolist())
        return method(*given[:place], outputs, *given[place + 1 :], **options)

    module.__dict__[name] = call
    try:
        yield
    finally:
        del module.__dict__[name]


def _compare_scores(model: Model, found: Findings) -> None:
    """Sets of heads scored as `disable` does, beside the model with each set disabled."""
    examples = Split(tuple(FIRST * 3), tuple(SECOND * 3), np.zeros(9, np.int64))
    encoded = encode(examples, model.tokenizer)
    # Some batches are padded and some are not.
    scorer = Scorer(model, encoded, precision="fp32", batch_tokens=64, note=lambda _: None)
    found.way = scorer.way
    every = [Head(layer + 1, 1) for layer in range(model.layers)]
    sets = [(str(head), frozenset([head])) for head in every] + [("all", frozenset(every))]
    # The same batches, since ConvBERT's outputs depend on the padding.
    cut = list(cut_into_batches(encoded.lengths, 64))
    for result in scorer.score(sets):
        outputs = np.empty_like(result.outputs)
        with torch.no_grad(), model.disabled(result.heads):
            for rows in cut:
                outputs[rows] = model.hf(**encoded.batch(rows)).logits
        difference = float(np.abs(result.outputs - outputs).max() / np.abs(outputs).max())
        assert np.isfinite(difference)
        found.scores = max(found.scores, difference)


def _learns(model: Model, weights: Iterable[str]) -> bool:
    """Whether these weights of the encoder get a gradient, in training."""
    batch = batches(model)[0]
    model.hf.train()
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2])
    # Where the hardware has it, models are trained in bfloat16.
    with training_autocast("bf16", model.hf.device):
        rounded = model.hf(**batch, labels=labels).loss
    rounded.backward()
    model.hf.zero_grad()
    model.hf(**batch, labels=labels).loss.backward()
    model.hf.eval()
    moved = []
    for name in weights:
        gradient = model.hf.base_model.get_parameter(name).grad
        moved.append(gradient is not None and bool(gradient.isfinite().all() and gradient.any()))
    model.hf.zero_grad()
    return all(moved) and bool(rounded.isfinite())
