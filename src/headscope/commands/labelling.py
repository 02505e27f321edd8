"""What `headscope annotate` does: add maps to a set, serve the page, say how far the passes
agree.
"""

import webbrowser
from contextlib import closing
from pathlib import Path

from headscope.annotation.agreement import agreements
from headscope.annotation.drawing import Origin, draw
from headscope.annotation.records import MAPS, Labels, read_maps, write_maps
from headscope.annotation.server import Server
from headscope.annotation.work import Annotation
from headscope.commands.session import Session
from headscope.progress import say
from headscope.results.numbers import interval
from headscope.stats.means import known


def add_maps(session: Session, folder: Path, count: int, family: str | None) -> None:
    """Draw maps of the session's model and task into the set; what it holds already stays as it
    is.
    """
    name = Path(session.model.name).name
    origin = Origin(name, family or name, session.task.name)
    known = {one.id: one for one in read_maps(folder)} if (folder / MAPS).is_file() else {}
    drawn = draw(session.model, session.encoded, origin, count, session.settings.seed)
    new = [one for one in drawn if one.id not in known]
    if new:
        write_maps(folder, [*known.values(), *new])
    say(f"{len(new)} maps drawn, {len(known) + len(new)} in {folder}", quiet=session.settings.quiet)


def serve(
    folder: Path, *, port: int, annotator: str, round: int, browser: bool, quiet: bool
) -> None:
    """Serve the page until Ctrl-C. Raises HeadscopeError when the port is taken."""
    work = Annotation(folder)
    with closing(Server(work, port, annotator, round)) as server:
        try:
            say(f"the page is at {server.url} (Ctrl-C ends)", quiet=quiet)
            if browser:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            say(f"stopped; the labels are in {work.labels.path}", quiet=quiet)


def agreement_lines(folder: Path) -> tuple[str, ...]:
    """How many labels every pass has given, and how far every two passes agree."""
    labels = Labels(folder)
    lines = [f"{pass_}: {len(labels.of(*pass_))} labels" for pass_ in labels.passes()]
    for first, second, agreed in agreements(labels):
        low, high = map(known, agreed.kappa_interval)
        lines.append(
            f"{first} and {second}: {100 * agreed.raw:.1f}% of {agreed.n} maps alike, Cohen's "
            f"kappa {agreed.kappa:.2f} ({interval(low, high, 2)})"
        )
    return tuple(lines)
