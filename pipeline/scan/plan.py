"""Plan: the units of a source joined with what the verdict table has of them, in a DuckDB file on the driver's disk.

A unit is a row of that file, which is deleted with the plan; the verdict table is joined there. The driver's memory
holds one page of units at a time, whether there are a thousand or a hundred million.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
from pydantic import TypeAdapter

from mole.errors import StorageError
from pipeline.runtime.scratch import scratch_folder
from pipeline.scan.reading.unit import Unit
from pipeline.scan.table.ledger import UNIT_FACTS, UNIT_STATES, CompletenessCheck, Ledger, sql_list, unreadable
from pipeline.scan.table.views import views_over

MEMORY_LIMIT = "512MB"
"""DuckDB's memory limit; beyond it, it spills to disk."""
PAGE_UNITS = 1024
"""Units read or written at a time."""
MAX_EXAMPLES = 3

UNIT = TypeAdapter(Unit)
UNITS_SCHEMA = pa.schema(
    [("position", pa.int64()), ("unit", pa.string()), ("images", pa.int64()), ("words", pa.string())]
)
DELETE_REPEATED = "DELETE FROM units WHERE position NOT IN (SELECT min(position) FROM units GROUP BY unit)"
OPEN = """
    CREATE OR REPLACE TEMP TABLE open AS
    SELECT units.position, units.words, begun.unit IS NOT NULL AS begun
    FROM (FROM units ANTI JOIN (FROM states WHERE whole AND ledger IN {ledgers}) USING (unit)) AS units
    LEFT JOIN (SELECT DISTINCT unit FROM states WHERE ledger IN {ledgers}) AS begun USING (unit)
"""
TODO = "SELECT position, words, begun FROM open WHERE position > {position} ORDER BY position LIMIT {page}"
PRESENT = """
    SELECT unit, min("index"), max("index") + 1
    FROM (
        SELECT unit, "index", "index" - row_number() OVER (PARTITION BY unit ORDER BY "index") AS island
        FROM (SELECT DISTINCT unit, "index" FROM ({places}) SEMI JOIN begun USING (unit))
    )
    GROUP BY unit, island ORDER BY 1, 2
"""
REMAINING = """
    SELECT count(*), count(*) FILTER (images IS NULL),
           coalesce(sum(images), 0) - coalesce(sum(rows) FILTER (images IS NOT NULL), 0)
    FROM (FROM units ANTI JOIN (FROM states WHERE whole AND ledger IN {ledgers}) USING (unit))
    LEFT JOIN (SELECT unit, max(rows) AS rows FROM states WHERE ledger IN {ledgers} GROUP BY unit) USING (unit)
"""
INCOMPLETE = """
    SELECT unit, coalesce(rows, 0), coalesce(images, 0), ending IS NULL OR highest <> ending OR images <= ending
    FROM (SELECT unit FROM units ANTI JOIN (FROM states WHERE whole AND ledger = {ledger}) USING (unit))
    LEFT JOIN (
        SELECT unit, count(*) AS rows, count(DISTINCT "index") AS images, max("index") AS highest,
               max("index") FILTER ("last") AS ending
        FROM places_{ledger} SEMI JOIN (FROM states WHERE NOT whole AND ledger = {ledger}) USING (unit) GROUP BY unit
    ) USING (unit)
"""
CHECK = """
    SELECT count(*) FILTER (open), count(*) FILTER (rows > images), list(unit ORDER BY NOT open, unit)[:{examples}]
    FROM ({incomplete}) AS incomplete(unit, rows, images, open)
"""
COUNTS = """
    SELECT status, verdict, count(*) FROM places_{ledger} SEMI JOIN units USING (unit) GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Remaining:
    """The units that are not done.

    Attributes:
        units: how many.
        uncounted: how many of them are shards, whose number of images is unknown before they are read.
        counted_images: images of the others that have no row.
    """

    units: int
    uncounted: int
    counted_images: int

    @property
    def images(self) -> int | None:
        """Images without a row; None while a shard's number of images is unknown."""
        return None if self.uncounted else self.counted_images


