"""Each command of a lake, as the README writes it, against a real S3 server: scan, shadow, rescan, tables, compact, estimate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from jobs import compact, estimate, rescan, scan, tables
from pipeline.registry import Registry
from tests.pictures import samples, write_shard
from tests.tiny import tiny_checkpoint

Told = Callable[..., Any]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], local_ray: None) -> Told:
    """Run a command with `--json`, and read what it printed."""

    def run(command: Callable[[list[str]], int], *arguments: str) -> Any:
        assert command([*arguments, "--json"]) == 0, capsys.readouterr().err
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_a_lake_is_scanned_shadowed_promoted_rescanned_asked_compacted_and_forecast(
    told: Told, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("s3")
    fs.mkdir("wide")
    for number in range(2):
        shard = write_shard(tmp_path / "s.tar", samples(20, start=20 * number))
        fs.pipe_file(f"wide/shards/{number}.tar", shard.read_bytes())
    registry = Registry("s3://wide/models")
    first, second = (
        registry.add(tiny_checkpoint(tmp_path / str(adapters), adapters=adapters), {}) for adapters in (1, 2)
    )
    registry.promote(first, "the test", replacing=None)
    monkeypatch.setenv("MOLE_RESCAN_REGISTRY", "s3://wide/models")
    lake = ("--source", "s3://wide/shards/*.tar", "--output", "s3://wide/verdicts/", "--rows-per-file", "8")

    [forecast] = told(estimate.main, *lake[:2], "--model", str(tiny))
    assert {line["what"]: line["amount"] for line in forecast}["images"] == 40
    [done] = told(scan.main, *lake, "--model", "s3://wide/models", "--shadow", str(tiny))
    assert (done["model"], done["images"], done["law"]) == (first, 40, "kept")

    table = ("--table", "s3://wide/verdicts/")
    registry.promote(second, "better", replacing=first)
    [part] = told(rescan.main, *table, "--model", second, "--newer-than", "2026-11-01", "--sample", "0.3")
    assert 0 < part["chosen"] == part["written"] < 40
    [rest] = told(rescan.main, *table, "--model", "promoted", "--where", "status = 'ok'")
    assert part["written"] + rest["written"] == 40
    [again] = told(rescan.main, *table, "--model", "promoted")
    assert again["written"] == 0 and again["law"] == "kept"

    before = told(tables.main, *table, "--view", "progress")
    assert {row["model"]: row["images"] for row in before}[second] == 40 and len(before) == 3
    [joined] = told(compact.main, *table, "--grace", "0")
    assert all(one["rows"] == 40 and one["before"] > one["after"] == 1 for one in joined)
    assert told(tables.main, *table, "--view", "progress") == before
