"""Parquet file: damage is an error of the file, a failed read an error of its store."""

import io
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.scan.reading.parquet_file import DamagedFileError, FaultRecordingFile, open_parquet


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A Parquet file of three row groups."""
    pq.write_table(
        pa.table({"url": [f"{number}.jpg" * 99 for number in range(300)]}),
        tmp_path / "l.parquet",
        row_group_size=100,
        write_page_checksum=True,
    )
    return str(tmp_path / "l.parquet")


def damage(file: str, group: int) -> None:
    """Write over the middle of a row group."""
    facts = pq.read_metadata(file).row_group(group).column(0)
    start = facts.dictionary_page_offset or facts.data_page_offset
    data = bytearray(Path(file).read_bytes())
    at = start + facts.total_compressed_size // 2
    data[at : at + 8] = b"\xff" * 8
    Path(file).write_bytes(data)


def test_a_damaged_page_is_the_files_and_names_it(file: str) -> None:
    damage(file, 1)
    with open_parquet(file) as opened:
        assert opened.read_row_group(0).num_rows == 100
    with pytest.raises(DamagedFileError, match="l.parquet is damaged"), open_parquet(file) as opened:
        opened.read_row_group(1)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1", b"<html></html>"])
def test_what_is_no_parquet_file_is_torn(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(DamagedFileError, match="x.parquet is damaged"), open_parquet(str(tmp_path / "x.parquet")):
        pass


class Failing(io.BytesIO):
    """A store's file whose reads fail once they should."""

    failing = False

    def read(self, *args: Any) -> bytes:
        """Read, or fail."""
        if self.failing:
            raise ConnectionResetError("the store hung up")
        return super().read(*args)


def hang_up_and_read(held: Failing, file: pq.ParquetFile) -> None:
    """Read a row group of a store that fails from now on."""
    held.failing = True
    file.read_row_group(0)


def test_a_store_that_fails_is_heard_as_itself(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/torn/l.parquet", Path(file).read_bytes())
    held = Failing(Path(file).read_bytes())
    monkeypatch.setattr(type(memory), "open", lambda *_args, **_more: held)
    with pytest.raises(ConnectionResetError, match="hung up"), open_parquet("memory://torn/l.parquet") as opened:
        hang_up_and_read(held, opened)


def test_a_file_that_is_gone_is_the_stores_word(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_parquet(str(tmp_path / "gone.parquet")):
        pass


def test_a_watched_stream_reads_as_its_own() -> None:
    recording = FaultRecordingFile(io.BytesIO(b"abcdef"))
    assert (recording.read(2), recording.seek(1, 1), recording.tell(), recording.read()) == (b"ab", 3, 3, b"def")
    assert (recording.readable(), recording.seekable(), recording.writable(), recording.closed) == (
        True,
        True,
        False,
        False,
    )
    recording.close()
    assert recording.closed
