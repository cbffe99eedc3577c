"""Attempt: one run of a command in a process of its own, which a fault may strike once it has written so much."""

import subprocess
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos import processes

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = str(Path(sysconfig.get_path("scripts")) / "mole-scan")
LONGEST = 900.0
"""Seconds after which a run is taken to hang."""
REGULAR = {0, 3, 5, 7, 143}
"""Exit codes with which a disturbed run may end: done, storage, completeness, another run, SIGTERM."""


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
        code: exit code, negative for a signal.
        seconds: how long it took.
        hung: whether it had to be killed after `LONGEST`.
        struck: whether the fault came before the end.
        told: the end of what it printed.
        outlived: titles of processes that had to be killed a while after their driver.
    """

    code: int
    seconds: float
    hung: bool
    struck: bool
    told: str
    outlived: tuple[str, ...]

    @property
    def error(self) -> str:
        """The error that it ended with, in its own words; empty without one."""
        return next((line for line in reversed(self.told.splitlines()) if line.startswith("error: ")), "")

    @property
    def irregular(self) -> str | None:
        """Say what is wrong with this end, beyond that the run was disturbed; None if nothing is."""
        if self.hung:
            return f"hung for {self.seconds:,.0f} s"
        if self.code not in REGULAR | {-9}:
            return f"exit code {self.code}: {self.told[-600:]}"
        if "Traceback" in self.told:
            return f"a traceback: {self.told[-600:]}"
        return f"left behind: {', '.join(self.outlived)}" if self.outlived else None


class Attempt:
    """A run that has begun.

    Args:
        arguments: of `mole-scan`.
        folder: takes what it prints, and its temporary files.
        environment: beside that of this process.
        before: what stands before the command.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        folder: Path,
        environment: dict[str, str],
        before: Sequence[str] = (),
    ) -> None:
        self.mark = processes.new_mark()
        self._log = folder / f"{self.mark}.log"
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        more = {"TMPDIR": str(temporary)} | environment
        self._begun = time.monotonic()
        with self._log.open("wb") as log:
            self.driver = subprocess.Popen(
                [*before, COMMAND, *map(str, arguments)],
                cwd=ROOT,
                env=processes.environment(self.mark, **more),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_on(self) -> bool:
        """Whether it runs still."""
        return self.driver.poll() is None

    def wait_until(self, ready: Callable[[], bool]) -> bool:
        """Wait for a condition; False if the run ended before, or takes too long."""
        while self.is_on and time.monotonic() - self._begun < LONGEST:
            if ready():
                return True
            time.sleep(0.05)
        return False

    def all(self) -> list[psutil.Process]:
        """Find every process of the run."""
        return list(processes.marked(self.mark))

    def ended(self, *, struck: bool) -> Ended:
        """Wait for the end of the run, and of all its processes."""
        try:
            self.driver.wait(max(1.0, LONGEST - (time.monotonic() - self._begun)))
            hung = False
        except subprocess.TimeoutExpired:
            hung = True
            self.driver.kill()
            self.driver.wait()
        seconds = time.monotonic() - self._begun
        outlived = processes.outlived(self.mark)
        told = self._log.read_text(errors="replace")[-4000:]
        return Ended(self.driver.returncode, seconds, hung, struck, told, tuple(outlived))
