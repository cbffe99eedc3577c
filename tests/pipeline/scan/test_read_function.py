"""Read function: a unit of unknown size reports it once it is read."""

from collections.abc import Iterator
from typing import cast

import pyarrow as pa

from pipeline.records import FETCHED
from pipeline.scan.read_function import CountingRead
from pipeline.telemetry.progress_counter import ProgressReporter

ROW = dict.fromkeys(FETCHED.names)


class Reports:
    """Keeps what a read reports."""

    def __init__(self) -> None:
        self.units: list[tuple[str, int]] = []

    def ended(self, unit: str, images: int) -> None:
        """Keep a unit's number of images."""
        self.units.append((unit, images))


def test_a_unit_reports_its_images_once_the_next_one_begins_or_all_is_read() -> None:
    def units() -> Iterator[pa.Table]:
        for names in (["a.tar", "a.tar"], ["a.tar", "b.tar"], ["b.tar"]):
            yield pa.Table.from_pylist([ROW | {"unit": name} for name in names], FETCHED)

    reports = Reports()
    tables = CountingRead(units, cast(ProgressReporter, reports))()
    assert next(tables).num_rows == 2 and reports.units == []
    next(tables)
    assert reports.units == [("a.tar", 3)]
    assert sum(table.num_rows for table in tables) == 1
    assert reports.units == [("a.tar", 3), ("b.tar", 2)]
