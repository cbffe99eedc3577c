"""Daemons: watches the processes of a local Ray, since Ray ends its driver without a message when one dies."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from mole.errors import StorageError

NAMES = ("raylet", "gcs_server")
POLL_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""After which a main thread that no signal wakes is given up: it is in a call of Ray that asks the lost daemon, and Ray
would end the process after 60 s without a word. The lease stays then; the next run on this machine passes over it."""
WAKES = signal.SIGURG
"""Wakes the main thread from whatever it waits for; nobody else sends it, and by default it is ignored."""


@contextmanager
def watched_daemons() -> Iterator[None]:
    """End the block with an error when a daemon of the Ray that this process started is gone.

    Ray would end this process some seconds later with exit code 1, with no lease released and no message printed.

    Raises:
        StorageError: a daemon is gone.
    """
    daemons = {child: child.name() for child in psutil.Process().children() if child.name() in NAMES}
    main, ended, lost = threading.current_thread(), threading.Event(), list[str]()

    def wake(*_: object) -> None:
        """Raise the only exception that ends a `ray.get`."""
        raise KeyboardInterrupt

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            lost.extend(name for child, name in daemons.items() if not _lives(child))
            if lost:
                signal.pthread_kill(int(main.ident or 0), WAKES)
                if not ended.wait(GRACE_SECONDS):
                    sys.stderr.write(f"error: {_gone(lost)}\n")
                    sys.stderr.flush()
                    os._exit(StorageError.exit_code)
                return

    if main is not threading.main_thread():  # only that one takes signals
        yield
        return
    before = signal.signal(WAKES, wake)
    watch_thread = threading.Thread(target=watch, name="daemons", daemon=True)
    watch_thread.start()
    try:
        yield
    except (KeyboardInterrupt, Exception) as reason:
        if not lost:
            raise
        raise StorageError(_gone(lost)) from reason
    finally:
        ended.set()
        watch_thread.join()
        signal.signal(WAKES, before)


def _gone(names: list[str]) -> str:
    """Say what is lost, and what to do."""
    verb = "is" if len(names) == 1 else "are"
    return (
        f"Ray's {' and '.join(names)} {verb} gone, killed by somebody or for want of memory; what is written stays, "
        "start the run again"
    )


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
