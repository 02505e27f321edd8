"""Ctrl-C, SIGTERM and closed pipes: a sentence and the right code at any time, the first import included."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headscope import stopping

STOPPED = "headscope: stopped; what is finished is kept: run the same command again to go on\n"


def begun(*arguments: str, before: str = "") -> subprocess.Popen[str]:
    """A process that runs the command, once it listens; `before` is Python that it runs first."""
    code = (
        "import sys, runpy; from headscope import stopping; listen = stopping.listen\n"
        "def told():\n    listen(); sys.stdout.write('listening\\n'); sys.stdout.flush()\n"
        f"stopping.listen = told\n{before}\nsys.argv = {['headscope', *arguments]!r}\n"
        "runpy.run_module('headscope', run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process printed until its end; one that does not end would go on beside all other tests."""
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("number", "seconds", "code"),
    [
        (signal.SIGINT, 0.0, stopping.INTERRUPTED),
        (signal.SIGINT, 0.15, stopping.INTERRUPTED),
        (signal.SIGINT, 0.9, stopping.INTERRUPTED),
        (signal.SIGINT, 2.0, stopping.INTERRUPTED),
        (signal.SIGTERM, 0.0, stopping.TERMINATED),
        (signal.SIGTERM, 1.5, stopping.TERMINATED),
    ],
)
def test_a_stop_while_importing_is_a_sentence(
    number: signal.Signals, seconds: float, code: int, tmp_path: Path
) -> None:
    process = begun("study", "--quiet", "--epochs", "1000000", "--out", str(tmp_path / "run"))
    time.sleep(seconds)
    process.send_signal(number)
    out, err = ended(process)
    assert (process.returncode, err, out) == (code, STOPPED, "")


def test_what_a_library_makes_of_a_stop_is_a_stop() -> None:
    """An import that turns Ctrl-C into an error of its own."""
    process = begun(
        before="import signal\nclass Turning:\n    def find_spec(self, name, *_):\n"
        "        if name == 'headscope.cli':\n            try: signal.raise_signal(signal.SIGINT)\n"
        "            except KeyboardInterrupt: raise ImportError('initialization failed')\n"
        "sys.meta_path.insert(0, Turning())"
    )
    _, err = ended(process)
    assert (process.returncode, err) == (stopping.INTERRUPTED, STOPPED)


def test_a_stop_within_an_import_waits_for_its_end(tmp_path: Path) -> None:
    """A library whose code cannot be interrupted: it is whole when the sentence comes."""
    done = tmp_path / "done"
    (tmp_path / "slow_library.py").write_text(
        f"import signal, pathlib\nsignal.raise_signal(signal.SIGINT)\n"
        f"pathlib.Path({str(done)!r}).write_text('whole')\n"
    )
    process = begun(
        "--version",
        before=f"sys.path.insert(0, {str(tmp_path)!r})\nimport headscope.stopping as own\n"
        "real = own.listen\ndef listening():\n    told()\n    import slow_library\n"
        "    import time; time.sleep(5); sys.stdout.write('not stopped')\nown.listen = listening",
    )
    out, err = ended(process)
    assert (process.returncode, err, out) == (stopping.INTERRUPTED, STOPPED, "")
    assert done.read_text() == "whole"


def test_a_stop_that_was_lost_is_raised_again() -> None:
    """Raised within the code that frees an object, an interruption goes no further."""
    process = begun(
        "--version",
        before="import signal, time\nimport headscope.stopping as own\nreal = own.listen\n"
        "class Freed:\n    def __del__(self):\n        signal.raise_signal(signal.SIGINT)\n"
        "def listening():\n    told()\n    freed = Freed()\n    del freed\n"
        "    time.sleep(5)\n    sys.stdout.write('not stopped')\nown.listen = listening",
    )
    out, err = ended(process)
    assert (process.returncode, err, out) == (stopping.INTERRUPTED, STOPPED, "")


def test_a_pipe_that_nobody_reads_ends_without_a_word() -> None:
    for arguments in (["--help"], ["study", "--help"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "headscope", *arguments],
            stdout=write, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (stopping.UNHEARD, "")
