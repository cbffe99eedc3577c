"""Laws of shards: full at their bound, under their name only when whole, the same bytes again, and gone on with."""

import io
import tarfile
from pathlib import Path

import pytest

from pipeline.review.shard_writer import Shards, Size, parts
from pipeline.storage import storage

SIZE = Size(images=2, bytes=1 << 20)


def sample(number: int) -> dict[str, object]:
    return {"__key__": f"{number:03}", "jpg": bytes([number]) * 1000, "json": b"{}"}


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder of this machine, and one of a store."""
    return str(tmp_path / "shards") if request.param == "local" else f"memory://{tmp_path.name}/shards"


def die_behind(count: int, output: str) -> None:
    with Shards(output, SIZE) as shards:
        for number in range(count):
            shards.write(sample(number))
        raise KeyboardInterrupt


def shards_of(output: str) -> list[bytes]:
    return [storage.read(file) for file in storage.list_files(output, ".tar")]


def test_shards_end_at_their_bounds_and_hold_each_sample_once(output: str) -> None:
    with Shards(output, SIZE) as shards:
        for number in range(5):
            shards.write(sample(number))
    assert [names(data)[::2] for data in shards_of(output)] == [
        ["000.jpg", "001.jpg"],
        ["002.jpg", "003.jpg"],
        ["004.jpg"],
    ]
    assert [part.rows for part in parts(output)] == [(0, 2), (2, 4), (4, 5)]
    with Shards(f"{output}-small", Size(images=100, bytes=1500)) as shards:
        for number in range(4):
            shards.write(sample(number))
    assert len(shards_of(f"{output}-small")) == 2


def test_a_run_that_dies_leaves_whole_shards_alone_and_the_next_one_the_same_as_none(output: str) -> None:
    with Shards(whole := f"{output}-whole", SIZE) as shards:
        for number in range(5):
            shards.write(sample(number))
    with pytest.raises(KeyboardInterrupt):
        die_behind(4, output)
    assert len(shards_of(output)) == 1
    if storage.is_local(output):
        assert sorted(path.name for path in Path(output).iterdir()) == ["_export", "shard-000000.tar"]
    with Shards(output, SIZE) as shards:
        assert shards.rows == 2
        for number in range(shards.rows, 5):
            shards.write(sample(number))
    assert shards_of(output) == shards_of(whole)


def test_a_shard_without_its_record_is_written_again(output: str) -> None:
    with Shards(output, SIZE) as shards:
        for number in range(3):
            shards.write(sample(number))
    before = shards_of(output)
    storage.remove(storage.list_files(storage.join(output, "_export"), ".json")[-1])
    with Shards(output, SIZE) as shards:
        shards.write(sample(shards.rows))
    assert shards_of(output) == before


def test_rows_without_bytes_are_of_the_shard_before_them_or_of_none(output: str) -> None:
    with Shards(output, SIZE) as shards:
        for number in range(6):
            if number in (2, 5):
                shards.miss({"key": str(number)})
            else:
                shards.write(sample(number))
    assert [(part.rows, part.images, len(part.missing)) for part in parts(output)] == [((0, 3), 2, 1), ((3, 6), 2, 1)]
    with Shards(f"{output}-none", SIZE) as shards:
        shards.miss({"key": "0"})
    [part] = parts(f"{output}-none")
    assert part.name is None and shards_of(f"{output}-none") == []
