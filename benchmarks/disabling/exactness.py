"""Whether `auto` predicts what float32 predicts, for every set and example."""

import numpy as np

from disabling.agreement import agreement
from disabling.records import Record
from disabling.setting import Setting


def count_differences(setting: Setting, record: Record) -> int:
    """Count the predictions in which `auto` differs from float32; says which they are."""
    if setting.task.is_regression:
        raise SystemExit("--agree counts classes: a regression is computed in float32 in auto too")
    auto = {result.name: result.outputs for result in setting.scorer("auto").score(setting.sets)}
    exact = {result.name: result.outputs for result in setting.scorer("fp32").score(setting.sets)}
    found = agreement(auto, exact, setting.task, setting.split.labels)
    print(f"auto against float32: {found}")
    record.figures["sets"] = found.sets
    record.figures["predictions that differ"] = found.flipped
    record.figures["predictions"] = found.pairs
    record.figures["largest difference"] = found.largest
    for name, outputs in auto.items():
        for row in np.flatnonzero(outputs.argmax(1) != exact[name].argmax(1)):
            record.say(f"{name}, example {row + 1}: {outputs[row]} in auto, {exact[name][row]}")
    return found.flipped
