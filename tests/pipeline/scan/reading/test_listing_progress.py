"""Listing progress: a source's units are counted while they are listed."""

from pathlib import Path

from pipeline.scan.reading.listing_progress import show_listing
from pipeline.scan.reading.source import Source
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import picture, samples, write_shard


def test_units_images_and_shards_are_counted_as_they_are_found(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    shard = write_shard(tmp_path / "shards" / "a.tar", samples(2))
    progress = ProgressDisplay(quiet=True)
    units = show_listing(Source([f"{tmp_path}/0.jpg", f"{tmp_path}/1.jpg", str(shard)]).units(), progress, "comparing")
    next(units)
    assert str(progress) == "listing the source, 1 images in 1 units"
    assert len(list(units)) == 2
    assert progress.phase == "comparing" and list(progress.phases) == ["listing the source"]
