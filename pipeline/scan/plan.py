"""Plan: the source's units less what the verdict table holds, on the driver's disk, so that no source is too large.

A unit is a line of a DuckDB file in a folder that goes with the plan; what the table holds of it is joined there. The
driver's memory holds a page of units at a time, whether there are a thousand or a hundred million.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
from pydantic import TypeAdapter

from mole.errors import StorageError
from pipeline.scan.reading.unit import Unit
from pipeline.scan.table.ledger import FACTS, STATES, Law, Ledger, listed, unreadable
from pipeline.scan.table.views import above

MEMORY = "512MB"
"""What DuckDB may hold of a plan; what is above goes to the disk."""
PAGE = 1024
"""Units that are read or written at a time."""
EXAMPLES = 3

UNIT = TypeAdapter(Unit)
LINE = pa.schema([("position", pa.int64()), ("unit", pa.string()), ("images", pa.int64()), ("words", pa.string())])
ONCE = "DELETE FROM units WHERE position NOT IN (SELECT min(position) FROM units GROUP BY unit)"
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
LEFT = """
    SELECT count(*), count(*) FILTER (images IS NULL),
           coalesce(sum(images), 0) - coalesce(sum(rows) FILTER (images IS NOT NULL), 0)
    FROM (FROM units ANTI JOIN (FROM states WHERE whole AND ledger IN {ledgers}) USING (unit))
    LEFT JOIN (SELECT unit, max(rows) AS rows FROM states WHERE ledger IN {ledgers} GROUP BY unit) USING (unit)
"""
UNSOUND = """
    SELECT unit, coalesce(rows, 0), coalesce(images, 0), ending IS NULL OR highest <> ending OR images <= ending
    FROM (SELECT unit FROM units ANTI JOIN (FROM states WHERE whole AND ledger = {ledger}) USING (unit))
    LEFT JOIN (
        SELECT unit, count(*) AS rows, count(DISTINCT "index") AS images, max("index") AS highest,
               max("index") FILTER ("last") AS ending
        FROM places_{ledger} SEMI JOIN (FROM states WHERE NOT whole AND ledger = {ledger}) USING (unit) GROUP BY unit
    ) USING (unit)
"""
LAW = """
    SELECT count(*) FILTER (open), count(*) FILTER (rows > images), list(unit ORDER BY NOT open, unit)[:{examples}]
    FROM ({unsound}) AS unsound(unit, rows, images, open)
"""
COUNTS = """
    SELECT status, verdict, count(*) FROM places_{ledger} SEMI JOIN units USING (unit) GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Left:
    """What is still to be done.

    Attributes:
        units: how many.
        silent: how many of them are shards, which do not tell how many images they hold.
        told: images of the others.
    """

    units: int
    silent: int
    told: int

    @property
    def images(self) -> int | None:
        """Images, None while shards have not told."""
        return None if self.silent else self.told


