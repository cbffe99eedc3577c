"""Selection: the images of a verdict table that a rescan scores, as a listing of their places and byte ranges.

The listing is a Parquet file in the table's folder, so that neither the driver nor Ray holds it in memory; each of its
row groups is seconds of work. Rows of a shard that are near each other share a number, their `reading`: one request
reads them.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.errors import SettingsError, StorageError
from pipeline.records import CARRIED, TRANSIENT
from pipeline.scan.reading.selected_images import unit_bytes
from pipeline.scan.reading.shard import SHARD_NAME
from pipeline.scan.table.views import one_line
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of

Int64Array = npt.NDArray[np.int64]
"""An int64 for each row."""
ROWS_PER_GROUP = 256
ROWS_PER_BATCH = 64 * ROWS_PER_GROUP
"""Rows that are numbered and written at a time."""
MAX_GAP = 1 / 8
"""Share of an image's bytes that a reading may waste between it and the image before it."""
MAX_READING_BYTES = 8 << 20
"""Maximum bytes of a reading, about."""

URI_PATH = "CASE WHEN regexp_matches(uri, '^https?://', 'i') THEN regexp_extract(uri, '^[^?#]*') ELSE uri END"
"""SQL for the URI without query and fragment, as `storage.file_name` has it."""
SLICE_NAME = r":\d+-\d+(:member=[^#]*)?$"
"""Pattern of the end of a unit's name that is a slice of a listing."""
SELECTED = """
    WITH found AS MATERIALIZED (
        SELECT unit, "index", "last", uri, key, "offset", "length", bytes, status, detail, verdict {carried},
               (-epoch_us(scanned_at), model) AS age
        FROM verdicts AS current SEMI JOIN (FROM units WHERE is_current) USING (unit)
        WHERE (
            {where}
        ) AND ($since IS NULL OR scanned_at >= $since) {share}
    ),
    newest AS (
        SELECT unit, "index", min((-epoch_us(scanned_at), model)) AS age
        FROM verdicts SEMI JOIN found USING (unit, "index") GROUP BY ALL
    )
    SELECT found.* EXCLUDE (age),
           "length" IS NULL AND status = 'ok' AND starts_with(uri, regexp_extract(unit, '^(.*)#', 1))
           AND (regexp_matches({ending}, $shard, 'i') OR regexp_matches(unit, $slice)) AS entire
    FROM found SEMI JOIN newest USING (unit, "index", age)
    ANTI JOIN (
        SELECT unit, "index" FROM verdicts
        WHERE list_contains($models, model) AND NOT ($again AND list_contains($passing, status))
    ) USING (unit, "index")
    QUALIFY row_number() OVER (PARTITION BY unit, "index") = 1
    ORDER BY unit, "index"
"""
"""The rows that match, then those of them that are their image's newest: so the table is sorted only for these."""
SHARE = """AND md5_number_lower(unit || '#' || "index") / 18446744073709551616.0 <= {sample!r}"""


@dataclass(frozen=True)
class SelectionQuery:
    """The query of a rescan.

    Attributes:
        models: digests of the models that will score the images; an image that one of them has scored is not selected.
        where: an SQL condition on the newest row of each image; None selects all.
        newer_than: minimum time of the newest row.
        sample: share of the matching images that is drawn.
    """

    models: tuple[str, ...]
    where: str | None = None
    newer_than: datetime | None = None
    sample: float = 1.0


@dataclass(frozen=True)
class Selection:
    """A listing of selected images.

    Attributes:
        url: its Parquet file.
        groups: row groups of that file.
        images: number of images.
        image_bytes: bytes of the images.
        read_bytes: bytes that are read for them.
        entire: units that must be read from their beginning (compressed shards, sparse members, slices with embedded
            images): each unit's name, and the range of row groups with its rows.
    """

    url: str
    groups: int
    images: int
    image_bytes: int
    read_bytes: int
    entire: tuple[tuple[str, range], ...]

    @property
    def carry(self) -> tuple[str, ...]:
        """The table's carried columns."""
        fs, path = storage.filesystem(self.url)
        with fs.open(path, "rb") as stream:
            schema = pq.read_schema(stream)
        return tuple(field.name for field in schema.field(CARRIED).type) if CARRIED in schema.names else ()


