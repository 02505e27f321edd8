"""For the tests of figures and pages: a run folder and maps with invented numbers, a reader of HTML, and a browser."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from headscope.annotation.records import AnnotatedMap, quantise
from headscope.axes import Head
from headscope.results.record import DataRecord, ModelRecord, Record, TaskRecord

LAYERS, HEADS = 3, 5

META = {
    "command": "study",
    "headscope": "0.1.0",
    "model": {"name": "tiny-bert", "path": "/m/tiny", "hash": "sha256:ab12", "family": "bert"},
    "task": {
        "name": "pairs",
        "labels": ["different", "same"],
        "metrics": ["accuracy"],
        "columns": ["a", "b"],
    },
    "data": {"source": "built in", "hash": "sha256:cd34", "train": 200, "validation": 40},
    "options": {"epochs": 3, "precision": "fp32"},
    "seed": 7,
    "versions": {"torch": "2.13.0"},
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 61.5,
    "notes": ["2 of 40 examples were cut at 64 tokens."],
    "repeat": "headscope study --model /m/tiny --task pairs --out run",
}


def record(**same: Any) -> Record:
    """The record of a run that scored a tiny model."""
    return replace(
        Record(
            command="disable",
            headscope="0.1.0",
            model=ModelRecord("tiny-bert", "/m/tiny", "ab12", "bert", LAYERS, HEADS),
            task=TaskRecord("pairs", ("different", "same"), ("accuracy",), ("a", "b")),
            data=DataRecord("built in", "cd34", 200, 40),
            options={"mode": "uniform"},
            seed=7,
            device="cpu, 1 thread",
            versions={"torch": "2.13.0"},
            seconds=61.5,
            notes=(),
            definitions={},
            repeat="headscope disable --model /m/tiny --task pairs --out run",
        ),
        **same,
    )


def disabled(
    deltas: list[float], corrected: list[float], heads: int = HEADS, **same: object
) -> pl.DataFrame:
    """A row a head, layer by layer, with the given effects and corrected p values."""
    rows = [
        {
            "model": "tiny-bert",
            "task": "pairs",
            "set": f"L{i // heads + 1}H{i % heads + 1}",
            "layer": i // heads + 1,
            "head": i % heads + 1,
            "mode": "uniform",
            "metric": "accuracy",
            "baseline": 80.0,
            "value": 80.0 + delta,
            "delta": delta,
            "low": delta - 2.0,
            "high": delta + 2.0,
            "n": 40,
            "unit": "points",
            "p": p / 3,
            "p_corrected": p,
            "test": "exact McNemar",
            "activation_change": 0.25,
            **same,
        }
        for i, (delta, p) in enumerate(zip(deltas, corrected, strict=True))
    ]
    return pl.DataFrame(rows)


def scores(
    value: float = 81.1, low: float | None = 77.0, high: float | None = 84.6, **same: object
) -> pl.DataFrame:
    row: dict[str, object] = {
        "model": "tiny-bert",
        "task": "pairs",
        "configuration": "pretrained + fine-tuned",
        "metric": "accuracy",
        "seed": 7,
        "value": value,
        "low": low,
        "high": high,
        "n": 408,
        "unit": "points",
        "majority": 68.4,
    }
    return pl.DataFrame([row | same])


def heads() -> pl.DataFrame:
    rng = np.random.default_rng(3)
    units = {"entropy": "nats", "distance": "tokens", "attention_to_cls": "fraction of mass"}
    rows = [
        {"model": "tiny-bert", "task": "pairs", "layer": layer, "head": head, "measure": measure}
        | {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 40, "unit": unit}
        for measure, unit in units.items()
        for layer in range(1, LAYERS + 1)
        for head in range(1, HEADS + 1)
        for value in [float(rng.random())]
    ]
    return pl.DataFrame(rows)


def examples(tokens: list[list[str]], label: str = "same") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "example": i,
                "label": label,
                "prediction": "same",
                "tokens": words,
                "segments": [int(j >= len(words) // 2) for j in range(len(words))],
                "special": [word in ("[CLS]", "[SEP]") for word in words],
                "words": [
                    -1 if word in ("[CLS]", "[SEP]") else j // 2 for j, word in enumerate(words)
                ],
            }
            for i, words in enumerate(tokens)
        ]
    )


def maps(sizes: list[int], layers: int = LAYERS, heads: int = HEADS) -> dict[str, np.ndarray]:
    rng, out = np.random.default_rng(5), {}
    for i, size in enumerate(sizes):
        before = rng.dirichlet(np.full(size, 0.3), (layers, heads, size))
        for side, weights in (("before", before), ("after", before[..., ::-1])):
            out[f"{side}/{i}"] = np.round(weights * 255).astype(np.uint8)
    return out


TOKENS = [
    ["[CLS]", "a", "cat", "sat", "[SEP]", "the", "cat", "slept", "[SEP]"],
    ["[CLS]", "rain", "fell", "[SEP]", "it", "was", "dry", "[SEP]"],
]


def write(folder: Path, meta: Mapping[str, object] | None = None, **tables: pl.DataFrame) -> Path:
    """A whole run folder; `meta` and tables given by name replace the invented ones."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    effects = [float(v) for v in np.round(rng.normal(-0.5, 1.5, LAYERS * HEADS), 2)]
    filled = {
        "scores": scores(),
        "heads": heads(),
        "disabled": disabled(effects, [0.01 if e < -2 else 1.0 for e in effects]),
        "examples": examples(TOKENS),
        "change": change(),
        "patterns": patterns(),
        "likeness": likeness([("L1H1", "L3H5", 0.05), ("L1H1", "L2H2", 0.2)]),
    } | tables
    for name, frame in filled.items():
        frame.write_parquet(folder / f"{name}.parquet")
    save_file(
        maps([len(words or "x") for words in filled["examples"]["tokens"].to_list()]),
        folder / "maps.safetensors",
    )
    (folder / "run.json").write_text(json.dumps(META | dict(meta or {})), encoding="utf-8")
    return folder


