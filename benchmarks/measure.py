"""What measuring costs: all measures of maps in one pass, against the bare forward pass of the same
batches.

    python benchmarks/measure.py --data DIR [--model minilm] [--task mrpc] [--rounds 5] [--notebook
    20] [--plot FILE]

Prints, from one run: seconds of the bare forward pass (SDPA, the encoder alone), of the pass that
takes the paper's maps-only measures (entropy, distance, attention to and from classes of words,
token pairs), their ratio, the ratio of the pass that sorts maps into patterns too to that without,
the same for a half and a quarter of the examples, the peak resident memory before and after, and
what the form of the published notebook takes for a few examples (one at a time, padded to 200,
loops over layers and heads in NumPy).
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
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
from headscope.model.passes import run_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.words.align import Aligned, align
from headscope.words.sources import tag


@torch.inference_mode()
def bare(model: Model, encoded: Encoded) -> None:
    """The forward pass of the encoder over the same batches, nothing observed."""
    for rows in batches(encoded.lengths, BATCH_TOKENS):
        model.hf.base_model(**encoded.batch(rows))


@torch.inference_mode()
def notebook(model: Model, encoded: Encoded, words: list[Aligned]) -> None:
    """As the notebook does: an example at a time, padded to 200 tokens, loops over layers and heads
    in NumPy.
    """
    model.hf.set_attn_implementation("eager")
    try:
        for row in range(len(encoded)):
            out = model.hf.base_model(**encoded.batch([row], width=200), output_attentions=True)
            maps = torch.stack(out.attentions)[:, 0].numpy()
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
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
    parser.add_argument("--examples", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebook", type=int, default=20)
    parser.add_argument(
        "--plot", type=Path, help="write the growth with the number of examples as a figure"
    )
    given = parser.parse_args()
    model = load(given.model)
    split = load_data(find(given.task), given.data).validation.sample(given.examples, 0)
    encoded = encode(split, model.tokenizer)
    words = align(encoded, split, tag(split))
    names = [n for n in MEASURES.names() if not n.startswith("norm_")]
    print(
        f"{model}, {given.task}: {len(encoded)} examples of {encoded.lengths.mean():.1f} tokens, "
        f"{len(names)} measures"
    )
    bare(model, encoded)
    before = peak()
    collector = Collector(load_classifier(), len(encoded), model.layers, model.heads)
    measures = MeasureObserver(Measures(names, words), model.layers, model.heads)
    times: dict[str, list[float]] = {"bare": [], "measured": [], "patterns": []}
    for _ in range(given.rounds):
        times["bare"].append(seconds(lambda: bare(model, encoded)))
        times["measured"].append(seconds(lambda: measure(model, encoded, names, words=words)))
        times["patterns"].append(seconds(lambda: run_pass(model, encoded, [measures, collector])))
    ratios = [m / b for b, m in zip(times["bare"], times["measured"], strict=True)]
    added = [p / m for m, p in zip(times["measured"], times["patterns"], strict=True)]
    for name, values in times.items():
        print(
            f"{name:>10}: median {statistics.median(values):.2f} s (from {min(values):.2f} to "
            f"{max(values):.2f})"
        )
    print(
        f"     ratio: median {statistics.median(ratios):.2f} (from {min(ratios):.2f} to "
        f"{max(ratios):.2f}), by pairs"
    )
    print(
        f"  patterns: {statistics.median(added):.2f} times measuring (from {min(added):.2f} to "
        f"{max(added):.2f})"
    )
    print(
        f"    memory: peak {before:.0f} MiB after the bare pass, {peak():.0f} MiB after measuring"
    )
    growth = []
    for share in (4, 2, 1):
        rows = list(range(0, len(encoded), share))
        part, own = only(encoded, rows), [words[i] for i in rows]
        took = seconds(partial(measure, model, part, names, words=own))
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
