"""Every file of a folder is found, whatever stands between them, and what cannot be listed is said."""

import os
import subprocess
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from mole.errors import StorageError
from pipeline.records import Status
from pipeline.storage.folder import UNREADABLE, entries, walk


@pytest.fixture
def deep() -> Iterator[Path]:
    """A folder that goes when its test ends, as pytest's own cannot where it is too deep for recursion."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_walk_is_in_the_order_of_names_with_a_folders_files_first(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/c/3", "z", ".x", ".h/5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [place.key for place in entries(str(tmp_path), hidden=True)] == [".x", "z", ".h/5", "a/c/3", "b/1", "b/2"]
    assert [place.key for place in entries(str(tmp_path), hidden=False)] == [".x", "z", ".h", "a/c/3", "b/1", "b/2"]
    assert next(walk(str(tmp_path))).url == f"{tmp_path}/.x"


def test_no_depth_is_too_much(deep: Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)
    assert [place.key for place in walk(str(deep))] == ["d/" * 1500 + "a.jpg"]


def test_a_path_longer_than_the_system_takes_is_said_and_ends_nothing(deep: Path) -> None:
    here = os.open(deep, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (deep / "z.jpg").write_bytes(b"")
    told = list(entries(str(deep), hidden=False))
    assert told[0].key == "z.jpg" and len(told) == 2
    assert told[1].identity == UNREADABLE and told[1].fault is not None
    with pytest.raises(StorageError, match="cannot list"):
        list(walk(str(deep)))


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_below_that_may_not_be_read_is_an_entry_with_its_reason(public: Path) -> None:
    for name in ("open/a.jpg", "shut/b.jpg"):
        (public / name).parent.mkdir()
        (public / name).write_bytes(b"")
    (public / "shut").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody, for root may read everything
    try:
        told = [(place.key, place.fault and place.fault[0]) for place in entries(str(public), hidden=False)]
    finally:
        os.seteuid(user)
    (public / "shut").chmod(0o755)
    assert told == [("open/a.jpg", None), ("shut", Status.FORBIDDEN)]


def test_a_hundred_thousand_files_are_not_held_as_places(deep: Path) -> None:
    for number in range(5_000):
        os.close(os.open(deep / f"{number:06}.jpg", os.O_CREAT))
    tracemalloc.start()
    try:
        assert sum(1 for _ in entries(str(deep), hidden=False)) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 5_000 * 200
    finally:
        tracemalloc.stop()


def test_a_store_in_memory_is_walked_like_another() -> None:
    fs = fsspec.filesystem("memory")
    for name in ("/walked/a", "/walked/b/c", "/walked/.d/e"):
        fs.pipe_file(name, b"1")
    found = entries("memory://walked", hidden=False)
    assert sorted((place.key, place.url) for place in found) == [
        (".d/", "memory:///walked/.d/"),
        ("a", "memory:///walked/a"),
        ("b/c", "memory:///walked/b/c"),
    ]


def test_a_folder_that_is_left_out_is_left_out_by_whatever_links_it_is_reached(tmp_path: Path) -> None:
    for name in ("top/a", "top/out/b", "top/out/c/d", "top/output/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "top" / "link").symlink_to("out")

    def keys(without: Path | None) -> list[str]:
        given = None if without is None else str(without)
        return [place.key for place in entries(str(tmp_path / "top"), hidden=False, without=given)]

    assert keys(tmp_path / "top" / "out") == keys(tmp_path / "top" / "link") == ["a", "output/e"]
    everything = ["a", "link/b", "link/c/d", "output/e"]  # what a link shows is not walked again
    assert keys(None) == keys(tmp_path / "none") == keys(tmp_path / "top") == everything


def test_a_store_leaves_out_a_folder_of_just_that_name() -> None:
    fs = fsspec.filesystem("memory")
    for name in ("/left/a", "/left/out/b", "/left/output/c"):
        fs.pipe_file(name, b"1")
    found = entries("memory://left", hidden=False, without="memory://left/out")
    assert sorted(place.key for place in found) == ["a", "output/c"]