def change() -> pl.DataFrame:
    """What fine-tuning changed: the cosine of the maps, and the difference of one measure."""
    rows = []
    for measure, unit in (
        ("cosine_to_pretrained", "cosine"),
        ("attention_to_cls", "fraction of mass"),
    ):
        frame = (
            heads()
            .filter(measure="attention_to_cls")
            .with_columns(
                pl.lit(measure).alias("measure"),
                pl.lit(unit).alias("unit"),
                before=pl.lit(0.5),
                after=pl.col("value"),
            )
        )
        rows.append(
            frame
            if measure == "cosine_to_pretrained"
            else frame.with_columns(pl.col("value") - 0.4)
        )
    return pl.concat(rows)


def patterns() -> pl.DataFrame:
    """Shares of the patterns in the model, its layers and its heads; head h has most of class h."""
    classes = ("vertical", "diagonal", "vertical+diagonal", "block", "heterogeneous")
    scopes: list[tuple[int | None, int | None]] = [
        (None, None),
        *((layer + 1, None) for layer in range(LAYERS)),
    ]
    scopes += [(layer + 1, head + 1) for layer in range(LAYERS) for head in range(HEADS)]
    rows = []
    for state in ("before", "after"):
        for layer, head in scopes:
            for at, name in enumerate(classes):
                value = 0.2 if head is None else 0.8 if at == head - 1 else 0.05
                same = {
                    "model": "tiny-bert",
                    "task": "pairs",
                    "state": state,
                    "layer": layer,
                    "head": head,
                }
                numbers = {
                    "value": value,
                    "low": value / 2,
                    "high": value + 0.1,
                    "n": 40,
                    "unit": "share of maps",
                }
                for measure in ("share", "share_corrected"):
                    rows.append(
                        {**same, "class": name, "measure": measure, **numbers, "examples": 40}
                    )
    return pl.DataFrame(rows, infer_schema_length=None)


def relations(
    measure: str = "score", relation: str = "frame_element", direction: str = ""
) -> pl.DataFrame:
    """A row a head: how much it attends from a relation's one end to the other."""
    same = {
        "model": "tiny-bert",
        "task": "fn",
        "relation": relation,
        "direction": direction,
        "measure": measure,
    }
    rows = [
        {
            **same,
            "layer": layer,
            "head": head,
            "value": 0.1 * layer + 0.01 * head,
            "low": 0.0,
            "high": 0.9,
            "n": 30,
        }
        for layer in range(1, LAYERS + 1)
        for head in range(1, HEADS + 1)
    ]
    return pl.DataFrame(rows).with_columns(unit=pl.lit("fraction of mass"))


