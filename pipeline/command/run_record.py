"""Run record: a JSON file next to a table with what a command did to it.

`ray job submit` maps every failure to exit code 1, so schedulers and alerts read the record. It is written when a run
begins, with `exit_code` null, and again when it ends: if it stays null, the run was killed.
"""

import json
import os
import platform
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from mole.errors import MoleError
from pipeline.command.settings import JobSettings
from pipeline.runtime.submission import submission_id
from pipeline.storage import storage
from pipeline.telemetry.log import LOG
from pipeline.telemetry.redaction import command_line, redacted, redacted_values
from pipeline.telemetry.terminal import ProgressDisplay, interruption, log_error, log_interruption

RUNS_FOLDER = "_runs"
"""The folder of records in a table; Parquet readers ignore names that begin with `_`."""
POINT = re.compile(r"\[\n\s+([\d.]+),\n\s+(\d+)\n\s+\]")
"""A point of `progress` in indented JSON, which is put on one line; JSON strings contain no line breaks."""
UNFINISHED = 60.0
"""Seconds after which an unfinished record is one of a killed run."""
INTERRUPTIONS = {"Terminated": "ended by SIGTERM", "KeyboardInterrupt": "ended by Ctrl-C"}
"""Messages of errors that have none."""
UNEXPECTED_EXIT_CODE = 1
"""The exit code of an unexpected error, which prints a traceback."""


def record_settings(settings: JobSettings) -> dict[str, Any]:
    """Return settings for a record, with absolute local paths."""

    def absolute(place: str) -> str:
        """Make a local path absolute."""
        return storage.absolute(place) if storage.is_local(place) else place

    values = settings.model_dump(mode="json")
    for name, places in settings.durable_places().items():
        values[name] = [absolute(place) for place in places] if isinstance(values[name], list) else absolute(places[0])
    return values


class Record:
    """The record of a run, as a context manager around it.

    Args:
        job: the job's name.
        settings: the run's settings.
        progress: its progress display, which is entered with the record.

    Attributes:
        exit_code: exit code of the command; 0 until an error.
        url: the record's URL; None until `begin`.
    """

    def __init__(self, job: str, settings: JobSettings, progress: ProgressDisplay) -> None:
        self.exit_code = 0
        self.url: str | None = None
        self._progress = progress
        self._begun = time.monotonic()
        started = datetime.now(UTC)
        self._id = LOG.begin(job)
        self._facts: dict[str, Any] = {
            "id": self._id,
            "job": job,
            "version": version("mole-scan"),
            "started": started.isoformat(timespec="seconds"),
            "ended": None,
            "seconds": None,
            "exit_code": None,
            "error": None,
            "written": 0,
            "faults": 0,
            "verdicts": {},
            "phases": {},
            "summary": None,
            "host": platform.node(),
            "process": os.getpid(),
            "submission": submission_id(),
            "command": command_line(),
            "settings": redacted_values(record_settings(settings)),
            "progress": [],
        }

    def __enter__(self) -> Self:
        """Enter the progress display."""
        self._progress.__enter__()
        return self

    def begin(self, output: str) -> None:
        """Write the record of a started run into its output."""
        folder = storage.join(storage.absolute(output), RUNS_FOLDER)
        self.url = storage.join(folder, f"{self._id}.json")
        storage.remove_temporary_files(folder, older_than=UNFINISHED)
        self._write()

    def succeed(self, summary: Mapping[str, Any]) -> None:
        """Set the run's summary."""
        self._facts["summary"] = redacted_values(summary)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Write how the run ended; known errors and interruptions are logged and become the exit code."""
        error = interruption(error)
        self._progress.__exit__(kind, error, trace)
        if isinstance(error, MoleError):
            self.exit_code = log_error(error)
        elif isinstance(error, KeyboardInterrupt):
            self.exit_code = log_interruption(error)
        elif error is not None:
            self.exit_code = UNEXPECTED_EXIT_CODE
        if error is not None:
            message = redacted(str(error)) or INTERRUPTIONS.get(type(error).__name__, "")
            self._facts["error"] = {"kind": type(error).__name__, "message": message}
        self._facts |= {
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._begun, 3),
            "exit_code": self.exit_code,
            "written": self._progress.images,
            "faults": self._progress.faults,
            "verdicts": self._progress.written.verdicts,
            "phases": self._progress.phases,
            "progress": self._progress.series.points(self._progress.seconds, self._progress.images),
        }
        self._write()
        ours = error is None or isinstance(error, MoleError | KeyboardInterrupt)
        if not ours:
            self.log_location()  # a traceback follows
        return ours

    def log_location(self) -> None:
        """Log the record's URL, as the last line."""
        if self.url is not None:
            self._progress.log(f"run: {self.url}", record=self.url)

    def _write(self) -> None:
        if self.url is None:
            return
        try:
            text = POINT.sub(r"[\1, \2]", json.dumps(self._facts, indent=2, default=str))
            storage.write(self.url, text.encode())
        except MoleError as reason:  # the run itself succeeded
            self._progress.log(f"the run's record was not written: {reason}", "warning")
            self.url = None
