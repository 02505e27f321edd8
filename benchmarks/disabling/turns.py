"""headscope, the two loops and bare passes by turns within one run."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from disabling.agreement import agreement
from disabling.limits import (
    Form,
    bare_pass,
    half_forms,
    needed_passes,
    reads_one_token,
    share_of_tokens,
)
from disabling.records import Record
from disabling.rivals import Outputs
from disabling.setting import Setting, by_layer, first_layers
from disabling.timing import Seconds
from headscope.ablation.sets import SetResult
from headscope.model.precision import Precision

LOOP, SKILLED = "loop", "skilled loop"
By = dict[str, dict[str, Outputs]]
"""Outputs by who computed them and by the set's name."""


def compare(setting: Setting, record: Record, *, with_loops: bool) -> None:
    """Time everything, and put the figures into the record."""
    seconds: dict[str, Seconds] = defaultdict(Seconds)
    outputs: By = defaultdict(dict)
    print(f"{len(setting.sets)} sets of heads")
    record.figures["sets"] = len(setting.sets)
    forms = _forms(setting)
    bare = {form: bare_pass(setting.plain, setting.long_batches, form) for form in forms}
    _warm_up(setting, bare, with_loops)
    runs: dict[Precision, Iterator[SetResult]] = {}
    for precision in setting.asked.precisions:
        with seconds[precision].more():
            runs[precision] = setting.scorer(precision).score(setting.sets)
    # As many turns of what is repeated as the model has layers.
    every = -(-len(setting.sets) // setting.model.layers)
    turns, waiting = 0, list[SetResult]()
    first: dict[str, float] = {}
    for number in range(1, len(setting.sets) + 1):
        for precision, run in runs.items():
            with seconds[precision].more():
                result = next(run)
            outputs[precision][result.name] = result.outputs
            first.setdefault(precision, seconds[precision].clock)
        waiting.append(result)
        if number % every and number < len(setting.sets):
            continue
        if with_loops:
            _run_loops(setting, waiting, seconds, outputs)
        for form, run_bare in bare.items():
            with seconds[f"bare {form}"].more():
                run_bare()
        turns, waiting = turns + 1, []
    for name, taken in seconds.items():
        _put(record, name, taken)
    # What a long sweep hides: checks at the start, and what is chosen or compiled there.
    for name, clock in first.items():
        record.figures[f"{name} until the first result s"] = clock
        print(f"{name:>18}: {clock:.2f} s of it until the first result")
    if with_loops:
        _put_ratios(setting, record, seconds)
        _put_agreement(setting, record, outputs)
    _put_limits(setting, record, seconds, turns)


def _forms(setting: Setting) -> list[Form]:
    """The forms of a bare pass that the limits of the precisions need."""
    forms: list[Form] = ["fp32"]
    if any(precision != "fp32" for precision in setting.asked.precisions):
        forms += half_forms(setting.plain.device)
    return forms


def _warm_up(setting: Setting, bare: Mapping[Form, Callable[[], None]], with_loops: bool) -> None:
    """Let libraries choose and load what they compute with."""
    for run in bare.values():
        run()
    if with_loops:
        setting.plain.outputs(setting.loop_batches, {})
        setting.plain.skilled(setting.long_batches, [{}])


def _run_loops(
    setting: Setting, results: list[SetResult], seconds: dict[str, Seconds], outputs: By
) -> None:
    sets = [by_layer(result.heads) for result in results]
    plain = setting.plain
    with seconds[LOOP].more():
        by_loop = [plain.outputs(setting.loop_batches, heads) for heads in sets]
    with seconds[SKILLED].more():
        by_skilled = plain.skilled(setting.long_batches, sets)
    for result, slow, skilled in zip(results, by_loop, by_skilled, strict=True):
        outputs[LOOP][result.name] = slow
        outputs[SKILLED][result.name] = skilled


def _put(record: Record, name: str, taken: Seconds) -> None:
    record.figures[f"{name} s"] = taken.clock
    record.figures[f"{name} processor s"] = taken.processor
    print(
        f"{name:>18}: {taken.clock:8.2f} s by the clock, {taken.processor:8.2f} s of processor time"
    )


def _put_ratios(setting: Setting, record: Record, seconds: Mapping[str, Seconds]) -> None:
    for precision in setting.asked.precisions:
        for rival in (LOOP, SKILLED):
            ratio = seconds[rival].over(seconds[precision])
            record.figures[f"{rival} / {precision}"] = ratio.clock
            record.figures[f"{rival} / {precision} by processor"] = ratio.processor
            print(
                f"{precision:>18}: {ratio.clock:.2f} times as fast as the {rival} by the clock, "
                f"{ratio.processor:.2f} by processor time"
            )


def _put_agreement(setting: Setting, record: Record, outputs: By) -> None:
    for name in (*setting.asked.precisions, SKILLED):
        found = agreement(outputs[name], outputs[LOOP], setting.task, setting.split.labels)
        record.figures[f"{name} largest difference"] = found.largest
        record.figures[f"{name} sets with equal metrics"] = found.equal
        record.figures[f"{name} predictions that differ"] = found.flipped
        record.figures["predictions"] = found.pairs
        print(f"{name:>18}: against the loop {found}")


def _put_limits(
    setting: Setting, record: Record, seconds: Mapping[str, Seconds], turns: int
) -> None:
    plain = setting.plain
    one_token = reads_one_token(plain, setting.long_batches)
    needed = needed_passes(plain, first_layers(setting.sets), one_token)
    share = share_of_tokens(setting.encoded.lengths.tolist(), setting.long_batches)
    record.figures["layer passes needed"] = needed
    for precision in setting.asked.precisions:
        forms = ["fp32"] if precision == "fp32" else _forms(setting)
        best = min(forms, key=lambda form: seconds[f"bare {form}"].clock)
        bare = seconds[f"bare {best}"].times(1 / turns)
        limit = bare.times(needed * share / setting.model.layers)
        reached = limit.over(seconds[precision])
        record.figures[f"limit {precision} s"] = limit.clock
        record.figures[f"limit / {precision}"] = reached.clock
        record.figures[f"limit / {precision} by processor"] = reached.processor
        print(
            f"{precision:>18}: {needed:.1f} layer passes at the rate of a bare {best} pass are "
            f"{limit.clock:.2f} s ({limit.processor:.2f} s); {100 * reached.clock:.0f}% and "
            f"{100 * reached.processor:.0f}% of the limit"
        )
