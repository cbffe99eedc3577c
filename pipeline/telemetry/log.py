"""Log: lines on stderr, as text or, with --log-json, as JSON objects."""

import io
import logging
import os
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import structlog
from rich.console import Console

from pipeline.telemetry.redaction import redacted, redacted_values

FLAG = "--log-json"
TRUE_WORDS = {"1", "true", "t", "yes", "y", "on"}
"""The true values of an environment variable, as in pydantic."""


class Terminal(Console):
    """A console whose reader may leave, such as `head`: from then on it prints nothing, and the run goes on."""

    def on_broken_pipe(self) -> None:
        """Lead the stream to nowhere, so that nothing else fails that writes to it; Rich would end the process."""
        self.quiet = True
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())


class Log:
    """The log of this process, a singleton like stderr.

    Attributes:
        facts: fields of every JSON object: run, job and phase.
        live: the console with a live progress line, which log lines are printed above.
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
        """Begin a run and return its id."""
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        self.facts = {"run": run, "job": job}
        return run

    def console(self) -> Console:
        """Return a console on stderr."""
        return Terminal(stderr=True) if self._stream is None else Terminal(file=self._stream)

    def log(self, text: str, level: str = "info", style: str | None = None, **facts: Any) -> None:
        """Log a line, without the secrets of its URLs.

        Args:
            text: the message.
            level: info, warning or error, for JSON.
            style: Rich style of the line on a terminal.
            facts: further fields of the JSON object.
        """
        text = redacted(text)
        if self._logger is not None:
            getattr(self._logger, level)(text, **self.facts | facts)
        else:
            console = self.live or self.console()
            console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def as_json(self) -> None:
        """Switch to JSON, also for what others write to stderr: warnings, libraries' logs, Ray."""
        if self.is_json:
            return
        stream = self._stream or sys.stderr
        stamped: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
        written = structlog.processors.JSONRenderer(ensure_ascii=False, default=lambda one: redacted(str(one)))
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(stream), [*stamped, structlog.processors.format_exc_info, _redact, written]
        )
        sys.stderr = Lines(lambda line: self.log(line, "warning", source="stderr"), stream)
        logging.captureWarnings(True)
        logging.root.handlers[:] = [_Handler(self.log)]  # the root level is WARNING

    @contextmanager
    def opened(self, arguments: Sequence[str]) -> Iterator[None]:
        """Open the log for a command, as JSON if its flags request it, tracebacks included; restore all at the end.

        A traceback that Python prints at the end of the process has no secrets of URLs either.

        While Ray starts, its core's output is discarded; log lines are still printed.

        Args:
            arguments: the command line's arguments.

        Raises:
            SystemExit: an unexpected error, which was logged as JSON.
        """
        stderr, handlers = sys.stderr, logging.root.handlers[:]
        self._stream = _duplicate(stderr)
        sys.excepthook = _print_redacted
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
    """A stream that passes on complete lines.

    Args:
        each: called with each non-blank line, without its line break.
        under: the stream that it replaces.
    """

    encoding = "utf-8"

    def __init__(self, each: Callable[[str], None], under: TextIO) -> None:
        self._each, self._under = each, under
        self._parts = threading.local()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the underlying stream's file descriptor, for child processes."""
        return self._under.fileno()

    def write(self, text: str) -> int:
        """Write text; thread-safe."""
        *lines, rest = (getattr(self._parts, "rest", "") + text).split("\n")
        self._parts.rest = rest
        for line in lines:
            if line.strip():
                self._each(line.rstrip("\r"))
        return len(text)

    def flush(self) -> None:
        """Pass on an unfinished line."""
        if getattr(self._parts, "rest", ""):
            self.write("\n")


class _Handler(logging.Handler):
    """Forwards log records of libraries to the log."""

    def __init__(self, log: Callable[..., None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        more = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log(record.getMessage(), level, source=record.name, **more)


LOG = Log()


def _redact(_logger: Any, _method: str, facts: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove the secrets of URLs from all fields of a JSON object."""
    return redacted_values(facts)


def _print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without the secrets of URLs."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _duplicate(stream: TextIO) -> TextIO | None:
    """Duplicate a stream's file descriptor; None if it has none, as in a test."""
    try:
        return open(os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError, AttributeError):
        return None


def is_true(value: object) -> bool:
    """Return whether an unvalidated setting is true."""
    return str(value).strip().lower() in TRUE_WORDS
