"""What a model without some heads saves: weights, multiply-adds, and time, measured side by side
with the whole model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor, nn

from headscope.errors import HeadscopeError
from headscope.model.classes import text_config
from headscope.model.model import Model
from headscope.model.reduced_files import is_reduced, read_reduced
from headscope.model.tap import Mode

LENGTHS = (32, 128, 512)
"""Tokens of a text."""
BATCHES = (1, 32)
"""Texts in a batch."""
SECONDS = 30.0
_MOST = 60


@dataclass(frozen=True)
class SizeRow:
    """How large and how fast a model without some heads is beside the whole one, for texts of one
    length without padding: a row of the table `sizes`.

    Attributes:
        mode: What stands for a removed head.
        heads_kept: How many heads stay.
        heads: How many heads the whole model has.
        parameters: How many weights the small model has.
        parameters_whole: How many the whole model has.
        bytes: What the weights of the small model take.
        bytes_whole: What those of the whole model take.
        tokens: Tokens of a text.
        batch: Texts in a batch.
        device: Where it was measured, "cpu" or "cuda".
        threads: How many threads torch had on the processor.
        multiply_adds: Of the small model for a text (`multiply_adds`).
        multiply_adds_whole: Of the whole model.
        small: Sequences a second of the small model, the median over rounds.
        whole: Those of the whole model.
        value: The median over rounds of the small model's speed relative to the whole one's.
        low: Lower end of the 95% interval of that median; None for too few rounds.
        high: Its upper end.
        n: How many rounds were measured.
        unit: The unit of `value`.
    """

    mode: Mode
    heads_kept: int
    heads: int
    parameters: int
    parameters_whole: int
    bytes: int
    bytes_whole: int
    tokens: int
    batch: int
    device: str
    threads: int
    multiply_adds: int
    multiply_adds_whole: int
    small: float
    whole: float
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str = "times"


def measure_speed(
    whole: Model,
    small: Model,
    *,
    lengths: Sequence[int] = LENGTHS,
    batches: Sequence[int] = BATCHES,
    seconds: float = SECONDS,
) -> list[SizeRow]:
    """Measure how fast a model without some heads is beside the whole one, on the device that both
    are on.

    In every round each of the two runs once, the other first in the next round. The first pass of
    each counts for nothing. A length that the model cannot read is left out.

    Args:
        whole: The whole model.
        small: The same with fewer heads.
        lengths: Tokens of a text.
        batches: Texts in a batch.
        seconds: About how long all of it may take. Each length and batch is measured in one round
            at least, so that a large model on a slow device takes longer, and has no intervals.

    Raises:
        HeadscopeError: They are not on the same device, no heads are removed from the small one, or
            no length can be read.
    """
    if not is_reduced(small.hf.config):
        raise HeadscopeError(
            f"no heads are removed from {small.name}, so there is nothing to measure: give a "
            "folder small"
        )
    if whole.hf.device != small.hf.device:
        raise HeadscopeError(
            f"the models are on {whole.hf.device} and {small.hf.device}, so their speeds cannot be "
            "compared: load both on one device"
        )
    usable = [length for length in lengths if length <= whole.max_length]
    if not usable:
        raise HeadscopeError(
            f"{whole.name} reads {whole.max_length} tokens, fewer than every length that was to be "
            f"measured ({', '.join(map(str, lengths))}): give a shorter one"
        )
    cells = [(length, count) for length in usable for count in batches]
    end = time.perf_counter() + seconds
    speeds = []
    # What takes longest comes last, so that the rest of the time is known to be its.
    for index, (length, count) in enumerate(sorted(cells, key=lambda cell: cell[0] * cell[1])):
        share = (end - time.perf_counter()) / (len(cells) - index)
        speeds.append(_speed(whole, small, length, count, share))
    return sorted(speeds, key=lambda row: (row.tokens, row.batch))


@torch.inference_mode()
def _speed(whole: Model, small: Model, length: int, count: int, seconds: float) -> SizeRow:
    begun = time.perf_counter()
    columns = _texts(whole, length, count)
    for model in (whole, small):
        _seconds(model, columns)
    times: list[tuple[float, float]] = []
    while len(times) < _MOST:
        if times and time.perf_counter() - begun > seconds:
            break
        if len(times) % 2:
            second = _seconds(small, columns)
            times.append((_seconds(whole, columns), second))
        else:
            first = _seconds(whole, columns)
            times.append((first, _seconds(small, columns)))
    by_model = np.array(times)
    ratios = np.sort(by_model[:, 0] / by_model[:, 1])
    low, high = _interval(ratios)
    reduced = read_reduced(small.hf.config, small.name)
    return SizeRow(
        mode=reduced.mode,
        heads_kept=sum(len(layer) for layer in reduced.kept),
        heads=reduced.layers * reduced.heads,
        parameters=sum(tensor.numel() for tensor in small.hf.parameters()),
        parameters_whole=sum(tensor.numel() for tensor in whole.hf.parameters()),
        bytes=sum(tensor.nbytes for tensor in small.hf.parameters()),
        bytes_whole=sum(tensor.nbytes for tensor in whole.hf.parameters()),
        tokens=length,
        batch=count,
        device=whole.hf.device.type,
        threads=torch.get_num_threads(),
        multiply_adds=multiply_adds(small, length),
        multiply_adds_whole=multiply_adds(whole, length),
        small=count / float(np.median(by_model[:, 1])),
        whole=count / float(np.median(by_model[:, 0])),
        value=float(np.median(ratios)),
        low=low,
        high=high,
        n=len(ratios),
    )


def _interval(ordered: np.ndarray) -> tuple[float | None, float | None]:
    """The 95% interval of a median, between two of the ordered values (the sign test's)."""
    below = int(binom.ppf(0.025, len(ordered), 0.5))
    if below < 1 or binom.cdf(below - 1, len(ordered), 0.5) > 0.025:
        return None, None
    return float(ordered[below - 1]), float(ordered[-below])


def _texts(model: Model, length: int, count: int) -> dict[str, Tensor]:
    """A batch of texts of that many tokens, drawn from the vocabulary."""
    generator = torch.Generator().manual_seed(0)
    most = int(text_config(model.hf.config).vocab_size)
    tokens = torch.randint(0, most, (count, length), generator=generator)
    # Padding would count as less.
    tokens[tokens == model.tokenizer.pad_token_id] = (
        int(model.tokenizer.pad_token_id or 0) + 1
    ) % most
    columns = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return {name: values.to(model.hf.device) for name, values in columns.items()}


def _seconds(model: Model, columns: dict[str, Tensor]) -> float:
    """How long a batch takes."""
    wait: Callable[[], object] = lambda: None  # noqa: E731
    if model.hf.device.type == "cuda":
        wait = torch.cuda.synchronize
    wait()
    begun = time.perf_counter()
    model.hf(**columns)
    wait()
    return time.perf_counter() - begun


@torch.inference_mode()
def multiply_adds(model: Model, tokens: int) -> int:
    """How many multiply-adds a model needs for a text: in linear layers, and in the products of
    queries with keys and of maps with values.

    Args:
        model: The model.
        tokens: How many tokens the text has.
    """
    total = 0

    def add(linear: nn.Module, _given: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(linear, nn.Linear):
            total += output.numel() * linear.in_features

    linears = [module for module in model.hf.modules() if isinstance(module, nn.Linear)]
    hooks = [linear.register_forward_hook(add) for linear in linears]
    try:
        model.hf(**_texts(model, tokens, 1))
    finally:
        for hook in hooks:
            hook.remove()
    return total + 2 * tokens**2 * _width(model)


def _width(model: Model) -> int:
    """The sizes of all heads of all layers together."""
    config = text_config(model.hf.config)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // model.heads)
    if not is_reduced(model.hf.config):
        return model.layers * model.heads * size
    kept = read_reduced(model.hf.config, model.name).kept
    return sum(len(layer) for layer in kept) * size
