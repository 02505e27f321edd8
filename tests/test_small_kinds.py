"""Smaller taggers, readers and models of masked tokens: against plain transformers, and through `headscope prune`."""

# mypy: disable-error-code="no-untyped-call"

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    pipeline,
)

import headscope
import removals
import zoo
from families import HEAD_SIZE
from headscope import HeadscopeError
from headscope.axes import Head, head_set
from headscope.errors import InterventionError
from headscope.model.classes import OF_MASKED_TOKENS, OF_QUESTIONS, OF_TOKENS
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.reduced_files import REDUCED_WEIGHTS
from headscope.model.reduced_weights import reduced_copy
from headscope.model.removal import Removal
from headscope.model.span_scores import best_spans
from headscope.pruning import onnx
from headscope.pruning.full import write_full
from headscope.pruning.small import write_small
from headscope.tasks.base import Task
from headscope.tasks.own import Chosen
from headscope.tasks.questions import read_questions
from headscope.training.checkpoint import save_checkpoint
from test_onnx import needs_onnx
from test_questions import LENGTH, Plain, easy, slow_scores
from test_questions import learner as reader
from test_tokens import EASY, TAGS, folder_of, named, tag_of, write_task
from test_tokens import learner as tagger

KINDS: dict[str, tuple[Any, Any]] = {
    "tokens": (OF_TOKENS, AutoModelForTokenClassification),
    "qa": (OF_QUESTIONS, AutoModelForQuestionAnswering),
    "mlm": (OF_MASKED_TOKENS, AutoModelForMaskedLM),
}
FAMILIES = ("bert", "distilbert", "roberta", "mpnet", "modernbert")
TASKS = {
    "tokens": Task("own", ("words",), TAGS, ("token_accuracy",), of_tokens=True),
    "qa": Task("own", ("text",), (), ("answer_f1",), of_tokens=True, of_answers=True),
    "mlm": Task("own", ("text",), (), ("token_accuracy",), of_tokens=True),
}
SOME = removals.SETS["a whole layer"]


def model_of(kind: str, family: str, root: Path) -> Model:
    """A tiny random model with a head of this kind that knows its heads' means."""
    head, auto = KINDS[kind]
    changes = named(TAGS) if kind == "tokens" else {"num_labels": 2}
    model = load(folder_of(family, root, auto, **changes), device="cpu", head=head)
    model.measure_means([removals.batch_of(model)])
    return model


@torch.no_grad()
def put_out(hf: Any, batch: dict[str, Tensor]) -> Tensor:
    """Whatever a head says of real tokens, [token, output]."""
    outputs = hf(**batch)
    real = batch["attention_mask"].bool()
    if "start_logits" in outputs:
        return torch.stack([outputs.start_logits, outputs.end_logits], -1)[real]
    logits: Tensor = outputs.logits[real]
    return logits


CASES = [
    (kind, family, mode)
    for at, kind in enumerate(KINDS)
    for of, family in enumerate(FAMILIES)
    for by, mode in enumerate(removals.MODES)
    # Every family has every mode with one of the kinds, and BERT with all.
    if family == "bert" or (at + of + by) % 3 == 0
]


