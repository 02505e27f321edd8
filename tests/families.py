"""Tiny random models of many families with one small tokenizer; every size is a prime of its own."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

HEADS, LAYERS, HEAD_SIZE = 5, 3, 4
SIZES: dict[str, Any] = {
    "vocab_size": 131,
    "hidden_size": HEADS * HEAD_SIZE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 23,
    "max_position_embeddings": 149,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "cls_token_id": 0,
    "sep_token_id": 2,
    # Larger than usual, so that attention is far from uniform and heads differ.
    "initializer_range": 0.5,
}
# What a family names otherwise, or needs besides.
OWN: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1},
    "distilbert": {"dim": 20, "n_heads": HEADS, "n_layers": LAYERS, "hidden_dim": 23},
    "electra": {"embedding_size": 13},
    "albert": {"embedding_size": 13, "num_hidden_groups": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "camembert": {"type_vocab_size": 1},
    "modernbert": {
        "local_attention": 6,
        "global_attn_every_n_layers": 2,
        "initializer_cutoff_factor": 2.0,
    },
    "ernie": {},
    "data2vec-text": {"type_vocab_size": 1},
    "roberta-prelayernorm": {"type_vocab_size": 1},
}


TYPED = ("bert", "electra", "albert", "ernie")


MARKS = {
    "bert": ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
    "t5": ("$A </s>", "$A </s> $B:1 </s>:1"),
    "xlnet": ("$A </s> <s>", "$A </s> $B:1 </s>:1 <s>:1"),
}


def tokenizer(types: bool = False, marks: str = "bert") -> PreTrainedTokenizerFast:
    """WordPiece over single letters: every lower-case English text has its pieces. With `types`, token types too."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [
        "<s>",
        "[PAD]",
        "</s>",
        "[UNK]",
        *".,?!'\"0123456789-",
        *letters,
        *(f"##{c}" for c in letters),
    ]
    pieces += [
        "the",
        "##ed",
        "##er",
        "nurse",
        "pilot",
        "thank",
        "not",
        "was",
        "by",
        "it",
        "who",
        "in",
        "on",
        "##s",
    ]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single=MARKS[marks][0],
        pair=MARKS[marks][1],
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token=None if marks == "t5" else "<s>", sep_token="</s>", pad_token="[PAD]",
        unk_token="[UNK]", bos_token="<s>", eos_token="</s>", model_max_length=139, model_input_names=inputs,
    )  # fmt: skip


def make(family: str, folder: Path, labels: int = 2, **more: Any) -> Path:
    """Write a tiny random model of `family` with its tokenizer into `folder`."""
    import torch

    torch.manual_seed(17)
    config = AutoConfig.for_model(
        family, **{**SIZES, **OWN.get(family, {}), "num_labels": labels, **more}
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer(family in TYPED).save_pretrained(folder)
    return folder


def make_encoder(family: str, folder: Path, **more: Any) -> Path:
    """Write a tiny random encoder without a classification head."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(17)
    config = AutoConfig.for_model(family, **{**SIZES, **OWN.get(family, {}), **more})
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer(family in TYPED).save_pretrained(folder)
    return folder


def make_decoder(family: str, folder: Path, **more: Any) -> Path:
    """Write a tiny random model that may be a decoder; `more` has its own names of sizes."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(17)
    sizes = {**SIZES, "num_key_value_heads": HEADS, "head_dim": HEAD_SIZE, **more}
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
