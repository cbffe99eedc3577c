"""Summary: a scan's result is plain enough for JSON, and its counts add up to its images."""

import dataclasses
import json
from pathlib import Path

import pytest

from mole.config import describe
from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, samples, write_shard


@pytest.fixture
def shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shard of four pictures and every fault, for a scan in this process, as if no test had connected it to Ray."""
    monkeypatch.setattr("pipeline.scan.local_executor.is_connected", lambda: False)
    return write_shard(tmp_path / "a.tar", samples(4) | faulty())


def scanned(shard: Path, model: Path, limit: int | None = None) -> Summary:
    """Scan a shard into the folder beside it."""
    output = str(shard.parent / "out")
    settings = ScanSettings(source=[str(shard)], output=output, model=str(model), batch_size=4, limit=limit)
    return scan(settings, ProgressDisplay(quiet=True))


def test_a_summary_is_plain_enough_for_json_and_its_counts_add_up(shard: Path, tiny: Path) -> None:
    summary = scanned(shard, tiny)
    told = json.loads(json.dumps(dataclasses.asdict(summary)))
    assert Summary(**told | {"thresholds": tuple(told["thresholds"])}) == summary
    assert summary.images == summary.written == sum(summary.statuses.values()) == 12
    assert sum(summary.verdicts.values()) == summary.statuses["ok"] == 6
    assert (summary.model, summary.table) == (describe(tiny).digest, f"{shard.parent}/out/model={summary.model}")
    assert (summary.law, summary.stopped, summary.units_left, summary.images_left) == ("kept", None, 0, 0)
    low, high = summary.thresholds
    assert 0 < low < high < 1


def test_a_run_that_a_limit_ended_says_which_and_what_is_left(shard: Path, tiny: Path) -> None:
    begun = scanned(shard, tiny, limit=5)
    assert (begun.law, begun.stopped, begun.written, begun.units_left) == ("open", "--max-images", 5, 1)
    assert begun.images_left is None, "nobody has read the shard to its end"
    rest = scanned(shard, tiny)
    assert (rest.law, rest.stopped, rest.written, rest.images) == ("kept", None, 7, 12)
