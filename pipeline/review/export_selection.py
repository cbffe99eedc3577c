"""Export selection: the images of a verdict table to export, as a listing that is fixed while the table grows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from mole.errors import SettingsError, StorageError
from pipeline.labels import current_labels, is_labels
from pipeline.records import MODEL
from pipeline.review.analysis.columns import ADDED_COLUMNS
from pipeline.review.shard_writer import FOLDER, deliver, temporary
from pipeline.scan.table.ledger import sql_pattern
from pipeline.scan.table.views import one_line, open_views, views_over
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of

FILE = "listing.parquet"
METADATA_KEY = b"mole_scan_export"
ROWS_PER_GROUP = 1000
PROBE_ROWS = 1000
"""Rows on which a condition is tested before anything is written."""
LABEL_COLUMNS = ("label", "generator AS label_generator", "note", "labelled_by", "labelled_at")
"""The columns that a label adds to a row."""
EXCLUDED_COLUMNS = ("last", "gates", "preprocess", "same_as", "generator", "source", "labelled_hash")
"""Columns that are not exported; a training would misread `source` as the source of a label."""
EVIDENCE_SQL = f"SELECT *, {ADDED_COLUMNS} FROM evidence {{labelled}}"
LABELS_SQL = f"""
    JOIN (SELECT unit, "index", content_hash AS labelled_hash, {", ".join(LABEL_COLUMNS)} FROM labelled)
    USING (unit, "index")
    WHERE coalesce(labelled_hash = content_hash, true)
"""
SELECTED_SQL = """
    SELECT {columns} FROM ({source})
    WHERE (
        {where}
    ) AND md5_number_lower(unit || '#' || "index") / 18446744073709551616.0 <= {sample!r}
    ORDER BY unit, "index" {limit}
"""


class Selection(BaseModel):
    """The criteria of an export.

    Attributes:
        table: the verdict table's URL.
        where: an SQL condition on the view `evidence` with the columns `ADDED_COLUMNS`, and with the label columns if
            labels are given.
        labels: the URL of a table of labels; only labelled images are selected.
        sample: share of the images to sample.
        limit: maximum number of images, the first by unit and index.
    """

    model_config = ConfigDict(frozen=True)

    table: str
    where: str | None = None
    labels: str | None = None
    sample: float = 1.0
    limit: int | None = None


def require_selection(selection: Selection, output: str) -> None:
    """Check, before anything is written, the selection, and that the output holds no other export.

    Raises:
        SettingsError: there is no table or no labels, the condition is not valid SQL on the columns, or the output
            holds another export.
        StorageError: the table, the labels or the listing cannot be read.
    """
    if storage.exists(storage.join(output, FOLDER, FILE)):
        _length(selection, output)
        return
    with _selection_query(selection) as (views, query), _as_settings_error(selection):
        views.execute(
            views_over(sql_pattern(storage.absolute(selection.table), f"{MODEL}=*", "*.parquet"), f"LIMIT {PROBE_ROWS}")
        )
        views.sql(query).to_arrow_table()  # comparing text with a number parses, and fails on a row


def write_listing(selection: Selection, output: str) -> int:
    """Write the listing of the selection to an output, unless it exists.

    Returns:
        Its number of images.

    Raises:
        SettingsError: the condition is not valid SQL on the columns, or the output holds another export.
        StorageError: the table or the labels cannot be read, or the listing cannot be written.
    """
    url = storage.join(output, FOLDER, FILE)
    if not storage.exists(url):
        _write(selection, url)
    return _length(selection, output)


def require_same_selection(selection: Selection, before: dict[str, Any], output: str) -> None:
    """Check that an output holds an export of this selection.

    Raises:
        SettingsError: it holds another export.
    """
    now = selection.model_dump()
    if now != before:
        other = ", ".join(
            f"{name} {before.get(name)!r} and not {now[name]!r}" for name in now if now[name] != before.get(name)
        )
        raise SettingsError(f"--output {output!r} holds an export with {other}; choose another --output")


def read_listing(output: str, begin: int) -> Iterator[dict[str, Any]]:
    """Read the listing of an output from a row on.

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


def _length(selection: Selection, output: str) -> int:
    """Count the rows of a listing.

    Raises:
        SettingsError: it is of another selection.
        StorageError: it cannot be read.
    """
    with _opened(storage.join(output, FOLDER, FILE)) as listing:
        require_same_selection(selection, json.loads((listing.schema_arrow.metadata or {})[METADATA_KEY]), output)
        return int(listing.metadata.num_rows)


def _opened(url: str) -> pq.ParquetFile:
    fs, path = storage.filesystem(url)
    try:
        return pq.ParquetFile(fs.open(path, "rb"))
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read the listing {url!r}: {reason}") from reason


def _write(selection: Selection, url: str) -> None:
    """Query the table, and write the listing atomically.

    Raises:
        SettingsError: the condition is invalid, or fails on a row.
        StorageError: the table or the labels cannot be read, or the listing cannot be written.
    """
    path = Path(temporary(url))
    try:
        with _selection_query(selection) as (views, query), _as_settings_error(selection):
            answer = views.sql(query).to_arrow_reader(ROWS_PER_GROUP)
            schema = answer.schema.with_metadata({METADATA_KEY: selection.model_dump_json().encode()})
            with pq.ParquetWriter(path, schema) as writer:
                for batch in answer:
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema), row_group_size=ROWS_PER_GROUP)
        deliver(path, url)
    except OSError as reason:
        raise StorageError(f"cannot write the listing {url!r}: {fault_of(reason)[1]}") from reason
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _selection_query(selection: Selection) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """Open the table, and build the selection's SQL, which DuckDB has validated.

    Raises:
        SettingsError: the condition is invalid, or there is no table or no labels.
        StorageError: the table or the labels cannot be read.
    """
    where = selection.where or "true"
    with open_views(selection.table) as views:
        labelled = ""
        if selection.labels is not None:
            views.register("labelled", _labels(selection.labels))
            labelled = LABELS_SQL
        source = EVIDENCE_SQL.format(labelled=labelled)
        names = [str(row[0]) for row in views.sql(f"DESCRIBE {source}").fetchall()]
        columns = ", ".join(f'"{name}"' for name in names if name not in EXCLUDED_COLUMNS)
        limit = "" if selection.limit is None else f"LIMIT {selection.limit:d}"
        query = SELECTED_SQL.format(columns=columns, source=source, where=where, sample=selection.sample, limit=limit)
        shown = ", ".join(name for name in names if name != "labelled_hash")
        with _as_settings_error(selection, f"; the columns are {shown}"):
            # validated alone first, so that errors are about the condition
            if len(views.extract_statements(f"FROM ({source}) WHERE {where}")) != 1:
                raise SettingsError(f"--where {where!r} must be one condition, without a semicolon")
            views.sql(f"DESCRIBE {query}").fetchall()
        yield views, query


def _labels(folder: str) -> pa.Table:
    """Read the current labels.

    Raises:
        SettingsError: there are none.
        StorageError: they cannot be read.
    """
    storage.require_exists(folder, "--labels")
    if not is_labels(folder):
        raise SettingsError(f"--labels {folder!r} holds no labels; name the folder that mole-scan browse wrote them to")
    return current_labels(folder)


@contextmanager
def _as_settings_error(selection: Selection, advice: str = "") -> Iterator[None]:
    """Convert DuckDB's errors to an error of the condition.

    Raises:
        SettingsError: the condition is invalid.
    """
    try:
        yield
    except (duckdb.ProgrammingError, duckdb.DataError) as reason:
        raise SettingsError(f"--where {selection.where!r}: {one_line(reason)}{advice}") from reason
