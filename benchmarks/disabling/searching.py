"""The calls that a search makes: many small calls of one scorer, against a new one for every set
and against the loop.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from disabling.records import Record
from disabling.rivals import LOOP_BATCH
from disabling.setting import Setting, by_layer
from disabling.timing import Seconds
from headscope.ablation.sets import NamedSet
from headscope.axes import HeadSet, all_heads, set_name

CANDIDATES = 12
"""How many sets a search asks for in a call."""
SAMPLED = 40
"""How many of the sets are scored by the slow ways, from which all of them are estimated."""


def calls_of_a_search(
    layers: int, heads: int, count: int, *, candidates: int = CANDIDATES, seed: int = 0
) -> list[list[NamedSet]]:
    """What a greedy backward search asks for: the present set and one head more, for some heads.

    One of each call, drawn from `seed`, becomes the present set; once all heads are in it, the
    search begins anew on another path. No set comes twice, so that nothing is saved by keeping
    results.

    Args:
        layers: How many layers the model has.
        heads: How many heads a layer has.
        count: How many sets there are in all.
        candidates: How many sets a call has at most.
        seed: Draws the candidates and the path.

    Raises:
        SystemExit: The model has not so many sets that a search would meet.
    """
    rng = np.random.default_rng(seed)
    every = all_heads(layers, heads)
    asked: list[list[NamedSet]] = []
    seen: set[HeadSet] = set()
    present: HeadSet = frozenset()
    steps = 0
    while len(seen) < count:
        steps += 1
        if steps > 100 * count:
            raise SystemExit(f"{len(every)} heads have not {count} sets that a search would meet")
        rest = [head for head in every if head not in present]
        drawn = rng.permutation(len(rest))[: min(candidates, count - len(seen))]
        following = [present | {rest[row]} for row in drawn]
        new = [heads_ for heads_ in following if heads_ not in seen]
        if new:
            asked.append([(set_name(heads_), heads_) for heads_ in new])
            seen.update(new)
        present = following[0] if len(rest) > 1 else frozenset()
    return asked


def time_search(setting: Setting, record: Record, count: int) -> None:
    """Time a search's calls by one scorer, against the slow ways on a sample of the sets."""
    asked = calls_of_a_search(setting.model.layers, setting.model.heads, count)
    every = [named for call in asked for named in call]
    rows = np.linspace(0, len(every) - 1, min(SAMPLED, len(every))).round().astype(int)
    sampled = {every[row][0] for row in rows}
    factor = len(every) / len(sampled)
    record.say(
        f"{len(every):,} sets of 1 to {max(len(heads) for _, heads in every)} heads in "
        f"{len(asked)} calls; a new scorer and the loop had {len(sampled)} of them, evenly spread, "
        f"and their times are multiplied by {factor:g}"
    )
    _time_calls(setting, record, asked, sampled, factor)


def time_single_calls(setting: Setting, record: Record, count: int) -> None:
    """Time calls with one set each, drawn with replacement from the sets that are asked."""
    drawn = np.random.default_rng(0).integers(len(setting.sets), size=count)
    # Each has a name of its own, so that no call is left out as known.
    asked = [
        [(f"{number} {setting.sets[row][0]}", setting.sets[row][1])]
        for number, row in enumerate(drawn)
    ]
    sampled = {name for name, _ in chain.from_iterable(asked)}
    record.say(f"{count} calls with one set each, which may come again")
    _time_calls(setting, record, asked, sampled, 1.0)


def _time_calls(
    setting: Setting,
    record: Record,
    asked: Sequence[Sequence[NamedSet]],
    sampled: set[str],
    factor: float,
) -> None:
    batches = setting.loop_batches
    setting.plain.outputs(batches, {})
    for precision in setting.asked.precisions:
        kept, new, loop, largest = Seconds(), Seconds(), Seconds(), 0.0
        with kept.more():
            scorer = setting.scorer(precision, layers_kept=None)
        for sets in asked:
            with kept.more():
                results = list(scorer.score(sets))
            for result in results:
                if result.name not in sampled:
                    continue
                with new.more():
                    (again,) = setting.scorer(precision).score([(result.name, result.heads)])
                with loop.more():
                    slow = setting.plain.outputs(batches, by_layer(result.heads))
                largest = max(largest, float(np.abs(result.outputs - slow).max()))
                largest = max(largest, float(np.abs(again.outputs - slow).max()))
        _put(record, precision, kept, new.times(factor), loop.times(factor), largest)


def _put(
    record: Record, precision: str, kept: Seconds, new: Seconds, loop: Seconds, largest: float
) -> None:
    taken = {
        f"one scorer, {precision}": kept,
        f"a new scorer a set, {precision}": new,
        f"loop of {LOOP_BATCH}, beside {precision}": loop,
    }
    for name, seconds in taken.items():
        ratio = seconds.over(kept)
        record.figures[f"{name} s"] = seconds.clock
        record.figures[f"{name} processor s"] = seconds.processor
        record.figures[f"{name} / one scorer"] = ratio.clock
        record.figures[f"{name} / one scorer by processor"] = ratio.processor
        print(
            f"{name:>26}: {seconds.clock:8.2f} s by the clock, {seconds.processor:8.2f} s of "
            f"processor time: {ratio.clock:.2f} and {ratio.processor:.2f} times one scorer"
        )
    record.figures[f"{precision} largest difference"] = largest
    print(f"{precision:>26}: outputs differ from the loop's by at most {largest:.1e}")
