"""Models of BERT-base's size on real data: MPNet on MRPC, and maps and disabled heads beside
plain transformers. Called by `make results`; writes docs/results/base_size.md.

    HEADSCOPE_MODELS=DIR HEADSCOPE_DATA=DIR python tools/base_size_results.py

HEADSCOPE_MODELS holds all-mpnet-base-v2 as `mpnet`, HEADSCOPE_DATA GLUE as docs/tasks.md describes.
Runs are kept under runs/results and resumed; about two hours on two cores.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

import headscope
from headscope.model.tap import MODES, Call, Mode
from pages import PAGES, RUNS, interval, made_by, table

PAIRS, PAIRS_DISABLED = 40, 20
# microsoft/deberta-v3-base's config.json, but for the vocabulary, which is that of the tokenizer.
DEBERTA_V3 = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "layer_norm_eps": 1e-7,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "type_vocab_size": 0,
    "pad_token_id": 1,
    # Larger than 0.02, so that attention is far from uniform.
    "initializer_range": 0.05,
}


def main() -> None:
    """Write the page."""
    models = Path(os.environ["HEADSCOPE_MODELS"]).resolve()
    mpnet = models / "mpnet"
    run = RUNS / "mpnet"
    headscope.study(model=str(mpnet), task="mrpc", search_examples=0, out=run)
    deberta = random_deberta(mpnet, RUNS / "deberta-v3")
    # A run that was stopped and resumed knows the time of its last process alone.
    made = re.sub("; [0-9]+ minutes on two cores", "", made_by(run)).replace(f"{models}/", "")
    page = [
        "# Models of BERT-base's size: MPNet and DeBERTa-v3",
        "Made by `tools/base_size_results.py`, through `make results`: all-mpnet-base-v2 (12 x 12 "
        "heads, 110 million weights), and DeBERTa-v3's base configuration (12 x 12 heads) with "
        "random weights.",
        "## MPNet on MRPC",
        f"By {made}. Points; 95% intervals.",
        *study_tables(run),
        "## Beside transformers' own attention",
        f"Maps of {PAIRS} pairs of MRPC's validation set, padded, and each text of the first five "
        "pairs alone, against eager attention's `output_attentions`; the largest difference over "
        "all weights of real tokens.",
        table(
            ("model", "weights of attention", "largest difference"),
            [(name, *map_differences(folder)) for name, folder in named(mpnet, deberta)],
        ),
        f"All 144 heads disabled one by one on {PAIRS_DISABLED} pairs, against an explicit form: "
        "transformers' own model, with the head's part of what its output projection reads "
        "replaced by a hook. The largest difference of the encoder's output at real tokens, "
        "relative to its largest value; and the least that disabling a head changes it.",
        table(
            ("model", "mode", "heads", "largest difference", "least change"),
            [("DeBERTa-v3, random", mode, *kept_differences(deberta, mode)) for mode in MODES],
        ),
    ]
    (PAGES / "base_size.md").write_text("\n\n".join(page) + "\n")


def kept_differences(folder: Path, mode: Mode) -> tuple[int, str, str]:
    """`disabled_differences`, or what an earlier run found."""
    file = RUNS / "base_size.json"
    found = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if mode not in found:
        found[mode] = disabled_differences(folder, mode)
        file.write_text(json.dumps(found), "utf-8")
    heads, difference, change = found[mode]
    return heads, difference, change


def named(mpnet: Path, deberta: Path) -> list[tuple[str, Path]]:
    """The two models with what the tables call them."""
    return [("MPNet", mpnet), ("DeBERTa-v3, random", deberta)]


def study_tables(run: Path) -> list[str]:
    """Scores, and the heads that matter most and least."""
    scores = pl.read_parquet(run / "scores.parquet").to_dicts()
    disabled = pl.read_parquet(run / "disabled.parquet").filter(metric="accuracy").sort("delta")
    rows = disabled.to_dicts()
    shown = [*rows[:5], *rows[-5:]]
    significant = sum(row["p_corrected"] < 0.05 for row in rows)
    return [
        table(
            ("configuration", "metric", "score", "n", "majority"),
            [
                (r["configuration"], r["metric"], interval(r), r["n"], f"{r['majority']:.1f}")
                for r in scores
            ],
        ),
        f"Of {len(rows)} heads, {significant} change the accuracy by more than noise (exact "
        "McNemar, Holm over all heads, p < 0.05). The five that lower and the five that raise it "
        "most:",
        table(
            ("head", "change in accuracy", "corrected p"),
            [(r["set"], interval(r, "+"), f"{r['p_corrected']:.3f}") for r in shown],
        ),
    ]


def random_deberta(tokenizer_of: Path, folder: Path) -> Path:
    """A DeBERTa-v3 of base size with random weights, and the tokenizer of another model."""
    if not (folder / "config.json").exists():
        config: Any = AutoConfig.for_model("deberta-v2", vocab_size=30527, **DEBERTA_V3)
        auto: Any = AutoModel
        torch.manual_seed(0)
        auto.from_config(config).save_pretrained(folder)
        for file in tokenizer_of.glob("*token*"):
            shutil.copy(file, folder)
    return folder


def pairs(count: int) -> tuple[list[str], list[str]]:
    """The first pairs of MRPC's validation set."""
    file = Path(os.environ["HEADSCOPE_DATA"]) / "mrpc" / "validation.parquet"
    rows = pl.read_parquet(file).head(count)
    return rows["sentence1"].to_list(), rows["sentence2"].to_list()


