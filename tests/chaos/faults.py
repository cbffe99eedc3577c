"""Faults: what strikes a run, its processes, its disk, its clock or its store; only what this run started is touched."""

import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from pipeline.scan.table.lease import EXPIRY_SECONDS
from tests.chaos import processes
from tests.chaos.attempt import Attempt, Ended
from tests.chaos.cluster import Nodes
from tests.chaos.place import Bucket, Place, remount, small_disk
from tests.chaos.scenario import OF_STORE, Command, Fault, Scenario

CLOCK = Path(__file__).parent / "clock.c"
"""What is preloaded into a run whose clock steps."""
STEPS = (3600, -3600, 0)
"""Seconds by which the clock that a run sees is off, one after the other."""
EACH_STEP = 0.3
"""Seconds for which it stays so."""
MOST_STEPS = 1_000
SMALL, LARGE = "160k", "64m"
"""Sizes of an output's disk that becomes full, and that then has room."""
SERVER_AWAY = 5.0
"""Seconds for which the S3 server is gone."""
ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
"""Runs a program under another host name, so that its lease is judged by its age alone."""


@dataclass
class Disturbance:
    """A fault of a scenario: set up before a run, struck within it, mended before the next.

    Attributes:
        scenario: it.
        place: where it runs.
        folder: for what the fault needs.
        undisturbed: runs the same command to its end, without the fault.
        kills: processes that were killed.
        remarks: promises that were broken meanwhile.
    """

    scenario: Scenario
    place: Place
    folder: Path
    undisturbed: Callable[[], Ended]
    kills: int = 0
    remarks: list[str] = field(default_factory=list)

    def set_up(self) -> None:
        """Prepare the fault."""

    def environment(self) -> dict[str, str]:
        """Return what the disturbed run has in its environment."""
        return {}

    def arguments(self) -> list[str]:
        """Return what every run has in its arguments."""
        return []

    def access(self) -> dict[str, str]:
        """Return what every run has in its environment."""
        return {}

    def prefix(self) -> Sequence[str]:
        """Return what stands before the disturbed run's program."""
        return ()

    def strike(self, attempt: Attempt) -> bool:
        """Let it happen; False where there was nothing to strike yet."""
        return True

    def mend(self) -> None:
        """End it, before the command is run again."""

    def close(self) -> None:
        """Remove what it needed."""


class Signal(Disturbance):
    """A signal to the driver, or to a process of its Ray."""

    TITLES = {  # noqa: RUF012
        Fault.KILL_SCORER: processes.SCORER,
        Fault.KILL_READER: processes.READER,
        Fault.KILL_RAYLET: processes.RAYLET,
    }

    def strike(self, attempt: Attempt) -> bool:
        """Send it."""
        title = self.TITLES.get(self.scenario.fault)
        if title is None:
            number: Signals = SIGTERM if self.scenario.fault is Fault.TERMINATE else SIGKILL
            attempt.driver.send_signal(number)
            taken = 1
        else:
            taken = processes.send(processes.titled(attempt.driver.pid, title)[:1], SIGKILL)
        self.kills += taken
        return taken > 0


class Pause(Disturbance):
    """The holder of the lease is stopped past its time, another run takes the table, and the holder wakes."""

    def prefix(self) -> Sequence[str]:
        """Run it on what looks like another machine, whose processes nobody else can ask."""
        return ELSEWHERE

    def strike(self, attempt: Attempt) -> bool:
        """Stop it with all its processes, let another run end, wake it, and see that it writes nothing."""
        stopped = attempt.all()
        self.kills += processes.send(stopped, SIGSTOP)
        time.sleep(EXPIRY_SECONDS + 3)
        other = self.undisturbed()
        if other.code:
            self.remarks.append(f"the run that took the table over ended with {other.code}: {other.told[-400:]}")
        before = self.place.files()
        processes.send(stopped, SIGCONT)
        woken = attempt.ended(struck=True)
        # a compaction that finds nothing left to merge has nothing to write either
        if woken.code not in ({0, 3, 7} if self.scenario.command is Command.COMPACT else {3, 7}):
            self.remarks.append(f"the woken holder ended with {woken.code}: {woken.told[-400:]}")
        after = self.place.files()
        if changed := sorted(name for name in before | after if before.get(name) != after.get(name)):
            self.remarks.append(f"the woken holder wrote into the table: {', '.join(changed)}")
        return True


