"""Lying store: a proxy before a real S3 server, whose answers are late, cut, mistaken or old; it counts what was read."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from tests.chaos.scenario import Fault
from tests.stores import FaultyStore, faulty

LIES = {
    Fault.THROTTLED: "slow",
    Fault.FLAPPING: "down",
    Fault.SHORT: "cut",
    Fault.RESET: "reset",
    Fault.LATE: "late",
    Fault.PAGE: "page",
    Fault.WRONG_TAG: "tag",
    Fault.STALE: "stale",
}
LATE = 2.0
"""Seconds that a late answer takes."""
PAGES = {
    "page": b"<html><head><title>502</title></head><body><h1>The gateway is busy</h1></body></html>",
    "torn-page": b"<!doctype html><p>The gateway is busy<br>try later",
}
"""An error page that is XML and so reads as an answer without content, and one that is none."""
TAG = re.compile(r"(&#34;|&quot;|\")[0-9a-f]{32}(-\d+)?(&#34;|&quot;|\")")


class LyingStore(FaultyStore):
    """Hands requests on to a store, and its answers back, spoilt as the plan says."""

    listings: dict[str, tuple[int, dict[str, str], bytes]]
    """The first answer to each listing, given again where one is stale."""

    def give(self, fault: str | None, body: bytes) -> None:
        """Answer a request, whose body was read, with a fault or without."""
        if fault == "late":
            time.sleep(LATE)
            super().give(None, body)
        elif fault in PAGES:
            page = PAGES[fault]
            self._send(200, {"Content-Type": "text/html"}, b"" if self.command == "HEAD" else page, len(page))
        elif fault in {"tag", "stale", "cut"}:
            self._mistaken(fault, body)
        else:
            super().give(fault, body)

    def _mistaken(self, fault: str, body: bytes) -> None:
        status, headers, data = self._ask(body)
        told = int(headers.pop("Content-Length", 0)) if self.command == "HEAD" else len(data)
        is_listing = "list-type=2" in self.path
        if fault == "stale" and is_listing:
            status, headers, data = self.listings.setdefault(self.path, (status, headers, data))
            told = len(data)
        elif fault == "tag":
            wrong = f'"{random.getrandbits(128):032x}"'
            headers = {name: wrong if name.lower() == "etag" else value for name, value in headers.items()}
            if is_listing:
                data = TAG.sub(wrong.replace('"', "&#34;"), data.decode()).encode()
                told = len(data)
        elif fault == "cut" and self.command == "GET" and not is_listing:
            data = data[: len(data) // 2]  # and its length says so: nothing tells but what was asked for
            told = len(data)
        self._send(status, headers, data, told)


class Door:
    """What a proxy does at the moment, and what was read through it.

    Attributes:
        port: where it listens.
        lie: the fault of some answers; None for none.
        share: of the answers that are spoilt.
        spoilt: how many were.
        reads: GETs of each object's bytes, by path, since they were last taken.
    """

    def __init__(self) -> None:
        self.port = 0
        self.lie: Fault | None = None
        self.share = 0.0
        self.spoilt = 0
        self.reads: Counter[str] = Counter()
        self._chance = random.Random(0)
        self._lock = threading.Lock()

    def plan(self, method: str, path: str) -> str | None:
        """Count a request, and choose the fault of its answer."""
        with self._lock:
            if method == "GET" and "?" not in path:
                self.reads[unquote(path)] += 1
            # stale listings are stale for all of a run, or each would contradict the next
            spoils = self.lie is not None and (self.lie is Fault.STALE or self._chance.random() < self.share)
            self.spoilt += spoils
            return LIES[self.lie] if self.lie is not None and spoils else None

    def tell_lies(self, lie: Fault | None, share: float, seed: int) -> None:
        """Begin to spoil answers, or end it."""
        with self._lock:
            self.lie, self.share, self._chance = lie, share, random.Random(seed)

    def take_reads(self) -> Counter[str]:
        """Return the GETs since the last call, by path."""
        with self._lock:
            reads, self.reads = self.reads, Counter()
            return reads


@contextmanager
def door_of(port: int) -> Iterator[Door]:
    """Run a proxy before the store at a port."""
    door = Door()
    kind = type("Lying", (LyingStore,), {"listings": {}})
    with faulty(port, door.plan, kind) as found:
        door.port = found
        yield door
