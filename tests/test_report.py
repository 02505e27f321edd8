"""The report: true sentences, harmless text, missing tables, the same numbers as the tables."""

import base64
import hashlib
import html
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

import runs
from headscope.errors import HeadscopeError
from headscope.figures.thumbnails import shrunk, typical
from headscope.reporting.build import build
from headscope.reporting.findings import findings
from headscope.reporting.images import data_address
from headscope.reporting.packing import PackedMap, packed
from headscope.reporting.payload import columns, embedded
from headscope.reporting.pruning import pruning_findings, search_sentences
from headscope.reporting.reading import read
from headscope.reporting.scores import shown_scores
from headscope.reporting.sections import sections_of
from headscope.reporting.side_by_side import line, summary
from headscope.reporting.takeaway import takeaway
from headscope.results.numbers import number, p_value

HOSTILE = runs.HOSTILE


def sentences(**tables: pl.DataFrame) -> list[str]:
    return [finding.text for finding in findings(tables)]


# ---- findings, worked by hand


def test_a_score_stands_beside_its_majority_baseline() -> None:
    (finding,) = findings({"scores": runs.scores()})
    assert finding.text == (
        "Fine-tuned accuracy is 81.1 (95% 77.0 to 84.6, n = 408); always answering the majority class gives 68.4."
    )
    assert (finding.verdict, finding.value, finding.low, finding.high, finding.unit) == (
        "above the majority class",
        81.1,
        77.0,
        84.6,
        "points",
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (60.0, 68.0, "below the majority class"),
        (60.0, 70.0, "not told apart from the majority class"),
        (68.4, 70.0, "not told apart from the majority class"),
        (None, None, "no interval"),
    ],
)
def test_the_verdict_on_a_score_follows_its_interval(
    low: float | None, high: float | None, verdict: str
) -> None:
    scores = runs.scores(65.0, low, high).cast({"low": pl.Float64, "high": pl.Float64})
    assert [finding.verdict for finding in findings({"scores": scores})] == [verdict]


def test_several_seeds_are_a_range_and_the_majority_class_is_no_finding_of_its_own() -> None:
    scores = pl.concat(
        [
            runs.scores(80.0),
            runs.scores(82.0, seed=8),
            runs.scores(68.4, configuration="majority class"),
        ]
    )
    assert sentences(scores=scores) == [
        "Fine-tuned accuracy lies between 80.0 and 82.0 over 2 runs; always answering the majority class gives 68.4."
    ]


def test_no_head_stands() -> None:
    loss, gain = findings(
        {"disabled": runs.disabled([-1.5, 0.75, 0.0, -0.5], [0.6, 0.9, 1.0, 1.0])}
    )
    assert loss.text == (
        "No head’s loss in accuracy is significant after adjustment for 4 heads; "
        "the largest is −1.5 points by L1H1 (95% −3.5 to +0.5)."
    )
    assert gain.text == (
        "No head’s gain in accuracy is significant after adjustment for 4 heads; "
        "the largest is +0.8 points by L1H2 (95% −1.3 to +2.8)."
    )
    assert (loss.verdict, gain.verdict) == ("no significant loss", "no significant gain")
    assert (loss.value, loss.low, loss.high) == (-1.5, -3.5, 0.5)


def test_one_head_stands_and_a_larger_effect_that_does_not_is_not_named() -> None:
    loss, gain = findings({"disabled": runs.disabled([-4.0, -9.0, -0.5], [0.049, 0.05, 1.0])})
    assert loss.text == (
        "1 of 3 heads costs accuracy when disabled (Holm-adjusted p < 0.05); "
        "the loss is −4.0 points by L1H1 (95% −6.0 to −2.0)."
    )
    assert gain.text == "None of 3 heads raises accuracy when disabled."


def test_all_heads_stand_and_ties_are_named() -> None:
    loss, gain = findings({"disabled": runs.disabled([-4.0, -3.0, -4.0], [0.01, 0.02, 0.01])})
    assert loss.text == (
        "All 3 heads cost accuracy when disabled (Holm-adjusted p < 0.05); "
        "the largest loss is −4.0 points by L1H1 (95% −6.0 to −2.0), as large as that of L1H3."
    )
    assert loss.verdict == "3 losses"
    assert gain.verdict == "no gain"


def test_gains_that_stand_are_said_to_stand() -> None:
    loss, gain = findings({"disabled": runs.disabled([4.0, 3.0, 0.0], [0.01, 0.02, 1.0])})
    assert loss.text == "None of 3 heads lowers accuracy when disabled."
    assert gain.text.startswith(
        "2 of 3 heads raise accuracy when disabled (Holm-adjusted p < 0.05); the largest gain"
    )


