"""The verdict table read as the checkpoint: which images have their row, and whether the law holds.

The law: every unit has the indices 0 … last, once each. There is no second ledger that could disagree.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from mole.errors import CompletenessError, StorageError
from pipeline.records import check_version
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS

TAKEN = -1
"""Stands for a time that no row has, once an image's newest row was found."""
PLACES = 'unit, "index", "last", status, verdict, scanned_at'
NOTHING = """
    SELECT ''::VARCHAR AS unit, 0::INTEGER AS "index", false AS "last", ''::VARCHAR AS status, ''::VARCHAR AS verdict,
           now() AS scanned_at
    WHERE false
"""
FACTS = """
    SELECT unit, count(*) AS rows, max("index") AS highest, max("index") FILTER ("last") AS ending,
           sum(hash("index"::BIGINT)) AS mark
    FROM {places} GROUP BY unit
"""
"""What is kept of a unit while the table is read: a few numbers, however many images it has. `mark` sums a 64-bit hash
of each index, so that 0 … last, once each, has one mark, and any other rows have it once in some 10^19 tables."""
STATES = """
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
class Law:
    """The result of the check.

    Attributes:
        units: units checked.
        images: their rows.
        open: how many units lack their last row or another one.
        doubled: how many have an index twice.
        examples: some of those units, the open ones first.
    """

    units: int
    images: int
    open: int
    doubled: int
    examples: tuple[str, ...]

    def demand(self) -> None:
        """Insist that the law holds.

        Raises:
            CompletenessError: a unit has a gap or a double.
        """
        if self.open or self.doubled:
            raise CompletenessError(
                f"{self.open:,} of {self.units:,} units miss rows, {self.doubled:,} have rows twice "
                f"(such as {list(self.examples)}); start the scan again"
            )


@dataclass(frozen=True)
class Ledger:
    """One model's partition of a verdict table.

    Attributes:
        folder: the partition's URL.
    """

    folder: str

    def attach(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Put the partition's places into a database, as a view that reads the files anew at each question.

        Args:
            database: where the view goes.
            name: of the view, whose columns are `PLACES`.

        Raises:
            StorageError: the partition cannot be read, or another version wrote it.
        """
        files = storage.names(self.folder, ".parquet")
        fs, path = storage.filesystem(files[0] if files else self.folder)
        try:
            if files:
                with fs.open(path, "rb") as stream:
                    check_version(pq.read_schema(stream).metadata, files[0])
                if not isinstance(fs, LocalFileSystem):
                    register(database, fs)
            found = f"SELECT {PLACES} FROM read_parquet({pattern(self.folder, '*.parquet')})" if files else NOTHING
            database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {found}")
        except (*STORE_FAULTS, pa.ArrowException, duckdb.Error) as reason:
            raise unreadable(self.folder, reason) from reason

    def files(self) -> list[str]:
        """List the partition's files.

        Raises:
            StorageError: the partition cannot be listed.
        """
        return storage.names(self.folder, ".parquet")

    def repair(self) -> int:
        """Leave of every image the newest row, file by file, each replaced in one step.

        Returns:
            How many rows went.

        Raises:
            StorageError: a file cannot be read or replaced.
        """
        with duckdb.connect() as database:
            self.attach(database, "places")
            states = STATES.format(facts=FACTS.format(places="places"))
            try:
                doubled = database.sql(NEWEST.format(places="places", states=states)).fetchall()
            except duckdb.Error as reason:
                raise unreadable(self.folder, reason) from reason
        newest = {(unit, index): time for unit, index, time in doubled}
        gone = 0
        for url in storage.names(self.folder, ".parquet") if newest else ():
            gone += _without_older(url, newest)
        return gone


def register(database: duckdb.DuckDBPyConnection, fs: object) -> None:
    """Let a database read a store, once."""
    protocols = getattr(fs, "protocol", ())
    known = database.list_filesystems()
    if not any(protocol in known for protocol in ([protocols] if isinstance(protocols, str) else protocols)):
        database.register_filesystem(fs)


def pattern(folder: str, *names: str) -> str:
    """Write a folder's pattern of files as SQL; signs in the folder's own name stand for themselves."""
    return "'" + storage.join(literal(folder), *names).replace("'", "''") + "'"


def literal(name: str) -> str:
    """Write a name as a pattern that it alone fits."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def listed(files: Iterable[str]) -> str:
    """Write some files' URLs as a list in SQL."""
    return f"[{', '.join(map(pattern, files))}]"


def unreadable(folder: str, reason: Exception) -> StorageError:
    """Say that a table cannot be read."""
    return StorageError(f"cannot read the verdict table in {folder!r}: {reason}")


def _without_older(url: str, newest: dict[tuple[str, int], int]) -> int:
    """Rewrite one file without the older rows of the images in `newest`; each image's newest row stays once."""
    fs, path = storage.filesystem(url)
    with fs.open(path, "rb") as stream:
        table = pq.ParquetFile(stream).read()
    times = table["scanned_at"].cast(pa.int64()).to_pylist()
    keep = []
    for place, time in zip(zip(table["unit"].to_pylist(), table["index"].to_pylist(), strict=True), times, strict=True):
        is_newest = place in newest and newest[place] == time
        keep.append(is_newest or place not in newest)
        if is_newest:
            newest[place] = TAKEN
    rest = table.filter(pa.array(keep))
    if rest.num_rows == table.num_rows:
        return 0
    if rest.num_rows:
        sink = pa.BufferOutputStream()
        pq.write_table(rest, sink, compression="zstd")
        storage.write(url, sink.getvalue().to_pybytes())
    else:
        storage.remove(url)
    return int(table.num_rows - rest.num_rows)
