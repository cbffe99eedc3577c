"""Laws of which views are cached, and where."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mole.architecture import Architecture
from mole.config import describe
from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.tune.data.collection import TEST, VALIDATION
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.cached_views import (
    DISK_RESERVE,
    check_disk_space,
    prefix_tokens,
    requested_views,
    token_folder,
)
from pipeline.tune.training.view_requests import AUGMENTED, CLEAN, ViewRequest
from tests.pipeline.tune.training.test_finetune import settings
from tests.pipeline.tune.training.test_training_run import task
from tests.timms import KINDS
from tests.tiny import SHAPE


def test_tokens_lie_in_the_runs_own_folder_unless_it_is_remote_or_another_is_named() -> None:
    assert token_folder(settings(), "/models/runs/a") == Path("/models/runs/a/tokens")
    assert token_folder(settings(), "s3://bucket/runs/a") is None
    assert token_folder(settings(token_cache="/kept"), "s3://bucket/runs/a") == Path("/kept")
    assert token_folder(settings(token_cache="none"), "/models/runs/a") is None


def test_views_are_listed_by_sample_then_variant_then_view() -> None:
    places = {TRAIN: [4, 7], VALIDATION: [5], TEST: [6]}
    requests = requested_views(places, Preprocess.named("resize+crop"), 2, ["shipped"])
    assert requests[TRAIN] == [
        ViewRequest(place, AUGMENTED, variant, crop) for place in (4, 7) for variant in (0, 1) for crop in (0, 1)
    ]
    assert requests[VALIDATION] == [ViewRequest(5, CLEAN, 0, 0), ViewRequest(5, CLEAN, 0, 1)]
    assert requests["shipped"] == [ViewRequest(6, "shipped", 0, 0), ViewRequest(6, "shipped", 0, 1)]
    assert len(requested_views(places, Preprocess.named("crop-4"), 2, ["shipped"])["shipped"]) == 4


def test_a_disk_without_room_is_refused_with_what_is_wanted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = describe(tiny)
    check_disk_space(tmp_path, ["a"], base, task(base))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=DISK_RESERVE + 10_000_000))
    with pytest.raises(SettingsError, match=r"2,000 views take 0\.0 GB of tokens.*--token-cache none"):
        check_disk_space(tmp_path, [f"{number}" for number in range(2000)], base, task(base))


@pytest.mark.parametrize(("shape", "tokens"), [(SHAPE, 1), (KINDS["dinov2-registers"], 5), (KINDS["mean"], 0)])
def test_registers_count_among_the_tokens_of_a_view(shape: Architecture, tokens: int) -> None:
    assert prefix_tokens(shape) == tokens