def likeness(pairs: list[tuple[str, str, float]]) -> pl.DataFrame:
    """A row per pair of heads with their divergence."""
    rows = []
    for one, other, value in pairs:
        (layer, head), (other_layer, other_head) = (
            map(int, name[1:].split("H")) for name in (one, other)
        )
        places = {
            "layer": layer,
            "head": head,
            "other_layer": other_layer,
            "other_head": other_head,
        }
        rows.append(
            {**places, "measure": "jensen_shannon", "value": value, "n": 40, "unit": "nats"}
        )
    return pl.DataFrame(rows)


def pruned(*sizes: int, metrics: tuple[str, ...] = ("accuracy",), **same: object) -> pl.DataFrame:
    """A path of pruning of all sizes: head number i of n is kept at i heads or more, but L1H1, which
    is kept only where one head is. `sizes` are recommended, and refitted."""
    every = [f"L{layer}H{head}" for layer in range(1, LAYERS + 1) for head in range(1, HEADS + 1)]
    rows = []
    for metric in metrics:
        for kept in range(len(every), -1, -1):
            removed = len(every) - kept
            names = every[:kept] if kept in (1, len(every)) else every[1 : kept + 1]
            row = {
                "model": "tiny-bert",
                "task": "pairs",
                "kept": kept,
                "removed": removed,
                "heads": ",".join(names),
                "mode": "mean",
                "repair": "none",
                "metric": metric,
                "baseline": 80.0,
                "value": 80.0 - removed,
                "delta": -float(removed),
                "low": -removed - 2.0,
                "high": -removed + 2.0,
                "n": 40,
                "unit": "points",
                "majority": 60.0,
                "margin": 0.8,
                "p": 0.01 if removed == 0 else 0.4,
                "activation_change": None if removed == 0 else 0.1,
                "loss": 0.4 + removed / 100,
                "loss_change": removed / 100,
                "loss_low": removed / 100 - 0.02,
                "loss_high": removed / 100 + 0.02,
                "search_loss": 0.3 + removed / 100,
                "search_n": 100,
                "choice_value": 81.0 - removed,
                "choice_n": 50,
                "scored": 321,
                "seconds": 60.0,
                "chosen": kept in sizes,
            } | same  # fmt: skip
            rows.append(row)
            if kept in sizes:
                better = {"value": 81.0 - removed, "delta": 1.0 - removed}
                rows.append(row | {"repair": "refit"} | better)
    return pl.DataFrame(rows, infer_schema_length=None)


def sizes(*kept: int) -> pl.DataFrame:
    """How large and fast models with so many heads are, at two lengths and batches."""
    rows = []
    for heads_kept in kept:
        for tokens in (32, 128):
            for batch in (1, 32):
                rows.append(
                    {
                        "model": "tiny-bert",
                        "task": "pairs",
                        "mode": "mean",
                        "heads_kept": heads_kept,
                        "heads": LAYERS * HEADS,
                        "parameters": 1_000_000,
                        "parameters_whole": 1_250_000,
                        "bytes": 4_000_000,
                        "bytes_whole": 5_000_000,
                        "tokens": tokens,
                        "batch": batch,
                        "device": "cpu",
                        "threads": 1,
                        "multiply_adds": 800_000 * tokens,
                        "multiply_adds_whole": 1_000_000 * tokens,
                        "small": 120.0,
                        "whole": 100.0,
                        "value": 1.2,
                        "low": 1.1,
                        "high": 1.3,
                        "n": 9,
                        "unit": "times as fast",
                    }
                )
    return pl.DataFrame(rows)


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"'`--> ]]> {{ 7*7 }} {% raw %} &lt;",
    "line\u2028and\u2029paragraph",
    "\u202egnp.exe\u2066",
    "x" * 10_000,
]


def hostile(folder: Path) -> Path:
    """A run in which every text that comes from outside is hostile."""
    bad = "".join(HOSTILE)
    meta = {
        "model": {"name": bad, "layers": "many", "heads": bad},
        "task": {"name": bad},
        "notes": HOSTILE,
        "repeat": bad,
        "definitions": {bad: bad},
        "options": {bad: bad, "lone": "\ud800"},
    }
    everywhere = pl.lit(bad)
    return write(
        folder,
        meta,
        scores=scores(configuration=bad, metric=bad, unit=bad),
        disabled=disabled(
            [-1.0, 2.0], [0.01, 1.0], metric=bad, test=bad, mode=bad, unit=bad, set=bad
        ),
        heads=heads().with_columns(measure=everywhere, unit=everywhere).unique(["layer", "head"]),
        change=change().with_columns(measure=everywhere, unit=everywhere).unique(["layer", "head"]),
        examples=examples([[*HOSTILE, "ok"]], label=bad),
        patterns=patterns()
        .with_columns(state=everywhere, unit=everywhere)
        .unique(["layer", "head", "class", "measure"]),
        likeness=likeness([("L1H1", "L1H2", 0.1)]).with_columns(unit=everywhere),
        pruned=pruned(6, metric=bad, mode=bad, heads=bad + "L1H1", unit=bad),
        sizes=sizes(6).with_columns(device=everywhere, mode=everywhere, unit=everywhere),
    )


