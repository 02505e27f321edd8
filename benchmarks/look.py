"""What `headscope look` takes to answer: a text that is read, heads that are switched off, a map.

    python benchmarks/look.py [MODEL]... [--tokens 64] [--heads 6] [--rounds 15]

In one process, as the server answers: `switch` is what the model says with heads off, after the
text was read once; `off map` the map of a head above them; `show` a new text with all measures,
patterns and small maps. Beside it stands what a skilled user would write: two forward passes of
plain transformers on the same text, the second with hooks that zero the same heads, and their
softmax or cosine. Prints the median of `--rounds` turns in milliseconds, in turns, and the ratio.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from headscope.axes import all_heads, set_name
from headscope.commands.session import aligned_words
from headscope.commands.settings import WordSource
from headscope.explorer.live import Explorer, Request
from headscope.explorer.opening import Wanted, open_viewed
from headscope.explorer.viewed import Viewed

SENTENCE = "The nurse thanked the pilot who had flown her home through the storm ."


def text_of(viewed: Viewed, tokens: int, start: int) -> str:
    """A text of so many tokens, another for every `start`."""
    known = SENTENCE.split()
    words = [known[(start + place) % len(known)] for place in range(tokens)]
    while len(viewed.model.tokenizer(" ".join(words))["input_ids"]) > tokens:
        words.pop()
    return " ".join(words)


def plainly(viewed: Viewed, text: str, heads: str) -> None:
    """Two forward passes, the second with the heads' outputs zeroed by hooks."""
    model: Any = viewed.model.hf
    inputs = viewed.model.tokenizer(text, return_tensors="pt")
    whole = model(**inputs).logits
    handles = []
    for name in heads.split(","):
        layer, head = (int(part) for part in name[1:].split("H"))
        linear = viewed.model.output_layers[layer - 1]
        width = linear.in_features // viewed.model.heads
        hook = partial(_zeroed, slice((head - 1) * width, head * width))
        handles.append(linear.register_forward_pre_hook(hook))
    without = model(**inputs).logits
    for handle in handles:
        handle.remove()
    torch.cosine_similarity(whole[0], without[0], dim=-1).mean().item()


def _zeroed(place: slice, _module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    states = given[0].clone()
    states[..., place] = 0
    return (states,)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def measured(name: str, tokens: int, count: int, rounds: int) -> None:
    """Print what one model takes."""
    words = partial(aligned_words, source=WordSource(), quiet=True)
    viewed = open_viewed(name, Wanted(), words)
    explorer = Explorer([viewed])
    every = all_heads(viewed.model.layers, viewed.model.heads)
    times: dict[str, list[float]] = {"switch": [], "off map": [], "plain": [], "show": []}
    for turn in range(rounds + 1):
        text = text_of(viewed, tokens, turn)
        heads = set_name(every[turn :: len(every) // count][:count])
        asked = {"model": 0, "first": text, "second": "", "mode": "zero"}
        one = {"example": 0, "head": str(every[-1]), "state": "off", "heads": heads}
        work: dict[str, Callable[[], object]] = {
            "show": partial(explorer.show, Request(asked)),
            "switch": partial(explorer.switch, Request({**asked, "heads": heads})),
            "off map": partial(explorer.map, Request({**asked, **one})),
            "plain": partial(plainly, viewed, text, heads),
        }
        for what, call in work.items():
            with torch.inference_mode():
                milliseconds = timed(call)
            # The first turn holds what is set up once.
            if turn:
                times[what].append(milliseconds)
    medians = {what: statistics.median(values) for what, values in times.items()}
    said = ", ".join(f"{what} {value:.0f} ms" for what, value in medians.items())
    ratio = medians["switch"] / medians["plain"]
    print(f"{name}: {tokens} tokens, {count} heads off: {said}; switch / plain {ratio:.2f}")


def main() -> None:
    """The command at the top of this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["minilm"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for name in options.models:
        measured(name, options.tokens, options.heads, options.rounds)


if __name__ == "__main__":
    main()
