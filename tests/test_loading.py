"""Loading compares a file's tensors with the model's: what is not the checkpoint's is never computed with."""

# mypy: disable-error-code="arg-type, union-attr, no-untyped-call"

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor

import families
from headscope.errors import HeadscopeError
from headscope.model.loading import load

FAMILIES = ["bert", "roberta", "distilbert", "electra", "albert", "modernbert"]
CLASSES = [
    "AutoModelForMaskedLM",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
]
Tensors = dict[str, Tensor]


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Save the tensors of a folder otherwise."""
    path = folder / "model.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    save_file(change(tensors), path, {"format": "pt"})


def configure(folder: Path, **values: Any) -> None:
    """Change config.json; None takes an entry away."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return families.make("bert", tmp_path / "bert")


@pytest.mark.parametrize("family", FAMILIES)
def test_clean_checkpoints_load_without_a_note_but_on_a_head(family: str, tmp_path: Path) -> None:
    model = load(families.make(family, tmp_path / "head"), labels=2)
    assert model.trained_head
    assert model.notes == ()
    assert load(families.make_encoder(family, tmp_path / "bare")).notes == ()
    config = model.hf.config
    for name in CLASSES:
        folder = tmp_path / name
        hf = getattr(transformers, name).from_config(config)
        hf.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        other = load(folder, labels=2)
        assert not other.trained_head
        (note,) = other.notes
        assert f"it is that of a {type(hf).__name__}, for " in note


