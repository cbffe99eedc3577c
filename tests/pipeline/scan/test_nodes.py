"""On a cluster of several nodes each stage runs where it should, and every image has one row."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as pads

from tests.pictures import faulty, samples, write_shard


def test_images_are_prepared_where_cores_are_and_scored_where_the_resource_is(
    root: Path, tiny: Path, tmp_path: Path
) -> None:
    for number in range(3):
        write_shard(tmp_path / f"{number}.tar", samples(40, start=40 * number))
    write_shard(tmp_path / "3.tar", faulty())
    command = [sys.executable, "-m", "tests.nodes", f"{tmp_path}/*.tar", str(tmp_path / "out"), str(tiny)]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=400, check=False)
    assert told.returncode == 0, told.stderr[-3000:]
    found = json.loads(told.stdout.splitlines()[-1])
    assert found["alive"] == 3
    assert (found["summary"]["law"], found["summary"]["images"]) == ("kept", 128)
    places = {(row["unit"], row["index"]) for row in pads.dataset(found["summary"]["table"]).to_table().to_pylist()}
    assert len(places) == 128
    ran = found["ran"]
    prepared = [nodes for name, nodes in ran.items() if name.startswith("Read")]
    scored = [nodes for name, nodes in ran.items() if "Scorer" in name]
    assert prepared and all(nodes == ["prepare"] for nodes in prepared), ran
    assert scored and all(nodes == ["score"] for nodes in scored), ran
