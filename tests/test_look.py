"""What `headscope look` shows of a text, against plain transformers with hooks of its own."""

# mypy: disable-error-code="no-untyped-call"

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import families
import headscope
from headscope import HeadscopeError, cli
from headscope.axes import Head, all_heads, head_set
from headscope.commands.session import aligned_words
from headscope.commands.settings import WordSource
from headscope.explorer import found as found_by_runs
from headscope.explorer.answers import Answer, Asked, answers, cosine
from headscope.explorer.found import heads_found
from headscope.explorer.live import MOST_CHARACTERS, Explorer, Request
from headscope.explorer.looked import Looked
from headscope.explorer.opening import Wanted, open_viewed
from headscope.explorer.pages import Beginning, live_parts, saved_page
from headscope.explorer.viewed import TextsAsked, Viewed
from headscope.model.loading import load
from headscope.results.tables import TABLES
from headscope.serving import LocalServer
from test_tokens import TAGS, folder_of, named

WORDS = partial(aligned_words, source=WordSource(words="plain"), quiet=True)
FIRST, SECOND = "The nurse thanked the pilot who was old.", "He was not it."
OFF = "L1H2,L2H1,L3H4"
WORD = "a word that the page knows"


def viewed_of(folder: Path, **wanted: Any) -> Viewed:
    return open_viewed(str(folder), Wanted(**wanted), WORDS)


def asked(first: str = FIRST, second: str = "", **more: Any) -> dict[str, Any]:
    return {"model": 0, "first": first, "second": second, **more}


class Plain:
    """A model of plain transformers whose heads are disabled by hooks on its linear layers."""

    def __init__(self, folder: Path, auto: Any, off: str, mode: str) -> None:
        self.model: Any = auto.from_pretrained(folder, attn_implementation="eager").eval()
        config = self.model.config
        self.width = config.hidden_size // config.num_attention_heads
        by_layer: dict[int, list[int]] = {}
        for head in head_set(off) if off else ():
            by_layer.setdefault(head.layer, []).append(head.head)
        for layer, heads in by_layer.items():
            attention = self.model.base_model.encoder.layer[layer - 1].attention
            values: list[Tensor] = []
            attention.self.value.register_forward_hook(partial(self._keep, values))
            hook = partial(self._replace, values, heads, mode)
            attention.output.dense.register_forward_pre_hook(hook)

    @staticmethod
    def _keep(values: list[Tensor], _module: nn.Module, _given: Any, output: Tensor) -> None:
        values[:] = [output]

    def _replace(
        self,
        values: list[Tensor],
        heads: list[int],
        mode: str,
        _module: nn.Module,
        given: tuple[Tensor, ...],
    ) -> tuple[Tensor]:
        states = given[0].clone()
        for head in heads:
            place = slice((head - 1) * self.width, head * self.width)
            # No text is padded: every token is real.
            even = values[0][..., place].mean(1, keepdim=True)
            states[..., place] = even if mode == "uniform" else 0
        return (states,)

    @torch.no_grad()
    def __call__(self, tokenizer: Any, *texts: str, **more: Any) -> Any:
        return self.model(**tokenizer(*texts, return_tensors="pt"), **more)


def both(folder: Path, auto: Any, off: str, mode: str) -> tuple[Plain, Plain]:
    return Plain(folder, auto, "", mode), Plain(folder, auto, off, mode)


def numbers(answer: Answer) -> dict[str, tuple[float, float]]:
    return {value.name: (value.before, value.after) for value in answer.values}


def stretched(folder: Path, auto: Any) -> Path:
    """A model whose weights are spread, so that its heads matter."""
    model = auto.from_pretrained(folder)
    torch.manual_seed(5)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = families.make("bert", tmp_path_factory.mktemp("look") / "bert", labels=3)
    return stretched(folder, AutoModelForSequenceClassification)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = families.make_encoder("bert", tmp_path_factory.mktemp("look") / "encoder")
    return stretched(folder, AutoModel)


# ---- what the model says


