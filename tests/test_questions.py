"""Answers to questions: every question by itself through plain transformers, and scores by slow forms."""

# mypy: disable-error-code="no-untyped-call"

import json
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForQuestionAnswering, BertConfig, BertModel

import families
import headscope
import squad
from headscope import HeadscopeError
from headscope.ablation.joined_scorer import scorer_of
from headscope.ablation.scorer import Scorer
from headscope.axes import Head
from headscope.examples import Answer, Question, Split
from headscope.model.classes import OF_QUESTIONS
from headscope.model.encoding import only
from headscope.model.loading import load
from headscope.model.questions import QuestionMarker
from headscope.model.span_scores import LONGEST, as_span_scores, best_spans
from headscope.model.token_marks import LABELS, Marked
from headscope.model.token_scores import mean_losses, second_halves
from headscope.model.windows import Windows
from headscope.stats.answers import rightness, true_labels, words_of
from headscope.stats.changes import resampled_changes
from headscope.stats.exchange import Outcomes, exchange
from headscope.stats.metrics import EXACT, METRICS, NO_LABEL
from headscope.tasks.own import Chosen
from headscope.tasks.questions import is_questions, read_questions
from headscope.training.objective import Objective

LENGTH = 48
"""So short that long texts have several windows."""


def folder_of(family: str, root: Path) -> Path:
    """A tiny random model with a head for questions."""
    made = families.make(family, root / "classifier")
    torch.manual_seed(3)
    model = AutoModelForQuestionAnswering.from_config(AutoConfig.from_pretrained(made))
    for parameter in model.parameters():
        # Else all outputs are nearly equal.
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(root / "model")
    families.tokenizer(family in families.TYPED).save_pretrained(root / "model")
    return root / "model"


def split_of(content: dict[str, Any], folder: Path) -> Split:
    """The texts and questions of a file, all of them."""
    path = folder / "validation.json"
    path.write_text(json.dumps(content))
    _, data = read_questions(str(folder), Chosen(), needs_train=False)
    path.unlink()
    return data.validation


def read(model: Any, split: Split, length: int = LENGTH, *, none: bool = False) -> Marked:
    return QuestionMarker(none).read(split, model.tokenizer, length, "texts")


def windows_of(marked: Marked) -> Windows:
    assert isinstance(marked.joining, Windows)
    return marked.joining


# ---- scores


