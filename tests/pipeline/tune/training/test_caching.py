"""Laws of filling the token cache, on the tests' Ray."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.training.caching import fill_cache
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.trunk import TrunkRunner
from pipeline.tune.training.view_requests import AUGMENTED, ViewRequest, make_views, view_keys
from tests.pictures import picture
from tests.pipeline.tune.training.test_version import task_for

pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(tmp_path: Path, tiny: Path) -> DatasetSpec:
    """Three pictures."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    samples = [Sample(str(tmp_path / f"{number}.jpg"), number % 2, "photos") for number in range(3)]
    return DatasetSpec(to_table(samples), task_for(tiny).spec)


def test_the_cache_holds_what_the_trunk_gives_and_a_second_call_only_adds(
    local_ray: None, tiny: Path, tmp_path: Path, dataset: DatasetSpec
) -> None:
    task, folder, alone = task_for(tiny), tmp_path / "tokens", tmp_path / "alone"
    folder.mkdir()
    alone.mkdir()
    requests = [ViewRequest(index, AUGMENTED, variant) for index in range(3) for variant in range(2)]
    keys = view_keys(requests, dataset, list("abc"), seed=task.seed)
    wanted = dict(zip(keys, requests, strict=True))
    fill_cache({str(folder): task}, dict(list(wanted.items())[:4]), dataset, device="cpu")
    before = set(folder.iterdir())
    fill_cache({str(folder): task}, wanted, dataset, device="cpu")
    assert before < set(folder.iterdir()), "blocks of the first call are left as they are"
    trunk = TrunkRunner({str(alone): task}, device="cpu", threads=1, batch_size=16)
    trunk({"pixels": make_views(requests, dataset, seed=task.seed), "key": np.array(keys)})
    assert torch.allclose(TokenCache(folder).tokens(keys), TokenCache(alone).tokens(keys), atol=1e-5)
    assert torch.allclose(TokenCache(folder).features(keys), TokenCache(alone).features(keys), atol=1e-5)


def test_where_all_views_are_cached_nothing_is_run(tiny: Path, tmp_path: Path, dataset: DatasetSpec) -> None:
    task, folder = task_for(tiny), tmp_path / "tokens"
    folder.mkdir()
    requests = [ViewRequest(0)]
    keys = view_keys(requests, dataset, list("abc"), seed=task.seed)
    trunk = TrunkRunner({str(folder): task}, device="cpu", threads=1, batch_size=16)
    trunk({"pixels": make_views(requests, dataset, seed=task.seed), "key": np.array(keys)})
    before = set(folder.iterdir())
    fill_cache({str(folder): task}, dict(zip(keys, requests, strict=True)), dataset, device="no such device")
    assert set(folder.iterdir()) == before
