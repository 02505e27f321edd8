"""The small model in onnxruntime puts out what it does in torch."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import removals
from headscope.errors import HeadscopeError, InterventionError
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.removal import Removal
from headscope.pruning import onnx
from headscope.pruning.checkpoint import padded_batches
from headscope.pruning.small import write_small
from removals import SETS, TASK

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra onnx is not installed",
)


def small_of(family: str, root: Path) -> Model:
    model = removals.model_of(family, root)
    removal = Removal.of(model, SETS["a whole layer"], "uniform")
    return load(write_small(model, removal, TASK, root / "small").folder, device="cpu")


# The exporter takes seconds for each: one that calls the attention interface, one of our own.
@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_onnxruntime_puts_out_the_same(family: str, tmp_path: Path) -> None:
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    small = small_of(family, tmp_path)
    path = onnx.write_onnx(small, tmp_path / "small")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # Other sizes than those of the export.
    texts = ["the nurse.", "it was the pilot who thanked the nurse.", "no", "by it", "on " * 40]
    batch = removals.batch_of(small, texts)
    (found,) = session.run(["logits"], {name: values.numpy() for name, values in batch.items()})
    with torch.no_grad():
        assert np.allclose(found, small.hf(**batch).logits.numpy(), atol=1e-4)
    assert [file.name for file in (tmp_path / "small").glob("*.onnx*")] == ["model.onnx"]
    # The file of a model that has changed since is found.
    batches = padded_batches(small)
    onnx.check_file(small, path, batches)
    bias = [*small.hf.parameters()][-1]
    with torch.no_grad():
        bias.add_(0.1)
    with pytest.raises(InterventionError, match="puts out something else than the model"):
        onnx.check_file(small, path, batches)


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small_of("bert", tmp_path)
    monkeypatch.setattr(onnx, "find_spec", lambda _name: None)
    with pytest.raises(HeadscopeError, match=r"pip install 'headscope\[onnx\]'"):
        onnx.write_onnx(small, tmp_path / "small")