def selection(significant: str | None, sets: int = 3) -> pl.DataFrame:
    row = {
        "metric": "accuracy",
        "sets": sets,
        "significant": significant,
        "verdict": "supported",
        "text": "L1H1 gains.",
    }
    return pl.DataFrame([row])


def test_a_gain_is_judged_once_by_the_test_of_all_sets() -> None:
    disabled = runs.disabled([4.0, 3.0, 0.0], [0.01, 0.02, 1.0])
    loss, together = findings({"disabled": disabled, "selection": selection("L1H1")})
    assert loss.text == "None of 3 heads lowers accuracy when disabled."
    assert (together.text, together.verdict) == ("L1H1 gains.", "gain supported")
    # The test of other sets leaves the gains of these to their own.
    assert len(findings({"disabled": disabled, "selection": selection("", sets=4)})) == 3
    # Of a run that an earlier version made the doubt is said, and gains are those of the heads' own tests.
    _, gain, earlier = findings({"disabled": disabled, "selection": selection(None)})
    assert gain.text.startswith("2 of 3 heads raise accuracy")
    assert earlier.text.startswith("L1H1 gains. (By an earlier version, whose test")


@pytest.mark.parametrize(
    ("delta", "p", "loss", "gain"),
    [
        (
            -2.0,
            0.01,
            "The one head tested costs accuracy when disabled",
            "The one head tested, L1H1, does not raise",
        ),
        (
            -2.0,
            0.5,
            "The loss of the one head tested, −2.0 points by L1H1",
            "The one head tested, L1H1, does not raise",
        ),
        (
            0.0,
            1.0,
            "The one head tested, L1H1, does not lower",
            "The one head tested, L1H1, does not raise",
        ),
    ],
)
def test_one_head_alone(delta: float, p: float, loss: str, gain: str) -> None:
    said = sentences(disabled=runs.disabled([delta], [p]))
    assert said[0].startswith(loss)
    assert said[1].startswith(gain)


def test_a_metric_without_a_test_is_not_judged() -> None:
    untested = runs.disabled([-1.0, 2.0], [0.01, 0.01], metric="f1").with_columns(
        p_corrected=pl.lit(None, pl.Float64)
    )
    (finding,) = findings({"disabled": untested})
    assert (
        finding.text
        == "Disabling one head changes F1 by −1.0 points (L1H1) to +2.0 points (L1H2); no test is recorded."
    )
    assert finding.verdict == "not tested"


def test_layers_are_counted_apart_from_heads() -> None:
    layers = runs.disabled([-5.0, 1.0], [0.01, 1.0], heads=1).with_columns(
        head=pl.lit(None, pl.Int64)
    )
    said = sentences(disabled=pl.concat([runs.disabled([-1.0], [1.0]), layers]))
    assert (
        "1 of 2 layers costs accuracy when disabled (Holm-adjusted p < 0.05); the loss is −5.0 points by layer 1"
        in said[2]
    )


def test_a_disabled_head_that_changed_nothing_is_reported() -> None:
    said = sentences(
        disabled=runs.disabled([0.0, -1.0], [1.0, 1.0]).with_columns(
            activation_change=pl.Series([0.0, 0.1])
        )
    )
    assert "Disabling L1H1 changed no activation: these rows say nothing." in said


# ---- the takeaway


def test_the_takeaway_says_that_no_head_is_significant_with_the_largest_change() -> None:
    tables = {"disabled": runs.disabled([-1.5, 0.75, 0.0], [0.6, 0.9, 1.0])}
    assert takeaway(tables) == (
        "No single head of 3 changes accuracy significantly when disabled: the largest change is "
        "−1.5 points (L1H1; 95% −3.5 to +0.5, n = 40; p-values adjusted for 3 heads)."
    )


def test_the_takeaway_counts_losses_and_gains() -> None:
    disabled = runs.disabled([-4.0, -3.0, 5.0, 9.0], [0.01, 0.02, 0.03, 0.6])
    assert takeaway({"disabled": disabled}) == (
        "2 of 4 heads cost accuracy significantly when disabled alone, most of all L1H1: "
        "−4.0 points (95% −6.0 to −2.0, n = 40); 1 raises accuracy significantly, L1H3: "
        "+5.0 points (95% +3.0 to +7.0, n = 40)."
    )
    # Gains that are tested together have one verdict.
    together = {"disabled": disabled, "selection": selection("", sets=4)}
    assert "no head’s gain is significant." in takeaway(together)
    named = {"disabled": disabled, "selection": selection("L1H4, L1H3", sets=4)}
    assert "2 raise accuracy significantly, most of all L1H4" in takeaway(named)


