"""What measuring costs: all measures of maps in one pass, against the bare forward pass of the same
batches.

    python benchmarks/measure.py --data DIR [--model minilm] [--task mrpc] [--split validation]
    [--examples N] [--batch-tokens N] [--rounds 5] [--notebook 20] [--plot FILE]

Prints the device and, from one run in turns: seconds of the bare forward pass (SDPA, the encoder
alone), of the pass that takes the paper's maps-only measures (entropy, distance, attention to and
from classes of words, token pairs), of the pass that sorts maps into patterns too, and the ratios
of both to the bare pass of the same batches (wanted on a processor: at most 1.25 and 1.5; on a GPU:
1.5 and 2); of these seconds those that find what measures need of words; measuring a half and a
quarter of the examples; the peak resident memory before and after; and what the form of the
published notebook takes for a few examples (one at a time, padded to 200, loops over layers and
heads in NumPy).
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import torch

from headscope.figures.rendering import save
from headscope.measures import MEASURES, measure
from headscope.measures.base import MeasureObserver, Measures
from headscope.model.encoding import BATCH_TOKENS, Encoded, batches, encode, only
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import batch_of, run_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import Aligned, align
from headscope.words.sources import tag


@torch.inference_mode()
def bare(model: Model, encoded: Encoded, batch_tokens: int) -> None:
    """The forward pass of the encoder over the same batches, nothing observed."""
    for rows in batches(encoded.lengths, batch_tokens):
        model.hf.base_model(**encoded.batch(rows, model.hf.device))


def prepare(
    measures: MeasureObserver, encoded: Encoded, device: torch.device, batch_tokens: int
) -> None:
    """What measures need of words, without a model."""
    for rows in batches(encoded.lengths, batch_tokens):
        measures.prepare(batch_of(encoded, rows, device)[1])


def device_name(device: torch.device) -> str:
    """The device, as figures name it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} threads, {capability}"


@torch.inference_mode()
def notebook(model: Model, encoded: Encoded, words: list[Aligned]) -> None:
    """As the notebook does: an example at a time, padded to 200 tokens, loops over layers and heads
    in NumPy.
    """
    model.hf.set_attn_implementation("eager")
    try:
        for row in range(len(encoded)):
            inputs = encoded.batch([row], model.hf.device, width=200)
            out = model.hf.base_model(**inputs, output_attentions=True)
            maps = torch.stack(out.attentions)[:, 0].cpu().numpy()
            nouns = [
                t
                for w, own in zip(words[row].words, words[row].tokens, strict=True)
                if w.upos == "NOUN"
                for t in own
            ]
            for layer in range(model.layers):
                for head in range(model.heads):
                    received = maps[layer, head].mean(0)
                    _ = received[0], received[nouns].max() if nouns else 0.0
                    _ = -(maps[layer, head] * np.log(maps[layer, head] + 1e-12)).sum(-1).mean()
    finally:
        model.hf.set_attn_implementation("headscope")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, all work of a GPU included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def line(name: str, values: Sequence[float], unit: str) -> str:
    """The median of some numbers, and from where to where they go."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{name:>16}: median {middle:.2f}{unit} (from {low:.2f} to {high:.2f})"


def peak() -> float:
    """Peak resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--split", choices=("train", "validation"), default="validation")
    parser.add_argument("--examples", type=int)
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebook", type=int, default=20)
    parser.add_argument(
        "--plot", type=Path, help="write the growth with the number of examples as a figure"
    )
    given = parser.parse_args()
    model = load(given.model)
    data = load_data(find(given.task), given.data)
    whole = data.train if given.split == "train" else data.validation
    split = whole.sample(given.examples, 0)
    encoded = encode(split, model.tokenizer)
    words = align(encoded, split, tag(split))
    names = [n for n in MEASURES.names() if not n.startswith("norm_")]
    device, budget = model.hf.device, given.batch_tokens
    print(
        f"{model}, {given.task}: {len(encoded)} examples of {encoded.lengths.mean():.1f} tokens, "
        f"{budget} tokens a batch, {len(names)} measures; {device_name(device)}"
    )
    bare(model, encoded, budget)
    before = peak()

    def measured() -> None:
        measure(model, encoded, names, words=words, batch_tokens=budget)

    def with_patterns() -> None:
        observer = MeasureObserver(Measures(names, words), model.layers, model.heads)
        collector = Collector(load_classifier(), len(encoded), model.layers, model.heads)
        run_pass(model, encoded, [observer, collector], batch_tokens=budget)

    observer = MeasureObserver(Measures(names, words), model.layers, model.heads)
    works: dict[str, Callable[[], None]] = {
        "bare": partial(bare, model, encoded, budget),
        "measured": measured,
        "with patterns": with_patterns,
        "of it words": partial(prepare, observer, encoded, device, budget),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(given.rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    for name, values in times.items():
        print(line(name, values, " s"))
    for name in ("measured", "with patterns"):
        ratios = [took / of_bare for of_bare, took in zip(times["bare"], times[name], strict=True)]
        print(line(f"{name} / bare", ratios, ""))
    print(
        f"          memory: peak {before:.0f} MiB after the bare pass, {peak():.0f} MiB in the end"
    )
    growth = []
    for share in (4, 2, 1):
        rows = list(range(0, len(encoded), share))
        part, own = only(encoded, rows), [words[i] for i in rows]
        of_part = partial(measure, model, part, names, words=own, batch_tokens=budget)
        took = seconds(of_part)
        growth.append({"examples": len(rows), "seconds": took})
        print(
            f"    growth: {len(rows):>6} examples, {took:.2f} s, {1000 * took / len(rows):.2f} ms "
            "an example"
        )
    if given.plot:
        chart = alt.Chart(pl.DataFrame(growth)).mark_line(point=True, color="#1f6fb5")
        x, y = (
            alt.X("examples:Q", scale=alt.Scale(zero=True)),
            alt.Y("seconds:Q", scale=alt.Scale(zero=True)),
        )
        save(chart.encode(x, y).properties(width=220, height=140), given.plot)
    rows = list(range(min(given.notebook, len(encoded))))
    took = seconds(lambda: notebook(model, only(encoded, rows), [words[i] for i in rows]))
    print(f"  notebook: {1000 * took / len(rows):.1f} ms an example, for 3 measures")


if __name__ == "__main__":
    main()
