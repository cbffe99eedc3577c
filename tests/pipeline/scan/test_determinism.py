"""The same images get the same verdicts, whoever scores them, in whatever order, batches and pieces."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from mole.config import CONFIG
from tests.pictures import faulty, samples, write_shard
from tests.pipeline.scan.conftest import Scan

TOLERANCE = 0.25
"""Of a logit far from every threshold, where a CPU is faster in bfloat16 (docs/precision.md)."""

Verdicts = dict[tuple[str, int], tuple[str, str | None, float | None]]


def verdicts(table: Path) -> Verdicts:
    """Read status, verdict and logit of each image."""
    rows = pads.dataset(table, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table().to_pylist()
    found = {(row["unit"], row["index"]): (row["status"], row["verdict"], row["logit"]) for row in rows}
    assert len(found) == len(rows)
    return found


def at_the_edge(model: Path, logit: float, folder: Path) -> Path:
    """Copy a checkpoint, with both thresholds at an image's logit."""
    shutil.copytree(model, folder)
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    config["calibration"] |= {"real_below": logit, "generated_above": logit}
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_neither_scorers_nor_order_nor_batches_nor_restarts_move_a_verdict(
    run: Scan, tiny: Path, tmp_path: Path
) -> None:
    shards = [write_shard(tmp_path / f"{number}.tar", samples(30, start=30 * number)) for number in range(3)]
    shards.append(write_shard(tmp_path / "3.tar", faulty()))
    run(*shards, output=tmp_path / "plain", num_actors=1)
    plain = verdicts(tmp_path / "plain")
    rough, place = sorted((logit, place) for place, (*_, logit) in plain.items() if logit is not None)[45]
    # where the first run was in bfloat16, its logit is not the one that counts near a threshold
    run(*shards, output=tmp_path / "exact", model=str(at_the_edge(tiny, rough, tmp_path / "near")), num_actors=1)
    edge = float(verdicts(tmp_path / "exact")[place][2] or 0)
    model = str(at_the_edge(tiny, edge, tmp_path / "edge"))
    run(*shards, output=tmp_path / "one", model=model, num_actors=1, batch_size=16)
    one = verdicts(tmp_path / "one")
    assert one.keys() == plain.keys() and {verdict for _, verdict, _ in one.values()} == {"real", "generated", None}

    run(*shards[::-1], output=tmp_path / "two", model=model, num_actors=2, batch_size=5)
    for limit in (25, 40, None):
        run(*shards, output=tmp_path / "pieces", model=model, num_actors=1, batch_size=7, limit=limit)
    for name in ("two", "pieces"):
        other = verdicts(tmp_path / name)
        assert {place: row[:2] for place, row in other.items()} == {place: row[:2] for place, row in one.items()}, name
        pairs = [(one[place][2], other[place][2]) for place in one if one[place][2] is not None]
        assert max(abs(float(a or 0) - float(b or 0)) for a, b in pairs) <= TOLERANCE
        near = [(a, b) for a, b in pairs if a is not None and abs(a - edge) <= 1e-5]
        assert near and all(a == b for a, b in near), "a logit at the edge is the same to the bit"
