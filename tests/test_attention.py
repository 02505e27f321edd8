"""Maps and disabled heads against plain Hugging Face: eager attention, and an explicit matrix of 1/L."""

# mypy: disable-error-code="index, union-attr"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModelForSequenceClassification
from transformers.masking_utils import AttentionMaskInterface, eager_mask

import families
import headscope
from headscope.axes import Head
from headscope.errors import HeadscopeError, InterventionError
from headscope.model.attention import ScoredCall
from headscope.model.check import check
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.tap import MODES, Mode

TEXTS = [
    "The nurse thanked the pilot.",
    "No, it was the old pilot who thanked her on that very long day in May!",
    "Ah.",
]
PAIRS = [
    "The pilot was thanked.",
    "Not him.",
    "It was by the nurse that the pilot was thanked, they say, in 1999.",
]
DISABLED: dict[int, list[int]] = {0: [1, 3], 2: [4]}
NAMES = "L1H2,L1H4,L3H5"


@pytest.fixture(scope="module", params=list(families.OWN))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.make(request.param, tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.fixture(scope="module")
def batch(model: Model) -> dict[str, Tensor]:
    return dict(model.tokenizer(TEXTS, PAIRS, padding=True, return_tensors="pt"))


def plain(folder: Path, attention: str) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation=attention
    ).eval()


class Explicit:
    """The slow form: eager attention with the map written out, and the disabled heads' rows replaced in it."""

    def __init__(self, real: Tensor, mode: Mode, means: Tensor | None) -> None:
        self.real, self.mode, self.means, self.calls = real, mode, means, 0
        self.outputs: list[Tensor] = []

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
        heads = DISABLED.get(self.calls, []) if self.mode else []
        for example in range(len(maps)):
            length = int(self.real[example].sum())
            row = torch.zeros(maps.shape[-1])
            row[self.real[example]] = 1 / length
            for head in heads:
                maps[example, head] = row if self.mode == "uniform" else 0.0
        output = maps @ value
        if self.mode == "mean" and self.means is not None:
            for head in heads:
                output[:, head] = self.means[self.calls, head]
        self.outputs.append(output.transpose(1, 2))
        self.calls += 1
        return output.transpose(1, 2).contiguous(), None


@pytest.fixture
def explicit(folder: Path) -> Any:
    """Run the plain model with the slow form: (batch, mode, means) -> (logits, outputs of the heads)."""
    state: dict[str, Explicit] = {}
    AttentionInterface.register("explicit", lambda *a, **k: state["now"](*a, **k))
    AttentionMaskInterface.register("explicit", eager_mask)
    hf = plain(folder, "eager")
    hf.set_attn_implementation("explicit")

    @torch.no_grad()
    def run(
        batch: dict[str, Tensor], mode: Any, means: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        state["now"] = Explicit(batch["attention_mask"].bool(), mode, means)
        return hf(**batch).logits, state["now"].outputs

    return run


@torch.no_grad()
def test_maps_equal_eagers(folder: Path, model: Model, batch: dict[str, Tensor]) -> None:
    maps: list[Tensor] = []
    with model.observed(lambda call: maps.append(call.maps)):
        model.hf(**batch)
    eager = plain(folder, "eager")(**batch, output_attentions=True).attentions
    real = batch["attention_mask"].bool()
    assert len(maps) == len(eager) == families.LAYERS
    for ours, theirs in zip(maps, eager, strict=True):
        assert ours.shape[1] == families.HEADS
        rows = ours.transpose(1, 2)[real]
        torch.testing.assert_close(rows, theirs.transpose(1, 2)[real], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:-1]))
        assert (ours * ~real[:, None, None]).transpose(1, 2)[real].max() == 0


@torch.no_grad()
def test_nothing_disabled_is_bit_identical_to_plain_sdpa(
    folder: Path, model: Model, batch: dict[str, Tensor]
) -> None:
    assert torch.equal(model.hf(**batch).logits, plain(folder, "sdpa")(**batch).logits)


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_disabled_equals_the_explicit_matrix(
    model: Model, batch: dict[str, Tensor], explicit: Any, mode: Mode
) -> None:
    untouched, outputs = explicit(batch, "")
    real = batch["attention_mask"].bool()
    means = torch.stack([output[real].mean(0) for output in outputs])
    torch.testing.assert_close(model.measure_means([batch]), means, atol=1e-5, rtol=1e-5)
    slow, _ = explicit(batch, mode, means)
    with model.disabled(NAMES, mode) as edit:
        fast = model.hf(**batch).logits
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(slow, untouched, atol=1e-4)
    assert edit.change.keys() == {Head(1, 2), Head(1, 4), Head(3, 5)}
    assert min(edit.change.values()) > 0


