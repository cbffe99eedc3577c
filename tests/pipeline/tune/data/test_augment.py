"""Laws of augmentation and alignment."""

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.tune.data.augment import ALIGNED_SIDE, SHORT_SIDES, align, augment, encode_again, resize
from tests.pictures import picture


@pytest.fixture
def photo() -> Tensor:
    """A smooth picture, uint8 (3, 300, 301)."""
    with Image.open(io.BytesIO(picture(1, form="png", side=300))) as image:
        return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(300, -1, 3).permute(2, 0, 1)


def test_a_seed_gives_the_same_picture_again(photo: Tensor) -> None:
    assert torch.equal(augment(photo, 7), augment(photo, 7))


def test_seeds_differ(photo: Tensor) -> None:
    assert len({augment(photo, seed).numpy().tobytes() for seed in range(8)}) == 8


@pytest.mark.parametrize("seed", range(20))
def test_a_delivery_keeps_its_bounds(photo: Tensor, seed: int) -> None:
    out_3HW = augment(photo, seed)
    assert out_3HW.dtype == torch.uint8
    assert SHORT_SIDES[0] <= min(out_3HW.shape[1:]) <= SHORT_SIDES[1]


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 17, 900), (3, 2, 3)])
def test_odd_shapes_go_through(shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        assert augment(torch.zeros(shape, dtype=torch.uint8), seed).shape[0] == 3


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
