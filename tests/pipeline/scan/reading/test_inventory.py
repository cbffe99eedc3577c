"""Inventory: each current object version and shard is planned once, in Parquet and CSV, and read again by its slice."""

import gzip
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import inventory
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Kind
from tests.pictures import picture, samples, write_shard

SCHEMA = ["Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag"]


def row(key: str, **given: Any) -> dict[str, Any]:
    """Write a line of an inventory."""
    known = {"bucket": "lake", "version_id": "v", "is_latest": True, "is_delete_marker": False, "size": 9}
    return known | {"key": key, "last_modified_date": "2026-11-01", "e_tag": "aa11"} | given


ROWS = [
    *(row(f"photos/a b+{number:03}.JPG") for number in range(40)),
    row("photos/notes.txt"),
    row("shards/0.tar", e_tag='"cafe"', size=10240),
    row("photos/old.jpg", is_latest=False),
    row("photos/gone.jpg", is_delete_marker=True),
    *(row(f"photos/ä{number}.webp") for number in range(20)),
]
IMAGES = [f"s3://lake/{one['key']}" for one in ROWS if one["key"].lower().endswith(("jpg", "webp"))]
LIVING = [uri for uri in IMAGES if "old" not in uri and "gone" not in uri]


def write_inventory(folder: Path, form: str, rows: list[dict[str, Any]], *, files: int = 2) -> str:
    """Write an inventory as the store lays it out: `data/` beside a dated folder with the manifest."""
    (folder / "data").mkdir(parents=True)
    (folder / "2026-11-01T01-00Z").mkdir()
    names = []
    for number in range(files):
        own = rows[number::files]
        if form == "Parquet":
            name = f"{number}.parquet"
            pq.write_table(pa.Table.from_pylist(own), folder / "data" / name, row_group_size=17)
        else:
            name = f"{number}.csv.gz"
            lines = [
                ",".join(
                    f'"{value}"'
                    for value in (
                        *(one["bucket"], quote_plus(one["key"]), one["version_id"], str(one["is_latest"]).lower()),
                        *(str(one["is_delete_marker"]).lower(), one["size"], "2026", one["e_tag"].strip('"')),
                    )
                )
                for one in own
            ]
            (folder / "data" / name).write_bytes(gzip.compress("\n".join(lines).encode()))
        names.append({"key": f"reports/lake/all/data/{name}", "size": 1, "MD5checksum": "0"})
    manifest = {"sourceBucket": "lake", "destinationBucket": "arn:aws:s3:::reports", "fileFormat": form, "files": names}
    manifest["fileSchema"] = ", ".join(SCHEMA) if form == "CSV" else "message s3.inventory {}"
    place = folder / "2026-11-01T01-00Z" / "manifest.json"
    place.write_text(json.dumps(manifest))
    return str(place)


@pytest.mark.parametrize("form", ["Parquet", "CSV"])
def test_every_living_image_and_shard_is_planned_once_and_the_rest_is_counted(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "ROWS_PER_SLICE", 8)
    source = Source([write_inventory(tmp_path, form, ROWS)])
    units = list(source.units())
    shards = [unit for unit in units if unit.kind is Kind.SHARD]
    slices = [unit for unit in units if unit.kind is Kind.SLICE]
    assert [(unit.name, unit.size) for unit in shards] == [("s3://lake/shards/0.tar#cafe", 10240)]
    assert source.skipped == 3
    again = [list(inventory.keys(unit.uri, unit.slice)) for unit in slices if unit.slice is not None]
    assert [len(uris) for uris in again] == [unit.images for unit in slices]
    assert sorted(uri for uris in again for uri in uris) == sorted(LIVING)
    assert len({unit.name for unit in units}) == len(units) > 8
    assert [unit.name for unit in Source([source.texts[0]]).units()] == [unit.name for unit in units]


