"""A decoder crash costs one image: its row names the signal, every other image has its verdict, the exit code is 0."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.scan.table.views import ask
from tests.pictures import samples, write_shard
from tests.poison import MARK, poisoned


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--num-actors", "1"]], ids=["in this process", "on Ray"])
def test_an_image_that_kills_its_decoder_is_one_crashed_row_of_a_scan_that_ends_well(
    where: list[str], root: Path, tiny: Path, tmp_path: Path
) -> None:
    members = samples(40)
    members["000017.jpg"] += MARK
    write_shard(tmp_path / "0.tar", members)
    write_shard(tmp_path / "1.tar", samples(20, start=40))
    output = tmp_path / "verdicts"
    flags = [
        "--source",
        f"{tmp_path}/*.tar",
        "--output",
        str(output),
        "--model",
        str(tiny),
        "--json",
        "--log-json",
        *where,
    ]
    environment = os.environ | {"PYTHONPATH": poisoned(tmp_path / "site")}
    ended = subprocess.run(
        [sys.executable, "jobs/scan.py", *flags], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)  # what Ray tells of dead workers stands elsewhere
    assert summary["statuses"] == {"ok": 59, "crashed": 1} and summary["law"] == "kept"
    [culprit] = ask(str(output), "FROM faults").to_pylist()
    assert (culprit["key"], culprit["status"], culprit["verdict"]) == ("000017", "crashed", None)
    assert "SIGSEGV (signal 11)" in culprit["detail"] and culprit["content_hash"] is not None
    record = json.loads(Path(summary["run"]).read_text())
    lines = [json.loads(line) for line in ended.stderr.splitlines()]  # Ray tells of dead workers, and that is JSON too
    assert (lines[-1]["event"], lines[-1]["record"]) == (f"run: {summary['run']}", summary["run"])
    assert {(line["run"], line["job"]) for line in lines} == {(record["id"], "scan")}
    assert {"unit read", "part written"} <= {line["event"] for line in lines}
    assert record["verdicts"] == summary["verdicts"] and record["progress"][-1][1] == 60
    assert (record["exit_code"], record["error"], record["written"], record["faults"]) == (0, None, 60, 1)
