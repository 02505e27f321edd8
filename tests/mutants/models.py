"""Mutants of a model's folder: its configuration, weights and tokenizer."""

import json
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mutants.world import Expect, Mutant, World

SAME, GUARDED, REFUSED, OTHER = Expect.SAME, Expect.GUARDED, Expect.REFUSED, Expect.OTHER
Weights = dict[str, torch.Tensor]
Json = dict[str, Any]


def mutants() -> Iterator[Mutant]:
    """All of them."""
    yield from _sizes()
    yield from _settings()
    yield from _damaged("config.json")
    yield from _weights()
    yield from _weight_files()
    yield from _tokenizer()
    yield from _damaged("tokenizer.json")
    yield from _damaged("tokenizer_config.json", needed=False)


def _config(**values: object) -> Callable[[World], None]:
    return lambda world: world.json("config.json", lambda config: config.update(values))


def _sizes() -> Iterator[Mutant]:
    """A size that the weights contradict must be refused."""
    sizes = (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "max_position_embeddings", "type_vocab_size",
    )  # fmt: skip
    odd: tuple[object, ...] = ("5", 2.5, 0, -1, None, [3], {}, True, 10**9, 10**30)
    for name in sizes:
        for value in odd:
            yield Mutant(f"config: {name} = {json.dumps(value)}", _config(**{name: value}))
        drop = partial(
            World.json, name="config.json", change=lambda config, name=name: config.pop(name)
        )
        yield Mutant(f"config: without {name}", drop)
    for layers in (1, 2, 4, 12):
        yield Mutant(f"config: {layers} layers for 3", _config(num_hidden_layers=layers), REFUSED)
    # The weights fit any number of heads that divides the width: nothing in the file tells.
    yield Mutant("config: 4 heads for 5", _config(num_attention_heads=4), OTHER)
    yield Mutant("config: 3 heads for a width of 20", _config(num_attention_heads=3), REFUSED)
    yield Mutant("config: three labels", _config(id2label={"0": "a", "1": "b", "2": "c"}), REFUSED)
    yield Mutant("config: pruned heads", _config(pruned_heads={"0": [1]}))


def _settings() -> Iterator[Mutant]:
    """What changes nothing in the numbers is taken; what would is refused or said."""
    harmless: dict[str, object] = {
        "return_dict": False, "output_attentions": True, "output_hidden_states": True,
        "use_cache": True, "torchscript": True, "hidden_dropout_prob": 0.5,
        "attention_probs_dropout_prob": 0.5, "classifier_dropout": 0.5, "dtype": "float16",
        "torch_dtype": "bfloat16", "transformers_version": "9.9.9", "_name_or_path": "../x",
        "gradient_checkpointing": True, "problem_type": "single_label_classification",
        "finetuning_task": "mnli", "unknown_key": {"x": 1}, "attn_implementation": "eager",
        "_attn_implementation": "flash_attention_2", "tie_word_embeddings": False,
        "chunk_size_feed_forward": 3, "initializer_range": 1.0, "is_encoder_decoder": False,
    }  # fmt: skip
    for name, value in harmless.items():
        yield Mutant(f"config: {name} = {json.dumps(value)}", _config(**{name: value}))
    contrary: dict[str, object] = {
        "is_decoder": True, "is_encoder_decoder": True, "add_cross_attention": True,
        "position_embedding_type": "relative_key", "auto_map": {"AutoModel": "own.OwnModel"},
        "model_type": "gpt2", "layer_norm_eps": "x", "hidden_act": "no_such_function",
        "id2label": ["a", "b"], "num_labels": "two", "architectures": "BertModel",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "pad_token_id": 10**6, "chunk_size_feed_forward": -1, "rope_parameters": 5,
    }  # fmt: skip
    for name, value in contrary.items():
        yield Mutant(f"config: {name} = {json.dumps(value)}", _config(**{name: value}))
    for value in ("bart", "no-such-type", "", None, 5, ["bert"], "roberta", "t5", "deberta-v2"):
        yield Mutant(f"config: model_type = {json.dumps(value)}", _config(model_type=value))
    for method in ("gptq", "awq", "quanto", "torchao", "fp8", "no-such-method"):
        quantised = _config(quantization_config={"quant_method": method, "bits": 4})
        yield Mutant(f"config: quantised by {method}", quantised)
    for value in ([], None, ["BertModel"], ["NoSuchModel"], ["BertForMaskedLM"], [5]):
        yield Mutant(f"config: architectures = {json.dumps(value)}", _config(architectures=value))
    for value in ("gelu_new", "relu", None, 5, ["gelu"]):
        expects = OTHER if isinstance(value, str) else REFUSED
        yield Mutant(
            f"config: hidden_act = {json.dumps(value)}", _config(hidden_act=value), expects
        )
    for value in (1e-3, 0, -1, None):
        yield Mutant(f"config: layer_norm_eps = {value}", _config(layer_norm_eps=value), OTHER)
    swapped = _config(id2label={"0": "yes", "1": "no"}, label2id={"yes": 0, "no": 1})
    yield Mutant("config: class names in the other order", swapped, REFUSED)
    named = _config(id2label={"0": "no", "1": "yes"}, label2id={"no": 0, "yes": 1})
    yield Mutant("config: class names in the task's order", named, SAME)
    foreign = _config(id2label={"0": "entailment", "1": "contradiction"})
    yield Mutant("config: class names of another task", foreign, REFUSED)


