"""The model card of a checkpoint without some heads: what was removed, what it costs, how it is
loaded, what it cannot do.
"""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headscope.axes import Head
from headscope.model.classes import OF_QUESTIONS, OF_TOKENS
from headscope.model.classes import Head as ModelHead
from headscope.model.model import Model
from headscope.model.pooling import Pooling
from headscope.model.reduced_files import REDUCED_WEIGHTS
from headscope.model.removal import Removal
from headscope.model.span_scores import LONGEST
from headscope.pruning.repair import Repair
from headscope.tasks.base import Task

Form = Literal["full", "small"]

_ON_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_LONGEST = 200
_INSTEAD = {
    "zero": "A removed head adds nothing.",
    "mean": "In place of a removed head stands its mean output, a constant.",
    "uniform": "A removed head attends to all tokens of a text alike.",
}


@dataclass(frozen=True)
class Cost:
    """What a removal costs by one metric, measured on examples that were not searched on.

    Attributes:
        metric: The metric, as in "accuracy".
        whole: Its value for the whole model, in `unit`.
        pruned: Its value without the heads.
        low: Lower end of the 95% interval of the change, `pruned` minus `whole`; None where there
            is none.
        high: Its upper end.
        n: How many examples were scored.
        unit: What the values are counted in.
    """

    metric: str
    whole: float
    pruned: float
    low: float | None
    high: float | None
    n: int
    unit: str = "points"


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        model: The whole model.
        removal: What is removed.
        task: The task.
        form: Which kind of checkpoint it is.
        costs: What the removal costs.
        repair: Output projections that were fitted again; None if none were.
        epochs: For how many epochs the model was trained on without the removed heads.
        pooling: How the states of an embedder become vectors; None for a model with a head.
    """

    model: Model
    removal: Removal
    task: Task
    form: Form
    costs: tuple[Cost, ...] = ()
    repair: Repair | None = None
    epochs: int = 0
    pooling: Pooling | None = None


def card(subject: Subject, parameters: int, size: int) -> str:
    """A card in Markdown with the front matter of the hub.

    Args:
        subject: What it is about.
        parameters: How many weights the checkpoint has.
        size: How large its file of weights is, in bytes.
    """
    model, removal = subject.model, subject.removal
    of, gone = model.layers * model.heads, len(removal.heads)
    name = plain(model.name)
    parts = [
        _front_matter(subject),
        f"# {name} without {gone} of {of} attention heads\n",
        f"Made from {name} (weights {model.hash}, family {plain(model.family)}) for the task "
        f"{plain(subject.task.name)} with headscope.\n",
        f"## What was removed\n\n{gone} of {of} heads, mode {removal.mode}. "
        f"{_INSTEAD[removal.mode]} Layers and heads are counted from 1.\n\n"
        f"{_heads_table(removal.heads, model.layers)}{_repaired(subject.repair)}"
        f"{_trained(subject.epochs)}",
        f"## What it costs\n\n{_costs_table(subject.costs, _unit(model))}\n"
        f"{_size(model, parameters, size)}",
        _how_to_load(subject),
        _limits(subject),
    ]
    return "\n".join(parts)


def plain(text: str) -> str:
    """A text of others as words of a Markdown page: no marks, no markup, one line.

    >>> plain("a*b*<i>")
    'a\\\\*b\\\\*&lt;i&gt;'
    """
    line = " ".join(text.split())[:_LONGEST]
    return _MARKS.sub(r"\\\1", html.escape(line, quote=False))


def _front_matter(subject: Subject) -> str:
    model = subject.model
    lines = ["---"]
    of_full = "transformers" if subject.pooling is None else "sentence-transformers"
    lines.append(f"library_name: {of_full if subject.form == 'full' else 'headscope'}")
    if subject.pooling is not None:
        lines.append("pipeline_tag: sentence-similarity")
    elif model.head is not None:
        lines.append(f"pipeline_tag: {model.head.task}")
    # A folder of this machine is no model that others can find; JSON is YAML.
    is_here = Path(model.path).exists()
    if model.path == model.name and _ON_HUB.fullmatch(model.path) and not is_here:
        lines.append(f"base_model: {json.dumps(model.path)}")
    lines += ["tags:", "- headscope", "- attention-head-pruning"]
    names = [cost.metric for cost in subject.costs]
    if names:
        lines.append("metrics:")
        lines += [f"- {json.dumps(name)}" for name in names]
    return "\n".join([*lines, "---", ""])


def _heads_table(heads: Iterable[Head], layers: int) -> str:
    rows = ["| layer | removed heads |", "|---|---|"]
    for layer in range(1, layers + 1):
        names = [str(head.head) for head in sorted(heads) if head.layer == layer]
        rows.append(f"| {layer} | {', '.join(names) or 'none'} |")
    return "\n".join([*rows, ""])


def _unit(model: Model) -> str:
    """What the examples are called of which tests and intervals are: of tags and of answers, which
    stand together in an example, whole sentences and texts.
    """
    if model.head is OF_TOKENS:
        return "sentences"
    return "texts" if model.head is OF_QUESTIONS else "examples"


def _costs_table(costs: Iterable[Cost], unit: str) -> str:
    rows = [
        f"| {plain(cost.metric)} | {cost.whole:.2f} | {cost.pruned:.2f} | "
        f"{cost.pruned - cost.whole:+.2f} | {_interval(cost)} | {cost.n} | {plain(cost.unit)} |"
        for cost in costs
    ]
    if not rows:
        return "Not measured when this checkpoint was written.\n"
    head = f"| metric | whole | without the heads | change | 95% interval | {unit} | unit |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows, ""])


def _interval(cost: Cost) -> str:
    if cost.low is None or cost.high is None:
        return "none"
    return f"{cost.low:+.2f} to {cost.high:+.2f}"


def _size(model: Model, parameters: int, size: int) -> str:
    whole = sum(tensor.numel() for tensor in model.hf.parameters())
    share = 100 * parameters / whole
    return (
        f"The model has {parameters:,} weights ({share:.1f}% of the whole model's {whole:,}), a "
        f"file of {size:,} bytes.\n"
    )


def _repaired(repair: Repair | None) -> str:
    if repair is None:
        return ""
    return (
        "\nThe output projections of the heads that stay were fitted again, by least squares and "
        "without training, to what attention puts out in the whole model, on "
        f"{repair.tokens:,} tokens.\n"
    )


def _trained(epochs: int) -> str:
    if not epochs:
        return ""
    passes = "one epoch" if epochs == 1 else f"{epochs} epochs"
    return f"\nThe model was then trained on without them, for {passes} of the task's examples.\n"


def _how_to_load(subject: Subject) -> str:
    if subject.pooling is not None:
        return _how_to_embed(subject, subject.pooling)
    head = subject.model.head
    if subject.form == "full":
        auto = "AutoModel" if head is None else head.auto.__name__
        code = f'from transformers import {auto}\n\nmodel = {auto}.from_pretrained("this folder")\n'
        return f"## How to load it\n\n```python\n{code}```\n{_what_counts(head)}"
    code = _small_code(head)
    return f"## How to load it\n\n```python\n{code}```\n{_what_counts(head)}\n{_NOT_ALONE}"


def _what_counts(head: ModelHead | None) -> str:
    """Which of a model's outputs the scores above are of, in a paragraph."""
    if head is OF_TOKENS:
        return "\nThe tag of a word is that of its first token.\n"
    if head is OF_QUESTIONS:
        return (
            f"\nThe scores are of the span of the text, of at most {LONGEST} tokens, whose first "
            "and last token have the largest sum of both outputs; long texts were read in "
            "windows.\n"
        )
    return ""


