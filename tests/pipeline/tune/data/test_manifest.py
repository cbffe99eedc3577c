"""Laws of a manifest: an image that taught a version is known again, by its place or by its content."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.config import CONFIG, Description, describe
from pipeline.tune.data.collection import CALIBRATION, TEST
from pipeline.tune.data.manifest import (
    MANIFEST,
    UNLISTED_SOURCES,
    place_of,
    portable,
    training_images,
    with_parent_images,
    with_samples,
)
from pipeline.tune.data.samples import Sample, from_table, to_table
from pipeline.tune.data.split import TRAIN
from tests.tiny import tiny_checkpoint

SAMPLES = [Sample("a.jpg", 0, "s"), Sample("b.tar", 1, "s", offset=512, length=9), Sample("c.jpg", 1, "s")]


@pytest.fixture
def model(tmp_path: Path) -> Description:
    return describe(tiny_checkpoint(tmp_path / "model"))


def version(model: Description, splits: list[str]) -> Description:
    table = to_table(SAMPLES).append_column("digest", pa.array(["aa", "bb", "cc"]))
    pq.write_table(table.append_column("split", pa.array(splits)), model.folder / MANIFEST)
    return model


def test_what_it_learned_from_and_was_calibrated_on_counts_and_what_it_was_tested_on_does_not(
    model: Description,
) -> None:
    known = training_images(version(model, [TRAIN, CALIBRATION, TEST]))
    assert [known.contains(sample) for sample in SAMPLES] == [True, True, False]
    assert known.digests == {"aa", "bb"} and known.listed


def test_another_image_of_the_same_shard_is_another_image(model: Description) -> None:
    known = training_images(version(model, [TRAIN, TRAIN, TRAIN]))
    assert not known.contains(Sample("b.tar", 1, "s", offset=2048, length=9))
    assert not known.contains(Sample("new.jpg", 0, "s"))


def test_a_model_without_a_manifest_says_that_it_does_not_know(model: Description) -> None:
    known = training_images(model)
    assert not known.listed and not known.sources and not known.contains(SAMPLES[0])


def test_a_manifest_that_goes_elsewhere_tells_contents_and_no_places(model: Description) -> None:
    samples = [Sample("/home/ada/private/a.jpg", 0, "own"), Sample("s3://lake/b.jpg", 1, "gan")]
    (model.folder / MANIFEST).write_bytes(portable(with_samples(model.folder, samples, ["aa", "bb"], TRAIN)))
    known = training_images(model)
    assert known.digests == {"aa", "bb"} and known.listed
    assert {place for place, _, _ in known.places} == {"a.jpg", "b.jpg"}


def test_a_portable_manifest_names_the_groups_of_several_images_alone(model: Description) -> None:
    samples = [Sample(f"/photos/{n}.jpg", 0, "s", group="pair" if n < 2 else f"own-{n}") for n in range(4)]
    rows = pq.read_table(io.BytesIO(portable(with_samples(model.folder, samples, list("abcd"), TRAIN))))
    assert rows["group"].to_pylist() == ["pair", "pair", "", ""] and rows["digest"].to_pylist() == list("abcd")


def test_the_shipped_detector_lists_its_training_images_by_content(root: Path) -> None:
    known = training_images(describe(root / "mole" / "embedded"))
    assert known.listed and len(known.digests) > 1_500
    assert not any(place.startswith("/") for place, _, _ in known.places)


def test_a_list_of_calibration_images_only_is_no_list_of_training_images(model: Description) -> None:
    (model.folder / MANIFEST).write_bytes(with_samples(model.folder, SAMPLES[:1], ["aa"], CALIBRATION))
    known = training_images(model)
    assert known.contains(SAMPLES[0]) and not known.listed


def test_an_extended_manifest_keeps_what_stood_in_it(model: Description) -> None:
    (model.folder / MANIFEST).write_bytes(
        with_samples(version(model, [TRAIN, TRAIN, TEST]).folder, [Sample("d.jpg", 0, "own")], ["dd"], CALIBRATION)
    )
    known = training_images(model)
    assert known.digests == {"aa", "bb", "dd"} and known.listed
    assert describe(model.folder).digest == model.digest and (model.folder / CONFIG).is_file()


def test_a_version_inherits_the_training_images_of_its_parent(model: Description, tmp_path: Path) -> None:
    child = describe(tiny_checkpoint(tmp_path / "child", seed=1))
    own = to_table([Sample("e.jpg", 0, "s")]).append_column("digest", pa.array(["ee"]))
    pq.write_table(own.append_column("split", pa.array([TRAIN])), tmp_path / "own.parquet")
    alone = (tmp_path / "own.parquet").read_bytes()
    assert with_parent_images(alone, model) == alone  # a parent without a manifest gives nothing
    (child.folder / MANIFEST).write_bytes(with_parent_images(alone, version(model, [TRAIN, CALIBRATION, TEST])))
    assert training_images(child).digests == {"aa", "bb", "ee"} and training_images(child).listed
    config = child.config.model_copy(update={"provenance": {UNLISTED_SOURCES: ["coco"]}})
    (child.folder / CONFIG).write_text(config.model_dump_json())
    assert not training_images(describe(child.folder)).listed and training_images(describe(child.folder)).sources == {
        "coco"
    }


def test_the_training_images_of_two_versions_are_joined(model: Description) -> None:
    both = training_images(version(model, [TRAIN, TEST, TEST])) | training_images(version(model, [TEST, TRAIN, TEST]))
    assert [both.contains(sample) for sample in SAMPLES] == [True, True, False]


def test_a_manifest_that_was_written_before_there_were_parts_is_read() -> None:
    old = to_table(SAMPLES).drop_columns(["part"])
    assert from_table(old) == SAMPLES
    assert place_of(SAMPLES[1]) == ("b.tar", 512, None)
