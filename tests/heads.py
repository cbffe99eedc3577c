"""A Ray head of a test's own, as `ray start --head` starts it: commands join it, and `ray job submit` sends jobs to it."""

import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

RAY = str(Path(sys.executable).parent / "ray")
READY = 300.0
"""Seconds until a head has started and its job server answers, on a busy machine."""
STARTED = "Ray runtime started."


def free_port() -> int:
    """Find a port that nobody holds, below those that Ray's own parts are given as they start."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as held:
            if held.connect_ex(("127.0.0.1", port)) != 0:
                return port


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes:
        folder: where it keeps its files.
        port: where commands join it.
        server: the port of its job server.
        environment: of a command that joins it or sends a job to it.
        repository: where such a command runs.
    """

    folder: Path
    port: int
    server: int
    environment: dict[str, str]
    repository: Path

    def submit(self, *command: str, name: str) -> subprocess.CompletedProcess[str]:
        """Send a job to it, and wait for its end."""
        place = ["--address", f"http://127.0.0.1:{self.server}", "--working-dir", ".", "--submission-id", name]
        sent = [RAY, "job", "submit", *place, "--", *command]
        end = time.monotonic() + READY
        while True:
            told = subprocess.run(
                sent, cwd=self.repository, env=self.environment, capture_output=True, text=True, check=False
            )
            up = "Failed to connect to Ray" not in told.stderr and "No available agent" not in told.stdout + told.stderr
            if up or time.monotonic() > end:
                return told
            time.sleep(1)

    def scrape(self) -> str:
        """Read what the exporters serve that its file for Prometheus names."""
        [group] = json.loads((self.folder / "prom_metrics_service_discovery.json").read_text())
        told = []
        for target in group["targets"]:
            with suppress(URLError):  # two of them have a fixed port, which another Ray of this machine may hold
                told.append(urlopen(f"http://{target}/metrics", timeout=10).read().decode())
        return "".join(told)


@contextmanager
def ray_head(repository: Path, **environment: str) -> Iterator[Head]:
    """Start a head that is gone at the end.

    Args:
        repository: where jobs are sent from.
        environment: variables of its workers and jobs.
    """
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
    port, server = free_port(), free_port()
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | environment
    own |= {
        "PATH": f"{Path(RAY).parent}{os.pathsep}{own['PATH']}",  # the job's `python` is the head's
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",  # as much of a busy machine as the command that waits for them
    }
    start = ["--head", "--block", "--num-cpus", "2", "--temp-dir", folder, "--disable-usage-stats"]
    start += ["--object-store-memory", str(300 << 20)]
    # The agent that takes jobs has a fixed port otherwise, and does without one where another Ray of this machine holds it.
    agent = ["--dashboard-agent-listen-port", str(free_port())]
    ports = ["--port", str(port), "--dashboard-port", str(server), "--ray-client-server-port", str(free_port()), *agent]
    log = Path(folder) / "start.log"
    with log.open("wb") as told:
        running = subprocess.Popen(
            [RAY, "start", *start, *ports], env=own, stdout=told, stderr=told, start_new_session=True
        )
    try:
        _wait_for(log, running)
        yield Head(Path(folder), port, server, own, repository)
    finally:
        with suppress(psutil.NoSuchProcess):  # one that did not start has ended its own
            family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
            for process in family:
                if process.is_running():
                    process.kill()
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(log: Path, running: subprocess.Popen[bytes]) -> None:
    """Wait until the head says that all of it has started.

    Raises:
        AssertionError: it has ended, or takes too long.
    """
    end = time.monotonic() + READY
    while time.monotonic() < end and running.poll() is None:
        if STARTED in log.read_text():
            return
        time.sleep(0.2)
    raise AssertionError(f"Ray did not start, exit code {running.poll()}: {log.read_text()[-2000:]}")
