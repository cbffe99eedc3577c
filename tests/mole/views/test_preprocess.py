"""A spec is refused where it is born."""

import pytest

from mole.views.preprocess import Preprocess


@pytest.mark.parametrize("values", [{"mode": "stretch"}, {"size": 0}, {"short_side": -1}, {"sise": 224}])
def test_a_spec_that_means_nothing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Preprocess.model_validate(values)


def test_a_spec_survives_the_checkpoint() -> None:
    spec = Preprocess(mode="resize", short_side=256)
    again = Preprocess.model_validate_json(spec.model_dump_json())
    assert again == spec and again.fingerprint == spec.fingerprint


NAMES = ["crop", "crop-4", "texture-4", "resize", "resize+crop"]


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_is_known_by_its_name(name: str) -> None:
    assert Preprocess.named(name).name == name


def test_the_fingerprints_of_before_two_scales_stay() -> None:
    known = {"crop": "5d263e490dfcfb4e", "resize": "4fd6a006dd4e8385"}
    assert {name: Preprocess.named(name).fingerprint for name in known} == known
    assert len({Preprocess.named(name).fingerprint for name in NAMES}) == len(NAMES)


def test_two_scales_survive_the_checkpoint_and_have_two_views() -> None:
    both = Preprocess(mode="resize+crop")
    assert Preprocess.model_validate_json(both.model_dump_json()) == both
    assert both.crops == 2 and both.bytes == 2 * Preprocess().bytes
    assert both.region(600, 800) is None, "the resized view wants the whole image"


@pytest.mark.parametrize(
    ("name", "singles"),
    [("resize", ["resize"]), ("crop-4", ["crop"]), ("texture-4", ["crop"]), ("resize+crop", ["resize", "crop"])],
)
def test_a_training_sees_one_view_of_each_scale(name: str, singles: list[str]) -> None:
    spec = Preprocess.named(name).model_copy(update={"short_side": 256})
    assert [single.name for single in spec.singles] == singles
    assert {single.short_side for single in spec.singles} == {256}
    assert spec.single == spec.singles[0] and spec.resizes == ("resize" in singles)


def test_another_view_of_the_same_tower_keeps_its_size_and_its_colours() -> None:
    half = Preprocess(mode="resize", size=384, short_side=400, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert half.seen_as("texture-4") == half.model_copy(update={"mode": "texture", "crops": 4})
    assert half.seen_as("texture-4").seen_as("resize") == half
    assert half.seen_as("resize+crop").crops == 2
    assert Preprocess().seen_as("crop-9") == Preprocess.named("crop-9")
    with pytest.raises(ValueError, match="mode"):
        half.seen_as("stretch")
