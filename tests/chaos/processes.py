"""Processes of one run: found by a mark in their environment, so that no other process of the machine is ever touched."""

import os
import signal
import time
import uuid
from collections.abc import Iterator

import psutil

MARK = "MOLE_CHAOS"
"""The environment variable that a run, and what it starts, can be found by."""
GONE_WITHIN = 120.0
"""Seconds that what a killed driver leaves behind may take to end by itself."""
SCORER, READER, RAYLET = "Scorer", "ReadImageSource", "raylet"
"""Words in the title of a process that tell what it does; here alone it is said how a run's processes are called."""


def new_mark() -> str:
    """Make the mark of a run that this process starts."""
    return f"{os.getpid()}-{uuid.uuid4().hex}"


def marked(mark: str) -> Iterator[psutil.Process]:
    """Find the living processes of a run, by its mark or by how marks begin."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


def titled(driver: int, word: str) -> list[psutil.Process]:
    """Find the descendants of a driver whose title has a word."""
    found = []
    try:
        children = psutil.Process(driver).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for process in children:
        try:
            title = process.cmdline()
        except psutil.Error:
            continue
        # Ray's workers tell what they do in their title; its daemons are programs
        if title and (word in title[0] or title[0].rpartition("/")[2] == word):
            found.append(process)
    return found


def send(processes: list[psutil.Process], number: signal.Signals) -> int:
    """Send a signal to processes, and count those that were there to take it."""
    taken = 0
    for process in processes:
        try:
            process.send_signal(number)
            taken += 1
        except psutil.NoSuchProcess:
            continue
    return taken


def outlived(mark: str, within: float = GONE_WITHIN) -> list[str]:
    """Wait until all processes of a run are gone; those that stay are killed.

    Returns:
        The titles of those that had to be killed.
    """
    end = time.monotonic() + within
    while (left := list(marked(mark))) and time.monotonic() < end:
        time.sleep(0.5)
    titles = []
    for process in left:
        try:
            titles.append(" ".join(process.cmdline())[:120] or process.name())
        except psutil.Error:
            continue
    send(left, signal.SIGKILL)
    return titles


def kill_all() -> None:
    """Kill every process of every run that this process started."""
    send(list(marked(f"{os.getpid()}-")), signal.SIGKILL)


def environment(mark: str, **more: str) -> dict[str, str]:
    """Make the environment of a run."""
    return os.environ | {MARK: mark, "RAY_worker_niceness": "0", "PYTHONFAULTHANDLER": "1"} | more
