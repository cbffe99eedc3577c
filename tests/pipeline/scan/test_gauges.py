"""Gauges: they follow the run, and their thread ends with it."""

import threading
from pathlib import Path

from pipeline.scan.gauges import Gauges, export_gauges
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.parquet_sink import publish
from pipeline.telemetry.metrics import UNITS_DONE, UNITS_PLANNED, WAVES_DONE, WAVES_PLANNED
from tests.pipeline.scan.table.test_parquet_sink import verdicts

GAUGES = (WAVES_PLANNED, WAVES_DONE, UNITS_PLANNED, UNITS_DONE)


def values(gauges: Gauges) -> tuple[int, ...]:
    return tuple(gauges.values[gauge] for gauge in GAUGES)


def test_a_pass_counts_its_waves_and_the_units_whose_last_row_is_written(tmp_path: Path) -> None:
    table = verdicts(5)
    ended = table.set_column(table.schema.get_field_index("last"), "last", [[False, True, False, False, True]])
    with Lease(str(tmp_path)) as held:
        gauges = Gauges(held)
        gauges.plan(waves=3, units=9)
        [part] = publish(ended, output=held.output, generation=held.generation).to_pylist()
        assert (part["units"], part["outcomes"]) == (2, [{"status": "ok", "verdict": None, "images": 5}])
        gauges.written(part, "m")
        gauges.written(part, "another")  # of the shadow's rows none ends a unit
        gauges.wave_done()
        assert values(gauges) == (3, 1, 9, 2)
        gauges.plan(waves=1, units=7)
        assert values(gauges) == (1, 0, 7, 0)


def test_a_table_is_named_without_its_secrets(tmp_path: Path) -> None:
    assert Gauges(Lease("https://user:secret@store/v?sig=abc")).table == "https://***@store/v?***"


def test_the_thread_ends_with_the_run(tmp_path: Path) -> None:
    with Lease(str(tmp_path)) as held, export_gauges(held, interval=0.01):
        assert "metrics" in {thread.name for thread in threading.enumerate()}
    assert "metrics" not in {thread.name for thread in threading.enumerate()}
