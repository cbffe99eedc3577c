"""The log: what a run says on stderr, as lines for people or, with --log-json, as one JSON object a line."""

import io
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from rich.console import Console

FLAG = "--log-json"
YES = {"1", "true", "t", "yes", "y", "on"}
"""How a variable says true, as pydantic reads it."""


class Log:
    """The one log of this process, as there is one stderr.

    Attributes:
        facts: fields of every JSON object: the run, the job, the phase.
        live: the console on which a live line stands, below which nothing may be printed.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.live: Console | None = None
        self._logger: Any = None
        self._stream: TextIO | None = None

    @property
    def is_json(self) -> bool:
        """Whether lines are JSON objects."""
        return self._logger is not None

    def begin(self, job: str) -> str:
        """Begin a run, and name it."""
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        self.facts = {"run": run, "job": job}
        return run

    def console(self) -> Console:
        """Open stderr for people."""
        return Console(stderr=True) if self._stream is None else Console(file=self._stream)

    def log(self, text: str, level: str = "info", style: str | None = None, **facts: Any) -> None:
        """Say a line.

        Args:
            text: for people.
            level: of JSON: info, warning or error.
            style: of the line on a terminal.
            facts: fields of JSON.
        """
        if self._logger is not None:
            getattr(self._logger, level)(text, **self.facts | facts)
        else:
            console = self.live or self.console()
            console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def as_json(self) -> None:
        """Say JSON from now on, and make JSON of what others write to stderr: warnings, libraries' logs, Ray."""
        if self.is_json:
            return
        stream = self._stream or sys.stderr
        stamped: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
        written = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(stream), [*stamped, structlog.processors.format_exc_info, written]
        )
        sys.stderr = Lines(lambda line: self.log(line, "warning", source="stderr"), stream)
        logging.captureWarnings(True)
        logging.root.handlers[:] = [_Handler(self.log)]  # its own level is WARNING

    @contextmanager
    def opened(self, arguments: Sequence[str]) -> Iterator[None]:
        """Log a command: as JSON if its flags ask for it, a traceback too; afterwards all is as it was.

        While Ray starts, what its core prints is sent to nowhere; lines of the log still come out.

        Args:
            arguments: of the command line.

        Raises:
            SystemExit: an error that nobody foresaw, which a JSON object has told.
        """
        stderr, handlers = sys.stderr, logging.root.handlers[:]
        self._stream = _second(stderr)
        if FLAG in arguments:
            self.as_json()
        try:
            yield
        except Exception as reason:
            if not self.is_json:
                raise
            self.log(f"{type(reason).__name__}: {reason}", "error", exc_info=reason)
            raise SystemExit(1) from reason
        finally:
            if self.is_json:
                sys.stderr.flush()
                sys.stderr, logging.root.handlers[:] = stderr, handlers
                logging.captureWarnings(False)
            if self._stream is not None:
                self._stream.close()
            self._logger, self.facts, self.live, self._stream = None, {}, None, None


class Lines(io.TextIOBase):
    """A stream that hands on whole lines.

    Args:
        each: takes a line without its end; blank ones are left out.
        under: the stream in whose place it stands.
    """

    encoding = "utf-8"

    def __init__(self, each: Callable[[str], None], under: TextIO) -> None:
        self._each, self._under = each, under
        self._parts = threading.local()

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def fileno(self) -> int:
        """Return the number of the stream below, for processes that inherit it."""
        return self._under.fileno()

    def write(self, text: str) -> int:
        """Take a piece of text, of any thread."""
        *lines, rest = (getattr(self._parts, "rest", "") + text).split("\n")
        self._parts.rest = rest
        for line in lines:
            if line.strip():
                self._each(line.rstrip("\r"))
        return len(text)

    def flush(self) -> None:
        """Hand on what has no end of line yet."""
        if getattr(self._parts, "rest", ""):
            self.write("\n")


class _Handler(logging.Handler):
    """Hands what libraries log to the log."""

    def __init__(self, log: Callable[..., None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        more = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log(record.getMessage(), level, source=record.name, **more)


LOG = Log()


def _second(stream: TextIO) -> TextIO | None:
    """Open a second way to where a stream leads; None if that is no file, as in a test."""
    try:
        return open(os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError, AttributeError):
        return None


def is_yes(value: object) -> bool:
    """Return whether a setting that nobody has checked yet says true."""
    return str(value).strip().lower() in YES
