"""Sink: a folder takes verdicts as files, and a file in its place is refused before anything is read."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.scan.table.parquet_sink import ParquetSink, partition
from pipeline.scan.table.sink import open_sink


def test_a_folder_that_does_not_exist_yet_is_a_sink_with_empty_ledgers(tmp_path: Path) -> None:
    sink = open_sink("files", str(tmp_path / "new"))
    assert isinstance(sink, ParquetSink)
    ledger = sink.ledger("cafe")
    assert ledger.folder == partition(str(tmp_path / "new"), "cafe")
    assert ledger.files() == []


def test_a_file_is_no_sink(tmp_path: Path) -> None:
    file = tmp_path / "verdicts"
    file.write_bytes(b"")
    with pytest.raises(SettingsError, match="is a file"):
        open_sink("files", str(file))
    with pytest.raises(SettingsError, match=f"lies below '{file}', which is a file"):
        open_sink("files", str(file / "below" / "it"))


def test_an_iceberg_table_is_named_by_catalog_namespace_and_table() -> None:
    with pytest.raises(SettingsError, match=r"catalog\.namespace\.table"):
        open_sink("iceberg", "verdicts")