def _damaged(name: str, *, needed: bool = True) -> Iterator[Mutant]:
    """A JSON file cut, replaced or gone."""

    def write(data: bytes) -> Callable[[World], object]:
        return lambda world: (world.model / name).write_bytes(data)

    expects = REFUSED if needed else GUARDED
    for what, data in (
        ("empty", b""), ("null", b"null"), ("a list", b"[]"), ("a number", b"7"),
        ("an empty object", b"{}"), ("junk", bytes(range(256))), ("deep", b"[" * 5000 + b"]" * 5000),
        ("a pointer of git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"),
    ):  # fmt: skip
        yield Mutant(f"{name}: {what}", write(data), expects)
    yield Mutant(f"{name}: gone", lambda world: (world.model / name).unlink(), expects)
    rng = random.Random(name)
    for number in range(8):
        share = rng.random()

        def cut(world: World, share: float = share) -> None:
            path = world.model / name
            data = path.read_bytes()
            path.write_bytes(data[: 1 + int(share * (len(data) - 3))])

        yield Mutant(f"{name}: cut after {share:.0%} ({number})", cut, REFUSED)
    encoded: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
        ("a byte order mark", lambda data: b"\xef\xbb\xbf" + data),
        ("in UTF-16", lambda data: data.decode().encode("utf-16")),
    )
    for what, edit in encoded:

        def encode(world: World, edit: Callable[[bytes], bytes] = edit) -> None:
            path = world.model / name
            path.write_bytes(edit(path.read_bytes()))

        yield Mutant(f"{name}: {what}", encode)


def _tensors(edit: Callable[[Weights], Weights | None]) -> Callable[[World], None]:
    def change(world: World) -> None:
        path = world.model / "model.safetensors"
        weights = load_file(path)
        changed = edit(weights)
        save_file(weights if changed is None else changed, path, {"format": "pt"})

    return change


def _weights() -> Iterator[Mutant]:
    for prefix in (
        "_orig_mod.", "module.", "model.", "auto_model.", "0.auto_model.", "base_model.model.",
        "bert.", "roberta.", "encoder.", "student.", "x.",
    ):  # fmt: skip
        renamed = lambda weights, prefix=prefix: {
            prefix + name: one for name, one in weights.items()
        }
        yield Mutant(f"weights: all names begin with {prefix}", _tensors(renamed))
    names = (
        "bert.embeddings.word_embeddings.weight", "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.attention.self.query.weight",
        "bert.encoder.layer.1.attention.output.dense.bias",
        "bert.encoder.layer.2.output.LayerNorm.weight", "bert.pooler.dense.weight",
        "classifier.weight", "classifier.bias",
    )  # fmt: skip

    def named(edit: Callable[[Weights, str], object], name: str) -> Callable[[Weights], None]:
        def change(weights: Weights) -> None:
            edit(weights, name)

        return change

    edits: tuple[tuple[str, Callable[[Weights, str], object], Expect], ...] = (
        ("without", lambda weights, name: weights.pop(name), REFUSED),
        ("another name of", lambda weights, name: weights.update({f"{name}_x": weights.pop(name)}), REFUSED),
        ("a row less of", lambda weights, name: weights.update({name: weights[name][:-1].clone()}), REFUSED),
        ("a dimension more of", lambda weights, name: weights.update({name: weights[name][None]}), REFUSED),
        ("a NaN in", lambda weights, name: weights[name].view(-1)[-1:].fill_(float("nan")), REFUSED),
        ("an infinity in", lambda weights, name: weights[name].view(-1)[:1].fill_(float("inf")), REFUSED),
        ("whole numbers in", lambda weights, name: weights.update({name: weights[name].to(torch.int8)}), GUARDED),
        ("float64 in", lambda weights, name: weights.update({name: weights[name].double()}), SAME),
    )  # fmt: skip
    for what, edit, expects in edits:
        for name in names:
            yield Mutant(f"weights: {what} {name}", _tensors(named(edit, name)), expects)
    adds: tuple[tuple[str, Weights], ...] = (
        ("a layer more", {"bert.encoder.layer.3.attention.self.query.weight": torch.zeros(20, 20)}),
        ("a tensor of nobody", {"bert.encoder.layer.0.attention.self.distance.weight": torch.zeros(9, 4)}),
        ("a tensor of an adapter", {"bert.encoder.layer.0.attention.self.query.lora_A.weight": torch.zeros(2, 20)}),
        ("a head for masked words", {"cls.predictions.bias": torch.zeros(131)}),
        ("position numbers", {"bert.embeddings.position_ids": torch.arange(149)[None]}),
    )  # fmt: skip
    for what, more in adds:
        yield Mutant(f"weights: {what}", _tensors(lambda weights, more=more: weights | more))
    yield Mutant("weights: none", _tensors(lambda weights: {}), REFUSED)
    headless = lambda weights: {
        name: one for name, one in weights.items() if "classifier" not in name
    }
    yield Mutant("weights: no classifier", _tensors(headless), REFUSED)
    other = lambda weights: {
        name.replace("classifier", "score"): one for name, one in weights.items()
    }
    yield Mutant("weights: the classifier has another name", _tensors(other), REFUSED)
    old = lambda weights: {
        name.replace("LayerNorm.weight", "LayerNorm.gamma"): one for name, one in weights.items()
    }
    yield Mutant("weights: TensorFlow's names of normalisation", _tensors(old))


