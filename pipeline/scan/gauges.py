"""Gauges: what a run's driver exports to Prometheus: rows written, waves and units done, and the age of its lease."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.records import MODEL
from pipeline.scan.table.lease import Lease
from pipeline.telemetry import metrics
from pipeline.telemetry.metrics import IMAGES, LEASE_AGE, UNITS_DONE, UNITS_PLANNED, WAVES_DONE, WAVES_PLANNED
from pipeline.telemetry.redaction import redacted

EXPORT_SECONDS = 5.0
"""Seconds between two exports. Ray exports every ten seconds, and only gauges that were set since its last export."""
NO_VERDICT = "none"


class Gauges:
    """The metrics of a run that writes a table.

    Args:
        lease: the run's lease on the table.

    Attributes:
        table: its URL, without secrets.
        values: the progress of the current pass, by metric.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.table = redacted(lease.output)
        self.values = {WAVES_PLANNED: 0, WAVES_DONE: 0, UNITS_PLANNED: 0, UNITS_DONE: 0}

    def plan(self, *, waves: int, units: int) -> None:
        """Begin a pass.

        Args:
            waves: how many waves it has at most.
            units: how many units it reads.
        """
        self.values |= {WAVES_PLANNED: waves, WAVES_DONE: 0, UNITS_PLANNED: units, UNITS_DONE: 0}
        self.export()

    def wave_done(self) -> None:
        """Count a wave whose rows are all written."""
        self.values[WAVES_DONE] += 1

    def written(self, part: Mapping[str, Any], first: str) -> None:
        """Count the rows of a file that was written.

        Args:
            part: a row of `WRITTEN_FILES`.
            first: the digest of the model whose rows count the units that are done.
        """
        for outcome in part["outcomes"]:
            tags = {"status": outcome["status"], "verdict": outcome["verdict"] or NO_VERDICT}
            metrics.record(IMAGES, outcome["images"], table=self.table, model=part[MODEL], **tags)
        if part[MODEL] == first:
            self.values[UNITS_DONE] += part["units"]

    def export(self) -> None:
        """Set the gauges, and count the driver's own retried requests."""
        metrics.record(LEASE_AGE, max(0.0, time.time() - self.lease.holder.beat), table=self.table)
        for metric, value in self.values.items():
            metrics.record(metric, value, table=self.table)
        metrics.record_retries()


@contextmanager
def export_gauges(lease: Lease, interval: float = EXPORT_SECONDS) -> Iterator[Gauges]:
    """Export a run's gauges at an interval while it is connected to Ray.

    Args:
        lease: the run's lease on the table.
        interval: seconds between two exports.
    """
    gauges, stopped = Gauges(lease), threading.Event()

    def export_until_stopped() -> None:
        """Export at the interval."""
        while not stopped.wait(interval):
            gauges.export()

    thread = threading.Thread(target=export_until_stopped, name="metrics", daemon=True)
    thread.start()
    try:
        yield gauges
    finally:
        stopped.set()
        thread.join()
        gauges.export()
