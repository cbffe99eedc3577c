"""A call in a process of its own: its results come back, its error is raised here, and what kills it is named."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime import isolation
from pipeline.runtime.isolation import ForkServer, limit_cpu_time


def numbers(count: int) -> Iterator[int]:
    """Yield some numbers."""
    yield from range(count)


def dies(by: int) -> Iterator[int]:
    """Yield one result and end by a signal."""
    yield 1
    os.kill(os.getpid(), by)


def fails() -> Iterator[int]:
    """Raise an error."""
    yield 1
    raise ValueError("no such thing")


def leaves(code: int) -> Iterator[int]:
    """End the process without a word."""
    yield 1
    os._exit(code)


def computes() -> Iterator[int]:
    """Never end."""
    while True:
        pass


def allocates(count: int) -> Iterator[int]:
    """Take memory."""
    yield len(bytearray(count))


def processes() -> Iterator[int]:
    """Name this process."""
    yield os.getpid()


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """A server that has imported this module."""
    made = ForkServer(__name__)
    yield made
    made.close()


def lingers(started: str) -> Iterator[int]:
    """Say that it has begun, and take a moment."""
    Path(started).touch()
    time.sleep(0.5)
    yield 1


def test_results_come_back_in_order_each_call_from_a_process_of_its_own(server: ForkServer) -> None:
    outcome = server.call(numbers, 3)
    assert (outcome.results, outcome.signal) == ([0, 1, 2], None)
    first, second = (server.call(processes).results[0] for _ in range(2))
    assert len({first, second, os.getpid()}) == 3


@pytest.mark.parametrize("by", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_what_kills_a_call_is_named_and_the_next_call_is_answered(server: ForkServer, by: signal.Signals) -> None:
    outcome = server.call(dies, by)
    assert (outcome.results, outcome.signal) == ([1], by)
    assert by.name in outcome.cause and f"signal {by.value}" in outcome.cause
    assert server.call(numbers, 1).results == [0]


def test_a_calls_own_error_is_raised_here(server: ForkServer) -> None:
    with pytest.raises(ValueError, match="no such thing"):
        server.call(fails)


@pytest.mark.parametrize("code", [0, 9])
def test_a_call_that_ends_its_process_is_told_from_one_that_is_over(server: ForkServer, code: int) -> None:
    outcome = server.call(leaves, code)
    assert outcome.died and (outcome.results, outcome.code) == ([1], code)
    assert f"exited with code {code}" in outcome.cause
    assert not server.call(numbers, 0).died


def test_a_call_that_computes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "CPU_SECONDS", 1)
    code = f"import pipeline.runtime.isolation as i, sys; i.CPU_SECONDS = 1; i.main(['{__name__}'])"
    monkeypatch.setattr(isolation, "COMMAND", ("-c", code))
    server = ForkServer()
    began = time.process_time()
    outcome = server.call(computes)
    server.close()
    assert outcome.signal == signal.SIGXCPU and "after 1 CPU seconds" in outcome.cause
    assert time.process_time() - began < 1


def test_memory_beyond_the_bound_is_refused_to_a_call(server: ForkServer) -> None:
    assert server.call(allocates, 1 << 20).results == [1 << 20]
    with pytest.raises(MemoryError):
        server.call(allocates, isolation.MAX_MEMORY + (64 << 20))


def test_the_bound_on_time_is_taken_away_again() -> None:
    before = resource.getrlimit(resource.RLIMIT_CPU)
    with limit_cpu_time():
        soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
        assert 0 < soft - time.process_time() <= isolation.CPU_SECONDS + 2
    assert resource.getrlimit(resource.RLIMIT_CPU) == before


def test_a_server_whose_caller_is_killed_during_a_call_ends_without_a_word(root: Path, tmp_path: Path) -> None:
    code = (
        "from pipeline.runtime.isolation import ForkServer; "
        f"from {__name__} import lingers; ForkServer('{__name__}').call(lingers, '{tmp_path}/started')"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE)
    while not (tmp_path / "started").exists():
        assert caller.poll() is None
        time.sleep(0.02)
    caller.kill()
    _, said = caller.communicate(timeout=60)  # until the server, which inherited the pipe, has ended too
    assert said == b""
