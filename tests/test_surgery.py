"""Checkpoints without some heads put out what the model with the same heads disabled does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, pipeline

import families
import removals
import zoo
from families import HEADS, LAYERS
from headscope.axes import Head, all_heads
from headscope.errors import HeadscopeError, InterventionError
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.reduced import ReducedAttention, real_tokens
from headscope.model.reduced_files import REDUCED_WEIGHTS
from headscope.model.reduced_weights import reduced_copy
from headscope.model.removal import Removal
from headscope.pruning.card import Cost
from headscope.pruning.full import folded_copy, write_full
from headscope.pruning.small import write_small
from headscope.training.checkpoint import save_checkpoint
from headscope.training.loop import train
from headscope.training.recipe import Recipe
from removals import FAMILIES, MODES, SETS, TASK, TEXTS, outputs


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("families")
    return {family: removals.model_of(family, root) for family in FAMILIES}


@pytest.fixture(scope="module")
def bert(models: dict[str, Model]) -> Model:
    return models["bert"]


@pytest.fixture
def small(bert: Model, tmp_path: Path) -> Model:
    removal = Removal.of(bert, SETS["a whole layer"], "uniform")
    return load(write_small(bert, removal, TASK, tmp_path / "small").folder, device="cpu")


def put_out_by(hf: Any, model: Model) -> Tensor:
    """What a copy of a model puts out for what `outputs` gives the model."""
    batches = [removals.batch_of(model), removals.batch_of(model, TEXTS[:1])]
    with torch.no_grad():
        return torch.cat([hf(**batch).logits for batch in batches])


def can_be_folded(family: str, mode: str) -> bool:
    """Uniform attention is not exact in these weights; the refusal is tested below."""
    return mode != "uniform" or family not in ("mpnet", "modernbert")


@pytest.mark.parametrize("heads", SETS.values(), ids=SETS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_copies_put_out_what_the_disabled_model_does(
    family: str, mode: Any, heads: tuple[Head, ...], models: dict[str, Model]
) -> None:
    model = models[family]
    removal = Removal.of(model, heads, mode)
    expected = outputs(model, removal)
    # The removal is far from nothing.
    assert (expected - outputs(model)).abs().max() > 1e-2
    assert torch.allclose(put_out_by(reduced_copy(model, removal), model), expected, atol=1e-5)
    if can_be_folded(family, mode):
        assert torch.allclose(put_out_by(folded_copy(model, removal), model), expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpoints_put_out_the_same_loaded_from_disk(
    family: str, models: dict[str, Model], tmp_path: Path
) -> None:
    model = models[family]
    # Each mode is one of some family's.
    mode = MODES[FAMILIES.index(family) % 3]
    removal = Removal.of(model, SETS["a whole layer"], mode)
    expected = outputs(model, removal)
    written = write_small(model, removal, TASK, tmp_path / "small")
    assert written.difference <= 1e-5
    assert torch.allclose(outputs(load(written.folder, device="cpu")), expected, atol=1e-5)
    if can_be_folded(family, mode):
        written = write_full(model, removal, TASK, tmp_path / "full")
        # A whole model, whose heads can be observed and disabled.
        loaded = load(written.folder, device="cpu")
        assert torch.allclose(outputs(loaded), expected, atol=1e-5)
        assert len(loaded.maps("the nurse").maps) == LAYERS
        plain: Any = AutoModelForSequenceClassification.from_pretrained(written.folder)
        assert torch.allclose(put_out_by(plain, model), expected, atol=1e-5)


def test_uniform_heads_of_layers_that_see_all_tokens_are_folded(models: dict[str, Model]) -> None:
    model = models["modernbert"]
    # The first and the third layer see all tokens.
    removal = Removal.of(model, "L1H2,L3H1,L3H5", "uniform")
    found = put_out_by(folded_copy(model, removal), model)
    assert torch.allclose(found, outputs(model, removal), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "heads", "reason"),
    [
        (
            "modernbert",
            "L2H1",
            "layer 2 sees a window, not all tokens: the checkpoint small has it",
        ),
        (
            "mpnet",
            "L2H1",
            "attend by relative positions, the same in all layers: the checkpoint small",
        ),
    ],
)
def test_uniform_that_weights_cannot_say_is_refused(
    family: str, heads: str, reason: str, models: dict[str, Model], tmp_path: Path
) -> None:
    removal = Removal.of(models[family], heads, "uniform")
    with pytest.raises(HeadscopeError, match=reason):
        write_full(models[family], removal, TASK, tmp_path / "full")
    assert not (tmp_path / "full").exists()


def test_full_loads_in_a_process_without_headscope(bert: Model, tmp_path: Path) -> None:
    removal = Removal.of(bert, SETS["a whole layer"], "mean")
    folder = write_full(bert, removal, TASK, tmp_path / "full").folder
    code = (
        "import json, sys, torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "batch = tokenizer(json.loads(sys.argv[2]), padding=True, return_tensors='pt')\n"
        "assert not any(name.startswith('headscope') for name in sys.modules)\n"
        "with torch.no_grad(): print(json.dumps(model(**batch).logits.tolist()))\n"
        "print(json.dumps(list(model.config.id2label.values())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), json.dumps(TEXTS)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, labels = map(json.loads, done.stdout.strip().splitlines()[-2:])
    assert torch.allclose(torch.tensor(found), outputs(bert, removal)[: len(TEXTS)], atol=1e-5)
    assert labels == ["no", "yes", "maybe"]


def test_transformers_alone_refuses_small(small: Model) -> None:
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AutoModelForSequenceClassification.from_pretrained(small.path)
    text = (Path(small.path) / "README.md").read_text()
    assert "`from_pretrained` of transformers alone cannot load it" in text
    assert "headscope.load" in text


def test_small_is_smaller_by_what_was_removed(bert: Model, tmp_path: Path) -> None:
    whole = sum(tensor.numel() for tensor in bert.hf.parameters())
    hidden, size = HEADS * families.HEAD_SIZE, families.HEAD_SIZE
    removal = Removal.of(bert, SETS["some"], "zero")
    written = write_small(bert, removal, TASK, tmp_path / "small")
    # Queries, keys, values with their biases, and columns of the output projection.
    assert whole - written.parameters == len(SETS["some"]) * (4 * size * hidden + 3 * size)
    # No uniform set makes a model larger.
    for heads in ("L1H1", "L1H1,L1H2", "L1H1,L1H2,L1H3", "L1H1,L1H2,L1H3,L1H4"):
        uniform = Removal.of(bert, heads, "uniform")
        assert write_small(bert, uniform, TASK, tmp_path / "small").parameters < whole


def test_small_written_again_is_the_same_to_the_bit(small: Model, tmp_path: Path) -> None:
    before = load_file(Path(small.path) / REDUCED_WEIGHTS)
    save_checkpoint(small, TASK, tmp_path / "again")
    after = load_file(tmp_path / "again" / REDUCED_WEIGHTS)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = load(tmp_path / "again", device="cpu")
    assert again.hash == small.hash
    assert torch.equal(outputs(again), outputs(small))
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["headscope"] == {
        "format": 1, "mode": "uniform", "layers": 3, "heads": 5,
        "kept": [[1, 2, 4, 5], [], [1, 2, 3, 4, 5]],
    }  # fmt: skip


def test_a_pipeline_takes_small(small: Model) -> None:
    make: Any = pipeline
    classify = make("text-classification", model=small.hf, tokenizer=small.tokenizer)
    found = classify(TEXTS, batch_size=3)
    expected = outputs(small)[: len(TEXTS)].argmax(-1)
    names = [TASK.labels[int(index)] for index in expected]
    assert [answer["label"] for answer in found] == names


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_small_is_scored_and_trained(family: str, models: dict[str, Model], tmp_path: Path) -> None:
    model = models[family]
    removal = Removal.of(model, SETS["a whole layer"], "uniform")
    small = load(write_small(model, removal, TASK, tmp_path / "small").folder, device="cpu")
    labels = torch.arange(12).remainder(3).numpy()
    encoded = encode(Split(tuple(TEXTS * 4), None, labels), small.tokenizer, 64)
    before = logits(small, encoded, precision="fp32")
    losses = train(
        small, TASK, encoded, labels, Recipe(epochs=8, batch_size=12, lr=1e-2, precision="fp32")
    )
    assert losses[-1] < losses[0]
    # What stands for removed heads learns too.
    reduced = [module for module in small.hf.modules() if isinstance(module, ReducedAttention)]
    trained = load(tmp_path / "small", device="cpu").hf
    untrained = [module for module in trained.modules() if isinstance(module, ReducedAttention)]
    for one, other in zip(reduced, untrained, strict=True):
        for (name, tensor), old in zip(one.named_parameters(), other.parameters(), strict=True):
            # A constant that is the same for all queries' scores has no gradient.
            assert "k" in name or "Wqkv" in name or not torch.equal(tensor, old), name
    save_checkpoint(small, TASK, tmp_path / "tuned")
    after = logits(load(tmp_path / "tuned", device="cpu"), encoded, precision="fp32")
    assert (after == logits(small, encoded, precision="fp32")).all()
    assert (after != before).any()


def test_heads_of_small_are_refused_in_one_sentence(small: Model) -> None:
    batch = removals.batch_of(small)
    message = (
        "heads of .* are removed, and those that stay can be neither seen nor disabled: use the"
    )
    with pytest.raises(InterventionError, match=message), small.disabled("L1H1"):
        pass
    with pytest.raises(InterventionError, match=message):
        small.maps(TEXTS[0])
    with pytest.raises(InterventionError, match=message):
        small.measure_means([batch])
    with pytest.raises(InterventionError, match=message):
        _ = small.projections
    with pytest.raises(InterventionError, match=message):
        _ = small.output_layers
    assert "6 of the 15 heads" in " ".join(small.notes)


def test_a_wrong_checkpoint_is_found_and_not_kept(
    bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The means are those of another head."""
    removal = Removal.of(bert, SETS["some"], "mean")
    wrong = Removal(removal.heads, "mean", removal.means.roll(1, 1))  # type: ignore[union-attr]
    monkeypatch.setattr(
        "headscope.pruning.small.reduced_copy", lambda model, _: reduced_copy(model, wrong)
    )
    with pytest.raises(InterventionError, match="puts out something else than the model"):
        write_small(bert, removal, TASK, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def test_padding_counts_in_no_mean(
    bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With padding counted, the check at writing fails."""

    def all_of(mask: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(real_tokens(mask))

    monkeypatch.setattr("headscope.model.reduced.real_tokens", all_of)
    with pytest.raises(InterventionError, match="puts out something else than the model"):
        write_small(bert, Removal.of(bert, "L1H1", "uniform"), TASK, tmp_path / "small")


def test_a_failed_checkpoint_leaves_the_one_before(
    bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal = Removal.of(bert, "L1H1", "zero")
    write_small(bert, removal, TASK, tmp_path / "small")
    before = {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}

    def full(*_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("headscope.pruning.checkpoint.card", full)
    with pytest.raises(OSError, match="no space left"):
        write_small(bert, Removal.of(bert, "L1H2", "zero"), TASK, tmp_path / "small")
    assert {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_folder_of_other_things_is_not_replaced(bert: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(HeadscopeError, match="holds something else than a checkpoint"):
        write_small(bert, Removal.of(bert, "L1H1", "zero"), TASK, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_albert_is_refused_for_both(tmp_path: Path) -> None:
    model = load(zoo.folder_of("albert", tmp_path), device="cpu")
    removal = Removal.of(model, "L1H1", "zero")
    with pytest.raises(HeadscopeError, match=r"one module for all layers"):
        write_full(model, removal, TASK, tmp_path / "full")
    with pytest.raises(HeadscopeError, match=r"one module for all layers"):
        write_small(model, removal, TASK, tmp_path / "small")


@pytest.mark.parametrize("family", ["deberta-v2", "t5"])
def test_another_family_is_written_full_and_refused_small(family: str, tmp_path: Path) -> None:
    model = load(zoo.folder_of(family, tmp_path), device="cpu")
    removal = Removal.of(model, "L1H1,L2H3", "zero")
    with pytest.raises(
        HeadscopeError, match=rf"\({family}\) cannot be removed .*write the checkpoint full"
    ):
        write_small(model, removal, TASK, tmp_path / "small")
    assert write_full(model, removal, TASK, tmp_path / "full").difference <= 1e-5
    uniform = Removal.of(model, "L1H1", "uniform")
    with pytest.raises(HeadscopeError, match="use the mode mean or zero"):
        write_full(model, uniform, TASK, tmp_path / "full")


def test_a_mean_without_a_bias_to_hold_it_is_refused(tmp_path: Path) -> None:
    model = load(zoo.folder_of("t5", tmp_path), device="cpu")
    model.measure_means([removals.batch_of(model)])
    with pytest.raises(
        HeadscopeError, match="have no bias for the mean outputs .*use the mode zero"
    ):
        write_full(model, Removal.of(model, "L1H1", "mean"), TASK, tmp_path / "full")


def test_a_removal_says_what_it_lacks(bert: Model) -> None:
    with pytest.raises(HeadscopeError, match="no head is to be removed"):
        Removal(frozenset(), "zero")
    with pytest.raises(HeadscopeError, match="these are not known: call model.measure_means"):
        Removal(frozenset([Head(1, 1)]), "mean")
    with pytest.raises(HeadscopeError, match="L9H1 does not exist"):
        Removal.of(bert, "L9H1", "zero")


def damaged(config: dict[str, Any]) -> None:
    config["headscope"]["kept"][0] = [2, 1]


def foreign(config: dict[str, Any]) -> None:
    config["headscope"]["kept"][0] = [1, 6]


def later(config: dict[str, Any]) -> None:
    config["headscope"]["format"] = 2


def short(config: dict[str, Any]) -> None:
    config["headscope"]["kept"].pop()


def other_mode(config: dict[str, Any]) -> None:
    config["headscope"]["mode"] = "median"


def other_heads(config: dict[str, Any]) -> None:
    config["headscope"]["kept"][0] = [1]


def no_list(config: dict[str, Any]) -> None:
    config["headscope"]["kept"] = 3


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damaged, "layer 1 keeps .* expected rising numbers from 1 to 5"),
        (foreign, "layer 1 keeps .* expected rising numbers from 1 to 5"),
        (later, "version 2 of the format"),
        (short, "it lists 2 layers, the model has 3"),
        (other_mode, "the mode 'median' is none of"),
        (other_heads, "the weights of .* cannot be loaded"),
        (no_list, "cannot be read from its config.json"),
    ],
)
def test_a_damaged_small_folder_is_refused(damage: Any, reason: str, small: Model) -> None:
    path = Path(small.path) / "config.json"
    config = json.loads(path.read_text())
    damage(config)
    path.write_text(json.dumps(config))
    with pytest.raises(HeadscopeError, match=reason):
        load(small.path)


def test_weights_of_small_that_are_missing_or_damaged_are_refused(
    small: Model, tmp_path: Path
) -> None:
    file = Path(small.path) / REDUCED_WEIGHTS
    tensors = load_file(file)
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, file)
    with pytest.raises(HeadscopeError, match="are not finite"):
        load(small.path)
    file.write_bytes(b"{}")
    with pytest.raises(HeadscopeError, match="cannot be loaded from"):
        load(small.path)
    file.unlink()
    with pytest.raises(HeadscopeError, match=f"has no {REDUCED_WEIGHTS}"):
        load(small.path)


def test_small_is_not_taken_for_something_else(small: Model) -> None:
    with pytest.raises(HeadscopeError, match="has a classification head with 3 outputs"):
        load(small.path, labels=2)
    with pytest.raises(HeadscopeError, match="use the model that it was made from"):
        load(small.path, init="random")


def test_an_encoder_without_a_classifier_is_written(tmp_path: Path) -> None:
    model = load(families.make_encoder("bert", tmp_path / "encoder"), device="cpu")
    written = write_small(model, Removal.of(model, "L1H1", "uniform"), TASK, tmp_path / "small")
    small = load(written.folder, device="cpu")
    assert not small.has_head
    assert "pipeline" not in (written.folder / "README.md").read_text()
    with pytest.raises(HeadscopeError, match="has no classification head"):
        load(written.folder, labels=2)


def test_a_card_says_what_was_removed_and_what_it_costs(bert: Model, tmp_path: Path) -> None:
    costs = [
        Cost("accuracy", 78.7, 77.2, -3.1, 0.2, 408),
        Cost("f1 | <b>", 85.0, 84.0, None, None, 408),
    ]
    model = load(bert.path, device="cpu")
    model.name = "evil](http://x)\n---\n<script>*"
    removal = Removal.of(model, SETS["a whole layer"], "zero")
    for writer, form in ((write_small, "small"), (write_full, "full")):
        written = writer(model, removal, TASK, tmp_path / form, costs)
        text = (written.folder / "README.md").read_text()
        front, body = text.split("\n---\n", 1)
        assert front.startswith("---\nlibrary_name: ")
        assert "base_model" not in front
        assert "| accuracy | 78.70 | 77.20 | -1.50 | -3.10 to +0.20 | 408 | points |" in body
        assert r"| f1 \| &lt;b&gt; | 85.00 | 84.00 | -1.00 | none | 408 | points |" in body
        assert "| 1 | 3 |\n| 2 | 1, 2, 3, 4, 5 |\n| 3 | none |" in body
        assert f"weights {bert.hash}" in body
        assert f"{written.parameters:,} weights" in body
        assert f"{written.bytes:,} bytes" in body
        assert "<script>" not in text
        assert "](http://x)" not in text.replace(r"\]\(http://x\)", "")
        assert body.count("\n---") == 0


def test_full_of_a_pruned_model_says_which_heads_were_folded(bert: Model, tmp_path: Path) -> None:
    written = write_full(bert, Removal.of(bert, "L1H2,L2H1", "zero"), TASK, tmp_path / "full")
    loaded = load(written.folder, device="cpu")
    assert "the removal of 2 of the 15 heads" in " ".join(loaded.notes)


def test_a_copy_of_small_elsewhere_is_the_same(small: Model, tmp_path: Path) -> None:
    shutil.copytree(small.path, tmp_path / "elsewhere")
    assert torch.equal(outputs(load(tmp_path / "elsewhere", device="cpu")), outputs(small))


def test_every_head_is_named_once(bert: Model) -> None:
    removal = Removal.of(bert, SETS["all but one"], "zero")
    assert removal.kept(LAYERS, HEADS) == ((), (2,), ())
    assert removal.heads | {Head(2, 3)} == frozenset(all_heads(LAYERS, HEADS))


def test_a_folder_is_no_model_that_others_can_find(
    bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bert.path, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    model = load("tiny", device="cpu")
    written = write_full(model, Removal.of(model, "L1H2", "zero"), TASK, tmp_path / "full")
    assert "base_model" not in (written.folder / "README.md").read_text()
