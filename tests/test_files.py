"""Files are whole or not there, and on the disk before they take their name; cached results know their damage."""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from headscope.cache import Format, cached
from headscope.errors import HeadscopeError
from headscope.files import replacing


def test_a_file_keeps_its_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as unfinished:
        unfinished.write_text("first")
        assert not path.exists()

    def fail() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("sec")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "first"
    assert [*path.parent.iterdir()] == [path]


def test_the_content_is_on_the_disk_before_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "file", []
    rename, sync = Path.replace, os.fsync

    def renaming(file: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(file, target)

    def syncing(descriptor: int) -> None:
        status = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(status.st_mode)
        assert is_folder or status.st_size == 5
        steps.append("sync the name" if is_folder else "sync")
        sync(descriptor)

    monkeypatch.setattr(Path, "replace", renaming)
    monkeypatch.setattr(os, "fsync", syncing)
    with replacing(path) as unfinished:
        unfinished.write_bytes(b"bytes")
    assert steps == ["sync", "rename", "sync the name"]


def test_processes_that_share_a_file_do_not_share_the_unfinished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    with replacing(path, shared=True) as first:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with replacing(path, shared=True) as second:
            assert first != second
            second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first"


def packed(numbers: list[int]) -> tuple[dict[str, Any], list[Any]]:
    return {"count": len(numbers)}, [[number, str(number)] for number in numbers]


def unpacked(facts: Mapping[str, Any], rows: Sequence[Any]) -> list[int]:
    if facts["count"] != len(rows):
        raise ValueError(facts)
    return [number for number, _ in rows]


NUMBERS = Format("numbers", "counting again", packed, unpacked)


def test_a_cached_result_is_made_once_and_its_format_is_pinned(tmp_path: Path) -> None:
    path, made = tmp_path / "cache" / "n.jsonl", []

    def make() -> list[int]:
        made.append(1)
        return [2, 3]

    for _ in range(2):
        assert cached(path, {"version": 7}, NUMBERS, make) == [2, 3]
    assert made == [1]
    body = b'[2,"2"]\n[3,"3"]\n'
    checksum = hashlib.sha256(body).hexdigest()
    head = f'{{"version": 7, "count": 2, "sha256": "{checksum}"}}\n'
    assert path.read_bytes() == head.encode() + body


def test_a_damaged_cache_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "n.jsonl"
    assert cached(path, {}, NUMBERS, lambda: [2, 3]) == [2, 3]
    whole = path.read_bytes()
    assert capsys.readouterr().err == ""
    wrong = whole.replace(b'"count": 2', b'"count": 3')
    for damaged in (b"", b"[]\n", b'{"sha256": 1}\n', whole[:-4], b"\xff" + whole, wrong):
        path.write_bytes(damaged)
        assert cached(path, {}, NUMBERS, lambda: [2, 3]) == [2, 3]
        assert "the cached numbers in" in capsys.readouterr().err
        assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadscopeError, match="the numbers cannot be cached in .*file"):
        cached(tmp_path / "file" / "n.jsonl", {}, NUMBERS, lambda: pytest.fail("it was made"))
