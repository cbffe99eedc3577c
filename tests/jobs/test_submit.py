"""`ray job submit`, as the README has it: a head on this machine, a scan that is sent to it, and what Prometheus gets."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.scan.table.lease import EXPIRY_SECONDS
from pipeline.scan.table.views import ask
from pipeline.telemetry.metrics import (
    BATCH_CAPACITY,
    BATCH_IMAGES,
    IMAGES,
    LEASE_AGE,
    METRICS,
    READ_BYTES,
    RETRIES,
    STAGE_SECONDS,
    UNITS_DONE,
    UNITS_PLANNED,
    WAVES_DONE,
    WAVES_PLANNED,
    Metric,
    Stage,
)
from tests.heads import Head, ray_head
from tests.pictures import samples, write_shard
from tests.poison import MARK, poisoned
from tests.promql import OF_GPUS, TAGS_OF_GPUS, asked, expressions, served
from tests.web import Request, site

EXPORTED = 15.0  # seconds until a worker that has ended is told of, at most; Ray exports every ten


@pytest.fixture
def head(root: Path, tmp_path: Path) -> Iterator[Head]:
    """A head whose decoders die of some images."""
    with ray_head(root, PYTHONPATH=poisoned(tmp_path / "site")) as running:
        yield running


def check_metrics(head: Head, summary: dict[str, Any], table: str, root: Path) -> None:
    """Hold what the exporters serve after a scan against what is declared, what was scanned, and what is asked of it."""
    declared = {metric.exported: metric for metric in METRICS}
    asks = {where: asked(expression) for where, expression in expressions(root)}
    has, latest, end = dict.fromkeys(OF_GPUS, TAGS_OF_GPUS), dict[str, Any](), time.monotonic() + EXPORTED
    while True:  # each process is told of in its own time, and a gauge is forgotten 20 seconds after it was set
        labels, samples = served(head.scrape())
        has |= labels
        latest |= {f"{sample.name}{sample.labels}": sample for sample in samples}
        lacking = [
            (where, name, wanted - has.get(name, set()))
            for where, metrics in asks.items()
            for name, wanted in metrics.items()
            if name not in has or not wanted <= has[name]
        ]
        unknown = declared.keys() - {name.removesuffix("_bucket") for name in has}
        if not (lacking or unknown) or time.monotonic() > end:
            break
        time.sleep(1)
    samples = list(latest.values())
    assert (unknown, lacking) == (set(), [])
    for name, metric in declared.items():
        assert set(metric.tags) <= has[name if name in has else f"{name}_bucket"], name

    def total(metric: Metric, **tags: str) -> float:
        return sum(float(s.value) for s in samples if s.name == metric.exported and tags.items() <= s.labels.items())

    assert total(IMAGES) == total(IMAGES, table=table, model=summary["model"]) == summary["images"]
    for status, images in summary["statuses"].items():
        assert total(IMAGES, status=status) == images
    for verdict, images in summary["verdicts"].items():
        assert total(IMAGES, verdict=verdict) == images
    assert total(UNITS_DONE) == total(UNITS_PLANNED) == summary["units"]
    assert total(WAVES_DONE) == total(WAVES_PLANNED) == 1
    assert total(RETRIES, protocol="http") >= 1
    assert 0 <= total(LEASE_AGE) < EXPIRY_SECONDS
    # by workers, of which this scan lost some
    assert 0 < total(BATCH_IMAGES) <= total(BATCH_CAPACITY)
    assert total(READ_BYTES) > 10_000
    stages = {s.labels["stage"] for s in samples if s.name == f"{STAGE_SECONDS.exported}_count" and s.value > 0}
    assert stages == set(Stage)


@pytest.mark.slow
def test_a_submitted_scan_leaves_its_table_and_what_cannot_be_meant_is_refused_with_advice(
    head: Head, root: Path, tiny: Path, tmp_path: Path
) -> None:
    members = samples(20)
    members["000011.jpg"] += MARK  # ends each decoder that it meets
    sources = [root / "examples/shards/sample-00000.tar", write_shard(tmp_path / "deadly.tar", members)]
    put_off: list[Request] = []

    def busy(request: Request) -> None:
        """Put off the driver's first look at the image, HEAD and GET, which is made again; workers may die untold."""
        if len(put_off) < 2:
            put_off.append(request)
            request.send("HTTP/1.1 503 Service Unavailable", "Content-Length: 0")
        else:
            request.whole(samples(1)["000000.jpg"])

    with site({"/photo.jpg": busy}) as web:
        flags = [*(f"--source={source}" for source in [*sources, f"{web.url}/photo.jpg"]), "--json"]
        table = str(tmp_path / "verdicts")
        scan = ["python", "jobs/scan.py", *flags, "--output", table, "--model", str(tiny)]
        first = head.submit(*scan, name="scan-1")
    assert first.returncode == 0, first.stdout + first.stderr
    summary = next(json.loads(line) for line in first.stdout.splitlines() if line.startswith("{"))
    assert summary["law"] == "kept" and summary["written"] == summary["images"] > 20
    assert ask(table, "FROM current").num_rows == summary["images"]
    check_metrics(head, summary, table, root)
    [culprit] = ask(table, "FROM faults WHERE status = 'crashed'").to_pylist()
    assert culprit["key"] == "000011" and "SIGSEGV" in culprit["detail"]
    assert (
        ask(table, "SELECT count(*) AS n FROM current WHERE uri LIKE '%deadly.tar' AND verdict IS NOT NULL")["n"][
            0
        ].as_py()
        == 19
    )
    again = head.submit(*scan, name="scan-1")
    assert again.returncode != 0 and "scan-1 already exists" in again.stdout + again.stderr

    # what `python` is where no environment was activated, and a folder beside the job's copy of this one
    bare, lost = str(getattr(sys, "_base_executable")), [*flags, "--output", "verdicts/"]  # noqa: B009
    useless = [*scan[:-1], str(tmp_path)]  # a folder that is no model: exit code 4, which Ray makes a 1
    every = [shlex.join(each) for each in ([bare, *scan[1:]], useless, ["python", "jobs/scan.py", *lost])]
    told = head.submit("sh", "-c", "; ".join(every), name="scan-2")
    assert told.returncode != 0 and "ModuleNotFoundError" not in told.stdout
    assert f"jobs/scan.py was started by {bare}" in told.stdout and "absolute path of the interpreter" in told.stdout
    assert "error: --output 'verdicts/' is relative, to '" in told.stdout
    assert "a copy that Ray removes" in told.stdout and "exit code 2" in told.stdout
    runs = ask(table, "SELECT submission, exit_code, error.kind FROM runs ORDER BY id").to_pylist()
    assert [tuple(run.values()) for run in runs] == [("scan-1", 0, None), ("scan-2", 4, "ModelError")]
    assert f"run: {table}/_runs/" in told.stdout
