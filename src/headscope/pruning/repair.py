"""Repair without training: the output projections of a model without some heads are fitted again,
by least squares, to what attention put out in the whole model.

From the first layer to the last, the projection W of the heads that stay and its constant c are
chosen so that W z + c is nearest to a target y over the real tokens of the examples: z are the
heads' outputs in the model without the others, whose lower layers are repaired already, and y is
the whole model's attention output, plus what the layers below have left between the two models'
states ("drift"), so that errors do not add up from layer to layer. The solution is drawn toward the
present weights by ridge regression, min |W z + c - y|^2 + r |W - W_0|^2, in closed form from sums
in double precision (Hoerl and Kennard 1970; refitting a pruned layer to the outputs of the whole
one: He et al. 2017, "Channel pruning", equation 3; for heads Park et al. 2024, "Accurate
retraining-free pruning", K-prune).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscope.errors import HeadscopeError
from headscope.model.layers import LayerCall, instead
from headscope.model.model import Model
from headscope.model.projections import split
from headscope.model.removal import Removal
from headscope.model.tap import Call, Edit

RIDGE = 1.0
"""How strongly a projection is drawn toward its present weights, relative to the mean square of the
heads' outputs.
"""
DRIFT = 1.0
"""Which part of what the layers below have left is made up for."""

Batch = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Projection:
    """The output projection of a layer.

    Attributes:
        weight: By head, [hidden, head * d].
        bias: Its constant, [hidden]; None where the family has none.
    """

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Repair:
    """Output projections that were fitted again.

    Attributes:
        projections: One a layer.
        before: By layer, the mean squared distance from the target before the layer was fitted,
            relative to the mean square of the whole model's attention output there.
        after: The same after it.
        tokens: How many real tokens were fitted on.
    """

    projections: tuple[Projection, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    tokens: int

    @contextmanager
    def applied(self, model: Model) -> Iterator[None]:
        """While the context is open, the model has these projections: search, score and write a
        checkpoint in it. Make a new scorer in it.
        """
        linears = model.output_layers
        # The name of the weights in records and cards is that of the whole model.
        _ = model.hash
        present = [_present(linear) for linear in linears]
        try:
            for linear, projection in zip(linears, self.projections, strict=True):
                _put(linear, projection)
            yield
        finally:
            for linear, projection in zip(linears, present, strict=True):
                _put(linear, projection)


@contextmanager
def repaired(model: Model, repair: Repair | None) -> Iterator[None]:
    """While the context is open, a model has the projections of a repair, if there is one."""
    with nullcontext() if repair is None else repair.applied(model):
        yield


def _present(linear: nn.Linear) -> Projection:
    bias = None if linear.bias is None else linear.bias.detach().clone()
    return Projection(linear.weight.detach().clone(), bias)


@torch.no_grad()
def _put(linear: nn.Linear, projection: Projection) -> None:
    linear.weight.copy_(projection.weight)
    if projection.bias is not None:
        linear.bias.copy_(projection.bias)


@torch.no_grad()
def refit(
    model: Model,
    removal: Removal,
    batches: Iterable[Batch],
    *,
    ridge: float = RIDGE,
    drift: float = DRIFT,
) -> Repair:
    """Fit the output projection of every layer again. The model is left as it was.

    >>> repair = refit(model, removal, batches)                   # doctest: +SKIP
    >>> with repair.applied(model), removal.applied(model):       # doctest: +SKIP
    ...     logits = model.hf(**batch).logits

    Args:
        model: The whole model.
        removal: Which heads are removed.
        batches: Examples that nothing is scored on, as the model is called with them; two layers'
            states of all of them are held at once.
        ridge: How strongly a projection is drawn toward its present weights.
        drift: Which part of what the layers below have left is made up for, from 0 to 1.

    Raises:
        HeadscopeError: There is no batch, or the layers or output projections of the model are not
            found or shared.
    """
    streams = [_Streams(batch) for batch in batches]
    if not streams:
        raise HeadscopeError("the repair needs at least one batch of examples, got none")
    linears = _own_linears(model)
    present = [_present(linear) for linear in linears]
    kept = removal.kept(model.layers, model.heads)
    projections: list[Projection] = []
    before, after = [], []
    tokens = 0
    try:
        for layer, linear in enumerate(linears):
            place = _Place(model, removal, layer, kept[layer])
            sums = _Sums()
            for stream in streams:
                # This layer has its present weights still, those below it are repaired.
                whole = place.run(stream.batch, stream.whole, is_whole=True)
                pruned = place.run(stream.batch, stream.pruned, is_whole=False)
                stream.whole = whole.state
                place.add(sums, whole, pruned, drift)
            change = sums.solve(ridge, has_constant=linear.bias is not None)
            place.change(change)
            for stream in streams:
                stream.pruned = place.run(stream.batch, stream.pruned, is_whole=False).state
            projections.append(_present(linear))
            before.append(change.before)
            after.append(change.after)
            tokens = sums.count
    finally:
        for linear, projection in zip(linears, present, strict=True):
            _put(linear, projection)
    return Repair(tuple(projections), tuple(before), tuple(after), tokens)


def _own_linears(model: Model) -> list[nn.Linear]:
    """The output projections of a model that has one of its own in every layer."""
    linears = model.output_layers
    known = {id(module) for module in model.hf.modules()}
    are_own = len({id(linear) for linear in linears} & known) == len(linears)
    if not are_own or not model.layer_modules:
        raise HeadscopeError(
            f"{model.name} ({model.family}) has no output projection of its own in every layer, or "
            "its layers are not found, so it cannot be repaired without training"
        )
    return linears


@dataclass
class _Streams:
    """How far a batch has come in the whole model and in the one without heads.

    Attributes:
        batch: What the model is called with.
        whole: What the last layer of the whole model returned; None before the first.
        pruned: The same without the heads.
    """

    batch: Batch
    whole: Any = None
    pruned: Any = None


@dataclass
class _Seen:
    """A layer that has run.

    Attributes:
        state: What it returned.
        entered: The states that entered it, [batch, token, hidden].
        heads: What its heads put out, [batch, token, head, d].
        real: The real tokens, [batch, token].
        replaced: What stands for the removed heads, [batch, 1, removed, d]; None if nothing does.
    """

    state: Any = None
    entered: Any = None
    heads: Any = None
    real: Any = None
    replaced: Any = None


class _Place:
    """A layer of a model from which heads are removed."""

    def __init__(self, model: Model, removal: Removal, layer: int, kept: Sequence[int]) -> None:
        self._model, self._layer = model, layer
        self._linear = model.output_layers[layer]
        removed = [head for head in range(model.heads) if head not in kept]
        device = model.hf.device
        self._kept = torch.tensor(kept, device=device, dtype=torch.long)
        self._removed = torch.tensor(removed, device=device, dtype=torch.long)
        self._edit: Edit | None = None
        if removed:
            self._edit = Edit({layer: self._removed}, removal.mode, removal.means)

    def run(self, batch: Batch, state: Any, *, is_whole: bool) -> _Seen:
        """Run this layer alone on what the layer below returned."""
        seen = _Seen(state=state)
        edit = None if is_whole else self._edit

        def look(call: Call) -> None:
            seen.heads, seen.real = call.output, call.real
            if edit is not None and edit.mode != "zero":
                replaced = edit.replacement(call, self._removed)
                seen.replaced = replaced.expand(len(call.real), 1, -1, -1)

        def run(call: LayerCall) -> Any:
            if call.layer == self._layer:
                seen.entered = call.argument("hidden_states", 0)
                with tap.observed(look):
                    seen.state = call.own()
            # Above, what was reached goes through.
            return seen.state

        tap = self._model.tap
        edited = nullcontext() if edit is None else tap.edited(edit)
        with edited, instead(self._model.layer_modules, tap, run):
            self._model.hf.base_model(**batch)
        return seen

    def add(self, sums: "_Sums", whole: _Seen, pruned: _Seen, drift: float) -> None:
        """Add the real tokens of a batch to the sums."""
        weight = split(self._linear, self._model.heads)  # [hidden, head, d]
        real = whole.real
        target = whole.heads[real].flatten(1) @ weight.flatten(1).T
        # Attention is added to the states that entered the layer.
        left = (whole.entered - pruned.entered)[real]
        heads = pruned.heads[real][:, self._kept].flatten(1)
        put_out = heads @ weight[:, self._kept].flatten(1).T
        if pruned.replaced is not None:
            rest = torch.einsum("bqhd,ohd->bqo", pruned.replaced, weight[:, self._removed])
            put_out = put_out + rest.expand(*real.shape, -1)[real]
        errors = target + drift * left - put_out
        sums.add(_double(heads), _double(errors), _double(target))

    @torch.no_grad()
    def change(self, change: "_Change") -> None:
        """Change the projection of the heads that stay, and its constant."""
        by_head = split(self._linear, self._model.heads)  # [hidden, head, d]
        if len(self._kept):
            delta = change.weight.T.reshape(len(by_head), len(self._kept), -1)
            by_head[:, self._kept] += delta.to(by_head)
        if change.constant is not None:
            self._linear.bias.add_(change.constant.to(self._linear.bias))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()


@dataclass(frozen=True, eq=False)
class _Change:
    """What is added to a projection.

    Attributes:
        weight: To its weights, [kept * d, hidden].
        constant: To its bias, [hidden]; None where there is none.
        before: The mean squared error before, relative to the mean square of the target.
        after: The same after.
    """

    weight: Float[Tensor, "size hidden"]
    constant: Float[Tensor, " hidden"] | None
    before: float
    after: float


class _Sums:
    """The normal equations of a layer: what the heads put out, and the error that is left."""

    def __init__(self) -> None:
        self.count = 0
        self._heads: Any = 0.0
        self._errors: Any = 0.0
        self._squares: Any = 0.0
        self._products: Any = 0.0
        self._error = self._target = 0.0

    def add(
        self,
        heads: Float[Tensor, "token size"],
        errors: Float[Tensor, "token hidden"],
        target: Float[Tensor, "token hidden"],
    ) -> None:
        """Add some tokens."""
        self.count += len(heads)
        self._heads = self._heads + heads.sum(0)
        self._errors = self._errors + errors.sum(0)
        self._squares = self._squares + heads.T @ heads
        self._products = self._products + heads.T @ errors
        self._error += float(errors.square().sum())
        self._target += float(target.square().sum())

    def solve(self, ridge: float, *, has_constant: bool) -> _Change:
        """The change of the weights, and of the constant, that leaves the smallest error."""
        count = self.count
        squares, products = self._squares / count, self._products / count
        heads, errors = self._heads / count, self._errors / count
        error = self._error / count
        left = error
        if has_constant:
            squares = squares - torch.outer(heads, heads)
            products = products - torch.outer(heads, errors)
            left -= float(errors.square().sum())
        size = len(squares)
        weight = torch.zeros_like(products)
        if size and float(squares.trace()) > 0:
            scale = float(squares.trace()) / size
            penalty = ridge * scale * torch.eye(size, dtype=squares.dtype)
            weight = torch.linalg.solve(squares + penalty, products)
            left += float((weight * (squares @ weight - 2 * products)).sum())
        constant = errors - heads @ weight if has_constant else None
        target = max(self._target / count, 1e-30)
        return _Change(weight, constant, error / target, left / target)
