"""Configurations that say more than a text encoder's: parts for pictures, languages, another code's words."""

# mypy: disable-error-code="no-untyped-call, union-attr"

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, NomicBertConfig

import families
import zoo
from headscope.errors import HeadscopeError
from headscope.model.config import read_config
from headscope.model.families import FAMILIES
from headscope.model.loading import load


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | values))


def save(config: Any, folder: Path) -> Path:
    torch.manual_seed(17)
    AutoModel.from_config(config).save_pretrained(folder)
    families.tokenizer().save_pretrained(folder)
    return folder


@torch.no_grad()
def test_of_a_model_with_parts_for_pictures_the_encoder_of_texts_is_built(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "embedding_gemma2", text_config=zoo.GEMMA, vision_config=zoo.PICTURES
    )
    folder = save(config, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    towers = [key for key in tensors if "vision" in key]
    assert towers
    model = load(folder)
    assert (model.layers, model.heads, model.max_length) == (families.LAYERS, families.HEADS, 41)
    parts, unused = model.notes
    assert "which reads pictures beside texts, only the encoder of texts is built" in parts
    assert f"{len(towers)} tensors in the weights" in unused
    whole = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = model.tokenizer(["the nurse", "the pilot who was in it"], padding=True)
    batch = batch.convert_to_tensors("pt")
    real = batch["attention_mask"].bool()
    expected = whole(**batch, output_attentions=True)
    maps: list[Tensor] = []
    with model.observed(lambda call: maps.append(call.maps)):
        states = model.hf(**batch)[0]
    torch.testing.assert_close(states[real], expected[0][real], atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(maps, expected.attentions, strict=True):
        assert (ours - theirs).transpose(1, 2)[real].abs().max() < 1e-6
    # Heads are of size 4 and 8.
    assert [weight.shape[2] for weight in model.projections] == [4, 8, 8]
    with pytest.raises(HeadscopeError, match="differ in size from layer to layer, and their mean"):
        model.measure_means([dict(batch)])
    assert len(model.layer_modules) == families.LAYERS
    # There is no classifier of this family.
    with pytest.raises(HeadscopeError, match="of a family on which transformers puts no classif"):
        load(folder, labels=2)


@pytest.mark.parametrize("family", ["modernvbert", "ultravbert", "clip", "bridgetower"])
def test_models_that_cannot_be_without_pictures_are_refused(tmp_path: Path, family: str) -> None:
    configure(tmp_path, model_type=family)
    sentence = rf"\({family}\) reads pictures beside texts \(vision_config in its config.json\)"
    with pytest.raises(HeadscopeError, match=sentence):
        load(tmp_path)


def test_sounds_are_named(tmp_path: Path) -> None:
    configure(tmp_path, model_type="clap")
    with pytest.raises(HeadscopeError, match=r"\(clap\) reads sounds beside texts \(audio_config"):
        load(tmp_path)


def test_every_family_of_transformers_is_taken_or_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration of 500 families, with nothing but its name: seconds, and each is read in its own way."""

    def stop(*_: object) -> None:
        raise HeadscopeError("taken")

    monkeypatch.setattr("headscope.model.loading._tokenizer", stop)
    outcomes: dict[str, str] = {}
    for family in CONFIG_MAPPING:
        configure(tmp_path, model_type=family)
        with pytest.raises(HeadscopeError) as error:
            load(tmp_path)
        outcomes[family] = str(error.value)
    taken = {family for family, sentence in outcomes.items() if sentence == "taken"}
    # Without a language X-MOD is not taken, and Gemma 3 is a decoder unless it says otherwise.
    assert set(FAMILIES.names()) - taken == {"xmod", "gemma3_text"}
    assert not taken & {"gpt2", "llama", "bart", "clip", "whisper", "musicgen", "fnet", "t5gemma"}


@pytest.fixture
def xmod(tmp_path: Path) -> Path:
    languages = {"languages": ["en_XX", "de_DE"], "default_language": "de_DE"}
    return families.make_encoder("xmod", tmp_path / "xmod", type_vocab_size=1, **languages)


def test_the_language_that_texts_are_read_as_is_said(xmod: Path) -> None:
    model = load(xmod)
    assert "weights of" in model.notes[0]
    assert "for the language de_DE (default_language in its config.json)" in model.notes[0]
    maps = model.maps("the nurse").maps
    configure(xmod, default_language="en_XX")
    assert not (load(xmod).maps("the nurse").maps == maps).all()


@pytest.mark.parametrize("language", [None, "fr_XX"])
def test_without_a_language_xmod_is_refused(xmod: Path, language: str | None) -> None:
    configure(xmod, default_language=language)
    with pytest.raises(HeadscopeError, match=f"is {language!r}: set it to .* one of en_XX, de_DE"):
        load(xmod)


# As nomic-embed-text-v1.5 says it, in smaller sizes.
NOMIC: dict[str, Any] = {
    "model_type": "nomic_bert",
    "architectures": ["NomicBertModel"],
    "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
    "activation_function": "swiglu",
    "causal": False,
    "layer_norm_epsilon": 1e-3,
    "max_trained_positions": 149,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 20,
    "n_head": families.HEADS,
    "n_inner": 23,
    "n_layer": families.LAYERS,
    "n_positions": 8192,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 500,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "type_vocab_size": 2,
    "use_rms_norm": False,
    "vocab_size": 131,
    "pad_token_id": 1,
}


def nomic(folder: Path) -> Path:
    """A checkpoint with the names of Nomic's own code, for tensors and for the configuration."""
    config = NomicBertConfig(
        vocab_size=131,
        hidden_size=20,
        num_hidden_layers=families.LAYERS,
        num_attention_heads=families.HEADS,
        intermediate_size=23,
        max_position_embeddings=149,
        layer_norm_eps=1e-3,
        initializer_range=0.5,
        pad_token_id=1,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )
    save(config, folder)
    (folder / "config.json").rename(folder / "new.json")
    # transformers saves the tensors under the names that the code gave them.
    assert "encoder.layers.0.attn.Wqkv.weight" in load_file(folder / "model.safetensors")
    configure(folder, **NOMIC)
    return folder


def test_the_words_of_the_code_that_was_taken_over_are_read(tmp_path: Path) -> None:
    folder = nomic(tmp_path / "nomic")
    config = read_config(folder, "nomic")
    (folder / "config.json").rename(folder / "own.json")
    (folder / "new.json").rename(folder / "config.json")
    expected = read_config(folder, "nomic")
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        assert getattr(config, key) == getattr(expected, key)
    assert config.layer_norm_eps == expected.layer_norm_eps == 1e-3
    assert config.rope_parameters == expected.rope_parameters
    assert config.max_position_embeddings == 149
    maps = load(folder).maps("the nurse thanked the pilot").maps
    (folder / "own.json").rename(folder / "config.json")
    model = load(folder)
    assert not [note for note in model.notes if "not used" in note]
    assert (model.maps("the nurse thanked the pilot").maps == maps).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("activation_function", "gelu"),
        ("prenorm", True),
        ("qkv_proj_bias", True),
        ("rotary_emb_fraction", 0.5),
        ("num_experts", 8),
    ],
)
def test_what_the_class_of_transformers_does_not_compute_is_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    configure(tmp_path, **{**NOMIC, key: value})
    with pytest.raises(HeadscopeError, match=f"has {key} = {value!r} in its config.json, and tr"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("family", "code", "sentence"),
    [
        (
            "new",
            "Alibaba-NLP/new-impl--modeling.NewModel",
            "transformers has no family new: tran.*gte",
        ),
        (
            "xlm-roberta",
            "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA",
            "the family jina_embeddings_v3: use .* jinaai/jina-embeddings-v3-hf",
        ),
        ("neobert", "model.NeoBERT", "transformers has no family neobert: use a model that"),
        ("bert", "jinaai/jina-bert-v2.JinaBert", "transformers' bert need not be the same model"),
    ],
)
def test_code_of_its_own_is_refused_with_a_way_out(
    tmp_path: Path, family: str, code: str, sentence: str
) -> None:
    configure(tmp_path, model_type=family, auto_map={"AutoModel": code})
    with pytest.raises(HeadscopeError, match=sentence):
        load(tmp_path)
