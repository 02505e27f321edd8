"""Where [CLS] and [SEP] stand: first, at the end as XLNet's, or nowhere as T5's."""

# mypy: disable-error-code="no-untyped-call, index"

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import families
import zoo
from headscope.errors import HeadscopeError, InterventionError
from headscope.examples import Split
from headscope.measures.base import MEASURES, Measure
from headscope.model import tokenizers
from headscope.model.check import head_does_not_read_padding
from headscope.model.encoding import encode
from headscope.model.layer_maps import LayerMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import batch_of, observe_batch

FIRST = ("The nurse thanked the pilot.", "Ah.", "Not in 1999!")
SECOND = ("The pilot was thanked.", "It was by the nurse, they say.", "No.")


def marked(marks: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A tiny BERT whose tokenizer marks texts in the way of another family, as if that were its
    own.
    """
    monkeypatch.setattr(tokenizers, "_CLS_NOT_FIRST", ("bert",))
    families.make_encoder("bert", folder)
    families.tokenizer(marks=marks).save_pretrained(folder)
    return load(folder)


def layers_of(
    model: Model, second: tuple[str, ...] | None
) -> tuple[list[list[str]], list[LayerMaps]]:
    """The tokens of each example, and the maps of the padded batch of all."""
    split = Split(FIRST, second, np.zeros(3, np.int64))
    encoded = encode(split, model.tokenizer)
    layers: list[LayerMaps] = []
    with torch.no_grad():
        inputs, batch = batch_of(encoded, [0, 1, 2], torch.device("cpu"))
        observe_batch(model, inputs, batch, layers.append)
    names = [
        list(model.tokenizer.convert_ids_to_tokens(row)) for row in encoded.columns["input_ids"]
    ]
    return names, layers


def value_of(name: str, maps: LayerMaps) -> Tensor:
    measure = MEASURES.get(name)
    assert isinstance(measure, Measure)
    return measure.update(maps)


@pytest.mark.parametrize("second", [None, SECOND])
@pytest.mark.parametrize("marks", ["bert", "xlnet"])
def test_attention_to_and_from_the_marks_by_hand(
    marks: str,
    second: tuple[str, ...] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = marked(marks, tmp_path, monkeypatch)
    assert not any("[CLS]" in note for note in model.notes)
    tokens, layers = layers_of(model, second)
    for maps in layers:
        for example, names in enumerate(tokens):
            count = len(names)
            place = names.index("<s>")
            assert place == (0 if marks == "bert" else count - 1)
            ends = [index for index, name in enumerate(names) if name == "</s>"]
            assert len(ends) == (1 if second is None else 2)
            square = maps.maps[example, :, :count, :count]
            received = square.mean(1)
            expected = {
                "attention_to_cls": received[:, place],
                "attention_to_sep": received[:, ends].amax(-1),
                "from_cls_to_cls": square[:, place, place],
                "from_cls_to_sep": square[:, place][:, ends].amax(-1),
            }
            for name, value in expected.items():
                torch.testing.assert_close(value_of(name, maps)[example], value)


def test_a_text_without_cls_has_no_value_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = marked("t5", tmp_path, monkeypatch)
    (note,) = [note for note in model.notes if "[CLS]" in note]
    assert note.endswith("so measures of attention to or from it have no value")
    tokens, layers = layers_of(model, SECOND)
    assert all("<s>" not in names for names in tokens)
    for maps in layers:
        for name in (
            "attention_to_cls",
            "from_cls_to_cls",
            "from_cls_to_sep",
            "norm_attention_to_cls",
        ):
            assert value_of(name, maps).isnan().all()
        for example, names in enumerate(tokens):
            ends = [index for index, name in enumerate(names) if name == "</s>"]
            received = maps.maps[example, :, : len(names)].mean(1)
            value = value_of("attention_to_sep", maps)[example]
            torch.testing.assert_close(value, received[:, ends].amax(-1))
    text_maps = model.maps(FIRST[0], SECOND[0])
    assert text_maps.special.count(True) == 2
    assert not text_maps.special[0]


def test_a_classifier_of_the_last_token_is_refused(tmp_path: Path) -> None:
    folder = zoo.folder_of("xlnet", tmp_path)
    with pytest.raises(
        HeadscopeError, match=r"\(xlnet\) is of a family whose classifier reads the"
    ):
        load(folder, labels=2)
    assert not load(folder).has_head


def test_a_head_that_reads_padding_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = torch.tensor([[1.0, -2.0]])
    head_does_not_read_padding(torch.tensor([[1.0001, -2.0], [5.0, 5.0]]), alone)
    for bad in (1.1, torch.nan):
        with pytest.raises(InterventionError, match="its classification head reads padding"):
            head_does_not_read_padding(torch.tensor([[bad, -2.0]]), alone)
    from transformers.models.bert.modeling_bert import BertPooler

    def last(self: BertPooler, states: Tensor) -> Tensor:
        pooled: Tensor = self.activation(self.dense(states[:, -1]))
        return pooled

    monkeypatch.setattr(BertPooler, "forward", last)
    with pytest.raises(
        InterventionError, match="failed the check at load: its classification head"
    ):
        load(tiny)