@pytest.mark.parametrize("mode", ["uniform", "zero"])
@pytest.mark.parametrize("texts", [(FIRST,), (FIRST, SECOND)])
def test_classes_are_those_of_plain_transformers(
    classifier: Path, texts: tuple[str, ...], mode: str
) -> None:
    viewed = viewed_of(classifier)
    assert viewed.kind == "classes"
    switched = Explorer([viewed]).switch(Request(asked(*texts, heads=OFF, mode=mode)))
    (answer,) = switched.answers
    whole, without = both(classifier, AutoModelForSequenceClassification, OFF, mode)
    tokenizer = viewed.model.tokenizer
    expected = [model(tokenizer, *texts).logits[0].softmax(-1) for model in (whole, without)]
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    for place, name in enumerate(viewed.model.classes):
        was, now = numbers(answer)[name]
        assert was == pytest.approx(float(expected[0][place]), abs=1e-5)
        assert now == pytest.approx(float(expected[1][place]), abs=1e-5)
    assert answer.before == viewed.model.classes[int(expected[0].argmax())]
    assert answer.after == viewed.model.classes[int(expected[1].argmax())]
    assert not switched.notes


@pytest.mark.parametrize("mode", ["uniform", "zero"])
def test_tags_are_those_of_plain_transformers(tmp_path: Path, mode: str) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    viewed = viewed_of(folder)
    assert viewed.kind == "tags"
    found = Explorer([viewed]).switch(Request(asked(heads=OFF, mode=mode))).answers
    whole, without = both(folder, AutoModelForTokenClassification, OFF, mode)
    was, now = (
        model(viewed.model.tokenizer, FIRST).logits[0].softmax(-1) for model in (whole, without)
    )
    assert len(found) == len(was) - 2
    for answer in found:
        assert answer.token is not None
        assert answer.before == TAGS[int(was[answer.token].argmax())]
        assert answer.after == TAGS[int(now[answer.token].argmax())]
        for tag, pair in numbers(answer).items():
            place = TAGS.index(tag)
            assert pair[0] == pytest.approx(float(was[answer.token, place]), abs=1e-5)
            assert pair[1] == pytest.approx(float(now[answer.token, place]), abs=1e-5)


def test_masked_tokens_are_guessed_as_by_plain_transformers(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForMaskedLM)
    viewed = viewed_of(folder)
    assert viewed.kind == "masks"
    # The tiny tokenizer's mask is a word.
    text = "The nurse thanked the pilot who was old."
    switched = Explorer([viewed]).switch(Request(asked(text, heads=OFF)))
    (answer,) = switched.answers
    whole, without = both(folder, AutoModelForMaskedLM, OFF, "uniform")
    tokenizer: Any = viewed.model.tokenizer
    place = tokenizer(text)["input_ids"].index(tokenizer.mask_token_id)
    assert answer.token == place
    was, now = (model(tokenizer, text).logits[0, place].softmax(-1) for model in (whole, without))
    likely = [*was.topk(5).indices.tolist(), *now.topk(5).indices.tolist()]
    assert set(numbers(answer)) == {viewed.outputs[token] for token in likely}
    names = tokenizer.convert_ids_to_tokens(list(range(len(viewed.outputs))))
    assert None in names
    for token, name in enumerate(names):
        assert viewed.outputs[token] == (name or f"unused {token}")
    for token in likely:
        pair = numbers(answer)[viewed.outputs[token]]
        assert pair == pytest.approx((float(was[token]), float(now[token])), abs=1e-5)
    unmasked = Explorer([viewed]).switch(Request(asked("The nurse was old.")))
    assert not unmasked.answers
    assert "write pilot in place of a word" in unmasked.notes[0]


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_cosines_are_those_of_plain_transformers(encoder: Path, pool: str) -> None:
    viewed = viewed_of(encoder, pool=pool, prompt="he: ")
    assert viewed.kind == "vectors"
    (answer,) = Explorer([viewed]).switch(Request(asked(FIRST, SECOND, heads=OFF))).answers
    vectors = []
    for model in both(encoder, AutoModel, OFF, "uniform"):
        for text in (FIRST, SECOND):
            states = model(viewed.model.tokenizer, f"he: {text}").last_hidden_state[0].double()
            vectors.append(states.mean(0) if pool == "mean" else states[0])
    cos = partial(torch.cosine_similarity, dim=0)
    expected = [
        (cos(vectors[0], vectors[1]), cos(vectors[2], vectors[3])),
        (torch.tensor(1.0), cos(vectors[0], vectors[2])),
        (torch.tensor(1.0), cos(vectors[1], vectors[3])),
    ]
    assert len(answer.values) == 3
    for value, (was, now) in zip(answer.values, expected, strict=True):
        assert value.before == pytest.approx(float(was), abs=1e-5)
        assert value.after == pytest.approx(float(now), abs=1e-5)
        assert value.name == "the two texts" or value.after < 0.9999
    (alone,) = Explorer([viewed]).switch(Request(asked(heads=OFF))).answers
    assert [value.name for value in alone.values] == ["the text and itself with all heads on"]
    # As in alike, which scores pairs.
    alike = headscope.alike(str(encoder), FIRST, SECOND, pool=pool, prompt="he: ")  # type: ignore[arg-type]
    for name, without in alike.select("set", "cosine").iter_rows():
        (one,) = Explorer([viewed]).switch(Request(asked(FIRST, SECOND, heads=name))).answers
        assert one.values[0].after == pytest.approx(without, abs=1e-5)