@pytest.mark.parametrize(("kind", "family", "mode"), CASES)
def test_checkpoints_put_out_what_the_disabled_model_does(
    kind: str, family: str, mode: Any, tmp_path: Path
) -> None:
    model = model_of(kind, family, tmp_path)
    head, auto = KINDS[kind]
    batch = removals.batch_of(model)
    whole = put_out(model.hf, batch)
    with model.disabled(SOME, mode=mode):
        expected = put_out(model.hf, batch)
    assert (expected - whole).abs().max() > 1e-2
    removal = Removal.of(model, SOME, mode)
    small = write_small(model, removal, TASKS[kind], tmp_path / "small").folder
    loaded = load(small, device="cpu", head=head)
    assert loaded.trained_head
    assert type(loaded.hf).__name__ == type(model.hf).__name__
    torch.testing.assert_close(put_out(loaded.hf, batch), expected, atol=1e-4, rtol=1e-4)
    # Whoever asks for no kind of head gets the one that is there.
    torch.testing.assert_close(
        put_out(headscope.load(small, device="cpu").hf, batch), put_out(loaded.hf, batch)
    )
    assert loaded.classes == model.classes
    save_checkpoint(loaded, TASKS[kind], tmp_path / "again")
    again = load(tmp_path / "again", device="cpu", head=head)
    assert torch.equal(put_out(again.hf, batch), put_out(loaded.hf, batch))
    first, second = (folder / REDUCED_WEIGHTS for folder in (small, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    if mode == "uniform" and family in ("mpnet", "modernbert"):
        return
    full = write_full(model, removal, TASKS[kind], tmp_path / "full").folder
    plain = auto.from_pretrained(full).eval()
    torch.testing.assert_close(put_out(plain, batch), expected, atol=1e-4, rtol=1e-4)
    assert plain.config.id2label == model.hf.config.id2label


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_head_is_one_of_which_the_output_projection_reads_nothing(
    kind: str, tmp_path: Path
) -> None:
    """Plain transformers with columns of the projections set to zero by hand."""
    model = model_of(kind, "bert", tmp_path)
    head, auto = KINDS[kind]
    plain = auto.from_pretrained(model.path).eval()
    with torch.no_grad():
        for one in SOME:
            projection = plain.base_model.encoder.layer[one.layer - 1].attention.output.dense
            projection.weight[:, (one.head - 1) * HEAD_SIZE : one.head * HEAD_SIZE] = 0
    batch = removals.batch_of(model)
    expected = put_out(plain, batch)
    removal = Removal.of(model, SOME, "zero")
    for writer, name in ((write_full, "full"), (write_small, "small")):
        loaded = load(
            writer(model, removal, TASKS[kind], tmp_path / name).folder, device="cpu", head=head
        )
        torch.testing.assert_close(put_out(loaded.hf, batch), expected, atol=1e-4, rtol=1e-4)


def test_a_matrix_that_a_head_shares_is_in_the_file_once(tmp_path: Path) -> None:
    model = model_of("mlm", "bert", tmp_path)
    removal = Removal.of(model, SOME, "zero")
    written = write_small(model, removal, TASKS["mlm"], tmp_path / "small")
    assert written.bytes < 4.5 * written.parameters + 20_000
    hf: Any = load(written.folder, device="cpu", head=OF_MASKED_TOKENS).hf
    embeddings = hf.get_input_embeddings().weight
    assert hf.get_output_embeddings().weight is embeddings
    # Half of the file is no file.
    from safetensors.torch import load_file, save_file

    tensors = load_file(written.folder / REDUCED_WEIGHTS)
    shared = next(name for name, tensor in tensors.items() if tensor.shape == embeddings.shape)
    del tensors[shared]
    save_file(tensors, written.folder / REDUCED_WEIGHTS, {"format": "pt"})
    with pytest.raises(HeadscopeError, match="cannot be loaded"):
        load(written.folder, head=OF_MASKED_TOKENS)


def code_of(card: Path) -> str:
    """What a card says about loading."""
    blocks = re.findall(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert len(blocks) == 1
    code: str = blocks[0].replace('"this folder"', repr(str(card.parent)))
    return code


def test_a_card_says_how_a_tagger_is_asked(tmp_path: Path) -> None:
    model = model_of("tokens", "bert", tmp_path)
    removal = Removal.of(model, SOME, "zero")
    small = write_small(model, removal, TASKS["tokens"], tmp_path / "small").folder
    full = write_full(model, removal, TASKS["tokens"], tmp_path / "full").folder
    for folder in (small, full):
        assert "pipeline_tag: token-classification\n" in (folder / "README.md").read_text()
    values: dict[str, Any] = {}
    exec(code_of(small / "README.md"), values)  # noqa: S102
    plain: dict[str, Any] = {}
    exec(code_of(full / "README.md"), plain)  # noqa: S102
    text = "the nurse was not by it"
    make: Any = pipeline
    of_full = make("token-classification", model=plain["model"], tokenizer=model.tokenizer)
    found, expected = values["tag"](text), of_full(text)
    assert [one["entity"] for one in found] == [one["entity"] for one in expected]
    assert {one["entity"] for one in found} <= set(TAGS)
    assert len(found) > 5


def test_a_card_says_how_a_reader_is_asked(tmp_path: Path) -> None:
    model = model_of("qa", "bert", tmp_path)
    removal = Removal.of(model, SOME, "zero")
    small = write_small(model, removal, TASKS["qa"], tmp_path / "small").folder
    full = write_full(model, removal, TASKS["qa"], tmp_path / "full").folder
    assert "pipeline_tag: question-answering\n" in (small / "README.md").read_text()
    assert "AutoModelForQuestionAnswering" in (full / "README.md").read_text()
    plain: dict[str, Any] = {}
    exec(code_of(full / "README.md"), plain)  # noqa: S102
    is_backward = []
    for text in ("the nurse was by it", "it was not by the nurse", "the pilot " * 25):
        values: dict[str, Any] = {"question": "who", "text": text}
        exec(code_of(small / "README.md"), values)  # noqa: S102
        batch = model.tokenizer("who", text, return_tensors="pt")
        with torch.no_grad():
            outputs = plain["model"].eval()(**batch)
        is_text = torch.tensor([[number == 1 for number in batch.sequence_ids(0)]])
        _, first, last = best_spans(outputs.start_logits, outputs.end_logits, is_text)
        assert (values["first"], values["last"]) == (first, last)
        assert isinstance(values["answer"], str)
        is_backward.append(bool(outputs.start_logits.argmax() > outputs.end_logits.argmax()))
    # The best first and the best last token, each by itself, are no span at least once.
    assert any(is_backward)


def test_a_small_model_is_not_taken_for_one_of_another_kind(tmp_path: Path) -> None:
    model = model_of("tokens", "bert", tmp_path)
    small = write_small(
        model, Removal.of(model, SOME, "zero"), TASKS["tokens"], tmp_path / "small"
    ).folder
    with pytest.raises(HeadscopeError, match="has no classification head, and some of its heads"):
        load(small, labels=4)
    with pytest.raises(HeadscopeError, match="has no head for question answering, and some"):
        load(small, labels=2, head=OF_QUESTIONS)
    assert not load(small, head=OF_QUESTIONS).trained_head
    write_task(tmp_path / "task", EASY)
    with pytest.raises(HeadscopeError, match="can be neither seen nor disabled"):
        headscope.disable(model=small, task=tmp_path / "task", quiet=True)


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_puts_out_the_same(kind: str, tmp_path: Path) -> None:
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    model = model_of(kind, "bert", tmp_path)
    removal = Removal.of(model, SOME, "uniform")
    folder = write_small(model, removal, TASKS[kind], tmp_path / "small").folder
    small = load(folder, device="cpu", head=KINDS[kind][0])
    path = onnx.write_onnx(small, folder)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = removals.batch_of(small, ["the nurse.", "on " * 40])
    names = list(KINDS[kind][0].outputs)
    found = session.run(names, {name: values.numpy() for name, values in batch.items()})
    real = batch["attention_mask"].bool().numpy()
    with torch.no_grad():
        outputs = small.hf(**batch)
    for name, values in zip(names, found, strict=True):
        np.testing.assert_allclose(values[real], outputs[name].numpy()[real], atol=1e-4)
    # Wrong for the last output alone.
    changed = copy.copy(small)
    changed.hf = copy.deepcopy(small.hf)
    bias = [*changed.hf.parameters()][-1]
    with torch.no_grad():
        bias[-1] += 0.1
    with pytest.raises(HeadscopeError, match="puts out something else than the model"):
        onnx.check_file(changed, path, [batch])


# ---- the command


def right_tags(hf: Any, tokenizer: Any) -> float:
    """The score of a tagger, sentence by sentence, in points."""
    right = total = 0
    for words in EASY:
        given = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            answers = hf.eval()(**given).logits[0].argmax(-1).tolist()
        numbers = given.word_ids()
        for place, number in enumerate(numbers):
            if number is not None and number not in numbers[:place]:
                total += 1
                right += hf.config.id2label[answers[place]] == tag_of(words[number])
    return 100 * right / total


def test_a_tagger_is_written_without_heads_repaired_and_trained_on(
    tiny: Path, tmp_path: Path
) -> None:
    write_task(tmp_path / "task", EASY)
    common: dict[str, Any] = {"task": tmp_path / "task", "precision": "fp32", "quiet": True}
    checkpoint = tmp_path / "ckpt"
    # Two epochs: a model that errs.
    headscope.finetune(
        model=tagger(tiny, tmp_path / "encoder"), epochs=2, lr=3e-3, out=checkpoint, **common
    )
    out = tmp_path / "run"
    run = headscope.prune(
        model=checkpoint,
        keep="0.25",
        search_examples=50,
        mode="mean",
        repair=True,
        finetune=1,
        out=out,
        **common,
    )
    table = run.table("pruned").filter("chosen")
    assert table["repair"].to_list() == ["none", "refit", "fine-tuned"]
    assert table["metric"].unique().to_list() == ["token_accuracy"]
    rows = {row["repair"]: row for row in table.to_dicts()}
    tokenizer = load(tiny).tokenizer
    plain = AutoModelForTokenClassification.from_pretrained(out / "full")
    scores = {
        "full": right_tags(plain, tokenizer),
        "small": right_tags(headscope.load(out / "small").hf, tokenizer),
        "tuned": right_tags(headscope.load(out / "tuned").hf, tokenizer),
    }
    assert scores["full"] == pytest.approx(rows["refit"]["value"])
    assert scores["small"] == pytest.approx(rows["refit"]["value"])
    assert scores["tuned"] == pytest.approx(rows["fine-tuned"]["value"])
    assert len({row["loss"] for row in rows.values()}) == 3
    sizes = run.table("sizes")
    assert sizes["heads_kept"].unique().to_list() == [2]
    assert (sizes["parameters"] < sizes["parameters_whole"]).all()
    for name, row in (("full", rows["refit"]), ("tuned", rows["fine-tuned"])):
        card = (out / name / "README.md").read_text()
        cost = f"| token\\_accuracy | {row['baseline']:.2f} | {row['value']:.2f} | "
        assert "| sentences | unit |" in card
        assert cost in card
    # Nothing is written twice for a run that is whole.
    before = (out / "small" / REDUCED_WEIGHTS).stat().st_mtime_ns
    headscope.prune(
        model=checkpoint,
        keep="0.25",
        search_examples=50,
        mode="mean",
        repair=True,
        finetune=1,
        out=out,
        **common,
    )
    assert (out / "small" / REDUCED_WEIGHTS).stat().st_mtime_ns == before


def test_a_reader_is_written_without_heads_repaired_and_trained_on(tmp_path: Path) -> None:
    task = tmp_path / "squad"
    task.mkdir()
    (task / "train.json").write_text(json.dumps(easy(80, 1)))
    (task / "validation.json").write_text(json.dumps(easy(30, 2)))
    common: dict[str, Any] = {"task": task, "precision": "fp32", "quiet": True}
    checkpoint = tmp_path / "ckpt"
    headscope.finetune(
        model=reader(tmp_path / "encoder"),
        lr=3e-3,
        epochs=4,
        batch_size=16,
        out=checkpoint,
        **common,
    )
    out = tmp_path / "run"
    run = headscope.prune(
        model=checkpoint,
        keep="0.25",
        search_examples=60,
        repair=True,
        finetune=1,
        out=out,
        **common,
    )
    table = run.table("pruned").filter("chosen")
    split = read_questions(str(task), Chosen())[1].validation
    assert split.questions is not None
    refit = table.filter(repair="refit")
    loaded = load(out / "full", head=OF_QUESTIONS)
    asked = Plain(out / "full", loaded.tokenizer, LENGTH)
    small = headscope.load(out / "small")
    for hf in (asked.model, small.hf):
        asked.model = hf
        exact, f1 = [], []
        for text, questions in zip(split.first, split.questions, strict=True):
            for question in questions:
                answer, _, _ = asked.asked(text, question)
                scores = slow_scores(answer, [one.text for one in question.answers])
                exact.append(scores[0])
                f1.append(scores[1])
        for metric, values in (("exact_match", exact), ("answer_f1", f1)):
            expected = refit.filter(metric=metric)["value"][0]
            assert 100 * np.mean(values) == pytest.approx(expected, abs=1e-5)
    assert table["loss"].n_unique() == 3
    assert run.table("sizes")["heads_kept"].unique().to_list() == [2]
    card = (out / "small" / "README.md").read_text()
    assert r"| answer\_f1 | " in card
    assert r"| exact\_match | " in card
    assert "| texts | unit |" in card
    assert headscope.load(out / "tuned").classes == load(checkpoint, head=OF_QUESTIONS).classes


def test_a_model_of_masked_tokens_is_written_and_not_trained(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "train.txt").write_text("\n".join(map(" ".join, EASY)))
    (texts / "dev.txt").write_text("\n".join(map(" ".join, EASY[:20])))
    asked: dict[str, Any] = {
        "model": folder,
        "task": texts,
        "kind": "mlm",
        "keep": "0.5",
        "search_examples": 50,
        "precision": "fp32",
        "quiet": True,
        "out": tmp_path / "run",
    }
    with pytest.raises(HeadscopeError, match="--finetune trains on labels, and masked tokens"):
        headscope.prune(finetune=1, **asked)
    run = headscope.prune(repair=True, **asked)
    plain = AutoModelForMaskedLM.from_pretrained(run.path / "full").eval()
    small = headscope.load(run.path / "small")
    batch = removals.batch_of(small)
    torch.testing.assert_close(
        put_out(small.hf, batch), put_out(plain, batch), atol=1e-4, rtol=1e-4
    )
    assert run.table("sizes")["batch"].unique().to_list() == [1]


def test_a_family_whose_heads_stay_is_written_full_alone(tmp_path: Path) -> None:
    folder = folder_of("deberta-v2", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    write_task(tmp_path / "task", EASY)
    model = load(folder, head=OF_TOKENS)
    # The labels are what the model says, so that there is something to lose.
    lines = []
    for words in EASY:
        given: Any = model.tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            said = model.hf(**given).logits[0].argmax(-1).tolist()
        numbers = given.word_ids()
        firsts = [numbers.index(number) for number in range(len(words))]
        pairs = zip(words, firsts, strict=True)
        lines.append("".join(f"{word}\t{TAGS[said[place]]}\n" for word, place in pairs))
    for split in ("train", "validation"):
        (tmp_path / "task" / f"{split}.conll").write_text("\n".join(lines))
    common: dict[str, Any] = {
        "model": folder,
        "task": tmp_path / "task",
        "keep": "0.5",
        "search_examples": 50,
        "precision": "fp32",
        "quiet": True,
    }
    with pytest.raises(HeadscopeError, match="--finetune and --onnx are of the checkpoint small"):
        headscope.prune(finetune=1, **common)
    run = headscope.prune(**common)
    assert any("there is no checkpoint small" in note for note in run.record.notes)
    assert (run.path / "full").is_dir()
    assert not (run.path / "small").exists()
    chosen = run.table("pruned").filter("chosen").to_dicts()[0]
    kept = head_set(chosen["heads"])
    plain = AutoModelForTokenClassification.from_pretrained(run.path / "full").eval()
    batch = removals.batch_of(model)
    gone = [Head(layer, head) for layer in range(1, 4) for head in range(1, 6)]
    with model.disabled([one for one in gone if one not in kept], mode="zero"):
        expected = put_out(model.hf, batch)
    torch.testing.assert_close(put_out(plain, batch), expected, atol=1e-4, rtol=1e-4)


def test_an_embedder_has_no_head_to_repair(tmp_path: Path) -> None:
    folder = zoo.folder_of("bert", tmp_path / "made")
    asked: dict[str, Any] = {"task": "builtin", "kind": "embedding", "pool": "mean", "repair": True}
    with pytest.raises(HeadscopeError, match="are of models with a head: leave them out for"):
        headscope.prune(model=folder, quiet=True, **asked)


def test_wrong_ends_of_answers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head whose second output alone is another."""
    model = model_of("qa", "bert", tmp_path)

    def changed(whole: Model, removal: Removal) -> Any:
        hf: Any = reduced_copy(whole, removal)
        with torch.no_grad():
            hf.qa_outputs.weight[1] *= 1.01
        return hf

    monkeypatch.setattr("headscope.pruning.small.reduced_copy", changed)
    with pytest.raises(InterventionError, match="puts out something else than the model"):
        write_small(model, Removal.of(model, SOME, "zero"), TASKS["qa"], tmp_path / "small")
    assert not (tmp_path / "small").exists()
