"""What a family says of itself: an adapter for attention of its own, how positions count, what runs layer by layer."""

# mypy: disable-error-code="no-untyped-call, index, union-attr"

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.megatron_bert.modeling_megatron_bert import MegatronBertSelfAttention

import families
from headscope.ablation.bert_layers import BertLayers
from headscope.axes import Head
from headscope.errors import HeadscopeError, InterventionError
from headscope.model.attention import attend
from headscope.model.families import FAMILIES, Family, Tapping, family_of
from headscope.model.layer_parts import LayerParts
from headscope.model.loading import load
from headscope.model.tap import Tap, open_tap

TEXTS = ["The nurse thanked the pilot.", "Ah.", "No, it was the old pilot who thanked her in May!"]


def attention(
    module: Any, states: Tensor, attention_mask: Tensor | None = None, **options: Any
) -> tuple[Tensor, None]:
    """Megatron's attention, but for the product of queries and keys, which is headscope's."""
    linears = (module.query, module.key, module.value)
    query, key, value = (
        linear(states).unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2)
        for linear in linears
    )
    mask = None if attention_mask is None else attention_mask == 0
    output, _ = attend(module, query, key, value, mask, is_causal=False)
    return output.flatten(-2), None


def attention_modules(hf: PreTrainedModel) -> list[Any]:
    return [module for module in hf.modules() if isinstance(module, MegatronBertSelfAttention)]


def attach(hf: PreTrainedModel) -> Tap:
    for module in attention_modules(hf):
        module.forward = partial(attention, module)
    return open_tap(hf)


@contextmanager
def plain(hf: PreTrainedModel) -> Iterator[None]:
    modules = attention_modules(hf)
    for module in modules:
        del module.forward
    try:
        yield
    finally:
        for module in modules:
            module.forward = partial(attention, module)


