"""Telemetry: one live line on a terminal, plain lines elsewhere, and Ray kept quiet."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Self

import ray.data
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mole.errors import MoleError

PLAIN_EVERY = 10.0
"""Seconds between two plain lines."""
INTERRUPTED = 130
"""What a shell returns for Ctrl-C."""
TERMINATED = 143
"""What a shell returns for SIGTERM."""
WIDTH = 120
"""Columns of a table that goes to a file."""


def results() -> Console:
    """Open stdout for results: as wide as the terminal, and wide enough for a table where there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


class Ticker:
    """What a run says while it runs, on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.total: int | None = None
        self.images = self.faults = 0
        self._console = Console(stderr=True, quiet=quiet)
        self._begun = self._said = time.monotonic()
        self._line = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=self._console
        )
        self._task = self._line.add_task("starting", total=None)

    def __enter__(self) -> Self:
        """Show the live line, on a terminal."""
        if self._console.is_terminal:
            self._line.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the live line away."""
        self._line.stop()

    def expect(self, total: int | None) -> None:
        """Learn how many images there are to do; None while shards have not told."""
        self.total = total
        self._line.update(self._task, total=total, description="starting Ray and loading the detector")
        if not self._console.is_terminal:
            count = "an unknown number of" if total is None else f"{total:,}"
            self.say(f"{count} images to score; starting Ray and loading the detector")

    def add(self, images: int, faults: int) -> None:
        """Count images whose rows are written."""
        self.images += images
        self.faults += faults
        self._line.update(self._task, completed=self.images, description=str(self))
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= PLAIN_EVERY:
            self._said = now
            self._console.print(str(self), highlight=False)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    def __str__(self) -> str:
        """Write the line: done, rate, time left, faults."""
        rate = self.images / max(self.seconds, 1e-9)
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.total is None or not self.images else f", {(self.total - self.images) / rate:,.0f} s left"
        return f"{self.images:,}{of} images, {rate:,.1f} images/s{left}, {self.faults:,} faults"


def refused(reason: MoleError) -> int:
    """Tell on stderr why a run ended, and give its exit code."""
    words = str(reason).partition("\nFailed to apply UDF")[0]  # Ray adds its own advice to a worker's words
    Console(stderr=True).print(f"{type(reason).__name__}: {words}", style="red", markup=False, soft_wrap=True)
    return reason.exit_code


def command(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Make what a job runs into its command: however it ends, there is a line on stderr and an exit code."""

    @wraps(main)
    def answered(arguments: list[str]) -> int:
        heed_sigterm()
        try:
            return main(arguments)
        except MoleError as reason:
            return refused(reason)
        except KeyboardInterrupt as reason:
            return interrupted(reason)

    return answered


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a machine that is taken away or a container that is moved sends it."""


def heed_sigterm() -> None:
    """End at SIGTERM as at Ctrl-C: the lease is given back and nothing is left half written."""

    def stop(signum: int, frame: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def interrupted(reason: KeyboardInterrupt) -> int:
    """Tell on stderr that a run was stopped, and give its exit code."""
    Console(stderr=True).print("stopped; what is written stays good, the same command goes on from there")
    return TERMINATED if isinstance(reason, Terminated) else INTERRUPTED


def quiet_ray(*, logs: bool) -> None:
    """Keep Ray Data's own lines and bars from the terminal, unless they are asked for."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = logs
    context.print_on_execution_start = logs
    if not logs:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
