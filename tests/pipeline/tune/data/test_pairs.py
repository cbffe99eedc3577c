"""Laws of pairs."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mole.errors import SettingsError
from pipeline.images.decode import Fault
from pipeline.tune.data.autoencoder import FACTOR, Autoencoder
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.pairs import (
    CHROMA_BLOCK,
    MAX_SHORT_SIDE,
    REGION_SIDE,
    encoder_of,
    middle,
    name_of,
    pair_of,
    pairs,
)
from pipeline.tune.data.samples import Sample, read_manifest
from pipeline.tune.data.upsampling import PillowResampler
from tests.pictures import picture
from tests.pipeline.tune.conftest import EACH


class Untouched:
    """Passes pictures through as they are."""

    name, kind = "untouched", "reconstruction"

    def reconstruct(self, pixels_3HW: Tensor, *, largest: int) -> Tensor:
        """Give back; uint8 (3, H, W)."""
        return pixels_3HW


def noise(high: int, wide: int) -> Tensor:
    """A picture of coarse noise; uint8 (3, high, wide)."""
    rows, columns = -(-high // 16), -(-wide // 16)
    drawn = torch.randint(0, 256, (3, rows, columns), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return drawn.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :high, :wide]


@pytest.mark.parametrize("size", [(100, 203), (331, 505), (700, 1100)])
def test_a_pair_shows_the_middle_at_its_own_scale_from_the_grid_of_blocks(size: tuple[int, int]) -> None:
    cut = middle(noise(*size))
    assert all(side % FACTOR == 0 and side <= REGION_SIDE for side in cut.shape[1:])
    if min(size) <= MAX_SHORT_SIDE:
        spare = [(length - side) // 2 for length, side in zip(size, cut.shape[1:], strict=True)]
        top, left = (length // CHROMA_BLOCK * CHROMA_BLOCK for length in spare)
        assert torch.equal(cut, noise(*size)[:, top : top + cut.shape[1], left : left + cut.shape[2]])


@pytest.mark.parametrize("quality", [60, 88])
def test_a_photograph_of_a_pair_is_nearly_what_it_was_for_its_own_encoder_finds_its_blocks(quality: int) -> None:
    held = io.BytesIO()
    grey = Image.fromarray((noise(400, 500) // 4 + 96).permute(1, 2, 0).numpy()).convert("L").convert("RGB")
    grey.resize((480, 380), Image.Resampling.BICUBIC).save(held, "JPEG", quality=quality)
    pair = pair_of(Sample("a.jpg", 0, "x"), held.getvalue(), Untouched(), largest=512, region=True)
    assert not isinstance(pair, Fault)
    for file in pair.files():
        told = encoding_of(file, "jpeg")
        assert (told.quality, told.subsampling) == (quality, "4:2:0")
        again_3HW = np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1).astype(int)
        assert np.abs(again_3HW - pair.photograph_3HW.numpy()).mean() < 0.3


def test_every_photograph_and_nothing_else_has_its_pair(manifest: Path, shared: Path) -> None:
    samples = read_manifest(manifest, split=["holiday"])
    for maker in (Autoencoder(shared / "weights"), PillowResampler()):
        made = list(pairs(samples, maker))
        assert len(made) == 2 * 2 * EACH
        for (photograph, before), (other, after) in zip(made[::2], made[1::2], strict=True):
            assert (photograph.label, other.label) == (0, 1)
            assert (photograph.artefact, other.artefact, other.part) == ("", maker.kind, maker.name)
            assert photograph.group == other.group != ""
            assert (photograph.source, photograph.collection) == (other.source, other.collection)
            assert before.shape == after.shape
            assert not torch.equal(before, after)
        assert len({photograph.group for photograph, _ in made[::2]}) == 2 * EACH


def test_a_bound_gives_pairs_of_another_scale(manifest: Path) -> None:
    (_, before), (_, after) = list(pairs(read_manifest(manifest)[:1], PillowResampler(), largest=32))
    assert before.shape == after.shape == (3, 32, 40)


def test_a_photograph_that_cannot_be_read_stops_the_training(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(SettingsError, match="a.jpg' is not_an_image"):
        list(pairs([Sample(str(tmp_path / "a.jpg"), 0, "photos")], PillowResampler()))


def test_names_tell_places_ranges_and_cells_apart() -> None:
    places = [
        Sample("a", 0, "x"),
        Sample("b", 0, "x"),
        Sample("a", 0, "x", offset=1, length=2),
        Sample("a", 0, "x", cell=1),
        Sample("a", 0, "x", edge=0.1),
    ]
    assert len({name_of(sample) for sample in places}) == 5
    assert name_of(Sample("a", 0, "x")) == name_of(Sample("a", 0, "y"))


def test_what_is_no_jpeg_gets_a_drawn_quality_that_its_name_decides() -> None:
    png = picture(1, form="png")
    drawn = {encoder_of(png, "png", f"{number * 7919:08x}") for number in range(60)}
    assert encoder_of(png, "png", "00000007") == encoder_of(png, "png", "00000007")
    assert len(drawn) > 10 and all(75 <= quality <= 95 and subsampling == 2 for quality, subsampling in drawn)
