"""The lease on an output: one scan of a table at a time, and a generation that fences the workers of a dead run."""

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
from types import TracebackType
from typing import Self

import psutil

from mole.errors import HeldError, StorageError
from pipeline.storage import local, storage
from pipeline.storage.fault import STORE_FAULTS
from pipeline.telemetry.redaction import command_line

logger = logging.getLogger(__name__)

FILE = "_lease.json"
BEAT = 10.0
"""Seconds between two signs of life."""
EXPIRES = 60.0
"""Seconds without a sign of life after which a lease is nobody's."""


@dataclass(frozen=True)
class Holder:
    """Who holds an output.

    Attributes:
        generation: drawn anew for each run; a part is published only under the current one.
        host: the machine, and within it the namespace that its process ids belong to.
        process: process id.
        born: when that process started, seconds since 1970, so that a reused id is told apart.
        taken: when the run took the lease, seconds since 1970.
        beat: its last sign of life, seconds since 1970.
        user: who started it; empty in leases of versions that did not say.
        command: how, without secrets.
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
    def me(cls) -> Self:
        """Describe this process as a new holder."""
        now, born = time.time(), psutil.Process().create_time()
        return cls(uuid.uuid4().hex, _host(), os.getpid(), born, now, now, user_name(), command_line())

    def is_dead(self, now: float) -> bool:
        """Tell whether the holder is gone: at once for a process of this machine, else when its lease expired."""
        if self.host != _host():
            return now - self.beat > EXPIRES
        try:
            return bool(abs(psutil.Process(self.process).create_time() - self.born) > 1.0)
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        """Name the holder and its age, as a refused second scan is told."""
        user = f" of {self.user}" if self.user else ""
        command = f" ({self.command})" if self.command else ""
        age = timedelta(seconds=round(time.time() - self.taken))
        return f"process {self.process}{user} on {self.host.partition(' ')[0]}{command}, started {age} ago"


def user_name() -> str:
    """Name who runs this process, or their number where the machine has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return f"user {os.getuid()}"


def _host() -> str:
    """Name this machine and, behind a space, the namespace of its process ids."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{platform.node()} {space}".strip()


def read(output: str) -> Holder | None:
    """Read who holds an output, None where nobody does.

    Raises:
        StorageError: the lease cannot be read.
    """
    try:
        return Holder(**json.loads(storage.read(storage.join(output, FILE))))
    except FileNotFoundError:
        return None
    except (*STORE_FAULTS, ValueError, TypeError) as reason:
        raise StorageError(f"cannot read the lease {storage.join(output, FILE)!r}: {reason}") from reason


def check(output: str, generation: str) -> None:
    """Insist that a run still holds its output; workers ask before they publish.

    Raises:
        HeldError: another run holds it.
        StorageError: it was given back, or the lease cannot be read.
    """
    holder = read(output)
    if holder is None:
        raise StorageError(f"{output!r} is held by no run any more; this run may write no more")
    if holder.generation != generation:
        raise HeldError(f"{output!r} is now held by {holder}; this run may write no more")


class Lease:
    """A held output: taken on entry, renewed by a thread, given back on exit."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.holder = Holder.me()
        self._url = storage.join(output, FILE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @property
    def generation(self) -> str:
        """The generation under which parts are published."""
        return self.holder.generation

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            HeldError: a running run holds the output.
            StorageError: the lease cannot be read or written.
        """
        if not storage.create(self._url, self._words()) and not self._is_mine():
            self._take_over()
        check(self.output, self.generation)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back, if it is still ours."""
        self._stop.set()
        self._thread.join()
        holder = read(self.output)
        if holder is not None and holder.generation == self.generation:
            storage.remove(self._url)

    def _is_mine(self) -> bool:
        holder = read(self.output)
        return holder is not None and holder.generation == self.generation

    def _take_over(self) -> None:
        holder = read(self.output)
        if holder is not None and not holder.is_dead(time.time()):
            raise HeldError(f"{self.output!r} is held by {holder}; wait for it, or choose another --output")
        if holder is not None:
            self._clear(holder)
        if not storage.create(self._url, self._words()) and not self._is_mine():
            raise HeldError(f"{self.output!r} was taken just now by {read(self.output)}; wait for it")

    def _clear(self, dead: Holder) -> None:
        """Remove a dead holder's lease; of two runs that meet here, the local rename lets one through."""
        if storage.is_local(self.output):
            grave = storage.absolute(self._url) + local.TEMPORARY + dead.generation
            try:
                os.rename(storage.absolute(self._url), grave)
            except FileNotFoundError:
                return
            os.remove(grave)
        else:
            storage.remove(self._url)

    def _words(self) -> bytes:
        return json.dumps(asdict(self.holder)).encode()

    def _renew(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                check(self.output, self.generation)
                self.holder = replace(self.holder, beat=time.time())
                storage.write(self._url, self._words())
            except StorageError as reason:  # lost, and the workers are fenced; or the store is away for a moment
                logger.warning("the lease was not renewed: %s", reason)
