"""Laws of reconstruction."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mole.errors import ModelError
from pipeline.tune.reconstruct import Autoencoder
from pipeline.tune.samples import Sample, load


@pytest.fixture(scope="module")
def photo(shared: Path) -> Tensor:
    """A cut of a real photograph, uint8 (3, 100, 133)."""
    path = min((shared / "data/images/coco").rglob("*.jpg"))
    return load(Sample(str(path), 0, "coco"))[:, 100:200, 100:233]


@pytest.fixture(scope="module")
def autoencoder(shared: Path) -> Autoencoder:
    return Autoencoder(shared / "weights")


def test_a_photograph_comes_back_nearly_as_it_was(photo: Tensor, autoencoder: Autoencoder) -> None:
    again_3HW = autoencoder.reconstruct(photo, largest=256)
    assert again_3HW.shape == (3, 96, 128)
    error = (again_3HW.float() - photo[:, :96, :128].float()).square().mean()
    assert 20 < float(10 * torch.log10(255**2 / error)) < 45


def test_a_large_one_is_made_smaller_first(photo: Tensor, autoencoder: Autoencoder) -> None:
    assert min(autoencoder.reconstruct(photo, largest=64).shape[1:]) == 64


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="taef2_encoder.pth"):
        Autoencoder(tmp_path)
