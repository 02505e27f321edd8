"""Score a model with any sets of its heads disabled, as often as a search asks for it.

A model is run from the layer on in which sets begin to differ, many sets at once (`stacked`): one
that is built like BERT by its own layers (`bert_layers`), any other by its own forward pass
(`any_layers`). Where neither gives the model's own outputs, the model is run once for every set
(`forms`).
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from headscope.ablation.any_layers import AnyLayers
from headscope.ablation.bert_layers import BertLayers
from headscope.ablation.checked import TOLERANCE, depends_on_padding, difference_from_model
from headscope.ablation.forms import Form, OneByOne
from headscope.ablation.half import formats, halves, try_format
from headscope.ablation.kept_states import KeptStates
from headscope.ablation.layered import Layered
from headscope.ablation.plan import Trunk, Unit
from headscope.ablation.sets import NamedSet, SetResult, named_set
from headscope.ablation.stacked import Precise, Stacked
from headscope.axes import Head, Heads, HeadSet, check_inside, head_set
from headscope.errors import InterventionError
from headscope.model.budget import fitting_tokens
from headscope.model.encoding import Encoded, only
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.precision import Precision
from headscope.model.tap import Mode
from headscope.progress import say

MEMORY = 2 * 2**30
"""How many bytes of a model's states are kept where nothing is said."""
CPU_TOKENS = 1024
"""A processor is slower with larger stacks: what lies between two layers leaves its cache."""


