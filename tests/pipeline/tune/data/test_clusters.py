"""Laws of the clusters."""

import numpy as np
from numpy.typing import NDArray

from pipeline.tune.data.clusters import clustered, contents


def features(*counts: int) -> NDArray[np.float32]:
    """So many images around each of several directions, of any length; float32 (N, 16)."""
    draw = np.random.default_rng(0)
    middle_KF = draw.normal(size=(len(counts), 16)) * 4
    feature_NF = np.concatenate(
        [middle + draw.normal(size=(count, 16)) for middle, count in zip(middle_KF, counts, strict=True)]
    )
    return (feature_NF * draw.uniform(0.5, 9, (len(feature_NF), 1))).astype(np.float32)


def test_what_looks_alike_is_one_cluster_whatever_its_features_length() -> None:
    cluster_N = clustered(features(20, 7, 13), 3)
    assert cluster_N.tolist() == [0] * 20 + [1] * 7 + [2] * 13


def test_the_same_features_and_seed_give_the_same_clusters() -> None:
    feature_NF = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    assert np.array_equal(clustered(feature_NF, 9, seed=2), clustered(feature_NF.copy(), 9, seed=2))


def test_there_are_never_more_clusters_than_images() -> None:
    assert sorted(clustered(features(2, 1), 24).tolist()) == [0, 1, 2]


def test_an_image_is_named_by_the_named_ones_that_look_like_it() -> None:
    known = ["photo"] * 3 + ["art"] + [""] * 16 + ["art"] * 2 + [""] * 5
    named = contents(features(20, 7), known, clusters=2)
    assert named == ["photo"] * 3 + ["art"] + ["photo"] * 16 + ["art"] * 7


def test_a_cluster_that_next_to_nothing_names_is_a_content_of_its_own() -> None:
    known = ["photo"] * 10 + ["art"] + [""] * 29
    assert contents(features(10, 30), known, clusters=2) == ["photo"] * 10 + ["art"] + ["cluster 1"] * 29


def test_what_a_list_says_is_never_changed() -> None:
    known = ["photo", "art", ""] * 9
    named = contents(features(9, 18), known, clusters=2)
    assert [after for before, after in zip(known, named, strict=True) if before] == ["photo", "art"] * 9
    assert all(named)
