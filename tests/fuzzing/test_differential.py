"""Differential reading: what all readers read alike is read alike here, and what is in an archive is found."""

import pytest

from tests.fuzzing.archives import ENDINGS, FEATURES, PACKERS, archive
from tests.fuzzing.differential import CHOICES, READERS, Comparison, compare, compare_all

COUNT = 300


def test_generated_archives_are_read_as_they_are_written_and_as_all_others_read_them() -> None:
    found = compare_all(COUNT, seed=1)
    assert found.broken == []
    assert found.archives == COUNT
    assert found.agreed > COUNT // 4, "the other readers read too little for a comparison"


def test_the_archives_have_every_feature_and_the_same_seed_gives_the_same_ones() -> None:
    made = [archive(number, 1) for number in range(COUNT)]
    assert {name for one in made for name in one.features} == {*FEATURES, *ENDINGS, *PACKERS} - {""}
    assert [one.data for one in made[:20]] == [archive(number, 1).data for number in range(20)]


def test_a_comparison_tells_what_is_read_otherwise() -> None:
    found, made = Comparison(), archive(3, 1)
    made.files.pop()
    compare(made, "one file too many", found)
    assert len(found.broken) == 1 and "one file too many" in found.broken[0]


def test_libarchive_is_among_the_readers() -> None:
    if "libarchive" not in READERS:
        pytest.skip("libarchive is not installed: apt-get install libarchive13")
    assert set(READERS) == {"tarfile", "libarchive", "webdataset"} and set(CHOICES) < {*FEATURES, *ENDINGS}
