"""Cluster: a Ray of several nodes on this machine, whose nodes can be killed one by one."""

import secrets
import subprocess
import sysconfig
from pathlib import Path
from signal import SIGKILL

from tests.chaos import processes
from tests.stores import free_port

STORE = 80 << 20
"""Bytes of a node's object store; Ray accepts no less than 75 MiB."""


class Nodes:
    """A head, and nodes that join it, each with the processes that carry its mark.

    Args:
        folder: takes their temporary files; its name is short.

    Attributes:
        address: of the head.
        token: what whoever joins or asks this Ray has in its environment; one that lies in the home of a user would
            be asked for by a head alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._marks: list[str] = []
        self._port = free_port()
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.address = f"127.0.0.1:{self._port}"

    def add(self, *, cores: int) -> None:
        """Start a node; the first one is the head.

        Raises:
            RuntimeError: Ray does not start, in its words.
        """
        mark = processes.new_mark()
        own = ["--head", f"--port={self._port}", "--include-dashboard=false"]
        joins = own if not self._marks else [f"--address={self.address}"]
        program = Path(sysconfig.get_path("scripts")) / "ray"
        command = [program, "start", *joins, f"--num-cpus={cores}", f"--object-store-memory={STORE}", "--num-gpus=0"]
        command += ["--node-ip-address=127.0.0.1"]
        if not self._marks:
            command.append(f"--temp-dir={self._folder / 'ray'}")
        self._marks.append(mark)
        started = subprocess.run(
            [*map(str, command), "--disable-usage-stats"],
            env=processes.environment(mark, TMPDIR=str(self._folder), **self.token),
            check=False,
            capture_output=True,
            text=True,
        )
        if started.returncode:
            raise RuntimeError(f"{started.stdout[-2000:]}\n{started.stderr[-2000:]}")

    def kill(self, number: int) -> int:
        """Kill every process of a node, and count them."""
        return processes.send(list(processes.marked(self._marks[number])), SIGKILL)

    def __len__(self) -> int:
        return len(self._marks)

    def close(self) -> None:
        """Kill every node."""
        for number in range(len(self._marks)):
            self.kill(number)
