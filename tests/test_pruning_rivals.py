"""The rivals of the search for heads: each against a slow, explicit form; and the page of results."""

import argparse
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

import families
import pruning_page
import pruning_results
from family_checks import FIRST, SECOND
from headscope.examples import Split
from headscope.model.tap import MODES, Call, Mode
from headscope.tasks import find
from headscope.tasks.base import Task
from headscope.tasks.files import Data
from headscope.tasks.outputs import targets, training_loss
from pages import PAGES
from pruning import methods, rivals
from pruning.checkpoints import parts
from pruning.layers import all_sets, gap, within
from pruning.methods import Bench
from pruning.records import Cell, LayerGap, Made, Result, append, four, gaps, results
from pruning.scales import fitted_scales, scaled
from pruning.scoring import Asker, SetScores
from pruning.sets import check_path, from_hex, heads_of, path_of, to_hex
from pruning.setting import Setting, divergence
from pruning.weights import diagonal, entropy, magnitude, mask_gradients, michel

CLASSES = Task("classes", ("a", "b"), ("no", "perhaps", "yes"), ("accuracy",))
SCORES = Task("scores", ("a", "b"), (), ("spearman",), limits=(0.0, 5.0))
LAYERS, HEADS = families.LAYERS, families.HEADS
ALL = LAYERS * HEADS
NONE = np.zeros(ALL, bool)
SOME = np.isin(np.arange(ALL), [0, 3, 7, 12])


def setting_of(
    root: Path, mode: Mode = "zero", task: Task = CLASSES, layers: int = LAYERS
) -> Setting:
    """A tiny BERT and a few pairs; the same ones are to be chosen and validated on."""
    folder = root / f"tiny-{task.outputs}"
    if not folder.exists():
        families.make("bert", folder, labels=task.outputs, num_hidden_layers=layers)
    labels = np.arange(len(FIRST)) % 3
    scores = np.linspace(0.0, 5.0, len(FIRST))
    split = Split(tuple(FIRST), tuple(SECOND), scores if task.is_regression else labels)
    return Setting(folder, task, split, split, mode)


class Masks:
    """Every head's output times its mask, and the rest of it replaced: by hand."""

    def __init__(self, mask: Tensor, mode: Mode, means: Tensor | None) -> None:
        self.mask, self.mode, self.means = mask, mode, means

    def apply(self, call: Call, output: Tensor) -> Tensor:
        mask = self.mask[call.layer, :, None]
        if self.mode == "zero":
            return output * mask
        if self.mode == "mean":
            assert self.means is not None
            return output * mask + self.means[call.layer].to(output) * (1 - mask)
        mixed = output.clone()
        for row in range(len(output)):
            uniform = call.value[row, :, call.real[row]].mean(1)
            mixed[row] = output[row] * mask + uniform * (1 - mask)
        return mixed


def losses_with(setting: Setting, mask: Tensor) -> npt.NDArray[np.float64]:
    """Every example's loss with a mask of all heads, one example at a time, in double precision."""
    model, examples = setting.model, setting.search
    target = targets(setting.task, examples.labels, model.hf.device)
    losses = []
    for row in range(len(examples)):
        masks: Any = Masks(mask, setting.mode, model.means)
        model.tap.edits.append(masks)
        with torch.no_grad():
            logits = model.hf(**examples.encoded.batch([row])).logits
        model.tap.edits.remove(masks)
        wanted = target[[row]].to(logits) if setting.task.is_regression else target[[row]]
        losses.append(float(training_loss(setting.task, logits, wanted, "sum")))
    return np.array(losses)


