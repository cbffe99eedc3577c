"""Isolation: a call in a child process of its own, so that what kills a process is told, and costs that call alone.

A server, one process with one thread that has imported what the calls need, forks a child for each call. Ray's workers
have threads whose locks a fork would inherit, so they are not forked themselves.
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
"""Of a core, for one call: thirty times what the worst input within the bounds is to take (docs/reliability.md)."""
MOST_MEMORY = 4 << 30
"""Bytes that a child may add to what its server holds; beyond it an allocation fails."""
COMMAND = ("-m", "pipeline.runtime.isolation")
LENGTH = struct.Struct(">Q")

Call = Callable[..., Iterable[Any]]
"""A function of a module, so that it can be named to another process; its results are sent one by one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Attributes:
        results: those that came before its end.
        signal: the signal that ended its process; None if none did.
        code: with which it ended itself before the call was over; None if the call came to its end.
    """

    results: list[Any]
    signal: int | None = None
    code: int | None = None

    @property
    def died(self) -> bool:
        """Whether the process ended before the call did."""
        return self.signal is not None or self.code is not None

    @property
    def words(self) -> str:
        """Name the signal, and what usually sends it."""
        if self.signal is None:
            return f"its process ended itself with exit code {self.code}"
        name = signal.Signals(self.signal).name
        causes = {"SIGXCPU": f", after {CPU_SECONDS} s of a core", "SIGKILL": ", as the kernel does for want of memory"}
        return f"its process was ended by {name} (signal {self.signal}){causes.get(name, '')}"


class Server:
    """A process that forks a child for each call.

    Args:
        modules: what it imports first, so that no child has to.
    """

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *COMMAND, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def call(self, function: Call, *arguments: object) -> Outcome:
        """Call a function in a child of its own.

        Raises:
            OSError: the server itself is gone.
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
        """End the server; its children are gone with their calls."""
        cast(BinaryIO, self._process.stdin).close()
        self._process.wait()
        cast(BinaryIO, self._process.stdout).close()


@lru_cache
def server(*modules: str) -> Server:
    """Return this process's one server that has imported these; it ends with the process."""
    return Server(*modules)


@contextmanager
def bounded_time() -> Iterator[None]:
    """End this process with SIGXCPU where what is inside takes more than `CPU_SECONDS` of a core."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(time.process_time()) + 1 + CPU_SECONDS
    if hard != resource.RLIM_INFINITY and most > hard:
        most = hard
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer calls until there are no more."""
    for function, arguments in _messages(requests):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(os.fdopen(writing, "wb"), function, arguments)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            told = list(_messages(stream))
        _, status = os.waitpid(child, 0)
        results = [value for kind, value in told if kind == "result"]
        errors = [value for kind, value in told if kind == "error"]
        over = any(kind == "over" for kind, _ in told)
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if over or errors or by is not None else os.WEXITSTATUS(status)
        _send(answers, (results, by, code, errors[0] if errors else None))


def _child(stream: BinaryIO, function: Call, arguments: tuple[object, ...]) -> None:
    """Make one call and end the process, whatever becomes of the call."""
    held = _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (held + MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    try:
        with bounded_time():
            for result in function(*arguments):
                _send(stream, ("result", result))
        _send(stream, ("over", None))
    except Exception as error:  # noqa: BLE001 - sent to who called, who raises it there
        _send(stream, ("error", error))
    finally:
        os._exit(1)


def _data_bytes() -> int:
    """Return how much memory this process holds that RLIMIT_DATA counts."""
    with open("/proc/self/status") as status:
        facts = dict(line.split(":", 1) for line in status if ":" in line)
    return int(facts["VmData"].split()[0]) << 10


def _send(stream: BinaryIO, message: object) -> None:
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _messages(stream: BinaryIO) -> Iterator[Any]:
    """Read messages until the stream ends, or ends within one."""
    while len(header := stream.read(LENGTH.size)) == LENGTH.size:
        data = stream.read(LENGTH.unpack(header)[0])
        try:
            yield pickle.load(io.BytesIO(data))
        except EOFError:
            return


def main(modules: list[str]) -> None:
    """Serve on the standard streams until they end, whatever the terminal's Ctrl-C says; calls print to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for module in modules:
        import_module(module)
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
