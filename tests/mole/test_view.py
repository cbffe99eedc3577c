"""The view is Pillow's and torchvision's within one level of 255, and a spec is known by its fingerprint."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from mole.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from mole.view import normalise, view

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
    return view(torch.from_numpy(np.array(image)).permute(2, 0, 1), spec).numpy()


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


def test_normalising_is_torchvisions() -> None:
    pixels_B3SS = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    theirs = transforms.Normalize(CLIP_MEAN, CLIP_STD)(pixels_B3SS.float() / 255)
    torch.testing.assert_close(normalise(pixels_B3SS, Preprocess()), theirs)


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
    assert view(torch.zeros(300, 400, 3, dtype=torch.uint8).permute(2, 0, 1), Preprocess()).is_contiguous()
