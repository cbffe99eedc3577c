"""Laws of an export: each chosen image once, whatever stops it; read back by webdataset, a training and a scan."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import s3fs
import webdataset

from mole.errors import CompletenessError, SettingsError
from pipeline.labels import append
from pipeline.records import PLACE
from pipeline.review.analysis.original_bytes import original
from pipeline.review.export import Exported, ExportSettings, export, require_exportable
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.table.views import ask
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.layout import recognise
from pipeline.tune.data.samples import read
from tests.pictures import picture, samples, write_shard
from tests.verdicts import verdict_row, write_verdicts

COUNT = 5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The verdicts of a shard and of a folder."""
    write_shard(tmp_path / "source" / "a.tar", samples(COUNT - 1))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "z.jpg").write_bytes(picture(COUNT - 1))
    sources = [str(tmp_path / "photos"), str(tmp_path / "source" / "a.tar")]
    found = pa.concat_tables(fetch(list(Source(sources).units()), ReadOptions(1 << 20))).to_pylist()
    rows = [
        verdict_row(row["unit"], row["index"], content_hash=hashlib.sha256(row["data"]).digest()[:16], format="jpeg")
        | {name: row[name] for name, _ in PLACE}
        for row in found
    ]
    return write_verdicts(tmp_path / "table", rows)


class Stopping(ProgressDisplay):
    """A progress that is told to do something else once so many images are done."""

    def __init__(self, behind: int, do: Callable[[], None]) -> None:
        super().__init__(quiet=True)
        self._behind, self._do = behind, do

    def advance(self, more: int = 1, faults: int = 0) -> None:
        """Count, and do it."""
        super().advance(more, faults)
        self._behind -= more
        if not self._behind:
            self._do()


def run(table: Path, output: str | Path, progress: ProgressDisplay | None = None, **given: object) -> Exported:
    settings = ExportSettings.model_validate({"table": str(table), "output": str(output), **given})
    return export(settings, require_exportable(settings), progress or ProgressDisplay(quiet=True))


def images(shards: str | Path) -> list[bytes]:
    """Read the images of shards as a scan does."""
    read_ = pa.concat_tables(fetch(list(Source([f"{shards}/shard-*.tar"]).units()), ReadOptions(1 << 20)))
    assert set(read_["status"].to_pylist()) == {None}
    return list(read_["data"].to_pylist())


PICTURES = [picture(number) for number in range(COUNT)]


def test_a_scan_reads_an_export_back_and_every_image_is_there_once(table: Path, tmp_path: Path) -> None:
    found = run(table, tmp_path / "out", images_per_shard=2)
    assert (found.images, found.missing, found.shards) == (COUNT, 0, 3)
    assert sorted(images(tmp_path / "out")) == sorted(PICTURES)
    assert run(table, tmp_path / "out", images_per_shard=2) == found  # nothing is to be done


def test_webdataset_reads_an_export_back(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "out", where="uri LIKE '%z.jpg' OR \"index\" = 3")
    [shard] = (tmp_path / "out").glob("*.tar")
    back = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in back] == ["000000000", "000000001"]
    assert [sample["json"]["verdict"] for sample in back] == ["unsure", "unsure"]
    assert {sample["jpg"].size for sample in back} == {(67, 64), (68, 64)}


def test_a_training_reads_labels_back(table: Path, tmp_path: Path) -> None:
    rows = ask(str(table), 'FROM current ORDER BY unit, "index"').to_pylist()
    labels = ["generated", "real", "unsure", "real", "withdrawn"]
    said = [
        {name: row[name] for name in ("unit", "index", "uri", "key", "content_hash")}
        | {"label": label, "labelled_by": "ada", "generator": "sdxl" if label == "generated" else None}
        for row, label in zip(rows, labels, strict=True)
    ]
    append(str(tmp_path / "labels"), said)
    found = run(table, tmp_path / "out", labels=str(tmp_path / "labels"), images_per_shard=3)
    assert (found.images, found.shards) == (4, 2)
    layout = recognise(str(tmp_path / "out"))
    assert layout.skipped == {"sample without a label": 1}
    assert [(one.label, one.source) for one in layout.samples] == [(1, "sdxl"), (0, "shard"), (0, "shard")]
    wanted = [original(row) for row, label in zip(rows, labels, strict=True) if label in ("generated", "real")]
    assert [read(one) for one in layout.samples] == wanted


def test_an_export_that_dies_between_two_shards_loses_none_and_doubles_none(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "whole", images_per_shard=1)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(table, tmp_path / "out", Stopping(3, stop), images_per_shard=1)
    there = {path.name for path in (tmp_path / "out").glob("*.tar")}
    assert there == {"shard-000000.tar", "shard-000001.tar"}
    run(table, tmp_path / "out", images_per_shard=1)
    own, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.tar")} for name in ("out", "whole")
    )
    assert own == whole and len(own) == COUNT


def test_images_whose_bytes_are_gone_or_others_are_listed(table: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "z.jpg").unlink()
    found = run(table, tmp_path / "out")
    assert (found.images, found.missing) == (COUNT - 1, 1)
    with (tmp_path / "out" / "missing.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["uri"].endswith("photos/z.jpg") and row["status"] == "missing"


def test_a_shard_that_somebody_took_away_is_told(table: Path, tmp_path: Path) -> None:
    shard = tmp_path / "out" / "shard-000000.tar"
    with pytest.raises(CompletenessError, match="shard-000000.tar is gone"):
        run(table, tmp_path / "out", Stopping(3, shard.unlink), images_per_shard=1)


def test_labels_that_are_not_there_are_refused(table: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, told in (("none", "--labels"), ("empty", "holds no labels"), ("table", "holds no labels")):
        with pytest.raises(SettingsError, match=told):
            run(table, tmp_path / "out", labels=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_an_export_of_something_else_is_refused_before_anything_is_made(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "out")
    settings = ExportSettings(table=str(table), output=str(tmp_path / "out"), limit=2)
    with pytest.raises(SettingsError, match="choose another --output"):
        require_exportable(settings)


def test_an_export_goes_into_a_bucket(table: Path, tmp_path: Path, store: int) -> None:
    fs = s3fs.S3FileSystem()
    fs.mkdirs("exports", exist_ok=True)
    found = run(table, "s3://exports/out", images_per_shard=3)
    assert found.shards == 2
    local = run(table, tmp_path / "out", images_per_shard=3)
    assert local.images == found.images
    for path in (tmp_path / "out").glob("*.tar"):
        assert storage.read(f"s3://exports/out/{path.name}") == path.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(storage.read("s3://exports/out/shard-000000.tar"))) as archive:
        member = archive.extractfile("000000000.json")
        assert member is not None and json.loads(member.read())["status"] == "ok"
