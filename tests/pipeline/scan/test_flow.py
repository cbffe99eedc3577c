"""The flow from end to end on a real Ray: exactly one row an image, whatever the source."""

import os
import threading
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import psutil
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from mole.config import describe
from mole.errors import CompletenessError, SettingsError, StorageError
from pipeline.records import CARRIED, VERDICT
from pipeline.scan.flow import scan
from pipeline.scan.plan import Plan
from pipeline.scan.reading.source import Source
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.scan.table import lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.part import encode
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, picture, samples, write_shard
from tests.pipeline.scan.conftest import Scan
from tests.verdicts import verdicts_of

Rows = list[dict[str, object]]


def table(summary: Summary) -> Rows:
    """Read the rows of a scan's model, in the order of their places."""
    rows: Rows = pads.dataset(summary.table, format="parquet").to_table().to_pylist()
    return sorted(rows, key=lambda row: (str(row["unit"]), str(row["index"]).zfill(9)))


def write_shards(folder: Path) -> Path:
    """Write two shards of forty pictures, and a third with every fault."""
    for number in range(2):
        write_shard(folder / f"{number}.tar", samples(40, start=40 * number))
    write_shard(folder / "2.tar", faulty())
    return folder


@pytest.fixture(scope="module")
def finished(run: Scan, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Summary]:
    """A source, an output, and the summary of the one scan that went from one to the other."""
    folder = tmp_path_factory.mktemp("finished")
    source = f"{write_shards(folder / 'shards')}/{{0..2}}.tar"
    return source, folder / "out", run(source, output=folder / "out", carry="url,caption")


Finished = tuple[str, Path, Summary]


def test_every_sample_of_every_shard_has_one_row_and_every_fault_its_reason(finished: Finished) -> None:
    summary = finished[2]
    rows = table(summary)
    assert summary.images == summary.written == len(rows) == 88
    assert (summary.law, summary.units) == ("kept", 3)
    by_key = {row["key"]: row for row in rows}
    statuses = {"a": "ok", "cut": "truncated", "empty": "empty", "page": "not_an_image", "pixel": "too_small"}
    statuses |= {"text": "unsupported", "foreign": "unsupported", "z": "ok"}
    assert {key: by_key[key]["status"] for key in statuses} == statuses
    for row in rows:
        scored = row["status"] == "ok"
        assert (row["logit"] is not None) == (row["verdict"] is not None) == (row["gates"] is not None) == scored
        assert (row["detail"] is None) == scored
        assert row["probability"] is None or 0 <= float(str(row["probability"])) <= 1
    assert by_key["empty"]["content_hash"] is None and by_key["empty"]["bytes"] == 0
    content = by_key["page"]["content_hash"]
    assert isinstance(content, bytes) and len(content) == 16


def test_the_columns_are_the_promised_ones_in_their_order_and_carried_ones_a_struct_behind(finished: Finished) -> None:
    promised = (
        "unit index last uri key offset length content_hash bytes format width height status detail logit probability"
    )
    promised += " verdict gates provenance preprocess scanned_at carried"
    for file in Path(finished[2].table).glob("*.parquet"):
        schema = pq.read_schema(file)
        assert schema.names == promised.split()
        assert schema.remove(schema.get_field_index(CARRIED)).equals(VERDICT)
        assert schema.metadata[b"mole_scan_schema"] == b"1"
    assert table(finished[2])[3][CARRIED] == {"url": "https://example.org/3", "caption": None}


def test_a_finished_scan_is_not_done_again(run: Scan, finished: Finished) -> None:
    source, output, first = finished
    before = {file: file.stat().st_mtime_ns for file in output.rglob("*")}
    again = run(source, output=output)
    assert again.written == 0
    assert (again.images, again.statuses, again.verdicts) == (first.images, first.statuses, first.verdicts)
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*")} == before


def test_any_reader_of_parquet_reads_the_table_while_a_run_holds_it(finished: Finished) -> None:
    _, output, summary = finished
    with lease.Lease(str(output)):
        frame = pd.read_parquet(output)
        assert len(frame) == 88 and set(frame["model"]) == {summary.model}
        assert pl.scan_parquet(f"{output}/**/*.parquet").collect().height == 88
        query = (
            f"SELECT count(*), any_value(model) FROM read_parquet('{output}/**/*.parquet', hive_partitioning = true)"
        )
        assert duckdb.connect().execute(query).fetchall() == [(88, summary.model)]


def test_columns_that_finished_rows_lack_are_told_and_not_passed_over(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(3))
    verdicts_of(shard, table=tmp_path / "out", model=describe(tiny).digest)
    settings = ScanSettings(
        source=[str(shard)], output=str(tmp_path / "out"), model=str(tiny), carry=("url", "caption")
    )
    assert scan(settings, ProgressDisplay()).written == 0
    told = capsys.readouterr().err
    assert "3 images already have rows without a column of --carry url,caption; these rows stay as they are" in told
    scan(settings.model_copy(update={"carry": ()}), ProgressDisplay())
    assert "already have rows" not in capsys.readouterr().err


def test_a_held_output_is_refused_before_anything_is_scanned(run: Scan, finished: Finished, tmp_path: Path) -> None:
    with lease.Lease(str(tmp_path / "out")), pytest.raises(StorageError, match=f"process {os.getpid()}"):
        run(finished[0], output=tmp_path / "out")


def test_a_double_that_stays_breaks_the_law(run: Scan, finished: Finished, tmp_path: Path) -> None:
    source, _, first = finished
    partition = tmp_path / Path(first.table).name
    partition.mkdir()
    for number, file in enumerate([*Path(first.table).glob("*.parquet")] * 2):
        (partition / f"part-{number}.parquet").write_bytes(file.read_bytes())
    ledger = Ledger(str(partition))
    with Plan(Source([source]).units(), [ledger]) as planned, pytest.raises(CompletenessError, match="duplicate rows"):
        planned.check(ledger).require_passed()


