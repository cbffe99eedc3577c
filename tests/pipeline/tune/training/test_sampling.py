"""Laws of the sampling plan."""

from collections import Counter

import numpy as np
import pytest

from mole.errors import SettingsError
from pipeline.tune.training.sampling import balanced_weights, sample_epochs, systematic_sample

KINDS = [(0, "photos")] * 30 + [(0, "more photos")] * 10 + [(1, "one")] * 5 + [(1, "two")] * 40 + [(1, "three")]


def test_both_classes_weigh_the_same_and_in_a_class_every_source() -> None:
    weight_N = balanced_weights(KINDS)
    sums: Counter[tuple[int, str]] = Counter()
    for kind, weight in zip(KINDS, weight_N.tolist(), strict=True):
        sums[kind] += weight
    assert sums[0, "photos"] == pytest.approx(0.25) and sums[0, "more photos"] == pytest.approx(0.25)
    assert [sums[1, name] for name in ("one", "two", "three")] == pytest.approx([1 / 6] * 3)


SHOWN = ["photo"] * 20 + ["art"] * 20 + ["photo"] * 30 + ["art"] * 9 + [""] * 7


def sums(kinds: list[tuple[int, str]], contents: list[str]) -> Counter[tuple[int, str]]:
    """Add up the weights of each content of each class."""
    added: Counter[tuple[int, str]] = Counter()
    for (label, _), content, weight in zip(kinds, contents, balanced_weights(kinds, contents).tolist(), strict=True):
        added[label, content] += weight
    return added


def test_a_content_that_both_classes_show_tells_nothing_of_the_label() -> None:
    contents = ["photo"] * 25 + ["art"] * 15 + ["photo"] * 36 + ["art"] * 10
    added = sums(KINDS, contents)
    assert [added[label, content] for label in (0, 1) for content in ("photo", "art")] == pytest.approx([0.25] * 4)


def test_what_one_class_alone_shows_is_one_cell_of_it_with_what_nothing_tells_of() -> None:
    added = sums(KINDS, SHOWN)  # nine pictures of art are too few, so art is the rest of either class
    assert [added[0, "photo"], added[1, "photo"]] == pytest.approx([0.25] * 2)
    assert [added[0, "art"], added[1, "art"] + added[1, ""]] == pytest.approx([0.25] * 2)


def test_in_a_cell_every_source_weighs_the_same_whatever_it_has_in_others() -> None:
    kinds = [(0, "a")] * 12 + [(0, "b")] * 30 + [(1, "c")] * 10 + [(1, "d")] * 20
    contents = ["photo"] * 10 + ["art"] * 2 + ["photo"] * 20 + ["art"] * 10 + ["photo"] * 10 + ["art"] * 20
    weight_N = balanced_weights(kinds, contents)
    assert weight_N.sum() == pytest.approx(1)
    parts = np.split(weight_N, [10, 12, 32, 42])
    assert [part.sum() for part in parts[:4]] == pytest.approx([0.125] * 4)


def test_contents_that_tell_nothing_change_nothing() -> None:
    assert np.array_equal(balanced_weights(KINDS), balanced_weights(KINDS, [""] * len(KINDS)))
    assert balanced_weights(KINDS, ["photo"] * len(KINDS)) == pytest.approx(balanced_weights(KINDS))


def test_draws_follow_the_contents() -> None:
    plan = sample_epochs(KINDS, contents=SHOWN, epochs=1, steps=10, batch_size=16, seed=0)
    counts = Counter((KINDS[place][0], SHOWN[place] == "photo") for place in plan.sample_K)
    assert len(counts) == 4 and all(abs(count - 40) <= 5 for count in counts.values())


def test_one_class_alone_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"both classes, got only \['one'\]"):
        balanced_weights([(1, "one")] * 3)


def test_a_source_is_drawn_as_often_as_its_weight_says_and_never_by_luck() -> None:
    plan = sample_epochs(KINDS, epochs=4, steps=15, batch_size=16, seed=3)
    for epoch in np.split(plan.sample_K, 4):
        counts = Counter(KINDS[place] for place in epoch)
        assert counts[0, "photos"] == 60 and counts[0, "more photos"] == 60
        assert all(counts[1, name] == 40 for name in ("one", "two", "three"))


def test_within_a_source_no_image_is_drawn_twice_more_than_another() -> None:
    places = systematic_sample(balanced_weights(KINDS), 240, np.random.default_rng(0))
    counts = Counter(places.tolist())
    assert max(counts[place] for place in range(30)) - min(counts[place] for place in range(30)) <= 1


def test_the_seed_decides_every_draw_and_each_epoch_has_its_own() -> None:
    first, again, other = (sample_epochs(KINDS, epochs=2, steps=4, batch_size=8, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.sample_K, again.sample_K)
    assert not np.array_equal(first.sample_K, other.sample_K)
    assert not np.array_equal(first.sample_K[:32], first.sample_K[32:])
    assert first.steps == 8
    assert first.variant_K.tolist() == [0] * 32 + [1] * 32
