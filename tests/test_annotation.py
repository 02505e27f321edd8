"""Annotated maps: 8 bits, labels that outlive a crash, kappa against scikit-learn, what is drawn, the command."""

import itertools
import json
import re
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from transformers import AutoModelForSequenceClassification

import headscope.model.passes
import runs
from headscope import cli
from headscope.annotation import drawing
from headscope.annotation.agreement import agreement, kappa
from headscope.annotation.drawing import LENGTHS, Origin, draw, draw_blocks
from headscope.annotation.records import Label, Labels, dequantise, quantise, read_maps, write_maps
from headscope.annotation.server import Server
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.encoding import Encoded, encode
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.passes import run_pass
from headscope.names import CLASSES
from patterns.relabelling import Looks, labels_of, read_list, said_in, write_list
from patterns.sheets import Cell, row_distances, write_sheets

VERTICAL, DIAGONAL, BOTH, BLOCK, HETEROGENEOUS = CLASSES
ORIGIN = Origin("tiny-bert", "bert", "invented")


# ---- 8 bits


@given(st.integers(1, 128), st.sampled_from([0.02, 0.3, 1.0, 30.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_8_bits_keep_the_weights_to_half_a_step_of_the_root(
    n: int, concentration: float, seed: int
) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.full(n, concentration), n)
    again = dequantise(quantise(weights))
    np.testing.assert_allclose(again.sum(1), 1, atol=1e-5)
    # A root is off by at most `step`; so its square is by at most `off`, and the sum that it is divided by by `sums`.
    step = 0.5 / 255
    off = 2 * step * np.sqrt(weights) + step**2
    sums = off.sum(1, keepdims=True)
    assert (
        np.abs(again - weights) * (1 - np.minimum(sums, 0.5)) <= off + weights * sums + 1e-6
    ).all()


@given(st.integers(1, 128))
@example(128)
def test_a_uniform_map_stays_uniform(n: int) -> None:
    np.testing.assert_allclose(dequantise(quantise(np.full((n, n), 1 / n))), 1 / n, rtol=1e-5)


def test_a_row_that_holds_nothing_is_uniform() -> None:
    np.testing.assert_array_equal(
        dequantise(np.array([[0, 0], [0, 255]], np.uint8)), [[0.5, 0.5], [0, 1]]
    )


# ---- maps on the disk


def test_maps_come_back_as_they_were_written(tmp_path: Path) -> None:
    maps = [
        runs.annotated("a"),
        runs.annotated("b", 128, 1),
        runs.annotated("c", 8, 2),
        replace(runs.annotated("d", 1), segments=(0,)),
    ]
    write_maps(tmp_path / "new" / "set", maps[:1])
    write_maps(tmp_path / "new" / "set", maps)
    again = read_maps(tmp_path / "new" / "set")
    assert [path.name for path in (tmp_path / "new" / "set").iterdir()] == ["maps.parquet"]
    for one, other in zip(maps, again, strict=True):
        np.testing.assert_array_equal(one.quantised, other.quantised)
        np.testing.assert_allclose(other.weights.sum(1), 1, atol=1e-5)
        # The rest without the arrays, whose == is an array.
        assert replace(one, quantised=other.quantised) == other
    assert [one.is_pair for one in again] == [True, True, True, False]


# ---- labels on the disk


def test_a_label_is_read_by_another_at_once_and_the_file_only_grows(tmp_path: Path) -> None:
    labels, path, before = Labels(tmp_path / "set"), tmp_path / "set" / "labels.jsonl", b""
    given = [
        Label("m1", VERTICAL, "Žofie", 1),
        Label("m2", BLOCK, "Žofie", 1, "two\nlines"),
        Label("m1", "", "Žofie", 1),
    ]
    for at, label in enumerate(given):
        labels.add(label)
        now = path.read_bytes()
        assert now.startswith(before)
        assert now.count(b"\n") == at + 1
        assert Labels(tmp_path / "set").lines == given[: at + 1]
        before = now


GOOD = {"map": "a", "label": BLOCK, "annotator": "me", "round": 1, "note": ""}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"junk", "line 2 is no label"),
        (b"\xff\xfe{", "line 2 is no label"),
        (b"[]", "line 2 is no label"),
        (b"[" * 100_000, "line 2 is no label"),
        (b'{"map": "a"}', "line 2 is no label"),
        (GOOD | {"more": 1}, "line 2 is no label"),
        (GOOD | {"map": 3}, "line 2 is no label"),
        (GOOD | {"annotator": None}, "line 2 is no label"),
        (GOOD | {"label": "stripes"}, "line 2: 'stripes' is no class"),
        (GOOD | {"round": "1"}, "line 2 is no label"),
        (GOOD | {"round": True}, "line 2 is no label"),
        (GOOD | {"round": 9}, "line 2: there is no round 9"),
        (GOOD | {"map": "z"}, "line 2: there is no map 'z'"),
    ],
)
def test_damaged_labels_are_named_with_their_line_and_left_alone(
    line: bytes | dict[str, Any], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_maps(tmp_path, [runs.annotated("a")])
    path = tmp_path / "labels.jsonl"
    damaged = line if isinstance(line, bytes) else json.dumps(line).encode()
    content = json.dumps(GOOD).encode() + b"\n" + damaged + b"\n"
    path.write_bytes(content)
    assert annotate(tmp_path, "--port", "0") == 2
    assert f"{path} is damaged ({sentence}" in capsys.readouterr().err
    assert path.read_bytes() == content


def test_an_end_that_is_no_label_s_beginning_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    for content in (b"junk", b"\0" * 20, b'{"other": 1'):
        path.write_bytes(content)
        with pytest.raises(HeadscopeError, match="line 1 is no label"):
            Labels(tmp_path)
        assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    with pytest.raises(HeadscopeError, match="labels.jsonl cannot be read"):
        Labels(tmp_path)


def test_damaged_maps_are_named_with_their_row_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_maps(tmp_path, [runs.annotated("a", 9), runs.annotated("b", 9)])
    path = tmp_path / "maps.parquet"
    whole, frame = path.read_bytes(), pl.read_parquet(path)
    second = pl.col("id") == "b"
    damaged: dict[str, list[bytes | pl.DataFrame]] = {
        "the file cannot be read": [b"", whole[:50], whole[: len(whole) // 2], b"junk" * 99],
        "it lacks map": [frame.drop("map")],
        "its column map is not": [frame.with_columns(map=pl.lit("x"))],
        "its column layer is not": [frame.with_columns(layer=pl.lit("x"))],
        "row 2: its tokens, segments and weights do not fit": [
            frame.with_columns(map=pl.when(second).then(pl.lit(b"x")).otherwise(pl.col("map"))),
        ],
        "row 2: it has no model": [
            frame.with_columns(model=pl.when(second).then(None).otherwise(pl.col("model")))
        ],
        "row 2: layers and heads are counted from 1": [
            frame.with_columns(layer=pl.when(second).then(0).otherwise(pl.col("layer")))
        ],
        "row 2: a token is of text 0 or 1": [
            frame.with_columns(segments=pl.when(second).then([7] * 9).otherwise("segments"))
        ],
        "row 2: the map a is there already": [frame.with_columns(id=pl.lit("a"))],
        "it holds no map": [frame.clear()],
    }
    for sentence, contents in damaged.items():
        for content in contents:
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content.write_parquet(path)
            before = path.read_bytes()
            assert annotate(tmp_path, "--port", "0") == 2, sentence
            said = capsys.readouterr().err
            assert f"{path} is damaged ({sentence}" in said
            assert path.read_bytes() == before


def test_the_last_line_on_a_map_holds_and_an_empty_one_takes_it_back(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    labels.add(
        *(Label(name, VERTICAL, "a", 1) for name in ("m1", "m2", "m3")),
        Label("m1", VERTICAL, "b", 1),
    )
    labels.add(Label("m1", BLOCK, "a", 1), Label("m2", "", "a", 1), Label("m3", BLOCK, "a", 2))
    # In the order in which they were last given: undo takes the last.
    assert list(labels.of("a", 1).items()) == [("m3", VERTICAL), ("m1", BLOCK)]
    assert labels.of("a", 2) == {"m3": BLOCK}
    assert labels.of("b", 1) == {"m1": VERTICAL}
    assert labels.of("c", 1) == {}
    assert labels.passes() == [("a", 1), ("b", 1), ("a", 2)]


def test_a_line_that_a_crash_cut_short_anywhere_is_forgotten_and_written_over(
    tmp_path: Path,
) -> None:
    kept, cut, next_one = (Label(name, BLOCK, "Žofie", 1) for name in ("kept", "cut", "next"))
    labels = Labels(tmp_path)
    labels.add(kept)
    whole = labels.path.read_bytes()
    labels.add(cut)
    tail = labels.path.read_bytes()[len(whole) :]
    # Also inside the two bytes of "Ž", and with everything but the line's end.
    for at in range(len(tail)):
        labels.path.write_bytes(whole + tail[:at])
        after = Labels(tmp_path)
        assert after.lines == [kept], at
        after.add(next_one)
        assert Labels(tmp_path).lines == [kept, next_one], at
    labels.path.write_bytes(tail[:20])
    Labels(tmp_path).add(next_one)
    assert Labels(tmp_path).lines == [next_one]


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ([("a", 1, BLOCK)], BLOCK),
        ([("a", 1, BLOCK), ("a", 2, BLOCK), ("b", 1, BLOCK)], BLOCK),
        ([("a", 1, BLOCK), ("a", 2, VERTICAL)], None),
        ([("a", 1, BLOCK), ("a", 2, VERTICAL), ("a", 2, BLOCK)], BLOCK),
        ([("a", 1, BLOCK), ("a", 2, VERTICAL), ("a", 3, DIAGONAL)], DIAGONAL),
        ([("a", 1, BLOCK), ("a", 2, VERTICAL), ("a", 3, DIAGONAL), ("a", 3, "")], None),
        ([("a", 3, BLOCK), ("b", 3, VERTICAL), ("a", 3, DIAGONAL)], DIAGONAL),
        ([("a", 1, BLOCK), ("b", 1, VERTICAL), ("b", 1, "")], BLOCK),
        ([("a", 1, BLOCK), ("a", 1, "")], None),
        # Under the later guide (6 and 7 blind, 8 settled) earlier labels do not count,
        ([("a", 3, BLOCK), ("b", 6, VERTICAL), ("c", 7, VERTICAL)], VERTICAL),
        ([("b", 6, VERTICAL), ("c", 7, VERTICAL), ("a", 3, BLOCK)], VERTICAL),
        ([("a", 3, BLOCK), ("b", 6, VERTICAL), ("c", 7, DIAGONAL)], None),
        ([("b", 6, VERTICAL), ("c", 7, DIAGONAL), ("a", 8, DIAGONAL), ("a", 3, BLOCK)], DIAGONAL),
        # unless what was said under it was taken back.
        ([("a", 3, BLOCK), ("b", 6, VERTICAL), ("b", 6, "")], BLOCK),
    ],
)
def test_what_counts_as_settled(
    tmp_path: Path, given: list[tuple[str, int, str]], settled: str | None
) -> None:
    labels = Labels(tmp_path)
    labels.add(*(Label("m", label, annotator, round) for annotator, round, label in given))
    assert labels.settled() == ({} if settled is None else {"m": settled})


# ---- labels written beside sheets


WRITTEN = ({"map": 1, "class": BLOCK, "note": "unsure: pale"}, {"map": 2, "class": VERTICAL})


def as_lines(*said: object) -> str:
    return "\n".join(map(json.dumps, said))


def test_labels_from_sheets_are_kept_by_map(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text(as_lines(WRITTEN[0]) + "\n\n")
    second.write_text(as_lines(WRITTEN[1]))
    write_list({1: "m", 2: "n"}, tmp_path / "list.jsonl")
    listed = read_list(tmp_path / "list.jsonl")
    assert labels_of({"a": first, "b": second}, listed, 6) == [
        Label("m", BLOCK, "a", 6, "unsure: pale"),
        Label("n", VERTICAL, "b", 6),
    ]
    labels = Labels(tmp_path)
    labels.add(*labels_of({"a": first, "b": second}, listed, 6))
    assert said_in(labels, 6) == {"m": BLOCK, "n": VERTICAL}
    assert said_in(labels, 7) == {}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (WRITTEN[:1], "1 maps of the list have no label: [2]"),
        ((*WRITTEN, WRITTEN[0]), "map 1 has a label already"),
        ((*WRITTEN, {"map": 3, "class": BLOCK}), "line 3 is no label of a map of the list"),
        ((WRITTEN[0], {"map": 2, "class": "blok"}), "'blok' is no class"),
        ((WRITTEN[0], {"map": 2}), "line 2 is no label"),
        ((WRITTEN[0], 7), "line 2 is no label"),
    ],
)
def test_labels_from_sheets_that_do_not_fit_are_refused(
    tmp_path: Path, said: tuple[object, ...], sentence: str
) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(as_lines(*said))
    with pytest.raises(HeadscopeError, match=re.escape(sentence)):
        labels_of({"a": path}, {1: "m", 2: "n"}, 6)


def test_a_curtain_and_a_band_beside_a_stripe_are_looked_at_again() -> None:
    n = 40
    curtain = np.full((n, n), 0.6 / n)
    curtain[:, 3:36:4] += 0.4 / 9
    position = np.arange(n)
    band = np.abs(position[None] - position[:, None]) <= 2
    beside = 0.5 * band / band.sum(1, keepdims=True)
    beside[:, 0] += 0.5
    spread = np.full((n, n), 1 / n)

    def may_change(weights: npt.NDArray[np.float64], label: str) -> bool:
        shown = replace(runs.annotated("m", n), quantised=quantise(weights))
        return Looks.of(shown).may_change(label)

    assert may_change(curtain, HETEROGENEOUS)
    assert may_change(beside, VERTICAL)
    assert not may_change(beside, DIAGONAL)
    assert not may_change(spread, HETEROGENEOUS)
    assert row_distances(spread).max() == pytest.approx(0)
    # A row that gives everything to one of n columns, as no other does.
    assert row_distances(np.eye(n)) == pytest.approx(1 - 1 / n)


def test_a_sheet_is_a_picture_of_twelve_maps(tmp_path: Path) -> None:
    cells = [Cell(index, runs.annotated("m", 9)) for index in range(13)]
    assert write_sheets(cells, tmp_path) == 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["sheet-001.png", "sheet-002.png"]
    assert (tmp_path / "sheet-001.png").read_bytes().startswith(b"\x89PNG")


# ---- agreement


def as_labels(numbers: list[int]) -> dict[str, str]:
    return {f"m{i}": CLASSES[number] for i, number in enumerate(numbers)}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
@settings(max_examples=60)
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    assume(len({label for pair in pairs for label in pair}) > 1)
    a, b = ([pair[at] for pair in pairs] for at in (0, 1))
    table = np.zeros((5, 5), np.int64)
    np.add.at(table, (a, b), 1)
    assert kappa(table) == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    assert kappa(table.T) == pytest.approx(kappa(table))


def test_agreement_by_hand() -> None:
    # 20 and 15 alike, 5 and 10 not: observed 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa 0.2 / 0.5.
    first, second = (
        as_labels([0] * 25 + [1] * 25),
        as_labels([0] * 20 + [1] * 5 + [0] * 10 + [1] * 15),
    )
    found = agreement(first | {"only here": BLOCK}, {"only there": BLOCK} | second)
    assert found.n == 50
    assert (found.raw, found.kappa) == pytest.approx((0.7, 0.4))
    assert found.raw_interval == pytest.approx((0.5625, 0.8090), abs=1e-4)  # Wilson's, of 35 of 50.
    # The bootstrap's interval is near the normal one with the large-sample error of Fleiss, Cohen and Everitt (1969).
    assert found.kappa_interval == pytest.approx((0.4 - 1.96 * 0.127, 0.4 + 1.96 * 0.127), abs=0.03)
    assert found.differing == [(VERTICAL, DIAGONAL, 15)]
    assert agreement(first, second).kappa_interval == found.kappa_interval
    assert agreement(first, second, seed=1).kappa_interval != found.kappa_interval


def test_full_agreement_is_1_and_the_pair_that_differs_most_comes_first() -> None:
    assert agreement(as_labels([2, 2]), as_labels([2, 2])).kappa == 1
    found = agreement(as_labels([0, 4, 3, 4]), as_labels([3, 0, 0, 4]))
    assert found.differing == [(VERTICAL, BLOCK, 2), (VERTICAL, HETEROGENEOUS, 1)]


def test_agreement_on_nothing_is_a_mistake() -> None:
    with pytest.raises(HeadscopeError, match="no map has been labelled in both passes"):
        agreement({"a": BLOCK}, {"b": BLOCK})


# ---- what is drawn


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load(tiny)


@pytest.fixture(scope="module")
def encoded(model: Model) -> Encoded:
    """Pairs of a few to 139 tokens."""
    rng = np.random.default_rng(0)
    words = [" ".join(rng.choice([*"abc", "the"], n)) for n in range(2, 137, 2)]
    split = Split(
        tuple(words),
        tuple(text[: len(text) // 2].strip() for text in words),
        np.zeros(len(words), np.int64),
    )
    return encode(split, model.tokenizer, max_length=139)


def test_what_is_drawn_is_even_over_layers_and_lengths_and_distinct(
    model: Model, encoded: Encoded
) -> None:
    assert encoded.lengths.min() < 8
    assert encoded.lengths.max() > 128
    drawn = draw(model, encoded, ORIGIN, 48, seed=3)
    assert (
        len({one.id for one in drawn}) == len({(one.example, str(one.head)) for one in drawn}) == 48
    )
    lengths = [
        next(at for at, (low, high) in enumerate(LENGTHS) if low <= len(one.segments) <= high)
        for one in drawn
    ]
    cells = Counter(zip(lengths, (one.head.layer for one in drawn), strict=True))
    assert len(cells) == len(LENGTHS) * model.layers
    # A draw that came before goes to the next cell.
    assert max(cells.values()) - min(cells.values()) <= 2
    for one in drawn:
        assert one.id == f"tiny-bert/invented/{one.example}/{one.head}"
        assert (one.model, one.family, one.source, one.drawn) == (
            "tiny-bert",
            "bert",
            "invented",
            "random",
        )
        assert list(one.special) == encoded.special[one.example]
        assert list(one.segments) == encoded.segments[one.example]


def test_the_seed_decides_what_is_drawn(model: Model, encoded: Encoded) -> None:
    ids = [{one.id for one in draw(model, encoded, ORIGIN, 6, seed)} for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_drawn_maps_are_those_of_the_model_without_padding(
    model: Model, encoded: Encoded, tiny: Path
) -> None:
    eager = AutoModelForSequenceClassification.from_pretrained(
        tiny, attn_implementation="eager"
    ).eval()
    for one in draw(model, encoded, ORIGIN, 12, seed=5):
        with torch.no_grad():
            maps = eager(**encoded.batch([one.example]), output_attentions=True).attentions
        own = maps[one.head.layer - 1][0, one.head.head - 1].numpy()
        assert one.quantised.shape == own.shape
        assert np.abs(one.quantised.astype(int) - quantise(own).astype(int)).max() <= 1


def test_examples_of_other_lengths_are_a_mistake(model: Model) -> None:
    short = encode(Split(("a b", "c"), None, np.zeros(2, np.int64)), model.tokenizer)
    with pytest.raises(HeadscopeError, match="no example has between 8 and 128 tokens"):
        draw(model, short, ORIGIN, 2, seed=0)
    assert draw_blocks(model, short, ORIGIN, 2, seed=0) == []


# How a row's mass is shared, by head: to words of the row's own text, to words of the other, to special tokens.
SHARES = [(0.8, 0.1, 0.1), (0.5, 0.4, 0.1), (0.4, 0.0, 0.6), (0.61, 0.15, 0.24)]


def invented(batch: Batch, layer: int) -> torch.Tensor:
    """Maps of known kinds, rows of padding as models leave them: attending to what is real."""
    word = batch.real & ~batch.special
    same = batch.segment[:, :, None] == batch.segment[:, None]
    groups = [
        same & word[:, None],
        ~same & word[:, None],
        (batch.special & batch.real)[:, None].expand_as(same),
    ]
    even = torch.stack([group / group.sum(-1, keepdim=True).clamp_min(1) for group in groups], -1)
    heads = [even @ torch.tensor(SHARES[head if layer < 2 else 1]) for head in range(4)]
    maps = torch.stack([*heads, 0.5 * heads[0] + 0.5 * torch.eye(word.shape[1])], 1)
    last = torch.nn.functional.one_hot(batch.real.sum(-1) - 1, word.shape[1])[:, None, None].float()
    return torch.where(batch.real[:, None, :, None], maps, last)


@pytest.fixture
def invented_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    def observe_batch(
        model: Model, inputs: Any, batch: Batch, show: Callable[[LayerMaps], None], **given: object
    ) -> None:
        for layer in range(model.layers):
            maps = invented(batch, layer)
            show(LayerMaps(layer, batch, maps, torch.ones(*maps.shape[:3], 2)))

    monkeypatch.setattr(headscope.model.passes, "observe_batch", observe_batch)


@pytest.mark.usefixtures("invented_maps")
def test_candidates_for_block_are_what_the_docstring_says(model: Model, encoded: Encoded) -> None:
    drawn = draw_blocks(model, encoded, ORIGIN, 100, seed=1)
    # Of layers 1 and 2, heads 1 and 4 keep to their own text, and neither along the diagonal nor in few columns.
    assert {str(one.head) for one in drawn} == {"L1H1", "L2H1", "L1H4", "L2H4"}
    assert set(Counter(str(one.head) for one in drawn).values()) == {4}
    assert {one.drawn for one in drawn} == {"block candidate"}
    for one in drawn:
        weights, special, segments = one.weights, np.array(one.special), np.array(one.segments)
        assert one.is_pair
        assert 8 <= len(segments) <= 128
        word = ~special
        for text in (0, 1):
            given = weights[np.ix_(word & (segments == text), word)].sum(0)
            # The 8 bits take a little away.
            assert given[segments[word] == text].sum() >= 0.59 * given.sum()
        kept = lost = 0.0
        n = len(segments)
        for i, j in itertools.product(np.flatnonzero(word), repeat=2):
            mirror = 2 * i - j
            if 0 <= mirror < n and word[mirror] and segments[j] != segments[i] == segments[mirror]:
                lost, kept = lost + weights[i, j], kept + weights[i, mirror]
        assert kept - lost >= 0.19 * (kept + lost)
        assert kept + lost >= 0.059 * n
        assert sum(np.trace(weights, offset) for offset in range(-3, 4)) < 0.51 * n
        assert np.sort(weights.sum(0))[-4:].sum() < 0.51 * n
    assert len(draw_blocks(model, encoded, ORIGIN, 3, seed=1)) == 3


@pytest.mark.usefixtures("invented_maps")
def test_padding_does_not_decide_what_is_a_candidate(
    model: Model, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    monkeypatch.setattr(drawing, "_A_HEAD", 100)
    monkeypatch.setattr(drawing, "_CANDIDATE_EXAMPLES", 100)
    for batch_tokens in (1, 10_000):
        monkeypatch.setattr(drawing, "run_pass", partial(run_pass, batch_tokens=batch_tokens))
        found.append({one.id for one in draw_blocks(model, encoded, ORIGIN, 1000, seed=1)})
    assert found[0] == found[1]
    assert found[0]


# ---- the command


def annotate(folder: Path, *more: str) -> int:
    return cli.run(["annotate", "--out", str(folder), "--no-browser", *more])


def test_the_command_draws_adds_and_keeps_no_text(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "a\tb\tlabel\n" + "".join(
        f"the nurse was zzyzx {i}\tit was the pilot zzyzx\t{('no', 'yes')[i % 2]}\n"
        for i in range(9)
    )
    for split in ("train", "validation"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{split}.tsv").write_text(rows)
    (tmp_path / "data" / "task.toml").write_text('columns = ["a", "b"]\nlabels = ["no", "yes"]\n')
    drawn = ("--model", str(tiny), "--task", str(tmp_path / "data"), "--count", "6", "--agreement")
    folder = tmp_path / "set"
    assert annotate(folder, *drawn) == 0
    assert "6 maps drawn, 6 in" in capsys.readouterr().err
    before = [one.id for one in read_maps(folder)]
    assert annotate(folder, *drawn) == 0
    assert "0 maps drawn, 6 in" in capsys.readouterr().err
    assert annotate(folder, *drawn, "--seed", "1", "--family", "bert") == 0
    maps = read_maps(folder)
    assert [one.id for one in maps[:6]] == before
    assert len({one.id for one in maps}) == len(maps) > 6
    assert {(one.model, one.family) for one in maps} == {
        ("tiny-bert", "tiny-bert"),
        ("tiny-bert", "bert"),
    }
    frame = pl.read_parquet(folder / "maps.parquet")
    assert "zzyzx" not in str(frame.drop("map").to_dicts())


def test_ctrl_c_ends_the_server_and_says_what_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(server: Server, *given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", stop)
    write_maps(tmp_path, [runs.annotated("a"), runs.annotated("b")])
    Labels(tmp_path).add(
        *(Label(name, BLOCK, "me", round) for name in ("a", "b") for round in (1, 2))
    )
    assert annotate(tmp_path, "--port", "0") == 0
    captured = capsys.readouterr()
    assert "the page is at http://127.0.0.1:" in captured.err
    assert f"stopped; the labels are in {tmp_path / 'labels.jsonl'}" in captured.err
    assert captured.out.splitlines()[:3] == [
        "me, pass 1: 2 labels",
        "me, pass 2: 2 labels",
        "me, pass 1 and me, pass 2: 100.0% of 2 maps alike, Cohen's kappa 1.00 (no interval)",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--port", "0"],
            "holds no maps.parquet: draw maps first with headscope annotate --model M --task T",
        ),
        (["--model", "m"], "to draw maps give both --model and --task"),
        (
            ["--model", "TINY", "--task", "builtin", "--count", "0"],
            "--count must be at least 1, got 0",
        ),
        (["--round", "4"], "--round"),
        (["--port", "70000"], "--port must lie between 0 and 65535, got 70000"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        annotate(tmp_path / "set", *(str(tiny) if one == "TINY" else one for one in arguments)) == 2
    )
    captured = capsys.readouterr()
    mistake = captured.err.splitlines()[-1]
    assert mistake.startswith("headscope: ")
    assert sentence in mistake
    assert not captured.out
    assert not (tmp_path / "set").exists()


def test_a_port_that_is_taken_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_maps(tmp_path, [runs.annotated("a")])
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert annotate(tmp_path, "--port", str(port)) == 2
    assert f"port {port} of 127.0.0.1 cannot be had" in capsys.readouterr().err