def test_scores_and_labels_of_which_any_number_holds(tmp_path: Path) -> None:
    scorer = stretched(
        families.make("bert", tmp_path / "score", labels=1), AutoModelForSequenceClassification
    )
    viewed = viewed_of(scorer)
    (answer,) = Explorer([viewed]).switch(Request(asked(heads=OFF))).answers
    whole, without = both(scorer, AutoModelForSequenceClassification, OFF, "uniform")
    expected = [float(model(viewed.model.tokenizer, FIRST).logits) for model in (whole, without)]
    assert (answer.unit, answer.before) == ("score", "")
    assert next(iter(numbers(answer).values())) == pytest.approx(tuple(expected), abs=1e-5)

    labels = families.make(
        "bert", tmp_path / "labels", labels=3, problem_type="multi_label_classification"
    )
    viewed = viewed_of(stretched(labels, AutoModelForSequenceClassification))
    assert viewed.kind == "labels"
    (answer,) = Explorer([viewed]).switch(Request(asked())).answers
    logits = Plain(labels, AutoModelForSequenceClassification, "", "zero")(
        viewed.model.tokenizer, FIRST
    ).logits[0]
    given = [viewed.model.classes[place] for place in torch.nonzero(logits > 0).flatten()]
    assert answer.before == (", ".join(given) or "none")
    assert {name: was for name, (was, _) in numbers(answer).items()} == pytest.approx(
        dict(zip(viewed.model.classes, logits.sigmoid().tolist(), strict=True)), abs=1e-5
    )


def test_many_classes_are_cut_and_counted() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=(2, 40))
    names = [f"class {number}" for number in range(40)]
    (answer,) = answers("classes", [before], [after], Asked(names, [[True]], [], 1))
    assert answer.left_out == 40 - len(answer.values)
    likely = {names[place] for order in (before, after) for place in np.argsort(-order)[:12]}
    assert {value.name for value in answer.values} == likely
    with pytest.raises(HeadscopeError, match="not finite"):
        answers("classes", [before], [after * np.nan], Asked(names, [[True]], [], 1))
    assert cosine(np.zeros(3), np.ones(3)) == 0.0


# ---- what is shown of the maps


def decoded(packed: Any) -> np.ndarray:
    import base64
    import zlib

    codes = np.frombuffer(zlib.decompress(base64.b64decode(packed.data)), np.uint8)
    layers, heads, queries, keys = packed.shape
    weights = np.asarray(packed.levels)[codes].reshape(layers, heads, keys, queries)
    map_: np.ndarray = weights.swapaxes(2, 3)[0, 0] / 255
    return map_


@pytest.mark.parametrize("state", ["given", "off"])
def test_a_map_is_that_of_plain_transformers(classifier: Path, state: str) -> None:
    viewed = viewed_of(classifier)
    explorer = Explorer([viewed])
    more = {"heads": OFF, "mode": "uniform", "state": state, "example": 0}
    off = OFF if state == "off" else ""
    plain = Plain(classifier, AutoModelForSequenceClassification, off, "uniform")
    expected = plain(viewed.model.tokenizer, FIRST, SECOND, output_attentions=True).attentions
    for name in ("L1H1", "L2H3", "L3H5"):
        packed = explorer.map(Request(asked(FIRST, SECOND, head=name, **more)))
        layer, head = Head.parse(name).index
        found = decoded(packed)
        assert np.abs(found - expected[layer][0, head].numpy()).max() <= 0.5 / 255 + 1e-6
    if state == "off":
        # Above the lowest heads that are off, maps change.
        whole = decoded(
            explorer.map(Request(asked(FIRST, SECOND, head="L3H5", **more | {"state": "given"})))
        )
        assert np.abs(found - whole).max() > 1 / 255


