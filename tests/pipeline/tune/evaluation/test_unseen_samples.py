"""Unseen samples: test images that taught none of the versions, by place, by content and by group."""

from pathlib import Path

from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST, portable
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.evaluation.unseen_samples import training_images_of, unseen_samples
from tests.pipeline.tune.evaluation.conftest import Versions, here, manifest
from tests.tiny import tiny_checkpoint


def test_both_are_evaluated_on_test_images_of_either_that_neither_was_trained_on(
    place: Versions,
) -> None:
    models, old, new = place
    both = [here(models.version(digest)) for digest in (new, old)]
    assert sorted(sample.uri for sample in unseen_samples(both)) == ["/photos/a.jpg", "/photos/d.jpg"]
    assert sorted(sample.uri for sample in unseen_samples(both[1:])) == ["/photos/a.jpg", "/photos/b.jpg"]


def test_an_image_whose_location_only_one_version_knows_is_read_there(place: Versions) -> None:
    models, old, new = place
    file = Path(models.version(old)) / MANIFEST
    file.write_bytes(portable(file.read_bytes()))
    both = [here(models.version(new)), here(models.version(old))]
    assert sorted(sample.uri for sample in unseen_samples(both)) == ["/photos/a.jpg", "/photos/d.jpg"]
    assert unseen_samples(both[1:]) == [], "names without a folder lead nowhere"


def test_an_image_whose_near_duplicate_taught_the_other_version_is_left_out(tmp_path: Path) -> None:
    models = Registry(str(tmp_path / "models"))
    rows = {"photo": TEST, "again": TEST, "other": TEST}
    taught, tested = {"photo": TRAIN}, dict(rows)
    digests = [
        models.add(
            tiny_checkpoint(tmp_path / str(seed), seed=seed), {MANIFEST: manifest(own, {"photo": "g", "again": "g"})}
        )
        for seed, own in ((1, taught), (2, tested))
    ]
    both = [here(models.version(digest)) for digest in reversed(digests)]
    assert [sample.uri for sample in unseen_samples(both)] == ["/photos/other.jpg"]


def test_further_samples_that_either_was_trained_on_are_left_out(place: Versions) -> None:
    models, old, _ = place
    given = [Sample(f"/photos/{name}.jpg", number // 2, "source") for number, name in enumerate(("c", "a", "more"))]
    chosen = unseen_samples([here(models.version(old))], given)
    names = sorted(sample.uri for sample in chosen)
    assert names == ["/photos/a.jpg", "/photos/b.jpg", "/photos/more.jpg"]  # c taught, a is there already


def test_an_image_that_two_versions_test_on_is_taken_once_from_where_the_first_of_them_has_it(place: Versions) -> None:
    models, old, new = place
    (Path(models.version(new)) / MANIFEST).write_bytes(manifest({"a": TEST, "b": TEST}, {"a": "of the new one"}))
    for versions, group in (((new, old), "of the new one"), ((old, new), "")):
        chosen = unseen_samples([here(models.version(digest)) for digest in versions])
        assert [sample.group for sample in chosen if sample.uri == "/photos/a.jpg"] == [group]


def test_a_version_without_a_manifest_gives_no_image_and_takes_none_away(place: Versions, tmp_path: Path) -> None:
    models, old, _ = place
    silent = here(str(tiny_checkpoint(tmp_path / "silent", seed=3)))
    alone = here(models.version(old))
    assert unseen_samples([silent]) == []
    assert unseen_samples([silent, alone]) == unseen_samples([alone]) != []


def test_the_training_images_of_versions_are_joined_as_far_as_they_list_them(place: Versions, tmp_path: Path) -> None:
    models, old, new = place
    silent = here(str(tiny_checkpoint(tmp_path / "silent", seed=3)))
    known = training_images_of([here(models.version(old)), silent, here(models.version(new))])
    assert known.digests == {"b", "c"} and {uri for uri, _, _ in known.places} == {"/photos/b.jpg", "/photos/c.jpg"}
    assert known.listed and not known.sources
