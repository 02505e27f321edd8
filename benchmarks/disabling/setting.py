"""What all jobs of the benchmark share: the model by headscope and by transformers, the examples,
the sets of heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp

from torch import Tensor

from disabling.rivals import Batches, Heads, Mode, Plain, best_tokens, by_length, in_order
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, parse_sets
from headscope.axes import HeadSet
from headscope.examples import Split
from headscope.model.encoding import MAX_LENGTH, Encoded, encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.precision import Precision
from headscope.tasks.base import Task


@dataclass(frozen=True)
class Asked:
    """What the command line asks of every job.

    Attributes:
        heads: The sets of heads, as `headscope disable --heads` takes them.
        mode: What a disabled head puts out.
        precisions: Those of headscope that are timed.
        batch_tokens: Tokens of headscope's batches; None for what it chooses itself.
    """

    heads: str
    mode: Mode
    precisions: Sequence[Precision]
    batch_tokens: int | None


class Setting:
    """A model, its examples and the sets of heads.

    Attributes:
        task: The task.
        split: The examples.
        model: The model as headscope loads it.
        plain: The same checkpoint as transformers loads it.
        folder: The checkpoint that both are of.
        encoded: The examples as token ids.
        sets: The sets of heads.
        asked: What the command line asks.
    """

    def __init__(self, name: str, task: Task, split: Split, asked: Asked) -> None:
        self.task, self.split, self.asked = task, split, asked
        self.model = load(name, labels=task.outputs)
        self.folder = checkpoint(self.model)
        self.plain = Plain(self.folder, asked.mode, self.model.hf.device)
        if len(self.plain.layers) not in (1, self.model.layers):
            raise SystemExit(f"{name}: not every layer's module was found")
        length = min(MAX_LENGTH, self.model.max_length)
        self.encoded = encode(split, self.model.tokenizer, length)
        self.sets = parse_sets(asked.heads, self.model.layers, self.model.heads)

    @property
    def mode(self) -> Mode:
        """What a disabled head puts out in headscope and in the loops."""
        return self.plain.mode

    @property
    def work(self) -> str:
        """The examples and the mode in words; a job says how many sets it scores."""
        return (
            f"{self.task.name}: {len(self.encoded)} examples of {self.encoded.lengths.mean():.1f} "
            f"tokens, mode {self.mode}"
        )

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        notes = []
        if self.mode != self.asked.mode:
            notes.append(
                f"mode {self.mode}: the projection to values of {self.model.family} cannot be "
                f"hooked, which {self.asked.mode} needs in the loops"
            )
        if not self.model.trained_head:
            notes.append("the classification head is new, with random weights")
        return notes

    def scorer(
        self, precision: Precision, *, encoded: Encoded | None = None, layers_kept: int | None = 1
    ) -> Scorer:
        """A new scorer; `layers_kept` is 1 where all sets come in one call."""
        examples = self.encoded if encoded is None else encoded
        if self.asked.batch_tokens is None:
            return Scorer(
                self.model, examples, self.mode, precision=precision, layers_kept=layers_kept
            )
        return Scorer(
            self.model,
            examples,
            self.mode,
            batch_tokens=self.asked.batch_tokens,
            precision=precision,
            layers_kept=layers_kept,
        )

    @cached_property
    def loop_batches(self) -> Batches:
        """The batches of the loop that people write."""
        return in_order(len(self.encoded), self._batch)

    @cached_property
    def long_batches(self) -> Batches:
        """The batches of the skilled loop and of a bare pass."""
        tokens = best_tokens(self.plain.device)
        return by_length(self.encoded.lengths.tolist(), tokens, self._batch)

    def _batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        return self.encoded.batch(rows, self.plain.device)


def by_layer(heads: HeadSet) -> Heads:
    """A set as the rivals take it."""
    chosen: dict[int, list[int]] = {}
    for head in sorted(heads):
        layer, index = head.index
        chosen.setdefault(layer, []).append(index)
    return chosen


def first_layers(sets: Sequence[NamedSet]) -> list[int]:
    """The layer, from 1, of the first head of every set."""
    return [min(heads).layer for _, heads in sets]


def checkpoint(model: Model) -> Path:
    """A folder with the model's weights: its own, or a copy where its head is new."""
    if model.trained_head and Path(model.path).is_dir():
        return Path(model.path)
    folder = Path(mkdtemp(prefix="headscope-benchmark-"))
    model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder
