"""What the scan's tests share: one local Ray, one tiny detector, and a scan in a line."""

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
def local_ray() -> Iterator[None]:
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