def select_images(table: duckdb.DuckDBPyConnection, query: SelectionQuery, url: str) -> Selection:
    """Write the listing of the images that a query selects.

    Args:
        table: the views of a verdict table.
        query: which images.
        url: where the listing is written.

    Raises:
        SettingsError: the condition is not SQL on the table's columns.
        StorageError: the listing cannot be written.
    """
    columns = [str(row[0]) for row in table.sql("DESCRIBE current").fetchall()]
    where = query.where or "true"
    carried = f", {CARRIED}" if CARRIED in columns else ""
    share = SHARE.format(sample=query.sample) if query.sample < 1 else ""
    sql = SELECTED.format(where=where, carried=carried, ending=URI_PATH, share=share)
    values = {
        "models": list(query.models),
        "again": query.where is not None,
        "passing": list(TRANSIENT),
        "since": query.newer_than,
        "shard": SHARD_NAME.pattern,
        "slice": SLICE_NAME,
    }
    try:
        if (
            len(table.extract_statements(f"FROM current WHERE {where}")) != 1
        ):  # parsed alone, so that an error is about the condition
            raise SettingsError(f"--where {where!r} must be one condition, without a semicolon")
        return _write(table.sql(sql, params=values).to_arrow_reader(ROWS_PER_BATCH), url)
    except (duckdb.ProgrammingError, duckdb.DataError) as reason:
        raise SettingsError(f"--where {where!r}: {one_line(reason)}; the columns are {', '.join(columns)}") from reason
    except STORE_FAULTS as reason:
        raise StorageError(f"cannot write the listing {url!r}: {fault_of(reason)[1]}") from reason


def _write(chosen: pa.RecordBatchReader, url: str) -> Selection:
    """Number the rows' readings and write them, many row groups at a time; sum the bytes of images and of reads."""
    groups = images = image_bytes = read_bytes = 0
    entire: dict[tuple[str, str], range] = {}
    fs, path = storage.filesystem(url)
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    schema = chosen.schema.append(pa.field("reading", pa.int32()))
    with fs.open(path, "wb") as stream, pq.ParquetWriter(stream, schema) as writer:
        for batch in chosen:
            table = pa.Table.from_batches([batch])
            reading = readings(table)
            numbered = table.append_column("reading", pa.array(reading, pa.int32()))
            writer.write_table(numbered, row_group_size=ROWS_PER_GROUP)
            image_bytes += pc.sum(pc.coalesce(table["length"], table["bytes"], pa.scalar(0, pa.int64()))).as_py()
            read_bytes += bytes_of(table, reading)
            for unit, uri, first, last in _places(table):
                start = entire.get((unit, uri), range(groups + first, 0)).start
                entire[unit, uri] = range(start, groups + last + 1)
            groups, images = groups + -(-table.num_rows // ROWS_PER_GROUP), images + table.num_rows
    sizes = (unit_bytes(unit, uri) for unit, uri in entire)
    units = tuple((unit, row_groups) for (unit, _), row_groups in entire.items())
    return Selection(url, groups, images, image_bytes, read_bytes + sum(sizes), units)


def _places(rows: pa.Table) -> list[tuple[str, str, int, int]]:
    """Name the unit and URI of the rows that are read whole, with the first and last row group of each."""
    group = pa.array(np.arange(rows.num_rows) // ROWS_PER_GROUP)
    whole = rows.select(["unit", "uri"]).append_column("group", group).filter(rows["entire"])
    found = whole.group_by(["unit", "uri"]).aggregate([("group", "min"), ("group", "max")])
    return [(row["unit"], row["uri"], row["group_min"], row["group_max"]) for row in found.to_pylist()]


def readings(rows: pa.Table) -> Int64Array:
    """Number the readings of some selected rows, in their order.

    Args:
        rows: columns unit, offset, length; ordered by unit and index.

    Returns:
        int64 (rows,): rows of one reading are in one unit and one row group, with gaps of at most `MAX_GAP` of the next
        image's bytes,
        and span about `MAX_READING_BYTES` bytes at most. A row without a byte range is a reading of its own.
    """
    offset, length = _filled(rows["offset"]), _filled(rows["length"])
    unit = rows["unit"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    gap = offset[1:] - (offset + length)[:-1]
    near = (gap >= 0) & (gap <= MAX_GAP * length[1:]) & (np.maximum(length[1:], length[:-1]) <= MAX_READING_BYTES)
    ranged = rows["length"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    piece = np.cumsum(length) // MAX_READING_BYTES
    within = np.arange(1, len(length)) % ROWS_PER_GROUP != 0
    joined = within & (unit[1:] == unit[:-1]) & near & ranged[1:] & ranged[:-1] & (piece[1:] == piece[:-1])
    return np.concatenate([np.zeros(min(1, len(length)), np.int64), np.cumsum(~joined)])


def bytes_of(rows: pa.Table, reading: Int64Array) -> int:
    """Count the bytes that some readings request, without units that are read whole.

    Args:
        rows: columns offset, length, bytes, entire.
        reading: int64 (rows,), from `readings`.
    """
    alone = rows.filter(pc.and_(pc.is_null(rows["length"]), pc.invert(rows["entire"])))["bytes"]
    offset, length = _filled(rows["offset"]), _filled(rows["length"])
    ranged = rows["length"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    first = np.concatenate([np.full(min(1, len(reading)), True), np.diff(reading) > 0])
    last = np.concatenate([np.diff(reading) > 0, np.full(min(1, len(reading)), True)])
    spans = (offset + length)[last & ranged].sum() - offset[first & ranged].sum()
    return int(spans) + (pc.sum(alone).as_py() or 0)


def _filled(column: pa.ChunkedArray) -> Int64Array:
    return np.asarray(column.combine_chunks().fill_null(0).to_numpy(zero_copy_only=False), np.int64)
