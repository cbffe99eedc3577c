"""Daemons: watches the processes of a local Ray, without which Ray ends its driver without a word."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from mole.errors import StorageError

NAMES = ("raylet", "gcs_server")
POLL_SECONDS = 1.0
WAKES = signal.SIGURG
"""Wakes the main thread from whatever it waits for; nobody else sends it, and by default it is ignored."""


@contextmanager
def watched_daemons() -> Iterator[None]:
    """End the block with an error when a daemon of the Ray that this process started is gone.

    Ray would end this process some seconds later with exit code 1, so that no lease was released and nothing told.

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
        raise StorageError(
            f"Ray's {' and '.join(lost)} {'is' if len(lost) == 1 else 'are'} gone, killed by somebody or for want of "
            "memory; what is written stays, start the run again"
        ) from reason
    finally:
        ended.set()
        watch_thread.join()
        signal.signal(WAKES, before)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
