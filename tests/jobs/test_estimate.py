"""The estimate command: it measures the scan's own stages on a sample and forecasts the whole source."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from jobs.estimate import amount, arithmetic, main
from pipeline.scan.forecasting.forecast import Line
from tests.pictures import samples, write_shard


def test_a_source_that_the_sample_covers_is_told_exactly_and_the_rest_with_its_arithmetic(
    local_ray: None, root: Path, tiny: Path, tmp_path: Path
) -> None:
    sizes = [
        write_shard(tmp_path / f"{number}.tar", samples(25, start=25 * number)).stat().st_size for number in range(4)
    ]
    command = [sys.executable, "jobs/estimate.py", "--source", f"{tmp_path}/*.tar", "--model", str(tiny)]
    running = ray.get_runtime_context().gcs_address
    told = subprocess.run(
        [*command, "--images", "400", "--core-price", "3600", "--ray-address", running, "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    lines = {line["what"]: line for line in json.loads(told.stdout)}
    assert lines["images"]["amount"] == 100
    assert lines["read"]["amount"] * 1e9 == sum(sizes)
    assert 0 < lines["prepare"]["amount"] * 3600 < 100 and 0 < lines["score"]["amount"] * 3600 < 100
    assert 20 < lines["table"]["amount"] * 1e9 / 100 < 500
    assert lines["time here"]["amount"] > 1 and "start" in lines["time here"]["arithmetic"]
    assert lines["cost"]["amount"] > 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (Line("read", 0.112, "GB", 0.0, ""), "112 MB"),
        (Line("read", 126_000.0, "GB", 0.0, ""), "126 TB"),
        (Line("time here", 7500.0, "seconds", None, ""), "2 h 5 min"),
        (Line("prepare", 0.051, "core-hours", 0.0, ""), "3.06 core-minutes"),
        (Line("prepare", 1130.2, "core-hours", 0.0, ""), "1,130 core-hours"),
        (Line("images", 1e9, "images", None, ""), "1,000,000,000 images"),
        (Line("cost", 12.345, "", 12.345, ""), "12.3"),
    ],
)
def test_people_read_amounts_in_the_unit_that_fits(line: Line, words: str) -> None:
    assert amount(line) == words


def test_a_source_with_nothing_in_it_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["--source", str(tmp_path / "empty"), "--model", str(tiny)]) == 2


def test_the_arithmetic_gives_the_number_in_the_unit_that_is_shown() -> None:
    few = Line("prepare", 36 / 3600, "core-hours", 0.0, "10 images x 3.6000 s / 3,600, at 0 an hour")
    assert (amount(few), arithmetic(few)) == ("0.6 core-minutes", "10 images x 3.6000 s / 60, at 0 an hour")
    many = Line("prepare", 2.0, "core-hours", 0.0, "2,000 images x 3.6000 s / 3,600, at 0 an hour")
    assert arithmetic(many) == many.arithmetic
