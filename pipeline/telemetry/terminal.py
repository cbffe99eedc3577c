"""Telemetry: how far a run is, on one live line of a terminal and in plain lines elsewhere; and how a command ends."""

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
from pipeline.telemetry.log import LOG
from pipeline.telemetry.progress import Progress

PLAIN_EVERY = 10.0
"""Seconds between two plain lines."""
BEAT = 0.5
"""Seconds between two looks at what the workers have counted."""
INTERRUPTED = 130
"""What a shell returns for Ctrl-C."""
TERMINATED = 143
"""What a shell returns for SIGTERM."""
WIDTH = 120
"""Columns of a table that goes to a file."""
Item = TypeVar("Item")


def results() -> Console:
    """Open stdout for results: as wide as the terminal, and wide enough for a table if there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


class ProgressDisplay(Progress):
    """What a run says while it runs, on stderr.

    While it is entered it looks at what workers have counted, twice a second, in a thread of its own.

    Args:
        job: begins a run of this name in the log; None if somebody else does.
        quiet: say nothing.
    """

    _entered: ClassVar["ProgressDisplay | None"] = None

    def __init__(self, job: str | None = None, *, quiet: bool = False) -> None:
        super().__init__()
        self._quiet, self._said = quiet, time.monotonic()
        self._poll: Callable[[], None] | None = None
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="progress", daemon=True)
        if job is not None:
            LOG.begin(job)

    @classmethod
    def shown(cls) -> "ProgressDisplay":
        """Find the one that this process shows; a quiet one where it shows none."""
        return cls._entered or cls(quiet=True)

    def __enter__(self) -> Self:
        """Show the live line, on a terminal, and begin to look at what workers count."""
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
        """Take the live line away, and say what is written."""
        ProgressDisplay._entered = None
        self._ended.set()
        self._beats.join()
        if self._live is not None:
            self._live.stop()
            self._live = LOG.live = None
        self.settle()
        if self.images or self.total is not None:
            told: dict[str, Any] = {
                "written": self.images,
                "faults": self.written.kinds,
                "verdicts": self.written.verdicts,
            }
            self.log(f"{self.ending()}, {human_duration(self.seconds)}", **told)
        self.enter("")

    @property
    def is_watching(self) -> bool:
        """Whether somebody looks at what workers count."""
        return self._beats.is_alive()

    def enter(self, name: str, total: int | None = None, noun: str = "images") -> None:
        """Begin a phase, and say so where no live line does; see `Progress.enter`."""
        super().enter(name, total, noun)
        self._said = time.monotonic()
        LOG.facts = {**LOG.facts, "phase": name or None}
        if self._live is not None:
            self._live.refresh()
        elif name:
            self.log(name)

    @contextmanager
    def during(self, name: str, total: int | None = None, noun: str = "images") -> Iterator[None]:
        """Have a phase as long as a block runs, and say how it ended if it counted."""
        self.enter(name, total, noun)
        yield
        told, facts = f"{self}, {human_duration(self.elapsed)}", self.facts()
        self.enter("")
        if facts["done"]:
            self.log(told, phase=name, **facts)

    def track(self, items: Iterable[Item], name: str, total: int | None, noun: str = "images") -> Iterator[Item]:
        """Hand on items in a phase of their own, and count each once it has been worked on."""
        with self.during(name, total, noun):
            for item in items:
                yield item
                self.advance()

    def expect(self, told: int, silent: int = 0, limit: int | None = None) -> None:
        """Learn what there is to do, and say it; see `Progress.expect`."""
        super().expect(told, silent, limit)
        words = [f"{told:,} images"] if told or not silent else []
        words += [f"{silent:,} shard{'s' * (silent > 1)}"] if silent else []
        most = "" if limit is None else f", {limit:,} images at most"
        self.log(f"{' and '.join(words)} to score{most}", total=self.total, shards=silent)

    @contextmanager
    def watching(self, poll: Callable[[], None]) -> Iterator[None]:
        """Look at what workers count, by a call that takes no time, as long as a block runs."""
        with self.lock:
            self._poll = poll
        try:
            yield
        finally:
            with self.lock:
                self._poll = None

    def log(self, text: str, level: str = "info", **facts: Any) -> None:
        """Print a line that stays."""
        if not self._quiet:
            LOG.log(text, level, **facts)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with self.lock:
                if self._poll is not None:
                    self._poll()
                self.note()
            if self._live is not None:
                self._live.refresh()
            elif self.phase and time.monotonic() - self._said >= PLAIN_EVERY:
                self._said = time.monotonic()
                self.log(f"{self}, {human_duration(self.elapsed)}", **self.facts())

    def _line(self) -> RenderableType:
        """Draw the line: a bar where the end is known."""
        if not self.phase or self._live is None:
            return ""
        done, total = self.bar()
        told = str(self) if done else f"{self}, {human_duration(self.elapsed)}"
        line = Table.grid(padding=(0, 1))  # narrower than the terminal: it writes ^C behind it, which must not wrap
        bar = [] if total is None else [ProgressBar(total, done, width=16)]
        line.add_row(self._spinner, *bar, told)
        return Constrain(line, self._live.console.width - 4)


def refused(reason: MoleError) -> int:
    """Print on stderr why a run ended, and return its exit code."""
    text = str(reason).partition("\nFailed to apply UDF")[0]  # Ray appends its own advice to a worker's message
    kind = type(reason).__name__
    LOG.log(f"error: {text}", "error", style="red", kind=kind, exit_code=reason.exit_code)
    return reason.exit_code


def command(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Make what a job runs into its command: however it ends, there is a line on stderr and an exit code."""

    @wraps(main)
    def answered(arguments: list[str]) -> int:
        handle_sigterm()
        with LOG.opened(arguments):
            try:
                return main(arguments)
            except MoleError as reason:
                return refused(reason)
            except KeyboardInterrupt as reason:
                return interrupted(reason)

    return answered


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a machine that is taken away or a container that is moved sends it."""


def handle_sigterm() -> None:
    """End at SIGTERM as at Ctrl-C: the lease is given back and nothing is left half written."""

    def stop(signum: int, frame: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def interrupted(reason: KeyboardInterrupt) -> int:
    """Return on stderr that a run was stopped, and give its exit code."""
    code = TERMINATED if isinstance(reason, Terminated) else INTERRUPTED
    LOG.log("stopped; what is written stays good, the same command goes on from there", "warning", exit_code=code)
    return code
