"""Copies: rows of images whose bytes another image of the same wave has, written once that one has its verdict.

They are set aside as Parquet below the table while the wave runs. Where a run is killed they are lost, and so missing
from the table; the next run reads those images and finds their verdict in the table.
"""

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.records import CARRIED, MODEL, PLACE, SAME_AS
from pipeline.scan.table.content_index import FOLDER
from pipeline.scan.table.ledger import listed, register, unreadable
from pipeline.scan.table.parquet_sink import part_name
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

ROWS_A_TABLE = 1 << 14
OWN = (MODEL, *dict(PLACE), "content_hash", "bytes", CARRIED)
"""What a copy's row says of itself; the rest it has of the image that was scored."""
COMPLETED = """
    SELECT {columns}
    FROM read_parquet({copies}, union_by_name = true) AS copies
    JOIN (
        SELECT DISTINCT ON (content_hash) * FROM read_parquet({parts}, union_by_name = true, hive_partitioning = false)
        WHERE content_hash IS NOT NULL AND status IS NOT NULL ORDER BY content_hash, scanned_at
    ) AS scored USING (content_hash)
"""


def prefix(output: str, generation: str) -> str:
    """Begin the URLs of what a run sets aside."""
    return storage.join(storage.absolute(output), FOLDER, f"{generation}-copies-")


def waiting(start: str) -> list[str]:
    """List what was set aside, by the beginning of its URLs.

    Raises:
        StorageError: the store refuses.
    """
    return [url for url in storage.names(start.rpartition("/")[0], ".parquet") if url.startswith(start)]


def set_aside(verdicts: pa.Table, start: str) -> pa.Table:
    """Put the rows of copies aside.

    Args:
        verdicts: as `conclude` writes them.
        start: of the URL of what is set aside.

    Returns:
        The other rows.

    Raises:
        StorageError: the store refuses.
    """
    same_as = verdicts[SAME_AS.name]
    is_copy = pc.and_(same_as.is_valid(), pc.is_null(pc.struct_field(same_as, "unit")))
    rows = verdicts.filter(is_copy)
    if not rows.num_rows:
        return verdicts
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    storage.write(f"{start}{part_name(rows)}", sink.getvalue().to_pybytes())
    return verdicts.filter(pc.invert(is_copy))


def completed(copies: Sequence[str], parts: Sequence[str]) -> Iterator[pa.Table]:
    """Give copies what was found out about their content.

    Args:
        copies: URLs of what was set aside.
        parts: URLs of what the same wave wrote to the table.

    Yields:
        Rows as `conclude` writes them, of the copies whose content has a row in the parts; the others have none, and
        are scanned again.

    Raises:
        StorageError: a file cannot be read.
    """
    same = f"{{'unit': scored.unit, 'index': scored.\"index\"}} AS {SAME_AS.name}"
    try:
        fs, path = storage.filesystem(copies[0])
        with fs.open(path, "rb") as stream:
            schema = pq.read_schema(stream)
        own = {name: f'copies."{name}"' for name in OWN} | {SAME_AS.name: same}
        columns = ", ".join(own.get(name, f'scored."{name}"') for name in schema.names)
        with duckdb.connect() as database:
            if not isinstance(fs, LocalFileSystem):
                register(database, fs)
            query = COMPLETED.format(columns=columns, copies=listed(copies), parts=listed(parts))
            for batch in database.sql(query).to_arrow_reader(ROWS_A_TABLE):
                yield pa.Table.from_batches([batch]).cast(schema)
    except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
        raise unreadable(copies[0], reason) from reason
