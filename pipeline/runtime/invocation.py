"""Invocation: how this process was started, `mole-scan scan` or `python jobs/scan.py`, for commands in messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PROGRAM = "mole-scan"
TRAINING_GROUP = "train"
TRAINING_JOBS = ("audit", "reconstruct", "finetune", "promote", "evaluate", "calibrate", "crossvalidate", "pack")
"""The jobs of `mole-scan train`."""

SHELLS = ("bash", "zsh", "fish")
"""Shells with completion for `mole-scan`."""

_PROGRAM: ContextVar[str | None] = ContextVar("program", default=None)


@contextmanager
def invoked(job: str) -> Iterator[None]:
    """Record that the console command runs a job, for the duration of the block.

    Args:
        job: name of its file in `jobs`.
    """
    token = _PROGRAM.set(console_command(job))
    try:
        yield
    finally:
        _PROGRAM.reset(token)


def program() -> str | None:
    """Return the running console command, such as `mole-scan scan`; None if a file of `jobs` was started."""
    return _PROGRAM.get()


def console_command(job: str) -> str:
    """Return the console command of a job."""
    return " ".join([PROGRAM, *([TRAINING_GROUP] if job in TRAINING_JOBS else []), job])


def command_for(job: str) -> str:
    """Return the command that starts a job, in the form in which this process was started."""
    return f"python jobs/{job}.py" if program() is None else console_command(job)
