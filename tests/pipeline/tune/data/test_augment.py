"""Laws of augmentation and alignment."""

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.tune.data.augment import (
    ALIGNED_SIDE,
    MAX_SHORT_SIDE,
    NEAR_SCREENSHOT_SCALES,
    SCREENSHOT_SCALES,
    SIDE,
    WINDOW_SIDES,
    align,
    augment,
    encode_again,
    resize,
)
from tests.pictures import picture


@pytest.fixture
def photo() -> Tensor:
    """A smooth picture, uint8 (3, 300, 301)."""
    with Image.open(io.BytesIO(picture(1, form="png", side=300))) as image:
        return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(300, -1, 3).permute(2, 0, 1)


NEAR = pytest.mark.parametrize("near", [False, True])


@NEAR
def test_a_seed_gives_the_same_picture_again(photo: Tensor, near: bool) -> None:
    assert torch.equal(augment(photo, 7, near), augment(photo, 7, near))


@NEAR
def test_seeds_differ(photo: Tensor, near: bool) -> None:
    assert len({augment(photo, seed, near).numpy().tobytes() for seed in range(8)}) == 8


@NEAR
def test_an_augmentation_keeps_its_bounds(photo: Tensor, near: bool) -> None:
    for seed in range(24):
        out_3HW = augment(photo.repeat(1, 3, 2), seed, near)
        assert out_3HW.dtype == torch.uint8
        low, high = (
            min(out_3HW.shape[1:]),
            max(NEAR_SCREENSHOT_SCALES if near else SCREENSHOT_SCALES) * (WINDOW_SIDES[1] if near else MAX_SHORT_SIDE),
        )
        assert SIDE <= low <= high + 1


@NEAR
def test_two_pictures_of_one_size_are_augmented_alike(photo: Tensor, near: bool) -> None:
    for seed in range(16):
        assert augment(photo, seed, near).shape == augment(255 - photo, seed, near).shape
    one, other = augment(photo, 3, near).float(), augment(255 - photo, 3, near).float()
    assert float((one + other - 255).abs().mean()) < 6


def stripes(side: int, period: int) -> Tensor:
    """Upright stripes; uint8 (3, side, side)."""
    return (255 * (torch.arange(side) // (period // 2) % 2)).to(torch.uint8).expand(3, side, side).contiguous()


def test_near_keeps_the_scale_and_free_makes_a_large_picture_smaller() -> None:
    def period(picture_3HW: Tensor) -> float:
        row = picture_3HW[0].float().mean(0) > 127
        return 2 * len(row) / max(1, int((row[1:] != row[:-1]).sum()))

    near = [period(augment(stripes(900, 60), seed, near=True)) / 60 for seed in range(30)]
    free = [period(augment(stripes(900, 60), seed, near=False)) / 60 for seed in range(30)]
    assert min(near) > 0.45 and max(near) < 2.8
    assert sum(abs(scale - 1) < 0.15 for scale in near) > 10
    assert sorted(free)[15] < 0.75


@NEAR
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 17, 900), (3, 2, 3)])
def test_odd_shapes_go_through(shape: tuple[int, int, int], near: bool) -> None:
    for seed in range(4):
        assert min(augment(torch.zeros(shape, dtype=torch.uint8), seed, near).shape[1:]) >= SIDE


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_aligned_pictures_have_one_size_whatever_they_came_in(form: str) -> None:
    with Image.open(io.BytesIO(picture(3, form=form, side=120))) as image:
        flat = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        pixels_3HW = flat.view(image.height, image.width, 3).permute(2, 0, 1)
    assert min(align(pixels_3HW).shape[1:]) == ALIGNED_SIDE


@pytest.mark.parametrize("codec", ["jpeg", "jpeg-444", "jpeg-fast", "webp"])
def test_encoding_keeps_shape_and_costs_a_little(photo: Tensor, codec: str) -> None:
    again_3HW = encode_again(photo, codec, 90)
    assert again_3HW.shape == photo.shape
    assert 0 < float((again_3HW.float() - photo.float()).abs().mean()) < 4


def test_the_two_encoders_of_a_format_leave_different_pixels(photo: Tensor) -> None:
    one_3HW, other_3HW = encode_again(photo, "jpeg", 90), encode_again(photo, "jpeg-fast", 90)
    assert float((one_3HW != other_3HW).float().mean()) > 0.05


def test_a_lower_quality_costs_more(photo: Tensor) -> None:
    torch.manual_seed(0)
    grain_HW = 20 * torch.randn(photo.shape[1:])  # grey: colour is halved at any quality
    grainy = (photo.float() + grain_HW).clamp(0, 255).to(torch.uint8)
    low, high = (float((encode_again(grainy, "jpeg", q).float() - grainy.float()).abs().mean()) for q in (30, 95))
    assert low > 2 * high


def test_resizing_keeps_the_aspect() -> None:
    assert resize(torch.zeros(3, 100, 200, dtype=torch.uint8), 50).shape == (3, 50, 100)
    assert resize(torch.zeros(3, 1000, 2, dtype=torch.uint8), 4).shape == (3, 2000, 4)
