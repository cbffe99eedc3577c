"""Laws of packing a tower."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mole.errors import ModelError, SettingsError
from mole.tower.backbone import FEATURE_PARAMETERS, load_tower, read_weights
from mole.tower.hub import architecture_of
from mole.tower.quantization import MAX_CODE
from pipeline.tune.data.samples import Sample, read_manifest
from pipeline.tune.packing import batches, cosines, measure, pack_tower, read_tower, split_samples
from tests.pipeline.tune.conftest import EACH, SMALL
from tests.timms import weights

MAX_BYTES = 13_000_000
READS = (6, 8)


@pytest.fixture(scope="module")
def packed(manifest: Path, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tower, packed."""
    file = tmp_path_factory.mktemp("packed") / "tower.safetensors"
    pack_tower(tower, file, SMALL, calibration=read_manifest(manifest)[:4], max_bytes=MAX_BYTES)
    return file


def test_the_file_takes_what_it_may_and_no_more(packed: Path) -> None:
    assert 0.97 * MAX_BYTES < packed.stat().st_size <= MAX_BYTES


def test_it_holds_the_towers_tensors(packed: Path, tower: Path) -> None:
    state, source = read_weights(packed), read_weights(tower)
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in source.items()}


def test_it_embeds_nearly_as_its_source(packed: Path, tower: Path, manifest: Path) -> None:
    resized, crop = measure(tower, packed, SMALL, read_manifest(manifest)[::6])
    assert (resized.view, crop.view) == ("resize", "crop")
    assert resized.cosine_RN.shape == resized.centred_RN.shape == (1, 4)
    assert float(resized.cosine_RN.min()) > 0.98
    assert not torch.equal(resized.cosine_RN, crop.cosine_RN)


@pytest.fixture(scope="module")
def cut(manifest: Path, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tower, packed up to the block that is read last."""
    file = tmp_path_factory.mktemp("cut") / "tower.safetensors"
    pack_tower(tower, file, SMALL, calibration=read_manifest(manifest)[:4], max_bytes=MAX_BYTES, reads=READS)
    return file


def test_nothing_is_packed_above_the_last_read(cut: Path, tower: Path) -> None:
    state = read_weights(cut)
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.")}
    assert blocks == {str(number) for number in range(READS[-1])}
    assert FEATURE_PARAMETERS.isdisjoint(state)
    assert {
        name for name in read_weights(tower) if not name.startswith("transformer.")
    } - FEATURE_PARAMETERS <= state.keys()
    assert 0.97 * MAX_BYTES < cut.stat().st_size <= MAX_BYTES


def test_a_cut_tower_loads_and_says_what_it_lacks(cut: Path, tower: Path, manifest: Path) -> None:
    short, pixels = load_tower(SMALL, cut), batches(read_manifest(manifest)[:2])
    assert len(short.transformer.resblocks) == READS[-1]
    assert read_tower(short, pixels, READS).shape == read_tower(load_tower(SMALL, tower), pixels, READS).shape
    with pytest.raises(ModelError, match="has no feature"):
        short(pixels[0])


def test_fewer_blocks_in_as_many_bytes_keep_what_is_read_nearer(
    cut: Path, packed: Path, tower: Path, manifest: Path
) -> None:
    short, whole = (measure(tower, file, SMALL, read_manifest(manifest)[::6], READS)[0] for file in (cut, packed))
    assert short.cosine_RN.shape == (len(READS), 4)
    assert (short.centred_RN.mean(dim=1) > whole.centred_RN.mean(dim=1)).all()
    assert (short.cosine_RN >= short.centred_RN - 1e-6).all()


def test_an_eight_bit_tower_keeps_its_own_grid_where_there_are_bytes_enough(
    tower: Path, manifest: Path, tmp_path: Path
) -> None:
    state = read_weights(tower)
    for name in [name for name, tensor in state.items() if tensor.dim() == 2 and name.startswith("transformer.")]:
        state[f"{name}_scale"] = state[name].abs().amax(dim=1) / MAX_CODE
        state[name] = (state[name] / state[f"{name}_scale"][:, None]).round().to(torch.int8)
    save_file(state, tmp_path / "int8.safetensors")
    files = tmp_path / "int8.safetensors", tmp_path / "packed.safetensors"
    pack_tower(*files, SMALL, calibration=read_manifest(manifest)[:2], max_bytes=10**9, reads=(1,))
    before, after = map(read_weights, files)
    for name, tensor in after.items():
        assert torch.allclose(tensor, before[name], rtol=2e-3, atol=1e-6), name


def test_a_read_above_the_last_block_is_refused_before_anything_is_packed(tower: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--reads must lie in \[1, \d+\]"):
        pack_tower(tower, tmp_path / "t", SMALL, calibration=[], max_bytes=MAX_BYTES, reads=(99,))


def test_one_image_cannot_tell_how_far_tokens_lie_apart(tower: Path, manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--images must be at least 2"):
        pack_tower(
            tower, tmp_path / "t", SMALL, calibration=read_manifest(manifest)[:1], max_bytes=MAX_BYTES, reads=(1,)
        )


def test_cosines_less_the_mean_leave_out_what_images_share() -> None:
    before_RND = torch.tensor([[[9.0, 1.0], [9.0, -1.0]]])
    after_RND = torch.tensor([[[9.0, -1.0], [9.0, 1.0]]])
    assert float(cosines(before_RND, after_RND, centred=False).min()) > 0.9
    assert cosines(before_RND, after_RND, centred=True).tolist() == [[-1.0, -1.0]]


def test_the_shipped_tower_embeds_as_the_eight_bit_one(root: Path, shared: Path) -> None:
    files = shared / "weights/clip-vit-b16-openai-int8.safetensors", root / "mole/embedded/tower.safetensors"
    photographs = sorted((shared / "data/images/coco").rglob("*.jpg"))[::20]
    samples = [Sample(str(path), 0, "coco") for path in photographs]
    for moved in measure(*files, "ViT-B-16-quickgelu", samples, reads=(5, 9)):
        assert float(moved.cosine_RN.min()) > 0.999


def test_the_source_to_measure_on_calibrates_nothing(manifest: Path) -> None:
    calibration, photographs = split_samples(read_manifest(manifest), images=10, held_out="photos", seed=0)
    assert len(calibration) == 10
    assert {sample.source for sample in photographs} == {"photos"}
    assert len(photographs) == EACH
    assert "photos" not in {sample.source for sample in calibration}


def test_a_source_that_is_not_there_is_refused(manifest: Path) -> None:
    with pytest.raises(SettingsError, match="'nobody' is not among"):
        split_samples(read_manifest(manifest), images=4, held_out="nobody", seed=0)


def test_a_tower_that_is_not_clips_is_refused_by_its_name(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_dinov3_qkvb"
    save_file(
        {key: tensor.clone() for key, tensor in weights(architecture_of(name)).items()}, tmp_path / "w.safetensors"
    )
    with pytest.raises(SettingsError, match=f"--backbone must be a plain ViT of CLIP.*got '{name}'"):
        pack_tower(tmp_path / "w.safetensors", tmp_path / "p", name, calibration=[], max_bytes=1)
