"""Laws of pairs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.tune.data.autoencoder import FACTOR, Autoencoder
from pipeline.tune.data.samples import read_manifest
from pipeline.tune.study.pairs import LARGEST, REGION, WINDOW, deliver, deliver_near, matched, pairs, region
from tests.pipeline.tune.conftest import EACH


def noise(high: int, wide: int) -> Tensor:
    """A picture of coarse noise; uint8 (3, high, wide)."""
    rows, columns = -(-high // 16), -(-wide // 16)
    drawn = torch.randint(0, 256, (3, rows, columns), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return drawn.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :high, :wide]


@pytest.mark.parametrize("size", [(100, 203), (331, 505), (700, 1100)])
def test_a_region_is_the_middle_at_its_own_scale(size: tuple[int, int]) -> None:
    cut = region(noise(*size))
    assert all(side % FACTOR == 0 and side <= REGION for side in cut.shape[1:])
    if min(size) <= LARGEST:
        top, left = ((length - side) // 2 for length, side in zip(size, cut.shape[1:], strict=True))
        assert torch.equal(cut, noise(*size)[:, top : top + cut.shape[1], left : left + cut.shape[2]])


@pytest.mark.parametrize("way", [deliver, deliver_near])
@pytest.mark.parametrize("size", [(60, 90), (240, 320), (600, 400)])
def test_a_delivery_is_a_window_that_fills_the_view(way: type, size: tuple[int, int]) -> None:
    for seed in range(12):
        out = way(noise(*size), seed)
        assert out.dtype == torch.uint8
        assert min(out.shape[1:]) >= WINDOW[0]


@pytest.mark.parametrize("way", [deliver, deliver_near])
def test_a_delivery_follows_from_its_seed_alone(way: type) -> None:
    picture = noise(240, 320)
    assert torch.equal(way(picture, 3), way(picture, 3))
    assert not torch.equal(way(picture, 3), way(picture, 4))


def test_one_encoder_changes_a_picture_little_and_its_size_not() -> None:
    before = noise(128, 128)
    again = matched(before)
    assert again.shape == before.shape
    assert 0 < (again.float() - before.float()).abs().mean() < 40


def test_every_photograph_and_nothing_else_has_its_pair(manifest: Path, shared: Path) -> None:
    samples = read_manifest(manifest)
    made = list(pairs(samples, Autoencoder(shared / "weights")))
    assert len(made) == 2 * 2 * EACH
    for (photograph, before), (other, after) in zip(made[::2], made[1::2], strict=True):
        assert (photograph.label, other.label) == (0, 1)
        assert photograph.group == other.group != ""
        assert photograph.source == other.source
        assert before.shape == after.shape
        assert not torch.equal(before, after)
    assert len({photograph.group for photograph, _ in made[::2]}) == 2 * EACH
