"""Laws of packing a tower."""

from pathlib import Path

import pytest

from mole.backbone import read_weights
from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample, read_manifest
from pipeline.tune.packing import choose, measure, pack_tower
from tests.pipeline.tune.conftest import EACH, SMALL

MOST = 13_000_000


@pytest.fixture(scope="module")
def packed(manifest: Path, tower: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tower, packed."""
    file = tmp_path_factory.mktemp("packed") / "tower.safetensors"
    pack_tower(tower, file, SMALL, calibration=read_manifest(manifest)[:4], most_bytes=MOST)
    return file


def test_the_file_takes_what_it_may_and_no_more(packed: Path) -> None:
    assert 0.97 * MOST < packed.stat().st_size <= MOST


def test_it_holds_the_towers_tensors(packed: Path, tower: Path) -> None:
    state, source = read_weights(packed), read_weights(tower)
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in source.items()}


def test_it_embeds_nearly_as_its_source(packed: Path, tower: Path, manifest: Path) -> None:
    cosine_N = measure(tower, packed, SMALL, read_manifest(manifest)[::6])
    assert cosine_N.shape == (4,)
    assert float(cosine_N.min()) > 0.98


def test_the_shipped_tower_embeds_as_the_eight_bit_one(root: Path, shared: Path) -> None:
    files = shared / "weights/clip-vit-b16-openai-int8.safetensors", root / "mole/embedded/tower.safetensors"
    photographs = sorted((shared / "data/images/coco").rglob("*.jpg"))[::20]
    cosine_N = measure(*files, "ViT-B-16-quickgelu", [Sample(str(path), 0, "coco") for path in photographs])
    assert float(cosine_N.min()) > 0.985


def test_the_source_to_measure_on_calibrates_nothing(manifest: Path) -> None:
    calibration, photographs = choose(read_manifest(manifest), images=10, held_out="photos", seed=0)
    assert len(calibration) == 10
    assert {sample.source for sample in photographs} == {"photos"}
    assert len(photographs) == EACH
    assert "photos" not in {sample.source for sample in calibration}


def test_a_source_that_is_not_there_is_refused(manifest: Path) -> None:
    with pytest.raises(SettingsError, match="'nobody' is not among"):
        choose(read_manifest(manifest), images=4, held_out="nobody", seed=0)
