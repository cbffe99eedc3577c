"""What the scan's tests share: one local Ray, an S3 server, one tiny detector, and a scan in a line."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline import cluster
from pipeline.scan.flow import Summary, scan
from pipeline.settings import ScanSettings
from pipeline.telemetry import Ticker, quiet_ray
from tests.tiny import tiny_checkpoint

Scan = Callable[..., Summary]


@pytest.fixture(scope="session")
def store() -> Iterator[int]:
    """An S3 server on loopback, and the environment that every client of this process and of its Ray finds it by."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield port
    server.terminate()
    server.wait()


@pytest.fixture(scope="session")
def local_ray(store: int) -> Iterator[None]:
    """A Ray of the tests' own, started once."""
    quiet_ray(logs=False)
    with cluster.connected("local", logs=False):
        yield
    assert not ray.is_initialized()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector's folder."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def run(local_ray: None, tiny: Path) -> Scan:
    """Scan on the tests' Ray with the tiny detector."""

    def scan_now(*sources: str | Path, output: str | Path, **more: Any) -> Summary:
        names = [str(source) for source in sources]
        settings = ScanSettings(source=names, output=str(output), model=str(tiny), rows_per_file=32, **more)
        return scan(settings, Ticker(quiet=True))

    return scan_now
