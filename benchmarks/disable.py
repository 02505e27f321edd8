"""What disabling heads costs: headscope against the loops that people write, and against what must
be computed. For any family that headscope takes.

    python benchmarks/disable.py --model DIR --data DIR [--task mrpc] [--examples N] [--heads each]
                                 [--mode uniform] [--precision fp32 auto] [--json FILE]

The loops are transformers and hooks: what the output projection of a layer reads is replaced for a
head by the mean of its values (or zero), and the whole model runs once a set, under SDPA where the
family has it. *Loop*: float32, 32 examples at a time in the order of the data, padded to the
longest. *Skilled loop*: sorted by length, 65,536 tokens a batch on a GPU and 2,048 on a processor,
bfloat16 autocast with one context; its predictions are not float32's. *Limit*: the layer passes
that cannot be spared, times what a bare forward pass takes for a layer without padding, in float32
or, for auto, in the fastest half-precision form (autocast, or converted weights).

All take turns within one run: some sets by headscope, the same by the loops, then bare passes.
Prints seconds by the clock and of processor time (the steadier of the two on a machine that does
other work), ratios, the largest difference of an output, how many predictions differ, and for how
many sets every metric is equal. `--skip-loops` leaves out the loops. In place of that

    --processes [--rounds 3]  `headscope disable` and a script with the loop as whole processes
    --search 2000             a search's calls, on the first --examples (200) of the training data
    --calls N                 N calls with one set each
    --profile                 where headscope's time goes, by kinds of operations
    --agree                   counts predictions in auto that differ from float32's, and ends with
                              exit code 1 if there are any

`--json` adds all figures to a file as a line, with the device and the versions.
"""

import argparse
from pathlib import Path

import numpy as np

from disabling.exactness import count_differences
from disabling.profiling import profile
from disabling.records import Record
from disabling.searching import time_search, time_single_calls
from disabling.setting import Asked, Setting
from disabling.turns import compare
from disabling.whole import time_processes
from headscope.commands.session import GENERATED
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import load_data

SEARCHED = 200


def arguments() -> argparse.Namespace:
    """What the command line says."""
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
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--skip-loops", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--job", default="", help="a name for the line of --json")
    jobs = parser.add_mutually_exclusive_group()
    jobs.add_argument("--processes", action="store_true")
    jobs.add_argument("--search", type=int, metavar="SETS")
    jobs.add_argument("--calls", type=int, metavar="N")
    jobs.add_argument("--agree", action="store_true")
    jobs.add_argument("--profile", action="store_true")
    return parser.parse_args()


def examples(given: argparse.Namespace, task: Task) -> Split:
    """A sample of the validation data, or for a search the first of the training data."""
    # As `headscope disable` asks for the rows of a task that makes them.
    data = load_data(task, given.data, sizes=(GENERATED[0], given.examples or GENERATED[1]))
    if given.search:
        count = min(given.examples or SEARCHED, len(data.train))
        return data.train.take(np.arange(count))
    return data.validation.sample(given.examples, 0)


def main() -> None:
    """Run the job that is asked for."""
    given = arguments()
    task = find(given.task)
    asked = Asked(given.heads, given.mode, given.precision, given.batch_tokens)
    try:
        setting = Setting(given.model, task, examples(given, task), asked)
    except HeadscopeError as error:
        raise SystemExit(str(error)) from error
    record = Record.begin(repr(setting.model), setting.work, setting.plain.device, given.job)
    for note in setting.notes:
        record.say(note)
    differing = 0
    if given.processes:
        time_processes(setting, record, given.data, given.rounds)
    elif given.search:
        time_search(setting, record, given.search)
    elif given.calls:
        time_single_calls(setting, record, given.calls)
    elif given.agree:
        differing = count_differences(setting, record)
    elif given.profile:
        profile(setting, record)
    else:
        compare(setting, record, with_loops=not given.skip_loops)
    if given.json:
        record.append(given.json)
    if differing:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
