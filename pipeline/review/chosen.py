"""Chosen: the images of a verdict table that an export takes, as a listing that stands still while the table grows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from mole.errors import SettingsError, StorageError
from pipeline import storage
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.labels import latest
from pipeline.review.shards import FOLDER, deliver, temporary
from pipeline.scan.table.views import opened, plainly

FILE = "listing.parquet"
ASKED = b"mole_scan_export"
ROWS_A_GROUP = 1000
SAID = ("label", "generator", "note", "labelled_by", "labelled_at")
"""What a label adds to a row."""
LEFT_OUT = ("last", "gates", "preprocess", "same_as")
"""Columns of the view `evidence` that nobody needs beside an image."""
LABELLED = """
    JOIN (SELECT unit, "index", content_hash AS labelled_hash, {said} FROM labelled) USING (unit, "index")
    WHERE coalesce(labelled_hash = content_hash, true)
"""
CHOSEN = """
    SELECT {columns} FROM (SELECT * FROM evidence {labelled})
    WHERE (
        {where}
    ) AND md5_number_lower(unit || '#' || "index") / 18446744073709551616.0 <= $sample
    ORDER BY unit, "index" {limit}
"""


class Asked(BaseModel):
    """Which images are asked for.

    Attributes:
        table: the verdict table's URL.
        where: a condition on a row of the view `evidence`, with the label's columns where there are labels.
        labels: the URL of a table of labels; only labelled images are chosen.
        sample: the share that is drawn of them.
        limit: how many at most, the first in the order of their places.
    """

    model_config = ConfigDict(frozen=True)

    table: str
    where: str | None = None
    labels: str | None = None
    sample: float = 1.0
    limit: int | None = None


def list_chosen(asked: Asked, output: str) -> int:
    """Write the listing of what is asked for below an output, unless it is there.

    Returns:
        How many images it has.

    Raises:
        SettingsError: the condition is no SQL on the columns, or the output holds an export of something else.
        StorageError: the table or the labels cannot be read, or the listing not written.
    """
    url = storage.join(output, FOLDER, FILE)
    if not storage.exists(url):
        _write(asked, url)
    with _opened(url) as listing:
        demand_same(asked, json.loads((listing.schema_arrow.metadata or {})[ASKED]), output)
        return int(listing.metadata.num_rows)


def demand_same(asked: Asked, before: dict[str, Any], output: str) -> None:
    """Insist that an output holds an export of what is asked for.

    Raises:
        SettingsError: it holds another.
    """
    now = asked.model_dump()
    if now != before:
        other = ", ".join(
            f"{name} {before.get(name)!r} and not {now[name]!r}" for name in now if now[name] != before.get(name)
        )
        raise SettingsError(f"--output {output!r} holds an export with {other}; choose another --output")


def listed(output: str, begin: int) -> Iterator[dict[str, Any]]:
    """Read the listing below an output from a row on.

    Raises:
        StorageError: it cannot be read.
    """
    with _opened(storage.join(output, FOLDER, FILE)) as listing:
        at = 0
        for number in range(listing.num_row_groups):
            rows = listing.metadata.row_group(number).num_rows
            if at + rows > begin:
                yield from listing.read_row_group(number).slice(max(0, begin - at)).to_pylist()
            at += rows


def _opened(url: str) -> pq.ParquetFile:
    fs, path = storage.filesystem(url)
    try:
        return pq.ParquetFile(fs.open(path, "rb"))
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read the listing {url!r}: {reason}") from reason


def _write(asked: Asked, url: str) -> None:
    """Ask the table, and put the answer in its place once it is whole."""
    path = Path(temporary(url))
    try:
        with opened(asked.table) as views:
            labelled = ""
            if asked.labels is not None:
                views.register("labelled", latest(asked.labels))
                labelled = LABELLED.format(said=", ".join(SAID))
            answer = _answer(views, asked, labelled)
            schema = answer.schema.with_metadata({ASKED: asked.model_dump_json().encode()})
            with pq.ParquetWriter(path, schema) as writer:
                for batch in answer:
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema), row_group_size=ROWS_A_GROUP)
        deliver(path, url)
    except OSError as reason:
        raise StorageError(f"cannot write the listing {url!r}: {fault_of(reason)[1]}") from reason
    finally:
        path.unlink(missing_ok=True)


def _answer(views: duckdb.DuckDBPyConnection, asked: Asked, labelled: str) -> pa.RecordBatchReader:
    """Ask for the chosen rows.

    Raises:
        SettingsError: the condition is none.
    """
    where = asked.where or "true"
    source = f"SELECT * FROM evidence {labelled}"
    names = [str(row[0]) for row in views.sql(f"DESCRIBE {source}").fetchall()]
    columns = ", ".join(f'"{name}"' for name in names if name not in (*LEFT_OUT, "labelled_hash"))
    limit = "" if asked.limit is None else f"LIMIT {asked.limit:d}"
    query = CHOSEN.format(columns=columns, labelled=labelled, where=where, limit=limit)
    try:
        # alone first, so that no error is about the rest
        if len(views.extract_statements(f"FROM ({source}) WHERE {where}")) != 1:
            raise SettingsError(f"--where {where!r} must be one condition, without a semicolon")
        return views.sql(query, params={"sample": asked.sample}).to_arrow_reader(ROWS_A_GROUP)
    except (duckdb.ProgrammingError, duckdb.DataError) as reason:
        raise SettingsError(f"--where {where!r}: {plainly(reason)}; the columns are {', '.join(names)}") from reason