_CALLED = {
    "text-classification": "classify",
    "token-classification": "tag",
    "fill-mask": "fill",
}
"""What a card calls the pipelines that transformers has."""


def _small_code(head: ModelHead | None) -> str:
    """How a model from which heads are removed is loaded and asked."""
    loaded = 'model = headscope.load("this folder")\n'
    if head is None:
        return f"import headscope\n\n{loaded}"
    if head is OF_QUESTIONS:
        # transformers 5 has no pipeline for it.
        return (
            f"import headscope\nimport torch\n\n{loaded}"
            'batch = model.tokenizer(question, text, return_tensors="pt")\n'
            "with torch.no_grad():\n    outputs = model.hf(**batch)\n"
            "# The best span of the text, which begins before it ends and has at most "
            f"{LONGEST} tokens.\n"
            "is_text = torch.tensor([number == 1 for number in batch.sequence_ids(0)])\n"
            f"is_span = (is_text[:, None] & is_text).triu().tril({LONGEST - 1})\n"
            "scores = outputs.start_logits[0][:, None] + outputs.end_logits[0]\n"
            "best = int(scores.masked_fill(~is_span, -torch.inf).argmax())\n"
            "first, last = divmod(best, len(is_text))\n"
            'answer = model.tokenizer.decode(batch["input_ids"][0, first : last + 1])\n'
        )
    made = f'pipeline("{head.task}", model=model.hf, tokenizer=model.tokenizer)'
    return (
        "import headscope\nfrom transformers import pipeline\n\n"
        f"{loaded}{_CALLED[head.task]} = {made}\n"
    )


