"""Fixtures of the scan's tests: a scan in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.telemetry.terminal import ProgressDisplay

Scan = Callable[..., Summary]


@pytest.fixture(scope="session")
def run(local_ray: None, tiny: Path) -> Scan:
    """Scan on the tests' Ray with the tiny detector."""

    def scan_now(*sources: str | Path, output: str | Path, **more: Any) -> Summary:
        given: dict[str, Any] = {"model": str(tiny), "rows_per_file": 32} | more
        settings = ScanSettings(source=[str(source) for source in sources], output=str(output), **given)
        return scan(settings, ProgressDisplay(quiet=True))

    return scan_now
