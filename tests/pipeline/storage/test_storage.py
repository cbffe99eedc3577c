"""Writes are whole or not there, faults are named, and a place is the same however it is written."""

import os
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.storage import local, storage
from pipeline.storage.fault import fault_of


def test_a_write_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    url = str(tmp_path / "deep" / "file")
    storage.write(url, b"first")
    storage.write(url, b"second")
    assert storage.read(url) == b"second"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_create_loses_against_what_is_there(tmp_path: Path) -> None:
    url = str(tmp_path / "file")
    assert storage.create(url, b"first")
    assert not storage.create(url, b"second")
    assert storage.read(url) == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_cannot_be_done_says_where_and_how_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write 3 bytes to .*file/x"):
        storage.write(str(tmp_path / "file" / "x"), b"abc")


def test_a_local_path_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {storage.absolute(url) for url in ("a/b", "./a/b", f"file://{tmp_path}/a/b")} == {f"{tmp_path}/a/b"}
    assert storage.absolute("memory://a/b") == "memory:///a/b"


def test_what_is_written_where_two_colons_stand_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("o::x/part", b"1")
    assert (tmp_path / "o::x" / "part").read_bytes() == b"1"
    assert storage.list_files("o::x", "part") == ["o::x/part"] and storage.exists("o::x")


@pytest.mark.parametrize("url", ["dir://x", "zip://x", "cached://x", "simplecache::s3://a/b", "tar://x::file:///a"])
def test_a_chain_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="chained URLs are not read"):
        storage.filesystem(url)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(SettingsError, match="foo://x"):
        storage.filesystem("foo://x")


def test_a_store_that_says_no_is_told_from_one_that_says_nothing() -> None:
    info = aiohttp.RequestInfo(None, "GET", None, None)  # type: ignore[arg-type]
    answers = {
        FileNotFoundError("x"): Status.MISSING,
        IsADirectoryError("x"): Status.MISSING,
        PermissionError("x"): Status.FORBIDDEN,
        TimeoutError("x"): Status.UNREACHABLE,
        aiohttp.ClientResponseError(info, (), status=410): Status.MISSING,
        aiohttp.ClientResponseError(info, (), status=401): Status.FORBIDDEN,
        aiohttp.ClientResponseError(info, (), status=503): Status.UNREACHABLE,
    }
    for reason, status in answers.items():
        assert fault_of(reason)[0] is status


def test_a_read_stops_where_it_is_told(tmp_path: Path) -> None:
    storage.write(str(tmp_path / "a"), b"0123456789")
    assert storage.read(str(tmp_path / "a"), max_bytes=4) == b"0123"


def test_a_sweep_takes_what_a_killed_writer_left_and_nothing_else(tmp_path: Path) -> None:
    storage.write(str(tmp_path / "part.parquet"), b"1")
    (tmp_path / f".part.parquet{local.TEMPORARY_MARK}0").write_bytes(b"half")
    storage.remove_temporary_files(str(tmp_path))
    storage.remove_temporary_files(str(tmp_path / "none"))
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


def test_a_sweep_beside_others_takes_only_what_is_old(tmp_path: Path) -> None:
    for name, age in (("old", 90.0), ("new", 0.0)):
        file = tmp_path / f".{name}{local.TEMPORARY_MARK}0"
        file.write_bytes(b"half")
        os.utime(file, (time.time() - age,) * 2)
    storage.remove_temporary_files(str(tmp_path), older_than=60.0)
    assert [path.name for path in tmp_path.iterdir()] == [f".new{local.TEMPORARY_MARK}0"]


LIMITED = """
import resource, signal, sys
from mole.errors import StorageError
from pipeline.storage import storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
for call in (storage.create, storage.write):
    try:
        call(sys.argv[1] + "/file", bytes(4096))
    except StorageError as reason:
        print(reason)
"""


def test_a_write_that_finds_no_room_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.count("cannot write") == 2 and list(tmp_path.iterdir()) == []


def test_names_are_the_files_right_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "c.txt", "sub/d.parquet"):
        storage.write(str(tmp_path / name), b"")
    assert storage.list_files(str(tmp_path), ".parquet") == [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert storage.list_files(str(tmp_path / "none"), ".parquet") == []
