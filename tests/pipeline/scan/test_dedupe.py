"""With `--dedupe content` each content of a wave is scored once, and every image has one row, whatever is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
import ray

from pipeline.scan.table.views import ask
from tests.pictures import samples, write_shard
from tests.pipeline.scan.conftest import Scan

SHARDS, IMAGES, DIFFERENT = 4, 24, 18


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that hold the same pictures and one damaged one, some of them twice within a shard."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(SHARDS):
        members = samples(IMAGES, different=DIFFERENT)
        members["000005.jpg"] = members["000005.jpg"][:400]
        members["000006.jpg"] += bytes([number])  # the same picture, and other bytes
        write_shard(folder / f"{number}.tar", members)
    return folder


def rows_of(output: Path) -> list[dict[str, Any]]:
    """Read a table: every row, each image once."""
    rows: list[dict[str, Any]] = ask(str(output), "FROM verdicts").to_pylist()
    assert len({(row["unit"], row["index"]) for row in rows}) == len(rows) == SHARDS * IMAGES
    return rows


def hold_each_content_to_one_answer(rows: list[dict[str, Any]]) -> None:
    """Insist that what depends on the bytes is the same for the same bytes, and that copies name a row of them."""
    places = {(row["unit"], row["index"]): row for row in rows}
    answers: dict[bytes, set[Any]] = {}
    for row in rows:
        answers.setdefault(row["content_hash"], set()).add(
            (row["status"], row["detail"], row["logit"], row["verdict"], row["width"], row["format"])
        )
        if row["same_as"] is not None:
            origin = places[row["same_as"]["unit"], row["same_as"]["index"]]
            assert origin["same_as"] is None and origin["content_hash"] == row["content_hash"]
    assert all(len(found) == 1 for found in answers.values())


def test_copies_within_a_run_are_scored_once_and_name_the_image_that_was(
    run: Scan, crawl: Path, tmp_path: Path
) -> None:
    summary = run(crawl / "*.tar", output=tmp_path / "out", dedupe="content", carry="url")
    assert (summary.written, summary.law) == (SHARDS * IMAGES, "kept")
    rows = rows_of(tmp_path / "out")
    hold_each_content_to_one_answer(rows)
    scored = [row for row in rows if row["same_as"] is None]
    assert len(scored) == len({row["content_hash"] for row in rows}) == DIFFERENT + SHARDS
    assert sum(row["status"] == "truncated" for row in rows) == SHARDS
    assert {row["carried"]["url"] for row in rows} == {f"https://example.org/{number}" for number in range(IMAGES)}
    assert not list((tmp_path / "out" / "_known").iterdir())
    assert run(crawl / "*.tar", output=tmp_path / "out", dedupe="content", carry="url").written == 0


@pytest.mark.slow
def test_a_run_killed_while_copies_wait_loses_none_of_them(
    run: Scan, crawl: Path, tiny: Path, root: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    flags = ["--source", f"{crawl}/*.tar", "--output", str(output), "--model", str(tiny), "--rows-per-file", "8"]
    ray_of_tests = ("--ray-address", ray.get_runtime_context().gcs_address)
    command = [sys.executable, "jobs/scan.py", *flags, "--dedupe", "content", *ray_of_tests]
    killed = subprocess.Popen(command, cwd=root, env=os.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not list(output.glob("_known/*-copies-*.parquet")) and killed.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert killed.poll() is None, "the run ended before copies waited"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    summary = run(crawl / "*.tar", output=output, dedupe="content", rows_per_file=8)
    assert (summary.images, summary.law) == (SHARDS * IMAGES, "kept") and summary.written > 0
    hold_each_content_to_one_answer(rows_of(output))
    assert not list((output / "_known").iterdir())
    assert pads.dataset(summary.table, format="parquet").count_rows() == SHARDS * IMAGES
