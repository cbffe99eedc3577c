"""Laws of UniversalFakeDetect's protocol."""

import random
from pathlib import Path

import pytest

from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.tune.data.layout import gather
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.universal_fake_detect import (
    MAX_IMAGES,
    PRINTED,
    SETS,
    SMALL_IMAGES,
    choose,
    run_protocol,
    warning,
)
from tests.pictures import picture
from tests.tiny import tiny_checkpoint

RESIZE = Preprocess(mode="resize")
MEANS = {"UniversalFakeDetect L/14": 93.38, "MoLE B/32": 92.39, "MoLE B/16": 95.41, "MoLE L/14": 97.45}


def many(source: str, reals: int, fakes: int) -> list[Sample]:
    return [
        Sample(f"{source}/{label}/{number:05}.png", label, source)
        for label, count in ((0, reals), (1, fakes))
        for number in range(count)
    ]


def copy_of_the_sets(folder: Path) -> Path:
    """Write a small copy as the authors' archives unpack: GANs with and without classes, diffusion sets without reals."""
    places = ("progan/cat/0_real", "progan/cat/1_fake", "progan/dog/0_real", "progan/dog/1_fake", "san/0_real",
              "san/1_fake", "laion/0_real", "imagenet/0_real", "guided/1_fake", "ldm_200/1_fake", "dalle/1_fake")  # fmt: skip
    for kind, place in enumerate(places):
        (folder / place).mkdir(parents=True)
        for number in range(3):
            (folder / place / f"{number}.png").write_bytes(picture(10 * kind + number, form="png", side=250))
    return folder


@pytest.mark.parametrize("row", PRINTED)
def test_each_printed_row_has_every_set_and_the_printed_mean(row: str) -> None:
    assert len(PRINTED[row]) == len(SETS) == 19
    assert sum(PRINTED[row]) / 19 == pytest.approx(MEANS[row], abs=0.011)  # the entries are rounded too


def test_a_large_set_gives_a_thousand_of_each_drawn_by_seed_zero_from_names_in_order() -> None:
    samples = many("progan", 1300, 1100)
    reals, fakes = choose(samples[::-1], "progan")
    draw, names = random.Random(0), [sorted(s.uri for s in samples if s.label == label) for label in (0, 1)]
    for wanted in names:
        draw.shuffle(wanted)
    assert [samples[::-1][place].uri for place in reals] == names[0][:MAX_IMAGES]
    assert [samples[::-1][place].uri for place in fakes] == names[1][:MAX_IMAGES]


def test_a_set_that_lacks_a_thousand_of_one_class_gives_a_hundred_of_each_as_the_published_code_does() -> None:
    assert [len(places) for places in choose(many("seeingdark", 180, 1500), "seeingdark")] == [
        SMALL_IMAGES,
        SMALL_IMAGES,
    ]
    assert [len(places) for places in choose(many("san", 40, 219), "san")] == [40, 40]


def test_diffusion_sets_borrow_the_reals_that_the_authors_gave_them() -> None:
    samples = [*many("laion", 5, 0), *many("imagenet", 5, 0), *many("guided", 0, 5), *many("glide_50_27", 0, 5)]
    for folder, lender in (("guided", "imagenet"), ("glide_50_27", "laion")):
        reals, fakes = choose(samples, folder)
        assert {samples[place].source for place in reals} == {lender}
        assert {samples[place].source for place in fakes} == {folder}


def test_sets_are_scored_and_absent_ones_and_another_view_are_logged(local_ray: None, tmp_path: Path) -> None:
    told: list[str] = []
    model = tiny_checkpoint(tmp_path / "model", preprocess=RESIZE)
    samples = gather([str(copy_of_the_sets(tmp_path / "test"))]).samples
    found = run_protocol(samples, str(model), told.append)
    assert [own.folder for own in found.sets] == ["progan", "san", "guided", "ldm_200", "dalle"]
    assert [(own.reals, own.fakes) for own in found.sets] == [(6, 6), (3, 3), (3, 3), (3, 3), (3, 3)]
    assert "biggan" in found.absent and any("biggan" in line for line in told)
    assert found.note == warning(RESIZE, Preprocess()) and found.note in told and found.excluded == 0
    assert found.found("biggan") is None
    assert all(0 < own.average_precision <= 1 for own in found.sets)


def test_only_another_view_than_the_protocols_is_warned_of() -> None:
    assert warning(Preprocess(), Preprocess()) == ""
    assert "'resize'" in warning(RESIZE, Preprocess())


def test_none_of_the_sets_is_refused_with_their_names(tiny: Path) -> None:
    with pytest.raises(SettingsError, match="progan, cyclegan"):
        run_protocol(many("mine", 3, 3), str(tiny), list[str]().append)