def test_the_takeaway_of_other_runs() -> None:
    assert takeaway({}) == ""
    (score,) = sentences(scores=runs.scores())
    assert takeaway({"scores": runs.scores()}) == score
    assert takeaway({"pruned": runs.pruned(6)}).startswith(
        "With 9 of 15 heads removed together: accuracy 71.0 in place of 80.0 (−9.0, 95% −11.0"
    )
    assert takeaway({"patterns": runs.patterns()}).startswith("Of the five patterns, ")
    assert takeaway({"relations_best": BEST}).startswith("Of 2 relations between words, 1 is")
    same = runs.scores(answers=1, p_majority=1.0)
    assert takeaway({"scores": same, "disabled": runs.disabled([-4.0], [0.01])}).startswith(
        "The model gives all 408 examples the same answer"
    )


def test_findings_of_other_metrics_are_behind_a_fold_and_patterns_in_their_part(
    tmp_path: Path,
) -> None:
    f1 = runs.disabled([-1.0] * 15, [1.0] * 15, metric="f1")
    run = runs.write(
        tmp_path / "run", disabled=pl.concat([runs.disabled([2.0] * 15, [1.0] * 15), f1])
    )
    (section,) = sections_of([run])
    assert section.headline == "accuracy"
    assert all("F1" not in finding.text for finding in section.about("Single heads"))
    assert all("F1" in finding.text for finding in section.of_other_metrics)
    page = build([run], tmp_path / "report.html").read_text()
    for finding in section.findings:
        if finding.text != section.takeaway and finding.metric == "accuracy":
            assert page.count(html.escape(finding.text, quote=False)) == 1
    vertical = next(finding for finding in section.findings if finding.topic == "Patterns")
    place = page.index(html.escape(vertical.text))
    assert page.index('id="run-1-patterns"') < place < page.index('id="run-1-figures"')


def test_correlations_have_no_baseline_and_negative_numbers_a_minus_sign() -> None:
    scores = runs.scores(metric="spearman", majority=0.0)
    (finding,) = findings({"scores": scores})
    assert finding.text == (
        "Fine-tuned Spearman's rho is 81.1 (95% 77.0 to 84.6, n = 408); 0 is no correlation."
    )
    shown = shown_scores(scores, "spearman")
    assert (shown.baseline, shown.is_unknown, shown.headline[0]["majority"]) == ("", False, None)
    hyphen = selection("L1H1").with_columns(text=pl.lit("Worth -0.15 points (-2.76 to +2.47)."))
    assert sentences(selection=hyphen) == ["Worth −0.15 points (−2.76 to +2.47)."]


def test_the_papers_figures_are_numbered_in_its_own_run_alone(tmp_path: Path) -> None:
    numbered = "Figure 5 of Kovaleva et al. (2019)"
    for command, count in (("study", 0), ("paper", 1)):
        run = runs.write(tmp_path / command, {"command": command})
        page = build([run], tmp_path / f"{command}.html").read_text()
        assert page.count(numbered) == count


def test_no_tables_no_findings() -> None:
    assert findings({}) == []


def test_numbers_as_text() -> None:
    assert [number(v, "points") for v in (81.13, -0.74, -4.25, 0.0, -0.0, -0.04, None)] == [
        "81.1", "−0.7", "−4.3", "0.0", "0.0", "−0.04", "–",
    ]  # fmt: skip
    assert [number(v, "points", signed=True) for v in (0.7, -0.7, 0.0)] == ["+0.7", "−0.7", "0.0"]
    assert number(1e300) == "1e+300"
    assert [p_value(p) for p in (0.0004, 0.05, 1.0, None)] == ["< 0.001", "0.050", "1.000", "–"]


BEST = pl.DataFrame(
    [
        {"relation": "obj", "set": "L1H2", "direction": "to_head", "value": 0.684, "low": 0.66, "high": 0.71, "n": 50,
         "verdict": "carries the relation", "excess": 0.5, "offset": -2, "offset_accuracy": 0.376, "p_corrected": 0.0},
        {"relation": "nmod", "set": "L2H3", "direction": "from_head", "value": 0.9, "low": 0.8, "high": 0.95, "n": 9,
         "verdict": "no better than the best offset", "excess": None, "offset": 1, "offset_accuracy": 0.9,
         "p_corrected": None},
    ]
).with_columns(unit=pl.lit("fraction of words"))  # fmt: skip
SPANS = pl.DataFrame(
    [
        {"relation": "frame_element", "rank": rank, "set": name, "layer": 3, "head": 5, "value": value, "low": 0.2,
         "high": 0.5, "n": 30, "percentile_99": 0.34, "above": rank == 1, "control": 0.1, "excess": 0.25, "p_corrected": 0.01}
        for rank, name, value in ((1, "L3H5", 0.35), (2, "L3H4", 0.34))
    ]
).with_columns(unit=pl.lit("fraction of mass"))  # fmt: skip


