"""Each metric is declared once, as Prometheus wants it; blocks are handed on whole, whether there is a Ray or not."""

import shutil
import subprocess

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipeline.records import FETCHED
from pipeline.telemetry import metrics
from pipeline.telemetry.metrics import (
    METRICS,
    Metric,
    MetricKind,
    Stage,
    record,
    record_batch,
    record_duration,
    record_reads,
)


def text() -> bytes:
    """Write every metric, with a value, as an exporter does."""
    registry = CollectorRegistry()
    kinds = {MetricKind.COUNTER: Counter, MetricKind.GAUGE: Gauge, MetricKind.HISTOGRAM: Histogram}
    for metric in METRICS:
        made = kinds[metric.kind](metric.exported, metric.description, metric.tags, registry=registry)
        if metric.tags:
            made.labels(*metric.tags)
    return generate_latest(registry)


def test_each_metric_is_declared_once_and_described_and_none_is_left_out() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) and all(name.startswith("mole_scan_") for name in names)
    assert all(metric.description for metric in METRICS)
    assert set(METRICS) == {value for value in vars(metrics).values() if isinstance(value, Metric)}
    assert {metric.kind is MetricKind.COUNTER for metric in METRICS if metric.name.endswith("_total")} == {True}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on this machine: apt-get install prometheus"
)
def test_the_names_are_what_prometheus_advises() -> None:
    checked = subprocess.run(["promtool", "check", "metrics"], input=text(), capture_output=True, check=False)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr
    misnamed = text().replace(b"lease_age_seconds", b"lease_age_milliseconds")
    checked = subprocess.run(["promtool", "check", "metrics"], input=misnamed, capture_output=True, check=False)
    assert checked.returncode != 0 and b"lease_age_milliseconds" in checked.stderr + checked.stdout


def test_what_was_read_is_handed_on_as_it_is() -> None:
    given = [FETCHED.empty_table(), pa.Table.from_pylist([{"unit": "u", "data": b"12345"}, {"unit": "u"}], FETCHED)]
    assert [table.equals(same) for table, same in zip(record_reads(iter(given)), given, strict=True)] == [True, True]


def test_an_error_of_a_stage_passes_through() -> None:
    with pytest.raises(KeyError), record_duration(Stage.SCORE):
        raise KeyError


def test_a_tag_that_is_lacking_is_an_error(local_ray: None) -> None:
    record(metrics.STAGE_SECONDS, 0.1, stage=Stage.READ)
    record(metrics.READ_BYTES, 0)
    record_batch(0, 16)  # a block of faults alone
    record_batch(5, 16)
    with pytest.raises(ValueError, match="stage"):
        record(metrics.STAGE_SECONDS, 0.1)
