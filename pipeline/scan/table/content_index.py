"""Content index: a model's verdicts by content hash, so that `--dedupe` scores equal bytes once.

For the duration of a run, the verdicts of a partition are sorted by content hash into an Arrow file. Workers map it
into memory, so a lookup touches a few pages, however many images the table has.
"""

import tempfile
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from mole.errors import SettingsError, StorageError
from pipeline.records import VERDICT
from pipeline.scan.table.ledger import Ledger, register, sql_list, unreadable
from pipeline.storage import memory, storage
from pipeline.storage.fault import STORE_FAULTS

INDEX_FOLDER = "_known"
"""Folder of the table that holds the index during a run; Parquet readers skip names that begin with `_`."""
COPY_PREFIX = "mole-known-"
"""Prefix of a machine's local copy of an index, in its temporary folder."""
ROWS_PER_BATCH = 1 << 20
COPIED_COLUMNS = ("content_hash", "format", "width", "height", "provenance", "logit", "gates")
"""Columns that depend on the bytes and the model alone."""
QUERY = """
    SELECT ('0x' || substr(hex(content_hash), 1, 16))::UBIGINT AS prefix, {facts}, unit, "index"
    FROM read_parquet({files})
    WHERE status = 'ok' AND logit IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY content_hash ORDER BY scanned_at, unit, "index") = 1
    ORDER BY prefix, content_hash
"""
SCHEMA = pa.schema(
    [
        ("prefix", pa.uint64()),
        *((name, VERDICT.field(name).type) for name in COPIED_COLUMNS),
        ("unit", pa.string()),
        ("index", pa.int32()),
    ]
)


def write_index(ledger: Ledger, url: str) -> None:
    """Write the index of a partition; of several verdicts of the same bytes it has the oldest.

    Args:
        ledger: the partition.
        url: where the file is written.

    Raises:
        SettingsError: workers cannot read from this URL.
        StorageError: the partition cannot be read, or the file cannot be written.
    """
    if memory.lives_in_this_process(url):
        raise SettingsError(f"--dedupe content: workers cannot read {url!r}; choose an --output that they can read")
    fs, path = storage.filesystem(url)
    try:
        files = ledger.files()
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with duckdb.connect() as database, fs.open(path, "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as writer:
            if not isinstance(fs, LocalFileSystem):
                register(database, fs)
            query = QUERY.format(facts=", ".join(COPIED_COLUMNS), files=sql_list(files))
            for batch in database.sql(query).to_arrow_reader(ROWS_PER_BATCH) if files else ():
                writer.write_table(pa.Table.from_batches([batch]).cast(SCHEMA))
    except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
        raise unreadable(ledger.folder, reason) from reason


class ContentIndex:
    """A content index that is mapped into memory.

    Args:
        path: a local path.
    """

    def __init__(self, path: Path) -> None:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        self._first = [batch["prefix"][0].as_py() for batch in self._batches]

    def find(self, content_hash: bytes) -> dict[str, Any] | None:
        """Find the verdict of some bytes.

        Args:
            content_hash: 16 bytes.

        Returns:
            `COPIED_COLUMNS`, and `same_as`, unit and index of the image whose verdict this is; None if there is none.
        """
        prefix = int.from_bytes(content_hash[:8], "big")
        number = bisect_right(self._first, prefix) - 1
        if number < 0:
            return None
        batch = self._batches[number]
        prefixes = batch["prefix"].to_numpy()
        for row in range(int(np.searchsorted(prefixes, np.uint64(prefix))), batch.num_rows):
            if batch["content_hash"][row].as_py() == content_hash:
                facts = {name: batch[name][row].as_py() for name in COPIED_COLUMNS}
                return facts | {"same_as": {name: batch[name][row].as_py() for name in ("unit", "index")}}
            if prefixes[row] != prefix:
                break
        return None


@lru_cache(maxsize=1)
def open_index(url: str) -> ContentIndex:
    """Map an index into memory; one in an object store is copied to this machine once.

    Raises:
        StorageError: it cannot be read.
    """
    if storage.is_local(url):
        return ContentIndex(Path(storage.absolute(url)))
    folder = Path(tempfile.gettempdir())
    copy = folder / f"{COPY_PREFIX}{url.rpartition('/')[2]}"
    for leftover in folder.glob(f"{COPY_PREFIX}*"):
        if leftover != copy:
            leftover.unlink(missing_ok=True)  # of an earlier run; a process that still maps it keeps its pages
    try:
        if not copy.exists():
            storage.write(str(copy), storage.read(url))
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot read {url!r}: {reason}") from reason
    return ContentIndex(copy)
