"""The figures of a run, as lines to read and as a line of JSON."""

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

Kind = Literal["cpu", "cuda"]


@dataclass
class Record:
    """What a run found, and where.

    Attributes:
        job: The name under which docs/results/speed.md knows it; "" for others.
        command: The command line.
        model: The model, with its family and its sizes.
        work: The examples and the sets of heads.
        kind: What the model ran on: "cpu" or "cuda".
        device: The processor or the GPU by name.
        threads: How many threads torch computes in.
        versions: headscope's, torch's and transformers'.
        figures: Every figure by name; seconds unless the name says otherwise.
        notes: What was sampled or left out.
    """

    job: str
    command: str
    model: str
    work: str
    kind: Kind
    device: str
    threads: int
    versions: dict[str, str]
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, model: str, work: str, device: torch.device, job: str = "") -> "Record":
        """A record without figures; says what is run."""
        record = cls(
            job=job,
            command=" ".join(["python", *sys.argv]),
            model=model,
            work=work,
            kind="cuda" if device.type == "cuda" else "cpu",
            device=device_name(device),
            threads=torch.get_num_threads(),
            versions={name: version(name) for name in ("headscope", "torch", "transformers")},
        )
        print(f"{model}, {work}, on {record.device} ({record.threads} threads)")
        return record

    def say(self, sentence: str) -> None:
        """Print a sentence and keep it as a note."""
        print(sentence)
        self.notes.append(sentence)

    def append(self, file: Path) -> None:
        """Add the record to a file as a line of JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(self)) + "\n")


def read(file: Path) -> list[Record]:
    """The records in a file, in their order; none if it is not there."""
    if not file.exists():
        return []
    names = {each.name for each in fields(Record)}
    records = []
    for line in file.read_text("utf-8").splitlines():
        content = json.loads(line)
        records.append(Record(**{name: content[name] for name in names}))
    return records


def device_name(device: torch.device) -> str:
    """The processor or the GPU in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    # cpuinfo is Linux's.
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    has_amx = torch.backends.cpu.get_cpu_capability().startswith("AVX512") and bool(
        torch.cpu._is_amx_tile_supported()
    )
    name = named[0] if named else platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {name}{', AMX' if has_amx else ', without AMX'}"
