"""Terminal: progress display on stderr, as a live line or plain lines, and the end of a command."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from mole.errors import MoleError
from pipeline.telemetry.humanize import human_duration
from pipeline.telemetry.log import LOG, Terminal
from pipeline.telemetry.printable import counted
from pipeline.telemetry.progress import Progress

LOG_SECONDS = 10.0
"""Seconds between two plain progress lines."""
REFRESH_SECONDS = 0.5
"""Seconds between two polls of the workers' counts."""
INTERRUPTED = 130
"""The exit code for Ctrl-C."""
TERMINATED = 143
"""The exit code for SIGTERM."""
WIDTH = 120
"""Width of a table in a file."""
Item = TypeVar("Item")


def results() -> Console:
    """Return a console on stdout, as wide as the terminal, or `WIDTH` without one."""
    return Terminal(width=None if sys.stdout.isatty() else WIDTH)


class ProgressDisplay(Progress):
    """Displays the progress of a run on stderr.

    While it is entered, a thread polls the workers' counts twice a second.

    Args:
        job: begins a run with this name in the log; None if the caller does.
        quiet: display nothing.
    """

    _entered: ClassVar["ProgressDisplay | None"] = None

    def __init__(self, job: str | None = None, *, quiet: bool = False) -> None:
        super().__init__()
        self._quiet, self._logged_at = quiet, time.monotonic()
        self._poll: Callable[[], None] | None = None
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="progress", daemon=True)
        if job is not None:
            LOG.begin(job)

    @classmethod
    def shown(cls) -> "ProgressDisplay":
        """Return the entered display of this process; a quiet one if there is none."""
        return cls._entered or cls(quiet=True)

    def __enter__(self) -> Self:
        """Show the live line, on a terminal, and start polling."""
        ProgressDisplay._entered = self
        console = LOG.console()
        if console.is_terminal and not console.is_dumb_terminal and not self._quiet and not LOG.is_json:
            self._live = Live(get_renderable=self._line, console=console, auto_refresh=False, transient=True)
            self._live.start()
            LOG.live = console
        self._beats.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the live line, and log the rows written."""
        ProgressDisplay._entered = None
        self._ended.set()
        self._beats.join()
        if self._live is not None:
            self._live.stop()
            self._live = LOG.live = None
        self.settle()
        if self.images or self.total is not None:
            facts: dict[str, Any] = {
                "written": self.images,
                "faults": self.written.kinds,
                "verdicts": self.written.verdicts,
            }
            # a task that was ended may have written a part that it had not reported yet
            bound = "" if error is None else "at least "
            self.log(f"{bound}{self.final_line()}, {human_duration(self.seconds)}", **facts)
        self.enter("")

    @property
    def is_watching(self) -> bool:
        """Whether workers' counts are polled."""
        return self._beats.is_alive()

    def enter(self, name: str, total: int | None = None, noun: str = "images") -> None:
        """Begin a phase, and log it without a live line; see `Progress.enter`."""
        super().enter(name, total, noun)
        self._logged_at = time.monotonic()
        LOG.facts = {**LOG.facts, "phase": name or None}
        if self._live is not None:
            self._live.refresh()
        elif name:
            self.log(name)

    @contextmanager
    def during(self, name: str, total: int | None = None, noun: str = "images") -> Iterator[None]:
        """Run a block as a phase, and log its result if anything was counted."""
        self.enter(name, total, noun)
        yield
        text, facts = f"{self}, {human_duration(self.elapsed)}", self.facts()
        self.enter("")
        if facts["done"]:
            self.log(text, phase=name, **facts)

    def track(self, items: Iterable[Item], name: str, total: int | None, noun: str = "images") -> Iterator[Item]:
        """Pass on items as a phase, and count each after it is processed."""
        with self.during(name, total, noun):
            for item in items:
                yield item
                self.advance()

    def expect(self, images: int, unknown: int = 0, limit: int | None = None) -> None:
        """Set the amount of work, and log it; see `Progress.expect`."""
        super().expect(images, unknown, limit)
        words = [counted(images, "image")] if images or not unknown else []
        words += [counted(unknown, "shard")] if unknown else []
        most = "" if limit is None else f", {counted(limit, 'image')} at most"
        self.log(f"{' and '.join(words)} to score{most}", total=self.total, shards=unknown)

    @contextmanager
    def watching(self, poll: Callable[[], None]) -> Iterator[None]:
        """Call `poll`, which must not block, regularly while a block runs."""
        with self.lock:
            self._poll = poll
        try:
            yield
        finally:
            with self.lock:
                self._poll = None

    def log(self, text: str, level: str = "info", **facts: Any) -> None:
        """Log a line, unless quiet."""
        if not self._quiet:
            LOG.log(text, level, **facts)

    def _beat(self) -> None:
        while not self._ended.wait(REFRESH_SECONDS):
            with self.lock:
                if self._poll is not None:
                    self._poll()
                self.add_point()
            if self._live is not None:
                self._live.refresh()
            elif self.phase and time.monotonic() - self._logged_at >= LOG_SECONDS:
                self._logged_at = time.monotonic()
                self.log(f"{self}, {human_duration(self.elapsed)}", **self.facts())

    def _line(self) -> RenderableType:
        """Render the live line, with a bar if the total is known."""
        if not self.phase or self._live is None:
            return ""
        done, total = self.done_and_total()
        text = str(self) if done else f"{self}, {human_duration(self.elapsed)}"
        line = Table.grid(padding=(0, 1))  # narrower than the terminal, which writes ^C after it
        bar = [] if total is None else [ProgressBar(total, done, width=16)]
        line.add_row(self._spinner, *bar, text)
        return Constrain(line, self._live.console.width - 4)


def log_error(reason: MoleError) -> int:
    """Print on stderr why a run ended, and return its exit code."""
    kind = type(reason).__name__
    LOG.log(f"error: {reason}", "error", style="red", kind=kind, exit_code=reason.exit_code)
    return reason.exit_code


def command(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Wrap a job's main function: errors and interruptions become a line on stderr and an exit code."""

    @wraps(main)
    def answered(arguments: list[str]) -> int:
        """Run the job, and return its exit code."""
        handle_sigterm()
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
        with LOG.opened(arguments):
            try:
                return main(arguments)
            except MoleError as reason:
                return log_error(reason)
            except KeyboardInterrupt as reason:
                return log_interruption(reason)
            except RuntimeError as reason:
                stopped = interruption(reason)
                if isinstance(stopped, KeyboardInterrupt):
                    return log_interruption(stopped)
                raise

    return answered


class Terminated(KeyboardInterrupt):
    """SIGTERM, sent when a machine is reclaimed or a pod is evicted.

    Attributes:
        sent: whether this process was sent one.
    """

    sent = False


def interruption(error: BaseException | None) -> BaseException | None:
    """Return the interruption behind an error: DuckDB raises an error of its own where a signal ends a query."""
    if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
        return Terminated() if Terminated.sent else KeyboardInterrupt()
    return error


def handle_sigterm() -> None:
    """Handle SIGTERM, which from then on raises `Terminated`: the lease is released, and no file is left unfinished."""

    def stop(signum: int, frame: object) -> None:
        """End the run.

        Raises:
            Terminated: always.
        """
        Terminated.sent = True
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def log_interruption(reason: KeyboardInterrupt) -> int:
    """Log that a run was stopped, and return its exit code."""
    code = TERMINATED if isinstance(reason, Terminated) else INTERRUPTED
    LOG.log(
        "stopped; what is written stays valid, and the same command continues from there", "warning", exit_code=code
    )
    return code