@pytest.mark.parametrize(("labels", "shells"), [(None, 1), (2, 2)])
def test_no_shell_of_a_model_is_built_twice(
    labels: int | None, shells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is built without memory only to know names: the encoder, and the model with a head."""
    folder = families.make_encoder("bert", tmp_path / "model")
    built: list[str] = []
    for auto in (transformers.AutoModel, transformers.AutoModelForSequenceClassification):
        build = auto.from_config

        def counted(*given: Any, build: Any = build, **options: Any) -> Any:
            model = build(*given, **options)
            built.append(type(model).__name__)
            return model

        monkeypatch.setattr(auto, "from_config", counted)
    load(folder, labels=labels)
    assert built == ["BertModel", "BertForSequenceClassification"][:shells]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "0.auto_model.", "base_model.model."])
@pytest.mark.parametrize("kind", ["head", "encoder"])
def test_a_prefix_is_stripped_and_said(family: str, prefix: str, kind: str, tmp_path: Path) -> None:
    make = families.make if kind == "head" else families.make_encoder
    folder = make(family, tmp_path / "model")
    clean = load(folder).hf.state_dict()
    rewrite(folder, lambda tensors: {prefix + key: tensor for key, tensor in tensors.items()})
    model = load(folder)
    assert model.trained_head == (kind == "head")
    # "model." is transformers' own prefix of ModernBERT, and stays.
    foreign = "base_model." if family == "modernbert" and prefix == "base_model.model." else prefix
    if kind == "head":
        foreign = prefix
    assert f"the prefix {foreign!r} was taken from the names" in model.notes[0]
    found = model.hf.state_dict()
    assert found.keys() == clean.keys()
    assert all(torch.equal(found[key], clean[key]) for key in clean)


def test_another_familys_prefix_is_refused(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "model")
    rewrite(folder, lambda tensors: {f"roberta.{key}": value for key, value in tensors.items()})
    with pytest.raises(HeadscopeError, match="named as those of the family roberta"):
        load(folder)


def test_two_encoders_are_refused(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "model")
    rewrite(
        folder,
        lambda tensors: {
            f"{who}.{key}": value.clone()
            for who in ("query", "text")
            for key, value in tensors.items()
        },
    )
    with pytest.raises(HeadscopeError, match="more than one encoder"):
        load(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_tensor_of_the_encoder_is_named(family: str, tmp_path: Path) -> None:
    folder = families.make(family, tmp_path / "model")
    names = [key for key in load(folder).hf.base_model.state_dict() if "pooler" not in key]

    def without(tensors: Tensors) -> Tensors:
        return {key: value for key, value in tensors.items() if not key.endswith(names[-1])}

    rewrite(folder, without)
    with pytest.raises(HeadscopeError, match=r"lack 1 of the \d+ tensors of the encoder") as error:
        load(folder)
    assert names[-1] in str(error.value)


def test_more_and_fewer_layers_than_the_file_has(bert: Path) -> None:
    configure(bert, num_hidden_layers=families.LAYERS + 1)
    with pytest.raises(HeadscopeError, match=r"lack 16 of .*encoder\.layer\.3\..*too many layers"):
        load(bert)
    configure(bert, num_hidden_layers=families.LAYERS - 1)
    with pytest.raises(HeadscopeError, match=r"hold 16 .*encoder\.layer\.2\..*too few layers"):
        load(bert)


@pytest.mark.parametrize("lost", ["classifier.weight", "bert.pooler.dense.weight"])
def test_a_head_that_is_not_in_the_file_is_not_fine_tuned(bert: Path, lost: str) -> None:
    rewrite(
        bert,
        lambda tensors: {
            "lost.weight" if key == lost else key: value for key, value in tensors.items()
        },
    )
    model = load(bert, labels=3)
    assert not model.trained_head
    assert f"{lost} is not in the file" in model.notes[0]
    assert model.hf.config.num_labels == 3
    assert not load(bert).has_head


def test_a_head_of_another_size_than_the_configuration_says(bert: Path) -> None:
    configure(bert, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    with pytest.raises(HeadscopeError, match=r"classifier.bias is 2 in the file, 3 are expected"):
        load(bert)


def test_a_head_of_an_unknown_class_is_not_taken_for_a_new_one(bert: Path) -> None:
    trained = load(bert).hf.classifier.weight
    configure(bert, architectures=["SomebodysBert"])
    model = load(bert, labels=2)
    assert not model.trained_head
    assert "is not used: it is that of a SomebodysBert" in model.notes[0]
    assert not torch.equal(model.hf.classifier.weight, trained)


def test_no_architectures_no_head(bert: Path) -> None:
    configure(bert, architectures=None)
    model = load(bert, labels=2)
    assert not model.trained_head
    assert "names no architectures" in model.notes[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "no longer computes for bert"),
        ({"auto_map": {"AutoModel": "modeling.JinaBert"}}, r"code of its own .*modeling\.JinaBert"),
        ({"auto_map": ["a.B", None]}, "code of its own"),
        ({"pruned_heads": {"0": [1]}}, "heads of .* were pruned"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"are quantised \(gptq\)"),
        ({"quantization_config": {"load_in_8bit": True}}, "are quantised"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers = '3', expected a whole number"),
        ({"hidden_size": -20}, "hidden_size = -20"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0"),
        ({"num_attention_heads": 3}, "hidden size of 20, which 3 heads do not divide"),
        ({"num_hidden_layers": 10**9}, "1000000000 layers, at most 1000"),
        ({"hidden_size": 10**9}, "describes a model of .* weights, its file holds"),
        ({"vocab_size": 10**12}, "describes a model of .* weights, its file holds"),
        ({"max_position_embeddings": 10**13}, "describes a model of .* weights, its file holds"),
        ({"vocab_size": 132}, "word_embeddings.weight is 131 x 20 in the file, 132 x 20"),
        ({"hidden_act": "gelou"}, "hidden_act in config.json .*did you mean 'gelu'"),
        ({"model_type": "no-such"}, "transformers has no model_type 'no-such'"),
        ({"architectures": 3}, "architectures = 3, expected a list of names"),
        ({"architectures": "Bert"}, "architectures = 'Bert', expected a list of names"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": 3}, "names no model_type"),
    ],
)  # fmt: skip
def test_configurations_that_are_refused(bert: Path, values: dict[str, Any], message: str) -> None:
    configure(bert, **values)
    with pytest.raises(HeadscopeError, match=message):
        load(bert)


def test_a_configuration_that_is_a_list(bert: Path) -> None:
    (bert / "config.json").write_text("[1, 2]")
    with pytest.raises(HeadscopeError, match="must hold an object, it holds a list"):
        load(bert)


def test_options_of_a_call_change_nothing(bert: Path) -> None:
    text = "the nurse thanked the pilot"
    before = load(bert).maps(text).maps
    configure(
        bert,
        return_dict=False,
        chunk_size_feed_forward=3,
        output_attentions=True,
        output_hidden_states=True,
        torchscript=True,
        _attn_implementation="flash_attention_2",
    )
    assert (load(bert).maps(text).maps == before).all()


@pytest.mark.parametrize(
    "key", ["bert.embeddings.word_embeddings.weight", "classifier.bias", "bert.pooler.dense.weight"]
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_counted(bert: Path, key: str, value: float) -> None:
    def damage(tensors: Tensors) -> Tensors:
        tensors[key].view(-1)[-2:] = value
        return tensors

    rewrite(bert, damage)
    with pytest.raises(HeadscopeError, match=f"damaged: 2 of .* values of {key} are not finite"):
        load(bert)


def test_a_sum_that_overflows_is_no_damage(bert: Path) -> None:
    from headscope.model.weights import check_finite

    hf: Any = load(bert).hf
    hf.classifier.weight.data[:] = 3e38
    check_finite(hf, "huge")


@pytest.mark.parametrize(
    "file", ["w.bin", "../outside.safetensors", "/x/y.safetensors", "a/b.safetensors"]
)
def test_an_index_names_only_safetensors_of_its_folder(bert: Path, file: str) -> None:
    tensors = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").rename(bert.parent / "outside.safetensors")
    torch.save(tensors, bert / "w.bin")
    index = {"weight_map": dict.fromkeys(tensors, file)}
    (bert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(HeadscopeError, match="only safetensors files in the same folder"):
        load(bert)


def test_shards_and_links_are_read(bert: Path) -> None:
    before = load(bert).hash
    model = load(bert)
    (bert / "model.safetensors").unlink()
    model.hf.save_pretrained(bert, max_shard_size="3KB")
    shards = sorted(bert.glob("model-*.safetensors"))
    assert len(shards) > 1
    blob = shards[0].rename(bert.parent / "blob")
    shards[0].symlink_to(blob)
    assert load(bert).hash == before
    shards[0].unlink()
    with pytest.raises(HeadscopeError, match="which is not in"):
        load(bert)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"", "is empty"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("model.safetensors", b"\x00" * 40, "damaged or not whole"),
        ("pytorch_model.bin", b"x", "only pytorch_model.bin, a pickle"),
        ("model.onnx", b"x", "only model.onnx, ONNX"),
        ("tf_model.h5", b"x", "only tf_model.h5, TensorFlow"),
        ("flax_model.msgpack", b"x", "only flax_model.msgpack, Flax"),
    ],
)
def test_other_forms_of_weights_are_named(
    bert: Path, name: str, content: bytes, message: str
) -> None:
    (bert / "model.safetensors").unlink()
    (bert / name).write_bytes(content)
    with pytest.raises(HeadscopeError, match=message):
        load(bert)


def test_integer_weights_are_quantised(bert: Path) -> None:
    def quantise(tensors: Tensors) -> Tensors:
        return {key: value.to(torch.int8) for key, value in tensors.items()}

    rewrite(bert, quantise)
    with pytest.raises(HeadscopeError, match="are quantised .*I8"):
        load(bert)


def test_an_adapter_is_refused_by_name(bert: Path) -> None:
    (bert / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(HeadscopeError, match="holds an adapter .*merge_and_unload"):
        load(bert)


def test_an_adapter_that_is_not_merged_is_refused(bert: Path) -> None:
    def add(tensors: Tensors) -> Tensors:
        tensors["bert.encoder.layer.0.attention.self.query.lora_A.weight"] = torch.zeros(2, 20)
        return tensors

    rewrite(bert, add)
    with pytest.raises(HeadscopeError, match="an adapter is not merged yet"):
        load(bert)


def test_a_folder_of_sentence_transformers(bert: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    bert.rename(outer / "0_Transformer")
    modules = [{"path": "0_Transformer"}, {"path": "1_Pooling"}]
    (outer / "modules.json").write_text(json.dumps(modules))
    model = load(outer)
    assert model.path == str(outer)
    assert "is read from its folder 0_Transformer" in model.notes[0]
    (outer / "modules.json").write_text(json.dumps([{"path": "../outer/0_Transformer"}]))
    with pytest.raises(HeadscopeError, match=r"has no config\.json"):
        load(outer)


def test_paths(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(bert.parent))
    assert load("~/bert").path == str(bert)
    assert load(Path("~/bert")).path == str(bert)
    for name in ("~/no", "./no", "../no", "/no/such", "a/b/c"):
        with pytest.raises(HeadscopeError, match="there is no folder"):
            load(name)
    with pytest.raises(HeadscopeError, match="is a file: give the folder"):
        load(bert / "config.json")
    with pytest.raises(HeadscopeError):
        load("\x00")


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"version": "1.0", "model": {"type": "Unknown"}}']
)
def test_a_damaged_tokenizer_is_a_sentence(bert: Path, content: str) -> None:
    (bert / "tokenizer.json").write_text(content)
    with pytest.raises(HeadscopeError, match="the tokenizer of"):
        load(bert)


def test_a_tokenizer_with_code_of_its_own(bert: Path) -> None:
    path = bert / "tokenizer_config.json"
    own = {"auto_map": {"AutoTokenizer": ["tokenization.Own", None]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    with pytest.raises(HeadscopeError, match="the tokenizer of .* has code of its own"):
        load(bert)


def test_a_new_pooler_is_no_part_of_the_models_hash(tmp_path: Path) -> None:
    folder = families.make_encoder("bert", tmp_path / "model")
    whole = load(folder).hash
    rewrite(
        folder,
        lambda tensors: {key: value for key, value in tensors.items() if "pooler" not in key},
    )
    assert load(folder, seed=1).hash == load(folder, seed=2, labels=3).hash != whole


def test_a_model_that_cannot_run_is_a_sentence(tmp_path: Path) -> None:
    # Its own width of queries does not follow from the hidden size of the tiny models.
    folder = families.make_encoder("mobilebert", tmp_path / "model")
    with pytest.raises(HeadscopeError, match=r"\(mobilebert\) cannot be run \(mat1 and mat2"):
        load(folder)


def test_a_name_of_the_hub_is_read_from_the_cache(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub's client keeps a model: a snapshot of links into a folder of blobs."""
    from headscope.model import source

    kept = tmp_path / "hub" / "models--org--tiny"
    snapshot = kept / "snapshots" / ("a" * 40)
    for folder in (snapshot, kept / "blobs", kept / "refs"):
        folder.mkdir(parents=True)
    (kept / "refs" / "main").write_text("a" * 40)
    for file in bert.iterdir():
        (snapshot / file.name).symlink_to(file.rename(kept / "blobs" / file.name))
    monkeypatch.setattr(
        source, "snapshot_download", partial(snapshot_download, cache_dir=tmp_path / "hub")
    )
    model = load("org/tiny")
    assert model.trained_head
    assert (model.name, model.path, model.notes) == ("org/tiny", "org/tiny", ())
