"""Carried columns: finds the files of a partition that lack a column of `--carry`; rows are never rewritten for it."""

from collections.abc import Sequence

import duckdb
from fsspec.implementations.local import LocalFileSystem

from pipeline.records import CARRIED
from pipeline.scan.table.ledger import Ledger, register, sql_list, unreadable
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

COLUMNS = "SELECT file_name, list(name), list(num_children) FROM parquet_schema({files}) GROUP BY file_name"


def files_without(ledger: Ledger, columns: Sequence[str]) -> list[str]:
    """List the files of a partition that lack one of some carried columns, from their footers.

    Raises:
        StorageError: a file cannot be read.
    """
    files = ledger.files() if columns else []
    if not files:
        return []
    fs, _ = storage.filesystem(files[0])
    try:
        with duckdb.connect() as database:
            if not isinstance(fs, LocalFileSystem):
                register(database, fs)
            found = database.execute(COLUMNS.format(files=sql_list(files))).fetchall()
    except (*STORE_FAULTS, duckdb.Error) as reason:
        raise unreadable(ledger.folder, reason) from reason
    return [file for file, names, children in found if not set(columns) <= _carried(names, children)]


def _carried(names: list[str], children: list[int | None]) -> set[str]:
    """Name the fields of the struct column `carried`, which follow it in a footer."""
    if CARRIED not in names:
        return set()
    place = names.index(CARRIED)
    return set(names[place + 1 : place + 1 + (children[place] or 0)])
