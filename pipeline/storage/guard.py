"""Guard: a condition that must hold when a change reaches its store, such as that the run still holds its lease.

A process may be stopped between the check of the condition and the change, and continue when both are minutes old.
Locally the check is made right before the rename. On S3 every request that changes something, retries of the client
included, is refused right before it is sent if the check began too long ago; the change then begins again with a check.
"""

import errno
import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from aiobotocore.client import AioBaseClient

T = TypeVar("T")

Guard = Callable[[], None]
"""Raises an error if the change may not be made; a `MoleError` is not retried."""
MAX_SECONDS = 10.0
"""Longest time from the beginning of a check to the sending of the request: far less than a lease takes to expire."""
CHECKS = 5
"""Most checks before a change, where each takes longer than it holds: the store was away, or the process stopped."""
CHANGES = ("PutObject", "CompleteMultipartUpload", "DeleteObject", "DeleteObjects")

_latest: ContextVar[float] = ContextVar("latest", default=math.inf)
"""When the requests of the present change are sent at the latest, in `seconds`; fsspec's thread inherits it."""


def seconds() -> float:
    """Return a time that goes on while the process is stopped, and on Linux while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def guarded(guard: Guard | None, change: Callable[[], T]) -> T:
    """Check a condition, then make a change in one attempt.

    Args:
        guard: the condition; None for none.
        change: a call of the store.

    Raises:
        OSError: the change's error; also if its request would have been sent too late, which is transient.
        MoleError: the guard's.
    """
    if guard is None:
        return change()
    for _ in range(CHECKS):
        begun = seconds()
        guard()
        if seconds() - begun <= MAX_SECONDS:
            break
    token = _latest.set(begun + MAX_SECONDS)
    try:
        return change()
    finally:
        _latest.reset(token)


def is_guarded() -> bool:
    """Tell whether a request is part of a change with a guard."""
    return _latest.get() < math.inf


def refuse_late(**_event: Any) -> None:
    """Handle botocore's event `before-send`, which comes before every attempt to send a request.

    Raises:
        OSError: the check of the condition is too old.
    """
    late = seconds() - _latest.get()
    if late > 0:
        # no TimeoutError, which s3fs would answer by sending the request again
        raise OSError(errno.ESTALE, f"not sent: the check before it was made {late + MAX_SECONDS:.0f} s ago")


def watch(client: AioBaseClient) -> None:
    """Let a client of S3 refuse late requests."""
    for operation in CHANGES:
        client.meta.events.register(f"before-send.s3.{operation}", refuse_late, unique_id=f"guard-{operation}")
