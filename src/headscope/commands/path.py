"""The path of pruning alone, without models: what a study and the whole paper have of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, report_command
from headscope.commands.settings import EngineSettings, KindSettings, command
from headscope.errors import HeadscopeError

if TYPE_CHECKING:
    from headscope.model.model import Model

USUAL_MARGIN = 0.01
LEAST = 50
"""With fewer training examples there is no search."""
FEW = 200
"""How many training examples the search of the whole paper looks at."""


@dataclass(frozen=True, kw_only=True)
class PathSettings(KindSettings, EngineSettings):
    """What a search for heads that can go together is asked."""

    command = "path"

    model: options.ModelName
    within: options.Within = None
    mode: options.PruningMode = "zero"
    search_examples: options.SearchExamples = FEW
    memory: options.Memory = 2.0

    @property
    def margin(self) -> float:
        """By which share of itself a score may fall."""
        return USUAL_MARGIN if self.within is None else self.within


@command(PathSettings)
def path(asked: PathSettings) -> Outcome:
    """Search for the heads that can go together; where there is nothing to search, say why."""
    from headscope.commands.class_names import trust_note
    from headscope.commands.disable import check_head
    from headscope.commands.engine import check_engine, opened
    from headscope.commands.kinds import open_scored
    from headscope.commands.prune import Pruning
    from headscope.commands.pruning import add_path
    from headscope.commands.scoring import score
    from headscope.commands.session import begin
    from headscope.names import AS_GIVEN

    check_count(asked.search_examples)
    check_engine(asked)
    session = open_scored(asked, asked.model)
    check_head(session, asked)
    model = session.model
    request = session.request(
        mode=asked.mode, within=asked.margin, search_examples=asked.search_examples
    )
    given = {field.name: getattr(asked, field.name) for field in fields(asked)}
    repeat = Pruning(**given).command_line()
    with begin(asked, request, session.inputs) as run:
        if not run.is_complete:
            with opened(asked, session) as shared:
                rows, outputs = score(session, model, AS_GIVEN)
                run.table("scores", rows, **session.names)
                notes = add_path(asked, shared, run, rows, outputs)
            if session.marker is None:
                notes = (*notes, *trust_note(model, session.task))
            run.finish(session.record(request, model, notes, repeat=repeat))
    return Outcome(asked.out / "pruned.parquet", (), report_command(asked.out))


def check_count(examples: int) -> None:
    """Check that a search looks at enough training examples.

    Raises:
        HeadscopeError: It does not.
    """
    if examples < LEAST:
        raise HeadscopeError(
            f"--search-examples must be at least {LEAST}, got {examples}: with fewer the best of "
            "hundreds of sets is best by chance"
        )


def check_layers(model: Model) -> None:
    """Check that a head can be removed from one layer alone.

    Raises:
        HeadscopeError: The layers of the model share their weights.
    """
    layers = model.layer_modules
    if model.family == "albert" or len({id(layer) for layer in layers}) < len(layers):
        raise HeadscopeError(
            f"the layers of {model.name} ({model.family}) share their weights, so a head that is "
            "removed from one is removed from all: prune a model whose layers are its own (bert, "
            "roberta, electra, ...)"
        )
