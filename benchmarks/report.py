"""What the report weighs and how fast it is, beside the usual viewer's page for one sentence.

    python benchmarks/report.py --model DIR --data DIR [--tokens 64 128] [--runs DIR] [--bertviz
    PYTHON]

Fine-tunes MODEL a little on MRPC and analyses it (`headscope study`, kept in the folder RUNS and
taken up from there), then keeps the maps of 16 pairs of exactly so many tokens, before and after,
builds the report from that run, and opens it in headless Chromium with the network off. Prints:
seconds to build; bytes, and of what; milliseconds to the first paint, and until every part of the
page is there; from a click on a head until its card and maps are drawn, the median and the slowest
of 40; a frame while the pointer moves over a map, the median and the slowest; the slowest of the
line view.

PYTHON is the interpreter of an environment with bertviz: of its page for one of the pairs, the
bytes.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from headscope.commands.kept_examples import example_rows, kept_maps
from headscope.commands.session import open_session
from headscope.commands.settings import TaskSettings
from headscope.commands.study import study
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.names import AFTER, BEFORE
from headscope.reporting.build import build
from headscope.results.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import runs

PAIRS, CLICKS = 16, 40
"""The run is on as many examples as there are pairs: its numbers mean nothing, its tables are as
long as any.
"""
_VIEWER = """
import json, sys
import torch
from transformers import AutoModel, AutoTokenizer
from bertviz import head_view, model_view
folder, first, second, limit = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
given = tokenizer(first, second, return_tensors="pt", truncation=True, max_length=int(limit))
with torch.inference_mode():
    attention = model(**given, output_attentions=True).attentions
tokens = tokenizer.convert_ids_to_tokens(given["input_ids"][0])
sizes = {"tokens": len(tokens)}
for view in (head_view, model_view):
    page = view(attention, tokens, html_action="return").data
    sizes[view.__name__] = len(page.encode())
