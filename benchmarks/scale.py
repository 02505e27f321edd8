"""What the whole paper would take on many GPUs: computed from the plan's costs, not measured.

    python benchmarks/scale.py --data glue [--layers 24] [--heads 16] [--seeds 5]

The parts are those of `headscope paper` on real data, with the lengths of real texts; the model is
a shape. Every part gets a GPU to itself when what it needs is done, the longest part first. Two
speeds are assumed: of training in batches of 32 examples, and of everything else in large batches.
"""

import argparse
import heapq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from headscope.replication.plan import Part
from headscope.replication.run import TASKS, Paper, open_task, parts_of_task

TRAINING = {
    "mrpc": 3_668, "rte": 2_490, "stsb": 5_749, "sst2": 67_349, "qnli": 104_743, "mnli": 392_702,
    "qqp": 363_846,
}  # fmt: skip
"""How many training examples GLUE has (Wang et al. 2019, ICLR); the data at hand may be a part."""


@dataclass(frozen=True)
class Shape:
    """A model without weights: what the plan asks of one."""

    layers: int
    heads: int
    name: str = "a shape"
    hf: Any = None


def seconds(part: Part, given: argparse.Namespace) -> float:
    """How long a part takes on a GPU."""
    rate = given.training_rate if part.command == "finetune" else given.rate
    return float(given.start + part.cost / rate)


def schedule(parts: list[Part], given: argparse.Namespace, workers: int) -> float:
    """When the last part ends, in seconds."""
    done: dict[str, float] = {}
    waiting = sorted(parts, key=lambda part: -seconds(part, given))
    free = [0.0] * workers
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        ready = [part for part in waiting if set(part.takes.values()) <= done.keys()]
        for part in ready[: sum(one <= now for one in free)]:
            waiting.remove(part)
            place = next(index for index, one in enumerate(free) if one <= now)
            free[place] = now + seconds(part, given)
            heapq.heappush(running, (free[place], part.folder))
        now, folder = heapq.heappop(running)
        done[folder] = now
    return now


def main() -> None:
    """The command at the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="minilm", help="whose tokenizer reads the texts")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=317_000, help="tokens a second")
    parser.add_argument("--training-rate", type=float, default=63_000)
    parser.add_argument("--start", type=float, default=20.0, help="seconds before a part begins")
    given = parser.parse_args()
    asked = Paper(
        model=given.model, out=Path("unused"), data=given.data, seeds=given.seeds, quiet=True
    )
    shape = Shape(given.layers, given.heads)
    parts: list[Part] = []
    print("| task | training examples | tokens of an example | GPU hours |\n|---|---:|---:|---:|")
    for name in TASKS:
        session = open_task(asked, name)
        # The plan asks how many examples there are, and nothing else of them.
        shaped = replace(
            session,
            model=cast(Any, replace(shape, hf=session.model.hf)),
            train=cast(Any, range(TRAINING[name])),
        )
        own = parts_of_task(asked, shaped)
        hours = sum(seconds(part, given) for part in own) / 3600
        tokens = session.encoded.lengths.mean()
        print(f"| {name} | {TRAINING[name]:,} | {tokens:.0f} | {hours:.1f} |")
        parts += own
    total = sum(seconds(part, given) for part in parts) / 3600
    longest = max(parts, key=lambda part: seconds(part, given))
    print(f"\n{len(parts)} parts, {total:.1f} GPU hours; the longest is {longest.words}: ", end="")
    print(f"{seconds(longest, given) / 3600:.2f} hours\n")
    print("| GPUs | hours | share of their time that is used |\n|---:|---:|---:|")
    for workers in (1, 8, 32, 100):
        hours = schedule(parts, given, workers) / 3600
        print(f"| {workers} | {hours:.2f} | {100 * total / hours / workers:.0f}% |")


if __name__ == "__main__":
    main()