def test_relations_in_sentences() -> None:
    assert sentences(relations_best=BEST) == [
        "Of 2 relations between words, 1 is carried by a head beyond what distance and the best fixed offset explain; "
        "best obj, 68% by L1H2 (95% 66 to 71%)."
    ]
    assert sentences(relations_best=BEST[1:]) == [
        "Of 1 relations between words, none are carried by a head beyond what distance and the best fixed offset explain."
    ]
    (finding,) = findings({"span_heads": SPANS})
    assert finding.text == (
        "No head attends more between the spans of frame element than L3H5: 0.35 (95% 0.20 to 0.50, n = 30), "
        "+0.25 beyond the same distance (adjusted p = 0.010)."
    )
    assert finding.verdict == "significant"


def test_the_last_two_layers_in_a_sentence() -> None:
    place = {"layer": None, "against": None, "n": 408, "unit": "cosine"}
    one = {**place, "value": 0.12, "low": 0.1, "high": 0.14, "p": 0.001}
    (finding,) = findings({"last_layers": pl.DataFrame([{**one, "layer": 1, "against": 3}, one])})
    assert finding.text == (
        "Fine-tuning changed the last two layers more than the others: the cosine of the others' maps before and after, "
        "minus that of theirs, is 0.12 (95% 0.10 to 0.14, n = 408)."
    )
    assert finding.verdict == "significant"
    less = {**place, "value": -0.01, "low": -0.03, "high": 0.01, "p": 0.4}
    (finding,) = findings({"last_layers": pl.DataFrame([less, one])})
    assert "layers less than the others" in finding.text
    assert "is −0.01 (95% −0.03 to 0.01, n = 408), in the first of 2 fine-tunings." in finding.text
    assert finding.verdict == "not significant"
    few = {**place, "value": 0.12, "low": None, "high": None, "p": None, "n": 3}
    (finding,) = findings({"last_layers": pl.DataFrame([few])})
    assert finding.verdict == "not tested"
    assert finding.text.startswith("Whether fine-tuning changed the last two layers more")
    assert finding.text.endswith("is 0.12 (no interval, n = 3).")


# ---- the file


