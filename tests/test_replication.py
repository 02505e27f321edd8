"""The whole paper: the plan, the parts and the published numbers; test_claims.py has the verdicts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

import headscope
from headscope.commands.ablation import KeptOutputs, kept_outputs
from headscope.engine.processes import Processes
from headscope.errors import HeadscopeError
from headscope.model.loading import load
from headscope.reference import claims, reference
from headscope.replication.plan import Part, Role, plan_lines, run_parts
from headscope.replication.rows import effects_over_seeds, over_seeds, with_paper
from headscope.replication.run import TASKS, chosen_tasks, paper
from headscope.replication.tables import tables_of_parts
from headscope.tasks import find
from test_framenet import AIM, GOOD, release


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def test_published_numbers_are_there_with_their_source() -> None:
    assert "1908.08593" in reference("scores")["source"]
    assert reference("scores")["pretrained + fine-tuned"]["mrpc"] == {"f1": 87.9, "accuracy": 82.3}
    # Both of the paper's inconsistent baselines are kept.
    assert reference("disabled_best")["rte"]["baseline"] == 59.6
    assert reference("scores")["pretrained + fine-tuned"]["rte"]["accuracy"] == 64.6
    assert [len(row) for row in reference("framenet")["layers"]] == [12] * 12
    assert (
        max(max(row) for row in reference("framenet")["layers"])
        == reference("framenet")["layers"][6][5]
        == 0.209
    )
    assert list(claims()) == ["C1", "C2", "C3", "C4", "C5", "C6"]
    with pytest.raises(
        HeadscopeError, match="unknown table of published numbers 'score': did you mean 'scores'"
    ):
        reference("score")


def test_the_average_gain_of_the_paper_comes_out_of_its_table() -> None:
    table = reference("scores")
    tuned, plain = table["pretrained + fine-tuned"], table["pretrained, no fine-tuning"]
    gains = [
        tuned[t].get("accuracy", tuned[t].get("correlation"))
        - plain[t].get("accuracy", plain[t].get("correlation"))
        for t in TASKS
    ]
    assert sum(gains) / len(gains) == pytest.approx(reference("mean_gain")["value"], abs=0.05)


def test_tasks_are_run_in_the_order_of_their_size() -> None:
    assert chosen_tasks("qqp, mrpc") == ("mrpc", "qqp")
    assert chosen_tasks("all") == TASKS
    with pytest.raises(
        HeadscopeError, match="unknown task of the paper 'mprc': did you mean 'mrpc'"
    ):
        chosen_tasks("mprc")
    with pytest.raises(HeadscopeError, match="--tasks names no task"):
        chosen_tasks(",")
    with pytest.raises(HeadscopeError, match="--seeds must be at least 1, got 0"):
        headscope.paper(model="minilm", out=Path("never"), seeds=0)
    with pytest.raises(HeadscopeError, match="--workers must be at least 1, got 0"):
        headscope.paper(model="minilm", out=Path("never"), workers=0)


def test_the_plan_says_what_it_costs() -> None:
    assert plan_lines([], 1.0) == [
        "0 parts, about a minute on this machine; each is kept when it is done"
    ]


def test_scores_stand_beside_the_papers_and_differ_only_from_the_same_model() -> None:
    scores = frame(
        [{"task": "stsb", "configuration": "pretrained + fine-tuned", "metric": "spearman", "value": 85.0},
         {"task": "mrpc", "configuration": "random + fine-tuned", "metric": "f1", "value": 80.0}]
    )  # fmt: skip
    other = with_paper(scores, "minilm")
    assert [(r["paper"], r["difference"], r["comparable"]) for r in other.to_dicts()] == [
        (82.7, None, "another model: not comparable"),
        (81.2, None, "another model: not comparable"),
    ]
    same = with_paper(scores, "google-bert/bert-base-uncased")
    assert [round(r["difference"], 1) for r in same.to_dicts()] == [2.3, -1.2]


def test_the_interval_over_seeds_worked_by_hand() -> None:
    rows = [
        {
            "model": "m",
            "task": "rte",
            "configuration": "c",
            "metric": "accuracy",
            "value": v,
            "low": v - 5.88,
            "high": v + 5.88,
            "n": 277,
            "majority": 52.7,
            "seed": s,
        }
        for s, v in enumerate((60.0, 62.0, 64.0))
    ]
    (found,) = over_seeds(frame(rows))
    # Seeds: t(0.975, 2) = 4.3027, standard error 2 / sqrt(3). Examples: t(0.975, 276) = 1.9686,
    # standard error 5.88 / 1.96 = 3.
    half_width = ((4.3027 * 2 / 3**0.5) ** 2 + (1.9686 * 3) ** 2) ** 0.5
    assert found.value == 62
    assert found.high - found.value == pytest.approx(half_width, abs=1e-3)
    assert over_seeds(frame(rows[:1])) == []


def test_a_disabling_part_does_not_score_twice(tmp_path: Path) -> None:
    for folder in ("mrpc/pretrained-0", "mrpc/disabled-each"):
        (tmp_path / folder).mkdir(parents=True)
        frame([{"value": 1.0}]).write_parquet(tmp_path / folder / "scores.parquet")
    parts = [
        Part(Role.SCORES, "mrpc/pretrained-0", "", 1, "finetune", {}),
        Part(Role.HEAD_EFFECTS, "mrpc/disabled-each", "", 1, "disable", {}),
        Part(Role.SCORES, "mrpc/missing", "", 1, "finetune", {}),
    ]
    assert tables_of_parts(tmp_path, parts)["scores"].height == 1


def test_effects_over_seeds_worked_by_hand() -> None:
    def disabled(*deltas: float) -> pl.DataFrame:
        rows = [
            {
                "task": "rte",
                "set": f"L1H{h}",
                "layer": 1,
                "head": h,
                "mode": "uniform",
                "metric": "accuracy",
                "delta": d,
            }
            for h, d in enumerate(deltas, 1)
        ]
        return frame(rows)

    tables = [disabled(1.0, -2.0), disabled(2.0, -2.0), disabled(3.0, 1.0)]
    rng = np.random.default_rng(1)
    kept = [outputs(labels, rng) for labels in [np.array([0, 1] * 50)] * 3]
    one, two = effects_over_seeds(find("rte"), tables, kept)
    assert (one.set, one.value, one.gains, one.same_sign, one.n) == ("L1H1", 2, 3, 1, 3)
    # Wider than Student's t over the seeds, by the error of a hundred examples.
    assert one.high - 2 > 4.3027 / 3**0.5 + 0.1
    assert one.high - 2 == pytest.approx(2 - one.low)
    assert (two.value, two.gains) == (-1, 1)
    assert two.same_sign == pytest.approx(2 / 3)
    assert one.p_corrected >= one.p > 0.0742  # That of Student's t over the seeds.
    kept[1] = outputs(np.array([1, 0] * 50), rng)
    with pytest.raises(HeadscopeError, match="scored on different examples"):
        effects_over_seeds(find("rte"), tables, kept)


def test_a_run_without_the_outputs_of_its_model_has_no_mean_over_seeds(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="does not hold what its model puts out"):
        kept_outputs(tmp_path, ["L1H1"])


def outputs(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> KeptOutputs:
    """Outputs of a model that is right on most examples, and with two sets of heads disabled."""
    right = np.eye(2, dtype=np.float32)[labels]
    noise = rng.normal(0, 0.4, (3, len(labels), 2)).astype(np.float32)
    unchanged, *disabled = right + noise
    return KeptOutputs(labels, unchanged, np.stack(disabled))


@pytest.mark.slow
def test_the_whole_paper_on_a_small_model(tiny: Path, glue: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "model": str(tiny),
        "tasks": "rte,mrpc",
        "data": glue,
        "epochs": 1,
        "quiet": True,
    }
    given |= {"train_examples": 8, "examples": 6, "out": tmp_path / "run", "seeds": 2}
    # Sentences that pass the filter, of two lengths, so that spans have room to move.
    given["framenet"] = release(tmp_path / "fn", [GOOD, AIM] * 3)
    first = paper(**given)
    assert len(first.lines) == 6
    assert not re.search(r"(?<![\w-])-\d", "".join(first.lines)), "a hyphen stands for a minus"
    assert "Attention from core elements to the predicate: L" in first.lines[2]
    tables = headscope.open_run(tmp_path / "run").tables
    assert tables["dispensable"]["drawn"].sum() > 0
    # Per task and fine-tuning the first of three layers beside the two others, and beside both.
    last = tables["last_layers"]
    assert last.group_by("task", "seed").len()["len"].to_list() == [3] * 4
    assert set(last["seed"]) == {0, 1}
    assert first.path.read_text().count("Claims of Kovaleva et al. (2019)</h") == 1
    table = tables["table1"]
    assert table.height == 2 * 3 * (1 + 2)
    assert set(table["comparable"]) == {"another model: not comparable"}
    assert tables["seeds"]["n"].to_list() == [2] * 9
    model = load(tiny)
    heads = model.layers * model.heads
    effects = tables["seeds_disabled"]
    assert effects.filter(metric="accuracy").group_by("task").len()["len"].to_list() == [
        heads,
        heads,
    ]
    signals = tables["predictors"]
    assert set(signals["task"]) <= {"rte", "mrpc"}
    assert effects["n"].unique().to_list() == [2]
    again = paper(**given)
    assert again.lines == first.lines
    again = paper(**given)
    assert again.lines == first.lines
    del given["framenet"]
    headscope.paper(
        **{**given, "out": tmp_path / "at once", "workers": 2, "tasks": "rte", "seeds": 1}
    )
    for name in ("scores", "change", "disabled"):
        one, other = (
            pl.read_parquet(tmp_path / run / f"{name}.parquet") for run in ("run", "at once")
        )
        one = one.filter(
            pl.col("task") == "rte", *([pl.col("seed") == 0] if name == "scores" else [])
        )
        # Another number of threads adds in another order, so that training ends a little elsewhere.
        same = [
            c
            for c in one.columns
            if one[c].dtype == pl.String and c not in ("model", "text", "verdict", "evidence")
        ]
        assert one.select(same).equals(other.select(same)), name


def test_several_workers_do_all_that_does_not_need_the_part_that_failed(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "model": "minilm",
        "task": "builtin",
        "quiet": True,
        "examples": 8,
        "train_examples": 8,
    }
    parts = [
        Part(Role.SCORES, "a", "a sound part", 2, "finetune", {**given, "init": "none"}),
        Part(Role.SCORES, "b", "a part that fails", 3, "finetune", {**given, "epochs": 0}),
        Part(
            Role.HEAD_EFFECTS,
            "c",
            "a part that needs it",
            4,
            "disable",
            {"task": "builtin"},
            {"model": "b"},
        ),
    ]
    with (
        pytest.raises(
            HeadscopeError, match="epochs must be larger than 0|--epochs must be at least 1"
        ),
        Processes(2) as executor,
    ):
        run_parts(parts, tmp_path, executor, 0.0, quiet=True)
    assert (tmp_path / "a" / "run.json").is_file()
    assert not (tmp_path / "c").exists()
