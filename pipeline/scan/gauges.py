"""Gauges: what the driver of a run tells Prometheus: rows written, how far the run is, and the age of its lease."""

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

EVERY = 5.0
"""Seconds between two times that the gauges are set: Ray exports every ten, and a gauge only where it was set since."""
NO_VERDICT = "none"


class Gauges:
    """What a run tells while it writes a table.

    Args:
        held: the lease on the table.

    Attributes:
        table: its URL, without secrets.
        far: how far the current pass is, as its gauges show it.
    """

    def __init__(self, held: Lease) -> None:
        self.held = held
        self.table = redacted(held.output)
        self.far = {WAVES_PLANNED: 0, WAVES_DONE: 0, UNITS_PLANNED: 0, UNITS_DONE: 0}

    def plan(self, *, waves: int, units: int) -> None:
        """Begin a pass.

        Args:
            waves: how many executions it will take, at most.
            units: how many units it begins with.
        """
        self.far |= {WAVES_PLANNED: waves, WAVES_DONE: 0, UNITS_PLANNED: units, UNITS_DONE: 0}
        self.show()

    def wave_done(self) -> None:
        """Count a wave whose rows are all written."""
        self.far[WAVES_DONE] += 1

    def written(self, part: Mapping[str, Any], first: str) -> None:
        """Count the rows of a file that is written.

        Args:
            part: a row of `WRITTEN_FILES`.
            first: the model whose rows tell which units are done.
        """
        for outcome in part["outcomes"]:
            told = {"status": outcome["status"], "verdict": outcome["verdict"] or NO_VERDICT}
            metrics.record(IMAGES, outcome["images"], table=self.table, model=part[MODEL], **told)
        if part[MODEL] == first:
            self.far[UNITS_DONE] += part["units"]

    def show(self) -> None:
        """Set the gauges, and count what the driver's own requests had to be made again."""
        metrics.record(LEASE_AGE, max(0.0, time.time() - self.held.holder.beat), table=self.table)
        for metric, value in self.far.items():
            metrics.record(metric, value, table=self.table)
        metrics.retried()


@contextmanager
def shown(held: Lease, every: float = EVERY) -> Iterator[Gauges]:
    """Set a run's gauges again and again while it is connected to Ray.

    Args:
        held: the lease on the table.
        every: seconds between two times.
    """
    gauges, ended = Gauges(held), threading.Event()

    def go_on() -> None:
        while not ended.wait(every):
            gauges.show()

    thread = threading.Thread(target=go_on, name="metrics", daemon=True)
    thread.start()
    try:
        yield gauges
    finally:
        ended.set()
        thread.join()
        gauges.show()
