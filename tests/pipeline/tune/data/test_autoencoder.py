"""Laws of the autoencoders."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mole.errors import ModelError
from pipeline.tune.data.autoencoder import Autoencoder, bounded, open_autoencoder
from pipeline.tune.data.samples import Sample, load


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


def test_both_of_a_pair_have_one_size(photo: Tensor, autoencoder: Autoencoder) -> None:
    assert bounded(photo, 80).shape == autoencoder.reconstruct(photo, largest=80).shape


def test_the_folder_decides_which_autoencoder_it_is(shared: Path) -> None:
    assert open_autoencoder(str(shared / "weights")).name == "taef2"


def test_noise_on_the_latents_moves_a_picture_further_and_always_alike(photo: Tensor, shared: Path) -> None:
    plain, noisy = Autoencoder(shared / "weights"), Autoencoder(shared / "weights", noise=0.3)
    before, near, far = photo[:, :96, :128].float(), *(each.reconstruct(photo, largest=96) for each in (plain, noisy))
    assert float((far.float() - before).abs().mean()) > float((near.float() - before).abs().mean())
    assert torch.equal(far, noisy.reconstruct(photo, largest=96))
    assert (plain.name, noisy.name) == ("taef2", "taef2-noise-0.3")
    assert plain.kind == noisy.kind == "reconstruction"


def test_noise_is_refused_where_it_is_not_supported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="noise 0.1 is supported for taef2 only"):
        open_autoencoder(str(tmp_path), noise=0.1)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="taef2_encoder.pth"):
        Autoencoder(tmp_path)


def test_a_folder_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither taef2_encoder.pth and taef2_decoder.pth nor a config.json"):
        open_autoencoder(str(tmp_path))


def test_a_diffusers_folder_without_weights_is_refused_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    wanted = "cannot be read" if find_spec("diffusers") else "needs diffusers: pip install diffusers"
    with pytest.raises(ModelError, match=wanted):
        open_autoencoder(str(tmp_path))


def test_an_autoencoder_of_diffusers_reconstructs_too(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    shape = {"block_out_channels": (32,) * 4, "latent_channels": 4, "norm_num_groups": 8}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    diffusers.AutoencoderKL(**shape, **blocks).save_pretrained(tmp_path / "vae")
    opened = open_autoencoder(str(tmp_path / "vae"))
    again_3HW = opened.reconstruct(torch.randint(0, 256, (3, 133, 150), dtype=torch.uint8), largest=512)
    assert (opened.name, again_3HW.shape, again_3HW.dtype) == ("vae", (3, 128, 144), torch.uint8)