def test_measures_and_patterns_are_those_of_the_functions(classifier: Path) -> None:
    viewed = viewed_of(classifier)
    explorer = Explorer([viewed])
    # A text is read while nobody has switched a head off for good.
    explorer.switch(Request(asked(heads=OFF)))
    shown = explorer.show(Request(asked()))
    model = load(classifier)
    measures = headscope.head_measures(model, FIRST, words="plain")
    patterns = headscope.head_patterns(model, FIRST)
    for name, expected in (("heads", measures), ("patterns", patterns)):
        table = shown.payload.tables[name]
        assert table.height == expected.height
    values = shown.payload.tables["heads"].columns["value"]
    assert values == pytest.approx(measures["value"].to_list(), rel=1e-3, abs=1e-6)
    assert shown.payload.maps == ["given/0"]
    assert shown.payload.typical is not None


def test_what_a_reader_must_know_is_said(classifier: Path, encoder: Path) -> None:
    explorer = Explorer([viewed_of(classifier)])
    notes = explorer.show(Request(asked("Gnu thanked 🦌."))).notes
    assert any("[UNK] stands for what the tokenizer does not know: 1 of" in note for note in notes)
    assert any(
        "fewer than 5 tokens has no pattern" in n for n in explorer.show(Request(asked("he"))).notes
    )
    prompted = Explorer([viewed_of(encoder, prompt="he: ")])
    assert "'he: ' stands before every text" in prompted.show(Request(asked())).notes


