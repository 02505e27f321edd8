"""The command `headscope` and `python -m headscope`: light, so that Ctrl-C is answered early."""

import sys

from headscope import stopping


def main() -> None:
    """Run the command line and exit; see `headscope.cli.run` for the exit codes."""
    try:
        stopping.listen()
        from headscope.cli import run

        code = stopping.ended(run())
    except BaseException as error:
        # In the middle of an import Ctrl-C can come out as any exception.
        if not stopping.Stop.code and not isinstance(error, KeyboardInterrupt):
            raise
        code = stopping.say(error)
    sys.exit(code)


if __name__ == "__main__":
    main()
