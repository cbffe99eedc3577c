"""Sink: where a scan writes its verdicts, Parquet files of a folder or an Iceberg table.

pyiceberg takes a second to import and only an Iceberg sink needs it, so its import stands inside a function.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from mole.errors import SettingsError
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.parquet_sink import ParquetSink
from pipeline.scan.table.verdicts import Verdicts
from pipeline.storage import storage


class Sink(Protocol):
    """A destination of verdicts.

    Attributes:
        output: the URL under which the lease is kept.
    """

    output: str

    def ledger(self, model: str) -> Ledger:
        """Open a model's partition."""

    def put(self, verdicts: Verdicts, generation: str, rows: int, units: list[str]) -> Iterator[dict[str, Any]]:
        """Write a wave's verdicts; yields a row of `WRITTEN_FILES` for each file that was written."""


def open_sink(sink: str, output: str) -> Sink:
    """Open a sink.

    Args:
        sink: `files` or `iceberg`.
        output: a folder's URL, or a table's name.

    Raises:
        SettingsError: the output is a file, or not the name of an Iceberg table.
        StorageError: the catalog does not answer.
    """
    if sink == "files":
        path = Path(storage.filesystem(output)[1]) if storage.is_local(output) else None
        if path is not None and (file := _file_on_the_way(path)):
            where = "is a file" if file == path else f"lies below '{file}', which is a file"
            raise SettingsError(f"--output {output!r} {where}; name a folder, which need not exist yet")
        return ParquetSink(output)
    from pipeline.scan.table.iceberg_sink import IcebergSink

    return IcebergSink(output)


def _file_on_the_way(path: Path) -> Path | None:
    """Find the file that a folder would have to be: a path itself, or one that it lies below; None if there is none."""
    return next((place for place in (path, *path.parents) if place.is_file()), None)
