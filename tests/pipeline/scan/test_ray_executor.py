"""Ray executor: scorers outlive the waves of a run, what tasks share ends with its wave, a block fits a file."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.data import DataContext

from pipeline.scan.monitor import STARTING
from pipeline.scan.ray_executor import ROW_BYTES, on_ray
from pipeline.scan.scoring_actors import scoring_actors
from pipeline.scan.settings import ScanSettings
from pipeline.scan.wave import execute_wave
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import samples, write_shard
from tests.pipeline.scan.conftest import Scan

SETTINGS = ScanSettings(source=["none"], output="none", rows_per_file=64)


def test_waves_of_a_run_share_its_scorers(run: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_shard(tmp_path / "shards" / f"{number}.tar", samples(5, start=5 * number))
    started: list[object] = []
    waves: list[int] = []

    def counted(*arguments: Any) -> AbstractContextManager[Any]:
        started.append(arguments)
        return scoring_actors(*arguments)

    def executed(*arguments: Any, **more: Any) -> int:
        waves.append(execute_wave(*arguments, **more))
        return waves[-1]

    monkeypatch.setattr("pipeline.scan.ray_executor.scoring_actors", counted)
    monkeypatch.setattr("pipeline.scan.flow.execute_wave", executed)
    monkeypatch.setattr("pipeline.scan.flow.MIN_WAVE_TASKS", 1)
    monkeypatch.setattr("pipeline.scan.flow.WAVE_TASKS_PER_CORE", 0)
    assert run(f"{tmp_path}/shards/*.tar", output=tmp_path / "out").law == "kept"
    assert (waves, len(started)) == ([5, 5, 5], 1)


def is_gone(ask: Callable[[], object]) -> bool:
    """Ask an actor until it is gone, since its end takes a moment; tell whether it went."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            ask()
        except ray.exceptions.RayActorError:
            return True
        time.sleep(0.05)
    return False


def test_what_the_tasks_of_a_wave_share_ends_with_the_wave(local_ray: None) -> None:
    with on_ray(SETTINGS, [], ProgressDisplay(quiet=True)) as executor:
        with executor.quota(3) as quota, executor.claims() as claims:
            assert quota.left() == 3 and claims.claim([b"a"], ["u#0"]) == [True]
        assert is_gone(quota.left) and is_gone(lambda: claims.claim([b"a"], ["u#0"]))


def test_a_block_has_no_more_rows_than_a_file_of_the_table(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    context = DataContext.get_current()
    monkeypatch.setattr(context, "target_max_block_size", 1 << 40)
    with on_ray(SETTINGS, [], ProgressDisplay(quiet=True)) as executor:
        assert context.target_max_block_size == executor.rows_per_file * ROW_BYTES == 64 * ROW_BYTES


def test_that_ray_starts_is_shown(local_ray: None) -> None:
    with ProgressDisplay(quiet=True) as progress, on_ray(SETTINGS, [], progress):
        assert progress.phase == STARTING