print(json.dumps(sizes))
"""


def check(holds: bool, what: str) -> None:
    """Ends the program where something does not hold."""
    if not holds:
        raise SystemExit(f"it does not hold that {what}")


def long_pairs(split: Split, words: int) -> Split:
    """`PAIRS` pairs whose two texts are texts of the split one after the other, of at least `words`
    words each.
    """
    check(split.second is not None, "MRPC has pairs")
    texts: tuple[list[str], list[str]] = ([], [])
    for which, column in enumerate((split.first, split.second or ())):
        left = iter(column * 20)
        for _ in range(PAIRS):
            text = ""
            while len(text.split()) < words:
                text = f"{text} {next(left)}".strip()
            texts[which].append(text)
    return Split(tuple(texts[0]), tuple(texts[1]), split.labels[:PAIRS])


def analysed(model: str, data: Path, folder: Path, tokens: int) -> tuple[Path, Split]:
    """A finished run of `model` on MRPC with maps of pairs of exactly `tokens` tokens, and these
    pairs.
    """
    given: dict[str, Any] = {"model": model, "task": "mrpc", "data": data, "train_examples": 160}
    whole, path = folder / Path(model).name, folder / f"{Path(model).name}-{tokens}"
    study(**given, out=whole, epochs=1, examples=PAIRS, max_length=64)
    path.mkdir(exist_ok=True)
    for file in (whole / "run.json", *whole.glob("*.parquet")):
        shutil.copy(file, path)
    asked = TaskSettings(
        task="mrpc", data=data, out=path, examples=PAIRS, max_length=tokens, quiet=True
    )
    session = open_session(asked, model)
    pairs = long_pairs(session.validation, tokens)
    session = replace(
        session, validation=pairs, encoded=encode(pairs, session.model.tokenizer, tokens)
    )
    check(
        {len(one) for one in session.encoded.segments} == {tokens},
        f"every pair has {tokens} tokens",
    )
    run, tuned = Run(path), load(whole / "checkpoint", labels=session.task.outputs)
    before, after = kept_maps(session, session.model, BEFORE), kept_maps(session, tuned, AFTER)
    run.arrays("maps", before | after)
    run.table("examples", example_rows(session, tuned), **session.names)
    return path, pairs


def weights(page: Path) -> dict[str, int]:
    """The bytes of the page, and of its parts."""
    text = page.read_text(encoding="utf-8")

    def part(pattern: str) -> int:
        return sum(len(found.encode()) for found in re.findall(pattern, text, re.DOTALL))

    return {
        "all": len(text.encode()),
        "maps": part(r'<script type="application/json" class="map".*?</script>'),
        "tables": part(r'<script type="application/json" class="data".*?</script>'),
        "charts": part(r'<img src="[^"]*"'),
        "script and style": part(r"<script>.*?</script>|<style>.*?</style>"),
    }


_DRAWN = """new Promise((done) => {
  const heads = [...document.querySelectorAll('.grid button')], times = [];
  const step = (i) => {
    if (i === %d) return done(times);
    const began = performance.now(), old = document.querySelector('.sides').firstChild;
    heads[(i * 37) %% heads.length].click();
    const look = () => (document.querySelector('.sides').firstChild !== old
      ? requestAnimationFrame(() => setTimeout(() => {
          times.push(performance.now() - began);
          step(i + 1);
        }))
      : setTimeout(look));
    look();
  };
  step(0);
})"""
_MOVED = """new Promise((done) => {
  const canvas = document.querySelector('.sides canvas'), times = [];
  const box = canvas.getBoundingClientRect();
  let last = 0, i = 0;
  const step = (now) => {
    if (last) times.push(now - last);
    last = now;
    if (i++ === 60) return done(times);
    const [x, y] = [120 + (i * 7) % (box.width - 130), 120 + (i * 5) % (box.height - 130)];
    const at = {clientX: box.left + x, clientY: box.top + y};
    canvas.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, ...at}));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def watched(page: Path) -> dict[str, float]:
    """Milliseconds in a browser; the largest of three for what happens once."""
    paint, ready = [], []
    with tempfile.TemporaryDirectory() as profile:
        tab = runs.Browser(Path(profile))
        for _ in range(3):
            began = time.perf_counter()
            tab.open(page)
            ready.append(1000 * (time.perf_counter() - began))
            paint.append(
                tab.js("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
        clicks = tab.js(_DRAWN % CLICKS)
        moves = tab.js(_MOVED)
        tab.js("document.querySelector('.mapforms [value=lines]').click()")
        tab.js("new Promise((done) => setTimeout(done, 500))")
        lines = tab.js(_MOVED)
        check(tab.complaints() == [], "the console is empty")
        check(tab.requests() == [page.as_uri()], "nothing is asked for")
        tab.close()
    return {
        "first paint": max(paint),
        "all there": max(ready),
        "head, median": statistics.median(clicks),
        "head, slowest": max(clicks),
        "frame while pointing, median": statistics.median(moves),
        "frame while pointing, slowest": max(moves),
        "frame in the line view, slowest": max(lines),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark-report"))
    parser.add_argument("--bertviz", help="the Python of an environment with bertviz")
    given = parser.parse_args()
    torch.set_num_threads(2)
    for tokens in given.tokens:
        path, pairs = analysed(given.model, given.data, given.runs, tokens)
        page = path / "report.html"
        began = time.perf_counter()
        build([path], page)
        print(flush=True)
        print(
            f"{PAIRS} pairs of {tokens} tokens, {given.model}: built in "
            f"{time.perf_counter() - began:.1f} s"
        )
        for what, size in weights(page).items():
            print(f"  {what:34} {size / 1e6:8.2f} MB")
        for what, milliseconds in watched(page).items():
            print(f"  {what:34} {milliseconds:8.0f} ms")
        if given.bertviz:
            texts = [pairs.first[0], (pairs.second or ("",))[0]]
            called = [given.bertviz, "-c", _VIEWER, given.model, *texts, str(tokens)]
            told = subprocess.run(called, capture_output=True, text=True, check=True)  # noqa: S603 - named by the caller
            print(f"  one of the pairs in bertviz, bytes: {told.stdout.strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()