def unpacked_table(packed: dict[str, Any]) -> dict[str, list[Any]]:
    """A table of the page by column, as the page's script reads it."""
    out = {}
    for name, column in packed["columns"].items():
        if isinstance(column, list):
            out[name] = column
        elif "same" in column:
            out[name] = [column["same"]] * packed["height"]
        else:
            out[name] = [None if code < 0 else column["words"][code] for code in column["codes"]]
    return out


def annotated(name: str, tokens: int = 9, seed: int = 0) -> AnnotatedMap:
    """A map to label, of a pair of texts."""
    rng = np.random.default_rng(seed)
    return AnnotatedMap(
        id=name,
        model="tiny-bert",
        family="bert",
        head=Head(2, 3),
        source="invented",
        example=seed,
        drawn="random",
        special=tuple(i in (0, tokens - 1) for i in range(tokens)),
        segments=tuple(int(i > tokens // 2) for i in range(tokens)),
        quantised=quantise(rng.dirichlet(np.full(tokens, 0.3), tokens)),
    )


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style") and self.cdata_elem:
            self.raw[-1] = (self.raw[-1][0], self.raw[-1][1] + data)
        else:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def data(self, kind: str = "data") -> list[Any]:
        return [
            json.loads(text) for attributes, text in self.raw if attributes.get("class") == kind
        ]


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update --hide-scrollbars --remote-debugging-pipe"


class Browser:
    """One tab of headless Chromium. The protocol runs over file descriptors 3 and 4."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_in, theirs_out)]
        start = "import os, sys; os.dup2({}, 3); os.dup2({}, 4); os.execv(sys.argv[1], sys.argv[1:])".format(
            *theirs
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}"],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (theirs_in, theirs_out, *theirs):
            os.close(end)
        self._session: dict[str, str] = {}
        self._last, self._buffer = 0, b""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {
            "sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
        }
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        self._last += 1
        os.write(
            self._out,
            json.dumps(
                {"id": self._last, "method": method, "params": params, **self._session}
            ).encode()
            + b"\0",
        )
        while (message := self._read()).get("id") != self._last:
            self.events.append(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._in], [], [], 60)[0], (
                "the browser has not answered for a minute"
            )
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "the browser has gone"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def js(self, expression: str) -> Any:
        reply = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def open(self, path: Path, width: int = 1280, scheme: str = "light") -> None:
        """A file, with the network off."""
        self._go(path.as_uri(), width, scheme, offline=True)
        self.js(DRAWN)

    def visit(self, url: str, width: int = 1280, scheme: str = "light") -> None:
        """A page that a server of the test's own serves, with the network on."""
        self._go(url, width, scheme, offline=False)

    def _go(self, url: str, width: int, scheme: str, offline: bool) -> None:
        self.call(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.call("Page.navigate", url=url)
        self.js(
            "new Promise((done) => (document.readyState === 'complete' ? done() : addEventListener('load', done)))"
        )

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            named = {
                "Backspace": 8,
                "Tab": 9,
                "ArrowLeft": 37,
                "ArrowUp": 38,
                "ArrowRight": 39,
                "ArrowDown": 40,
            }
            code = named.get(key) or ord(key.upper())
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def until(self, condition: str) -> None:
        look = f"({condition}) ? done() : left-- ? setTimeout(look, 10) : fail(new Error({condition!r}))"
        self.js(
            f"new Promise((done, fail) => {{ let left = 1000; const look = () => {look}; look(); }})"
        )

    def complaints(self) -> list[dict[str, Any]]:
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.events if event.get("method") in wrong]

    def requests(self) -> list[str]:
        sent = [
            e["params"]["request"]["url"]
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._in)
        os.close(self._out)


DRAWN = """new Promise((done, fail) => {
  let left = 200;
  const look = () => {
    const maps = document.querySelector('.maps');
    if (!maps || maps.hidden || maps.querySelectorAll('figure').length) done();
    else if (left--) setTimeout(look, 25);
    else fail(new Error('no map was drawn'));
  };
  look();
})"""


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
