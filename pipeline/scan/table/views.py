"""Views of the whole verdict table, every model's rows, for queries in SQL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from mole.errors import SettingsError, StorageError
from pipeline.command.run_record import RUNS_FOLDER as RUNS
from pipeline.records import MODEL, check_version
from pipeline.scan.table.ledger import sql_list, sql_pattern, unreadable
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

ICEBERG_NAME = re.compile(r"[\w-]+(\.[\w-]+){2,}")
VIEWS = ("current", "evidence", "faults", "changed", "progress", "verdicts", "runs")

RUN = {
    "id": "VARCHAR",
    "job": "VARCHAR",
    "started": "TIMESTAMPTZ",
    "seconds": "DOUBLE",
    "exit_code": "INTEGER",
    "written": "BIGINT",
    "faults": "BIGINT",
    "error": "STRUCT(kind VARCHAR, message VARCHAR)",
    "submission": "VARCHAR",
    "ended": "TIMESTAMPTZ",
    "version": "VARCHAR",
    "host": "VARCHAR",
    "process": "BIGINT",
    "command": "VARCHAR",
    "verdicts": "JSON",
    "phases": "JSON",
    "progress": "JSON",
    "summary": "JSON",
    "settings": "JSON",
}
"""The columns of the view `runs`, the record that `pipeline.command.run_record` writes."""


@contextmanager
def open_views(table: str, database: str = ":memory:") -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a verdict table's views.

    Args:
        table: its folder URL.
        database: a DuckDB file that keeps the views; they read the table again at each query.

    Yields:
        A connection with the view `verdicts` and those of `views.sql`.

    Raises:
        SettingsError: there is no verdict table.
        StorageError: it has another schema, or it cannot be read.
    """
    require_table(table)
    place = storage.absolute(table)
    fs, _ = storage.filesystem(place)
    try:
        with duckdb.connect(database) as connection:
            if not isinstance(fs, LocalFileSystem):
                connection.register_filesystem(fs)
            connection.execute(definitions(place))
            yield connection
    except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
        raise unreadable(place, reason) from reason


def ask(table: str, query: str, *, limit: int = 0) -> pa.Table:
    """Run a query on a verdict table.

    Args:
        table: its folder URL.
        query: SQL on the views.
        limit: maximum rows; 0 returns all.

    Raises:
        SettingsError: the query is not SQL on the views, or there is no verdict table.
        StorageError: it cannot be read.
    """
    try:
        return _answer(table, query, limit)
    except StorageError:  # listed files may have been merged since; a second listing has the merged ones
        return _answer(table, query, limit)


def _answer(table: str, query: str, limit: int) -> pa.Table:
    with open_views(table) as views:
        try:
            statements = views.extract_statements(query)
            answer = views.sql(query) if len(statements) == 1 else None
            if answer is None:
                raise SettingsError(f"--sql {query!r} must be one query; begin with SELECT or FROM")
            return (answer.limit(limit) if limit else answer).to_arrow_table()
        except (duckdb.ProgrammingError, duckdb.DataError) as reason:
            raise SettingsError(f"--sql {query!r}: {one_line(reason)}; the views are {', '.join(VIEWS)}") from reason


def one_line(reason: duckdb.Error) -> str:
    """Format DuckDB's message as one line, without the query that it quotes, which is more than the user's own."""
    return " ".join(str(reason).partition("\n\nLINE ")[0].split())


def definitions(table: str) -> str:
    """Write the SQL that creates the views of a table.

    Raises:
        StorageError: the table cannot be listed.
    """
    parts = sql_pattern(table, f"{MODEL}=*", "*.parquet")
    if storage.is_s3(table):  # listed by this project's own client, which notices an answer that is no listing
        parts = sql_list(file for folder in partitions(table) for file in storage.list_files(folder, ".parquet"))
    return f"{views_over(parts)}\n\n{runs(table)}"


def views_over(parts: str, rows: str = "") -> str:
    """Write the SQL that creates the views over some files.

    Args:
        parts: the files, as `read_parquet` takes them.
        rows: SQL after `FROM` that selects some of their rows.
    """
    # a digest of digits must stay text; some files have no carried columns
    options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    views = (files("pipeline.scan.table") / "views.sql").read_text()
    read = f"read_parquet({parts}, {options}) {rows}".rstrip()
    return f"CREATE OR REPLACE VIEW verdicts AS SELECT * FROM {read};\n\n{views}"


def runs(table: str) -> str:
    """Write the SQL that creates the view of a table's run records; a table of an older version has none."""
    if storage.list_files(storage.join(table, RUNS), ".json"):
        kinds = ", ".join(f"{name}: '{kind}'" for name, kind in RUN.items())
        found = f"* FROM read_json({sql_pattern(table, RUNS, '*.json')}, columns = {{{kinds}}})"
    else:
        found = ", ".join(f"NULL::{kind} AS {name}" for name, kind in RUN.items()) + " WHERE false"
    return f"CREATE OR REPLACE VIEW runs AS SELECT {found};"


def require_table(table: str) -> None:
    """Insist that a folder is a verdict table of this schema.

    Raises:
        SettingsError: it does not exist, or is not a verdict table.
        StorageError: the table has another schema, or cannot be read.
    """
    try:
        storage.require_exists(table, "--table")
    except SettingsError as reason:
        if ICEBERG_NAME.fullmatch(table):
            raise SettingsError(
                f"{reason}; if it is a table of an Iceberg catalog, read it with an engine that knows the catalog: "
                "reports, views and rescans are for folders"
            ) from reason
        raise
    place = storage.absolute(table)
    try:
        first = next((file for folder in partitions(place) for file in storage.list_files(folder, ".parquet")), None)
        if first is None:
            raise SettingsError(f"--table {table!r} holds no verdict table; name the folder of a scan's --output")
        fs, path = storage.filesystem(first)
        with fs.open(path, "rb") as stream:
            check_version(pq.read_schema(stream).metadata, first)
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise unreadable(place, reason) from reason


def partitions(table: str) -> list[str]:
    """List the folders of a table's models.

    Raises:
        StorageError: the table cannot be listed.
    """
    return [folder for folder in storage.list_files(table, "") if folder.rpartition("/")[2].startswith(f"{MODEL}=")]
