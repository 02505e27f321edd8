"""The benchmark of disabling: its rivals compute what headscope computes, and its figures say what they should."""

import ast
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import plain_loop
import speed_results
import zoo
from disabling.agreement import agreement
from disabling.exactness import count_differences
from disabling.limits import needed_passes, reads_one_token, share_of_tokens
from disabling.profiling import OTHERS, kind_of, profile
from disabling.records import Kind, Record, read
from disabling.rivals import Mode, Outputs, Plain
from disabling.searching import calls_of_a_search, time_search, time_single_calls
from disabling.setting import Asked, Setting, by_layer, first_layers
from disabling.timing import Seconds
from disabling.turns import compare
from disabling.whole import time_processes
from family_checks import FIRST, SECOND
from headscope.ablation.scorer import Scorer
from headscope.axes import Head, head_set
from headscope.cli import main
from headscope.examples import Split
from headscope.model.precision import Precision
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import load_data
from speed_results import JOBS

ROOT = Path(__file__).parents[1]
RIVALS = [
    *(ROOT / "benchmarks/disabling" / name for name in ("places.py", "rivals.py", "limits.py"))
]
TASK = Task("three", ("first", "second"), ("a", "b", "c"), ("accuracy",))
# One of each way in which modules are named, and ALBERT, whose layers are one module.
FAMILIES = ("albert", "bert", "deberta", "deberta-v2", "distilbert", "gte", "ibert", "modernbert", "mpnet", "squeezebert")  # fmt: skip


def setting_of(
    family: str, root: Path, mode: Mode = "zero", precisions: Sequence[Precision] = ("fp32",)
) -> Setting:
    """Nine pairs, and a set with the first head of every layer beside single heads."""
    split = Split(tuple(FIRST * 3), tuple(SECOND * 3), np.arange(9) % 3)
    heads = "L1H1;L2H5;L3H2;L1H3,L2H1,L3H5"
    folder = zoo.folder_of(family, root)
    return Setting(str(folder), TASK, split, Asked(heads, mode, precisions, None))


def by_headscope(setting: Setting) -> dict[str, Outputs]:
    results = setting.scorer("fp32").score(setting.sets)
    return {result.name: result.outputs for result in results}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loop_puts_out_what_headscope_does(family: str, tmp_path: Path) -> None:
    setting = setting_of(family, tmp_path)
    plain = setting.plain
    unchanged = plain.outputs(setting.loop_batches, {})
    ours = by_headscope(setting)
    for name, heads in setting.sets:
        outputs = plain.outputs(setting.loop_batches, by_layer(heads))
        sorted_ = plain.outputs(setting.long_batches, by_layer(heads))
        scale = np.abs(outputs).max()
        assert np.abs(ours[name] - outputs).max() <= 5e-5 * scale
        assert np.abs(sorted_ - outputs).max() <= 5e-5 * scale
        # Far above what was allowed: the head was disabled.
        assert np.abs(outputs - unchanged).max() > 1e-3 * scale
    # And after the context nothing is.
    assert np.array_equal(plain.outputs(setting.loop_batches, {}), unchanged)


@pytest.mark.parametrize("family", ["bert", "modernbert", "squeezebert"])
def test_the_loop_in_the_mode_uniform(family: str, tmp_path: Path) -> None:
    setting = setting_of(family, tmp_path, "uniform")
    assert setting.mode == "uniform"
    ours = by_headscope(setting)
    theirs = {
        name: setting.plain.outputs(setting.loop_batches, by_layer(heads))
        for name, heads in setting.sets
    }
    assert agreement(ours, theirs, TASK, setting.split.labels).largest <= 1e-4
    # A mean over padding is another.
    setting.plain.__dict__["_mean"] = lambda values: values.mean(1, keepdim=True)
    wrong = {
        name: setting.plain.outputs(setting.loop_batches, by_layer(heads))
        for name, heads in setting.sets
    }
    assert agreement(ours, wrong, TASK, setting.split.labels).largest > 1e-2


