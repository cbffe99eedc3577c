"""Sink: where a scan writes its verdicts, Parquet files of a folder or an Iceberg table.

pyiceberg takes a second to import and only an Iceberg sink needs it, so its import stands inside a function.
"""

import os
from collections.abc import Iterator
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
        if storage.is_local(output) and os.path.isfile(storage.filesystem(output)[1]):
            raise SettingsError(f"--output {output!r} is a file; name a folder, which need not exist yet")
        return ParquetSink(output)
    from pipeline.scan.table.iceberg_sink import IcebergSink

    return IcebergSink(output)