def plain(folder: Path) -> Any:
    """The encoder as transformers has it, with eager attention."""
    return AutoModel.from_pretrained(folder, attn_implementation="eager").eval()


@torch.no_grad()
def map_differences(folder: Path) -> tuple[str, str]:
    """How many weights were compared, and the largest difference."""
    model, own = headscope.load(folder), plain(folder)
    first, second = pairs(PAIRS)
    batches: list[tuple[list[str], list[str] | None]] = [(first, second)]
    batches += [([text], None) for text in (*first[:5], *second[:5])]
    weights, largest = 0, 0.0
    for texts in batches:
        batch = model.tokenizer(*texts, padding=True, return_tensors="pt")
        real = batch["attention_mask"].bool()
        calls: list[Call] = []
        with model.observed(calls.append):
            model.hf(**batch)
        maps = [call.maps for call in calls]
        for ours, theirs in zip(maps, own(**batch, output_attentions=True)[-1], strict=True):
            rows = (ours - theirs).transpose(1, 2)[real]
            weights += rows.numel()
            largest = max(largest, float(rows.abs().max()))
    return f"{weights:,}", f"{largest:.1e}"


@torch.no_grad()
def disabled_differences(folder: Path, mode: Mode) -> tuple[int, str, str]:
    """How many heads were disabled, the largest difference from the explicit form, and the least
    change.
    """
    model, own = headscope.load(folder), plain(folder)
    first, second = pairs(PAIRS_DISABLED)
    batch = dict(model.tokenizer(first, second, padding=True, return_tensors="pt"))
    real = batch["attention_mask"].bool()
    layers = parts_of(own)
    unchanged = own(**batch)[0][real]
    scale = float(unchanged.abs().max())
    if mode == "mean":
        model.measure_means([batch])
    largest, least, heads = 0.0, float("inf"), 0
    for layer, (values, reader) in enumerate(layers):
        for head in range(model.heads):
            with replaced(values, reader, head, real, mode):
                expected = own(**batch)[0][real]
            with model.disabled(f"L{layer + 1}H{head + 1}", mode):
                ours = model.hf(**batch)[0][real]
            largest = max(largest, float((ours - expected).abs().max()) / scale)
            least = min(least, float((expected - unchanged).abs().max()) / scale)
            heads += 1
    return heads, f"{largest:.1e}", f"{least:.1e}"


def parts_of(own: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Every layer's projection to values, and the projection that reads its heads."""
    layers: Any = own.get_submodule("encoder.layer")
    if hasattr(layers[0].attention, "attn"):
        return [(layer.attention.attn.v, layer.attention.attn.o) for layer in layers]
    return [(layer.attention.self.value_proj, layer.attention.output.dense) for layer in layers]


@contextmanager
def replaced(
    values: nn.Module, reader: nn.Module, head: int, real: Tensor, mode: Mode
) -> Iterator[None]:
    """While the context is open, a head's part of what `reader` reads is replaced."""
    part = slice(64 * head, 64 * (head + 1))
    projected: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        projected[:] = [output[..., part]]

    def replace(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        states = inputs[0].clone()
        states[..., part] = REPLACEMENTS[mode](projected[-1], states[..., part], real)
        return (states,)

    hooks = [values.register_forward_hook(keep), reader.register_forward_pre_hook(replace)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def mean_of_values(values: Tensor, _outputs: Tensor, real: Tensor) -> Tensor:
    """An example's values, averaged over its real tokens: uniform attention."""
    weights = real[..., None].to(values.dtype)
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def mean_of_outputs(_values: Tensor, outputs: Tensor, real: Tensor) -> Tensor:
    """A head's outputs, averaged over all real tokens of the data."""
    return outputs[real].double().mean(0).to(outputs.dtype)


def nothing(_values: Tensor, outputs: Tensor, _real: Tensor) -> Tensor:
    """Zeros."""
    return torch.zeros_like(outputs)


REPLACEMENTS: dict[Mode, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "uniform": mean_of_values,
    "zero": nothing,
    "mean": mean_of_outputs,
}

if __name__ == "__main__":
    main()
