"""A classifier of base size with random weights, where no checkpoint of that size is at hand.

    python benchmarks/random_model.py bert-base TOKENIZER OUT [--labels 2]

TOKENIZER is a folder with the tokenizer whose vocabulary the model has. What is timed does not
depend on the weights, except for how many examples `auto` computes again.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

# The family, and what its base size has that is not transformers' default.
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-base": ("bert", {}),
    "distilbert-base": ("distilbert", {}),
    "modernbert-base": ("modernbert", {}),
    "deberta-v3-base": (
        "deberta-v2",
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "max_relative_positions": -1,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
}


def write(size: str, tokenizer_of: Path, folder: Path, labels: int = 2) -> None:
    """Write the model with its tokenizer."""
    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_of)
    family, options = SIZES[size]
    config = AutoConfig.for_model(
        family,
        **options,
        vocab_size=len(tokenizer),
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        # Larger than 0.02, so that attention is far from uniform and outputs differ.
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    auto: Any = AutoModelForSequenceClassification
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Parse the arguments and write the model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=sorted(SIZES))
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=int, default=2)
    given = parser.parse_args()
    write(given.size, given.tokenizer, given.out, given.labels)


if __name__ == "__main__":
    main()