def test_the_embedded_data_equal_the_tables(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run")
    (payload,) = runs.Page(build([run], tmp_path / "report.html")).data()
    tables = read(run).tables
    for name in ("scores", "heads", "change", "disabled", "patterns", "examples"):
        shown = runs.unpacked_table(payload["tables"][name])
        for column, values in (
            tables[name].drop("before", "after", strict=False).to_dict(as_series=False).items()
        ):
            if tables[name][column].dtype == pl.Float64:
                assert shown[column] == pytest.approx(values, abs=1e-7)
            else:
                assert shown[column] == values
    assert (payload["layers"], payload["heads"]) == (runs.LAYERS, runs.HEADS)


def test_relations_have_a_table_and_colour_the_heads(tmp_path: Path) -> None:
    both = pl.concat(
        [runs.relations("accuracy", "obj", direction) for direction in ("to_head", "from_head")]
    )
    other = runs.relations("accuracy_control", "obj", "to_head")
    run = runs.write(tmp_path / "run", relations=pl.concat([both, other]), relations_best=BEST)
    page = runs.Page(build([run], tmp_path / "report.html"))
    payload = next(one for one in page.data() if "relations" in one["tables"])
    shown = pl.DataFrame(runs.unpacked_table(payload["tables"]["relations"]))
    assert shown.select("direction", "measure").unique().rows() == [("to_head", "accuracy")]
    assert shown.height == runs.LAYERS * runs.HEADS
    assert all(
        text in page.text for text in ("68.4%", "37.6% at −2", "carries the relation", "obj")
    )
    spans = runs.write(tmp_path / "spans", relations=runs.relations(), span_heads=SPANS)
    text = runs.Page(build([spans], tmp_path / "spans.html")).text
    assert "Figure 3" not in text
    assert (
        "Here: largest in L3H5 0.35 and L3H4 0.34. Kovaleva et al. (2019), on FrameNet: L7H6 0.21 and L1H2 0.20."
        in text
    )


def test_heads_that_can_go_together_in_sentences() -> None:
    path = runs.pruned(6, metrics=("accuracy", "f1"))
    fallen, refitted = findings({"pruned": path})
    assert fallen.text == (
        "9 of 15 heads (60%) removed together: accuracy 71.0 in place of 80.0 (−9.0, 95% −11.0 to "
        "−7.0, n = 40); the score falls by more than 0.8 points."
    )
    assert (fallen.verdict, fallen.value, fallen.low, fallen.high) == (
        "beyond the margin",
        -9.0,
        -11.0,
        -7.0,
    )
    assert "removed together, output projections refitted: accuracy 72.0" in refitted.text
    shown = path.with_columns(p=pl.lit(0.003))
    (first, _) = pruning_findings(shown)
    assert first.verdict == "within the margin"
    assert "it is shown that the score falls by less than 0.8 points (p = 0.003)" in first.text
    (first, _) = pruning_findings(path.with_columns(high=pl.lit(0.5)))
    assert first.verdict == "cannot be shown"
    assert "cannot be shown with 40 examples (p = 0.4, 0.025 or less would show it)" in first.text
    (none,) = pruning_findings(runs.pruned())
    assert none.verdict == "none can go"
    assert none.text.startswith("No head can go without a fall of accuracy by more than 0.8 points")
    assert list(pruning_findings(path.clear())) == []
    # A damaged table that lacks a number says nothing wrong.
    assert list(pruning_findings(path.with_columns(delta=pl.lit(None, pl.Float64)))) == []


def test_what_a_search_looked_at_in_sentences() -> None:
    searched, chosen, scored = search_sentences(runs.pruned(6))
    assert searched == (
        "The search scored 321 sets of heads on 100 training examples, in 60 seconds. What it "
        "lowered is their mean loss, and the lowest of many flatters: with 6 heads it is 0.390, "
        "and 0.490 on the validation examples."
    )
    assert "chosen by accuracy on 50 other training examples" in chosen
    assert scored.startswith("Scores and intervals are of the 40 validation examples")
    asked = list(search_sentences(runs.pruned(6, choice_n=0, choice_value=None)))
    assert not any("chosen by" in sentence for sentence in asked)
    assert list(search_sentences(runs.pruned().clear())) == []


def test_heads_together_have_a_part_beside_a_study_and_alone(tmp_path: Path) -> None:
    study = runs.write(tmp_path / "study")
    before = runs.Page(build([study], tmp_path / "before.html"))
    assert "Which heads can go together" not in before.text
    assert before.data()[0]["tables"].keys().isdisjoint({"pruned", "sizes", "kept_heads"})
    pruned = tmp_path / "pruned"
    pruned.mkdir()
    runs.pruned(6).write_parquet(pruned / "pruned.parquet")
    runs.sizes(6).write_parquet(pruned / "sizes.parquet")
    runs.scores(configuration="as given").write_parquet(pruned / "scores.parquet")
    meta = {**runs.META, "command": "prune", "notes": [], "repeat": "headscope prune"}
    meta["model"] = {**runs.META["model"], "layers": runs.LAYERS, "heads": runs.HEADS}  # type: ignore[dict-item]
    (pruned / "run.json").write_text(json.dumps(meta))
    for folders in ([pruned], [study, pruned]):
        page = runs.Page(build(folders, tmp_path / "report.html"))
        (payload,) = page.data()
        text = " ".join(page.text.split())
        assert "Not complete" not in text
        assert "Which heads can go together" in text
        assert "9 of 15 heads (60%) removed together" in text
        assert "With 6 of 15 heads: 1,000,000 of 1,250,000 weights" in text
        assert "6 32 1 cpu, 1 thread 32,000,000 25,600,000 100.0 120.0 1.20 1.10 to 1.30 9" in text
        kept = pl.DataFrame(runs.unpacked_table(payload["tables"]["kept_heads"]))
        assert kept.filter(stays=1).height == 6
        assert payload["tables"]["pruned"]["height"] == 17
        pictures = [a["alt"] for name, a in page.elements if name == "img"]
        for title in ("What is left of the score", "Which heads stay"):
            assert sum(str(alt).startswith(title) for alt in pictures) == 1
    none = runs.write(tmp_path / "none", pruned=runs.pruned())
    text = runs.Page(build([none], tmp_path / "none.html")).text
    assert "No head can go without a fall" in text
    (pruned / "pruned.parquet").unlink()
    text = runs.Page(build([pruned], tmp_path / "without.html")).text
    assert "pruned.parquet is missing: the path of pruning cannot be shown." in text
    assert "Which heads can go together" not in text


def test_the_card_gets_the_nearest_heads_first(tmp_path: Path) -> None:
    run = runs.write(
        tmp_path / "run", likeness=runs.likeness([("L1H1", "L2H2", 0.3), ("L1H3", "L1H1", 0.1)])
    )
    (payload,) = runs.Page(build([run], tmp_path / "report.html")).data()
    near = pl.DataFrame(runs.unpacked_table(payload["tables"]["alike"]))
    rows = near.filter(layer=1, head=1).select("other_layer", "other_head", "value").rows()
    assert rows == [(1, 3, 0.1), (2, 2, 0.3)]
    assert near.height == 4  # every pair is seen from both sides


def test_a_small_number_keeps_its_first_digits_and_a_column_of_one_value_is_said_once() -> None:
    frame = pl.DataFrame({"p": [1.23456e-9, 0.123456789], "task": ["a", "a"], "what": ["x", None]})
    packed_table = json.loads(embedded(columns(frame)))
    assert packed_table["columns"] == {
        "p": [1.235e-9, 0.1234568],
        "task": {"same": "a"},
        "what": {"words": ["x"], "codes": [0, -1]},
    }


def unpacked(map_: PackedMap, all_: dict[str, PackedMap]) -> np.ndarray:
    flat = np.frombuffer(zlib.decompress(base64.b64decode(map_.data)), np.uint8)
    layers, heads, queries, keys = map_.shape
    if len(map_.levels) <= 16:
        flat = np.stack([flat & 15, flat >> 4], 1).ravel()[: layers * heads * queries * keys]
    codes = flat.reshape(layers, heads, keys, queries).swapaxes(2, 3).astype(int)
    if map_.minus:
        base = unpacked(all_[map_.minus], all_)
        codes = codes + np.searchsorted(map_.levels, base)
    weights: np.ndarray = np.asarray(map_.levels)[codes % len(map_.levels)]
    return weights


def test_small_maps_are_exact() -> None:
    maps = runs.maps([7, 11], layers=2, heads=3)
    out = packed(maps)
    assert all(np.array_equal(unpacked(out[key], out), weights) for key, weights in maps.items())


def test_large_maps_are_off_by_less_than_a_step_and_a_like_pair_is_kept_as_its_difference() -> None:
    maps = runs.maps([120], layers=6, heads=12)
    maps["after/0"] = maps["before/0"].copy()
    maps["after/0"][0, 0, 0, 0] ^= 255
    out = packed(maps)
    assert out["after/0"].minus == "before/0"
    assert len(out["after/0"].data) < len(out["before/0"].data) / 20
    levels = np.asarray(out["before/0"].levels)
    for key, weights in maps.items():
        shown = unpacked(out[key], out)
        above, below = (np.searchsorted(levels, weights, side) for side in ("left", "right"))
        assert (shown <= levels[np.minimum(above + 1, 15)]).all()
        assert (shown >= levels[np.maximum(below - 2, 0)]).all()
        assert np.abs(shown - weights).mean() < 2


def test_a_weight_takes_the_level_above_it_in_its_column_only_within_a_step() -> None:
    column = np.array([26, 33, 37, 20, 17, 0], np.uint8)  # levels 18 26 36 48
    out = packed({"after/0": np.broadcast_to(column[:, None], (1, 1, 6, 600_000)).copy()})
    assert unpacked(out["after/0"], out)[0, 0, :, 0].tolist() == [26, 26, 36, 18, 18, 0]


def test_a_chart_in_its_address_is_the_chart() -> None:
    drawn = '<svg xmlns="http://www.w3.org/2000/svg"><text a="it\'s" b="#1">50% &lt;b&gt; "q" &amp; é\n</text></svg>'
    address = str(data_address(drawn))
    assert not re.search('["#\n]', address)
    read_back = unquote(html.unescape(address).removeprefix("data:image/svg+xml,"))
    (text,) = ElementTree.fromstring(read_back)  # noqa: S314 - written above
    assert text.text == '50% <b> "q" & é\n'
    assert text.attrib == {"a": "it's", "b": "#1"}


# ---- typical maps, worked by hand


def test_a_map_drawn_small_keeps_its_stripes() -> None:
    stripe = np.zeros((1, 1, 7, 7), np.uint8)
    stripe[..., 3] = 200
    small = shrunk(stripe, 3)  # columns 0 1 | 2 3 | 4 5 6
    assert small[0, 0].tolist() == [[0, 200, 0]] * 3
    assert shrunk(stripe, 14)[0, 0, 0].tolist() == [0] * 6 + [200] * 2 + [0] * 6


def test_the_typical_map_is_the_one_nearest_to_the_mean() -> None:
    maps = {
        f"after/{i}": np.full((1, 2, 3, 3), value, np.uint8)
        for i, value in ((4, 10), (7, 60), (9, 100))
    }
    maps["after/4"][0, 1], maps["after/7"][0, 1], maps["after/9"][0, 1] = 90, 0, 100
    found = typical({**maps, "before/4": maps["after/4"]})
    assert found is not None
    assert found.example.tolist() == [[7, 4]]  # means 56.7 and 63.3
    assert found.state == "after"
    assert found.small.shape == (1, 2, 28, 28)
    assert set(found.small.ravel().tolist()) == {15}
    assert typical({}) is None


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A report in which every text that comes from outside is hostile."""
    return build([runs.hostile(tmp_path / "run")], tmp_path / "hostile.html")


def test_what_was_left_out_stands_above_the_findings(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run", {"notes": ["2 of 40 rows <left out>"]})
    page = build([folder], tmp_path / "page.html").read_text()
    head = page[page.index("<header") : page.index("</header>")]
    assert "2 of 40 rows &lt;left out&gt;" in head
    assert 'class="note"' in head
    # Runs that are joined keep the notes of each.
    other = runs.write(tmp_path / "other", {"command": "disable", "notes": ["NOTE TWO"]})
    for name in ("heads", "change", "examples", "patterns", "likeness"):
        (other / f"{name}.parquet").unlink()
    (folder / "disabled.parquet").unlink()
    page = build([folder, other], tmp_path / "both.html").read_text()
    head = page[page.index("<header") : page.index("</header>")]
    assert "2 of 40 rows" in head
    assert "NOTE TWO" in head
    for odd in (None, "text", {"a": 1}, 5):
        runs.write(tmp_path / "odd", {"notes": odd})
        build([tmp_path / "odd"], tmp_path / "odd.html")


def test_hostile_text_stays_text(hostile: Path, tmp_path: Path) -> None:
    page = runs.Page(hostile)
    plain = runs.Page(
        build(
            [runs.write(tmp_path / "plain", examples=runs.examples([["a"] * 7]))],
            tmp_path / "plain.html",
        )
    )
    assert page.count("script") == plain.count("script")
    assert all(
        str(a["src"]).startswith("data:image/svg+xml,<svg")
        for name, a in page.elements
        if name == "img"
    )
    assert not [
        name
        for _, attributes in page.elements
        for name in attributes
        if name.startswith("on") or name == "style"
    ]
    (payload,) = page.data()
    assert runs.unpacked_table(payload["tables"]["examples"])["tokens"] == [[*HOSTILE, "ok"]]
    assert runs.unpacked_table(payload["tables"]["disabled"])["metric"] == ["".join(HOSTILE)] * 2
    assert all(text in page.text for text in HOSTILE)


def test_the_embedded_json_holds_no_character_that_html_or_a_script_reads(hostile: Path) -> None:
    for attributes, text in runs.Page(hostile).raw:
        if attributes.get("type") == "application/json":
            assert not re.search("[<>&\u2028\u2029]", text)


def test_the_policy_forbids_the_network_and_names_script_and_style_by_hash(hostile: Path) -> None:
    page = runs.Page(hostile)
    (policy,) = (
        a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    run = [text for attributes, text in page.raw if "type" not in attributes]
    assert len(run) == 2
    for kind, text in zip(("style-src", "script-src"), run, strict=True):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert not [
        a
        for _, a in page.elements
        if any(str(a.get(k)).startswith(("http", "//")) for k in ("src", "href"))
    ]


FILES = ["run.json", "scores.parquet", "heads.parquet", "disabled.parquet", "change.parquet", "examples.parquet",
         "maps.safetensors"]  # fmt: skip


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_damaged_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str, damage: str
) -> None:
    run = runs.write(tmp_path / "run")
    if damage == "missing":
        (run / name).unlink()
    else:
        (run / name).write_bytes((run / name).read_bytes()[:20] + b"\x00garbage")
    page = runs.Page(build([run], tmp_path / "report.html"))
    assert f"{name} is {damage}" in " ".join(page.text.split())
    (payload,) = page.data()
    gone = name.removesuffix(".parquet")
    there = {
        "scores",
        "heads",
        "change",
        "disabled",
        "patterns",
        "examples",
        "alike",
        "table1",
        "typical",
    } - {gone}
    without = {"scores": {"table1"}, "maps.safetensors": {"typical"}}.get(gone, set())
    assert set(payload["tables"]) == there - without


def test_a_table_without_a_column_names_it(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run", disabled=runs.disabled([1.0], [1.0]).drop("delta"))
    assert read(run).problems == (
        "disabled.parquet is damaged (it lacks delta): the effect of disabling heads cannot be shown.",
    )


def test_values_that_are_not_numbers_are_shown_as_missing(tmp_path: Path) -> None:
    run = runs.write(
        tmp_path / "run",
        disabled=runs.disabled([float("nan"), float("-inf"), -1.0], [1.0, 1.0, 1.0]),
    )
    (payload,) = runs.Page(build([run], tmp_path / "report.html")).data()
    assert runs.unpacked_table(payload["tables"]["disabled"])["delta"] == [None, None, -1.0]


def test_every_run_and_every_task_has_a_section(tmp_path: Path) -> None:
    two = pl.concat([runs.scores(), runs.scores(task="other")])
    folders = [runs.write(tmp_path / "a"), runs.write(tmp_path / "b", {"seed": 8}, scores=two)]
    page = runs.Page(build(folders, tmp_path / "report.html"))
    assert len(page.data()) == 3
    assert [set(payload["tables"]) for payload in page.data()][1] == {"scores", "table1", "alike"}
    assert "Side by side" in page.text


def test_runs_about_one_model_and_task_become_one_part(tmp_path: Path) -> None:
    tables = read(runs.write(tmp_path / "whole")).tables
    names = {"compare": ["heads", "change", "patterns"], "disable": ["scores", "disabled"]}
    folders = []
    for command, kept in names.items():
        folders.append(tmp_path / command)
        folders[-1].mkdir()
        for name in kept:
            tables[name].write_parquet(folders[-1] / f"{name}.parquet")
        (folders[-1] / "run.json").write_text(json.dumps({**runs.META, "command": command}))
    layers = tables["disabled"][:2].with_columns(
        head=pl.lit(None, pl.Int64), set=pl.Series(["layer 1", "layer 2"])
    )
    third = runs.write(tmp_path / "third", {"command": "disable"}, disabled=layers)
    for path in third.glob("*.*"):
        if path.name not in ("run.json", "disabled.parquet", "scores.parquet"):
            path.unlink()
    page = runs.Page(build([*folders, third], tmp_path / "report.html"))
    (payload,) = page.data()
    assert {"heads", "change", "patterns", "scores", "disabled"} <= set(payload["tables"])
    assert payload["tables"]["disabled"]["height"] == tables["disabled"].height + 2
    assert "headscope compare" in page.text
    # The same sets twice say the same thing twice: two parts.
    assert len(runs.Page(build([folders[1], folders[1]], tmp_path / "twice.html")).data()) == 2


def test_a_run_over_several_tasks_shows_examples_of_each(tmp_path: Path) -> None:
    two = pl.concat([runs.scores(task="mrpc"), runs.scores(task="rte")])
    run = runs.write(tmp_path / "run", {"command": "paper"}, scores=two)
    (run / "rte" / "compared").mkdir(parents=True)
    for name in ("examples.parquet", "maps.safetensors"):
        (run / name).rename(run / "rte" / "compared" / name)
    claims = {
        "claim": "C5",
        "text": "It helps.",
        "verdict": "not supported",
        "evidence": "0 of 72",
        "caveat": "small",
    }
    pl.DataFrame([{"task": "mrpc", **claims}]).write_parquet(run / "claims.parquet")
    assert runs.Page(build([run], tmp_path / "report.html")).text.count("C5 · not supported") == 1
    pages = runs.Page(build([run], tmp_path / "report.html")).data()
    # Sections are in the order of their names: mrpc, pairs, rte.
    assert [payload["maps"] for payload in pages] == [
        [],
        [],
        ["after/0", "after/1", "before/0", "before/1"],
    ]
    assert pages[2]["tables"]["examples"]["height"] == 2
    (run / "rte" / "compared" / "maps.safetensors").write_bytes(b"damaged")
    assert [
        payload["maps"] for payload in runs.Page(build([run], tmp_path / "report.html")).data()
    ] == [[], [], []]


def test_a_run_in_a_line(tmp_path: Path) -> None:
    run = read(
        runs.write(tmp_path / "run", disabled=runs.disabled([-4.0, 3.0, -1.0], [0.01, 0.02, 1.0]))
    )
    found = line(run)
    assert found.score is not None
    assert found.worst is not None
    assert (found.title, found.seed, found.costs, found.gains) == (
        "tiny-bert · pairs",
        "7",
        "1 of 3",
        "1 of 3",
    )
    assert (found.score.value, found.worst.set) == (81.1, "L1H1")
    empty = line(
        read(runs.write(tmp_path / "other", scores=runs.scores(configuration="majority class")))
    )
    assert empty.score is None


def test_several_runs_in_a_sentence(tmp_path: Path) -> None:
    some = runs.disabled([-4.0, 1.0], [0.01, 1.0])
    none = runs.disabled([-4.0, 1.0], [0.6, 1.0])
    pair = [read(runs.write(tmp_path / name, disabled=table))
            for name, table in (("a", some), ("b", none))]  # fmt: skip
    assert summary(pair, [line(run) for run in pair]) == (
        "In 1 of 2 runs a single head costs the score significantly when disabled; "
        "in none one raises it."
    )
    verdicts = ["not tested", "supported", "not tested"]
    claims = pl.DataFrame({"claim": ["C1", "C2", "C3"], "verdict": verdicts})
    paper = replace(pair[0], tables={"claims": claims})
    assert summary([paper], []) == (
        "Of 3 claims of Kovaleva et al. (2019), 2 are not tested, 1 is supported."
    )


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadscopeError, match="name at least one run folder"):
        build([], tmp_path / "report.html")
    with pytest.raises(HeadscopeError, match="holds no run"):
        build([tmp_path], tmp_path / "report.html")
    with pytest.raises(HeadscopeError, match="is a folder: name a file"):
        build([runs.write(tmp_path / "run")], tmp_path)


def test_nothing_is_left_beside_the_report(tmp_path: Path) -> None:
    run = runs.write(tmp_path / "run")
    build([run], tmp_path / "out" / "report.html")
    build([run], tmp_path / "out" / "report.html")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]
