"""The content of run.json: what was run, on what, with which versions, and how to repeat it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

import torch

from headscope.model.model import Model
from headscope.results.record import DataRecord, ModelRecord, Record, TaskRecord

_PACKAGES = (
    "headscope",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
)
_NOT_OPTIONS = (
    "command",
    "headscope",
    "model",
    "config",
    "tokenizer",
    "before_config",
    "before_tokenizer",
    "task",
    "definition",
    "data",
)


def record(
    named: Model,
    model: Model,
    request: Mapping[str, object],
    *,
    seed: int,
    task: TaskRecord,
    data: DataRecord,
    notes: tuple[str, ...],
    definitions: Mapping[str, str],
    repeat: str,
    seconds: float,
) -> Record:
    """The content of run.json.

    Args:
        named: The model as the user named it.
        model: The model that was scored or measured, whose hash is kept.
        request: What was asked.
        seed: Random seed of the run.
        task: What the examples were.
        data: Where they came from.
        notes: What the user must know: what was left out, cut or not measured.
        definitions: A sentence per measure.
        repeat: The command line that repeats the run.
        seconds: How long it took.
    """
    return Record(
        command=str(request["command"]),
        headscope=version("headscope"),
        model=ModelRecord(
            name=named.name,
            path=named.path,
            hash=model.hash,
            family=model.family,
            layers=model.layers,
            heads=model.heads,
        ),
        task=task,
        data=data,
        options={name: request[name] for name in request if name not in _NOT_OPTIONS},
        seed=seed,
        device=_device(model),
        versions={name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        seconds=round(seconds, 1),
        notes=notes,
        definitions=definitions,
        repeat=repeat,
    )


def _device(model: Model) -> str:
    """What computed: the GPU's name, or the processor with its threads."""
    if model.hf.device.type == "cuda":
        return torch.cuda.get_device_name(model.hf.device)
    threads = torch.get_num_threads()
    return f"{model.hf.device.type}, {threads} thread{'s' if threads > 1 else ''}"
