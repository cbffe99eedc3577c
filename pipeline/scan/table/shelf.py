"""The shelf: where a scan's verdicts go, as files of a folder or as an Iceberg table.

pyiceberg takes a second to import, and only who writes Iceberg needs it: so its import stands inside.
"""

import os
from collections.abc import Iterator
from typing import Any, Protocol

from ray.data import Dataset

from mole.errors import SettingsError
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.sink import Files
from pipeline.storage import storage


class Shelf(Protocol):
    """A place for verdicts.

    Attributes:
        output: the URL under which the lease lies.
    """

    output: str

    def ledger(self, model: str) -> Ledger:
        """Look at what is there of a model."""

    def put(self, verdicts: Dataset, generation: str, rows: int, units: list[str]) -> Iterator[dict[str, Any]]:
        """Write a wave's verdicts, and tell what was written, a row of `WRITTEN_FILES` at a time."""


def opened(sink: str, output: str) -> Shelf:
    """Open a place for verdicts.

    Args:
        sink: `files` or `iceberg`.
        output: a folder's URL, or a table's name.

    Raises:
        SettingsError: the name is no table's, or a file's.
        StorageError: the catalog does not answer.
    """
    if sink == "files":
        if storage.is_local(output) and os.path.isfile(storage.filesystem(output)[1]):
            raise SettingsError(f"--output {output!r} is a file; name a folder, which need not be there yet")
        return Files(output)
    from pipeline.scan.table.iceberg import IcebergTable

    return IcebergTable(output)