def test_values_that_cannot_be_hooked_are_said(tmp_path: Path) -> None:
    setting = setting_of("deberta", tmp_path, "uniform")
    assert setting.mode == "zero"
    assert "mode zero" in setting.notes[0]


def test_a_new_head_is_the_same_for_both(tmp_path: Path) -> None:
    import families

    folder = families.make_encoder("mpnet", tmp_path / "encoder")
    split = Split(tuple(FIRST), tuple(SECOND), np.arange(3))
    setting = Setting(str(folder), TASK, split, Asked("each", "uniform", ["fp32"], None))
    assert "head is new" in setting.notes[0]
    plain = setting.plain.outputs(setting.loop_batches, {})
    assert np.allclose(setting.scorer("fp32").unchanged, plain, atol=1e-5)


def test_rivals_know_nothing_of_headscope() -> None:
    for file in (*RIVALS, ROOT / "benchmarks/plain_loop.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(module.startswith("headscope") for module in modules), file.name


def test_a_model_whose_modules_have_other_names_is_refused() -> None:
    from disabling.places import find_layers

    with pytest.raises(SystemExit, match="add its name"):
        find_layers(torch.nn.Linear(2, 2))


def test_the_limit_by_hand(tmp_path: Path) -> None:
    setting = setting_of("bert", tmp_path)
    plain, layers = setting.plain, first_layers(setting.sets)
    assert layers == [1, 2, 3, 1]
    assert reads_one_token(plain, setting.long_batches)
    # 3 layers of 4 x 20 x 20 and 2 x 20 x 23 weights.
    feed_forward, keys = 920 / 2520, 800 / 2520
    expected = 2 * (feed_forward + 1 + keys) + (feed_forward + keys)
    assert needed_passes(plain, layers, True) == pytest.approx(expected)
    expected = 2 * (feed_forward + 2) + (feed_forward + 1) + feed_forward
    assert needed_passes(plain, layers, False) == pytest.approx(expected)
    lengths = setting.encoded.lengths.tolist()
    padded = sum(
        len(rows) * max(lengths[row] for row in rows) for rows in setting.long_batches.rows
    )
    assert share_of_tokens(lengths, setting.long_batches) == pytest.approx(sum(lengths) / padded)


def test_a_model_that_pools_by_mean_needs_its_last_layer(tmp_path: Path) -> None:
    setting = Setting(
        str(zoo.folder_of("modernbert", tmp_path, classifier_pooling="mean")),
        TASK,
        Split(tuple(FIRST), tuple(SECOND), np.arange(3)),
        Asked("each", "zero", ["fp32"], None),
    )
    assert not reads_one_token(setting.plain, setting.long_batches)


def test_sets_of_a_search() -> None:
    calls = calls_of_a_search(6, 12, 900)
    sets = [heads for _, heads in chain.from_iterable(calls)]
    assert len(sets) == len(set(sets)) == 900
    assert max(map(len, calls)) == 12
    for call in calls:
        heads = [heads for _, heads in call]
        shared = frozenset.intersection(*heads)
        # One head differs; a call of one set shows nothing.
        assert len(call) == 1 or {len(each - shared) for each in heads} == {1}
    sizes = [len(call[0][1]) for call in calls]
    assert max(sizes) > 60
    assert sum(later == size + 1 for size, later in pairwise(sizes)) > 60
    assert calls == calls_of_a_search(6, 12, 900)
    assert calls != calls_of_a_search(6, 12, 900, seed=1)
    with pytest.raises(SystemExit, match="have not 9 sets"):
        calls_of_a_search(1, 3, 9)


def figures_of(job: str, kind: Kind) -> set[str]:
    """The figures that the page shows of a job, beside times."""
    (aims,) = [each.aims for each in JOBS if (each.name, each.kind) == (job, kind)]
    return {f"{aim.figure}{suffix}" for aim in aims for suffix in ("", " by processor")}


def begin(setting: Setting) -> Record:
    return Record.begin(repr(setting.model), setting.work, setting.plain.device)


def test_a_comparison_has_all_figures(tmp_path: Path) -> None:
    setting = setting_of("bert", tmp_path, "uniform", ("fp32", "auto"))
    record = begin(setting)
    compare(setting, record, with_loops=True)
    figures = record.figures
    assert figures["sets"] == 4
    assert figures["predictions"] == 36
    assert figures["fp32 predictions that differ"] == 0
    assert figures["auto predictions that differ"] == 0
    assert figures["loop / fp32"] == pytest.approx(figures["loop s"] / figures["fp32 s"])
    assert figures["limit / auto"] == pytest.approx(figures["limit auto s"] / figures["auto s"])
    for job in ("minilm", "mpnet"):
        assert figures_of(job, "cpu") <= figures.keys()
    assert figures_of("bert-base", "cuda") <= figures.keys()
    file = tmp_path / "figures" / "speed.jsonl"
    record.append(file)
    record.append(file)
    assert read(file) == [record, record]
    assert read(tmp_path / "none.jsonl") == []


def test_a_search_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("disabling.searching.SAMPLED", 4)
    setting = setting_of("distilbert", tmp_path, precisions=("auto", "fp32"))
    record = begin(setting)
    time_search(setting, record, 20)
    figures = record.figures
    assert figures_of("search", "cpu") <= figures.keys()
    assert "multiplied by 5" in record.notes[0]
    ratio = figures["a new scorer a set, fp32 s"] / figures["one scorer, fp32 s"]
    assert figures["a new scorer a set, fp32 / one scorer"] == pytest.approx(ratio)
    assert figures["fp32 largest difference"] < 1e-5
    time_single_calls(setting, begin(setting), 2)


def rounded(scorer: Scorer, *_: Any, **__: Any) -> Any:
    """As `auto` would if nothing were computed again."""
    results = original(scorer, *_, **__)
    for result in results:
        if scorer.precision == "auto":
            result.outputs[0] = -result.outputs[0]
        yield result


original = Scorer.score


def test_predictions_that_differ_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = setting_of("bert", tmp_path)
    record = begin(setting)
    assert count_differences(setting, record) == 0
    assert record.figures["predictions"] == 36
    monkeypatch.setattr(Scorer, "score", rounded)
    assert count_differences(setting, record) == 4
    assert "L1H1, example 1: " in record.notes[0]


def test_agreement_is_of_the_same_sets_and_of_numbers() -> None:
    labels = np.array([0, 1])
    ours: dict[str, Outputs] = {"a": np.array([[1, 0, 0], [0, 1, 0]], np.float32)}
    other: dict[str, Outputs] = {"a": np.array([[0, 1, 0], [0, 1, 0]], np.float32)}
    found = agreement(ours, other, TASK, labels)
    assert (found.largest, found.equal, found.flipped, found.pairs) == (1.0, 0, 1, 2)
    with pytest.raises(SystemExit, match="not the same sets"):
        agreement(ours, {}, TASK, labels)
    with pytest.raises(SystemExit, match="not finite"):
        agreement(ours, {"a": np.full((2, 3), np.nan, np.float32)}, TASK, labels)


def test_heads_are_counted_from_0_for_the_rivals() -> None:
    assert by_layer(head_set("L2H1,L1H3,L2H5")) == {0: [2], 1: [0, 4]}
    assert first_layers([("a", frozenset([Head(3, 1), Head(2, 4)]))]) == [2]


def in_this_process(command: list[str]) -> Seconds:
    """Runs what would be a process."""
    if command[0] == "-m":
        with pytest.raises(SystemExit) as ended:
            main(command[2:])
        assert not ended.value.code
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", command)
            plain_loop.main()
    return Seconds(2.0, 3.0) if command[0] == "-m" else Seconds(5.0, 9.0)


def test_whole_processes_do_the_same(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.toml").write_text('columns = ["one", "two"]\nlabels = ["no", "yes"]')
    rows = {"one": FIRST * 4, "two": SECOND * 4, "label": [0, 1] * 6}
    for name in ("train", "validation"):
        pl.DataFrame(rows).write_parquet(tmp_path / f"{name}.parquet")
    task = find(str(tmp_path))
    split = load_data(task).validation.sample(8, 0)
    setting = Setting(str(tiny), task, split, Asked("each", "uniform", ["fp32"], None))
    monkeypatch.setattr("disabling.whole._timed", in_this_process)
    record = begin(setting)
    time_processes(setting, record, None, 1)
    assert figures_of("minilm-whole", "cpu") - record.figures.keys() == AUTO_AS_WELL
    assert record.figures["loop / fp32"] == 2.5
    assert record.figures["loop / fp32 by processor"] == 3.0
    assert record.figures["fp32 sets with equal metrics"] == 15
    # Another loop finds other metrics.
    monkeypatch.setattr(Plain, "_part", lambda *_: slice(0, 4))
    time_processes(setting, record, None, 1)
    assert record.figures["fp32 sets with equal metrics"] < 15


def test_the_profile_is_by_kinds_of_operations(tmp_path: Path) -> None:
    names = {
        "aten::addmm": "products",
        "aten::_scaled_dot_product_flash_attention_for_cpu": "attention",
        "mkldnn::_linear_pointwise": "products",
        "aten::native_layer_norm": "norms and activations",
        "aten::copy_": "copies",
        "aten::add_": "elementwise",
        "aten::empty": OTHERS,
    }
    for name, kind in names.items():
        assert kind_of(name) == kind
    record = begin(setting := setting_of("bert", tmp_path))
    profile(setting, record)
    assert record.figures["fp32, products, per cent"] > 0
    assert sum(record.figures.values()) == pytest.approx(100, abs=1)


AUTO_AS_WELL = {"loop / auto", "loop / auto by processor"}


def recorded(job: str, kind: Kind) -> Record:
    """A line of the file with every figure that the page may ask for."""
    figures = {"auto s": 2.0, "auto processor s": 4.0, "predictions that differ": 0.0}
    for name in figures_of(job, kind):
        figures[name] = 0.456 if name.endswith("by processor") else 0.123
    device = "NVIDIA H100" if kind == "cuda" else "2 cores"
    return Record(job, "python x", "Model", "mrpc", kind, device, 2, {"torch": "2.13.0"}, figures)


def test_the_page_of_speed_has_what_was_recorded_and_says_what_was_not() -> None:
    page = speed_results.page([recorded("minilm", "cpu")])
    on_processor, on_gpu = page.split("## On a GPU")
    assert "| auto: share of the limit | 70% | 12% | 46% |" in on_processor
    assert "| auto | 2.0 | 4.0 |" in on_processor
    assert "predictions that differ: 0" in on_processor
    assert "###" not in on_gpu
    for job in JOBS:
        missing = on_gpu if job.kind == "cuda" else on_processor
        assert (f"(`{job.name}`)" in missing) == ((job.name, job.kind) != ("minilm", "cpu"))
    on_both = speed_results.page([recorded("minilm", "cpu"), recorded("minilm", "cuda")])
    on_processor, on_gpu = on_both.split("## On a GPU")
    assert "on NVIDIA H100" in on_gpu
    assert "NVIDIA" not in on_processor
    assert len({(job.kind, job.name) for job in JOBS}) == len(JOBS)


def test_the_page_of_speed_is_made_from_its_file() -> None:
    page = ROOT / "docs" / "results" / "speed.md"
    assert page.read_text() == speed_results.page(read(speed_results.FIGURES))