@torch.no_grad()
def test_observing_does_not_change_the_answer(model: Model, batch: dict[str, Tensor]) -> None:
    plainly = model.hf(**batch).logits
    seen: list[Tensor] = []
    with model.observed(lambda call: seen.append(call.maps)):
        torch.testing.assert_close(model.hf(**batch).logits, plainly, atol=1e-5, rtol=1e-5)
    with model.observed(lambda call: seen.append(call.output)), model.disabled(NAMES):
        observed = model.hf(**batch).logits
    with model.disabled(NAMES):
        torch.testing.assert_close(observed, model.hf(**batch).logits)


@torch.no_grad()
def test_restored_after_an_exception_and_when_nested(
    model: Model, batch: dict[str, Tensor]
) -> None:
    before = model.hf(**batch).logits
    with pytest.raises(ZeroDivisionError), model.disabled(NAMES):
        raise ZeroDivisionError
    assert torch.equal(model.hf(**batch).logits, before)
    with model.disabled("L1H2"):
        outer = model.hf(**batch).logits
        with model.disabled("L1H4,L3H5"):
            both = model.hf(**batch).logits
        assert torch.equal(model.hf(**batch).logits, outer)
        with model.disabled("L1H2", "zero"):
            zero = model.hf(**batch).logits
    assert torch.equal(model.hf(**batch).logits, before)
    with model.disabled(NAMES):
        torch.testing.assert_close(model.hf(**batch).logits, both)
    with model.disabled("L1H2", "zero"):
        torch.testing.assert_close(model.hf(**batch).logits, zero)


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@torch.no_grad()
def test_independent_of_padding_and_batch(
    model: Model, batch: dict[str, Tensor], mode: Mode
) -> None:
    with model.disabled(NAMES, mode):
        together = model.hf(**batch).logits
        wide = model.tokenizer(
            TEXTS, PAIRS, padding="max_length", max_length=97, return_tensors="pt"
        )
        torch.testing.assert_close(model.hf(**wide).logits, together, atol=1e-5, rtol=1e-5)
        for i, (first, second) in enumerate(zip(TEXTS, PAIRS, strict=True)):
            alone = model.hf(**model.tokenizer(first, second, return_tensors="pt")).logits
            torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_mask_may_be_left_out_or_given_by_position(model: Model) -> None:
    one = model.tokenizer(TEXTS[0], return_tensors="pt")
    with model.disabled(NAMES):
        with_mask = model.hf(**one).logits
        torch.testing.assert_close(model.hf(one["input_ids"]).logits, with_mask)
        torch.testing.assert_close(
            model.hf(one["input_ids"], one["attention_mask"]).logits, with_mask
        )


def test_the_encoder_alone_can_be_disabled_too(
    folder: Path, model: Model, batch: dict[str, Tensor]
) -> None:
    with torch.no_grad(), model.disabled("L1H1") as edit:
        model.hf.base_model(**batch)
    assert edit.change[Head(1, 1)] > 0


def test_a_layer_that_is_not_called_is_noticed(tiny: Path) -> None:
    model = load(tiny)
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="pt")
    removed = model.hf.base_model.encoder.layer
    model.hf.base_model.encoder.layer = removed[:2]
    with (
        pytest.raises(InterventionError, match="L3H5 should have been disabled"),
        model.disabled("L3H5"),
    ):
        model.hf(**batch)


def test_gradients_flow_past_a_disabled_head(tiny: Path) -> None:
    model = load(tiny)
    with model.disabled("L1H2"):
        model.hf(
            **model.tokenizer(TEXTS, padding=True, return_tensors="pt")
        ).logits.sum().backward()
    query = model.hf.base_model.encoder.layer[0].attention.self.query.weight.grad.view(
        families.HEADS, -1
    )
    assert query[1].abs().max() == 0
    assert all(query[h].abs().max() > 0 for h in (0, 2, 3, 4))


