"""The encoder of T5 and its kin, taken without the decoder: alone in the file, or beside one."""

# mypy: disable-error-code="no-untyped-call, union-attr"

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import families
import headscope
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.model.fingerprint import fingerprint
from headscope.model.loading import load

SIZES: dict[str, Any] = {
    "vocab_size": 131,
    "d_model": 20,
    "d_kv": 4,
    "num_heads": families.HEADS,
    "num_layers": families.LAYERS,
    "num_decoder_layers": 2,
    "d_ff": 23,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
LAYER = {
    "hidden_size": 20,
    "head_dim": 4,
    "num_attention_heads": families.HEADS,
    "num_key_value_heads": families.HEADS,
    "num_hidden_layers": families.LAYERS,
    "intermediate_size": 23,
    "vocab_size": 131,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "sliding_window": 6,
    "attn_logit_softcapping": None,
}
NESTED: dict[str, Any] = {
    "vocab_size": 131,
    "encoder": LAYER,
    "decoder": {**LAYER, "num_hidden_layers": 2, "layer_types": ["full_attention"] * 2},
}
FAMILIES = ("t5", "mt5", "umt5", "t5gemma")
TEXTS = ["The nurse thanked the pilot.", "Ah.", "No, it was the old pilot who thanked her in May!"]


def make(family: str, folder: Path, kind: str = "AutoModelForSeq2SeqLM") -> Path:
    """Write a tiny model of a family, saved by a class of transformers."""
    torch.manual_seed(17)
    sizes = NESTED if family == "t5gemma" else SIZES
    config = transformers.AutoConfig.for_model(family, **sizes)
    if kind == "AutoModelForTextEncoding":
        config.is_encoder_decoder = False
    getattr(transformers, kind).from_config(config).save_pretrained(folder)
    families.tokenizer().save_pretrained(folder)
    return folder


def rename(folder: Path, before: str, after: str) -> None:
    path = folder / "model.safetensors"
    tensors = {key.replace(before, after): value for key, value in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_encoder_alone_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    folder = make(family, tmp_path / "whole")
    model = load(folder)
    assert (model.layers, model.heads) == (families.LAYERS, families.HEADS)
    assert not model.has_head
    whole = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager")
    encoder = whole.get_encoder().eval()
    batch = model.tokenizer(TEXTS, padding=True, return_tensors="pt")
    real = batch["attention_mask"].bool()
    expected = encoder(**batch, output_attentions=True)
    maps: list[Tensor] = []
    with model.observed(lambda call: maps.append(call.maps)):
        states = model.hf(**batch)[0]
    torch.testing.assert_close(states[real], expected[0][real], atol=1e-5, rtol=1e-5)
    assert len(maps) == len(expected.attentions) == families.LAYERS
    for ours, theirs in zip(maps, expected.attentions, strict=True):
        rows = (ours - theirs).transpose(1, 2)[real]
        assert rows.abs().max() < 1e-6
    # A head that puts out 0 is a head whose columns of the projection are 0.
    name = "self_attn.o_proj" if family == "t5gemma" else "layer.0.SelfAttention.o"
    block = encoder.layers[1] if family == "t5gemma" else encoder.block[1]
    projection = block.get_submodule(name).weight
    assert torch.equal(model.projections[1].flatten(1), projection)
    projection[:, 3 * 4 : 4 * 4] = 0
    with model.disabled("L2H4", "zero") as edit:
        disabled = model.hf(**batch)[0]
    explicit = encoder(**batch)[0]
    torch.testing.assert_close(disabled[real], explicit[real], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(disabled[real], states[real], atol=1e-3)
    assert edit.change[Head(2, 4)] == pytest.approx(1)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_and_without_a_decoder_it_is_the_same_encoder(family: str, tmp_path: Path) -> None:
    whole = load(make(family, tmp_path / "whole"))
    count = sum("decoder." in key for key in load_file(tmp_path / "whole" / "model.safetensors"))
    (note,) = whole.notes
    assert f"is used alone: the {count} tensors of the decoder are not" in note
    # What transformers' own class saves of it.
    own = transformers.AutoModelForTextEncoding
    config = whole.hf.config
    alone = own.from_pretrained(tmp_path / "whole", config=config)
    alone.save_pretrained(tmp_path / "alone")
    whole.tokenizer.save_pretrained(tmp_path / "alone")
    model = load(tmp_path / "alone")
    assert model.notes == ()
    assert model.hash == whole.hash
    assert fingerprint(model) == fingerprint(whole)
    # A random one of the same shape.
    random = load(tmp_path / "whole", init="random")
    assert random.hash != whole.hash
    assert random.hf.state_dict().keys() == whole.hf.state_dict().keys()


HEADS = ("AutoModelForTokenClassification", "AutoModelForSequenceClassification")


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5"])
@pytest.mark.parametrize("kind", [*HEADS, "AutoModelForQuestionAnswering"])
def test_other_checkpoints_give_their_encoder(family: str, kind: str, tmp_path: Path) -> None:
    folder = make(family, tmp_path / "model", kind)
    model = load(folder)
    tensors = load_file(folder / "model.safetensors")
    for name, value in model.hf.state_dict().items():
        # The table of embeddings is saved once.
        saved = name.replace("encoder.embed_tokens", "shared")
        stored = tensors.get(saved, tensors.get(f"transformer.{saved}"))
        assert stored is not None
        assert torch.equal(stored, value)
    assert not model.trained_head
    assert "is not used: it is that of a" in model.notes[-1]
    assert "headscope puts no classifier on this encoder" in model.notes[-1]
    assert len(model.notes) == (1 if kind == HEADS[0] else 2)


def test_either_name_of_the_table_of_embeddings_is_read(tmp_path: Path) -> None:
    folder = make("t5", tmp_path / "model")
    expected = load(folder).hash
    rename(folder, "shared.weight", "encoder.embed_tokens.weight")
    assert load(folder).hash == expected
    rename(folder, "encoder.embed_tokens.weight", "lost.weight")
    with pytest.raises(HeadscopeError, match=r"lack \d of the \d+ tensors of the encoder"):
        load(folder)


@pytest.mark.parametrize("prefix", ["module.", "0.auto_model."])
def test_a_prefix_before_encoder_and_decoder_is_taken_off(prefix: str, tmp_path: Path) -> None:
    folder = make("t5", tmp_path / "model")
    before = load(folder)
    path = folder / "model.safetensors"
    tensors = {f"{prefix}{key}": value for key, value in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    model = load(folder)
    assert model.hash == before.hash
    assert f"the prefix {prefix!r} was taken from the names of {len(tensors)} " in model.notes[0]
    assert model.notes[1:] == before.notes


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_or_strange_tensor_of_the_encoder_is_named(family: str, tmp_path: Path) -> None:
    folder = make(family, tmp_path / "model")
    layers = "encoder.layers.1." if family == "t5gemma" else "encoder.block.1."
    rename(folder, layers, layers.replace("1", "7"))
    with pytest.raises(HeadscopeError, match=r"lack \d+ of the \d+ tensors of the encoder"):
        load(folder)


def test_layers_that_have_no_place_are_refused(tmp_path: Path) -> None:
    folder = make("t5", tmp_path / "model")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layers": 2}))
    with pytest.raises(HeadscopeError, match=r"hold \d+ tensors of the encoder .* no place for"):
        load(folder)


def test_scores_that_are_capped_are_refused(tmp_path: Path) -> None:
    folder = make("t5gemma", tmp_path / "model")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["encoder"]["attn_logit_softcapping"] = 50.0
    path.write_text(json.dumps(config))
    with pytest.raises(HeadscopeError, match=r"caps its attention scores \(attn_.* = 50\.0\)"):
        load(folder)


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_there_is_no_classifier_on_it(tmp_path: Path, init: Any) -> None:
    folder = make("t5", tmp_path / "model", "AutoModelForSequenceClassification")
    sentence = r"\(t5\) is the encoder of an encoder-decoder on which transformers puts no class"
    with pytest.raises(HeadscopeError, match=sentence):
        load(folder, labels=2, init=init)


def test_what_needs_no_classifier_works(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"task": "builtin", "examples": 8, "quiet": True}
    first, second = (make("t5", tmp_path / name) for name in ("first", "second"))
    headscope.measure(**asked, model=str(first), out=tmp_path / "measured")
    headscope.compare(**asked, before=str(first), after=str(second), out=tmp_path / "compared")
    relations = tmp_path / "own.tsv"
    rows = [f"The {who} thanked him.\t{who}\tthanked\tagent" for who in ("nurse", "pilot")]
    relations.write_text("\n".join(["sentence\tsource\ttarget\trelation", *rows]))
    headscope.relations(
        model=str(first), corpus=f"tsv:{relations}", out=tmp_path / "related", quiet=True
    )
    for command in (headscope.disable, headscope.finetune, headscope.study):
        with pytest.raises(HeadscopeError, match="puts no classifier: measure, compare and rel"):
            command(**asked, model=str(first), out=tmp_path / "refused")
