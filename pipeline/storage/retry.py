"""Retries: transient failures of a store are retried with exponential backoff and jitter."""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from mole.errors import SettingsError
from pipeline.storage.fault import is_transient

T = TypeVar("T")

PATIENCE_VARIABLE = "MOLE_PATIENCE"
"""The environment variable with the maximum duration of retries; workers inherit it."""
DEFAULT_PATIENCE = 60.0
FIRST_WAIT, MAX_WAIT = 0.5, 20.0
"""Seconds: upper bounds of the first wait and of all waits; the bound doubles at each retry."""
WEB_ATTEMPTS = 3
"""Attempts at a web server: a listing names thousands, and an unreachable one must not delay the others."""

logger = logging.getLogger(__name__)
_log_retry = before_sleep_log(logger, logging.INFO)
_lock = threading.Lock()
_retries: Counter[str] = Counter()


def max_seconds() -> float:
    """Return the maximum duration of retries in seconds.

    Raises:
        SettingsError: the environment variable is not a duration.
    """
    text = os.environ.get(PATIENCE_VARIABLE, str(DEFAULT_PATIENCE))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise SettingsError(f"{PATIENCE_VARIABLE}={text!r} is not a number of seconds, 0 or more")
    return value


def with_retries(call: Callable[[], T], url: str) -> T:
    """Call a store, retrying transient failures.

    Args:
        call: an idempotent function.
        url: the URL that it accesses.

    Raises:
        OSError: the last failure (or another of `STORE_FAULTS`).
        SettingsError: the environment variable is not a duration.
    """
    if is_never_retried(url):
        return call()
    stop = stop_after_delay(max_seconds())
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=MAX_WAIT),
        stop=stop | stop_after_attempt(WEB_ATTEMPTS) if is_web(url) else stop,
        before_sleep=lambda call: _count_retry(call, url),
        reraise=True,
    )
    return retrying(call)


def take_retries() -> dict[str, int]:
    """Return the number of retries of this process since the last call, by protocol."""
    if not _retries:  # without a lock, since it is called for each block
        return {}
    with _lock:
        taken = dict(_retries)
        _retries.clear()
    return taken


def _count_retry(call: RetryCallState, url: str) -> None:
    _log_retry(call)
    with _lock:
        _retries[url.partition("://")[0].lower()] += 1


def is_never_retried(url: str) -> bool:
    """Return whether a URL is local to this machine, where a retry gives the same result."""
    return "://" not in url or url.lower().startswith(("file:", "local:", "memory:"))


def is_web(url: str) -> bool:
    """Return whether a URL is that of a web server."""
    return url.lower().startswith(("http://", "https://"))
