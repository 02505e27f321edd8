"""The command line: parse, call the Python API, print. A user's mistake is one sentence and exit
code 2.
"""

import errno
import inspect
import shutil
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from headscope import stopping
from headscope.commands.annotate import annotate
from headscope.commands.compare import compare
from headscope.commands.disable import disable
from headscope.commands.finetune import finetune
from headscope.commands.listing import Listing, list_names
from headscope.commands.look import look
from headscope.commands.measure import measure
from headscope.commands.mistakes import parse_mistake
from headscope.commands.outcome import Outcome
from headscope.commands.prune import prune
from headscope.commands.relations import relations
from headscope.commands.report import report
from headscope.commands.study import study
from headscope.errors import HeadscopeError
from headscope.replication.items import gather, run_item
from headscope.replication.run import paper

MISTAKE, INTERRUPTED = 2, stopping.INTERRUPTED
EXAMPLES = "For example:"


def help_text(docstring: str) -> str:
    """A docstring whose paragraphs are lines, which a terminal wraps; examples stay a line each."""
    paragraphs = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        is_examples = paragraph.startswith(EXAMPLES)
        paragraphs.append(paragraph if is_examples else " ".join(paragraph.split()))
    return "\n\n".join(paragraphs)


app = App(
    name="headscope",
    help="Say what every attention head of an encoder does, whether the task needs it, and which "
    "heads can go.",
    version_flags=["--version"],
    help_format="plaintext",
    # Ctrl-C is answered below, with what to do next.
    suppress_keyboard_interrupt=False,
)
for _command in (
    study,
    finetune,
    measure,
    compare,
    relations,
    disable,
    prune,
    paper,
    run_item,
    gather,
    look,
    annotate,
    report,
):
    app.command(_command, help=help_text(_command.__doc__ or ""))
app.command(list_names, name="list", help=help_text(list_names.__doc__ or ""))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        The exit code: 0 when all went well, 2 for a mistake, 130 after Ctrl-C, 143 after SIGTERM,
        141 when nobody reads what is written.
    """
    try:
        outcome = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        if isinstance(outcome, Outcome | Listing):
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            sys.stdout.write(outcome.written(width))
        # A pipe that nobody reads is found here, not while Python ends.
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(" ".join(parse_mistake(error).split()))
    except HeadscopeError as error:
        return _fail(" ".join(str(error).split()))
    except KeyboardInterrupt as error:
        return stopping.say(error)
    except BrokenPipeError:
        return stopping.unheard()
    except SystemExit as error:
        # What prints the help texts ends Python for a closed pipe.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return stopping.unheard()
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            return _fail(
                "the disk is full: make room and run the same command again, it goes on where it "
                "stopped"
            )
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"cannot read or write{where}: {error.strerror or error}")
    return 0


def _fail(sentence: str) -> int:
    _say(sentence)
    return MISTAKE


def _say(sentence: str) -> None:
    sys.stderr.write(f"headscope: {sentence}\n")
