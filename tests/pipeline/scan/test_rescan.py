"""Rescan: selected images get one row of the model, under their existing place, and nothing else is read."""

import shutil
import signal
import subprocess
import sys
import tarfile
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from mole.config import describe
from mole.errors import ModelError, SettingsError, StorageError
from pipeline.registry import Registry
from pipeline.scan.rescan import RescanResult, rescan
from pipeline.scan.settings import RescanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.views import open_views
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, picture, samples, write_shard
from tests.pipeline.scan.conftest import Scan
from tests.policies import enforced, policy
from tests.tiny import tiny_checkpoint
from tests.verdicts import verdict_row, verdicts_of, write_verdicts

Rescan = Callable[..., RescanResult]
SAME = 'unit, "index", "last", uri, key, "offset", "length", content_hash, bytes, status, detail, verdict'


@pytest.fixture(scope="session")
def better(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another detector."""
    return tiny_checkpoint(tmp_path_factory.mktemp("better") / "tiny", seed=1)


@pytest.fixture
def again(local_ray: None, better: Path) -> Rescan:
    """Rescan on the tests' Ray with the other detector."""

    def rescan_now(table: str | Path, **more: Any) -> RescanResult:
        given: dict[str, Any] = {"table": str(table), "model": str(better), "rows_per_file": 32} | more
        return rescan(RescanSettings(**given), ProgressDisplay(quiet=True))

    return rescan_now


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A sound shard, one with every fault, a torn one, a compressed one, loose photos, listings, images in Parquet."""
    folder = tmp_path / "lake"
    write_shard(folder / "a.tar", samples(20))
    write_shard(folder / "b.tar", faulty())
    torn = write_shard(folder / "torn.tar", samples(4, start=40))
    torn.write_bytes(torn.read_bytes()[:-9000])
    with (
        tarfile.open(folder / "c.tar.gz", "w:gz") as packed,
        tarfile.open(write_shard(folder / "c", samples(5, start=50))) as plain,
    ):
        for member in plain:
            packed.addfile(member, plain.extractfile(member))
    (folder / "c").unlink()
    (folder / "photos").mkdir()
    for number in range(3):
        (folder / "photos" / f"{number}#.jpg").write_bytes(picture(60 + number))
    (folder / "list.csv").write_text("uri,caption\nphotos/0#.jpg,first\nphotos/none.jpg,second\n")
    inline = b64encode(picture(70)).decode()
    (folder / "inline.csv").write_text(f'url,caption\n"data:image/jpeg;base64,{inline}",inline\nphotos/1#.jpg,\n')
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [*({"bytes": picture(number), "path": None} for number in range(80, 90)), None]
    table = pa.table({"left": pa.array(cells, kind), "many": pa.array([cells[:2], *[[]] * 10], pa.list_(kind))})
    pq.write_table(
        table.append_column("caption", pa.array(map(str, range(11)))), folder / "hf.parquet", row_group_size=4
    )
    return folder


def sources(lake: Path) -> list[Path]:
    """Name everything of the lake."""
    names = ("a.tar", "b.tar", "{torn,gone1}.tar", "c.tar.gz", "photos", "list.csv", "inline.csv", "hf.parquet")
    return [lake / name for name in names]


def rows(table: Path | str, query: str) -> list[tuple[Any, ...]]:
    """Ask a table's views."""
    with open_views(str(table)) as views:
        return views.sql(query).fetchall()


def test_what_sql_chooses_and_then_the_rest_leave_the_rows_that_a_scan_would_have(
    run: Scan, again: Rescan, better: Path, lake: Path, tmp_path: Path
) -> None:
    table, carried = tmp_path / "table", {"carry": ("caption",)}
    first = run(*sources(lake), output=table, **carried)
    some = again(table, where="verdict = 'unsure' AND \"index\" % 3 = 1")
    assert 0 < some.chosen == some.written < first.images
    assert {turn.before for turn in some.turns} == {"unsure"}
    assert sum(turn.images for turn in some.turns) == some.written
    assert rows(table, f"SELECT count(*) FROM current WHERE model = '{some.model}'") == [(some.written,)]
    rest = again(table)
    assert (rest.chosen, rest.written, rest.repaired, rest.law) == (*[first.images - some.written] * 2, 0, "kept")
    run(*sources(lake), output=tmp_path / "fresh", model=str(better), **carried)
    mine, fresh = (
        rows(place, f"SELECT {SAME}, carried FROM verdicts WHERE model = '{some.model}' ORDER BY ALL")
        for place in (table, tmp_path / "fresh")
    )
    assert mine == fresh and len(mine) == first.images
    assert again(table).chosen == 0
    assert run(*sources(lake), output=table, model=str(better), **carried).written == 0
    assert not list(table.glob("_*/*")) and not (table / "_lease.json").exists()


def test_what_could_not_be_read_gets_its_verdict_in_place_of_the_fault(
    again: Rescan, lake: Path, tmp_path: Path, tiny: Path
) -> None:
    table = verdicts_of(lake / "list.csv", table=tmp_path / "table", model=describe(tiny).digest)
    assert rows(table, "SELECT status, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL") == [("missing", 1), ("ok", 1)]
    shutil.copy(lake / "photos" / "1#.jpg", lake / "photos" / "none.jpg")
    done = again(table, model=str(tiny), where="status = 'missing'")
    assert (done.chosen, done.written, done.repaired) == (1, 1, 1)
    assert done.turns[0].before == "no verdict" and done.turns[0].after in {"real", "unsure", "generated"}
    assert rows(table, "SELECT status, count(*) FROM verdicts GROUP BY ALL") == [("ok", 2)]


def test_bytes_that_changed_since_are_missing_until_a_scan_gives_them_rows(
    run: Scan, again: Rescan, better: Path, lake: Path, tmp_path: Path
) -> None:
    table = verdicts_of(lake / "a.tar", lake / "c.tar.gz", lake / "photos", table=tmp_path / "table")
    write_shard(lake / "a.tar", samples(7, start=80))
    (lake / "c.tar.gz").unlink()
    (lake / "photos" / "2#.jpg").write_bytes(picture(99, side=80))
    done = again(table)
    assert done.chosen == done.written == 28
    missing = rows(
        table, f"SELECT uri, count(*), any_value(detail) FROM faults WHERE model = '{done.model}' GROUP BY uri"
    )
    assert sorted((Path(uri).name, count) for uri, count, _ in missing) == [
        ("2#.jpg", 1),
        ("a.tar", 20),
        ("c.tar.gz", 5),
    ]
    assert {detail.partition(" (")[0] for _, _, detail in missing} == {
        "its bytes changed since it was scanned",
        "missing since it was scanned",
    }
    assert run(lake / "a.tar", lake / "photos", output=table, model=str(better)).written == 8
    assert rows(table, "SELECT status, count(*) FROM current GROUP BY ALL ORDER BY ALL") == [("missing", 5), ("ok", 10)]


@pytest.mark.slow
def test_a_rescan_that_is_killed_goes_on_from_what_it_wrote(
    again: Rescan, better: Path, root: Path, tmp_path: Path
) -> None:
    table = verdicts_of(write_shard(tmp_path / "a.tar", samples(800, side=300, different=50)), table=tmp_path / "table")
    running = ray.get_runtime_context().gcs_address  # a cluster that outlives its driver
    flags = ["--table", table, "--model", better, "--rows-per-file", "32", "--ray-address", running]
    driver = subprocess.Popen([sys.executable, "jobs/rescan.py", *map(str, flags)], cwd=root, stderr=subprocess.DEVNULL)
    new, end = f"model={describe(better).digest}/*.parquet", time.monotonic() + 200
    while driver.poll() is None and len(list(table.glob(new))) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    assert driver.poll() is None, "the rescan ended before it could be killed"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert list(table.glob("_rescans/*.parquet"))
    done = again(table)
    assert 0 < done.chosen < 800
    assert (
        rows(table, 'SELECT count(*), count(DISTINCT (unit, "index")) FROM verdicts GROUP BY model') == [(800, 800)] * 2
    )
    assert not list(table.glob("_rescans/*.parquet"))


def test_a_table_and_shards_in_a_bucket_are_rescanned_there(
    store: int, again: Rescan, tmp_path: Path, root: Path
) -> None:
    fs, shard = fsspec.filesystem("s3"), "s3://again/shards/a.tar"
    fs.mkdir("again")
    fs.put(str(write_shard(tmp_path / "a.tar", samples(30, side=300))), shard)
    fs.put(str(verdicts_of(shard, table=tmp_path / "table")), "again/verdicts", recursive=True)
    rights = policy(root, "scan", "again")
    with enforced(store, rights) as made:
        done = again("s3://again/verdicts", sample=0.5)
    unused = {action for one in rights["Statement"] for action in one["Action"]} - {one.action for one in made}
    assert unused == {"s3:AbortMultipartUpload"}  # of a file so large that it is sent in parts, and then fails
    assert 0 < done.chosen == done.written < 30
    assert done.image_bytes <= done.read_bytes <= 1.2 * done.image_bytes
    assert all("_" not in name.rsplit("/", 1)[-1] for name in fs.find("again/verdicts"))


def test_the_promoted_version_and_a_digest_are_looked_up_in_the_registry(
    again: Rescan, better: Path, tmp_path: Path
) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    registry = Registry(str(tmp_path / "models"))
    digest = registry.add(better, {})
    named = {"registry": registry.url, "where": "false"}
    with pytest.raises(ModelError, match="has promoted nothing yet"):
        again(table, model="promoted", **named)
    registry.promote(digest, "the test", replacing=None)
    assert again(table, model="promoted", **named).model == again(table, model=digest[:6], **named).model == digest


def test_a_held_table_and_a_folder_without_one_are_refused(again: Rescan, tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    with Lease(str(table)), pytest.raises(StorageError, match="is held by process"):
        again(table)
    with pytest.raises(SettingsError, match="--table '.*elsewhere' is not there"):
        again(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_promoted_without_a_registry_is_refused_where_it_is_said() -> None:
    with pytest.raises(SettingsError, match="--model promoted needs --registry"):
        RescanSettings.from_command_line(["--table", "t", "--model", "promoted"])
