"""Laws of the named perturbations."""

import numpy as np
import pytest
import torch

from mole.errors import SettingsError
from pipeline.tune.evaluation.perturbation import perturbation
from pipeline.tune.evaluation.robustness import GRID

PICTURE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 120), np.uint8))


@pytest.mark.parametrize("name", ["shipped", "aligned", "native", *GRID])
def test_a_perturbation_is_the_same_each_time_and_leaves_its_input_alone(name: str) -> None:
    before = PICTURE.clone()
    once, again = perturbation(name)(PICTURE, 7), perturbation(name)(PICTURE, 7)
    assert once.dtype == torch.uint8 and once.shape[0] == 3
    assert torch.equal(once, again) and torch.equal(PICTURE, before)


def test_shipped_changes_nothing_and_every_other_perturbation_something() -> None:
    assert torch.equal(perturbation("shipped")(PICTURE, 0), PICTURE)
    for name in ("aligned", "native", *GRID):
        changed = perturbation(name)(PICTURE, 0)
        assert changed.shape != PICTURE.shape or not torch.equal(changed, PICTURE), name


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resize-0.5", (45, 60)),
        ("crop-0.8", (72, 96)),
        ("jpeg-50", (90, 120)),
        ("aligned", (256, 341)),
        ("native", (90, 120)),
    ],
)
def test_the_number_says_how_large_the_picture_gets(name: str, size: tuple[int, int]) -> None:
    assert tuple(perturbation(name)(PICTURE, 0).shape[1:]) == size


def test_native_keeps_the_scale_of_a_large_picture_and_takes_its_middle() -> None:
    grey = torch.zeros((3, 300, 400), dtype=torch.uint8)
    grey[:, 22:278, 72:328] = 128
    cut = perturbation("native")(grey, 0)
    assert cut.shape == (3, 256, 256) and int((cut.int() - 128).abs().max()) <= 1


def test_noise_has_the_deviation_that_its_name_says() -> None:
    grey = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    noisy = perturbation("noise-5")(grey, 1).float()
    assert float(noisy.std()) == pytest.approx(5, rel=0.03)
    assert not torch.equal(noisy, perturbation("noise-5")(grey, 2).float())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sepia", "sepia"),
        ("jpeg-", "got ''"),
        ("jpeg-500", r"\[1, 100\]"),
        ("crop-0", r"\[0.05, 1\]"),
        ("blur-x", "'x'"),
    ],
)
def test_an_unknown_perturbation_is_refused_with_what_is_known(name: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        perturbation(name)
