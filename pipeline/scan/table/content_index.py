"""Known: what a model has said of some bytes before, found again by their hash, so that copies are not scored twice.

The verdicts of a partition are sorted by content hash into an Arrow file beside it for the time of a run; workers map
it into memory, so that a look-up touches a few pages however many images the table has.
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
from pipeline.scan.table.ledger import Ledger, listed, register, unreadable
from pipeline.storage import memory, storage
from pipeline.storage.fault import STORE_FAULTS

FOLDER = "_known"
"""Where the files lie in a table while a run needs them; readers of Parquet pass over names that begin so."""
COPY = "mole-known-"
"""How a machine's copy of such a file is named, in its folder for temporary files."""
ROWS_A_BATCH = 1 << 20
FACTS = ("content_hash", "format", "width", "height", "provenance", "logit", "gates")
"""What depends on the bytes and the model alone."""
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
        *((name, VERDICT.field(name).type) for name in FACTS),
        ("unit", pa.string()),
        ("index", pa.int32()),
    ]
)


def write(ledger: Ledger, url: str) -> None:
    """Sort what a partition says of images into a file; the oldest verdict of the same bytes stands for all.

    Args:
        ledger: the partition.
        url: where the file goes.

    Raises:
        SettingsError: the place is one that workers cannot see.
        StorageError: the partition cannot be read, or the file not written.
    """
    if memory.lives_in_this_process(url):
        raise SettingsError(f"--dedupe content: workers cannot look into {url!r}; choose an output that they can read")
    fs, path = storage.filesystem(url)
    try:
        files = ledger.files()
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with duckdb.connect() as database, fs.open(path, "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as writer:
            if not isinstance(fs, LocalFileSystem):
                register(database, fs)
            query = QUERY.format(facts=", ".join(FACTS), files=listed(files))
            for batch in database.sql(query).to_arrow_reader(ROWS_A_BATCH) if files else ():
                writer.write_table(pa.Table.from_batches([batch]).cast(SCHEMA))
    except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
        raise unreadable(ledger.folder, reason) from reason


class Known:
    """A file of verdicts by content hash, mapped into memory.

    Args:
        path: a local path.
    """

    def __init__(self, path: Path) -> None:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        self._first = [batch["prefix"][0].as_py() for batch in self._batches]

    def find(self, content_hash: bytes) -> dict[str, Any] | None:
        """Find what is known of some bytes.

        Args:
            content_hash: 16 bytes.

        Returns:
            `FACTS`, and `same_as`, the place of the image whose verdict this is; None where nothing is known.
        """
        prefix = int.from_bytes(content_hash[:8], "big")
        number = bisect_right(self._first, prefix) - 1
        if number < 0:
            return None
        batch = self._batches[number]
        prefixes = batch["prefix"].to_numpy()
        for row in range(int(np.searchsorted(prefixes, np.uint64(prefix))), batch.num_rows):
            if batch["content_hash"][row].as_py() == content_hash:
                facts = {name: batch[name][row].as_py() for name in FACTS}
                return facts | {"same_as": {name: batch[name][row].as_py() for name in ("unit", "index")}}
            if prefixes[row] != prefix:
                break
        return None


@lru_cache(maxsize=1)
def opened(url: str) -> Known:
    """Map a file of verdicts; one that lies in a store is copied to this machine once.

    Raises:
        StorageError: it cannot be read.
    """
    if storage.is_local(url):
        return Known(Path(storage.absolute(url)))
    folder = Path(tempfile.gettempdir())
    copy = folder / f"{COPY}{url.rpartition('/')[2]}"
    for left in folder.glob(f"{COPY}*"):
        if left != copy:
            left.unlink(missing_ok=True)  # of an earlier run; who still maps it keeps it
    try:
        if not copy.exists():
            storage.write(str(copy), storage.read(url))
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot read {url!r}: {reason}") from reason
    return Known(copy)
