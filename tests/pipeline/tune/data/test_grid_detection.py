"""Laws of the seam."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mole.views.view import Pixels
from pipeline.tune.data.grid_detection import has_seam
from pipeline.tune.data.samples import load, read_manifest
from tests.pictures import picture


def opened(seed: int, *, quality: int = 90) -> Pixels:
    """A smooth picture after a JPEG encoder; uint8 (3, 128, 128)."""
    held = io.BytesIO()
    Image.open(io.BytesIO(picture(seed, form="png", side=128))).crop((0, 0, 128, 128)).save(
        held, "JPEG", quality=quality
    )
    return np.asarray(Image.open(held)).transpose(2, 0, 1)


def collage(*, gutter: int = 0, aside: int = 0, columns: bool = False) -> Pixels:
    """Four pictures side by side, or two, with a black gutter, its middle so far aside; uint8 (3, high, wide)."""
    shown = [opened(seed) for seed in range(4)]
    bar = np.zeros((3, 128, gutter), np.uint8)
    rows = [np.concatenate([shown[at], bar, shown[at + 1]], axis=2) for at in (0, 2)]
    whole = np.concatenate([rows[0], np.zeros((3, gutter, 256 + gutter), np.uint8), rows[1]], axis=1)
    return rows[0] if columns else whole[:, :, aside:]


@pytest.mark.parametrize("gutter", [0, 1, 6])
def test_panels_side_by_side_have_a_seam(gutter: int) -> None:
    assert has_seam(collage(gutter=gutter))
    assert has_seam(collage(gutter=gutter, columns=True))
    assert has_seam(collage(gutter=gutter, columns=True).transpose(0, 2, 1))
    assert has_seam(collage(gutter=gutter, aside=6))


@pytest.mark.parametrize("seed", range(4))
def test_one_picture_has_none(seed: int) -> None:
    assert not has_seam(opened(seed, quality=40))


def test_neither_grain_nor_an_even_ground_is_a_seam() -> None:
    assert not has_seam(np.random.default_rng(0).integers(0, 256, (3, 200, 300), np.uint8))
    assert not has_seam(np.full((3, 64, 64), 255, np.uint8))


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 900), (3, 17, 3)])
def test_odd_shapes_are_answered(shape: tuple[int, int, int]) -> None:
    assert not has_seam(np.zeros(shape, np.uint8))


def test_known_grids_are_distinguished_from_photographs(shared: Path) -> None:
    samples = read_manifest(shared / "data/manifest.csv")
    shares = {
        source: np.mean([has_seam(load(s).numpy()) for s in [s for s in samples if s.source == source][:12]])
        for source in ("supagruen-cheatsheet", "coco", "sdnext-reference")
    }
    assert shares["supagruen-cheatsheet"] > 0.9
    assert shares["coco"] == shares["sdnext-reference"] == 0