@pytest.mark.slow
def test_a_later_run_writes_what_a_limit_left_out_and_then_what_changed_or_is_new_or_was_lost(
    run: Scan, finished: Finished, tmp_path: Path
) -> None:
    shards, folder, output = write_shards(tmp_path / "shards"), tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.JPG").write_bytes(picture(number))
    (folder / "notes.txt").write_text("no picture")
    begun = run(f"{shards}/*.tar", folder, output=output, limit=50)
    assert (begun.written, begun.law, begun.skipped) == (50, "open", 1)
    file = max(Path(begun.table).glob("*.parquet"), key=lambda file: pq.read_metadata(file).num_rows)
    storage.write(str(file.with_name("part-late.parquet")), encode(pq.read_table(file).slice(0, 9)))
    rest = run(f"{shards}/*.tar", folder, output=output)
    assert (rest.images, rest.written, rest.repaired, rest.law) == (93, 43, 9, "kept")
    mine = [row for row in table(rest) if str(row["unit"]).startswith(str(shards))]
    for one, other in zip(mine, table(finished[2]), strict=True):
        assert Path(str(one["unit"])).name.partition("#")[0] == Path(str(other["unit"])).name.partition("#")[0]
        assert [one[name] for name in ("index", "key", "verdict")] == [
            other[name] for name in ("index", "key", "verdict")
        ]

    write_shard(shards / "1.tar", samples(7, start=900))
    (folder / "5.jpeg").write_bytes(picture(5))
    lost = next(file for file in Path(rest.table).glob("*.parquet") if "0.tar" in str(pq.read_table(file)["unit"][0]))
    gone = sum("/1.tar#" not in unit for unit in pq.read_table(lost)["unit"].to_pylist())
    lost.unlink()
    last = run(f"{shards}/*.tar", folder, output=output)
    assert (last.written, last.images, last.law) == (8 + gone, 61, "kept")


def test_the_same_image_has_the_same_logit_as_shard_as_folder_and_as_listing(run: Scan, tmp_path: Path) -> None:
    members = {
        f"{form}/{number}.{form}": picture(number, form=form, side=300)
        for number in range(9)
        for form in ("png", "webp")
    }
    for name, body in members.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(f"photos/{name}" for name in members))
    torn = write_shard(tmp_path / "photos.tar", members)
    sources = [tmp_path / "photos", tmp_path / "list.csv", torn]
    rows = table(run(*sources, output=tmp_path / "out", batch_size=5))
    logits: dict[object, list[float]] = defaultdict(list)
    for row in rows:
        logits[row["content_hash"]].append(float(str(row["logit"])))
    assert len(logits) == len(members)
    for same in logits.values():
        assert len(same) == 3 and max(same) - min(same) <= 1e-4


def test_a_torn_shard_and_images_above_the_bounds_are_rows_with_their_reason(run: Scan, tmp_path: Path) -> None:
    path = write_shard(tmp_path / "t.tar", samples(10) | {"zz.jpg": b"lost"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_shard(
        tmp_path / "s.tar",
        {"big.png": picture(1, form="png", side=300), "many.jpg": b"x" * 90_000, "ok.jpg": picture(2)},
    )
    rows = table(run(tmp_path / "s.tar", path, output=tmp_path / "out", max_pixels=10_000, max_bytes=80_000))
    details = [str(row["detail"]) for row in rows if "s.tar" in str(row["unit"])]
    assert "pixels, over the bound of 10,000" in details[0] and "90,000 bytes, over the bound of 80,000" in details[1]
    torn = [row for row in rows if "t.tar" in str(row["unit"])]
    assert {row["status"] for row in torn[:-1]} == {"ok"} and len(torn) > 3
    assert (torn[-1]["status"], torn[-1]["last"]) == ("torn_archive", True)


def test_a_memory_store_serves_as_source_and_as_output(run: Scan) -> None:
    fsspec.filesystem("memory").pipe_file("/flow/a.jpg", picture(1))
    fsspec.filesystem("memory").pipe_file("/flow/b.txt", b"memory://flow/a.jpg\nmemory://flow/none.jpg")
    assert run("memory://flow", "memory://flow/b.txt", output="memory://verdicts").statuses == {"ok": 2, "missing": 1}
    assert run("memory://flow", "memory://flow/b.txt", output="memory://verdicts").written == 0


def test_a_source_that_is_nothing_is_refused(run: Scan, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        run(tmp_path / "nowhere", output=tmp_path / "out")


def test_a_killed_actor_and_a_killed_worker_lose_nothing(run: Scan, tmp_path: Path) -> None:
    for number in range(6):
        members = samples(100, start=100 * number, side=900, different=20)
        write_shard(tmp_path / "shards" / f"{number}.tar", members)
    killed: list[str] = []
    hunter = threading.Thread(target=hunt, args=(killed, ("Scorer", "ReadImageSource")))
    hunter.start()
    summary = run(f"{tmp_path}/shards/*.tar", output=tmp_path / "out")
    hunter.join()
    assert len(killed) == 2
    assert (summary.images, summary.law) == (600, "kept")
    assert len({(row["unit"], row["index"]) for row in table(summary)}) == 600


def hunt(killed: list[str], names: tuple[str, ...]) -> None:
    """Kill the first worker of each name as soon as it works."""
    waiting, end = list(names), time.monotonic() + 120
    while waiting and time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue  # gone since it was listed
            for name in [name for name in waiting if title.startswith("ray::") and name in title]:
                time.sleep(0.5)
                process.kill()
                killed.append(title)
                waiting.remove(name)
        time.sleep(0.05)
