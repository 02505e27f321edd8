"""The end of a run: few sentences, in the first metric alone, what limits them last."""

import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headscope import cli
from headscope.commands.outcome import Outcome, score_line
from headscope.names import AS_GIVEN, FINE_TUNED, UNTRAINED
from headscope.reporting.doubts import beside_baseline
from headscope.reporting.ending import MOST, ending, shortened

SCORE: dict[str, Any] = {
    "configuration": FINE_TUNED, "metric": "f1", "value": 80.0, "low": 76.0, "high": 84.0, "n": 408,
    "majority": 68.0, "answers": 2, "p_majority": 1e-9, "unit": "points",
}  # fmt: skip


def scores(**changed: Any) -> pl.DataFrame:
    """The scores of a run in two metrics, the first of them changed."""
    other = {**SCORE, "metric": "accuracy", "value": 81.0}
    return pl.DataFrame([SCORE | changed, other])


def disabled() -> pl.DataFrame:
    rows = []
    for metric, change in (("f1", -3.0), ("accuracy", -9.0)):
        for head in (1, 2):
            rows.append(
                {
                    "set": f"L1H{head}", "layer": 1, "head": head, "metric": metric, "mode": "zero",
                    "delta": change / head, "low": change - 1, "high": change + 1, "n": 408,
                    "unit": "points", "p_corrected": 0.001, "activation_change": 1.0,
                }
            )  # fmt: skip
    return pl.DataFrame(rows)


def test_the_first_metric_is_said_alone_and_by_its_name() -> None:
    said = ending({"scores": scores(), "disabled": disabled()})
    assert said[0].startswith("Fine-tuned F1 is 80.0 (95% 76.0 to 84.0, n = 408)")
    assert "−3.0 points by L1H1" in " ".join(said)
    assert not [sentence for sentence in said if "accuracy of" in sentence or "−9.0" in sentence]
    assert score_line(scores()).startswith("F1 80.0 (95% 76.0 to 84.0, n = 408); always answering")
    assert score_line(scores(metric="token_accuracy")).startswith("accuracy of tokens 80.0")


def test_a_doubt_in_another_metric_is_said_first_and_once() -> None:
    table = pl.DataFrame([SCORE, {**SCORE, "metric": "accuracy", "value": 11.0, "high": 15.0}])
    said = ending({"scores": table, "disabled": disabled()})
    assert said[0].startswith("The model's accuracy of 11.0 is below the 68.0")
    assert [sentence for sentence in said if "is below" in sentence] == [said[0]]
    assert said[1].startswith("Fine-tuned F1 is 80.0")


def test_the_end_never_has_more_sentences_than_there_is_room_for() -> None:
    said = [f"sentence {at}" for at in range(20)]
    for last in range(4):
        lines = shortened(said, said[:last])
        assert len(lines) == MOST
        assert lines[MOST - last :] == tuple(said[:last])
    assert shortened(said[:2], ()) == ("sentence 0", "sentence 1")


@pytest.mark.parametrize(
    ("changed", "is_said"),
    [
        ({"low": 66.0}, True),
        ({"low": 68.0}, True),
        ({"low": 68.1}, False),
        ({"low": None}, False),
        ({"majority": None}, False),
        ({"low": 66.0, "configuration": UNTRAINED}, False),
        ({"low": 66.0, "configuration": AS_GIVEN}, True),
        # A graver doubt is said in its place.
        ({"low": 0.0, "high": 9.0, "value": 5.0}, False),
    ],
)
def test_a_model_that_does_not_beat_the_majority_is_told_what_to_do(
    changed: dict[str, Any], is_said: bool
) -> None:
    first = scores(**changed).head(1)
    said = beside_baseline(first)
    assert bool(said) == is_said
    assert ("fine-tune longer (--epochs)" in said) == is_said
    if is_said:
        assert ending({"scores": first})[-1] == said


def test_what_was_cut_and_left_out_stands_once_and_last() -> None:
    notes = (
        "3 of 60 validation examples were cut to 128 tokens",
        "something else that was said before",
        "no example has what these measures look at, so they are left out: entropy",
        "5 of 90 training examples were cut to 128 tokens",
    )
    said = ending({"scores": scores()}, notes)
    assert said[-2] == (
        "No example has what these measures look at, so they are left out: entropy."
    )
    assert said[-1].startswith(
        "Texts were cut: 3 of 60 validation examples were cut to 128 tokens; 5 of 90 training"
    )
    assert "--max-length" in said[-1]
    assert "something else" not in " ".join(said)


def test_sentences_are_wrapped_on_a_terminal_and_what_is_pasted_is_not() -> None:
    sentence = "What was found is a long sentence with a-hyphenated-word and an interval."
    path = Path("/a/rather/long/path/that/does/not/fit/into/the/width/run")
    command = shlex.join(["headscope", "report", str(path), "--out", str(path / "report.html")])
    outcome = Outcome(path, (sentence,), command)
    piped = outcome.written(None).splitlines()
    assert piped == [sentence, f"results: {path}", f"next: {command}"]
    shown = outcome.written(40).splitlines()
    assert shown[-2:] == piped[-2:]
    assert max(map(len, shown[:-2])) <= 40
    assert " ".join(line.strip() for line in shown[:-2]) == sentence


def test_piped_output_is_a_line_per_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    sentence = "word " * 30 + "end"
    monkeypatch.setattr(cli, "app", lambda *_, **__: Outcome(Path("run"), (sentence,), "nothing"))
    assert cli.run([]) == 0
    assert capsys.readouterr().out.splitlines() == [sentence, "results: run", "next: nothing"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.run([]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 50 < len(sentence)
    assert shown[-2:] == ["results: run", "next: nothing"]
