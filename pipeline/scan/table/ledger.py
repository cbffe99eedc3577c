"""Ledger: one model's partition of the verdict table, read to find which images have their row.

A unit is complete when it has the indices 0 … last, once each. There is no second record that could disagree.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from mole.errors import CompletenessError, StorageError
from pipeline.records import check_version
from pipeline.scan.table.part import encode
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS
from pipeline.storage.guard import Guard

TRACEBACK = "Traceback (most recent call last)"
ALREADY_KEPT = -1
"""A time that no row has, set once an image's newest row was found."""
PLACES = 'unit, "index", "last", status, verdict, scanned_at'
NO_PLACES = """
    SELECT ''::VARCHAR AS unit, 0::INTEGER AS "index", false AS "last", ''::VARCHAR AS status, ''::VARCHAR AS verdict,
           now() AS scanned_at
    WHERE false
"""
UNIT_FACTS = """
    SELECT unit, count(*) AS rows, max("index") AS highest, max("index") FILTER ("last") AS ending,
           sum(hash("index"::BIGINT)) AS mark
    FROM {places} GROUP BY unit
"""
"""A few numbers a unit, however many images it has. `mark` is the sum of a 64-bit hash of each index: the indices
0 … last, once each, have one mark, and any other set of rows has it with a probability of about 1 in 10^19."""
UNIT_STATES = """
    WITH facts AS ({facts}),
         wanted AS (SELECT DISTINCT ending FROM facts WHERE rows = ending + 1 AND highest = ending),
         marks AS (
             SELECT number AS ending, sum(hash(number)) OVER (ORDER BY number) AS mark
             FROM range((SELECT coalesce(max(ending), -1) + 1 FROM wanted)) AS numbers(number)
         )
    SELECT facts.unit, facts.rows, coalesce(facts.mark = marks.mark, false) AS whole
    FROM facts
    LEFT JOIN (FROM marks SEMI JOIN wanted USING (ending)) AS marks
           ON facts.ending = marks.ending AND facts.rows = facts.ending + 1 AND facts.highest = facts.ending
"""
NEWEST = """
    SELECT unit, "index", epoch_us(max(scanned_at)) FROM {places}
    SEMI JOIN (FROM ({states}) WHERE NOT whole) USING (unit)
    GROUP BY ALL HAVING count(*) > 1
"""


@dataclass(frozen=True)
class CompletenessCheck:
    """The result of the completeness check: whether every image of some units has exactly one row.

    Attributes:
        units: units checked.
        images: their rows.
        incomplete: units with an image that has no row.
        duplicated: units with an image that has several rows.
        examples: some of those units, the incomplete ones first.
    """

    units: int
    images: int
    incomplete: int
    duplicated: int
    examples: tuple[str, ...]

    def require_passed(self) -> None:
        """Insist that every image has exactly one row.

        Raises:
            CompletenessError: a unit is incomplete or has duplicate rows.
        """
        if self.incomplete or self.duplicated:
            raise CompletenessError(
                f"completeness check failed: of {self.units:,} units {self.incomplete:,} miss rows, "
                f"{self.duplicated:,} have duplicate rows (such as {list(self.examples)}); start the scan again"
            )


