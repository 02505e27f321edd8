"""What measuring one long text takes: memory and time of a ModernBERT of base size with random
weights, against the bare forward pass.

    python benchmarks/long_inputs.py [--tokens 8192] [--layers 22]

Each form runs in a process of its own and reports the peak of its resident memory: the bare pass
(SDPA), and all measures of maps and the patterns in one pass. Prints both and the difference.
"""

import argparse
import multiprocessing
import resource
import time
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from headscope.measures import MEASURES, WordMeasure
from headscope.measures.base import MeasureObserver, Measures
from headscope.model.encoding import Encoded
from headscope.model.families import INTERFACE
from headscope.model.model import Model
from headscope.model.passes import run_pass
from headscope.patterns.classifier import load_classifier
from headscope.patterns.collect import Collector

VOCABULARY, CLS, SEP = 1000, 1, 2


def model_of(layers: int, tokens: int) -> Model:
    """A ModernBERT of base size, 12 heads a layer, with random weights and no tokenizer."""
    config = AutoConfig.for_model(
        "modernbert",
        vocab_size=VOCABULARY,
        num_hidden_layers=layers,
        max_position_embeddings=tokens,
        pad_token_id=0,
        bos_token_id=CLS,
        cls_token_id=CLS,
        eos_token_id=SEP,
        sep_token_id=SEP,
    )
    torch.manual_seed(0)
    auto: Any = AutoModel
    hf = auto.from_config(config, dtype=torch.float32).eval()
    # Nothing here is read from text.
    return Model(hf, None, "modernbert", "", False, INTERFACE)  # type: ignore[arg-type]


def example_of(tokens: int) -> Encoded:
    """One text of so many tokens."""
    ids = np.random.default_rng(0).integers(3, VOCABULARY, tokens - 2).tolist()
    special = [True, *[False] * (tokens - 2), True]
    return Encoded(
        columns={"input_ids": [[CLS, *ids, SEP]]},
        segments=[[0] * tokens],
        special=[special],
        offsets=[[(0, 0)] * tokens],
        truncated=0,
        max_length=tokens,
        pad={"input_ids": 0},
    )


@torch.inference_mode()
def bare(model: Model, encoded: Encoded) -> None:
    """The forward pass alone."""
    model.hf.base_model(**encoded.batch([0]))


def measured(model: Model, encoded: Encoded) -> None:
    """All measures that look at no words, and the patterns."""
    names = [n for n in MEASURES.names() if not isinstance(MEASURES.get(n), WordMeasure)]
    observer = MeasureObserver(Measures(names, None), model.layers, model.heads)
    collector = Collector(load_classifier(), 1, model.layers, model.heads)
    base: Any = model.hf.base_model
    # They would be found by a short text, which needs a tokenizer.
    model.__dict__["_output_layers"] = [layer.attn.Wo for layer in base.layers]
    run_pass(model, encoded, [observer, collector])


FORMS = {"bare pass": bare, "all measures and patterns": measured}


def run(form: str, layers: int, tokens: int, queue: "Queue[tuple[float, float, float]]") -> None:
    """Run one form and put its seconds and its memory, before and at the peak, in bytes."""
    model, encoded = model_of(layers, tokens), example_of(tokens)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.monotonic()
    FORMS[form](model, encoded)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    queue.put((seconds, before, peak))


def main() -> None:
    """Print a line per form, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=22)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    peaks = []
    for form in FORMS:
        queue: Queue[tuple[float, float, float]] = context.Queue()
        process = context.Process(target=run, args=(form, asked.layers, asked.tokens, queue))
        process.start()
        seconds, before, peak = queue.get()
        process.join()
        peaks.append(peak)
        memory = f"{before / 2**30:.2f} GiB before, {peak / 2**30:.2f} GiB at the peak"
        print(f"{form}: {seconds:.1f} s, {memory}")
    print(f"above the bare pass: {(peaks[1] - peaks[0]) / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