class Scorer:
    """Scores a model with sets of heads disabled: made once for a model and its examples.

    What does not depend on the set is computed once and kept from call to call: the outputs of the
    unchanged model, the check that the fast form is the model's own, what enters its layers. Make a
    new scorer when the weights have changed. Not for several threads at once.

    Args:
        model: A model with a classification head.
        encoded: The examples.
        mode: What a disabled head puts out (`Model.disabled`).
        batch_tokens: How many tokens a batch has at most; by default what fits.
        precision: "fp32" is exact to rounding, "bf16" is not; "auto" predicts what float32
            predicts, but computes in bfloat16 where the hardware has it, except for the examples
            whose margin is within rounding, and for scores and vectors.
        memory: How many bytes of the model's states are kept; what does not fit is computed again.
        layers_kept: For how many layers the states of an example are kept at most: all by default;
            1 is enough where all sets come in one call.
        unchanged: The outputs of the unchanged model in that precision, where they are known.
        note: Is told when a model that is built like BERT cannot be scored by its layers.

    Raises:
        HeadscopeError: An unknown mode, or the mode "mean" before `Model.measure_means`.

    Example:
        >>> scorer = Scorer(model, model.encode(texts))                    # doctest: +SKIP
        >>> [result.outputs.shape for result in scorer.score(["L1H1", "L1H2,L3H4"])]
        [(64, 2), (64, 2)]
    """

    def __init__(
        self,
        model: Model,
        encoded: Encoded,
        mode: Mode = "uniform",
        *,
        batch_tokens: int | None = None,
        precision: Precision = "auto",
        memory: int = MEMORY,
        layers_kept: int | None = None,
        unchanged: npt.NDArray[np.float32] | None = None,
        note: Callable[[str], object] = say,
    ) -> None:
        # The model refuses a mode that it does not have.
        with model.disabled(Head(1, 1), mode):
            pass
        self.model, self.encoded, self.mode = model, encoded, mode
        self.batch_tokens = fitting_tokens(model, batch_tokens)
        self.precision = precision
        self.memory, self.layers_kept = memory, layers_kept or model.layers
        self.note = note
        self._unchanged = unchanged
        self._scored: OrderedDict[HeadSet, SetResult] = OrderedDict()
        self._means = model.means

    @property
    def unchanged(self) -> npt.NDArray[np.float32]:
        """The outputs of the model with nothing disabled, [example, output]."""
        if self._unchanged is None:
            self._unchanged = self._outputs(self.precision)
        return self._unchanged

    @property
    def is_stacked(self) -> bool:
        """Whether sets are scored many at once."""
        return isinstance(self._form, Stacked)

    @property
    def way(self) -> Literal["layers", "passes", "whole"]:
        """How sets are scored: many at once by the model's own layers, or by its own forward pass
        from a layer on; or the whole model once for each.
        """
        form = self._form
        if not isinstance(form, Stacked):
            return "whole"
        return "layers" if isinstance(form.layered, BertLayers) else "passes"

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """The units that the sets are scored in, in the order of their first layers.

        Raises:
            HeadscopeError: An empty set, or heads that the model does not have.
        """
        for _, heads in sets:
            check_inside(head_set(heads), self.model.layers, self.model.heads)
        return self._form.plan(sets) if sets else []

    def score_unit(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""
        return self._form.score(unit)

    def score(
        self,
        sets: Sequence[NamedSet | Heads],
        *,
        done: Collection[str] = (),
    ) -> Iterator[SetResult]:
        """What the model puts out with each set disabled, in the order of the sets' first layers.

        Up to sixteen sets that begin alike are finished for all examples before the next, so save
        what comes, and name it in `done` when the same sets are given again. Sets that this scorer
        scored before come first and are not scored again, as long as they fit into an eighth of the
        memory.

        Args:
            sets: The sets, with names of their own or named by their heads, in any order.
            done: Names of sets that are left out. The results of the others are what they would
                have been, to the bit ("auto": with the same predictions).

        Raises:
            HeadscopeError: At once: an empty set, or heads that the model does not have.
        """
        self._forget_other_means()
        all_named = [named_set(heads) for heads in sets]
        known = [] if self.way == "whole" else self._known(all_named)
        names = {result.name for result in known}
        planned = self.plan([named for named in all_named if named[0] not in names])
        return self._score(known, planned, done)

    def _score(
        self, known: Sequence[SetResult], units: Sequence[Unit], done: Collection[str]
    ) -> Iterator[SetResult]:
        yield from (result for result in known if result.name not in done)
        for unit in units:
            if not _is_done(unit, done):
                results = self.score_unit(unit)
                if self.way != "whole":
                    self._remember(results)
                yield from (result for result in results if result.name not in done)

    def _forget_other_means(self) -> None:
        """In the mode mean, what was kept holds for the means that it was computed with."""
        if self.mode != "mean" or self.model.means is self._means:
            return
        self._means = self.model.means
        self._scored.clear()
        vars(self).pop("_stacked", None)

    def _known(self, sets: Sequence[NamedSet]) -> list[SetResult]:
        """The results of sets that were scored before, under the names that they have now."""
        scored = self._scored
        return [replace(scored[heads], name=name) for name, heads in sets if heads in scored]

    def _remember(self, results: Sequence[SetResult]) -> None:
        for result in results:
            self._scored[result.heads] = result
        size = max(1, results[0].outputs.nbytes)
        while len(self._scored) > self.memory // 8 // size:
            self._scored.popitem(last=False)

    def _outputs(self, precision: Precision) -> npt.NDArray[np.float32]:
        return logits(self.model, self.encoded, batch_tokens=self.batch_tokens, precision=precision)

    @property
    def _form(self) -> Form:
        model = self.model
        # What is kept is of a model whose heads nobody else watches or disables.
        if model.hf.training or not model.tap.is_idle:
            return self._one_by_one
        return self._stacked or self._one_by_one

    @property
    def _one_by_one(self) -> OneByOne:
        return OneByOne(self.model, self.encoded, self.mode, self.batch_tokens, self.precision)

    @cached_property
    def _stacked(self) -> Stacked | None:
        """The fast form; None where it does not give the outputs of the model."""
        exact = self._layered() if len(self.encoded) and self.model.has_head else None
        if exact is None:
            return None
        on_cpu = self.model.hf.device.type == "cpu"
        tokens = min(self.batch_tokens, CPU_TOKENS) if on_cpu else self.batch_tokens
        # A batch is of like lengths where it is small, and several sets of it fill a stack.
        cut = max(1, tokens // (2 if on_cpu else 16))
        states = KeptStates(exact, self.encoded, cut, self.memory, self.layers_kept)
        form = partial(Stacked, states=states, stack_tokens=tokens, note=self.note)
        if self.precision == "bf16":
            tried = try_format(exact, torch.bfloat16, partial(_unchanged, form), self.note)
            if tried is None:
                return None
            # Nothing is exact here, so that lower layers are computed in half precision as well.
            halves_kept = KeptStates(tried[0], self.encoded, cut, self.memory, self.layers_kept)
            return Stacked(tried[0], halves_kept, stack_tokens=tokens, note=self.note)
        halved = self._halved(exact, form)
        return form(exact) if halved is None else form(halved[0], precise=halved[1])

    def _layered(self) -> Layered | None:
        """The model as it can be run from any layer on; None where that is not its own outputs."""
        if not self.model.layer_modules:
            return None
        kinds: list[type[BertLayers] | type[AnyLayers]] = [AnyLayers]
        if BertLayers.fits(self.model):
            kinds.insert(0, BertLayers)
        few = self._few()
        why = ""
        for kind in kinds:
            try:
                layered = kind(self.model, self.mode)
                # Without padding other code runs, in the model and here.
                differences = [
                    difference_from_model(layered, examples, self.mode)
                    for examples in (few, only(few, [0]))
                ]
            except (
                AttributeError, IndexError, InterventionError, RuntimeError, TypeError, ValueError
            ) as error:  # fmt: skip
                why = f"cannot be run from one of its layers on ({error})"
                continue
            difference = float(np.max(differences))
            # Not-a-number fails as well.
            if difference <= TOLERANCE and depends_on_padding(layered, few):
                why = "puts out other numbers for a text with padding beside it"
                break
            if difference <= TOLERANCE:
                return layered
            why = f"gives other outputs, by {difference:.1e}, when it is run from a layer on"
        self.note(f"{self.model.name} {why}: it is run once for every set, which takes longer")
        return None

    def _few(self) -> Encoded:
        """The shortest example and a long one."""
        order = np.argsort(self.encoded.lengths, kind="stable")
        rows = {int(order[0]), int(order[len(order) * 3 // 4])}
        return only(self.encoded, sorted(rows))

    def _halved(
        self, exact: Layered, form: Callable[[Layered], Stacked]
    ) -> tuple[Layered, Precise] | None:
        """Half precision with what makes its predictions exact, where it is to be used."""
        is_exact = self.precision != "auto" or not self.model.predicts_classes
        if is_exact or not formats(self.model.hf.device):
            return None
        unchanged = torch.from_numpy(self.unchanged)
        return halves(exact, unchanged, partial(_unchanged, form), self.note)


def _unchanged(form: Callable[[Layered], Stacked], layered: Layered) -> torch.Tensor:
    """What a model puts out with nothing disabled."""
    nothing = Unit((("", frozenset()),), Trunk(0, frozenset()))
    return torch.from_numpy(form(layered).score(nothing)[0].outputs)


def _is_done(unit: Unit, done: Collection[str]) -> bool:
    return all(name in done for name, _ in unit.sets)