class Disk(Disturbance):
    """The output's disk is full, or becomes read-only."""

    def set_up(self) -> None:
        """Mount a disk for the output."""
        self._disk = small_disk(Path(self.place.output), SMALL if self.scenario.fault is Fault.FULL_DISK else LARGE)
        self._disk.__enter__()

    def strike(self, attempt: Attempt) -> bool:
        """Make it read-only; a full one is full by itself."""
        return self.scenario.fault is Fault.FULL_DISK or remount(Path(self.place.output), "ro")

    def mend(self) -> None:
        """Give it room, and let it be written again."""
        assert remount(Path(self.place.output), f"rw,size={LARGE}")

    def close(self) -> None:
        """Unmount it."""
        self._disk.__exit__(None, None, None)


class Clock(Disturbance):
    """The clock that all processes of the run see goes an hour on, and then an hour back."""

    def set_up(self) -> None:
        """Compile what is preloaded, and write the file that it follows.

        Raises:
            FileNotFoundError: there is no C compiler.
        """
        self._offset, self._library = self.folder / "offset", self.folder / "clock.so"
        self.set_clock(0)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, CLOCK, "-ldl"], check=True)

    def environment(self) -> dict[str, str]:
        """Let the run's clock follow the file; the clocks that measure durations are left alone."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSET_FILE": str(self._offset)}

    def set_clock(self, seconds: int) -> None:
        """Set the run's clock so far from the true time."""
        self._offset.touch()
        with self._offset.open("r+b") as file:  # never shorter than it is: processes have it mapped
            file.write(struct.pack("q", seconds))

    def strike(self, attempt: Attempt) -> bool:
        """Step the clock on, back and to the true time again and again, until the run ends."""
        steps = 0
        while attempt.is_on and steps < MOST_STEPS:
            self.set_clock(STEPS[steps % len(STEPS)])
            time.sleep(EACH_STEP)
            steps += 1
        return steps >= len(STEPS)


class Store(Disturbance):
    """Some answers of the store are late, cut, mistaken or old, from the beginning to the end of a run."""

    def set_up(self) -> None:
        """Let the proxy spoil answers."""
        assert isinstance(self.place, Bucket)
        self.place.door.spoilt = 0
        self.place.door.tell_lies(self.scenario.fault, self.scenario.share, self.scenario.seed)

    def mend(self) -> None:
        """Let it hand on what the store says."""
        assert isinstance(self.place, Bucket)
        self.place.door.tell_lies(None, 0.0, 0)
        self.kills = self.place.door.spoilt


class Server(Disturbance):
    """The S3 server is killed, and returns."""

    def strike(self, attempt: Attempt) -> bool:
        """Kill it, and start it again where it was."""
        assert isinstance(self.place, Bucket) and self.place.server is not None
        self.place.server.kill()
        time.sleep(SERVER_AWAY)
        self.place.server.start()
        self.kills += 1
        return True


class Cluster(Disturbance):
    """A Ray of two nodes that score beside a head, of which one is killed; or one with a small object store."""

    def set_up(self) -> None:
        """Start it."""
        self._nodes = Nodes(self.folder)
        for cores in (0, 1, 1) if self.scenario.fault is Fault.KILL_NODE else (2,):
            self._nodes.add(cores=cores)

    def arguments(self) -> list[str]:
        """Name it to every run."""
        return ["--ray-address", self._nodes.address]

    def access(self) -> dict[str, str]:
        """Give every run its token."""
        return self._nodes.token

    def strike(self, attempt: Attempt) -> bool:
        """Kill the last node."""
        if self.scenario.fault is Fault.KILL_NODE:
            self.kills += self._nodes.kill(len(self._nodes) - 1)
        return True

    def close(self) -> None:
        """Kill what is left of it."""
        self._nodes.close()


KINDS: dict[Fault, type[Disturbance]] = {
    Fault.PAUSE_HOLDER: Pause,
    Fault.FULL_DISK: Disk,
    Fault.READ_ONLY: Disk,
    Fault.CLOCK_STEPS: Clock,
    Fault.KILL_SERVER: Server,
    Fault.KILL_NODE: Cluster,
    Fault.SMALL_STORE: Cluster,
} | dict.fromkeys(OF_STORE, Store)


def disturbance_of(scenario: Scenario, place: Place, folder: Path, undisturbed: Callable[[], Ended]) -> Disturbance:
    """Make the fault of a scenario."""
    return KINDS.get(scenario.fault, Signal)(scenario, place, folder, undisturbed)
