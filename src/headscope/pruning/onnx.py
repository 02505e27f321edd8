"""A model without some heads as an ONNX file, for programs without Python: any number of texts of
any length, checked in onnxruntime.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headscope.errors import HeadscopeError, InterventionError, refusing
from headscope.files import replacing
from headscope.model.classes import OF_TEXTS
from headscope.model.model import Model
from headscope.pruning.checkpoint import padded_batches

ONNX = "model.onnx"
"""The name of the file."""
TOLERANCE = 1e-4
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class _InOrder(nn.Module):
    """A model whose inputs and outputs have an order."""

    def __init__(self, hf: nn.Module, names: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.hf = hf
        self.names = names
        self.outputs = outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs: for texts [batch, output], for tokens [batch, token, output], and of answers
        two, [batch, token].
        """
        output = self.hf(**dict(zip(self.names, inputs, strict=True)))
        return tuple(output[name] for name in self.outputs)


def _outputs(model: Model) -> tuple[str, ...]:
    """The names of what a model puts out."""
    return ("last_hidden_state",) if model.head is None else model.head.outputs


def write_onnx(model: Model, folder: Path) -> Path:
    """Write a model as `model.onnx`, and check that onnxruntime gives its outputs for padded texts
    of several lengths.

    >>> write_onnx(headscope.load("run/small"), Path("run/small"))              # doctest: +SKIP

    Args:
        model: A model from which heads are removed.
        folder: Where the file goes.

    Returns:
        The file. Its inputs are those of the tokenizer, [batch, token]; its output is `logits`, of
        a model that answers questions `start_logits` and `end_logits`.

    Raises:
        HeadscopeError: The extra `onnx` is not installed, or the model cannot be exported.
        InterventionError: onnxruntime puts out something else than the model; nothing is written.
        OSError: The file could not be written.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise HeadscopeError(
            f"an ONNX file needs {', '.join(missing)}: install headscope with its extra onnx, as "
            "in pip install 'headscope[onnx]'"
        )
    batches = padded_batches(model)
    names = tuple(batches[0])
    path = folder / ONNX
    with replacing(path) as unfinished:
        _export(model, names, batches[0], unfinished)
        check_file(model, unfinished, batches)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """While the context is open, the exporter says nothing of its own parts, which no user can
    mend; what it raises is said.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# With gradients the exporter takes another form of attention, which it then cannot write.
@torch.no_grad()
def _export(model: Model, names: tuple[str, ...], batch: dict[str, Tensor], path: Path) -> None:
    """Write the file; one batch stands for all sizes."""
    example = tuple(batch[name].cpu() for name in names)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    device = model.hf.device
    outputs = _outputs(model)
    wrapped = _InOrder(model.hf, names, outputs).cpu().eval()
    try:
        with refusing(f"{model.name} cannot be exported to ONNX"), _quiet():
            torch.onnx.export(
                wrapped,
                example,
                path,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_shapes=(tuple(sizes for _ in names),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        nn.Module.to(model.hf, device)


@torch.no_grad()
def check_file(model: Model, path: Path, batches: Sequence[dict[str, Tensor]]) -> None:
    """Refuse an ONNX file whose outputs in onnxruntime are not the model's.

    Args:
        model: The model.
        path: The file.
        batches: What both are called with.

    Raises:
        InterventionError: An output differs by more than `TOLERANCE`, relative to the largest or 1.
        HeadscopeError: onnxruntime cannot run it.
    """
    runtime: Any = import_module("onnxruntime")
    with refusing(f"onnxruntime cannot run the ONNX file of {model.name}"):
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for batch in batches:
            whole = model.hf(**batch)
            given = {name: values.cpu().numpy() for name, values in batch.items()}
            real = given["attention_mask"].astype(bool)
            names = _outputs(model)
            for name, put_out in zip(names, session.run(list(names), given), strict=True):
                expected = whole[name].cpu().numpy()
                if model.head is not OF_TEXTS:
                    # What is put out for padding means nothing.
                    expected, put_out = expected[real], put_out[real]
                _check_near(model, put_out, expected)


def _check_near(model: Model, put_out: np.ndarray, expected: np.ndarray) -> None:
    difference = float(np.abs(put_out - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise InterventionError(
            f"the ONNX file of {model.name} puts out something else than the model "
            f"(difference {difference:.1e}), so it is not kept: use the checkpoint small "
            "without --onnx, and report the model's family"
        )