def slow_words(text: str) -> list[str]:
    kept = ""
    for letter in text.lower():
        if letter not in string.punctuation:
            kept += letter
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def slow_scores(answer: str, true: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1, the largest over the true answers."""
    exact, best = 0.0, 0.0
    words = slow_words(answer)
    for one in map(slow_words, true):
        exact = max(exact, float(" ".join(words) == " ".join(one)))
        left = list(one)
        for word in words:
            if word in left:
                left.remove(word)
        shared = len(one) - len(left)
        if not words or not one:
            best = max(best, float(words == one))
        elif shared:
            precision, recall = shared / len(words), shared / len(one)
            best = max(best, 2 * precision * recall / (precision + recall))
    return exact, best


TEXTS = st.lists(
    st.sampled_from(["the", "a", "An", "green", "Green,", "park", "U.S.", "us", "'", "1871"]),
    max_size=6,
).map(" ".join)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_rightness_is_that_of_a_slow_form(answer: str, true: list[str]) -> None:
    found = rightness(answer, true)
    exact, f1 = slow_scores(answer, true)
    assert words_of(answer) == slow_words(answer)
    assert (found == EXACT) == (exact == 1)
    assert min(found, 1.0) == pytest.approx(f1)


def test_scores_worked_by_hand() -> None:
    """Two texts: one exact answer and one that shares 2 of its 3 words with a true one of 2, one that shares nothing."""
    true = (["Ada the nurse", "Ada"], ["the Green Park", "Park"], ["1871"])
    given_answers = ("ada, a nurse!", "green park gate", "1902")
    right = [rightness(answer, one) for answer, one in zip(given_answers, true, strict=True)]
    # 2 * (2/3 * 2/2) / (2/3 + 2/2)
    assert right == pytest.approx([EXACT, 0.8, 0.0])
    labels = true_labels([2, 1], 2)
    predictions = np.array([right[:2], [right[2], NO_LABEL]])
    assert METRICS["exact_match"].score(labels, predictions) == pytest.approx(100 / 3)
    assert METRICS["answer_f1"].score(labels, predictions) == pytest.approx(60)
    # Where there is no answer, only to give none is right.
    assert (rightness("", []), rightness("Oslo", []), rightness("", ["Oslo"])) == (EXACT, 0, 0)


def test_answers_are_tested_by_text_and_smoothed_by_whole_answers() -> None:
    """Right and wrong answers are tested as right and wrong tokens are, and F1 without other values as exact match."""
    rng = np.random.default_rng(0)
    labels = true_labels(rng.integers(1, 4, 40).tolist(), 3)
    is_asked = labels != NO_LABEL
    before, *after = (
        np.where(is_asked, EXACT * rng.integers(0, 2, labels.shape), NO_LABEL) for _ in range(4)
    )
    sets = np.stack(after)

    def of_tokens(values: np.ndarray) -> np.ndarray:
        return np.where(values == EXACT, 1, values).astype(np.int64)

    plain = (of_tokens(labels), of_tokens(before), of_tokens(sets))
    expected = exchange(Outcomes("token_accuracy", *plain), 1).changes
    of_words = resampled_changes("token_accuracy", plain[0], plain[1][None], plain[2][None], 2)
    drawn = resampled_changes("exact_match", labels, before[None], sets[None], 2)
    np.testing.assert_allclose(drawn.mean(1), of_words.mean(1), atol=0.5)
    np.testing.assert_allclose(drawn.std(1), of_words.std(1), rtol=0.1)
    for metric in ("exact_match", "answer_f1"):
        found = exchange(Outcomes(metric, labels, before, sets), 1).changes
        np.testing.assert_allclose(found, expected, atol=1e-9)
        again = resampled_changes(metric, labels, before[None], sets[None], 2)
        np.testing.assert_allclose(again, drawn, atol=1e-9)
    # Of many different values of F1, as many flips are added.
    partly = np.where(is_asked & (sets == 0), rng.random(sets.shape).round(3), sets)
    wide = resampled_changes("answer_f1", labels, before[None], partly[None], 2)
    assert wide.shape == drawn.shape
    assert np.isfinite(wide).all()


# ---- windows and answers, against plain transformers


def slow_best(
    start: Sequence[float], end: Sequence[float], context: Sequence[bool]
) -> tuple[float, int, int]:
    best = (-np.inf, 0, 0)
    for first in range(len(start)):
        for last in range(first, min(len(start), first + LONGEST)):
            score = start[first] + end[last]
            if context[first] and context[last] and score > best[0]:
                best = (score, first, last)
    return best


@pytest.mark.parametrize("length", [3, 29, 75])
def test_the_best_answer_is_that_of_a_loop(length: int) -> None:
    torch.manual_seed(length)
    start, end = torch.randn(2, 20, length)
    # Far from each other, so that the limit on the length matters.
    start[:, 0] += 3
    end[:, -1] += 3
    is_context = torch.rand(20, length) < 0.8
    is_context[:, 1] = True
    score, first, last = best_spans(start, end, is_context)
    for row in range(20):
        expected = slow_best(start[row].tolist(), end[row].tolist(), is_context[row].tolist())
        assert float(score[row]) == pytest.approx(expected[0], rel=1e-6)
        assert (int(first[row]), int(last[row])) == expected[1:]


class Plain:
    """A question by itself: the windows of the tokenizer, the model with its own loss, loops over all answers."""

    def __init__(self, folder: Path, tokenizer: Any, length: int, head: Head | None = None) -> None:
        loaded = AutoModelForQuestionAnswering.from_pretrained(folder, attn_implementation="eager")
        self.model: Any = loaded.eval()
        self.tokenizer, self.length = tokenizer, length
        if head is not None:
            width = loaded.config.hidden_size // loaded.config.num_attention_heads

            def zeroed(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
                states = given[0].clone()
                states[..., (head.head - 1) * width : head.head * width] = 0
                return (states,)

            layer = loaded.base_model.encoder.layer[head.layer - 1]
            layer.attention.output.dense.register_forward_pre_hook(zeroed)

    def windows(self, context: str, question: str) -> Any:
        room = (
            self.length - 3 - len(self.tokenizer(question, add_special_tokens=False)["input_ids"])
        )
        return self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=self.length,
            stride=min(128, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def asked(self, context: str, question: Question) -> tuple[str, float | None, float]:
        """The answer, its loss, and the smallest score of no answer."""
        given_windows = self.windows(context, question.text)
        best, answer, losses, none = -np.inf, "", [], []
        for window in range(len(given_windows["input_ids"])):
            inputs = {
                name: torch.tensor([given_windows[name][window]])
                for name in ("input_ids", "token_type_ids")
                if name in given_windows
            }
            offsets = given_windows["offset_mapping"][window]
            is_context = [one == 1 for one in given_windows.sequence_ids(window)]
            first, last = self.target(offsets, is_context, question.answers)
            ends = {"start_positions": torch.tensor([first]), "end_positions": torch.tensor([last])}
            with torch.no_grad():
                outputs = self.model(**inputs, **ends)
            if first or not question.answers:
                losses.append(float(outputs.loss))
            start, end = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
            none.append(start[0] + end[0])
            score, begin, stop = slow_best(start, end, is_context)
            if score > best:
                best, answer = score, context[offsets[begin][0] : offsets[stop][1]]
        loss = sum(losses) / len(losses) if losses else None
        return ("" if not question.answers and min(none) > best else answer), loss, min(none) - best

    @staticmethod
    def target(
        offsets: Sequence[tuple[int, int]], is_context: Sequence[bool], answers: Sequence[Answer]
    ) -> tuple[int, int]:
        """The first and the last token of the answer; [CLS] where the window does not have it whole."""
        places = [place for place, one in enumerate(is_context) if one]
        if not answers or offsets[places[0]][0] > answers[0].start:
            return 0, 0
        if offsets[places[-1]][1] < answers[0].end:
            return 0, 0
        first = max(place for place in places if offsets[place][0] <= answers[0].start)
        last = min(place for place in places if offsets[place][1] >= answers[0].end)
        return first, last


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("bert", None),
        ("bert", Head(1, 2)),
        ("bert", Head(3, 4)),
        ("roberta", None),
        ("distilbert", None),
        ("modernbert", None),
    ],
)
def test_answers_are_those_of_every_question_by_itself(
    family: str, head: Head | None, tmp_path: Path
) -> None:
    folder = folder_of(family, tmp_path)
    model = load(folder, head=OF_QUESTIONS)
    assert model.trained_head, model.notes
    split = split_of(squad.squad(8, seed=2), tmp_path)
    marked = read(model, split)
    windows = windows_of(marked)
    scorer = Scorer(as_span_scores(model), marked.encoded, "zero", batch_tokens=300)
    outputs = before = scorer.unchanged
    if head is not None:
        (result,) = scorer.score([("one", frozenset([head]))])
        assert result.activation_change > 0
        outputs = result.outputs
        assert np.abs(outputs - before).max() > 1e-3
        # The state is restored: another scorer finds what the first one did.
        again = Scorer(as_span_scores(model), marked.encoded, "zero", batch_tokens=300)
        np.testing.assert_array_equal(again.unchanged, before)
    assert scorer.way == "passes"
    joined = windows.joined(outputs)
    width = split.labels.shape[1]
    plain = Plain(folder, model.tokenizer, LENGTH, head)
    found = windows.answers(outputs)
    best = [windows._best(number, outputs)[0] for number in range(len(found))]
    # Some answers are in windows behind the first.
    assert any(window > first for window, first in zip(best, windows.first, strict=True))
    exact, f1 = [], []
    for number, (row, place) in enumerate(windows.places):
        question = windows.questions[number]
        answer, loss, _ = plain.asked(split.first[row], question)
        assert found[number] == answer
        assert loss is not None
        assert joined[row, place] == pytest.approx(loss, abs=1e-5, rel=1e-5)
        scores = slow_scores(answer, [one.text for one in question.answers])
        exact.append(scores[0])
        f1.append(scores[1])
        assert min(joined[row, width + place], 1) == pytest.approx(scores[1])
    predictions = second_halves(joined)
    for metric, expected in (("exact_match", exact), ("answer_f1", f1)):
        score = METRICS[metric].score(split.labels, predictions)
        assert score == pytest.approx(100 * np.mean(expected), abs=1e-5)
    counts = (split.labels != NO_LABEL).sum(1)
    np.testing.assert_allclose(mean_losses(joined), joined[:, :width].sum(1) / counts, rtol=1e-6)


@pytest.mark.parametrize("length", [40, LENGTH, 128])
def test_windows_are_those_of_a_fast_tokenizer(length: int, tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    model = load(folder, head=OF_QUESTIONS)
    split = split_of(squad.squad(6, fillings=4), tmp_path)
    windows = windows_of(read(model, split, length))
    plain = Plain(folder, model.tokenizer, length)
    expected = []
    for number, (row, _) in enumerate(windows.places):
        expected += plain.windows(split.first[row], windows.questions[number].text)["input_ids"]
    assert windows.encoded.columns["input_ids"] == expected
    assert any("several windows" in note for note in read(model, split, length).notes)
    # All of a text is in its windows, and every answer in one.
    for number, (row, _) in enumerate(windows.places):
        begin = int(windows.first[number])
        mine = range(begin, begin + windows._count(number))
        assert any(windows.has_answer[window] for window in mine)
        offsets = [windows.encoded.offsets[window][-2][1] for window in mine]
        assert offsets[-1] == len(split.first[row].rstrip())


def test_padding_and_batches_change_nothing(tmp_path: Path) -> None:
    model = load(folder_of("bert", tmp_path), head=OF_QUESTIONS)
    marked = read(model, split_of(squad.squad(6), tmp_path))
    scored: Any = as_span_scores(model).hf
    rows = range(len(marked.encoded))
    with torch.no_grad():
        together = scored(**marked.encoded.batch(rows, width=LENGTH + 9)).logits
        alone = [scored(**marked.encoded.batch([row])).logits for row in rows]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_an_answer_in_a_later_window_is_found_and_one_without_a_window_has_a_part(
    tmp_path: Path,
) -> None:
    model = load(folder_of("bert", tmp_path), head=OF_QUESTIONS)
    context = squad.FILLING * 2 + "Ada was in Oslo."
    long = context[10:-1]
    questions = (
        Question("late", "where", (Answer("Oslo", context.index("Oslo")),)),
        Question("long", "what", (Answer(long, 10),)),
    )
    split = Split((context,), None, true_labels([2], 2), questions=(questions,))
    marked = read(model, split, 40)
    windows = windows_of(marked)
    assert any("1 of 2 questions about texts no window has" in note for note in marked.notes)
    begin = int(windows.first[1])
    assert windows.has_answer[:begin].tolist() == [False] * (begin - 1) + [True]
    # Of the long answer one window has the loss, and in it every token is one of the answer.
    assert windows.has_answer[begin:].sum() == 1
    outputs = np.zeros((len(marked.encoded), 5), dtype=np.float32)
    outputs[:, 0] = np.arange(len(outputs))
    last = begin - 1
    places = [
        place
        for place, (start, end) in enumerate(marked.encoded.offsets[last])
        if end > context.index("Oslo") and start < context.index("Oslo") + 4
    ]
    outputs[last, 1:] = (1.0, 0.0, places[0] * 2.0**-13, places[-1] * 2.0**-13)
    assert windows.answers(outputs)[0] == "Oslo"
    joined = windows.joined(outputs)
    assert joined[0, 2] == EXACT
    assert joined[0, 0] == last


def test_no_answer_is_the_one_of_all_windows(tmp_path: Path) -> None:
    """As in SQuAD 2.0: [CLS] stands for it, in every window; it is given where even its lowest score is higher."""
    folder = folder_of("bert", tmp_path)
    model = load(folder, head=OF_QUESTIONS)
    split = split_of(squad.squad(9, seed=1, impossible=True), tmp_path)
    marked = read(model, split, none=True)
    windows = windows_of(marked)
    outputs = Scorer(as_span_scores(model), marked.encoded).unchanged
    plain = Plain(folder, model.tokenizer, LENGTH)
    joined = windows.joined(outputs)
    gaps = []
    for number, (row, place) in enumerate(windows.places):
        answer, loss, gap = plain.asked(split.first[row], windows.questions[number])
        gaps.append(gap)
        expected = "" if gap > 0 else answer
        assert windows.answers(outputs)[number] == expected
        assert joined[row, place] == pytest.approx(loss, abs=1e-5, rel=1e-5)
    # One window in which [CLS] has a high score does not, where another has a low one.
    several = next(number for number in range(len(gaps)) if windows._count(number) > 1)
    torn = outputs.copy()
    begin = int(windows.first[several])
    torn[begin : begin + 2, 2] = (1e3, -1e3)
    assert windows.answers(torn)[several] != ""
    # Higher scores of [CLS] make it the answer to all.
    outputs[:, 2] += max(0.0, -min(gaps)) + 1
    assert set(windows.answers(outputs)) == {""}
    none = [not question.answers for question in windows.questions]
    right = [
        windows.joined(outputs)[row, place + split.labels.shape[1]] for row, place in windows.places
    ]
    assert [one == EXACT for one in right] == none
    assert any("have no answer: to say so is right" in note for note in marked.notes)


def test_training_minimises_the_loss_of_transformers(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    model = load(folder, head=OF_QUESTIONS)
    model.hf.eval()
    split = split_of(squad.squad(3, impossible=True), tmp_path)
    (tmp_path / "squad.json").write_text(json.dumps(squad.squad(9)))
    task, _ = read_questions(str(tmp_path / "squad.json"), Chosen())
    marked = read(model, split, none=True)
    objective = Objective.of(model, task, marked.encoded, marked.split.labels, "fp32")
    loss = objective.add_gradients(list(range(len(marked.encoded))), 3)
    plain = Plain(folder, model.tokenizer, LENGTH)
    total = 0.0
    windows = windows_of(marked)
    for number, (row, _) in enumerate(windows.places):
        question = windows.questions[number]
        whole = plain.windows(split.first[row], question.text)
        for window, ids in enumerate(whole["input_ids"]):
            is_context = [one == 1 for one in whole.sequence_ids(window)]
            first, last = plain.target(
                whole["offset_mapping"][window], is_context, question.answers
            )
            of_window = plain.model(
                input_ids=torch.tensor([ids]),
                token_type_ids=torch.tensor([whole["token_type_ids"][window]]),
                start_positions=torch.tensor([first]),
                end_positions=torch.tensor([last]),
            ).loss / len(marked.encoded)
            of_window.backward()
            total += float(of_window.detach())
    assert loss == pytest.approx(total, rel=1e-5)
    expected = dict(plain.model.named_parameters())
    for name, parameter in model.hf.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-5, rtol=1e-4)


# ---- data


def test_files_tables_and_rows_in_memory_are_the_same_questions(tmp_path: Path) -> None:
    content = squad.squad(12, seed=4)
    of_rows = squad.rows(content)
    for name in ("json", "parquet", "jsonl"):
        (tmp_path / name).mkdir()
    (tmp_path / "json" / "train-v1.1.json").write_text(json.dumps(squad.squad(9)))
    (tmp_path / "json" / "dev-v1.1.json").write_text(json.dumps(content))
    pl.DataFrame(of_rows).write_parquet(tmp_path / "parquet" / "validation.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in of_rows)
    (tmp_path / "jsonl" / "validation.jsonl").write_text(lines)
    task, data = read_questions(str(tmp_path / "json"), Chosen())
    assert (task.name, task.metrics) == ("json", ("answer_f1", "exact_match"))
    questions = data.validation.questions
    assert questions is not None
    first = content["data"][0]["paragraphs"][0]
    assert data.validation.first[0] == first["context"]
    assert questions[0][0].id == first["qas"][0]["id"]
    assert len(data.train) > 0
    for name in ("parquet", "jsonl"):
        _, other = read_questions(str(tmp_path / name), Chosen(), needs_train=False)
        assert other.validation.questions == questions
        assert other.validation.first == data.validation.first
        np.testing.assert_array_equal(other.validation.labels, data.validation.labels)
    # Other answers are other data.
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"][:1] = [
        {"text": "In", "answer_start": first["context"].index("In")}
    ]
    (tmp_path / "json" / "dev-v1.1.json").write_text(json.dumps(content))
    assert read_questions(str(tmp_path / "json"), Chosen())[1].hash != data.hash


def test_what_is_questions_is_seen_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "squad").mkdir()
    (tmp_path / "squad" / "dev-v2.0.json").write_text(json.dumps(squad.squad(3)))
    (tmp_path / "rows.json").write_text(json.dumps([{"text": "paragraphs of qas", "label": 1}]))
    assert is_questions(str(tmp_path / "squad"))
    assert is_questions(str(tmp_path / "squad" / "dev-v2.0.json"))
    assert not is_questions(str(tmp_path / "rows.json"))
    assert not is_questions("mrpc")


# ---- commands


def learner(folder: Path) -> Path:
    """A small encoder with the weights that transformers would begin to train."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 4, "max_position_embeddings": 64, "vocab_size": 131}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    families.tokenizer(types=True).save_pretrained(folder)
    return folder


def easy(texts: int, seed: int) -> dict[str, Any]:
    """Texts of a few words, of which one is always the answer."""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for number in range(texts):
        words = rng.choice(["it", "was", "in", "by"], rng.integers(3, 8)).tolist()
        words[int(rng.integers(len(words)))] = "nurse"
        context = " ".join(words)
        answers = [{"text": "nurse", "answer_start": context.index("nurse")}]
        asked = [
            {"id": f"{seed}-{number}-{place}", "question": "who", "answers": answers}
            for place in range(1 + number % 2)
        ]
        paragraphs.append({"context": context, "qas": asked})
    return {"version": "1.1", "data": [{"title": "easy", "paragraphs": paragraphs}]}


def test_a_model_is_trained_on_questions_disabled_and_pruned(tmp_path: Path) -> None:
    task = tmp_path / "squad"
    task.mkdir()
    (task / "train.json").write_text(json.dumps(easy(80, 1)))
    (task / "validation.json").write_text(json.dumps(easy(30, 2)))
    common: dict[str, Any] = {"task": task, "precision": "fp32", "quiet": True}
    checkpoint = tmp_path / "ckpt"
    tuned = headscope.finetune(
        model=learner(tmp_path / "encoder"),
        lr=3e-3,
        epochs=6,
        batch_size=16,
        out=checkpoint,
        **common,
    )
    scores = {row["metric"]: row for row in tuned.table("scores").to_dicts()}
    assert scores["exact_match"]["value"] > 60
    assert scores["answer_f1"]["majority"] is None
    assert any("(--as qa)" in note for note in tuned.record.notes)
    run = headscope.disable(model=checkpoint, **common)
    table = run.table("disabled")
    assert table["metric"].unique(maintain_order=True).to_list() == ["answer_f1", "exact_match"]
    assert table["n"].unique().to_list() == [30]
    assert table.filter(metric="exact_match")["baseline"][0] == scores["exact_match"]["value"]
    assert (table["activation_change"] > 0).all()
    # The same numbers by the parts that make them.
    model = load(checkpoint, head=OF_QUESTIONS)
    split = read_questions(str(task), Chosen())[1].validation
    marked = read(model, split)
    scorer = scorer_of(
        Scorer(as_span_scores(model), marked.encoded, precision="fp32"), marked.joining
    )
    (result,) = scorer.score([("L1H1", frozenset([Head(1, 1)]))])
    row = table.filter(set="L1H1", metric="answer_f1").to_dicts()[0]
    value = METRICS["answer_f1"].score(split.labels, second_halves(result.outputs))
    assert row["value"] == pytest.approx(value)
    change = mean_losses(result.outputs) - mean_losses(scorer.unchanged)
    assert row["loss_change"] == pytest.approx(change.mean(), abs=1e-6)
    pairs = headscope.disable(model=checkpoint, heads="pairs", **common)
    assert pairs.table("interactions")["unit"][0] == "nats"
    shares = headscope.disable(model=checkpoint, heads="shapley:2", **common)
    assert shares.table("shapley").height == 8
    layers = headscope.disable(model=checkpoint, heads="layers", **common)
    assert layers.table("disabled").height == 4
    path = headscope.prune(model=checkpoint, keep="0.5", search_examples=60, **common)
    assert path.table("pruned")["metric"].unique().sort().to_list() == ["answer_f1", "exact_match"]
    assert any("answers to questions have no majority baseline" in one for one in run.findings)
    assert path.findings


def test_rows_in_memory_are_answered_by_a_model_for_questions(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    of_rows = squad.rows(squad.squad(14))
    common: dict[str, Any] = {"heads": "L1H1", "precision": "fp32", "quiet": True}
    runs = [
        headscope.disable(model=folder, task={"train": of_rows, "validation": of_rows}, **common)
    ]
    frame = pl.DataFrame(of_rows)
    runs.append(
        headscope.disable(model=folder, task={"train": frame, "validation": frame}, **common)
    )
    (tmp_path / "validation.json").write_text(json.dumps(squad.squad(14)))
    (tmp_path / "own").mkdir()
    (tmp_path / "validation.json").rename(tmp_path / "own" / "validation.json")
    runs.append(headscope.disable(model=folder, task=tmp_path / "own", **common))
    values = [run.table("disabled")["value"].to_list() for run in runs]
    assert values[0] == values[1] == values[2]
    assert any("answers questions: its answers are scored" in note for note in runs[0].record.notes)


def changed(**fields: Any) -> str:
    """A file whose first question is another."""
    content = squad.squad(6)
    content["data"][0]["paragraphs"][0]["qas"][0] |= fields
    return json.dumps(content)


REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "a model without the head": ("tiny", changed(), {}, "has no head that answers questions"),
    "an answer elsewhere": ("model", changed(id="here", answers=[{"text": "1999", "answer_start": 3}]), {}, "the question here has the answer '1999' at 3 of its context, and it stands nowhere in it"),
    "a place outside": ("model", changed(answers=[{"text": "I", "answer_start": 9999}]), {}, "'I' at 9999 of its context, and it stands at 0"),
    "a negative place": ("model", changed(answers=[{"text": ".", "answer_start": -1}]), {}, "at -1 of its context"),
    "an empty question": ("model", changed(question=" "), {}, "has no question (' ')"),
    "no answer": ("model", changed(id="bare", answers=[]), {}, "the question bare has no answer, and is not said to have none"),
    "no list of answers": ("model", changed(answers=None), {}, "is not in SQuAD's form"),
    "another form": ("model", '{"data": [{"paragraphs": [{"qas": 3}]}]}', {}, "is not in SQuAD's form"),
    "no question": ("model", '{"data": [{"paragraphs": [], "qas": []}]}', {}, "holds no question"),
    "broken": ("model", changed()[:-9], {}, "is not in SQuAD's form"),
    "a table of something else": ("model", '[{"text": "a", "label": 1}]', {"kind": "qa"}, "holds no questions: expected a file in SQuAD's form"),
    "columns": ("model", changed(), {"columns": ["context"]}, "--columns cannot be given with questions"),
    "windows without room": ("model", changed(), {"max_length": 4}, "4 tokens an example are too few"),
    "a pooling": ("model", changed(), {"pool": "cls"}, "--pool are of embeddings"),
    "classes": ("model", changed(), {"kind": "classification"}, "has questions about texts, whose answers finetune, disable, prune and study score"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_sentence(name: str, tiny: Path, tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    model, content, others, sentence = REFUSED[name]
    task = tmp_path / "own"
    task.mkdir()
    (task / "validation.json").write_text(content)
    asked: dict[str, Any] = {"model": tiny if model == "tiny" else folder, **others}
    with pytest.raises(HeadscopeError, match=re.escape(sentence)) as refused:
        headscope.disable(task=task, quiet=True, **asked)
    assert "\n" not in str(refused.value)


def test_questions_without_any_answer_are_refused(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    content = squad.squad(8, impossible=True)
    for article in content["data"]:
        for one in article["paragraphs"]:
            one["qas"] = [{**asked, "answers": [], "is_impossible": True} for asked in one["qas"]]
    (tmp_path / "none.json").write_text(json.dumps(content))
    with pytest.raises(HeadscopeError, match="no question of none.json that is to be scored has"):
        headscope.disable(model=folder, task=tmp_path / "none.json", quiet=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadscopeError, match="has no train file of questions"):
        headscope.finetune(model=folder, task=tmp_path / "empty", kind="qa", quiet=True)


def test_a_tokenizer_that_does_not_say_where_tokens_stand_is_refused(tmp_path: Path) -> None:
    model = load(folder_of("bert", tmp_path), head=OF_QUESTIONS)
    split = split_of(squad.squad(3), tmp_path)
    marked = read(model, split)
    assert len(marked.split) == len(split)

    class Unplaced:
        """A slow tokenizer whose tokens are not found in the text."""

        is_fast = False

        def __getattr__(self, name: str) -> Any:
            return getattr(model.tokenizer, name)

        def __call__(self, *texts: Any, **options: Any) -> Any:
            return model.tokenizer(*texts, **options)

        def tokenize(self, text: str) -> list[str]:
            return ["☃" for _ in model.tokenizer.tokenize(text)]

    with pytest.raises(HeadscopeError, match="take a model with a fast tokenizer"):
        QuestionMarker(False).read(split, Unplaced(), LENGTH, "texts")


def test_answers_without_a_token_are_left_out_and_counted(tmp_path: Path) -> None:
    model = load(folder_of("bert", tmp_path), head=OF_QUESTIONS)
    context = "the nurse \u200b was in"
    asked = (
        Question("dropped", "what", (Answer("\u200b", context.index("\u200b")),)),
        Question("kept", "who", (Answer("nurse", 4),)),
    )
    split = Split((context,), None, true_labels([2], 2), questions=(asked,))
    marked = read(model, split)
    assert marked.split.questions == ((asked[1],),)
    assert marked.split.labels.tolist() == [[EXACT, NO_LABEL]]
    assert "1 of 2 questions about texts the answer has no token: left out" in marked.notes[0]
    assert LABELS in only(marked.encoded, [0]).columns
    long = Split(
        (context,),
        None,
        true_labels([1], 1),
        questions=((Question("long", "who " * 60, asked[1].answers),),),
    )
    assert "were cut to leave half of a window to the text" in read(model, long).notes[-1]
