"""Invocation: how this process was started, `mole-scan scan` or `python jobs/scan.py`, for the advice that it gives."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NAME = "mole-scan"
GROUP = "train"
TRAINING = ("audit", "reconstruct", "finetune", "promote", "evaluate", "calibrate", "crossvalidate", "pack")
"""The jobs that stand behind `mole-scan train`."""

SHELLS = ("bash", "zsh", "fish")
"""Those that complete the words behind `mole-scan`."""

_PROGRAM: ContextVar[str | None] = ContextVar("program", default=None)


@contextmanager
def invoked(job: str) -> Iterator[None]:
    """Note that the console command runs a job, as long as it does.

    Args:
        job: the name of its file in `jobs`.
    """
    token = _PROGRAM.set(console_command(job))
    try:
        yield
    finally:
        _PROGRAM.reset(token)


def program() -> str | None:
    """Name the running job as `mole-scan` was told it; None if a file of `jobs` was started."""
    return _PROGRAM.get()


def console_command(job: str) -> str:
    """Write a job as `mole-scan` is told it."""
    return " ".join([NAME, *([GROUP] if job in TRAINING else []), job])


def command_for(job: str) -> str:
    """Write how to start a job, in the way in which this process was started."""
    return f"python jobs/{job}.py" if program() is None else console_command(job)
