"""Without padding there is no mask: encoders still agree with their eager form, decoders are refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

import families
import zoo
from headscope.errors import HeadscopeError, InterventionError
from headscope.model import loading
from headscope.model.loading import load
from headscope.model.tap import Edit

ENCODERS = (*families.OWN, "splinter", "esm", "nomic_bert", "eurobert", "mobilebert")
TEXT, SECOND = "The nurse thanked the pilot.", "It was not who by 1984 in the storm!"


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("texts", [([TEXT],), ([TEXT], [SECOND]), ([TEXT, SECOND],)])
@torch.no_grad()
def test_maps_and_states_are_those_of_eager_attention(
    tmp_path: Path, family: str, texts: Sequence[list[str]]
) -> None:
    folder = families.make_encoder(family, tmp_path / family, **zoo.CONFIGS[family])
    model = load(folder)
    eager = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = dict(model.tokenizer(*texts, padding=True, return_tensors="pt"))
    real = batch["attention_mask"].bool()
    expected = eager(**batch, output_attentions=True)
    seen: list[Tensor] = []
    states = [model.hf(**batch)[0]]
    with model.observed(lambda call: seen.append(call.maps)):
        states.append(model.hf(**batch)[0])
    with model.tap.edited(Edit({}, "uniform")):
        states.append(model.hf(**batch)[0])
    assert len(seen) == len(expected.attentions) == families.LAYERS
    for ours, theirs in zip(seen, expected.attentions, strict=True):
        rows = (ours - theirs).transpose(1, 2)[real]
        assert rows.abs().max() < 2e-6
    scale = expected[0][real].abs().max()
    for output in states:
        assert (output - expected[0])[real].abs().max() < 1e-5 * scale


DECODERS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 20, "n_layer": 3, "n_head": 5, "n_positions": 149, "n_inner": 23},
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {},
    "gemma3_text": {},
    "opt": {"ffn_dim": 23, "word_embed_proj_dim": 20},
    "phi": {},
    "biogpt": {},
    "ctrl": {"n_embd": 20, "n_layer": 3, "n_head": 5, "n_positions": 149, "dff": 23},
    "gpt_neox": {},
    "modernbert-decoder": {"local_attention": 6},
}


@pytest.mark.parametrize("family", DECODERS)
def test_decoders_are_refused_by_name(tmp_path: Path, family: str) -> None:
    folder = families.make_decoder(family, tmp_path / family, **DECODERS[family])
    with pytest.raises(HeadscopeError, match="is a decoder with causal attention") as error:
        load(folder)
    assert f"({family})" in str(error.value)
    assert "takes encoders" in str(error.value)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "opt", "biogpt", "gpt_neox"])
def test_the_check_finds_a_decoder_by_its_maps(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = families.make_decoder(family, tmp_path / family, **DECODERS[family])
    monkeypatch.setattr(loading, "refuse", lambda *_: None)
    with pytest.raises(InterventionError, match="it is a decoder with causal attention: no token"):
        load(folder)


def test_a_decoder_that_ignores_what_it_says_is_found_by_its_maps(tmp_path: Path) -> None:
    said = {"use_bidirectional_attention": True, "attn_logit_softcapping": None}
    folder = families.make_decoder("gemma2", tmp_path / "gemma2", **said)
    with pytest.raises(InterventionError, match="it is a decoder with causal attention: no token"):
        load(folder)


ENCODER_DECODERS = ("bart", "mbart", "pegasus", "m2m_100", "blenderbot", "marian", "longt5", "led")


@pytest.mark.parametrize("family", ENCODER_DECODERS)
@pytest.mark.parametrize("is_said", [True, False])
def test_an_encoder_decoder_is_called_so(tmp_path: Path, family: str, is_said: bool) -> None:
    # A checkpoint of the family may say that it is none, and is refused all the same.
    said = json.dumps({"model_type": family, "is_encoder_decoder": is_said})
    (tmp_path / "config.json").write_text(said)
    with pytest.raises(
        HeadscopeError, match=rf"\({family}\) is an encoder-decoder, .* encoders"
    ) as e:
        load(tmp_path)
    assert "takes encoders (of mt5, t5, umt5 without the decoder), of these families: " in str(
        e.value
    )