@pytest.mark.parametrize("task", [CLASSES, SCORES], ids=lambda task: task.name)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("removed", [NONE, SOME], ids=["whole", "some-removed"])
def test_gradients_are_those_of_a_mask_that_is_turned(
    mode: Mode, task: Task, removed: npt.NDArray[np.bool_], tmp_path: Path
) -> None:
    setting = setting_of(tmp_path, mode, task)
    fast = mask_gradients(setting, setting.search, removed)
    # A batch's gradients are not added to another's: asked again, they are the same.
    assert np.array_equal(fast, mask_gradients(setting, setting.search, removed))
    setting.model.hf.double()
    step = 1e-4
    slow = np.zeros_like(fast)
    for head in np.flatnonzero(~removed):
        turned = []
        for sign in (1, -1):
            mask = torch.from_numpy(~removed).double()
            mask[head] += sign * step
            turned.append(losses_with(setting, mask.view(LAYERS, HEADS)))
        slow[:, head] = (turned[0] - turned[1]) / (2 * step)
    assert np.abs(slow).max() > 1e-2
    np.testing.assert_allclose(fast, slow, rtol=2e-3, atol=2e-4 * np.abs(slow).max())


def test_importances_are_means_over_examples(tmp_path: Path) -> None:
    gradients = np.random.default_rng(0).normal(size=(7, 4))
    fisher = rivals.fisher_of(gradients)
    for i in range(4):
        assert michel(gradients)[i] == pytest.approx(sum(abs(g[i]) for g in gradients) / 7)
        for j in range(4):
            assert fisher[i, j] == pytest.approx(sum(g[i] * g[j] for g in gradients) / 7)
    np.testing.assert_allclose(diagonal(gradients), np.diag(fisher))


def test_magnitude_and_entropy_by_hand(tmp_path: Path) -> None:
    setting = setting_of(tmp_path)
    size = families.HEAD_SIZE
    norms, entropies = [], np.zeros((LAYERS, HEADS))
    layers: Any = setting.model.layer_modules
    for layer in layers:
        attention = layer.attention.self
        for head in range(HEADS):
            rows = slice(head * size, (head + 1) * size)
            parts_ = [
                attention.query.weight[rows],
                attention.key.weight[rows],
                attention.value.weight[rows],
            ]
            weights = torch.cat(
                [
                    *(part.flatten() for part in parts_),
                    layer.attention.output.dense.weight[:, rows].flatten(),
                ]
            )
            norms.append(float(weights.double().norm()))
    np.testing.assert_allclose(magnitude(setting), norms, rtol=1e-6)
    for first, second in zip(FIRST, SECOND, strict=True):
        maps = setting.model.maps(first, second).maps.astype(np.float64)
        entropies += -(maps * np.log(maps)).sum(-1).mean(-1) / len(FIRST)
    np.testing.assert_allclose(entropy(setting, setting.search), entropies.flatten(), rtol=1e-4)