def test_an_inventory_of_a_real_bucket_is_read_image_by_image_and_shard_by_shard(store: int, tmp_path: Path) -> None:
    fs = fsspec.filesystem("s3")
    fs.mkdir("stocked")
    fs.pipe_file("stocked/photos/one 1.jpg", picture(1))
    fs.pipe_file("stocked/shards/0.tar", write_shard(tmp_path / "0.tar", samples(3)).read_bytes())
    tag = fs.info("stocked/shards/0.tar")["ETag"]
    rows = [row("photos/one 1.jpg"), row("photos/lost.jpg"), row("shards/0.tar", e_tag=tag)]
    write_inventory(tmp_path / "i", "Parquet", [one | {"bucket": "stocked"} for one in rows], files=1)
    manifest = json.loads((tmp_path / "i/2026-11-01T01-00Z/manifest.json").read_text())
    manifest["destinationBucket"] = "arn:aws:s3:::stocked"
    fs.pipe_file("stocked/reports/lake/all/data/0.parquet", (tmp_path / "i/data/0.parquet").read_bytes())
    fs.pipe_file("stocked/reports/manifest.json", json.dumps(manifest).encode())
    units = list(Source(["s3://stocked/reports/manifest.json"]).units())
    listed = list(Source(["s3://stocked/shards/*.tar"]).units())
    assert [unit.name for unit in units if unit.kind is Kind.SHARD] == [unit.name for unit in listed]
    read = [row for table in fetch(units, ReadOptions(1 << 20)) for row in table.to_pylist()]
    assert sorted((row["uri"].rpartition("/")[2], row["status"]) for row in read) == [
        *[("0.tar", None)] * 3,
        ("lost.jpg", "missing"),
        ("one 1.jpg", None),
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("{}", "not a manifest of an S3 Inventory"),
        ("not json", "not a manifest of an S3 Inventory"),
        ('{"fileFormat": "ORC", "files": [], "destinationBucket": "b", "fileSchema": ""}', "'orc' is not supported"),
        ('{"fileFormat": "CSV", "files": [], "destinationBucket": "b", "fileSchema": "Bucket, Size"}', "and no Key"),
    ],
)
def test_what_is_no_inventory_is_refused(words: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(words)
    with pytest.raises(SettingsError, match=complaint):
        list(Source([str(tmp_path / "manifest.json")]).units())


@pytest.mark.parametrize("form", ["Parquet", "CSV"])
def test_a_damaged_data_file_is_a_row_and_the_others_are_read(form: str, tmp_path: Path) -> None:
    manifest = write_inventory(tmp_path, form, ROWS)
    damaged = min((tmp_path / "data").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:90])
    units = list(Source([manifest]).units())
    assert [unit.uri for unit in units if unit.fault is not None] == [str(damaged)]
    assert sum(unit.images or 0 for unit in units if unit.kind is Kind.SLICE) > 20
    (row,) = [
        row for table in fetch([unit for unit in units if unit.fault], ReadOptions(9)) for row in table.to_pylist()
    ]
    assert row["status"] == "torn_archive" and damaged.name in row["detail"]


def test_rows_of_a_data_file_that_was_damaged_since_say_so(tmp_path: Path) -> None:
    units = [unit for unit in Source([write_inventory(tmp_path, "CSV", ROWS)]).units() if unit.kind is Kind.SLICE]
    data = tmp_path / "data" / "0.csv.gz"
    data.write_bytes(data.read_bytes()[:90])
    own = [unit for unit in units if unit.uri == str(data)]
    found = [row for table in fetch(own, ReadOptions(9)) for row in table.to_pylist()]
    assert len(found) == sum(unit.images or 0 for unit in own) and {row["status"] for row in found} == {"torn_archive"}


@pytest.mark.parametrize(
    ("line", "times"),
    [(bytes(1 << 20), 64), (b"," * 60_000 + b"\n", 2_000), (b'"lake","' + b"k," * (1 << 19), 64)],
    ids=["one endless line", "only fields", "a quote that is never closed"],
)
def test_a_data_file_that_decompresses_without_end_is_a_row_and_takes_no_memory(
    line: bytes, times: int, tmp_path: Path
) -> None:
    manifest = write_inventory(tmp_path, "CSV", ROWS, files=1)
    bomb = tmp_path / "data" / "0.csv.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb.write_bytes(b"".join(packer.compress(line) for _ in range(times)) + packer.flush())
    assert bomb.stat().st_size < 1 << 20 < 64 << 20 <= len(line) * times
    tracemalloc.start()
    try:
        [unit] = Source([manifest]).units()
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert unit.fault is not None and unit.fault[0] == "torn_archive"
    assert taken < 100 << 20, f"{taken:,} bytes"


def test_an_inventory_larger_than_a_chunk_has_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "CHUNK", 7)
    units = list(Source([write_inventory(tmp_path, "CSV", ROWS)]).units())
    slices = [(unit.uri, unit.slice) for unit in units if unit.slice is not None]
    assert sorted(uri for url, piece in slices for uri in inventory.keys(url, piece)) == sorted(LIVING)
