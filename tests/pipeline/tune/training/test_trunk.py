"""Laws of the trunk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mole.config import DetectorConfig
from mole.tower.vit import normalise
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.trunk import TrunkRunner, fresh_detector
from tests.pipeline.tune.training.test_version import task_for
from tests.tiny import SHAPE

KEYS = [f"{number}" for number in range(11)]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (len(KEYS), 3, 224, 224), np.uint8)


def cached(task: Task, folder: Path, pixels: np.ndarray, cuts: list[int]) -> TokenCache:
    """Run views through the trunk in blocks that end at some places."""
    folder.mkdir()
    trunk = TrunkRunner({str(folder): task}, device="cpu", threads=1, batch_size=4)
    for first, last in zip([0, *cuts], [*cuts, len(KEYS)], strict=True):
        output = trunk({"pixels": pixels[first:last], "key": np.array(KEYS[first:last])})
        assert output["cached"].tolist() == [last - first]
    return TokenCache(folder)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_output_for_a_view_does_not_depend_on_its_batch(
    tiny: Path, tmp_path: Path, pixels: np.ndarray, bfloat16: bool
) -> None:
    task = replace(task_for(tiny), bfloat16=bfloat16)
    one, other = cached(task, tmp_path / "one", pixels, [8]), cached(task, tmp_path / "other", pixels, [1, 4, 9])
    assert torch.equal(one.tokens(KEYS), other.tokens(KEYS)) and torch.equal(one.features(KEYS), other.features(KEYS))
    assert one.tokens(KEYS).dtype == (torch.bfloat16 if bfloat16 else torch.float32)


def test_cached_tokens_are_those_that_the_detector_computes(tiny: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    task = task_for(tiny)
    found, detector = cached(task, tmp_path / "one", pixels, []), fresh_detector(task)
    with torch.no_grad():
        token_BTD = detector.trunk(normalise(torch.from_numpy(pixels), task.spec))
    assert torch.allclose(found.tokens(KEYS), token_BTD, atol=1e-5)
    assert torch.allclose(found.features(KEYS), detector.feature(token_BTD)[0], atol=1e-5)


def test_without_experts_only_features_are_cached(tiny: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    plain = DetectorConfig(reads=(2, 3), pooling=("class", "mean"), shared_rank=0, expert_ranks=())
    found = cached(replace(task_for(tiny), detector=plain), tmp_path / "one", pixels, [])
    assert found.features(KEYS).shape == (len(KEYS), 4 * SHAPE.width)
    assert sum(file.stat().st_size for file in (tmp_path / "one").iterdir()) < 2 * len(KEYS) * 4 * SHAPE.width * 4


def test_detectors_of_one_tower_share_a_pass_and_each_gets_what_it_gets_alone(
    tiny: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    deep = DetectorConfig(blocks=(1,), reads=(2, 3), pooling=("deviation",), shared_rank=2, expert_ranks=())
    tasks = [task_for(tiny), replace(task_for(tiny), detector=deep)]
    alone = [cached(task, tmp_path / f"alone {number}", pixels, []) for number, task in enumerate(tasks)]
    folders = [tmp_path / f"shared {number}" for number in range(2)]
    for folder in folders:
        folder.mkdir()
    both = {str(folder): task for folder, task in zip(folders, tasks, strict=True)}
    TrunkRunner(both, device="cpu", threads=1, batch_size=4)({"pixels": pixels, "key": np.array(KEYS)})
    for one, folder in zip(alone, folders, strict=True):
        found = TokenCache(folder)
        assert torch.equal(found.tokens(KEYS), one.tokens(KEYS))
        assert torch.equal(found.features(KEYS), one.features(KEYS))


def test_a_view_that_is_cached_in_one_folder_is_not_written_there_again(
    tiny: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    cached(task_for(tiny), tmp_path / "one", pixels, [])
    before = set((tmp_path / "one").iterdir())
    (tmp_path / "other").mkdir()
    both = {str(tmp_path / name): task_for(tiny) for name in ("one", "other")}
    TrunkRunner(both, device="cpu", threads=1, batch_size=4)({"pixels": pixels, "key": np.array(KEYS)})
    assert set((tmp_path / "one").iterdir()) == before and "0" in TokenCache(tmp_path / "other")
