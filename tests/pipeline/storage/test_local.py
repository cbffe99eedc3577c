"""Only regular files are opened, to their end, and every name can be written down and found again."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.records import Status
from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.storage import local, storage
from pipeline.storage.fault import SpecialFileError

WANTED = ReadOptions(max_bytes=1000)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A folder of what is no file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("pipe", Status.NOT_AN_IMAGE, "a named pipe"),
        ("socket", Status.NOT_AN_IMAGE, "a socket"),
        ("device", Status.NOT_AN_IMAGE, "a device"),
        ("self", Status.MISSING, "a symbolic link to itself: "),
        ("gone", Status.MISSING, "no such file or folder: "),
    ],
)
def test_what_is_no_file_is_a_row_with_its_reason(name: str, status: Status, reason: str, odd: Path) -> None:
    row = read_image(str(odd / name), name, WANTED, {})
    assert row["status"] is status and reason in row["detail"]
    found = local.info(str(odd / name))
    assert found.fault is not None and found.fault[0] is status


def test_a_name_that_is_too_long_is_missing(tmp_path: Path) -> None:
    assert read_image(str(tmp_path / ("x" * 300)), "x", WANTED, {})["status"] is Status.MISSING


def test_a_pipe_is_not_waited_for(odd: Path) -> None:
    with pytest.raises(SpecialFileError, match="is a named pipe; only regular files are read"):
        local.open_regular(str(odd / "pipe"))


def test_a_file_is_read_to_its_end_whatever_size_it_tells() -> None:
    assert local.info("/proc/self/status").size == 0
    assert local.read("/proc/self/status").startswith(b"Name:")


def test_a_file_that_goes_on_changing_is_unreachable_and_one_that_stands_still_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    os.truncate(path, 64 << 20)
    with subprocess.Popen(["sh", "-c", "while :; do echo x; done"], stdout=path.open("ab")) as writing:
        try:
            row = read_image(str(path), "a", ReadOptions(1 << 30), {})
        finally:
            writing.kill()
    assert row["status"] is Status.UNREACHABLE and "it changed each of 3 times while it was read" in row["detail"]
    assert len(local.read(str(path), max_bytes=100)) == 100


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"a b%41.jpg", "é\n\"'.jpg".encode(), b"a::b.jpg", b"x?#y.jpg"])
def test_every_name_is_written_and_found_again(name: bytes, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    with open(path, "wb") as stream:
        stream.write(name)
    url = local.info(path).url
    url.encode()
    assert storage.read(url) == name and storage.absolute(url) == url
    assert local.path_of(url) == path


def test_a_file_url_has_percent_signs_to_decode_and_a_path_has_none(tmp_path: Path) -> None:
    (tmp_path / "a0.jpg").write_bytes(b"decoded")
    (tmp_path / "a%30.jpg").write_bytes(b"literal")
    for start in ("file://", "file://localhost", "file:", "FILE://"):
        assert storage.read(f"{start}{tmp_path}/a%30.jpg") == b"decoded"
    assert storage.read(f"{tmp_path}/a%30.jpg") == b"literal"
    assert storage.absolute(f"file://{tmp_path}/a%30.jpg") == f"{tmp_path}/a0.jpg"
