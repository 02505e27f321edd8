"""Every family of transformers' text encoders is measured right or refused in a sentence, and the documents say the same."""

# mypy: disable-error-code="no-untyped-call"

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward

import families_page
import zoo
import zoo_tokenizers
from family_checks import FIRST, ROUNDED, SECOND, Findings, findings
from headscope.ablation.scorer import Scorer
from headscope.axes import Head
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.model.families import DROPOUT, FAMILIES, INTERFACE, REFUSED
from headscope.model.loading import load
from headscope.model.tap import Call, Edit

ROOT = Path(__file__).parents[1]
# Whose own code computes positions or norms in single precision, whatever the model's.
SINGLE = ("modernbert", "eurobert", "ultrabert", "embedding_gemma2", "gemma3_text", *ROUNDED)
# Whose layers are run one by one.
BUILT_LIKE_BERT = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "ernie",
    "data2vec-text", "markuplm", "mpnet", "roc_bert", "splinter",
)  # fmt: skip
# Which transformers runs with eager attention alone, and headscope with SDPA.
WITHOUT_SDPA = ("markuplm", "splinter", "mpnet", *ROUNDED)


@pytest.mark.parametrize("family", zoo.CONFIGS)
def test_maps_and_disabled_heads_are_those_of_the_family(family: str, tmp_path: Path) -> None:
    found = findings(family, zoo.folder_of(family, tmp_path))
    assert found.maps <= 2e-6
    # Nothing disabled: transformers' own code, bit for bit, but where a module was replaced.
    assert found.idle <= (3e-6 if family in WITHOUT_SDPA else 0)
    assert found.seen <= 1e-6
    assert found.gradients <= 1e-4
    for mode, difference in found.modes.items():
        most = 1e-5 if family in SINGLE else 2e-6
        assert difference <= most, mode
    assert found.scores <= 1e-4
    # Between its heads and their projection stands a gate.
    assert found.projections == (family != "neomme")
    # Far above what was allowed.
    assert found.least > 1e-3
    assert set(found.modes) == {"uniform", "zero", *(["mean"] * (family != "embedding_gemma2"))}
    assert found.learns == zoo.has_classifier(family)
    # SqueezeBERT's layers return no tensors, ConvBERT's outputs depend on the padding.
    slow = family in ("squeezebert", "convbert")
    fast = ("layers" if family in BUILT_LIKE_BERT else "passes") if found.learns else ""
    assert found.way == ("whole" if slow else fast)


@pytest.mark.parametrize("more", [{}, {"post_attention_groups": 4}])
def test_projections_of_squeezeberts_convolution_add_up(more: Any, tmp_path: Path) -> None:
    model = load(zoo.folder_of("squeezebert", tmp_path, **more))
    outputs: list[Tensor] = []
    projected: list[Tensor] = []
    encoder: Any = model.hf.base_model.encoder
    for layer in encoder.layers:
        convolution = layer.post_attention.conv1d

        def remember(module: Any, _given: Any, output: Tensor) -> None:
            projected.append((output - module.bias[:, None]).mT)

        convolution.register_forward_hook(remember)
    projections = model.projections
    projected.clear()
    with torch.no_grad(), model.observed(lambda call: outputs.append(call.output)):
        model.hf.base_model(**model.tokenizer("The pilot.", return_tensors="pt"))
    for heads, projection, whole in zip(outputs, projections, projected, strict=True):
        parts = torch.einsum("bqhd,ohd->bqo", heads, projection)
        assert torch.allclose(parts, whole, atol=1e-5)


def without_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head after the one that is meant is replaced."""
    apply = Edit.apply

    def shifted(edit: Edit, call: Call, output: Tensor) -> Tensor:
        heads = edit.heads.get(call.layer)
        if heads is None or len(heads) > 1:
            return apply(edit, call, output)
        names = edit.change
        other = Edit({call.layer: (heads + 1) % output.shape[2]}, edit.mode, edit.means)
        edited = apply(other, call, output)
        names[Head.at(call.layer, int(heads[0]))] = 1.0
        return edited

    monkeypatch.setattr(Edit, "apply", shifted)


def with_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform attention goes to padding too."""
    replacement = Edit.replacement

    def padded(edit: Edit, call: Call, heads: Tensor) -> Tensor:
        if edit.mode != "uniform":
            return replacement(edit, call, heads)
        return call.value[:, heads].mean(2)[:, None]

    monkeypatch.setattr(Edit, "replacement", padded)