class Plan:
    """The units of a source, and what some ledgers hold of them.

    Args:
        units: the source; it is read when the plan is entered.
        ledgers: the partitions that it is held against.
    """

    def __init__(self, units: Iterable[Unit], ledgers: Sequence[Ledger]) -> None:
        self.units = units
        self.ledgers = list(ledgers)

    def __enter__(self) -> Self:
        """Read the source, and look at the ledgers.

        Raises:
            SettingsError: a source is nothing that can be scanned.
            StorageError: the source or a ledger cannot be read, or the disk is full.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="mole-plan-")
        folder = Path(self._folder.name)
        self._database = duckdb.connect(
            folder / "plan.duckdb",
            config={
                "memory_limit": MEMORY,
                "temp_directory": str(folder / "spilled"),
                "preserve_insertion_order": False,
            },
        )
        try:
            self._fill()
            self.look()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing on the disk."""
        self._database.close()
        self._folder.cleanup()

    def _fill(self) -> None:
        self._ask("CREATE TABLE units (position BIGINT, unit VARCHAR, images BIGINT, words VARCHAR)")
        units = enumerate(self.units)
        while page := list(islice(units, 64 * PAGE)):
            lines = [(position, unit.name, unit.images, UNIT.dump_json(unit).decode()) for position, unit in page]
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*lines, strict=True), LINE, strict=True)
            ]
            self._database.register("page", pa.Table.from_arrays(columns, schema=LINE))
            self._ask("INSERT INTO units FROM page")
            self._database.unregister("page")
        self._ask(ONCE)

    def look(self) -> None:
        """Read anew what the ledgers hold of the units.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        self._ask("CREATE OR REPLACE TABLE states (ledger INTEGER, unit VARCHAR, rows BIGINT, whole BOOLEAN)")
        for number, ledger in enumerate(self.ledgers):
            ledger.attach(self._database, f"places_{number}")
            facts = FACTS.format(places=f"places_{number} SEMI JOIN units USING (unit)")
            self._ask(f"INSERT INTO states SELECT {number}, * FROM ({STATES.format(facts=facts)})")

    def left(self, *ledgers: Ledger) -> Left:
        """Count what none of some ledgers holds whole.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        [(units, silent, images)] = self._ask(LEFT.format(ledgers=self._numbers(ledgers)))
        return Left(int(units), int(silent), int(images))

    def todo(self, *ledgers: Ledger) -> Iterator[Unit]:
        """Yield the units that are whole in none of some ledgers, each knowing the images that one of them has.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        self._ask(OPEN.format(ledgers=self._numbers(ledgers)))
        position = -1
        while page := self._ask(TODO.format(position=position, page=PAGE)):
            position = page[-1][0]
            units = [UNIT.validate_json(text) for _, text, _ in page]
            begun = [unit.name for unit, (*_, begun) in zip(units, page, strict=True) if begun]
            present = self._present(begun, ledgers)
            yield from (unit.without(present.get(unit.name, ())) for unit in units)

    def check(self, ledger: Ledger) -> Law:
        """Hold the units against the law, as the table stood when it was looked at last.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        number = self.ledgers.index(ledger)
        unsound = UNSOUND.format(ledger=number)
        [(opened, doubled, examples)] = self._ask(LAW.format(unsound=unsound, examples=EXAMPLES))
        [(units,)] = self._ask("SELECT count(*) FROM units")
        [(images,)] = self._ask(f"SELECT coalesce(sum(rows), 0) FROM states WHERE ledger = {number}")
        return Law(int(units), int(images), int(opened), int(doubled), tuple(examples or ()))

    def counts(self, ledger: Ledger) -> list[tuple[str, str | None, int]]:
        """Count the rows of the units by status and verdict.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        found = self._ask(COUNTS.format(ledger=self.ledgers.index(ledger)))
        return [(str(status), verdict, int(rows)) for status, verdict, rows in found]

    def rows_in(self, files: Sequence[str]) -> int:
        """Count the rows of the units that stand in some files of a ledger.

        Raises:
            StorageError: a file cannot be read.
        """
        if not files:
            return 0
        [(rows,)] = self._ask(f"SELECT count(*) FROM read_parquet({listed(files)}) SEMI JOIN units USING (unit)")
        return int(rows)

    @contextmanager
    def evidence(self, *ledgers: Ledger) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the views of the verdict table on these units alone.

        Args:
            ledgers: whose rows; the views that show one row an image show the first one's. Their files lie on this
                machine.

        Yields:
            A connection with the views, as the table stands now.

        Raises:
            StorageError: a file of a table cannot be read.
        """
        parts, digest = [file for one in ledgers for file in one.files()], ledgers[0].folder.rpartition("=")[2]
        views = self._database.cursor()
        try:
            views.execute("ATTACH ':memory:' AS evidence; USE evidence")
            views.execute(above(listed(parts), "SEMI JOIN plan.units USING (unit)"))
            # each of these units has its newest bytes, and each image one row of a model
            views.execute(f"CREATE OR REPLACE VIEW current AS FROM verdicts WHERE model = '{digest}'")
            yield views
        except duckdb.Error as reason:
            raise unreadable(ledgers[0].folder, reason) from reason
        finally:
            views.execute("USE plan; DETACH DATABASE IF EXISTS evidence")
            views.close()

    def _present(self, names: list[str], ledgers: Sequence[Ledger]) -> dict[str, tuple[tuple[int, int], ...]]:
        """Find which indices of some units a ledger has, as ranges (first, behind the last)."""
        if not names:
            return {}
        places = " UNION ALL ".join(
            f'SELECT unit, "index" FROM places_{self.ledgers.index(ledger)}' for ledger in ledgers
        )
        self._database.register("begun", pa.table({"unit": pa.array(names, pa.string())}))
        ranges: dict[str, tuple[tuple[int, int], ...]] = {}
        for unit, first, behind in self._ask(PRESENT.format(places=places)):
            ranges[unit] = (*ranges.get(unit, ()), (first, behind))
        self._database.unregister("begun")
        return ranges

    def _numbers(self, ledgers: Sequence[Ledger]) -> str:
        return f"({', '.join(str(self.ledgers.index(ledger)) for ledger in ledgers)})"

    def _ask(self, query: str) -> list[Any]:
        try:
            return self._database.execute(query).fetchall()
        except duckdb.OutOfMemoryException as reason:
            raise StorageError(f"the plan does not fit the disk below {self._folder.name}: {reason}") from reason
        except duckdb.Error as reason:
            raise unreadable(self.ledgers[0].folder, reason) from reason
