"""The same scan over S3: shards, a listing and the table in a bucket, a missing shard, and a lease that is one PUT."""

import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow.dataset as pads
import pytest

from mole.errors import StorageError
from pipeline.scan.reading.source import Source
from pipeline.scan.table import lease
from pipeline.scan.table.views import ask
from pipeline.storage import storage
from tests.pictures import picture, samples, write_shard
from tests.pipeline.scan.conftest import Scan
from tests.policies import CHANGES, Demand, allows, demand, enforced, policy
from tests.stores import faulty


@pytest.fixture(scope="module")
def bucket(store: int, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with two shards, one photo, and a listing of it."""
    fs = fsspec.filesystem("s3")
    fs.mkdir("lake")
    for number in range(2):
        shard = write_shard(tmp_path_factory.mktemp("s3") / "s.tar", samples(12, start=12 * number))
        fs.pipe_file(f"lake/shards/{number}.tar", shard.read_bytes())
    fs.pipe_file("lake/photos/a.jpg", picture(77))
    fs.pipe_file("lake/photos/list.txt", b"s3://lake/photos/a.jpg\nnone.jpg\ns3://lake/photos/empty.jpg\n")
    fs.pipe_file("lake/photos/empty.jpg", b"")
    return "s3://lake"


def test_a_bucket_is_scanned_into_a_bucket_once(run: Scan, bucket: str, store: int, root: Path) -> None:
    sources = (f"{bucket}/shards/{{0..2}}.tar", f"{bucket}/photos/", f"{bucket}/photos/list.txt")
    with enforced(store, policy(root, "scan")) as made:
        first = run(*sources, output=f"{bucket}/verdicts")
        assert first.statuses == {"ok": 26, "missing": 2, "empty": 2}
        assert (first.images, first.law) == (30, "kept")
        assert run(*sources, output=f"{bucket}/verdicts").written == 0
    assert all(one.resource.startswith("arn:aws:s3:::lake/verdicts/") for one in made if one.action in CHANGES)
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    names = fs.find("lake/verdicts")
    assert names and all(name.endswith(".parquet") for name in names)
    rows = pads.dataset(names, filesystem=fs, format="parquet").to_table().to_pylist()
    ranged = next(row for row in rows if row["uri"].endswith("1.tar") and row["key"] == "000013")
    data = fs.cat_file(ranged["uri"], start=ranged["offset"], end=ranged["offset"] + ranged["length"])
    assert data == picture(13)
    fs.pipe_file("lake/copies/0.tar", fs.cat_file("lake/shards/0.tar"))
    assert run(f"{bucket}/copies/*.tar", output=f"{bucket}/verdicts", dedupe="content").written == 12
    known = ask(f"{bucket}/verdicts", "SELECT uri, same_as FROM verdicts WHERE same_as IS NOT NULL").to_pylist()
    assert len(known) == 12
    assert all("/copies/" in row["uri"] and "/shards/" in row["same_as"]["unit"] for row in known)


def test_a_shard_that_is_written_anew_is_another_unit(bucket: str, tmp_path: Path) -> None:
    before = [unit.name for unit in Source([f"{bucket}/shards/*.tar"]).units()]
    fsspec.filesystem("s3").pipe_file("lake/shards/1.tar", write_shard(tmp_path / "n.tar", samples(3)).read_bytes())
    after = [unit.name for unit in Source([f"{bucket}/shards/*.tar"]).units()]
    assert before[0] == after[0] and before[1] != after[1]


def test_a_lease_in_a_bucket_lets_one_run_in(bucket: str) -> None:
    output = f"{bucket}/leased"
    with lease.Lease(output) as mine:
        lease.check(output, mine.generation)
        with pytest.raises(StorageError, match="is held by process"), lease.Lease(output):
            pass
    assert lease.read(output) is None


def test_a_write_replaces_the_whole_object_and_a_create_does_not(bucket: str) -> None:
    url = f"{bucket}/objects/a"
    assert storage.create(url, b"1") and not storage.create(url, b"2")
    assert storage.read(url) == b"1"
    storage.write(url, b"3")
    assert storage.read(url) == b"3"
    storage.remove(url)
    storage.remove(url)
    assert storage.list_files(f"{bucket}/objects", "") == []


def test_a_store_that_stays_down_ends_the_run_and_the_same_command_goes_on_later(
    run: Scan, bucket: str, store: int, root: Path, tiny: Path
) -> None:
    sources, output = f"{bucket}/shards/{{0..1}}.tar", f"{bucket}/verdicts/broken"
    rights = policy(root, "scan")
    beyond: list[Demand] = []  # what a run of its own, workers too, asks for beyond its rights

    def fault(method: str, path: str) -> str | None:
        wanted = demand(method, path)
        beyond.extend([] if allows(rights, wanted) else [wanted])
        return "down" if method == "GET" and "/shards/1.tar" in path else None

    with faulty(store, fault) as port:
        command = [sys.executable, "jobs/scan.py", "--source", sources, "--output", output, "--model", str(tiny)]
        patience = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_MAX_ATTEMPTS": "1", "MOLE_PATIENCE": "2"}
        told = subprocess.run(
            command, cwd=root, env=os.environ | patience, capture_output=True, text=True, timeout=240, check=False
        )
    assert told.returncode == 3
    assert "/shards/1.tar stopped answering" in told.stderr and "SKSCANsecret" not in told.stderr
    assert beyond == []
    assert lease.read(output) is None
    assert run(sources, output=output).law == "kept"
