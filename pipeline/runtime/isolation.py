"""Isolation: runs each call in a child process, so that a crash is reported and costs only that call.

A fork server, a single-threaded process that has imported what the calls need, forks a child for each call. Ray's
workers themselves are not forked, since a fork would inherit the locks of their threads.
"""

import io
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, BinaryIO, cast

CPU_SECONDS = 60
"""CPU seconds of a result of a call: thirty times what the worst input may take (docs/reliability.md)."""
MAX_MEMORY = 4 << 30
"""Bytes that a child may allocate beyond its server's memory; further allocations fail."""
COMMAND = ("-m", "pipeline.runtime.isolation")
LENGTH = struct.Struct(">Q")
END = object()

Call = Callable[..., Iterable[Any]]
"""A module-level function, which can be pickled; its results are sent one by one."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call.

    Attributes:
        results: the results sent before its end.
        signal: the signal that ended its process; None if none did.
        code: exit code of a process that exited before the call completed; None if it completed.
    """

    results: list[Any]
    signal: int | None = None
    code: int | None = None

    @property
    def died(self) -> bool:
        """Whether the process ended before the call completed."""
        return self.signal is not None or self.code is not None

    @property
    def cause(self) -> str:
        """The signal and its usual cause, or the exit code, in words."""
        if self.signal is None:
            return f"its process exited with code {self.code}"
        name = signal.Signals(self.signal).name
        causes = {
            "SIGXCPU": f", after {CPU_SECONDS} CPU seconds",
            "SIGKILL": ", as the kernel does when memory runs out",
        }
        return f"its process was ended by {name} (signal {self.signal}){causes.get(name, '')}"


class ForkServer:
    """A fork server: a process that forks a child for each call.

    Args:
        modules: modules that it imports, so that the children need not.
    """

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *COMMAND, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def call(self, function: Call, *arguments: object) -> Outcome:
        """Call a function in a child process.

        Raises:
            OSError: the server itself has ended.
            Exception: what the function raised.
        """
        _send(cast(BinaryIO, self._process.stdin), (function, arguments))
        answer = next(_messages(cast(BinaryIO, self._process.stdout)), None)
        if answer is None:
            raise OSError(f"the process that isolates images ended with {self._process.wait()}; start the run again")
        outcome, error = Outcome(*answer[:3]), answer[3]
        if error is not None:
            raise error
        return outcome

    def close(self) -> None:
        """End the server."""
        cast(BinaryIO, self._process.stdin).close()
        self._process.wait()
        cast(BinaryIO, self._process.stdout).close()


@lru_cache
def fork_server(*modules: str) -> ForkServer:
    """Return this process's server with these modules, started on first use; it ends with the process."""
    return ForkServer(*modules)


@contextmanager
def limit_cpu_time() -> Iterator[None]:
    """Limit the CPU time of the block: beyond `CPU_SECONDS` the process ends with SIGXCPU."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(time.process_time()) + 1 + CPU_SECONDS
    if hard != resource.RLIM_INFINITY and limit > hard:
        limit = hard
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Serve calls until the requests end."""
    for function, arguments in _messages(requests):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(os.fdopen(writing, "wb"), function, arguments)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            messages = list(_messages(stream))
        _, status = os.waitpid(child, 0)
        results = [value for kind, value in messages if kind == "result"]
        errors = [value for kind, value in messages if kind == "error"]
        completed = any(kind == "over" for kind, _ in messages)
        signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if completed or errors or signal_number is not None else os.WEXITSTATUS(status)
        _send(answers, (results, signal_number, code, errors[0] if errors else None))


def _child(stream: BinaryIO, function: Call, arguments: tuple[object, ...]) -> None:
    """Run one call and exit."""
    held = _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (held + MAX_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    try:
        with limit_cpu_time():
            results = iter(function(*arguments))
        while True:
            with limit_cpu_time():
                result = next(results, END)
            if result is END:
                break
            _send(stream, ("result", result))
        _send(stream, ("over", None))
    except Exception as error:  # noqa: BLE001 - sent to the caller, which raises it
        _send(stream, ("error", error))
    finally:
        os._exit(1)


def _data_bytes() -> int:
    """Return the memory of this process that RLIMIT_DATA counts, in bytes."""
    with open("/proc/self/status") as status:
        facts = dict(line.split(":", 1) for line in status if ":" in line)
    return int(facts["VmData"].split()[0]) << 10


def _send(stream: BinaryIO, message: object) -> None:
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _messages(stream: BinaryIO) -> Iterator[Any]:
    """Read messages until the stream ends, possibly within one."""
    while len(header := stream.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(header)
        data = stream.read(length)
        if len(data) < length:
            return
        yield pickle.load(io.BytesIO(data))


def main(modules: list[str]) -> None:
    """Serve on the standard streams until they end, ignoring Ctrl-C; the calls' output goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for module in modules:
        import_module(module)
    try:
        _serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # the caller was killed during a call, and nobody waits for the answer
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
