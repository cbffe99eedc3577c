"""The view is Pillow's and torchvision's within one level of 255, and a spec is known by its fingerprint."""

from typing import Literal

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from mole.preprocess import Preprocess
from mole.view import view, views

SIZES = [
    (224, 224),
    (500, 375),
    (375, 500),
    (225, 900),
    (1024, 768),
    (640, 225),
    (100, 300),
    (64, 64),
    (223, 225),
    (448, 448),
    (450, 890),
    (512, 1258),
]


def photograph(size: tuple[int, int]) -> Image.Image:
    """Draw a picture with edges and noise."""
    chance = np.random.default_rng(sum(size))
    coarse = Image.fromarray(chance.integers(0, 256, (9, 9, 3), np.uint8)).resize(size, Image.Resampling.NEAREST)
    noisy = np.asarray(coarse, np.int16) + chance.integers(-20, 20, (size[1], size[0], 3), np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def seen(image: Image.Image, spec: Preprocess) -> np.ndarray:
    """View a picture as the scan does."""
    return view(np.asarray(image).transpose(2, 0, 1), spec)


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_torchvisions_to_the_last_bit(size: tuple[int, int]) -> None:
    image = photograph(size)
    theirs = np.asarray(transforms.CenterCrop(224)(image)).transpose(2, 0, 1)
    assert np.array_equal(seen(image, Preprocess(mode="crop")), theirs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("short_side", [224, 256])
def test_a_resize_is_pillows_within_one_level(size: tuple[int, int], short_side: int) -> None:
    image = photograph(size)
    resize = transforms.Resize(short_side, transforms.InterpolationMode.BICUBIC)
    theirs = np.asarray(transforms.CenterCrop(224)(resize(image))).transpose(2, 0, 1)
    ours = seen(image, Preprocess(mode="resize", short_side=short_side))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_fingerprint_changes_with_whatever_the_model_sees() -> None:
    specs = [
        Preprocess(),
        Preprocess(mode="resize"),
        Preprocess(mode="resize", short_side=256),
        Preprocess(mean=(0, 0, 0)),
    ]
    prints = {spec.fingerprint for spec in specs}
    assert len(prints) == len(specs) and all(len(fingerprint) == 16 for fingerprint in prints)
    assert Preprocess().fingerprint == Preprocess(mode="crop").fingerprint


def test_a_view_is_contiguous_whatever_it_was_cut_from() -> None:
    assert view(np.zeros((300, 400, 3), np.uint8).transpose(2, 0, 1), Preprocess()).flags.c_contiguous


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spec", [Preprocess(), Preprocess(mode="resize")])
def test_a_spec_of_one_view_judges_by_the_view_that_a_training_sees(size: tuple[int, int], spec: Preprocess) -> None:
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    assert np.array_equal(views(pixels_3HW, spec), view(pixels_3HW, spec)[None])


def test_crops_reach_from_edge_to_edge() -> None:
    pixels_3HW = np.broadcast_to((np.arange(500 * 700) % 251).astype(np.uint8).reshape(1, 500, 700), (3, 500, 700))
    crops_C3SS = views(pixels_3HW, Preprocess(crops=4))
    corners = [pixels_3HW[:, top : top + 224, left : left + 224] for top in (0, 276) for left in (0, 476)]
    assert np.array_equal(crops_C3SS, np.stack(corners))
    assert np.array_equal(views(pixels_3HW, Preprocess(crops=9))[4], view(pixels_3HW, Preprocess()))


@pytest.mark.parametrize("size", [(30, 900), (224, 224), (640, 480), (64, 64)])
@pytest.mark.parametrize("spec", [Preprocess(crops=4), Preprocess(mode="texture", crops=3)])
def test_an_image_of_any_size_has_as_many_crops_as_the_spec_says(size: tuple[int, int], spec: Preprocess) -> None:
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    assert views(pixels_3HW, spec).shape == (spec.crops, 3, 224, 224)


def test_the_most_textured_crop_is_the_one_with_the_texture_and_comes_first() -> None:
    pixels_3HW = np.full((3, 448, 672), 128, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (3, 224, 224), np.uint8)
    pixels_3HW[:, 224:, 448:] = noise
    assert np.array_equal(views(pixels_3HW, Preprocess(mode="texture", crops=2))[0], noise)


@pytest.mark.parametrize(("mode", "crops"), [("resize", 2), ("crop", 3), ("texture", 0)])
def test_crops_that_a_mode_cannot_have_are_refused(mode: Literal["crop", "resize", "texture"], crops: int) -> None:
    with pytest.raises(ValueError, match="crops"):
        Preprocess(mode=mode, crops=crops)


def test_several_crops_are_another_spec_and_one_crop_is_the_spec_that_it_always_was() -> None:
    assert Preprocess(crops=1).fingerprint == "5d263e490dfcfb4e"
    assert len({Preprocess(crops=crops).fingerprint for crops in (1, 4, 9)}) == 3
