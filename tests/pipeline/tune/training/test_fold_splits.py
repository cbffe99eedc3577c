"""Laws of the folds; their results are in tests/jobs/test_crossvalidate.py."""

from collections import Counter

import pyarrow as pa

from pipeline.tune.data.collection import TEST, VALIDATION, Collection
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.fold_splits import fold_split, without_shared_groups
from pipeline.tune.training.recipe import Recipe


def gathered(samples: list[Sample]) -> Collection:
    digests = pa.table({"digest": [f"{number}" for number in range(len(samples))]})
    return Collection(samples, [TRAIN] * len(samples), digests, Counter())


NEAR = "a picture that lies in two collections"
SAMPLES = [
    *(Sample(f"a{n}", n % 2, f"a{n % 2}", f"a{n}", collection="attic") for n in range(4)),
    *(Sample(f"h{n}", n % 2, f"h{n % 2}", f"h{n}", collection="harbour") for n in range(4)),
    Sample("a", 0, "a0", NEAR, collection="attic"),
    Sample("m", 0, "m0", NEAR, collection="meadow"),
    Sample("h", 0, "h0", NEAR, collection="harbour"),
]


def recipe(**more: object) -> Recipe:
    return Recipe.model_validate({"samples": ["s"], "validation_share": 0.0} | more)


def test_a_fold_holds_its_collections_out_and_trains_on_nothing_that_is_near_them() -> None:
    own = fold_split(gathered(SAMPLES), ["attic"], recipe())
    assert {sample.collection for sample in own.of(TEST)} == {"attic"} and len(own.of(TEST)) == 5
    assert {sample.uri for sample in own.of(TRAIN)} == {"h0", "h1", "h2", "h3"}
    assert own.survey["digest"].to_pylist() == ["0", "1", "2", "3", "4", "5", "6", "7", "8"]


def test_validation_samples_are_neither_trained_on_nor_tested() -> None:
    own = fold_split(gathered(SAMPLES), ["attic"], recipe(hold_out=("h1",)))
    assert {sample.uri for sample in own.of(VALIDATION)} == {"h1", "h3"}
    assert {sample.uri for sample in own.of(TRAIN)} == {"h0", "h2"}
    shared = fold_split(gathered(SAMPLES), ["attic"], recipe(validation_share=0.5))
    assert 0 < len(shared.of(VALIDATION)) < 4 and len(shared.of(TEST)) == 5


def test_an_image_near_one_of_an_earlier_fold_is_in_no_later_one() -> None:
    kept = without_shared_groups(gathered(SAMPLES), [["attic"], ["harbour"]])
    assert [sample.uri for sample in kept.samples if sample.group == NEAR] == ["a", "m"]
    assert len(kept.samples) == len(kept.splits) == len(kept.survey) == len(SAMPLES) - 1
