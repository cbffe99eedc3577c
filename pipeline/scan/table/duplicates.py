"""Duplicates: rows of images with the same bytes as another image of their wave, written after that image's verdict.

During the wave they are deferred: kept as Parquet files below the table. If the run is killed, they are lost and their
images have no row; the next run reads those images and finds their verdict in the content index.
"""

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.records import CARRIED, MODEL, PLACE, SAME_AS
from pipeline.scan.table.content_index import INDEX_FOLDER
from pipeline.scan.table.ledger import register, sql_list, unreadable
from pipeline.scan.table.part import encode, part_name
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

ROWS_PER_TABLE = 1 << 14
OWN_COLUMNS = (MODEL, *dict(PLACE), "content_hash", "bytes", CARRIED)
"""A duplicate's own columns; the others are those of the image that was scored."""
COMPLETED = """
    SELECT {columns}
    FROM read_parquet({deferred}, union_by_name = true) AS deferred
    JOIN (
        SELECT DISTINCT ON (content_hash) * FROM read_parquet({parts}, union_by_name = true, hive_partitioning = false)
        WHERE content_hash IS NOT NULL AND status IS NOT NULL ORDER BY content_hash, scanned_at
    ) AS scored USING (content_hash)
"""


def deferred_prefix(output: str, generation: str) -> str:
    """Make the URL prefix of the rows that a run defers."""
    return storage.join(storage.absolute(output), INDEX_FOLDER, f"{generation}-copies-")


def deferred_files(prefix: str) -> list[str]:
    """List the files of deferred rows.

    Raises:
        StorageError: the store refuses.
    """
    return [url for url in storage.list_files(prefix.rpartition("/")[0], ".parquet") if url.startswith(prefix)]


def defer_duplicates(verdicts: pa.Table, prefix: str) -> pa.Table:
    """Write the rows of duplicates to a file of their own.

    Args:
        verdicts: as `conclude` writes them.
        prefix: of the file's URL.

    Returns:
        The other rows.

    Raises:
        StorageError: the store refuses.
    """
    same_as = verdicts[SAME_AS.name]
    is_duplicate = pc.and_(same_as.is_valid(), pc.is_null(pc.struct_field(same_as, "unit")))
    rows = verdicts.filter(is_duplicate)
    if not rows.num_rows:
        return verdicts
    storage.write(f"{prefix}{part_name(rows)}", encode(rows))
    return verdicts.filter(pc.invert(is_duplicate))


def complete_deferred(deferred: Sequence[str], parts: Sequence[str]) -> Iterator[pa.Table]:
    """Complete deferred rows with the verdicts of the images that were scored.

    Args:
        deferred: URLs of the deferred rows.
        parts: URLs of the files that the same wave wrote to the table.

    Yields:
        Rows as `conclude` writes them, of the duplicates whose content has a row in the parts; the others get no row,
        and a later pass scans them again.

    Raises:
        StorageError: a file cannot be read.
    """
    same = f"{{'unit': scored.unit, 'index': scored.\"index\"}} AS {SAME_AS.name}"
    try:
        fs, path = storage.filesystem(deferred[0])
        with fs.open(path, "rb") as stream:
            schema = pq.read_schema(stream)
        own = {name: f'deferred."{name}"' for name in OWN_COLUMNS} | {SAME_AS.name: same}
        columns = ", ".join(own.get(name, f'scored."{name}"') for name in schema.names)
        with duckdb.connect() as database:
            if not isinstance(fs, LocalFileSystem):
                register(database, fs)
            query = COMPLETED.format(columns=columns, deferred=sql_list(deferred), parts=sql_list(parts))
            for batch in database.sql(query).to_arrow_reader(ROWS_PER_TABLE):
                yield pa.Table.from_batches([batch]).cast(schema)
    except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
        raise unreadable(deferred[0], reason) from reason
