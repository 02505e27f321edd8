"""What FrameNet's exemplars cost to read and filter, against the walk through NLTK's reader.

    python benchmarks/framenet.py FOLDER [--every 10]

FOLDER is an unpacked release. Each side runs in a process of its own. Ours reads and filters all
exemplars, without a cache, in both forms, and once more from the cache. NLTK's reads the exemplars
of every n-th frame (--every 1: all) and does not filter; its seconds for all are those times all
sentences over the sentences that it read. Sentences that it has read are let go, else its memory
grows with them. A lexical unit for which an assertion of NLTK's fails is counted: `fn.exemplars()`
itself ends there. Prints seconds and the peak resident memory of each.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headscope.corpora.framenet import read

INDICES = ["frRelation.xml", "frameIndex.xml", "fulltextIndex.xml", "luIndex.xml", "semTypes.xml"]


def ours(folder: Path) -> dict[str, float]:
    """Seconds of both forms, seconds from a cache, and how many sentences there are."""
    seconds = {}
    for form in ("faithful", "corrected"):
        start = time.perf_counter()
        corpus = read(folder, faithful=form == "faithful", quiet=True)
        seconds[form] = time.perf_counter() - start
        for what, count in corpus.counts:
            print(f"{form:10} {count:7}  {what}", file=sys.stderr)
    with TemporaryDirectory() as cache:
        read(folder, cache=Path(cache), quiet=True)
        start = time.perf_counter()
        read(folder, cache=Path(cache), quiet=True)
        seconds["cached"] = time.perf_counter() - start
    return {**seconds, "sentences": dict(corpus.counts)["exemplar sentences"]}


def nltk_walk(folder: Path, every: int) -> dict[str, float]:
    """Seconds of NLTK's walk over every n-th frame, what it read, and in how many lexical units it
    failed.
    """
    reader: Any = importlib.import_module("nltk.corpus.reader").FramenetCorpusReader
    pointer: Any = importlib.import_module("nltk.data").FileSystemPathPointer
    start = time.perf_counter()
    release = reader(pointer(str(folder.resolve())), INDICES)
    sentences = failed = 0
    for frame in sorted(release.frame_ids_and_names())[::every]:
        for unit in release.frame(frame).lexUnit.values():
            try:
                sentences += sum(1 for _ in unit.exemplars)
            except AssertionError:
                failed += 1
            unit.exemplars = unit.subCorpus = None
    return {"seconds": time.perf_counter() - start, "sentences": sentences, "failed": failed}


def measured(side: str, folder: Path, every: int) -> dict[str, float]:
    """What one side needs in a process of its own, with its peak memory in MiB."""
    # NLTK refuses files outside of its data folders.
    environment = {**os.environ, "NLTK_DATA": str(folder.resolve().parent)}
    command = [sys.executable, __file__, "--side", side, "--every", str(every), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)  # noqa: S603
    needed: dict[str, float] = json.loads(done.stdout)
    return needed


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--side", choices=("ours", "nltk"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder, every = arguments.folder, arguments.every
    if arguments.side:
        needed = ours(folder) if arguments.side == "ours" else nltk_walk(folder, every)
        needed["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(needed))
        return
    mine, theirs = measured("ours", folder, every), measured("nltk", folder, every)
    whole = theirs["seconds"] * mine["sentences"] / theirs["sentences"]
    print(f"headscope, {mine['sentences']:.0f} sentences, filtered: peak {mine['peak']:.0f} MiB")
    print(
        f"    {mine['faithful']:.1f} s faithful, {mine['corrected']:.1f} s corrected, "
        f"{mine['cached']:.1f} s cached"
    )
    print(f"nltk, {theirs['sentences']:.0f} sentences, not filtered: peak {theirs['peak']:.0f} MiB")
    print(
        f"    {theirs['seconds']:.1f} s, so {whole:.0f} s for all; failed in "
        f"{theirs['failed']:.0f} lexical units"
    )
    print(f"ratio {whole / mine['corrected']:.0f}")


if __name__ == "__main__":
    main()
