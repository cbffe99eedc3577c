"""Laws of the store of trunk tokens."""

from pathlib import Path

import pytest
import torch

from mole.backbone import load_tower
from mole.config import DetectorConfig
from mole.detector import MoLE
from mole.preprocess import Preprocess
from pipeline.tune.data.samples import Sample, read_manifest
from pipeline.tune.study.dataset import Views, shipped
from pipeline.tune.study.store import key_of, remembered
from tests.pipeline.tune.conftest import SMALL

SPEC = Preprocess(mode="resize")


@pytest.fixture
def samples(manifest: Path) -> list[Sample]:
    return read_manifest(manifest)[:2]


@pytest.fixture
def detector(tower: Path) -> MoLE:
    torch.manual_seed(0)
    return MoLE(load_tower(SMALL, tower), DetectorConfig()).eval()


def refuse() -> Views:
    raise AssertionError("made again what was kept")


def test_what_was_kept_is_not_made_again(samples: list[Sample], detector: MoLE, tmp_path: Path) -> None:
    first = remembered(tmp_path, "k", lambda: shipped(samples, SPEC), (detector, SPEC))
    again = remembered(tmp_path, "k", refuse, (detector, SPEC))
    assert torch.equal(first.token_NTD, again.token_NTD)
    assert torch.equal(first.feature_NF, again.feature_NF)
    assert first.samples == again.samples == tuple(samples)


def test_what_was_half_kept_is_made_again(samples: list[Sample], detector: MoLE, tmp_path: Path) -> None:
    first = remembered(tmp_path, "k", lambda: shipped(samples, SPEC), (detector, SPEC))
    (tmp_path / "k.safetensors").rename(tmp_path / "k.part")
    again = remembered(tmp_path, "k", lambda: shipped(samples, SPEC), (detector, SPEC))
    assert torch.equal(first.token_NTD, again.token_NTD)


def test_without_a_folder_nothing_is_kept(samples: list[Sample], detector: MoLE, tmp_path: Path) -> None:
    remembered(None, "k", lambda: shipped(samples, SPEC), (detector, SPEC))
    assert not list(tmp_path.iterdir())


def test_the_key_changes_with_all_that_decides_the_tokens(samples: list[Sample]) -> None:
    other_cell = [Sample(samples[0].uri, 0, "photos", cell=1), samples[1]]
    keys = {
        key_of(samples, "tower", SPEC, 9),
        key_of(samples[::-1], "tower", SPEC, 9),
        key_of(other_cell, "tower", SPEC, 9),
        key_of(samples, "other", SPEC, 9),
        key_of(samples, "tower", Preprocess(mode="crop"), 9),
        key_of(samples, "tower", SPEC, 8),
    }
    assert len(keys) == 6
    assert key_of(samples, "tower", SPEC, 9) in keys