_NOT_ALONE = (
    "`from_pretrained` of transformers alone cannot load it: its layers have fewer heads than "
    f"transformers can build, and its weights are in `{REDUCED_WEIGHTS}`, so that transformers "
    "says it finds no weights. Install headscope, or use the checkpoint `full` beside this "
    "folder, which has the same outputs.\n"
)


def _how_to_embed(subject: Subject, pooling: Pooling) -> str:
    """How a checkpoint of an embedder turns texts into vectors."""
    if subject.form == "full":
        load, model = "from transformers import AutoModel, AutoTokenizer", "encoder"
        made = (
            'encoder = AutoModel.from_pretrained("this folder")\n'
            'tokenizer = AutoTokenizer.from_pretrained("this folder")\n'
        )
    else:
        load, model = "import headscope", "model.hf"
        made = 'model = headscope.load("this folder")\ntokenizer = model.tokenizer\n'
    longest = pooling.longest or subject.model.max_length
    pooled = "vectors = states[:, 0]\n"
    if pooling.pool == "mean":
        pooled = (
            'mask = batch["attention_mask"].unsqueeze(-1)\n'
            "vectors = (states * mask).sum(1) / mask.sum(1)\n"
        )
    prompted = ""
    if pooling.prompt:
        prompted = f"texts = [{json.dumps(pooling.prompt)} + text for text in texts]\n"
    code = (
        f"import torch\n{load}\n\n{made}{prompted}"
        "batch = tokenizer(\n"
        f'    texts, padding=True, truncation=True, max_length={longest}, return_tensors="pt"\n'
        f")\nwith torch.no_grad():\n    states = {model}(**batch)[0]\n{pooled}"
    )
    by_hand = f"```python\n{code}```\n"
    if subject.form == "small":
        return f"## How to load it\n\n{by_hand}\n{_NOT_ALONE}"
    library = (
        "from sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("this folder")\n'
    )
    return f"## How to load it\n\n```python\n{library}```\n\nOr without it:\n\n{by_hand}"


def _limits(subject: Subject) -> str:
    limits = [
        "The heads were chosen for the task above; what they do for other tasks or texts was not "
        "looked at.",
    ]
    if subject.form == "full":
        limits.append(
            "It is neither smaller nor faster than the whole model: the heads are folded into "
            "weights and biases. The checkpoint `small` is."
        )
    else:
        limits.append(
            "The heads that stay can be neither observed nor disabled with headscope; use the "
            "checkpoint `full` for that."
        )
    lines = [f"- {limit}" for limit in limits]
    return "\n".join(["## What it cannot do\n", *lines, ""])