@dataclass(frozen=True)
class Ledger:
    """One model's partition of a verdict table.

    Attributes:
        folder: the partition's URL.
    """

    folder: str

    def attach(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create a view of the partition's places, which reads the files again at each query; in a store those of now.

        Args:
            database: in which the view is created.
            name: of the view, whose columns are `PLACES`.

        Raises:
            StorageError: the partition cannot be read, or another version wrote it.
        """
        files = storage.list_files(self.folder, ".parquet")
        fs, path = storage.filesystem(files[0] if files else self.folder)
        try:
            if files:
                with fs.open(path, "rb") as stream:
                    check_version(pq.read_schema(stream).metadata, files[0])
                if not isinstance(fs, LocalFileSystem):
                    register(database, fs)
            # a store is listed once, by this project's own client, which notices an answer that is no listing
            which = sql_pattern(self.folder, "*.parquet") if isinstance(fs, LocalFileSystem) else sql_list(files)
            found = f"SELECT {PLACES} FROM read_parquet({which})" if files else NO_PLACES
            database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {found}")
        except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
            raise unreadable(self.folder, reason) from reason

    def files(self) -> list[str]:
        """List the partition's files.

        Raises:
            StorageError: the partition cannot be listed.
        """
        return storage.list_files(self.folder, ".parquet")

    def repair(self, guard: Guard | None = None) -> int:
        """Keep the newest row of every image, file by file, each replaced atomically.

        Args:
            guard: must hold whenever a file is replaced or removed.

        Returns:
            How many rows were removed.

        Raises:
            StorageError: a file cannot be read or replaced.
            MoleError: the guard's.
        """
        with duckdb.connect() as database:
            self.attach(database, "places")
            states = UNIT_STATES.format(facts=UNIT_FACTS.format(places="places"))
            try:
                doubled = database.sql(NEWEST.format(places="places", states=states)).fetchall()
            except duckdb.Error as reason:
                raise unreadable(self.folder, reason) from reason
        newest = {(unit, index): time for unit, index, time in doubled}
        removed = 0
        for url in storage.list_files(self.folder, ".parquet") if newest else ():
            removed += _without_older(url, newest, guard)
        return removed


@contextmanager
def without_temporary_files(ledgers: Sequence[Ledger]) -> Iterator[None]:
    """Remove unfinished files of killed writers before a block, and at its end those of the block's own writers.

    Raises:
        StorageError: the store refuses, before the block.
    """
    for ledger in ledgers:
        storage.remove_temporary_files(ledger.folder)
    try:
        yield
    finally:
        with suppress(StorageError):  # a disk that has become read-only has its own error, in the block
            for ledger in ledgers:
                storage.remove_temporary_files(ledger.folder)


def register(database: duckdb.DuckDBPyConnection, fs: object) -> None:
    """Register a store's filesystem with a database, once."""
    protocols = getattr(fs, "protocol", ())
    known = database.list_filesystems()
    if not any(protocol in known for protocol in ([protocols] if isinstance(protocols, str) else protocols)):
        database.register_filesystem(fs)


def sql_pattern(folder: str, *names: str) -> str:
    """Quote a glob of a folder's files for SQL; special characters in the folder's own name are escaped."""
    return "'" + storage.join(escape_glob(folder), *names).replace("'", "''") + "'"


def escape_glob(name: str) -> str:
    """Escape a name, so that as a glob it matches only itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def sql_list(files: Iterable[str]) -> str:
    """Quote some files' URLs as a list for SQL."""
    return f"[{', '.join(map(sql_pattern, files))}]"


def unreadable(folder: str, reason: Exception) -> StorageError:
    """Make the error for a table that cannot be read, without the query and the traceback in DuckDB's words."""
    words = str(reason).partition("\n\nLINE ")[0].strip()
    if TRACEBACK in words:
        words = words.splitlines()[-1]
    return StorageError(f"cannot read the verdict table in {folder!r}: {words}")


def _without_older(url: str, newest: dict[tuple[str, int], int], guard: Guard | None) -> int:
    """Rewrite one file without the older rows of the images in `newest`; of several newest rows one stays."""
    fs, path = storage.filesystem(url)
    with fs.open(path, "rb") as stream:
        table = pq.ParquetFile(stream).read()
    times = table["scanned_at"].cast(pa.int64()).to_pylist()
    keep = []
    for place, time in zip(zip(table["unit"].to_pylist(), table["index"].to_pylist(), strict=True), times, strict=True):
        is_newest = place in newest and newest[place] == time
        keep.append(is_newest or place not in newest)
        if is_newest:
            newest[place] = ALREADY_KEPT
    rest = table.filter(pa.array(keep))
    if rest.num_rows == table.num_rows:
        return 0
    if rest.num_rows:
        storage.write(url, encode(rest), guard=guard)
    else:
        storage.remove(url, guard=guard)
    return int(table.num_rows - rest.num_rows)
