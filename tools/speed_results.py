"""Time what disabling heads costs and write docs/results/speed.md. Called by `make results`.

    HEADSCOPE_DATA=DIR [HEADSCOPE_MODELS=DIR] PYTHONPATH=benchmarks python tools/speed_results.py
    [JOB]...

Runs the jobs of the device at hand, a GPU if there is one, that have no line in
docs/results/speed.jsonl yet (those that are named: again), and writes the page from all lines in
it. Take the lines that a GPU wrote to the file of another machine and the page has both. MPNet
needs the checkpoint that tools/base_size_results.py makes. About an hour on two cores.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from disabling.records import Kind, Record, read
from pages import PAGES, ROOT, RUNS, table
from results import tuned

FIGURES = PAGES / "speed.jsonl"
LOOP, SKILLED = "the loop", "the skilled loop"


@dataclass(frozen=True)
class Aim:
    """A figure and what it should be at least.

    Attributes:
        what: The figure in words.
        figure: Its name in the record.
        least: What it should be at least.
        is_share: Whether it is given in per cent.
    """

    what: str
    figure: str
    least: float
    is_share: bool = False

    def text(self, value: float) -> str:
        """A value of this figure."""
        return f"{100 * value:.0f}%" if self.is_share else f"{value:.2f}"


def faster(precision: str, rival: str, least: float) -> Aim:
    """So many times as fast as one of the loops."""
    name = rival.removeprefix("the ")
    return Aim(f"{precision}: times as fast as {rival}", f"{name} / {precision}", least)


def of_limit(precision: str, least: float) -> Aim:
    """Such a share of the limit."""
    return Aim(f"{precision}: share of the limit", f"limit / {precision}", least, is_share=True)


@dataclass(frozen=True)
class Job:
    """A run of benchmarks/disable.py.

    Attributes:
        name: What its line in the file is called.
        title: Its heading in the page.
        kind: What it is for: "cpu" or "cuda".
        model: Makes the checkpoint where it is not there.
        options: Other arguments.
        aims: What is shown first.
    """

    name: str
    title: str
    kind: Kind
    model: Callable[[], Path]
    options: tuple[str, ...]
    aims: tuple[Aim, ...]


def minilm() -> Path:
    """MiniLM fine-tuned on MRPC."""
    return tuned("mrpc")


def mpnet() -> Path:
    """MPNet fine-tuned on MRPC."""
    return RUNS / "mpnet" / "checkpoint"


def random_weights(size: str) -> Callable[[], Path]:
    """Makes a model of a base size with random weights."""

    def make() -> Path:
        folder = RUNS / "random" / size
        if not (folder / "model.safetensors").exists():
            script = ROOT / "benchmarks" / "random_model.py"
            subprocess.run([sys.executable, script, size, minilm(), folder], check=True)
        return folder

    return make


AUTO, BOTH = ("--precision", "auto"), ("--precision", "fp32", "auto")
SEARCH = Job(
    "search", "A search: 2,000 sets of growing size, MRPC's first 200 training pairs, MiniLM",
    "cpu", minilm, (*AUTO, "--search", "2000"),
    (Aim("times as fast as a new scorer a set", "a new scorer a set, auto / one scorer", 5),),
)  # fmt: skip
AGREE = Job(
    "agree", "Predictions in auto and in float32, MiniLM on MRPC's validation set", "cpu",
    minilm, ("--agree",), (),
)  # fmt: skip
PROFILE = Job(
    "profile", "Where the time goes, 72 heads of MiniLM", "cpu", minilm,
    (*BOTH, "--profile", "--examples", "100"), (),
)  # fmt: skip
JOBS = (
    Job(
        "minilm", "72 heads of MiniLM, MRPC's validation set", "cpu", minilm, BOTH,
        (faster("auto", LOOP, 10), of_limit("auto", 0.7)),
    ),
    Job(
        "minilm-whole", "The same as whole processes", "cpu", minilm,
        (*BOTH, "--processes", "--rounds", "1"),
        (faster("fp32", LOOP, 3.5), faster("auto", LOOP, 7.5)),
    ),
    Job(
        "mpnet", "144 heads of MPNet, 60 pairs of MRPC", "cpu", mpnet, (*BOTH, "--examples", "60"),
        (faster("fp32", LOOP, 3), faster("auto", LOOP, 8)),
    ),
    SEARCH,
    AGREE,
    PROFILE,
    Job(
        "bert-base", "144 heads, BERT-base's size, random weights, MRPC's validation set", "cuda",
        random_weights("bert-base"), BOTH,
        (faster("auto", LOOP, 12), faster("auto", SKILLED, 2), of_limit("auto", 0.6)),
    ),
    Job(
        "bert-base-qnli", "The same on 4,000 pairs of QNLI", "cuda",
        random_weights("bert-base"), (*AUTO, "--task", "qnli", "--examples", "4000"),
        (faster("auto", LOOP, 12), faster("auto", SKILLED, 2), of_limit("auto", 0.65)),
    ),
    Job(
        "minilm", "72 heads of MiniLM, MRPC's validation set", "cuda", minilm, BOTH,
        (faster("auto", LOOP, 8), faster("auto", SKILLED, 1)),
    ),
    Job(
        "modernbert-base", "264 heads, ModernBERT-base's size, random weights", "cuda",
        random_weights("modernbert-base"), BOTH, (faster("auto", LOOP, 8),),
    ),
    Job(
        "deberta-v3-base", "144 heads, DeBERTa-v3-base's size, random weights", "cuda",
        random_weights("deberta-v3-base"), BOTH, (faster("auto", LOOP, 8),),
    ),
    replace(SEARCH, kind="cuda"),
    replace(AGREE, kind="cuda"),
    Job(
        "profile", "Where the time goes, 144 heads, BERT-base's size", "cuda",
        random_weights("bert-base"), (*BOTH, "--profile"), (),
    ),
)  # fmt: skip


def main() -> None:
    """Run what is missing or named, and write the page."""
    kind: Kind = "cuda" if torch.cuda.is_available() else "cpu"
    named = sys.argv[1:]
    known = {job.name for job in JOBS if job.kind == kind}
    if unknown := set(named) - known:
        raise SystemExit(f"no job {', '.join(sorted(unknown))}; known here: {sorted(known)}")
    there = {record.job for record in read(FIGURES) if record.kind == kind}
    for job in JOBS:
        if job.kind == kind and (job.name in named or (not named and job.name not in there)):
            run(job)
    (PAGES / "speed.md").write_text(page(read(FIGURES)))


def run(job: Job) -> None:
    """Run the benchmark, which adds its line to the file."""
    model = job.model()
    if not model.exists():
        print(f"{job.name}: left out, {model} is not there")
        return
    words = ["--model", str(model.relative_to(ROOT)), *job.options, "--job", job.name]
    words += ["--json", str(FIGURES.relative_to(ROOT))]
    command = [sys.executable, "benchmarks/disable.py", *words]
    data = Path(os.environ["HEADSCOPE_DATA"]).resolve()
    before = len(read(FIGURES))
    # From the root, so that the command in the record can be repeated anywhere.
    environment = {**os.environ, "HEADSCOPE_DATA": str(data)}
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    # --agree writes its line and ends with 1 where predictions differ, which the page says.
    if len(read(FIGURES)) == before:
        raise SystemExit(f"{' '.join(command)} recorded nothing")


def page(records: Iterable[Record]) -> str:
    """The page from the lines of the file; of a job that has several the last one counts."""
    latest = {(record.kind, record.job): record for record in records}
    parts = [
        "# How fast heads are disabled",
        "Made by `tools/speed_results.py`, through `make results`, from the figures in "
        "[speed.jsonl](speed.jsonl), where every line has its command, its device and its "
        "versions. The rivals are transformers and hooks (`benchmarks/disabling/rivals.py`): what "
        "the output projection of a layer reads is replaced, and the whole model runs once a set. "
        "*The loop*: float32, 32 examples at a time in the order of the data. *The skilled loop*: "
        "sorted by length, large batches, bfloat16 autocast with one context; its predictions are "
        "not float32's. *The limit*: the layer passes that cannot be spared, at the rate of a bare "
        "pass, in float32 or in the fastest half-precision form. All take turns within one run. "
        "*Aimed at*: what the ratio should be at least.",
    ]
    for kind, heading in (("cpu", "On a processor"), ("cuda", "On a GPU")):
        parts.append(f"## {heading}")
        jobs = [job for job in JOBS if job.kind == kind]
        found = [job for job in jobs if (kind, job.name) in latest]
        for job in found:
            parts += _section(job, latest[job.kind, job.name])
        if missing := [f"{job.title} (`{job.name}`)" for job in jobs if job not in found]:
            parts.append(f"No figures yet: {'; '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def _section(job: Job, record: Record) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    parts = [
        f"### {job.title}",
        f"`{record.command}` on {record.device}, {record.threads} threads ({versions}); "
        f"{record.work}.",
    ]
    if job.aims:
        header = ("", "aimed at", "by the clock", "by processor time")
        parts.append(table(header, _aims(job, record)))
    if seconds := _seconds(record):
        parts.append(table(("", "seconds", "processor seconds"), seconds))
    names = filter(_stands_alone, record.figures)
    if others := [f"{name}: {_number(record.figures[name])}" for name in names]:
        parts.append(f"{'; '.join(others)}.")
    parts += [f"{note[0].upper()}{note[1:]}." for note in record.notes]
    return parts


def _aims(job: Job, record: Record) -> Sequence[Sequence[str]]:
    rows = []
    for aim in job.aims:
        values = [record.figures[f"{aim.figure}{suffix}"] for suffix in ("", " by processor")]
        rows.append((aim.what, aim.text(aim.least), *map(aim.text, values)))
    return rows


def _seconds(record: Record) -> Sequence[Sequence[str]]:
    ending = " processor s"
    names = [name.removesuffix(ending) for name in record.figures if name.endswith(ending)]
    return [
        (name, f"{record.figures[f'{name} s']:.1f}", f"{record.figures[name + ending]:.1f}")
        for name in names
    ]


def _stands_alone(name: str) -> bool:
    """Whether a figure is no time and no ratio of times."""
    return not name.endswith(" s") and "/" not in name


def _number(value: float) -> str:
    """Counts as they are, others with a digit after the point, differences with two digits."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.1f}" if value > 1 else f"{value:.2g}"


if __name__ == "__main__":
    main()
