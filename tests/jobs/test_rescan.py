"""The rescan command: its output, how a limit ends it, and how it resumes."""

import json
from pathlib import Path

import pytest

from jobs import console
from tests.pictures import samples, write_shard
from tests.verdicts import verdicts_of


def test_a_rescan_ends_after_its_images_or_hours_and_the_same_command_goes_on(
    local_ray: None, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = verdicts_of(write_shard(tmp_path / "a.tar", samples(20)), table=tmp_path / "table")
    command = ["rescan", str(table), "--model", str(tiny)]
    assert console.main([*command, "--max-hours", "0.0000001", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["law"], found["stopped"], found["written"], found["left"]) == ("open", "--max-hours", 0, 20)

    assert console.main([*command, "--max-images", "7"]) == 0
    told = capsys.readouterr().out
    assert "7 rows written" in told and "completeness check passed" not in told
    assert "not complete: --max-images ended this run; 13 images left; run the same command again" in told
    assert "generated: a probability from 0.1" in told and "law" not in told

    assert console.main([*command, "--max-images", "13"]) == 0
    told = capsys.readouterr().out
    assert (
        "13 rows written" in told
        and "completeness check passed: each selected image has exactly one row of this model" in told
    )
    assert not (table / "_lease.json").exists()
