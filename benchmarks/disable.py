"""What disabling heads costs: the fast path against the loop that people write, and against what
must be computed.

    python benchmarks/disable.py --model DIR --data DIR [--task mrpc] [--examples N] [--heads each]
    [--mode uniform]
                                 [--precision fp32 auto]

The loop: a hook on the input of the output projection replaces a head's slice by the mean of its
values (or zero); SDPA, float32, 32 examples at a time in the order of the data, padded to the
longest of the batch. The limit: the layer passes that cannot be spared (for a set that begins in
layer l the feed-forward part of l, all layers between, keys and values of the last), times what a
bare forward pass takes for a layer over the same tokens without padding.

All take turns within one run: some sets by the fast path, then the same by the loop, then a bare
pass. Prints seconds by the clock and of processor time (the steadier of the two on a machine that
does other work), their ratios, the largest difference of an output, and for how many sets every
metric is equal. `--skip-loop` leaves out the loop. `--calls N` times N calls with one set each
instead, as a search makes them: by one scorer, and by a new one for every call.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import parse_sets
from headscope.axes import HeadSet
from headscope.model.encoding import BATCH_TOKENS, Encoded, batches, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.precision import Precision
from headscope.stats.metrics import METRICS
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.tasks.outputs import Logits, predictions

Seconds = dict[str, list[float]]


@contextmanager
def timed(seconds: Seconds, name: str) -> Iterator[None]:
    """Add the wall and the processor time of the block to `seconds[name]`."""
    start, processor = time.perf_counter(), time.process_time()
    yield
    seconds[name][0] += time.perf_counter() - start
    seconds[name][1] += time.process_time() - processor


@torch.no_grad()
def loop(model: Model, encoded: Encoded, heads: HeadSet, mode: str) -> Logits:
    """One set, as it is usually written."""
    hooks, now = [], dict[str, Tensor]()
    base: Any = model.hf.base_model
    layers = base.encoder.layer
    size = model.hf.config.hidden_size // model.heads

    def hook(index: int, chosen: list[int]) -> None:
        values: list[Tensor] = []

        def keep(_module: Any, _given: Any, out: Tensor) -> None:
            values[:] = [out]

        def replace(_module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            output, real = given[0].clone(), now["attention_mask"][..., None]
            for head in chosen:
                own = slice(head * size, (head + 1) * size)
                mean = (values[0][..., own] * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
                output[..., own] = mean if mode == "uniform" else 0.0
            return (output,)

        attention = layers[index].attention
        hooks.append(attention.self.value.register_forward_hook(keep))
        hooks.append(attention.output.dense.register_forward_pre_hook(replace))

    for layer in {head.layer for head in heads}:
        hook(layer - 1, [head.index[1] for head in heads if head.layer == layer])
    out = []
    model.hf.set_attn_implementation("sdpa")
    try:
        for start in range(0, len(encoded), 32):
            now = encoded.batch(range(start, min(start + 32, len(encoded))), model.hf.device)
            out.append(model.hf(**now).logits.float().cpu().numpy())
    finally:
        model.hf.set_attn_implementation("headscope")
        for one in hooks:
            one.remove()
    return np.concatenate(out)


@torch.inference_mode()
def bare(model: Model, encoded: Encoded, precision: str) -> None:
    """The encoder's forward pass over the examples, sorted by length."""
    with torch.autocast(model.hf.device.type, torch.bfloat16, enabled=precision != "fp32"):
        for rows in batches(encoded.lengths, BATCH_TOKENS):
            model.hf.base_model(**encoded.batch(rows, model.hf.device))


def passes(model: Model, sets: list[tuple[str, HeadSet]]) -> float:
    """How many layers must be run for the sets, in units of a whole layer."""
    hidden, inner = int(model.hf.config.hidden_size), int(model.hf.config.intermediate_size)
    feed, rest = 2 * hidden * inner, 4 * hidden * hidden
    forward, keys = feed / (feed + rest), 2 * hidden * hidden / (feed + rest)
    first = [min(heads).layer for _, heads in sets]
    return sum(
        forward + (model.layers - layer - 1) + keys for layer in first if layer < model.layers
    )


