"""Laws of a manifest: an image that taught a version is known again by its place."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tune.data.collection import CALIBRATION, TEST
from pipeline.tune.data.manifest import MANIFEST, taught
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN

SAMPLES = [Sample("a.jpg", 0, "s"), Sample("b.tar", 1, "s", offset=512, length=9), Sample("c.jpg", 1, "s")]


def version(folder: Path, splits: list[str]) -> Path:
    table = to_table(SAMPLES).append_column("split", pa.array(splits))
    pq.write_table(table, folder / MANIFEST)
    return folder


def test_what_it_learned_from_and_was_calibrated_on_counts_and_what_it_was_tested_on_does_not(tmp_path: Path) -> None:
    assert taught(version(tmp_path, [TRAIN, CALIBRATION, TEST]), SAMPLES) == 2


def test_another_image_of_the_same_shard_is_another_image(tmp_path: Path) -> None:
    other = Sample("b.tar", 1, "s", offset=2048, length=9)
    assert taught(version(tmp_path, [TRAIN, TRAIN, TRAIN]), [other, Sample("new.jpg", 0, "s")]) == 0


def test_a_model_without_a_manifest_tells_nothing(tmp_path: Path) -> None:
    assert taught(tmp_path, SAMPLES) == 0
