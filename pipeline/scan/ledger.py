"""The verdict table read as the checkpoint: which images have their row, and whether the law holds.

The law: every unit has the indices 0 … last, once each. There is no second ledger that could disagree.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from mole.errors import LawError, StorageError
from pipeline import storage
from pipeline.records import PLACE, TIME, check_version

TAKEN = -1
"""Stands for a time that no row has, once an image's newest row was found."""
ASKED = pa.schema([*PLACE[:3], ("status", pa.string()), ("verdict", pa.string()), ("scanned_at", TIME)])
"""The columns that the ledger reads."""
STATES = """
    SELECT unit, count(*) AS rows, count(DISTINCT "index") AS images, max("index") AS highest,
           max("index") FILTER ("last") AS last, count(*) FILTER ("last") AS ends
    FROM places GROUP BY unit
"""
PRESENT = """SELECT unit, "index" FROM places SEMI JOIN asked USING (unit) ORDER BY unit, "index" """
NEWEST = """
    SELECT unit, "index", epoch_us(max(scanned_at)) FROM places SEMI JOIN asked USING (unit)
    GROUP BY ALL HAVING count(*) > 1
"""
COUNTS = """SELECT status, verdict, count(*) FROM places SEMI JOIN asked USING (unit) GROUP BY ALL ORDER BY ALL"""


@dataclass(frozen=True)
class UnitState:
    """What the table holds of one unit.

    Attributes:
        rows: its rows.
        images: its different indices.
        highest: the highest index.
        last: the index of the row that ends it, None while that row is missing.
    """

    rows: int
    images: int
    highest: int
    last: int | None

    @property
    def doubled(self) -> bool:
        """Tell whether an index stands there twice."""
        return self.rows > self.images

    @property
    def whole(self) -> bool:
        """Tell whether the unit has the indices 0 … last, once each."""
        return self.last is not None and self.last == self.highest and self.rows == self.images == self.last + 1


@dataclass(frozen=True)
class Law:
    """The result of the check.

    Attributes:
        units: units checked.
        images: their rows.
        open: units without their last row or with a gap.
        doubled: units with an index twice.
    """

    units: int
    images: int
    open: tuple[str, ...]
    doubled: tuple[str, ...]

    def demand(self) -> None:
        """Insist that the law holds.

        Raises:
            LawError: a unit has a gap or a double.
        """
        if self.open or self.doubled:
            raise LawError(
                f"{len(self.open)} of {self.units} units miss rows (first: {list(self.open[:3])}), "
                f"{len(self.doubled)} have rows twice (first: {list(self.doubled[:3])}); start the scan again"
            )


@dataclass(frozen=True)
class Ledger:
    """One model's partition of a verdict table.

    Attributes:
        folder: the partition's URL.
    """

    folder: str

    def states(self) -> dict[str, UnitState]:
        """Read the state of every unit in the table.

        Raises:
            StorageError: a file of the table cannot be read.
        """
        return {
            unit: UnitState(rows, images, highest, last) for unit, rows, images, highest, last, _ in self._ask(STATES)
        }

    def present(self, units: Collection[str]) -> dict[str, list[int]]:
        """Read which indices of some units have a row, ascending.

        Raises:
            StorageError: a file of the table cannot be read.
        """
        indices: dict[str, list[int]] = defaultdict(list)
        for unit, index in self._ask(PRESENT, units) if units else ():
            indices[unit].append(index)
        return dict(indices)

    def counts(self, units: Collection[str]) -> list[tuple[str, str | None, int]]:
        """Count the rows of some units by status and verdict.

        Raises:
            StorageError: a file of the table cannot be read.
        """
        return [(str(status), verdict, int(rows)) for status, verdict, rows in self._ask(COUNTS, units)]

    def check(self, units: Collection[str]) -> Law:
        """Hold some units against the law.

        Raises:
            StorageError: a file of the table cannot be read.
        """
        states = self.states()
        there = {unit: states[unit] for unit in units if unit in states}
        return Law(
            units=len(units),
            images=sum(state.rows for state in there.values()),
            open=tuple(unit for unit in units if unit not in there or _has_gap(there[unit])),
            doubled=tuple(unit for unit, state in there.items() if state.doubled),
        )

    def repair(self) -> int:
        """Leave of every image the newest row, file by file, each replaced in one step.

        Returns:
            How many rows went.

        Raises:
            StorageError: a file cannot be read or replaced.
        """
        doubled = [unit for unit, state in self.states().items() if state.doubled]
        newest = {(unit, index): time for unit, index, time in self._ask(NEWEST, doubled)} if doubled else {}
        gone = 0
        for url in storage.names(self.folder, ".parquet") if newest else ():
            gone += _without_older(url, newest)
        return gone

    def _ask(self, query: str, units: Collection[str] = ()) -> list[tuple]:  # type: ignore[type-arg]
        files = storage.names(self.folder, ".parquet")
        if not files:
            return []
        fs, _ = storage.filesystem(self.folder)
        paths = [storage.filesystem(file)[1] for file in files]
        try:
            with fs.open(paths[0], "rb") as stream:
                check_version(pq.read_schema(stream).metadata, files[0])
            with duckdb.connect() as database:
                database.register("places", pads.dataset(paths, schema=ASKED, format="parquet", filesystem=fs))
                database.register("asked", pa.table({"unit": pa.array(list(units), pa.string())}))
                return database.sql(query).fetchall()
        except (OSError, pa.ArrowException, duckdb.Error) as reason:
            raise StorageError(f"cannot read the verdict table in {self.folder!r}: {reason}") from reason


def _has_gap(state: UnitState) -> bool:
    return state.last is None or state.highest != state.last or state.images != state.last + 1


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
