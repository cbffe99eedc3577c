"""Patience: a store that fails is asked again, after growing random waits, while its fault may pass."""

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
from pipeline.storage.fault import is_passing

T = TypeVar("T")

SECONDS = "MOLE_PATIENCE"
"""The variable that says for how long a store is asked again; workers take it from their environment."""
USUAL = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""Seconds: the first wait is drawn below one, no wait is longer than the other; each doubles the last one's bound."""
WEB_ATTEMPTS = 3
"""How often a web server is asked: a listing names thousands, and one that is gone must not hold up the others."""

logger = logging.getLogger(__name__)
_tell = before_sleep_log(logger, logging.INFO)
_lock = threading.Lock()
_retries: Counter[str] = Counter()


def seconds() -> float:
    """Return for how long a store that fails is asked again.

    Raises:
        SettingsError: the environment says something that is no length of time.
    """
    text = os.environ.get(SECONDS, str(USUAL))
    try:
        told = float(text)
    except ValueError:
        told = -1.0
    if told < 0:
        raise SettingsError(f"{SECONDS}={text!r} is not a number of seconds, 0 or more")
    return told


def with_retries(call: Callable[[], T], url: str) -> T:
    """Call a store, and again while what it says may pass.

    Args:
        call: does nothing twice where it is called twice.
        url: what is asked for.

    Raises:
        OSError: the last thing that the store said (or another of `STORE_FAULTS`).
        SettingsError: the environment's patience is no length of time.
    """
    if is_never_retried(url):
        return call()
    stop = stop_after_delay(seconds())
    again = Retrying(
        retry=retry_if_exception(is_passing),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        stop=stop | stop_after_attempt(WEB_ATTEMPTS) if is_web(url) else stop,
        before_sleep=lambda call: _heard(call, url),
        reraise=True,
    )
    return again(call)


def take_retries() -> dict[str, int]:
    """Return how often this process has asked again since this was called last, by protocol."""
    if not _retries:  # without a lock, since it is asked for each block
        return {}
    with _lock:
        taken = dict(_retries)
        _retries.clear()
    return taken


def _heard(call: RetryCallState, url: str) -> None:
    _tell(call)
    with _lock:
        _retries[url.partition("://")[0].lower()] += 1


def is_never_retried(url: str) -> bool:
    """Return whether a URL is this machine's own, where a second asking hears the same."""
    return "://" not in url or url.lower().startswith(("file:", "local:", "memory:"))


def is_web(url: str) -> bool:
    """Return whether a URL is a web server's, which may be anybody's."""
    return url.lower().startswith(("http://", "https://"))