def without(_hf: PreTrainedModel) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register families for the length of a test."""
    monkeypatch.setattr(FAMILIES, "_items", dict(FAMILIES._items))
    return lambda family: FAMILIES.register(family.model_type)(family)


@pytest.fixture
def megatron(tmp_path: Path) -> Path:
    return families.make("megatron-bert", tmp_path / "megatron-bert")


@torch.no_grad()
def test_an_adapter_opens_a_family_that_computes_its_attention_itself(
    megatron: Path, register: Any
) -> None:
    FAMILIES._items.pop("megatron-bert")
    register(Family("megatron-bert", (Tapping("its adapter", attach, plain),)))
    # The check at load has passed: maps equal the model's own, and every head can be disabled.
    model = load(megatron)
    hf = AutoModelForSequenceClassification.from_pretrained(megatron).eval()
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="pt")
    real = batch["attention_mask"].bool()
    expected = hf(**batch, output_attentions=True)
    maps: list[Tensor] = []
    with model.observed(lambda call: maps.append(call.maps)):
        torch.testing.assert_close(model.hf(**batch).logits, expected.logits, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(maps, expected.attentions, strict=True):
        rows = ours.transpose(1, 2)[real]
        torch.testing.assert_close(rows, theirs.transpose(1, 2)[real], atol=1e-6, rtol=1e-5)
    # A head that puts out 0 is a head whose columns of the projection are 0.
    columns = slice(3 * families.HEAD_SIZE, 4 * families.HEAD_SIZE)
    hf.base_model.encoder.layer[1].attention.output.dense.weight[:, columns] = 0
    with model.disabled("L2H4", "zero") as edit:
        torch.testing.assert_close(
            model.hf(**batch).logits, hf(**batch).logits, atol=1e-5, rtol=1e-5
        )
    assert edit.change[Head(2, 4)] == pytest.approx(1)
    weight = model.hf.base_model.encoder.layer[2].attention.output.dense.weight
    assert torch.equal(model.projections[2].flatten(1), weight)


def test_an_adapter_that_does_not_reach_the_attention_is_refused(
    megatron: Path, register: Any
) -> None:
    FAMILIES._items.pop("megatron-bert")
    register(Family("megatron-bert", (Tapping("nothing", open_tap, without),)))
    with pytest.raises(InterventionError, match="0 calls of attention were seen, 3 layers of 5"):
        load(megatron)


def test_an_adapter_whose_attention_is_another_is_refused(megatron: Path, register: Any) -> None:
    def attach_twisted(hf: PreTrainedModel) -> Tap:
        tap = attach(hf)
        layer = hf.base_model.encoder.layer[1].attention.self
        as_it_is = layer.forward
        layer.forward = lambda states, *rest, **options: as_it_is(states.flip(-1), *rest, **options)
        return tap

    FAMILIES._items.pop("megatron-bert")
    register(Family("megatron-bert", (Tapping("its adapter", attach_twisted, plain),)))
    with pytest.raises(
        InterventionError, match="the maps of layer 2 differ from transformers' own"
    ):
        load(megatron)


def test_a_family_can_refuse_itself(tiny: Path, register: Any) -> None:
    FAMILIES._items.pop("bert")
    register(Family("bert", refuses=lambda _: "is known too well"))
    with pytest.raises(HeadscopeError, match="of the family bert, which is known too well, so"):
        load(tiny)


def test_a_family_says_where_its_projections_are(tiny: Path, register: Any) -> None:
    model = load(tiny)
    linear = model.hf.base_model.encoder.layer[1].attention.self.key
    FAMILIES._items.pop("bert")
    register(Family("bert", output_layers=lambda *_: [linear]))
    (projection,) = model.projections
    assert torch.equal(projection.flatten(1), linear.weight)


def test_a_family_says_what_runs_layer_by_layer(tiny: Path, register: Any) -> None:
    model = load(tiny)
    assert BertLayers.fits(model)
    FAMILIES._items.pop("bert")
    register(Family("bert", layer_parts=None))
    assert not BertLayers.fits(model)
    FAMILIES._items.pop("bert")
    register(Family("bert", layer_parts=LayerParts(query="attention.self.no_such_part")))
    assert not BertLayers.fits(model)


def test_a_family_that_nobody_named_has_the_defaults() -> None:
    assert family_of("no-such-family") == Family("no-such-family")


# The last token of the table that can be used is the length; one more is an error.
POSITIONS = {
    "bert": 41, "roberta": 39, "distilbert": 41, "electra": 41, "albert": 41, "xlm-roberta": 39,
    "camembert": 39, "ernie": 41, "data2vec-text": 39, "roberta-prelayernorm": 39,
}  # fmt: skip


@pytest.mark.parametrize(("family", "length"), POSITIONS.items())
def test_positions_are_counted_as_the_family_counts_them(
    tmp_path: Path, family: str, length: int
) -> None:
    model = load(families.make(family, tmp_path / family, max_position_embeddings=41))
    assert model.max_length == length
    model.hf(input_ids=torch.full((1, length), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model.hf(input_ids=torch.full((1, length + 1), 7))


def test_without_a_table_of_positions_the_configuration_says_the_length(tmp_path: Path) -> None:
    assert set(families.OWN) - set(POSITIONS) == {"modernbert"}
    folder = families.make("modernbert", tmp_path / "modernbert", max_position_embeddings=41)
    assert load(folder).max_length == 41


def test_the_tokenizers_limit_holds_where_it_is_lower(tiny: Path) -> None:
    model = load(tiny)
    assert families.SIZES["max_position_embeddings"] > model.tokenizer.model_max_length == 139
    assert model.max_length == 139


@pytest.mark.parametrize(("padding", "length"), [(1, 39), (3, 37)])
def test_a_family_like_roberta_has_the_right_length(
    tmp_path: Path, padding: int, length: int
) -> None:
    folder = families.make_encoder(
        "xmod",
        tmp_path / "xmod",
        max_position_embeddings=41,
        type_vocab_size=1,
        pad_token_id=padding,
        languages=["en_XX"],
        default_language="en_XX",
    )
    model = load(folder)
    assert model.max_length == length
    model.hf(input_ids=torch.full((1, length), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model.hf(input_ids=torch.full((1, length + 1), 7))


def test_a_family_says_how_positions_count(tiny: Path, register: Any) -> None:
    FAMILIES._items.pop("bert")
    register(Family("bert", positions=lambda *_: 23))
    assert load(tiny).max_length == 23


def test_measuring_counts_as_no_pass_and_leaves_observers_alone(tiny: Path) -> None:
    model = load(tiny)
    vars(model).pop("_positions")
    seen: list[int] = []
    passes = model.tap.passes
    with model.observed(lambda call: seen.append(call.layer)), model.disabled("L1H2"):
        edits = list(model.tap.edits)
        assert model.max_length == 139
        assert model.tap.edits == edits
        assert len(model.tap.observers) == 1
    assert seen == []
    assert model.tap.passes == passes
