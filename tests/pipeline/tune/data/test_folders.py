"""Laws of the folder layouts."""

from collections import Counter

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.folders import read, reals_of
from pipeline.tune.data.label_words import FOLDERS, extend_words
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.source_options import SourceOptions

PLACE = "/data/bench"


def found(
    *files: str, place: str = PLACE, labels: dict[str, str] | None = None, split: tuple[str, ...] = ()
) -> set[tuple[str, int]]:
    """Read files below a place; source and label of each sample."""
    _, samples, _ = read(
        [f"{place}/{file}" for file in files], place, extend_words(labels, FOLDERS), options=SourceOptions(split=split)
    )
    return {(sample.source, sample.label) for sample in samples}


def test_a_generator_with_two_classes() -> None:
    assert found("progan/0_real/a.png", "progan/1_fake/a.png") == {("progan", 0), ("progan", 1)}


def test_classes_of_things_are_no_generators() -> None:
    assert found("progan/cat/0_real/a.png", "progan/dog/1_fake/b.png") == {("progan", 0), ("progan", 1)}


def test_genimage_with_its_splits() -> None:
    files = ("biggan/train/nature/a.JPEG", "biggan/val/ai/b.png", "adm/imagenet_ai_0508_adm/train/ai/c.png")
    assert found(*files) == {("biggan", 0), ("biggan", 1), ("adm", 1)}


def test_labels_alone_are_named_by_the_place() -> None:
    assert found("train/REAL/a.jpg", "train/FAKE/b.jpg", place="/data/cifake") == {("cifake", 0), ("cifake", 1)}


def test_generators_below_their_label() -> None:
    assert found("real/coco/a.jpg", "fake/flux/b.jpg", "fake/sdxl/c.jpg") == {("coco", 0), ("flux", 1), ("sdxl", 1)}


def test_a_mapping_names_other_labels() -> None:
    labels = {"human": "real", "machine": "fake"}
    assert found("gpt/human/a.jpg", "gpt/machine/b.jpg", labels=labels) == {("gpt", 0), ("gpt", 1)}


def test_a_mapping_may_name_generators_themselves() -> None:
    labels = {"coco": "real", "flux": "fake"}
    assert found("coco/a.jpg", "flux/b.jpg", labels=labels) == {("coco", 0), ("flux", 1)}


def test_the_folder_of_one_class_is_named_by_what_holds_it() -> None:
    assert found("a.jpg", place="/data/coco/0_real") == {("coco", 0)}


def test_a_source_of_several_generators_is_split() -> None:
    files = ("dcsan/dalle/1_fake/a.png", "dcsan/ldm/1_fake/b.png", "coco/0_real/c.jpg")
    assert found(*files, split=("dcsan",)) == {("dalle", 1), ("ldm", 1), ("coco", 0)}


def test_the_deepest_label_counts() -> None:
    assert found("real/flux/1_fake/a.png") == {("real", 1)}


def test_universal_fake_detect_lends_reals() -> None:
    folders = ("imagenet/0_real", "laion/0_real", "guided/1_fake", "ldm_200/1_fake", "dalle/1_fake")
    files = [f"/t/diffusion_datasets/{folder}/{number}.png" for folder in folders for number in range(2)]
    files += ["/t/progan/cat/0_real/a.png", "/t/progan/cat/1_fake/a.png", "/t/new/1_fake/a.png"]
    samples = read(files, "/t", FOLDERS)[1]
    assert {sample.source for sample in samples} == {"imagenet", "laion", "guided", "ldm_200", "dalle", "progan", "new"}
    assert reals_of(samples) == {"guided": "imagenet", "ldm_200": "laion", "dalle": "laion", "progan": "progan"}


def test_a_generator_with_its_own_reals_borrows_none() -> None:
    samples = [Sample("a", 0, "dalle"), Sample("b", 1, "dalle"), Sample("c", 0, "laion")]
    assert reals_of(samples) == {"dalle": "dalle"}


def test_what_is_passed_over_is_counted() -> None:
    files = [f"/d/{name}" for name in ("0_real/a.jpg", "0_real/notes.txt", "stray.jpg", "1_fake/b.webp")]
    name, samples, skipped = read(files, "/d", FOLDERS)
    assert (name, len(samples)) == ("{0_real,1_fake}", 2)
    assert skipped == Counter({"not an image by its name": 1, "no folder above it is a label": 1})


def test_odd_names_are_images() -> None:
    assert found("0_real/a.b.JPG", "1_fake/x.WebP", place="/d/x") == {("x", 0), ("x", 1)}


def test_grids_give_their_cells_in_turn() -> None:
    files = [f"/d/sheet/1_fake/{number}.webp" for number in range(5)]
    samples = read(files, "/d", FOLDERS, options=SourceOptions(grids=["sheet"]))[1]
    assert [sample.cell for sample in samples] == [0, 1, 2, 3, 0]


def test_an_unknown_layout_is_refused_with_what_was_found() -> None:
    with pytest.raises(SettingsError, match="found 'cats/a.jpg', 'dogs/b.jpg' .*0_real.*--label-names"):
        read(["/d/cats/a.jpg", "/d/dogs/b.jpg"], "/d", FOLDERS)


def test_a_folder_without_images_is_refused() -> None:
    with pytest.raises(SettingsError, match="found no image \\(1 files not an image by its name\\)"):
        read(["/d/0_real/readme.md"], "/d", FOLDERS)


def test_the_generators_of_a_split_folder_are_held_out_together() -> None:
    files = ["/d/dcsan/dalle/1_fake/a.png", "/d/dcsan/ldm/1_fake/b.png", "/d/coco/0_real/c.jpg"]
    samples = read(files, "/d", FOLDERS, options=SourceOptions(split=["dcsan"], crop_edges={"dcsan": 0.1}))[1]
    told = [(sample.source, sample.collection, sample.edge) for sample in samples]
    assert told == [("dalle", "dcsan", 0.1), ("ldm", "dcsan", 0.1), ("coco", "coco", 0.0)]
