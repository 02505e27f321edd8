"""Checkpoints that are no text classifiers give their encoder, whole, and what is not used is named."""

# mypy: disable-error-code="no-untyped-call, union-attr"

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification

import families
import headscope
import zoo
from headscope.errors import HeadscopeError
from headscope.model.loading import load

KINDS = {
    "AutoModelForMaskedLM": "masked language modelling",
    "AutoModelForPreTraining": "pre-training",
    "AutoModelForTokenClassification": "token classification",
    "AutoModelForQuestionAnswering": "question answering",
    "AutoModelForMultipleChoice": "multiple choice",
    "AutoModelForNextSentencePrediction": "next-sentence prediction",
}


def has(family: str, kind: str) -> bool:
    return CONFIG_MAPPING[family] in getattr(transformers, kind)._model_mapping


# Of the families beside the first ones two kinds are enough: seconds are dear.
OF_ALL = ("AutoModelForMaskedLM", "AutoModelForTokenClassification")
CASES: list[tuple[str, str]] = []
for _family in zoo.CONFIGS:
    # Encoders that are taken without a decoder are in test_encoder_decoders.py.
    if not CONFIG_MAPPING[_family].is_encoder_decoder:
        _kinds = KINDS if _family in families.OWN else OF_ALL
        CASES += [(_family, kind) for kind in _kinds if has(_family, kind)]


def make(family: str, kind: str, folder: Path) -> Any:
    """Write a tiny checkpoint of a class of transformers; returns the model."""
    torch.manual_seed(17)
    sizes = {**families.SIZES, **zoo.CONFIGS[family], "num_labels": 2}
    given = {key: value for key, value in sizes.items() if value is not None}
    hf = getattr(transformers, kind).from_config(AutoConfig.for_model(family, **given))
    for module in hf.modules():
        # Zeros, with which some families begin, and with which no head does anything.
        if isinstance(module, nn.Linear) and module.weight.numel() and not module.weight.any():
            nn.init.normal_(module.weight, std=0.4)
    hf.save_pretrained(folder)
    families.tokenizer(family in families.TYPED).save_pretrained(folder)
    return hf


def check_encoder(loaded: Any, saved: Any) -> None:
    """All weights of the saved encoder are those of the loaded one, which may have a new pooler."""
    ours, theirs = loaded.base_model.state_dict(), saved.base_model.state_dict()
    both = ours.keys() & theirs.keys()
    assert all("pooler" in key for key in ours.keys() ^ theirs.keys())
    assert len(both) >= 20
    for key in both:
        assert torch.equal(ours[key], theirs[key])


def on_the_head(notes: tuple[str, ...]) -> str:
    """The note on the head; a family may have others."""
    (note,) = [note for note in notes if "it is that of a" in note]
    return note


# MobileBERT's head has a layer of no size where embeddings are as wide as states.
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_checkpoint_of_another_task_gives_its_encoder(
    family: str, kind: str, tmp_path: Path
) -> None:
    saved = make(family, kind, tmp_path)
    model = load(tmp_path)
    assert not model.trained_head
    check_encoder(model.hf, saved)
    base = f"{saved.base_model_prefix}."
    if all(key.startswith(base) for key in load_file(tmp_path / "model.safetensors")):
        # Its head is the embeddings again, and there is nothing that could be left out.
        assert (family, model.notes) == ("neomme", ())
        return
    note = on_the_head(model.notes)
    name = type(saved).__name__
    assert f"is not used: it is that of a {name}, for " in note
    has_classifier = zoo.has_classifier(family)
    follows = "disable and importance need a classifier: fine-tune it with headscope finetune"
    assert (follows if has_classifier else "headscope puts no classifier on this enc") in note
    # A pooler that the file does not have is said, one that it has is read.
    missing = model.hf.state_dict().keys() - saved.base_model.state_dict().keys()
    assert ("its pooler is not in the file and is new" in note) == bool(missing)
    assert model.new == missing
    if not has_classifier:
        with pytest.raises(
            HeadscopeError,
            match="is of a family (on which transformers puts no cl|whose classifier reads)",
        ):
            load(tmp_path, labels=2)
        return
    # What the other head learned is not in the new one, but for what the note says.
    tuned = load(tmp_path, labels=2)
    assert not tuned.trained_head
    check_encoder(tuned.hf, saved)
    before, after = saved.state_dict(), tuned.hf.state_dict()
    taken = []
    for key, value in after.items():
        is_compared = not key.startswith(base) and value.dim() > 1 and key in before
        if is_compared and torch.equal(value, before[key]):
            taken.append(key)
    assert all(key.split(".")[0] == "head" for key in taken)
    after_note = on_the_head(tuned.notes)
    assert ("tensors are used, as the beginning of a new classifier" in tuned.notes[0]) == bool(
        taken
    )
    assert "classifier is new" in after_note