def _weight_files() -> Iterator[Mutant]:
    def bytes_of(edit: Callable[[bytes], bytes]) -> Callable[[World], None]:
        def change(world: World) -> None:
            path = world.model / "model.safetensors"
            path.write_bytes(edit(path.read_bytes()))

        return change

    for what, edit in (
        ("empty", lambda data: b""),
        ("8 bytes", lambda data: data[:8]),
        ("half", lambda data: data[: len(data) // 2]),
        ("a byte short", lambda data: data[:-1]),
        ("a byte long", lambda data: data + b"\0"),
        ("a header too long", lambda data: struct.pack("<Q", 2**60) + data[8:]),
        ("a header of junk", lambda data: data[:8] + b"x" * 50 + data[58:]),
        ("a pickle", lambda data: b"\x80\x04cos\nsystem\n(S'touch stray'\ntR."),
        ("a pointer of git-lfs", lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"),
        ("a web page", lambda data: b"<!DOCTYPE html><html></html>"),
    ):  # fmt: skip
        yield Mutant(f"model.safetensors: {what}", bytes_of(edit), REFUSED)
    gone = lambda world: (world.model / "model.safetensors").unlink()
    yield Mutant("model.safetensors: gone", gone, REFUSED)
    for ending in ("pytorch_model.bin", "model.onnx", "tf_model.h5", "flax_model.msgpack"):
        rename = lambda world, ending=ending: (world.model / "model.safetensors").rename(
            world.model / ending
        )
        yield Mutant(f"model.safetensors: named {ending}", rename, REFUSED)

    def index(world: World, files: dict[str, str]) -> None:
        path = world.model / "model.safetensors"
        weights = load_file(path)
        named = files.get("name", "model-00001-of-00001.safetensors")
        outside = world.path / "w.safetensors"
        if "outside" in files:
            save_file(weights, outside, {"format": "pt"})
        elif "missing" not in files:
            save_file(weights, world.model / named, {"format": "pt"})
        path.unlink()
        content = {"metadata": {}, "weight_map": dict.fromkeys(weights, named)}
        (world.model / "model.safetensors.index.json").write_text(json.dumps(content))

    yield Mutant("index: one shard", partial(index, files={}), SAME)
    yield Mutant("index: a shard that is a .bin", partial(index, files={"name": "w.bin"}), REFUSED)
    yield Mutant("index: a shard that is missing", partial(index, files={"missing": "x"}), REFUSED)
    climbing = {"name": "../w.safetensors", "outside": "x"}
    yield Mutant("index: a shard outside of the folder", partial(index, files=climbing), REFUSED)

    def adapter(world: World) -> None:
        content = {
            "peft_type": "LORA",
            "base_model_name_or_path": "x",
            "r": 2,
            "target_modules": ["query"],
        }
        (world.model / "adapter_config.json").write_text(json.dumps(content))
        save_file({"x": torch.zeros(2)}, world.model / "adapter_model.safetensors")

    yield Mutant("an adapter beside the weights", adapter)

    def code(world: World) -> None:
        (world.model / "own.py").write_text("open('stray', 'w').write('run')\n")
        own = {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"}
        world.json("config.json", lambda config: config.update(auto_map=own, model_type="own"))

    yield Mutant("code of its own", code, REFUSED)

    def sentence_transformer(world: World) -> None:
        inner = world.model / "0_Transformer"
        inner.mkdir()
        for file in list(world.model.iterdir()):
            if file.is_file():
                file.rename(inner / file.name)
        modules = [
            {
                "idx": 0,
                "name": "0",
                "path": "0_Transformer",
                "type": "sentence_transformers.models.Transformer",
            }
        ]
        (world.model / "modules.json").write_text(json.dumps(modules))

    yield Mutant("a folder of sentence-transformers", sentence_transformer)


def _tokenizer() -> Iterator[Mutant]:
    def own(**values: object) -> Callable[[World], None]:
        return lambda world: world.json(
            "tokenizer_config.json", lambda config: config.update(values)
        )

    def backend(edit: Callable[[Json], object]) -> Callable[[World], None]:
        return lambda world: world.json("tokenizer.json", edit)

    settings: dict[str, Json] = {
        "cut on the left": {"truncation_side": "left"}, "padded on the left": {"padding_side": "left"},
        "reads one token": {"model_max_length": 1}, "reads no token": {"model_max_length": 0},
        "reads -1 tokens": {"model_max_length": -1}, "reads 1e30 tokens": {"model_max_length": 10**30},
        "a length of text": {"model_max_length": "many"}, "no padding token": {"pad_token": None},
        "another padding token": {"pad_token": "the"}, "a new padding token": {"pad_token": "<new>"},
        "no unknown token": {"unk_token": None}, "no [CLS]": {"cls_token": None},
        "code of its own": {"auto_map": {"AutoTokenizer": ["own.Own", None]}},
        "an unknown class": {"tokenizer_class": "NoSuchTokenizer"},
        "a slow class": {"tokenizer_class": "BertJapaneseTokenizer"},
        "names no inputs": {"model_input_names": []},
        "names other inputs": {"model_input_names": ["input_ids", "attention_mask", "pixel_values"]},
        "names no types": {"model_input_names": ["input_ids", "attention_mask"]},
        "a template": {"chat_template": "{{ cycler.__init__ }}"},
    }  # fmt: skip
    for what, values in settings.items():
        yield Mutant(f"tokenizer: {what}", own(**values))
    edits: tuple[tuple[str, Callable[[Json], object], Expect], ...] = (
        ("cuts to 5", lambda t: t.update(truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}), SAME),
        ("pads to 50", lambda t: t.update(padding={"strategy": {"Fixed": 50}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "[PAD]"}), SAME),
        ("no special tokens", lambda t: t.update(post_processor=None), GUARDED),
        ("[CLS] last", lambda t: t["post_processor"]["single"].append(t["post_processor"]["single"].pop(0)) or t["post_processor"]["pair"].append(t["post_processor"]["pair"].pop(0)), GUARDED),
        ("no words", lambda t: t["model"].update(vocab={"[UNK]": 3, "<s>": 0, "[PAD]": 1, "</s>": 2}), GUARDED),
        ("a model of another kind", lambda t: t["model"].update(type="NoSuchModel"), REFUSED),
        ("no model", lambda t: t.pop("model"), REFUSED),
        ("a normaliser of another kind", lambda t: t.update(normalizer={"type": "NoSuch"}), REFUSED),
        ("numbers beyond the embedding", lambda t: t["model"]["vocab"].update({"the": 5000}), GUARDED),
        ("more pieces than the embedding has", lambda t: t["model"]["vocab"].update({f"new{i}": 131 + i for i in range(50)}), GUARDED),
        ("a negative number", lambda t: t["model"]["vocab"].update({"the": -1}), REFUSED),
        ("version 9", lambda t: t.update(version="9.0"), GUARDED),
        ("no letters, so that nearly all is unknown", lambda t: [t["model"]["vocab"].pop(piece) for piece in list(t["model"]["vocab"]) if len(piece.strip("#")) == 1 and piece.strip("#").isalpha()], GUARDED),
    )  # fmt: skip
    for what, edit, expects in edits:
        yield Mutant(f"tokenizer: {what}", backend(edit), expects)

    def none(world: World) -> None:
        for file in world.model.glob("tokenizer*"):
            file.unlink()

    yield Mutant("tokenizer: no files", none, REFUSED)
