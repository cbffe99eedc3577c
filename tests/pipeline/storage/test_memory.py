"""What one process holds in memory travels whole, and nothing travels where nothing lies there."""

import fsspec

from pipeline.storage import memory


def test_the_memory_of_one_process_travels_as_a_snapshot() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/travels/a", b"1")
    packed = memory.snapshot(["memory://travels"])
    fs.rm("/travels", recursive=True)
    memory.mount(packed)
    assert fs.cat_file("/travels/a") == b"1"
    assert memory.snapshot(["/nowhere"]) == {}


def test_only_memory_is_a_store_of_one_process() -> None:
    assert memory.lives_in_this_process("memory://a") and not memory.lives_in_this_process("/a")
