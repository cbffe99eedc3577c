"""A small source is scanned in this process: the same rows as on Ray, a crash is a row, and nothing stays behind."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from mole.config import describe
from pipeline.scan.flow import scan
from pipeline.scan.local_executor import (
    MAX_IMAGES,
    MAX_SHARD_BYTES,
    LocalExecutor,
    in_this_process,
    is_local,
    is_small,
)
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.scan.rescan import rescan
from pipeline.scan.settings import RescanSettings, ScanSettings
from pipeline.scan.summary import Summary
from pipeline.scan.table.views import ask
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, picture, samples, write_shard
from tests.tiny import tiny_checkpoint

TIMES = {"scanned_at"}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Scans that ran in this process, which looks as if no other test had connected it to Ray."""
    scans: list[object] = []

    def counted(settings: ScanSettings) -> AbstractContextManager[LocalExecutor]:
        scans.append(settings)
        return in_this_process(settings)

    monkeypatch.setattr("pipeline.scan.local_executor.is_connected", lambda: False)
    monkeypatch.setattr("pipeline.scan.wave.in_this_process", counted)
    return scans


@pytest.fixture
def source(tmp_path: Path) -> list[str]:
    """A shard, one with every fault, a folder, a listing."""
    write_shard(tmp_path / "a.tar", samples(40))
    write_shard(tmp_path / "b.tar", faulty())
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes(picture(100 + number, form="png"))
    (tmp_path / "list.csv").write_text("path,caption\nphotos/1.png,one\nphotos/none.png,none\n")
    return [f"{tmp_path}/{name}" for name in ("a.tar", "b.tar", "photos", "list.csv")]


def scanned(source: list[str], output: Path, model: Path, **more: Any) -> Summary:
    """Scan in one process or on Ray, as the settings choose."""
    given: dict[str, Any] = {"batch_size": 8, "carry": "caption"} | more
    return scan(ScanSettings(source=source, output=str(output), model=str(model), **given), ProgressDisplay(quiet=True))


def rows(summary: Summary) -> list[dict[str, object]]:
    """Read a model's rows in the order of their places, without times."""
    found = pads.dataset(summary.table, format="parquet").to_table().to_pylist()
    kept = [{name: value for name, value in row.items() if name not in TIMES} for row in found]
    return sorted(kept, key=lambda row: (str(row["unit"]), int(str(row["index"]))))


@pytest.mark.slow
def test_both_executors_write_the_same_rows_and_rescan_to_the_same(
    source: list[str], tiny: Path, tmp_path: Path, here: list[object]
) -> None:
    one = scanned(source, tmp_path / "here", tiny)
    two = scanned(source, tmp_path / "there", tiny, num_actors=1)
    assert (one.images, one.law) == (two.images, two.law) == (70, "kept")
    for mine, other in zip(rows(one), rows(two), strict=True):
        logits = [row.pop("logit") for row in (mine, other)]
        numbers = [row.pop(name) for row in (mine, other) for name in ("probability", "gates")]
        assert mine == other
        assert (logits[0] is None) == (logits[1] is None) and len(numbers) == 4
        if logits[0] is not None:
            assert logits[0] == pytest.approx(logits[1], abs=1e-4)
    better, chosen = tiny_checkpoint(tmp_path / "better", adapters=7), "verdict IS NOT NULL"
    again = []
    for name, more in (("here", {}), ("there", {"num_actors": 1})):
        given: dict[str, Any] = {"model": str(better), "where": chosen, "batch_size": 8} | more
        result = rescan(RescanSettings(table=str(tmp_path / name), **given), ProgressDisplay(quiet=True))
        assert (result.law, result.left) == ("kept", 0)
        found = pads.dataset(result.table, format="parquet").to_table().to_pylist()
        again.append(sorted((row["unit"], row["index"], row["status"], row["verdict"]) for row in found))
    assert again[0] == again[1] and len(again[0]) > 50
    assert len(here) == 2, "a scan and a rescan"


def test_a_scan_in_this_process_goes_on_where_a_limit_ended_it_and_does_nothing_twice(
    source: list[str], tiny: Path, tmp_path: Path, here: list[object]
) -> None:
    first = scanned(source, tmp_path / "out", tiny, limit=31)
    assert (first.written, first.law) == (31, "open")
    second = scanned(source, tmp_path / "out", tiny)
    assert (second.written, second.images, second.law) == (39, 70, "kept")
    assert scanned(source, tmp_path / "out", tiny).written == 0
    assert len(here) == 2


def test_a_challenger_and_known_contents_are_served_in_this_process_too(
    source: list[str], tiny: Path, tmp_path: Path, here: list[object]
) -> None:
    challenger = tiny_checkpoint(tmp_path / "challenger", adapters=7)
    summary = scanned(source, tmp_path / "out", tiny, shadow=str(challenger))
    assert len(rows(replace(summary, table=summary.table.replace(summary.model, describe(challenger).digest)))) == 70
    write_shard(tmp_path / "copies.tar", samples(40))
    copies = scanned([f"{tmp_path}/copies.tar"], tmp_path / "out", tiny, dedupe="content")
    assert copies.written == 40
    same = ask(str(tmp_path / "out"), "SELECT uri, same_as FROM verdicts WHERE same_as IS NOT NULL").to_pylist()
    assert len(same) == 40 and all("copies.tar" in row["uri"] and "a.tar" in row["same_as"]["unit"] for row in same)
    assert len(here) == 2


def test_only_few_images_of_formats_that_python_reads_are_small() -> None:
    file = Unit("a#1", "a.jpg", Kind.FILE, images=1)
    shard = Unit("a.tar#1", "a.tar", Kind.SHARD, size=1 << 20)
    assert is_small([]) and is_small([file] * MAX_IMAGES) and not is_small([file] * (MAX_IMAGES + 1))
    assert is_small([shard] * 3) and not is_small([replace(shard, size=MAX_SHARD_BYTES)])
    assert not is_small([replace(shard, size=None)])


def test_a_listing_in_parquet_is_left_to_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (tmp_path / "list.txt").write_text("a.jpg\n")
    assert is_small(Source([f"{tmp_path}/list.txt"]).units())
    pq.write_table(pa.table({"uri": [f"{tmp_path}/a.jpg"]}), tmp_path / "list.parquet")
    assert not is_small(Source([f"{tmp_path}/list.parquet"]).units())


@pytest.mark.parametrize(
    "given", [{"ray_address": "auto"}, {"num_actors": 1}, {"score_resource": "score"}, {"ray_logs": True}]
)
def test_what_names_a_cluster_goes_to_ray(given: dict[str, Any]) -> None:
    settings = ScanSettings(source=["a"], output="o")
    assert is_local(settings) and not is_local(settings.model_copy(update=given))


def test_a_cluster_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert not is_local(ScanSettings(source=["a"], output="o"))