def test_once_again_and_random_on_toys() -> None:
    importance = np.array([3.0, 1.0, 2.0, 1.0])
    assert rivals.once(importance).astype(int).tolist() == [
        [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1],
    ]  # fmt: skip

    def stand_in(removed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        # Heads 0 and 1 stand in for each other: each is important once the other is gone.
        either = removed[:2].any()
        return np.array([9.0 if either else 1.0, 9.0 if either else 2.0, 3.0, 4.0])

    path = rivals.again(stand_in, 4)
    assert np.array_equal(path, path_of(np.array([0, 2, 3, 1])))
    # Ranked once, both go first.
    assert np.array_equal(rivals.once(stand_in(np.zeros(4, bool))), path_of(np.array([0, 1, 2, 3])))

    drawn = rivals.random_paths(6, 20, 0)
    for each in drawn:
        check_path(each)
    assert len({each.tobytes() for each in drawn}) > 10
    assert np.array_equal(drawn[3], rivals.random_paths(6, 20, 0)[3])
    with pytest.raises(ValueError, match="a set of every size"):
        check_path(np.zeros((3, 2), bool))


def published_rearrangement(gradients: npt.NDArray[np.float64], pruned: int) -> list[int]:
    """Kwon et al.'s search within a layer with the vectors themselves: gradients are [example, head]."""
    vectors = gradients.T
    order = sorted(range(len(vectors)), key=lambda head: float((vectors[head] ** 2).sum()))
    masked = order[:pruned]
    for head in order[pruned:]:
        masked.append(head)
        lengths = []
        for left_out in masked:
            total = np.zeros(len(gradients))
            for other in masked:
                if other != left_out:
                    total = total + vectors[other]
            lengths.append(float((total**2).sum()))
        del masked[int(np.argmin(lengths))]
    return masked


def test_swaps_are_the_published_search_within_each_layer() -> None:
    rng = np.random.default_rng(3)
    # Correlated gradients, so that the diagonal alone is misleading.
    gradients = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(
        size=(40, 12)
    )
    fisher = rivals.fisher_of(gradients)
    path = rivals.once(diagonal(gradients))
    swapped = rivals.with_swaps(path, fisher, 2)
    check_path(swapped)
    better = 0
    for before, after in zip(path, swapped, strict=True):
        for layer in (0, 1):
            here = slice(6 * layer, 6 * layer + 6)
            count = int(before[here].sum())
            expected = (
                published_rearrangement(gradients[:, here], count)
                if 0 < count < 6
                else range(count)
            )
            assert sorted(np.flatnonzero(after[here])) == sorted(expected)
        better += after @ fisher @ after < before @ fisher @ before - 1e-12
    assert better > 2


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_scales_are_those_of_plain_least_squares(mode: Mode, tmp_path: Path) -> None:
    setting = setting_of(tmp_path, mode)
    removed = np.isin(np.arange(ALL), [0, 1, 6, 11, 13])
    scales = fitted_scales(setting, setting.search, removed)
    gone = removed.reshape(LAYERS, HEADS)
    assert (scales[gone] == 1).all()
    assert (np.abs(scales[~gone] - 1) > 1e-3).all()
    # Layer by layer again: what BERT's own module reads and adds, one example at a time.
    model = setting.model
    for layer in range(LAYERS):
        module: Any = model.layer_modules[layer]
        module = module.attention.output
        columns, wanted = [], []
        below = scales.copy()
        below[layer:] = 1
        for row in range(len(setting.search)):
            inputs = setting.search.encoded.batch([row])
            caught: list[Any] = []
            hook = module.register_forward_pre_hook(lambda _module, given: caught.append(given))  # noqa: B023
            with torch.no_grad():
                model.hf(**inputs)
                with model.disabled(heads_of(removed, HEADS), mode), scaled(setting, below):
                    model.hf(**inputs)
            hook.remove()
            (whole, whole_residual), (heads, residual) = caught
            parts_ = [
                heads[0, :, 4 * head : 4 * head + 4]
                @ module.dense.weight[:, 4 * head : 4 * head + 4].T
                for head in range(HEADS)
            ]
            target = whole[0] @ module.dense.weight.T + whole_residual[0] - residual[0]
            for head in np.flatnonzero(gone[layer]):
                target = target - parts_[head]
            columns.append(
                torch.stack([parts_[head] for head in np.flatnonzero(~gone[layer])], -1).flatten(
                    0, 1
                )
            )
            wanted.append(target.flatten())
        solution = np.linalg.lstsq(
            torch.cat(columns).double().numpy(), torch.cat(wanted).double().numpy(), rcond=None
        )[0]
        np.testing.assert_allclose(scales[layer, ~gone[layer]], solution, rtol=1e-3, atol=1e-4)


def test_scaled_is_undone(tmp_path: Path) -> None:
    setting = setting_of(tmp_path)
    module: Any = setting.model.layer_modules[1]
    weight = module.attention.output.dense.weight
    before = weight.clone()
    scales = np.ones((LAYERS, HEADS))
    scales[1, 2] = 3.0
    with suppress(KeyError), scaled(setting, scales):
        assert torch.equal(weight[:, 8:12], 3 * before[:, 8:12])
        assert torch.equal(weight[:, :8], before[:, :8])
        raise KeyError
    assert torch.equal(weight, before)


def test_sets_are_scored_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_of(tmp_path)
    file = tmp_path / "kept.jsonl"
    scores = SetScores(setting, setting.search, "fp32", file)
    sets = np.stack([NONE, SOME, np.roll(SOME, 1), SOME])
    asker = Asker(scores, "loss")
    found = asker(sets)
    assert asker.sets == 3
    assert asker.seconds > 0
    with torch.no_grad(), setting.model.disabled(heads_of(SOME, HEADS), "zero"):
        rows = [
            setting.model.hf(**setting.search.encoded.batch([row])).logits
            for row in range(len(FIRST))
        ]
    outputs = torch.cat(rows)
    expected = float(
        torch.nn.functional.cross_entropy(outputs, torch.tensor(setting.search.labels))
    )
    assert found[1] == pytest.approx(expected, rel=1e-5)
    assert found[3] == found[1] != found[0]
    # A kill cuts the last line: that set alone is scored again.
    text = file.read_text()
    file.write_text(text[:-20])
    again = SetScores(setting, setting.search, "fp32", file)
    asked: list[int] = []
    score = again._score

    def watched(some: list[npt.NDArray[np.bool_]]) -> Any:
        asked.append(len(some))
        return score(some)

    monkeypatch.setattr(again, "_score", watched)
    assert np.allclose(Asker(again, "loss")(sets), found)
    assert asked == [1]
    assert len(file.read_text().splitlines()) == 3
    for line in map(json.loads, file.read_text().splitlines()):
        assert to_hex(from_hex(line["heads"], ALL)) == line["heads"]
    kl = Asker(again, "divergence")(sets)
    assert kl[0] == pytest.approx(0, abs=1e-12)
    whole = again._scorer.unchanged
    assert kl[1] == pytest.approx(
        float(
            torch.nn.functional.kl_div(
                outputs.log_softmax(1),
                torch.tensor(whole).log_softmax(1),
                log_target=True,
                reduction="batchmean",
            )
        ),
        rel=1e-4,
    )


def test_divergence_of_a_regression_is_the_squared_difference() -> None:
    whole, other = np.array([[1.0], [2.0]], np.float32), np.array([[2.0], [2.5]], np.float32)
    assert divergence(SCORES, whole, other) == pytest.approx((1 + 0.25) / 2)


def test_parts_are_disjoint_and_seeded() -> None:
    split = Split(tuple(map(str, range(100))), None, np.arange(100))
    found = parts(CLASSES, split, 1)
    assert len(found.held_out) == 25
    assert sorted([*found.held_out.first, *found.trained.first], key=int) == list(split.first)
    assert found.held_out.first != parts(CLASSES, split, 2).held_out.first
    large = Split(tuple(map(str, range(30_000))), None, np.arange(30_000))
    sst2 = parts(replace(CLASSES, name="sst2"), large, 0)
    assert (len(sst2.trained), len(sst2.held_out)) == (19_000, 1_000)


def test_every_method_gives_a_path_and_says_what_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = setting_of(tmp_path, layers=1)
    scores = SetScores(setting, setting.search, "fp32", tmp_path / "kept.jsonl")
    bench = Bench(setting, scores, 0)
    monkeypatch.setattr(methods, "DRAWS", 2)
    for name in methods.NAMES:
        found = methods.run(name, bench)
        for path in found.paths:
            check_path(path)
        assert len(found.paths) == (2 if name == methods.RANDOM else 1)
        if name in methods.GREEDY:
            # All candidates at every step, and the whole model.
            assert found.sets == HEADS * (HEADS + 1) // 2 + 1
        assert found.passes == {
            "Michel, again": HEADS - 1,
            "Fisher, again": HEADS - 1,
            "magnitude": 0,
            methods.RANDOM: 0,
        }.get(name, 0 if name in methods.SEARCHES else 1)


def test_a_layer_is_compared_with_all_its_sets(tmp_path: Path) -> None:
    setting = setting_of(tmp_path)
    scores = SetScores(setting, setting.search, "fp32", tmp_path / "kept.jsonl")
    made = Made("", "", 1, {})

    def optimal(score: Callable[..., Any], heads: int) -> npt.NDArray[np.bool_]:
        every = all_sets(heads)
        losses = score(every)
        rows = [np.flatnonzero(every.sum(1) == size) for size in range(heads + 1)]
        return np.stack([every[row[losses[row].argmin()]] for row in rows])

    def worst(score: Callable[..., Any], heads: int) -> npt.NDArray[np.bool_]:
        return optimal(lambda sets: -score(sets), heads)

    best, bad = gap(scores, "loss", "job", 1, [("optimal", optimal), ("worst", worst)], made)
    assert best.found == best.best
    assert set(best.rank) == {0}
    assert all(pruning_page.is_near(best, size) for size in range(HEADS + 1))
    assert bad.rank[2] == 9
    assert bad.of == (1, 5, 10, 10, 5, 1)
    assert not pruning_page.is_near(bad, 2)
    one = within(1, LAYERS, all_sets(HEADS)[[1]])
    assert [str(head) for head in heads_of(one[0], HEADS)] == ["L2H5"]
    assert best.best[1] <= float(Asker(scores, "loss")(one)[0])


def cell_of(job: str, **more: Any) -> Cell:
    task, seed, mode = job.split("-")
    whole: dict[str, Any] = {
        "layers": 6, "heads": 12, "search_examples": 500, "validation_examples": 408, "metric": "accuracy", "whole_loss": 0.5,
        "whole_metric": 80.0, "majority_loss": 0.6, "majority_metric": 68.0, "majority_p": 0.001, **more,
    }  # fmt: skip
    return Cell(job=job, task=task, seed=int(seed), mode=mode, **whole)  # type: ignore[arg-type]


def result_of(job: str, method: str, loss: float, **more: Any) -> Result:
    sizes = tuple(four(72))
    return Result(
        cell=cell_of(job, **more), method=method, sizes=sizes, removed=(), losses=(loss,) * 4, metrics=(79.0, 75.0, 72.0, 70.0), sets=10,
        passes=1, seconds=2.0, precision="auto", made=Made("command", "device", 1, {}),
    )  # fmt: skip


def test_the_page_counts_what_is_there() -> None:
    ours, _ = methods.OURS
    lines = [result_of("mrpc-0-mean", name, 0.6) for name in methods.NAMES if name != ours]
    lines.append(result_of("mrpc-0-mean", ours, 0.55))
    # Where one ranking is below, the cells are lost.
    lines += [
        result_of("sst2-0-mean", name, 0.58 if name == ours else 0.6)
        for name in methods.NAMES
        if name != "Fisher, again"
    ]
    lines.append(result_of("sst2-0-mean", "Fisher, again", 0.5))
    # A model that does not beat the majority is named and not counted.
    lines += [
        result_of("rte-0-mean", name, 0.6, whole_metric=55.0, majority_p=0.3)
        for name in methods.NAMES
    ]
    text = pruning_page.page(lines, [], ["mrpc-0-mean", "sst2-0-mean", "rte-0-mean", "qnli-0-mean"])
    assert "3 of 4 models are done with every method. Not yet: qnli-0-mean." in text
    assert "rte-0-mean is left out of the counts" in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {ours} | 4 of 8 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    header = ["", "every ranking", *methods.RANKINGS]
    assert cells[header.index("Fisher, again")] == "4 of 8"
    assert cells[header.index("Michel, once")] == "8 of 8"
    assert f"{ours} scored 100% of the sets of {methods.LOSS} (at most 100%; 2 models)." in text
    assert "| mrpc |" in text
    assert "| rte |" not in text
    # Without one method the model is not done, and what lacks it is not counted.
    fewer = [line for line in lines if line.method != "magnitude"]
    text = pruning_page.page(fewer, [], ["mrpc-0-mean"])
    assert "0 of 3 models are done" in text
    assert "mrpc-0-mean (without magnitude)" in text
    with pytest.raises(StopIteration):
        next(line for line in text.splitlines() if line.startswith(f"| {ours} | 4 of 8 |"))


def test_heads_kept_end_where_the_metric_first_falls() -> None:
    line = result_of("mrpc-0-mean", "search, loss", 0.5)
    line = replace(
        line, sizes=(0, 18, 36, 54, 63), losses=(0.5,) * 5, metrics=(80.0, 79.0, 70.0, 79.5, 60.0)
    )
    # At 54 it is above again, but the path was below before.
    assert pruning_page.kept_heads(line, 0.9) == 54
    assert pruning_page.kept_heads(line, 0.85) == 18
    assert pruning_page.kept_heads(line, 1.01) == 72


def test_lines_come_back_and_the_last_counts(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    assert results(file) == []
    first, second = result_of("mrpc-0-mean", "random", 0.5), result_of("mrpc-0-mean", "random", 0.4)
    append(file, first)
    append(file, second)
    assert results(file) == [second]
    line = LayerGap(
        "mrpc-0-mean",
        6,
        "search, loss",
        0.5,
        (0.5, 0.6),
        (0.5, 0.6),
        (0, 0),
        (1, 1),
        3,
        Made("", "", 1, {}),
    )
    append(tmp_path / "layers.jsonl", line)
    assert gaps(tmp_path / "layers.jsonl") == [line]
    assert "mrpc-0-mean | L6" in pruning_page.page([], [line], [])


def test_the_committed_page_is_that_of_the_committed_lines() -> None:
    written = PAGES / "pruning.md"
    text = pruning_page.page(
        results(pruning_results.FIGURES), gaps(pruning_results.LAYERS), pruning_results.JOBS
    )
    assert written.read_text("utf-8") == text


def test_a_job_does_what_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    families.make("bert", tmp_path / "mrpc-0", num_hidden_layers=1)
    labels = np.arange(3 * len(FIRST)) % 2
    split = Split(tuple(FIRST * 3), tuple(SECOND * 3), labels)
    data = Data.of(split, split, "made")
    monkeypatch.setattr(pruning_results, "load_data", lambda *_: data)
    monkeypatch.setattr(pruning_results, "make_checkpoint", lambda *_: None)
    monkeypatch.setattr(pruning_results, "KEPT", tmp_path)
    monkeypatch.setattr(pruning_results, "PAGES", tmp_path)
    monkeypatch.setattr(pruning_results, "FIGURES", tmp_path / "figures.jsonl")
    monkeypatch.setattr(pruning_results, "LAYERS", tmp_path / "layers.jsonl")
    asked = {"data": None, "search_examples": 2, "precision": "fp32"}

    def run(names: list[str], layers: list[int]) -> None:
        given = argparse.Namespace(methods=names, layers=layers, **asked)
        pruning_results.Job("mrpc-0-zero", given).run()

    run(["magnitude", methods.SCALED], [])
    first = results(tmp_path / "figures.jsonl")
    assert [line.method for line in first] == ["magnitude", methods.SCALED]
    # What has a line is not done again.
    run(["magnitude", methods.LOSS, methods.RANDOM], [])
    lines = results(tmp_path / "figures.jsonl")
    assert lines[:2] == first
    assert [line.method for line in lines[2:]] == [methods.LOSS, methods.RANDOM]
    assert len((tmp_path / "figures.jsonl").read_text().splitlines()) == 4
    cell = lines[0].cell
    assert (cell.search_examples, cell.validation_examples, cell.all_heads) == (
        2,
        len(split),
        HEADS,
    )
    assert cell.whole_loss != cell.majority_loss == pytest.approx(math.log(2), abs=0.05)
    # The losses are those of the whole validation set.
    setting = Setting(tmp_path / "mrpc-0", find("mrpc"), split, split, "zero")
    removed = from_hex(lines[0].removed[1], HEADS)
    scores = SetScores(setting, setting.validation, "fp32", tmp_path / "other.jsonl")
    assert lines[0].losses[1] == pytest.approx(Asker(scores, "loss")(removed[None])[0], rel=1e-6)
    assert lines[0].sizes == tuple(four(HEADS)) == (1, 2, 3, 4)
    assert lines[2].sizes == tuple(range(HEADS + 1))
    run([methods.LOSS], [1])
    (line,) = gaps(tmp_path / "layers.jsonl")
    assert (line.layer, line.method, len(line.best)) == (1, methods.LOSS, HEADS + 1)
    assert "mrpc-0-zero" in (tmp_path / "pruning.md").read_text()
    with pytest.raises(SystemExit, match="there is no layer 2: the model has 1"):
        run([methods.LOSS], [2])


def test_jobs_that_do_not_exist_are_refused() -> None:
    for name in ("mrpc", "mrpc-0", "cola-0-mean", "mrpc-x-mean", "mrpc-0-none"):
        with pytest.raises(SystemExit, match=f"no job {name}: write a task, a seed and a mode"):
            pruning_results.Job(name, None)  # type: ignore[arg-type]
