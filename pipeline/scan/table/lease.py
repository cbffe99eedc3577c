"""Lease: locks concurrent runs out of an output; its generation fences off the workers of a dead run."""

import getpass
import json
import logging
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from mole.errors import HeldError, StorageError
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.telemetry.redaction import command_line

logger = logging.getLogger(__name__)

LEASE_FILE = "_lease.json"
HEARTBEAT_SECONDS = 10.0
"""Seconds between two heartbeats."""
EXPIRY_SECONDS = 60.0
"""Seconds without a heartbeat after which a lease has expired."""
SAME_START = 1.5
"""Seconds by which two readings of a process's start may differ."""
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """The holder of a lease.

    Attributes:
        generation: a random id of the run; a part is written only under the current one.
        host: the machine, what it booted, and its namespace of process ids.
        process: process id.
        born: when that process started, seconds since the machine booted; tells it from a later process with the same
            id, and stays the same when the clock is set.
        taken: when the run took the lease, seconds since 1970.
        beat: its last heartbeat, seconds since 1970.
        user: who started it; empty in leases of older versions.
        command: its command line, without secrets.
    """

    generation: str
    host: str
    process: int
    born: float
    taken: float
    beat: float
    user: str = ""
    command: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Describe this process as a new holder."""
        now, born = time.time(), started(os.getpid())
        return cls(uuid.uuid4().hex, _host(), os.getpid(), born, now, now, user_name(), command_line())

    def is_dead(self, now: float) -> bool:
        """Tell whether the holder is dead: by its process on this machine, elsewhere by the lease's expiry."""
        if self.host != _host():
            return now - self.beat > EXPIRY_SECONDS
        try:
            return abs(started(self.process) - self.born) > SAME_START
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        """Describe the holder and its age, for the error of a second run."""
        user = f" of {self.user}" if self.user else ""
        command = f" ({self.command})" if self.command else ""
        age = timedelta(seconds=round(time.time() - self.taken))
        return f"process {self.process}{user} on {self.host.partition(' ')[0]}{command}, started {age} ago"


def user_name() -> str:
    """Name the user of this process, or their id where the machine has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return f"user {os.getuid()}"


def started(process: int) -> float:
    """Tell when a process of this machine started, in seconds since the machine booted.

    Raises:
        psutil.NoSuchProcess: there is none with this id.
    """
    return float(psutil.Process(process).create_time() - psutil.boot_time())


def _host() -> str:
    """Name this machine and, after a space each, its boot and its namespace of process ids.

    Machines may share a name: the id of the boot tells them apart.
    """
    try:
        boot, space = BOOT.read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = space = ""
    return f"{platform.node()} {boot} {space}".strip()


def read(output: str) -> Holder | None:
    """Read the holder of an output; None where it has none.

    Raises:
        StorageError: the lease cannot be read.
    """
    try:
        return Holder(**json.loads(storage.read(storage.join(output, LEASE_FILE))))
    except FileNotFoundError:
        return None
    except (*STORE_FAULTS, ValueError, TypeError) as reason:
        detail = fault_of(reason)[1] if isinstance(reason, STORE_FAULTS) else reason
        raise StorageError(f"cannot read the lease {storage.join(output, LEASE_FILE)!r}: {detail}") from reason


def check(output: str, generation: str) -> None:
    """Insist that a run still holds its lease: the guard of every write to the table.

    Raises:
        HeldError: another run holds it, or held it and has ended.
        StorageError: it cannot be read.
    """
    holder = read(output)
    if holder is None:
        raise HeldError(
            f"the lease on {output!r} is gone: another run took it while this one was stopped or out of reach, and has "
            "ended; this run must not write any more, and the same command tells what is left"
        )
    if holder.generation != generation:
        raise HeldError(f"{output!r} is now held by {holder}; this run must not write any more")


class Lease:
    """The lease on an output: taken on entry, renewed by a thread, released on exit."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.holder = Holder.this_process()
        self._url = storage.join(output, LEASE_FILE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @property
    def generation(self) -> str:
        """The generation under which parts are written."""
        return self.holder.generation

    def check(self) -> None:
        """Insist that this run still holds the lease.

        Raises:
            HeldError: another run holds it, or held it and has ended.
            StorageError: it cannot be read.
        """
        check(self.output, self.generation)

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            HeldError: another run holds the output.
            StorageError: the lease cannot be read or written.
        """
        if not storage.create(self._url, self._encoded()) and not self._is_mine():
            self._take_over()
        self.check()
        # heartbeats that a killed run left unfinished
        storage.remove_temporary_files(self.output, older_than=EXPIRY_SECONDS)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lease, if this run still holds it; where that fails after an error, the error is raised.

        Raises:
            StorageError: the lease cannot be read or removed.
        """
        self._stop.set()
        self._thread.join()
        try:
            if self._is_mine():
                storage.remove(self._url, guard=self.check)
        except StorageError as reason:
            if error is None:
                raise
            logger.warning("the lease was not given back: %s", reason)

    def _is_mine(self) -> bool:
        holder = read(self.output)
        return holder is not None and holder.generation == self.generation

    def _take_over(self) -> None:
        holder = read(self.output)
        if holder is not None and not holder.is_dead(time.time()):
            raise HeldError(f"{self.output!r} is held by {holder}; wait for it, or choose another --output")
        if holder is not None:
            self._clear(holder)
        if not storage.create(self._url, self._encoded()) and not self._is_mine():
            raise HeldError(f"{self.output!r} was just taken by {read(self.output)}; wait for it")

    def _clear(self, dead: Holder) -> None:
        """Remove a dead holder's lease, if it is still there.

        Raises:
            HeldError: another run took the lease meanwhile.
        """

        def is_unchanged() -> None:
            """Insist that the lease is the dead holder's; raises FileNotFoundError if there is none."""
            holder = read(self.output)
            if holder is None:
                raise FileNotFoundError(self._url)
            if holder.generation != dead.generation:
                raise HeldError(f"{self.output!r} was just taken by {holder}; wait for it")

        storage.remove(self._url, guard=is_unchanged)

    def _encoded(self) -> bytes:
        return json.dumps(asdict(self.holder)).encode()

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self.holder = replace(self.holder, beat=time.time())
                storage.write(self._url, self._encoded(), guard=self.check)
            except StorageError as reason:  # lost, and the workers are fenced off; or the store is briefly unreachable
                logger.warning("the lease was not renewed: %s", reason)