def without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values get no gradient."""

    def cut(module: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **more: Any) -> Any:
        return sdpa_attention_forward(module, query, key, value.detach(), *rest, **more)

    monkeypatch.setattr("headscope.model.attention.sdpa_attention_forward", cut)


@pytest.mark.parametrize(
    ("family", "fault"),
    [
        ("bert", without_a_neighbour),
        ("mpnet", with_padding),
        ("roformer", with_padding),
        ("roformer", without_a_neighbour),
        ("splinter", without_a_gradient),
    ],
)
def test_a_fault_that_the_check_at_load_passes_shows(
    family: str, fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = zoo.folder_of(family, tmp_path)
    fault(monkeypatch)
    assert "differs by" in families_page.what_is_wrong(family, findings(family, folder))


def causal(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Attention that is causal where nothing is padded."""
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attn_mask, is_causal=attn_mask is None
    )


def test_layers_that_differ_where_nothing_is_padded_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functional = SimpleNamespace(pad=torch.nn.functional.pad, scaled_dot_product_attention=causal)
    monkeypatch.setattr("headscope.ablation.bert_layers.functional", functional)
    model = load(zoo.folder_of("markuplm", tmp_path))
    examples = Split(tuple(FIRST), tuple(SECOND), np.zeros(3, np.int64))
    # Its own forward pass is right.
    assert Scorer(model, encode(examples, model.tokenizer)).way == "passes"
    monkeypatch.undo()
    assert Scorer(model, encode(examples, model.tokenizer)).way == "layers"


def test_a_family_that_shows_nothing_or_does_not_learn_is_a_failure() -> None:
    found = Findings("its adapter", least=1.0, modes={"zero": 0.0}, learns=True)
    assert families_page.what_is_wrong("mpnet", found) == ""
    assert "this shows nothing" in families_page.what_is_wrong("mpnet", replace(found, least=1e-6))
    idle = replace(found, learns=False)
    assert families_page.what_is_wrong("mpnet", idle) == "has a classifier, and does not learn"
    assert families_page.what_is_wrong("t5", idle) == ""


def test_the_registry_holds_what_is_measured() -> None:
    assert set(zoo.CONFIGS) == set(FAMILIES.names())
    assert set(zoo.CONFIGS) <= set(zoo.universe())
    assert len(zoo.CONFIGS) >= 45


@pytest.mark.parametrize("family", sorted(set(zoo.universe()) - set(zoo.CONFIGS)))
def test_every_other_family_is_refused_with_a_reason(family: str, tmp_path: Path) -> None:
    reason = families_page.refusal(family, tmp_path)
    assert reason
    assert reason == REFUSED.get(family, reason)


def test_tokenizers_of_the_families_own_classes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "families.md").read_text()
    said = dict(re.findall(r"^\| `(\S+)` \|(?:.*\|)? (.*?) \| \w+ \|$", page, flags=re.MULTILINE))
    # One family for each class.
    classes: dict[Any, str] = {}
    for family in zoo.CONFIGS:
        classes.setdefault(zoo_tokenizers.class_of(family), family)
    assert len(classes) > 15
    for family in classes.values():
        assert families_page.words_of(family, tmp_path) == said[family]


def test_the_page_and_the_readme_say_what_holds() -> None:
    page = (ROOT / "docs" / "families.md").read_text()
    _, taken, refused = re.split(r"^\| family \|.*$", page, flags=re.MULTILINE)
    rows = re.findall(r"^\| `(\S+)` \| (.*?) \|", taken, flags=re.MULTILINE)
    tapped = dict(rows)
    assert list(tapped) == sorted(FAMILIES.names())
    names = {INTERFACE.name, DROPOUT.name, "its adapter"}
    assert set(tapped.values()) == names
    for family, name in tapped.items():
        assert FAMILIES.get(family).tappings[0].name == name
    others = dict(re.findall(r"^\| (\S+) \| (\w.*) \|$", refused, flags=re.MULTILINE))
    assert sorted(others) == sorted(set(zoo.universe()) - set(tapped))
    for family in REFUSED.keys() & others.keys():
        assert others[family] == REFUSED[family]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"Of {len(tapped) + len(others)} families of text encoders that transformers has, "
        f"{len(tapped)} are supported and {len(others)} refused with a reason"
    ) in readme
