"""The view is Pillow's and torchvision's within one level of 255, and a spec is known by its fingerprint."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from mole.views import view as module
from mole.views.preprocess import Preprocess
from mole.views.view import boxes, view, views

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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["crop", "crop-4", "texture-3"])
def test_a_box_is_where_its_view_was_cut(size: tuple[int, int], name: str) -> None:
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    spec = Preprocess.named(name)
    room_3HW = np.pad(pixels_3HW, ((0, 0), (224, 224), (224, 224)))
    for view_3SS, box in zip(views(pixels_3HW, spec), boxes(pixels_3HW, spec), strict=True):
        top, left, bottom, right = (int(edge) + 224 for edge in box)
        np.testing.assert_array_equal(room_3HW[:, top:bottom, left:right], view_3SS)


BOTH = Preprocess.named("resize+crop")


@pytest.mark.parametrize("size", SIZES)
def test_two_scales_are_the_resized_view_and_the_crop_or_the_resized_view_alone_of_a_small_image(
    size: tuple[int, int],
) -> None:
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    resized, crop = (view(pixels_3HW, single) for single in BOTH.singles)
    small = min(size) < 224
    expected = [resized, resized if small else crop]
    assert np.array_equal(views(pixels_3HW, BOTH), np.stack(expected))
    for number, one in enumerate(expected):
        assert np.array_equal(view(pixels_3HW, BOTH, number), one)
    places = [boxes(pixels_3HW, single)[0] for single in BOTH.singles]
    assert boxes(pixels_3HW, BOTH) == [places[0], places[0] if small else places[1]]


@pytest.mark.parametrize("size", SIZES)
def test_the_box_of_a_resized_view_is_its_square_in_the_image(size: tuple[int, int]) -> None:
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    [(top, left, bottom, right)] = boxes(pixels_3HW, Preprocess(mode="resize", short_side=256))
    side = min(size) * 224 / 256
    assert bottom - top == pytest.approx(side, rel=0.01) and right - left == pytest.approx(side, rel=0.01)
    assert top + bottom == pytest.approx(size[1], abs=size[1] / 100)
    assert left + right == pytest.approx(size[0], abs=size[0] / 100)


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


@pytest.mark.parametrize(("mode", "crops"), [("resize", 2), ("crop", 3), ("texture", 0), ("resize+crop", 1)])
def test_crops_that_a_mode_cannot_have_are_refused(mode: str, crops: int) -> None:
    with pytest.raises(ValueError, match="crops"):
        Preprocess.model_validate({"mode": mode, "crops": crops})


def test_several_crops_are_another_spec_and_one_crop_is_the_spec_that_it_always_was() -> None:
    assert Preprocess(crops=1).fingerprint == "5d263e490dfcfb4e"
    assert len({Preprocess(crops=crops).fingerprint for crops in (1, 4, 9)}) == 3


STRIPS = [(16, 300), (300, 16), (2000, 17), (17, 2000), (12_000, 500), (500, 12_000), (9_001, 300), (30, 5_001)]


@pytest.mark.parametrize("size", STRIPS)
def test_a_strip_is_scaled_under_the_crop_to_what_the_whole_would_show(size: tuple[int, int]) -> None:
    image = photograph(size)
    short, long = sorted(size)
    other = int(224 * long / short)
    scaled = image.resize((224, other) if size[0] < size[1] else (other, 224), Image.Resampling.BICUBIC)
    theirs = np.asarray(transforms.CenterCrop(224)(scaled)).transpose(2, 0, 1)
    assert np.abs(seen(image, Preprocess(mode="resize")).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", [(16, 1_000_000), (1_000_000, 16)])
@pytest.mark.parametrize("name", ["crop", "resize", "crop-9", "texture-4"])
def test_a_strip_takes_no_more_memory_than_a_few_of_itself(name: str, size: tuple[int, int]) -> None:
    pixels_3HW = np.zeros((*size, 3), np.uint8).transpose(2, 0, 1)
    tracemalloc.start()
    views(pixels_3HW, Preprocess.named(name))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64 << 20


def box_texture(pixels_3HW: np.ndarray, top: int, left: int) -> int:
    """The texture under one crop, from the whole picture with its zeros."""
    high, wide = (max(0, 224 - side) for side in pixels_3HW.shape[1:])
    padded = np.pad(pixels_3HW, ((0, 0), (high // 2, (high + 1) // 2), (wide // 2, (wide + 1) // 2)))
    grey = padded.sum(axis=0, dtype=np.int64)
    rough = np.zeros_like(grey)
    rough[1:] += np.abs(np.diff(grey, axis=0))
    rough[:, 1:] += np.abs(np.diff(grey, axis=1))
    return int(rough[top : top + 224, left : left + 224].sum())


@pytest.mark.parametrize("size", [(900, 30), (300, 500), (224, 224), (100, 100), (16, 3000)])
def test_texture_in_pieces_is_that_of_the_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_PIXELS", 7_000)
    pixels_3HW = np.asarray(photograph(size)).transpose(2, 0, 1)
    sides = [max(side, 224) for side in pixels_3HW.shape[1:]]
    tops, lefts = ([0, (side - 224) // 2, side - 224] for side in sides)
    found_TL = module._texture(pixels_3HW, 224, tops, lefts)
    assert found_TL.tolist() == [[box_texture(pixels_3HW, top, left) for left in lefts] for top in tops]
