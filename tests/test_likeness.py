"""How alike heads are: against SciPy's Jensen-Shannon distance row by row, and maps worked by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor
from transformers import AutoModel

import families
import headscope
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.measures import similarity as module
from headscope.measures.similarity import LikenessPass, clusters, divergences, likeness
from headscope.model.encoding import Encoded, encode, only
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.precision import Precision

FIRST = (
    "The nurse thanked the pilot.",
    "Ah.",
    "No, it was the old pilot who thanked her on that day in May!",
)
SECOND = ("He was thanked.", "Not by it.", "Ah, the nurse.")
FAMILIES = ("bert", "albert", "distilbert", "modernbert")


def pairs(model: Model) -> Encoded:
    return encode(Split(FIRST, SECOND, np.zeros(len(FIRST), dtype=np.int64)), model.tokenizer, 97)


def row_by_row(maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """SciPy's distance is the square root of the divergence, with natural logarithms."""
    heads = len(maps)
    out = np.zeros((heads, heads))
    for a in range(heads):
        for b in range(a):
            out[a, b] = out[b, a] = (jensenshannon(maps[a], maps[b], axis=1) ** 2).mean()
    return out


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_rows_compared_one_by_one(family: str, tmp_path: Path) -> None:
    folder = families.make(family, tmp_path)
    model = load(folder)
    encoded = pairs(model)
    eager = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    slow = np.zeros((families.LAYERS * families.HEADS,) * 2)
    with torch.no_grad():
        for example in range(len(encoded)):
            maps = eager(**encoded.batch([example]), output_attentions=True).attentions
            slow += row_by_row(torch.cat([m[0] for m in maps]).double().numpy()) / len(encoded)
    fast = likeness(model, encoded)
    np.testing.assert_allclose(fast, slow, atol=1e-6, rtol=1e-5)
    assert slow[0, 1] > 0.01
    # The order of the examples is nothing to it.
    np.testing.assert_allclose(likeness(model, only(encoded, [2, 0, 1])), fast, atol=1e-7)
    parts = [likeness(model, only(encoded, [i])) for i in range(3)]
    np.testing.assert_allclose(np.mean(parts, 0), fast, atol=1e-7)


def test_maps_worked_by_hand() -> None:
    one, other, even = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
    maps = torch.tensor([[one, one], [other, other], [one, other], [even, even], [one, one]])
    got = divergences(maps).numpy()
    # JS of (1, 0) and (1/2, 1/2): H(3/4, 1/4) - ln 2 / 2.
    half = math.log(4) - 0.75 * math.log(3) - math.log(2) / 2
    ln2 = math.log(2)
    np.testing.assert_allclose(
        got,
        [
            [0, ln2, ln2 / 2, half, 0],
            [ln2, 0, ln2 / 2, half, ln2],
            [ln2 / 2, ln2 / 2, 0, half, ln2 / 2],
            [half, half, half, 0, half],
            [0, ln2, ln2 / 2, half, 0],
        ],
        atol=1e-7,
    )


def random_maps(heads: int, n: int, seed: int, sharp: float) -> Tensor:
    return (
        torch.randn(heads, n, n, generator=torch.Generator().manual_seed(seed)) * sharp
    ).softmax(-1)


@given(
    st.integers(1, 7), st.integers(1, 11), st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 30.0])
)
def test_laws_of_the_divergence(heads: int, n: int, seed: int, sharp: float) -> None:
    maps = random_maps(heads, n, seed, sharp)
    kept = maps.clone()
    got = divergences(maps)
    assert torch.equal(maps, kept)
    assert torch.equal(got, got.T)
    assert torch.equal(got.diagonal(), torch.zeros(heads))
    assert 0 <= got.min() <= got.max() <= math.log(2) + 1e-5
    keys = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(divergences(maps[:, :, keys]), got, atol=1e-6, rtol=1e-5)
    doubled = divergences(torch.cat([maps, maps]))
    torch.testing.assert_close(doubled[:heads, heads:], got, atol=1e-6, rtol=1e-5)
    # The square root is a metric.
    root = got.double().sqrt()
    assert (root[:, :, None] <= root[:, None, :] + root.T[None, :, :] + 2e-3).all()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps(13, 7, 3, 2.0)
    whole = divergences(maps)
    monkeypatch.setattr(module, "_CELLS", 5 * 49)
    torch.testing.assert_close(divergences(maps), whole, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(module, "_CELLS", 1)
    torch.testing.assert_close(divergences(maps), whole, atol=1e-6, rtol=1e-5)


def test_a_limit_draws_examples_from_the_seed(tiny: Path) -> None:
    model = load(tiny)
    encoded = pairs(model)
    single = [likeness(model, only(encoded, [i])) for i in range(3)]
    drawn = [likeness(model, encoded, limit=1, seed=seed) for seed in range(5)]
    which = [next(i for i in range(3) if np.array_equal(one, single[i])) for one in drawn]
    assert len(set(which)) > 1
    counted: list[int] = []

    def advance(steps: int = 1, note: str = "") -> None:
        counted.append(steps)

    likeness(model, encoded, limit=2, advance=advance)
    assert counted == [1, 1]
    for limit, data in ((0, encoded), (100, only(encoded, []))):
        with pytest.raises(HeadscopeError, match="the likeness of heads needs an example"):
            likeness(model, data, limit=limit)


def test_clusters_by_hand() -> None:
    # Two tight groups, {0, 3, 4} and {1, 2}, and one on its own.
    group = np.array([0, 1, 1, 0, 0, 2])
    distances = np.where(group[:, None] == group, 0.1, 0.6)
    np.fill_diagonal(distances, 0.0)
    assert clusters(distances, 3).tolist() == [1, 2, 2, 1, 1, 3]
    assert clusters(distances, 1).tolist() == [1] * 6
    assert clusters(distances, 6).tolist() == [1, 2, 3, 4, 5, 6]
    assert clusters(np.zeros((1, 1)), 1).tolist() == [1]
    for count in (0, 7):
        with pytest.raises(HeadscopeError, match=f"6 heads make 1 to 6 clusters, not {count}"):
            clusters(distances, count)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_command_compares_heads_in_the_precision_that_was_asked_for(
    precision: Precision, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Precision] = []
    run = LikenessPass.run

    def noted(self: LikenessPass, *given: Any) -> None:
        ran.append(self.precision)
        run(self, *given)

    monkeypatch.setattr(LikenessPass, "run", noted)
    asked: dict[str, Any] = {"model": str(tiny), "task": "builtin", "examples": 10, "quiet": True}
    headscope.measure(**asked, measures="likeness", precision=precision, out=tmp_path / "run")
    assert ran == [precision]