def test_a_head_without_effect_is_named(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of which a head moves nothing is refused when it is loaded; a text may do so still."""

    @contextmanager
    def switched(_viewed: Viewed, _heads: str, _mode: str) -> Iterator[dict[Head, float]]:
        yield {Head(1, 2): 0.0, Head(2, 1): 0.5}

    explorer = Explorer([viewed_of(classifier)])
    monkeypatch.setattr(Viewed, "switched", switched)
    (note,) = explorer.switch(Request(asked(heads="L1H2,L2H1"))).notes
    assert note.startswith("switching off L1H2 changed nothing")


def test_a_second_model_may_have_other_heads(classifier: Path, tmp_path: Path) -> None:
    small = families.make("bert", tmp_path / "small", num_hidden_layers=1)
    explorer = Explorer([viewed_of(classifier), viewed_of(small)])
    switched = explorer.switch(Request({**asked(heads="L1H1,L3H2"), "model": 1}))
    assert switched.heads == "L1H1"
    assert switched.notes[0] == "the model has no L3H2: left out"


# ---- bad input


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (asked(" "), "the text is empty"),
        (asked("he " * 600), "a text has more than"),
        (asked(heads="L1H99,x"), "'x' is not a head"),
        (asked(heads="L0H1"), "counted from 1"),
        (asked(heads="L1H1", mode="mean"), "switched off by uniform or zero, not by 'mean'"),
    ],
)
def test_bad_requests_end_in_a_sentence(
    classifier: Path, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(HeadscopeError, match=sentence):
        Explorer([viewed_of(classifier)]).switch(Request(values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        asked() | {"model": -1},
        asked() | {"model": True},
        asked() | {"model": 7},
        asked() | {"first": 3},
        asked("x" * (MOST_CHARACTERS + 1)),
        asked() | {"heads": ["L1H1"]},
    ],
)
def test_what_is_no_request_is_refused(classifier: Path, values: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError, IndexError, TypeError)):
        Explorer([viewed_of(classifier)]).switch(Request(values))


def test_a_map_that_is_not_there_is_refused(classifier: Path) -> None:
    explorer = Explorer([viewed_of(classifier)])
    for example, head in ((1, "L1H1"), (0, "L9H1")):
        with pytest.raises(IndexError):
            explorer.map(Request(asked(state="given", example=example, head=head)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a", "b", "c"], "a text or a pair of texts, got 3"),
        (["a", "--head", "L1H1,L1H2"], "is the head that is shown large, one"),
        (["a", "--head", "L9H1"], "L9H1"),
        (["a", "--off", "L1H99"], "L1H99"),
        (["a", "--as", "tokens"], "has no token classification head (--as tokens)"),
        (["a", "--pool", "mean"], "add --as embedding"),
        ([" "], "the text is empty"),
        (["a", "--run", "nowhere"], "nowhere"),
        (["a", "--mode", "mean"], "mean"),
        (["a", "--port", "70000"], "port"),
    ],
)
def test_the_command_ends_in_a_sentence(
    classifier: Path,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.html"
    code = cli.run(["look", *arguments, "--model", str(classifier), "--out", str(page), "--quiet"])
    said = capsys.readouterr().err
    assert code == cli.MISTAKE
    assert sentence in said
    assert said.count("\n") == 1
    assert not page.exists()


def test_a_head_that_is_not_in_the_file_says_nothing(tmp_path: Path) -> None:
    """An embedder may name the class that it was pre-trained as, whose head its file lacks."""
    folder = families.make_encoder("bert", tmp_path / "bare")
    config = json.loads((folder / "config.json").read_text())
    for named_class, kind in (("BertForMaskedLM", "mlm"), ("BertForTokenClassification", "tokens")):
        (folder / "config.json").write_text(json.dumps({**config, "architectures": [named_class]}))
        assert viewed_of(folder).kind == "vectors"
        with pytest.raises(HeadscopeError, match="has no weights of a"):
            viewed_of(folder, kind=kind)


def test_a_head_that_is_not_looked_at_is_named(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "reader")
    viewed = viewed_of(folder)
    assert not any("is not looked at" in note for note in viewed.notes)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForQuestionAnswering"]
    (folder / "config.json").write_text(json.dumps(config))
    viewed = viewed_of(folder)
    assert viewed.kind == "vectors"
    assert any("(BertForQuestionAnswering) is not looked at" in note for note in viewed.notes)


def test_a_tagger_reads_one_text(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path, AutoModelForTokenClassification, **named(TAGS))
    with pytest.raises(HeadscopeError, match="every word of one text"):
        viewed_of(folder).read(TextsAsked(FIRST, SECOND))


# ---- pages


def test_a_file_holds_heads_and_layers_switched_off(classifier: Path) -> None:
    viewed = viewed_of(classifier)
    beginning = Beginning(TextsAsked(FIRST, SECOND), heads=OFF, mode="zero")
    page = saved_page([viewed], beginning)
    start = json.loads(page.split('id="start">')[1].split("</script>")[0])
    (saved,) = start["saved"]
    layers, heads = viewed.model.layers, viewed.model.heads
    assert len(saved["switched"]) == 1 + layers * heads + layers + 1
    explorer = Explorer([viewed])
    for names in ("", "L2H3", OFF, ",".join(f"L2H{head}" for head in range(1, heads + 1))):
        asked_again = Request(asked(FIRST, SECOND, heads=names, mode="zero"))
        (expected,) = explorer.switch(asked_again).answers
        (found,) = saved["switched"][names]["answers"]
        assert found["values"] == [vars(value) for value in expected.values]


def test_a_file_of_two_models_holds_the_heads_of_both(classifier: Path, tmp_path: Path) -> None:
    small = families.make("bert", tmp_path / "small", num_hidden_layers=1)
    models = [viewed_of(small), viewed_of(classifier)]
    page = saved_page(models, Beginning(TextsAsked(FIRST)))
    start = json.loads(page.split('id="start">')[1].split("</script>")[0])
    first, second = (saved["switched"] for saved in start["saved"])
    assert set(first) == set(second)
    assert "L3H4" in first
    assert first["L3H4"]["notes"][0] == "the model has no L3H4: left out"
    assert second["L3H4"]["heads"] == "L3H4"


HOSTILE = "</script><img src=x onerror=alert(1)> <!-- {{ start }} 'he' & it"


def test_texts_are_escaped(classifier: Path, tmp_path: Path) -> None:
    looked = Looked([viewed_of(classifier)], Beginning(TextsAsked(HOSTILE)))
    page = looked.page
    assert "<img" not in page
    assert page.count("</script>") == 2
    frame = looked._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert 'sandbox="allow-scripts allow-downloads"' in frame
    assert frame.count("<") == 2
    assert looked.save(tmp_path / "page.html").read_text("utf-8") == page
    with pytest.raises(HeadscopeError, match="is a folder"):
        looked.save(tmp_path)
    live = live_parts([viewed_of(classifier)], Beginning(TextsAsked(HOSTILE)), "token")
    assert "<img" not in live["/"].text


def test_the_function_takes_what_is_in_hand(classifier: Path, tmp_path: Path) -> None:
    model = headscope.load(classifier)
    looked = headscope.look(
        model, FIRST, SECOND, head="L2H3", off=["L1H2", Head(2, 1)], words="plain"
    )
    assert looked.beginning.heads == "L1H2,L2H1"
    assert looked.beginning.head == "L2H3"
    assert FIRST in repr(looked)
    for wrong, sentence in (
        (lambda: headscope.look(model, ["a", "b"]), "a text must be a text"),  # type: ignore[arg-type]
        (lambda: headscope.look(model, ""), "the text is empty"),
        (lambda: headscope.look(model, FIRST, mode="mean"), "mean"),
        (lambda: headscope.look(model, FIRST, off="L9H9"), "L9H9"),
        (lambda: headscope.look(3, FIRST), "model"),  # type: ignore[arg-type]
    ):
        with pytest.raises(HeadscopeError, match=sentence):
            wrong()


def test_what_a_run_found_can_be_switched_off(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"{FIRST} {number % 3}", number % 3) for number in range(24)]
    run = headscope.disable(model=str(classifier), task=rows, quiet=True)
    model = run.record.model
    disabled = run.table("disabled")
    # Two heads lower the score, and one raises it.
    lower, higher = ["L1H1", "L3H2"], ["L2H2"]
    changed = disabled.with_columns(
        p_corrected=pl.when(pl.col("set").is_in([*lower, *higher])).then(0.01).otherwise(0.9),
        delta=pl.when(pl.col("set").is_in(higher)).then(3.0).otherwise(-3.0),
    )
    kept = {
        2: "L1H1,L2H2",
        15: ",".join(str(head) for head in all_heads(model.layers, model.heads)),
    }
    values = {"metric": "accuracy", "value": 50.0}
    pruned = TABLES["pruned"].typed(
        pl.DataFrame(
            [
                {
                    "kept": count,
                    "removed": 15 - count,
                    "heads": names,
                    "chosen": count == 2,
                    **values,
                }
                for count, names in kept.items()
            ]
        )
    )
    assert [one.heads for one in heads_found(Path(run))] == []
    tables = {"disabled": changed}
    opened = SimpleNamespace(record=run.record, tables=tables)
    monkeypatch.setattr(found_by_runs, "open_run", lambda _: opened)
    assert [(one.title, one.heads) for one in heads_found(Path(run))] == [
        ("the 2 heads that lower accuracy when disabled alone", lower),
        ("the head that raises accuracy when disabled alone", higher),
    ]
    tables["pruned"] = pruned
    (first, *_) = heads_found(Path(run))
    assert first.title == "the 13 heads that go together best, which the run recommends"
    assert len(first.heads) == 13
    assert not {"L1H1", "L2H2"} & set(first.heads)
    monkeypatch.undo()
    other = headscope.measure(
        model=str(classifier), text=[FIRST], measures="entropy", words="plain", quiet=True
    )
    with pytest.raises(HeadscopeError, match="holds no heads that a run found"):
        heads_found(Path(other))


@contextmanager
def serving(models: list[Viewed], beginning: Beginning) -> Iterator[LocalServer]:
    parts = live_parts(models, beginning, WORD)
    most = 12 * 2 * MOST_CHARACTERS + 2**16
    server = LocalServer(parts, Explorer(models).answers, token=WORD, most_bytes=most)
    with closing(server):
        server.start()
        yield server


def post(server: LocalServer, path: str, values: Any, sent: str = WORD) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, json.dumps(values), {"X-Token": sent})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_the_server_answers_with_what_the_explorer_says(classifier: Path) -> None:
    viewed = viewed_of(classifier)
    with serving([viewed], Beginning(TextsAsked(FIRST))) as server:
        status, said = post(server, "/switch", asked(heads=OFF))
        assert status == 200
        (expected,) = Explorer([viewed]).switch(Request(asked(heads=OFF))).answers
        assert said["answers"][0]["values"] == [vars(value) for value in expected.values]
        assert post(server, "/switch", asked(" "))[0] == 400
        assert post(server, "/switch", asked(heads=OFF), sent="other")[0] == 403
        assert post(server, "/switch", [1])[0] == 400
        # Requests at once do not see each other's heads.
        found: dict[str, Any] = {}
        sets = ["", "L1H1", "L1H2,L2H2", OFF, "L3H1"] * 3

        def fetch(name: str, number: int) -> None:
            found[f"{name} {number}"] = post(server, "/switch", asked(heads=name))[1]

        threads = [
            threading.Thread(target=fetch, args=(name, number)) for number, name in enumerate(sets)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    explorer = Explorer([viewed])
    for number, name in enumerate(sets):
        (expected,) = explorer.switch(Request(asked(heads=name))).answers
        (one,) = found[f"{name} {number}"]["answers"]
        assert one["values"] == [vars(value) for value in expected.values]


def test_a_configuration_without_names_has_numbers(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "unnamed", labels=2)
    assert AutoConfig.from_pretrained(folder).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    (answer,) = Explorer([viewed_of(folder)]).switch(Request(asked())).answers
    assert set(numbers(answer)) == {"LABEL_0", "LABEL_1"}
