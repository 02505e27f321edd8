"""Norm-weighted attention and sinks against vectors that are weighted one by one, and maps worked by hand."""

# mypy: disable-error-code="index, union-attr"

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

import families
from headscope.errors import HeadscopeError, InterventionError
from headscope.examples import Split
from headscope.measures import MEASURES, definition, measure
from headscope.measures.base import Prepared
from headscope.model.encoding import Encoded, encode, only
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import run_pass
from headscope.model.projections import gram, output_layers

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
NORMS = ("norm_attention_to_cls", "norm_attention_to_sep", "norm_entropy")
NAMES = (*NORMS, "sink_rate")


def pairs(model: Model) -> Encoded:
    return encode(Split(FIRST, SECOND, np.zeros(len(FIRST), dtype=np.int64)), model.tokenizer, 97)


@pytest.fixture(scope="module", params=list(families.OWN))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.make(request.param, tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.fixture
def bert(tiny: Path) -> Model:
    return load(tiny)


# Where each family keeps its output projection: layer -> module.
NAMED: dict[str, Any] = {
    "distilbert": lambda base, i: base.transformer.layer[i].attention.out_lin,
    "albert": lambda base, _: base.encoder.albert_layer_groups[0].albert_layers[0].attention.dense,
    "modernbert": lambda base, i: base.layers[i].attn.Wo,
}


def named(family: str, base: Any, layer: int) -> nn.Linear:
    linear: nn.Linear = NAMED.get(family, lambda b, i: b.encoder.layer[i].attention.output.dense)(
        base, layer
    )
    return linear


def test_the_projections_are_the_familys_own(model: Model) -> None:
    assert len(model.projections) == families.LAYERS
    for layer, projection in enumerate(model.projections):
        assert projection.shape == (20, families.HEADS, families.HEAD_SIZE)
        weight = named(model.family, model.hf.base_model, layer).weight
        assert torch.equal(projection.flatten(1), weight)
        for head in range(families.HEADS):
            own = weight[:, head * families.HEAD_SIZE : (head + 1) * families.HEAD_SIZE]
            torch.testing.assert_close(gram(projection)[head], own.T @ own)


def test_the_projections_follow_the_weights(bert: Model) -> None:
    before = [p.clone() for p in bert.projections]
    with torch.no_grad():
        named("bert", bert.hf.base_model, 1).weight.mul_(3)
    torch.testing.assert_close(bert.projections[1], 3 * before[1])
    assert torch.equal(bert.projections[0], before[0])


def test_looking_for_the_projections_is_no_run_of_the_users(bert: Model) -> None:
    seen: list[int] = []
    with bert.observed(lambda call: seen.append(call.layer)), bert.disabled("L1H2,L3H5") as edit:
        assert len(bert.projections) == families.LAYERS
        assert not edit.change
    assert seen == []


def test_a_layer_without_a_projection_is_refused(bert: Model) -> None:
    dense = named("bert", bert.hf.base_model, 1)
    own = bert.hf.base_model.encoder.layer[1].attention.output
    own.dense = nn.Sequential(nn.Hardtanh(-1e-3, 1e-3), dense)
    with pytest.raises(
        InterventionError,
        match=r"no linear layer of .*tiny-bert.* \(bert\) reads .* of layer 2, so",
    ):
        output_layers(bert.hf, bert.tap, bert.tokenizer, bert.name)
    assert not bert.tap.observers
    assert not dense._forward_pre_hooks


class Recorder:
    """Eager attention that keeps the maps and the values of every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []

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
        self.calls.append((maps[0], value[0]))
        return (maps @ value).transpose(1, 2).contiguous(), None


def by_hand(
    maps: npt.NDArray[Any], moved: npt.NDArray[Any], seps: list[int]
) -> tuple[float, float, float, float]:
    """One map [query, key] and what each token moves at weight 1 [key, hidden] -> the four measures."""
    n = len(maps)
    cls, entropy, received = 0.0, 0.0, np.zeros(n)
    sep = dict.fromkeys(seps, 0.0)
    for i in range(n):
        lengths = np.linalg.norm(maps[i][:, None] * moved, axis=1)
        shares = lengths / lengths.sum()
        cls += shares[0] / n
        for j in seps:
            sep[j] += shares[j] / n
        entropy += sum(-p * math.log(p) for p in shares if p > 0) / n
        received += maps[i] / n
    return cls, max(sep.values()), entropy, float(received.max() > 0.3)


@torch.no_grad()
def test_equal_to_vectors_weighted_one_by_one(folder: Path, model: Model) -> None:
    recorder = Recorder()
    AttentionInterface.register("recorder", lambda *a, **k: recorder(*a, **k))
    AttentionMaskInterface.register("recorder", eager_mask)
    hf = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    hf.set_attn_implementation("recorder")
    encoded = pairs(model)
    slow = np.zeros((len(encoded), families.LAYERS, families.HEADS, len(NAMES)))
    for example in range(len(encoded)):
        recorder.calls.clear()
        hf(**encoded.batch([example]))
        seps = [i for i, special in enumerate(encoded.special[example]) if special and i]
        assert len(seps) == 2
        for layer, (maps, value) in enumerate(recorder.calls):
            weight = named(model.family, hf, layer).weight
            for head in range(families.HEADS):
                columns = slice(head * families.HEAD_SIZE, (head + 1) * families.HEAD_SIZE)
                moved = (value[head].double() @ weight[:, columns].double().T).numpy()
                slow[example, layer, head] = by_hand(maps[head].double().numpy(), moved, seps)
    fast = measure(model, encoded, NAMES)
    for at, name in enumerate(NAMES):
        np.testing.assert_allclose(
            fast[name].compute()[0], slow[..., at].mean(0), atol=2e-6, rtol=2e-5
        )
        np.testing.assert_allclose(
            fast[name].squares, (slow[..., at] ** 2).sum(0), atol=1e-5, rtol=5e-5
        )
    assert 0 < slow[..., 3].mean() < 1
    # The weights alone say something else, so the norms were used.
    plain = measure(model, encoded, ["attention_to_cls", "entropy"])
    assert np.abs(plain["attention_to_cls"].compute()[0] - slow[..., 0].mean(0)).max() > 0.01
    assert np.abs(plain["entropy"].compute()[0] - slow[..., 2].mean(0)).max() > 0.01


def values_of(name: str, maps: LayerMaps) -> Tensor:
    return MEASURES.get(name).values(maps, Prepared(maps.batch, []))


def layer_maps(
    maps: Tensor, values: Tensor, grams: Tensor | None, special: list[list[int]], real: Tensor
) -> LayerMaps:
    marks = torch.zeros_like(real)
    for row, at in zip(marks, special, strict=True):
        row[at] = True
    zeros = torch.zeros_like(real, dtype=torch.long)
    batch = Batch(np.arange(len(real)), real, marks, zeros, zeros)
    return LayerMaps(0, batch, maps, values, None if grams is None else lambda: grams)


def test_a_map_worked_by_hand() -> None:
    # Lengths 3, 1, 2 and 5 (a right-angled 3-4-5); the last is padding and counts nowhere.
    values = torch.tensor([[[[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [3.0, 4.0]]]])
    rows = [
        [0.5, 0.5, 0.0, 0.0],
        [0.0, 0.5, 0.5, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.25, 0.25, 0.25, 0.25],
    ]
    real = torch.tensor([[True, True, True, False]])
    maps = layer_maps(torch.tensor([[rows]]), values, torch.eye(2)[None], [[0, 2]], real)
    # Shares by row: (3/4, 1/4, 0), (0, 1/3, 2/3), (0, 0, 1).
    assert values_of("norm_attention_to_cls", maps).item() == pytest.approx(0.25)
    assert values_of("norm_attention_to_sep", maps).item() == pytest.approx(5 / 9)
    entropies = [math.log(4) - 0.75 * math.log(3), math.log(3) - 2 / 3 * math.log(2), 0]
    assert values_of("norm_entropy", maps).item() == pytest.approx(sum(entropies) / 3)
    # Columns receive 1/6, 1/3 and 1/2.
    assert values_of("sink_rate", maps).item() == 1
    # A projection that stretches the first direction tenfold: (30/31, 1/31, 0), (0, 1/21, 20/21), (0, 0, 1).
    stretched = layer_maps(
        maps.maps, values, torch.diag(torch.tensor([100.0, 1.0]))[None], [[0, 2]], real
    )
    assert values_of("norm_attention_to_cls", stretched).item() == pytest.approx(10 / 31)
    assert values_of("norm_attention_to_sep", stretched).item() == pytest.approx(41 / 63)


def test_a_head_that_moves_nothing_and_a_text_without_sep_have_no_value() -> None:
    uniform = torch.full((1, 1, 3, 3), 1 / 3)
    real = torch.ones(1, 3, dtype=torch.bool)
    still = layer_maps(uniform, torch.zeros(1, 1, 3, 2), torch.eye(2)[None], [[0, 2]], real)
    assert all(math.isnan(values_of(name, still).item()) for name in NORMS)
    alone = layer_maps(uniform, torch.ones(1, 1, 3, 2), torch.eye(2)[None], [[0]], real)
    assert math.isnan(values_of("norm_attention_to_sep", alone).item())
    assert values_of("norm_attention_to_cls", alone).item() == pytest.approx(1 / 3)
    without = layer_maps(uniform, torch.ones(1, 1, 3, 2), None, [[0]], real)
    with pytest.raises(HeadscopeError, match="the norms of projected values need the model"):
        values_of("norm_entropy", without)


@pytest.mark.parametrize(("n", "sink"), [(2, 1.0), (3, 1.0), (5, 0.0), (11, 0.0)])
def test_uniform_attention_is_a_sink_in_tiny_texts_alone(n: int, sink: float) -> None:
    maps = layer_maps(
        torch.full((1, 1, n, n), 1 / n),
        torch.ones(1, 1, n, 2),
        None,
        [[0]],
        torch.ones(1, n, dtype=torch.bool),
    )
    assert values_of("sink_rate", maps).item() == sink


@st.composite
def random_maps(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Maps [batch, head, query, key], values and real tokens, of two examples of different lengths."""
    lengths = draw(st.tuples(st.integers(3, 11), st.integers(3, 11)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    n = max(lengths)
    real = torch.arange(n) < torch.tensor(lengths)[:, None]
    scores = torch.randn(2, 5, n, n, generator=generator) * draw(st.sampled_from([0.0, 1.0, 9.0]))
    maps = scores.masked_fill(~real[:, None, None], -torch.inf).softmax(-1)
    return maps, torch.randn(2, 5, n, 7, generator=generator), real


@given(random_maps(), st.floats(0.01, 100.0))
def test_equal_lengths_leave_attention_alone_and_scale_is_nothing(
    drawn: tuple[Tensor, Tensor, Tensor], scale: float
) -> None:
    maps, values, real = drawn
    eye, special = torch.eye(7).expand(5, 7, 7), [[0, int(row.sum()) - 1] for row in real]
    same = layer_maps(
        maps, torch.nn.functional.normalize(values, dim=-1) * scale, eye, special, real
    )
    for name, plain in zip(NORMS, ("attention_to_cls", "attention_to_sep", "entropy"), strict=True):
        torch.testing.assert_close(
            values_of(name, same), values_of(plain, same), atol=2e-5, rtol=1e-4
        )
    first = layer_maps(maps, values, eye, special, real)
    scaled = layer_maps(maps, values * scale, eye, special, real)
    for name in NORMS:
        torch.testing.assert_close(
            values_of(name, first),
            values_of(name, scaled),
            atol=2e-5,
            rtol=1e-4,
        )


def test_independent_of_batch_padding_order_and_shards(bert: Model) -> None:
    encoded = pairs(bert)
    assert len(set(encoded.lengths.tolist())) == len(encoded)
    whole = measure(bert, encoded, NAMES)
    alone = measure(bert, encoded, NAMES, batch_tokens=1)
    reverse = measure(bert, only(encoded, [3, 1, 0, 2]), NAMES)
    shards = [measure(bert, only(encoded, rows), NAMES) for rows in ([2, 0], [1, 3])]
    for name in NAMES:
        assert (whole[name].n == len(encoded)).all()
        merged = shards[0][name] + shards[1][name]
        for other in (alone[name], reverse[name], merged):
            np.testing.assert_allclose(other.total, whole[name].total, atol=1e-5, rtol=1e-5)
            np.testing.assert_allclose(other.squares, whole[name].squares, atol=1e-5, rtol=1e-5)


def test_measures_compute_in_float32_where_the_model_runs_in_bfloat16(bert: Model) -> None:
    class Autocast:
        def prepare(self, batch: Batch) -> list[bool]:
            assert len(batch.examples) == len(pairs(bert))
            return enabled

        def see(self, maps: LayerMaps, prepared: list[bool]) -> None:
            assert maps.maps.dtype == torch.float32
            prepared.append(torch.is_autocast_enabled("cpu"))

    enabled: list[bool] = []
    run_pass(bert, pairs(bert), [Autocast()], precision="bf16")
    assert enabled == [False] * families.LAYERS
    half = measure(bert, pairs(bert), NAMES, precision="bf16")
    full = measure(bert, pairs(bert), NAMES)
    for name in NORMS:
        np.testing.assert_allclose(half[name].compute()[0], full[name].compute()[0], atol=0.1)


def test_the_definitions_name_their_units() -> None:
    assert definition("norm_entropy").endswith("Unit: nats.")
    assert "||a_ij f(x_j)|| / sum_k ||a_ik f(x_k)||" in definition("norm_attention_to_cls")
    assert "over 0.3" in definition("sink_rate")
    assert definition("sink_rate").endswith("Unit: share of examples.")