def time_calls(
    model: Model,
    encoded: Encoded,
    sets: list[tuple[str, HeadSet]],
    precision: Precision,
    count: int,
) -> None:
    """Print what calls with one set each take, by one scorer and by a new one for every call."""
    drawn = [sets[row] for row in np.random.default_rng(0).integers(len(sets), size=count)]
    seconds: Seconds = defaultdict(lambda: [0.0, 0.0])
    with timed(seconds, "one"):
        scorer = Scorer(model, encoded, precision=precision)
        for named in drawn:
            list(scorer.score([named]))
    with timed(seconds, "new"):
        for named in drawn:
            list(Scorer(model, encoded, precision=precision).score([named]))
    for name, (wall, processor) in seconds.items():
        print(
            f"{precision}, {name}: {wall:.1f} s by the clock, {processor:.1f} s of processor time"
        )


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--examples", type=int)
    parser.add_argument(
        "--heads", default="each", help="each, layers, random:SIZE, or heads as in L1H2,L7H6"
    )
    parser.add_argument("--mode", choices=["uniform", "zero"], default="uniform")
    parser.add_argument(
        "--precision", nargs="+", choices=["fp32", "bf16", "auto"], default=["fp32"]
    )
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS)
    parser.add_argument("--skip-loop", action="store_true")
    parser.add_argument("--calls", type=int)
    given = parser.parse_args()
    task = find(given.task)
    model = load(given.model, labels=task.outputs)
    split = load_data(task, given.data).validation.sample(given.examples, 0)
    encoded = encode(split, model.tokenizer)
    sets = parse_sets(given.heads, model.layers, model.heads)
    heads = dict(sets)
    count = sum(
        len(rows) * int(encoded.lengths[rows].max())
        for rows in batches(encoded.lengths, BATCH_TOKENS)
    )
    print(
        f"{model}, {given.task}: {len(encoded)} examples of {encoded.lengths.mean():.1f} tokens, "
        f"{len(sets)} sets"
    )
    bare(model, encoded, "fp32")
    if given.calls:
        for precision in given.precision:
            time_calls(model, encoded, sets, precision, given.calls)
        return
    seconds: Seconds = defaultdict(lambda: [0.0, 0.0])
    outputs: dict[str, dict[str, Logits]] = defaultdict(dict)
    rounds = 0
    runs = {}
    for precision in given.precision:
        with timed(seconds, precision):
            scorer = Scorer(
                model,
                encoded,
                given.mode,
                batch_tokens=given.batch_tokens,
                precision=precision,
                layers_kept=1,
            )
            runs[precision] = scorer.score(sets)
    layer = 0
    for _ in sets:
        for precision, run in runs.items():
            with timed(seconds, precision):
                one = next(run)
            outputs[precision][one.name] = one.outputs
        if not given.skip_loop:
            with timed(seconds, "loop"):
                outputs["loop"][one.name] = loop(model, encoded, heads[one.name], given.mode)
        if min(heads[one.name]).layer != layer:
            layer, rounds = min(heads[one.name]).layer, rounds + 1
            for precision in given.precision:
                with timed(seconds, f"bare {precision}"):
                    bare(model, encoded, precision)
    report(
        model,
        seconds,
        passes(model, sets),
        int(encoded.lengths.sum()) / count / rounds,
        given.precision,
    )
    for precision, own in outputs.items():
        if precision != "loop" and "loop" in outputs:
            print(f"{precision:>9}: {agreement(own, outputs['loop'], task, split.labels)}")


def report(
    model: Model, seconds: Seconds, needed: float, share: float, precisions: list[str]
) -> None:
    """Print the times and their ratios; `share` is what a bare pass without padding is of all the
    bare passes.
    """
    for name, (wall, processor) in seconds.items():
        print(f"{name:>9}: {wall:8.2f} s by the clock, {processor:8.2f} s of processor time")
    for precision in precisions:
        layer = [one * share / model.layers for one in seconds[f"bare {precision}"]]
        limit = [needed * one for one in layer]
        text = " and ".join(
            f"{100 * one / taken:.0f}%"
            for one, taken in zip(limit, seconds[precision], strict=True)
        )
        sum_of = f"{needed:.1f} layer passes = {limit[0]:.2f} s ({limit[1]:.2f} s)"
        print(f"{precision:>9}: the limit is {sum_of}; {text} of it")
        if "loop" in seconds:
            ratios = [
                slow / fast for slow, fast in zip(seconds["loop"], seconds[precision], strict=True)
            ]
            print(
                f"{precision:>9}: {ratios[0]:.2f} times as fast as the loop by the clock, "
                f"{ratios[1]:.2f} by processor"
            )


def agreement(own: dict[str, Logits], other: dict[str, Logits], task: Any, labels: Any) -> str:
    """The largest difference of an output, and for how many sets the metrics are equal."""
    apart = max(float(np.abs(own[name] - other[name]).max()) for name in own)
    metrics: list[Callable[..., float]] = [METRICS[name].score for name in task.metrics]
    equal = sum(
        all(
            metric(labels, predictions(task, own[n])) == metric(labels, predictions(task, other[n]))
            for metric in metrics
        )
        for n in own
    )
    return (
        f"outputs differ by at most {apart:.1e}, every metric is equal for {equal} of {len(own)} "
        "sets"
    )


if __name__ == "__main__":
    main()
