"""What the tests of this folder share: a scan on the tests' Ray, and both executors, for what both must keep."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.scan.executor import Executor
from pipeline.scan.flow import scan
from pipeline.scan.local_executor import in_this_process
from pipeline.scan.ray_executor import on_ray
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.telemetry.terminal import ProgressDisplay

Scan = Callable[..., Summary]
Start = Callable[[], AbstractContextManager[Executor]]
BATCH_SIZE, ROWS_PER_FILE = 4, 8


@pytest.fixture(scope="session")
def run(local_ray: None, tiny: Path) -> Scan:
    """Scan on the tests' Ray with the tiny detector."""

    def scan_now(*sources: str | Path, output: str | Path, **more: Any) -> Summary:
        given: dict[str, Any] = {"model": str(tiny), "rows_per_file": 32} | more
        settings = ScanSettings(source=[str(source) for source in sources], output=str(output), **given)
        return scan(settings, ProgressDisplay(quiet=True))

    return scan_now


@pytest.fixture(params=["here", "ray"])
def start(request: pytest.FixtureRequest) -> Start:
    """Start an executor: in this process, then on the tests' Ray."""
    given = {"batch_size": BATCH_SIZE, "rows_per_file": ROWS_PER_FILE}
    settings = ScanSettings.model_validate({"source": ["none"], "output": "none", **given})
    if request.param == "here":
        return lambda: in_this_process(settings)
    request.getfixturevalue("local_ray")
    return lambda: on_ray(settings, [], ProgressDisplay(quiet=True))
