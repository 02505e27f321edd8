"""Where the time of headscope's sweep goes, by kinds of operations."""

import time
from collections import defaultdict
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from disabling.records import Record
from disabling.setting import Setting

# The first kind of which a word is in an operation's name counts.
KINDS = {
    "attention": ("attention", "flash", "fmha", "softmax"),
    "products": ("mm", "linear", "matmul", "gemm", "convolution", "cutlass", "xmma"),
    "norms and activations": ("norm", "gelu", "tanh", "relu", "silu", "sigmoid"),
    "copies": ("copy", "cat", "index", "gather", "scatter", "repeat", "pad", "memcpy", "memset"),
    "elementwise": ("add", "mul", "sub", "div", "mean", "sum", "where", "elementwise"),
}
OTHERS, BESIDE = "other operations", "beside operations"
SHOWN = 12


def kind_of(name: str) -> str:
    """The kind of an operation or of a kernel, by its name."""
    lower = name.lower()
    for kind, words in KINDS.items():
        if any(word in lower for word in words):
            return kind
    return OTHERS


def profile(setting: Setting, record: Record) -> None:
    """Profile a sweep over all sets in each precision, checks at its start included."""
    is_cuda = setting.plain.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    for precision in setting.asked.precisions:
        start = time.perf_counter()
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in setting.scorer(precision).score(setting.sets):
                pass
            if is_cuda:
                torch.cuda.synchronize()
        clock = time.perf_counter() - start
        events: Any = profiler.key_averages()
        microseconds: dict[str, float] = defaultdict(float)
        names: dict[str, float] = defaultdict(float)
        for event in events:
            # On a GPU kernels alone, since an operation would count what its kernels count.
            if is_cuda and not str(event.device_type).endswith("CUDA"):
                continue
            taken = event.self_device_time_total if is_cuda else event.self_cpu_time_total
            microseconds[kind_of(event.key)] += taken
            names[event.key] += taken
        microseconds[BESIDE] = max(0.0, 1e6 * clock - sum(microseconds.values()))
        record.say(
            f"{precision}: of {clock:.1f} s for {len(setting.sets)} sets, with the profiler's own "
            f"time; {BESIDE}: Python, the start of operations and waiting"
        )
        for kind, taken in sorted(microseconds.items(), key=lambda item: -item[1]):
            share = 100 * taken / (1e6 * clock)
            record.figures[f"{precision}, {kind}, per cent"] = round(share, 1)
            print(f"{share:5.1f}%  {kind}")
        for name, taken in sorted(names.items(), key=lambda item: -item[1])[:SHOWN]:
            print(f"        {taken / 1e6:8.2f} s  {name}")
