"""What fine-tuning costs, against the loop that users write: wall time and peak memory, each in its
own process.

    python benchmarks/finetune.py --data DIR [--model minilm] [--task mrpc] [--train-examples N]
    [--epochs 1]

Both train with AdamW, batch 32, a linear schedule after a warm-up of 10%, gradients clipped to norm
1, in bfloat16 where the hardware has it. The loop that users write is transformers' model and
tokenizer, a DataLoader of shuffled batches, each padded to its longest example, and
torch.optim.AdamW. Seconds are from texts to trained weights: encoding and training, without imports
and loading. Prints the seconds of each, their ratio by pairs (--rounds), the same in processor
seconds, which other work on the machine disturbs less, and the peak resident memory of each
process; with --profile, where the seconds of headscope's steps go.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from headscope.examples import Split
from headscope.model.embedded import EMBEDDED, embedded_path
from headscope.model.encoding import MAX_LENGTH, encode
from headscope.model.loading import load
from headscope.model.precision import training_autocast
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import load_data
from headscope.training.loop import train
from headscope.training.recipe import Recipe


def clocks() -> tuple[float, float]:
    """The wall's and the processors' clock."""
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> list[float]:
    """Wall and processor seconds since `start`, and the peak of this process's resident memory so
    far, MiB.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*(now - then for now, then in zip(clocks(), start, strict=True)), peak]


def ours(name: str, task: Task, split: Split, recipe: Recipe, profile: bool) -> list[float]:
    """What headscope takes, its saving of the state included."""
    model = load(name, labels=task.outputs)
    start = clocks()
    encoded = encode(split, model.tokenizer)
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        if not profile:
            train(model, task, encoded, split.labels, recipe, state=state)
            return since(start)
        with torch.profiler.profile() as profiler:
            train(model, task, encoded, split.labels, recipe, state=state)
    print(
        profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25), file=sys.stderr
    )
    return since(start)


def plain(name: str, task: Task, split: Split, recipe: Recipe) -> list[float]:
    """What the loop that users write takes."""
    from torch.utils.data import DataLoader
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        get_linear_schedule_with_warmup,
    )

    source = str(embedded_path(name)) if name in EMBEDDED else name
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=task.outputs).to(
        device
    )
    start = clocks()
    texts = (list(split.first), None if split.second is None else list(split.second))
    # Some tokenizer files pad by themselves; the collator does it here, batch by batch.
    encoded = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH, padding=False)
    kind = float if task.is_regression else int
    rows = [
        {**{key: encoded[key][i] for key in encoded}, "labels": kind(label)}
        for i, label in enumerate(split.labels)
    ]
    torch.manual_seed(recipe.seed)
    loader: DataLoader[dict[str, torch.Tensor]] = DataLoader(
        rows,  # type: ignore[arg-type]
        batch_size=recipe.batch_size,
        shuffle=True,
        collate_fn=DataCollatorWithPadding(tokenizer),
    )
    steps = recipe.epochs * len(loader)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    schedule = get_linear_schedule_with_warmup(optimiser, round(recipe.warmup * steps), steps)  # type: ignore[no-untyped-call]
    model.train()
    for _ in range(recipe.epochs):
        for batch in loader:
            with training_autocast(recipe.precision, device):
                loss = model(**{key: value.to(device) for key, value in batch.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    return since(start)


def measured(which: str, arguments: list[str]) -> list[float]:
    """Wall seconds, processor seconds and peak memory of one of the two, in a process of its
    own.
    """
    command = [sys.executable, __file__, *arguments, "--only", which]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--profile", action="store_true", help="print where the time of headscope's steps goes"
    )
    parser.add_argument(
        "--only", choices=["headscope", "plain"], help="run one of the two in this process"
    )
    given = parser.parse_args()
    if given.only:
        task, recipe = find(given.task), Recipe(epochs=given.epochs, lr=1e-4)
        split = load_data(task, given.data).train.sample(given.train_examples, 0)
        if given.only == "plain":
            print(json.dumps(plain(given.model, task, split, recipe)))
        else:
            print(json.dumps(ours(given.model, task, split, recipe, given.profile)))
        return
    both = ("plain", "headscope")
    pairs = [{which: measured(which, sys.argv[1:]) for which in both} for _ in range(given.rounds)]
    for which in both:
        wall, processor, peaks = zip(*(pair[which] for pair in pairs), strict=True)
        print(
            f"{which:>10}: median {statistics.median(wall):.1f} s (from {min(wall):.1f} to "
            f"{max(wall):.1f}), {statistics.median(processor):.1f} processor seconds, peak memory "
            f"{max(peaks):.0f} MiB"
        )
    for at, what in enumerate(("seconds", "processor seconds")):
        ratios = [pair["headscope"][at] / pair["plain"][at] for pair in pairs]
        median = statistics.median(ratios)
        print(
            f"     ratio: median {median:.2f} (from {min(ratios):.2f} to {max(ratios):.2f}) of "
            f"{what}, by pairs"
        )


if __name__ == "__main__":
    main()