@pytest.mark.parametrize(
    ("heads", "mode", "message"),
    [
        ("L4H1", "uniform", "L4H1 does not exist: the model has 3 layers of 5 heads"),
        ("L1H1,L1H1", "uniform", "L1H1 is named twice"),
        ("", "uniform", "the list of heads is empty"),
        ("head 3", "uniform", "'head 3' is not a head"),
        ("L0H1", "uniform", "counted from 1"),
        ("L1H1", "unifrom", "unknown mode 'unifrom': did you mean 'uniform'"),
        ("L1H1", "mean", "call model.measure_means"),
    ],
)
def test_wrong_requests_are_refused(tiny: Path, heads: str, mode: Any, message: str) -> None:
    with pytest.raises(HeadscopeError, match=message), headscope.load(tiny).disabled(heads, mode):
        pass


def _no_mask(*given: Any, **options: Any) -> None:
    return None


def damage(model: Model, what: str) -> None:
    """Break a model in the way that a family that does not fit would be broken."""
    encoder = model.hf.base_model.encoder
    if what == "nan":
        encoder.layer[1].attention.self.key.weight.data[3] = torch.nan
    elif what == "padding":
        AttentionMaskInterface.register("headscope", _no_mask)
    elif what == "layers":
        model.hf.base_model.encoder.layer = encoder.layer[:2]
    elif what == "dead":
        encoder.layer[2].attention.self.value.weight.data.zero_()
        encoder.layer[2].attention.self.value.bias.data.zero_()
    elif what == "other maps":
        original = ScoredCall.__init__

        def twisted(self: ScoredCall, module: Any, layer: int, query: Tensor, *rest: Any) -> None:
            original(self, module, layer, query * (2.0 if layer == 1 else 1.0), *rest)

        ScoredCall.__init__ = twisted  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "the attention of layer 2 is not finite"),
        ("padding", "the maps of layer 1 differ"),
        ("layers", "2 calls of attention were seen, 3 layers of 5 heads were expected"),
        ("dead", "disabling the heads of layer 3 changed nothing"),
        ("other maps", "the maps of layer 2 differ"),
    ],
)
def test_the_check_at_load_can_fail(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, what: str, message: str
) -> None:
    model = load(tiny)
    monkeypatch.setattr(ScoredCall, "__init__", ScoredCall.__init__)
    masks = AttentionMaskInterface._global_mapping
    monkeypatch.setitem(masks, "headscope", masks["headscope"])
    damage(model, what)
    with pytest.raises(InterventionError, match=message):
        check(model)


@pytest.mark.parametrize("second", [None, PAIRS[2]])
def test_the_maps_of_a_text_equal_eagers(folder: Path, model: Model, second: str | None) -> None:
    text_maps = model.maps(TEXTS[1], second)
    batch = model.tokenizer(TEXTS[1], second, return_tensors="pt")
    with torch.no_grad():
        eager = plain(folder, "eager")(**batch, output_attentions=True).attentions
    tokens = batch["input_ids"].shape[1]
    assert text_maps.maps.shape == (families.LAYERS, families.HEADS, tokens, tokens)
    expected = torch.cat(eager).numpy()
    np.testing.assert_allclose(text_maps.maps, expected, atol=1e-6, rtol=1e-5)
    assert text_maps.tokens == tuple(model.tokenizer.convert_ids_to_tokens(batch["input_ids"][0]))
    marks = (0, text_maps.tokens.index("</s>"), tokens - 1)
    assert [i for i, special in enumerate(text_maps.special) if special] == sorted(set(marks))
    border = marks[1] + 1
    assert text_maps.segments == (0,) * border + (1,) * (tokens - border)
    if second is None:
        assert border == tokens


def test_the_maps_of_a_text_are_those_of_the_disabled_model(tiny: Path) -> None:
    model = load(tiny)
    whole = model.maps(TEXTS[1]).maps
    with model.disabled("L2H3"):
        disabled = model.maps(TEXTS[1]).maps
    np.testing.assert_array_equal(disabled[:2], whole[:2])
    assert not np.allclose(disabled[2], whole[2], atol=1e-3)
    np.testing.assert_array_equal(model.maps(TEXTS[1]).maps, whole)


def test_a_text_that_is_too_long_for_maps_is_refused(tiny: Path) -> None:
    model = load(tiny)
    with pytest.raises(HeadscopeError, match="has more than the 139 tokens that .* can read"):
        model.maps("nurse " * 150)
    assert model.maps("nurse " * 130).maps.shape[-1] == 132


def test_the_maps_of_a_text_have_patterns(tiny: Path) -> None:
    text_maps = load(tiny).maps(TEXTS[1], PAIRS[2])
    patterns = headscope.patterns.classify(
        text_maps.maps, special=text_maps.special, segments=text_maps.segments
    )
    assert patterns.labels.shape == (families.LAYERS, families.HEADS)