class Plan:
    """The units of a source, and what some ledgers hold of them.

    Args:
        units: the source, which is read when the plan is entered.
        ledgers: the partitions that it is compared with.
    """

    def __init__(self, units: Iterable[Unit], ledgers: Sequence[Ledger]) -> None:
        self.units = units
        self.ledgers = list(ledgers)

    def __enter__(self) -> Self:
        """Read the source, and compare it with the ledgers.

        Raises:
            SettingsError: a source cannot be scanned.
            StorageError: the source or a ledger cannot be read, or the disk is full.
        """
        with ExitStack() as opened:
            self._folder = opened.enter_context(scratch_folder("mole-plan-"))
            self._database = duckdb.connect(
                self._folder / "plan.duckdb",
                config={
                    "memory_limit": MEMORY_LIMIT,
                    "temp_directory": str(self._folder / "spilled"),
                    "preserve_insertion_order": False,
                },
            )
            opened.callback(self._database.close)
            self._fill()
            self.refresh()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the plan's files."""
        self._opened.close()

    def _fill(self) -> None:
        self._ask("CREATE TABLE units (position BIGINT, unit VARCHAR, images BIGINT, words VARCHAR)")
        units = enumerate(self.units)
        while page := list(islice(units, 64 * PAGE_UNITS)):
            lines = [(position, unit.name, unit.images, UNIT.dump_json(unit).decode()) for position, unit in page]
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*lines, strict=True), UNITS_SCHEMA, strict=True)
            ]
            self._database.register("page", pa.Table.from_arrays(columns, schema=UNITS_SCHEMA))
            self._ask("INSERT INTO units FROM page")
            self._database.unregister("page")
        self._ask(DELETE_REPEATED)

    def refresh(self) -> None:
        """Read again what the ledgers hold of the units.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        self._ask("CREATE OR REPLACE TABLE states (ledger INTEGER, unit VARCHAR, rows BIGINT, whole BOOLEAN)")
        for number, ledger in enumerate(self.ledgers):
            ledger.attach(self._database, f"places_{number}")
            facts = UNIT_FACTS.format(places=f"places_{number} SEMI JOIN units USING (unit)")
            self._ask(f"INSERT INTO states SELECT {number}, * FROM ({UNIT_STATES.format(facts=facts)})")

    def remaining(self, *ledgers: Ledger) -> Remaining:
        """Count the units that are incomplete in each of some ledgers.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        [(units, uncounted, images)] = self._ask(REMAINING.format(ledgers=self._numbers(ledgers)))
        return Remaining(int(units), int(uncounted), int(images))

    def todo(self, *ledgers: Ledger) -> Iterator[Unit]:
        """Yield the units that are incomplete in each of some ledgers, each with the images that any of them has.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        self._ask(OPEN.format(ledgers=self._numbers(ledgers)))
        position = -1
        while page := self._ask(TODO.format(position=position, page=PAGE_UNITS)):
            position = page[-1][0]
            units = [UNIT.validate_json(text) for _, text, _ in page]
            begun = [unit.name for unit, (*_, begun) in zip(units, page, strict=True) if begun]
            present = self._present(begun, ledgers)
            yield from (unit.without(present.get(unit.name, ())) for unit in units)

    def check(self, ledger: Ledger) -> CompletenessCheck:
        """Check that every image of the units has exactly one row, as of the last `refresh`.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        number = self.ledgers.index(ledger)
        incomplete = INCOMPLETE.format(ledger=number)
        [(incomplete_units, duplicated, examples)] = self._ask(
            CHECK.format(incomplete=incomplete, examples=MAX_EXAMPLES)
        )
        [(units,)] = self._ask("SELECT count(*) FROM units")
        [(images,)] = self._ask(f"SELECT coalesce(sum(rows), 0) FROM states WHERE ledger = {number}")
        return CompletenessCheck(int(units), int(images), int(incomplete_units), int(duplicated), tuple(examples or ()))

    def counts(self, ledger: Ledger) -> list[tuple[str, str | None, int]]:
        """Count the rows of the units by status and verdict.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        found = self._ask(COUNTS.format(ledger=self.ledgers.index(ledger)))
        return [(str(status), verdict, int(rows)) for status, verdict, rows in found]

    def rows_in(self, files: Sequence[str]) -> int:
        """Count the rows of the units in some files of a ledger.

        Raises:
            StorageError: a file cannot be read.
        """
        if not files:
            return 0
        [(rows,)] = self._ask(f"SELECT count(*) FROM read_parquet({sql_list(files)}) SEMI JOIN units USING (unit)")
        return int(rows)

    @contextmanager
    def views(self, *ledgers: Ledger) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the views of the verdict table, restricted to these units.

        Args:
            ledgers: whose rows; views with one row an image show the first ledger's. Their files are on this machine.

        Yields:
            A connection with the views, which read the table as it is now.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        parts, digest = [file for one in ledgers for file in one.files()], ledgers[0].folder.rpartition("=")[2]
        views = self._database.cursor()
        try:
            views.execute("ATTACH ':memory:' AS evidence; USE evidence")
            views.execute(views_over(sql_list(parts), "SEMI JOIN plan.units USING (unit)"))
            # these units have their current bytes, and each of their images has one row of a model
            views.execute(f"CREATE OR REPLACE VIEW current AS FROM verdicts WHERE model = '{digest}'")
            yield views
        except duckdb.Error as reason:
            raise unreadable(ledgers[0].folder, reason) from reason
        finally:
            views.execute("USE plan; DETACH DATABASE IF EXISTS evidence")
            views.close()

    def _present(self, names: list[str], ledgers: Sequence[Ledger]) -> dict[str, tuple[tuple[int, int], ...]]:
        """Find the indices of some units that a ledger has, as half-open ranges (start, stop)."""
        if not names:
            return {}
        places = " UNION ALL ".join(
            f'SELECT unit, "index" FROM places_{self.ledgers.index(ledger)}' for ledger in ledgers
        )
        self._database.register("begun", pa.table({"unit": pa.array(names, pa.string())}))
        ranges: dict[str, tuple[tuple[int, int], ...]] = {}
        for unit, first, end in self._ask(PRESENT.format(places=places)):
            ranges[unit] = (*ranges.get(unit, ()), (first, end))
        self._database.unregister("begun")
        return ranges

    def _numbers(self, ledgers: Sequence[Ledger]) -> str:
        return f"({', '.join(str(self.ledgers.index(ledger)) for ledger in ledgers)})"

    def _ask(self, query: str) -> list[Any]:
        try:
            return self._database.execute(query).fetchall()
        except duckdb.OutOfMemoryException as reason:
            raise StorageError(f"the plan does not fit on the disk of {self._folder}: {reason}") from reason
        except duckdb.Error as reason:
            raise unreadable(self.ledgers[0].folder, reason) from reason
