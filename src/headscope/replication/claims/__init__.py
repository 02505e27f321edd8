"""The paper's six claims, each with a verdict, its evidence in numbers, and a caveat.

Pure: `verdicts` reads the tables of runs by name. docs/claims.md says how each claim is judged.
"""

from collections.abc import Callable
from dataclasses import dataclass

from headscope.names import VerdictWord
from headscope.reference import claims
from headscope.replication.claims.base import Judgement
from headscope.replication.claims.disabling import disabling_helps
from headscope.replication.claims.fine_tuning import fine_tuning
from headscope.replication.claims.frames import frame_heads
from headscope.replication.claims.patterns import heterogeneous, patterns_recur
from headscope.replication.claims.vertical import vertical_is_special
from headscope.results.tables import Tables

__all__ = ["ClaimRow", "verdicts"]

_JUDGES: dict[str, Callable[[Tables], Judgement]] = {
    "C1": patterns_recur,
    "C2": heterogeneous,
    "C3": frame_heads,
    "C4": fine_tuning,
    "C5": disabling_helps,
    "C6": vertical_is_special,
}


@dataclass(frozen=True)
class ClaimRow:
    """A row of the table `claims`."""

    claim: str
    text: str
    verdict: VerdictWord
    evidence: str
    caveat: str


def verdicts(tables: Tables) -> list[ClaimRow]:
    """The claims C1 to C6, judged by what the tables hold."""
    rows = []
    for claim, text in claims().items():
        judged = _JUDGES[claim](tables)
        rows.append(ClaimRow(claim, text, judged.verdict, judged.evidence, judged.caveat))
    return rows