def test_every_kind_and_many_families_are_tried() -> None:
    assert {kind for _, kind in CASES} == set(KINDS)
    assert len({family for family, _ in CASES}) >= 35


@pytest.mark.parametrize(
    ("family", "kind", "sentence"),
    [
        ("electra", "ElectraForPreTraining", "a ElectraForPreTraining, for replaced-token detection"),
        ("bert", "BertForPreTraining", "a BertForPreTraining, for pre-training"),
        *[("bert", kind.replace("Auto", "").replace("Model", "Bert"), f", for {task};")
          for kind, task in KINDS.items()],
    ],
)  # fmt: skip
def test_the_task_of_the_head_is_said(
    family: str, kind: str, sentence: str, tmp_path: Path
) -> None:
    make(family, f"AutoModelFor{kind.split('For')[1]}", tmp_path)
    assert sentence in on_the_head(load(tmp_path).notes)


@pytest.mark.parametrize("family", ["nomic_bert", "gte", "jina_embeddings_v3"])
@pytest.mark.parametrize("prefix", ["", "module.", "0.auto_model."])
def test_tensors_that_transformers_renames_are_found_behind_a_prefix(
    family: str, prefix: str, tmp_path: Path
) -> None:
    """Their files have the names of the code that the family was made from."""
    saved = make(family, "AutoModelForTokenClassification", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {f"{prefix}{key}": value for key, value in load_file(path).items()}
    assert not any(key.startswith(f"{prefix}{family}.layers") for key in tensors)
    save_file(tensors, path, {"format": "pt"})
    model = load(tmp_path)
    check_encoder(model.hf, saved)
    assert "for token classification" in on_the_head(model.notes)
    taken_off = [note for note in model.notes if "was taken from the names of" in note]
    assert len(taken_off) == bool(prefix)
    # A tensor of the encoder that the model has no place for is still one of the encoder.
    (first, *_) = [key for key in tensors if "layer" in key]
    tensors[first.replace(".0.", ".7.")] = tensors[first].clone()
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(HeadscopeError, match=r"hold \d tensors of the encoder"):
        load(tmp_path)


def test_a_head_that_is_not_in_the_file_is_not_spoken_of(tmp_path: Path) -> None:
    # As all-mpnet-base-v2: config.json names the class that the encoder was once loaded from.
    folder = families.make_encoder("bert", tmp_path / "model")
    configure(folder, architectures=["BertForMaskedLM"])
    assert load(folder).notes == ()


def test_a_pooler_that_is_not_in_the_file_is_said(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "model")
    path = folder / "model.safetensors"
    tensors = {key: value for key, value in load_file(path).items() if "pooler" not in key}
    save_file(tensors, path, {"format": "pt"})
    (note,) = load(folder).notes
    assert note.endswith("its pooler is not in the file and is new")


DEBERTA_V3 = {
    "cls.predictions.transform.dense": "lm_predictions.lm_head.dense",
    "cls.predictions.transform.LayerNorm": "lm_predictions.lm_head.LayerNorm",
    "cls.predictions.bias": "lm_predictions.lm_head.bias",
}


def test_deberta_v3_as_it_is_on_the_hub(tmp_path: Path) -> None:
    """Two heads of pre-training under names of their own, positions that it does not read, and no
    architectures.
    """
    config = AutoConfig.for_model("deberta-v2", **families.SIZES, position_biased_input=False)
    saved = transformers.AutoModelForMaskedLM.from_config(config)
    saved.save_pretrained(tmp_path)
    families.tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    for before, after in DEBERTA_V3.items():
        tensors = {key.replace(before, after): value for key, value in tensors.items()}
    for name, size in (("dense", 20), ("LayerNorm", 20), ("classifier", 1)):
        tensors[f"mask_predictions.{name}.weight"] = torch.ones(size)
        tensors[f"mask_predictions.{name}.bias"] = torch.ones(size)
    tensors["deberta.embeddings.position_embeddings.weight"] = torch.ones(149, 20)
    save_file(tensors, path, {"format": "pt"})
    configure(tmp_path, architectures=None)
    for labels in (None, 2):
        model = load(tmp_path, labels=labels)
        check_encoder(model.hf, saved)
        assert not model.trained_head
        (note,) = model.notes
        assert f"11 tensors in the weights of {tmp_path} are not used (first: lm_pred" in note
        assert "names no architectures" in note


@pytest.mark.parametrize("legacy", [True, False])
def test_deberta_takes_both_forms_of_its_head(legacy: bool, tmp_path: Path) -> None:
    config = AutoConfig.for_model("deberta-v2", **families.SIZES, legacy=legacy)
    saved = transformers.AutoModelForMaskedLM.from_config(config)
    saved.save_pretrained(tmp_path)
    families.tokenizer().save_pretrained(tmp_path)
    model = load(tmp_path)
    check_encoder(model.hf, saved)
    assert "it is that of a DebertaV2ForMaskedLM, for masked language modelling" in model.notes[0]


def test_the_classes_of_another_head_are_not_those_of_the_new_one(tmp_path: Path) -> None:
    make("bert", "AutoModelForTokenClassification", tmp_path)
    configure(tmp_path, id2label={"0": "O", "1": "B-PER"}, label2id={"O": 0, "B-PER": 1})
    config = load(tmp_path, labels=2).hf.config
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert config.num_labels == 2


def test_a_reranker_keeps_its_one_output(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model", labels=1)
    model = load(folder)
    assert model.trained_head
    assert model.notes == ()
    with pytest.raises(
        HeadscopeError, match="a classification head with 1 outputs, the task needs 2"
    ):
        load(folder, labels=2)


def test_of_two_classes_the_classifier_counts(tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model")
    trained: Any = load(folder).hf.classifier.weight
    configure(folder, architectures=["BertForMaskedLM", "BertForSequenceClassification"])
    model = load(folder, labels=2)
    assert model.trained_head
    classifier: Any = model.hf.classifier
    assert torch.equal(classifier.weight, trained)


def test_a_family_without_a_classifier_is_refused_by_name(tmp_path: Path) -> None:
    assert not has("splinter", AutoModelForSequenceClassification.__name__)
    folder = families.make_encoder("splinter", tmp_path / "splinter")
    with pytest.raises(
        HeadscopeError, match=r"\(splinter\) is of a family on which transformers puts"
    ):
        load(folder, labels=2)


def test_a_layer_that_was_trained_behind_the_encoder_is_said(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "model")
    kinds = ["Transformer", "Pooling", "Dense", "Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}",
         "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (note,) = load(folder).notes
    assert "the encoder is used and not what was trained on it: Dense (modules.json)" in note
    del modules[2]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert load(folder).notes == ()


def test_disable_says_to_fine_tune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("bert", "AutoModelForMaskedLM", tmp_path / "model")
    with pytest.raises(HeadscopeError, match="no classification head, .* headscope finetune"):
        headscope.disable(
            model=str(tmp_path / "model"), task="builtin", examples=8, out=tmp_path / "run"
        )
    assert "it is that of a BertForMaskedLM" in capsys.readouterr().err


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
