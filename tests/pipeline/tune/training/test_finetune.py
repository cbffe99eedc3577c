"""Laws of a training's plan, before anything is trained; the whole flow is walked in tests/jobs/test_walkthrough.py."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.collection import CALIBRATION, TEST, VALIDATION, Collection
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.finetune import QUICK, check_batch_size, check_splits, with_quick_settings
from pipeline.tune.training.settings import FinetuneSettings


def settings(**more: Any) -> FinetuneSettings:
    return FinetuneSettings(samples=["s"], registry="models", **more)


def collection(reals: int = 100, *, without: str = "", place: str = "") -> Collection:
    """Put so many images of each class into each split, but no fakes into one of them."""
    samples, splits = [], []
    for split in (TRAIN, VALIDATION, CALIBRATION, TEST):
        for label in (0, 1) if split != without else (0,):
            samples += [Sample(f"{place}{split}-{label}-{n}", label, f"s{label}", f"{split}{n}") for n in range(reals)]
            splits += [split] * reals
    digests = pa.table({"digest": [f"{number:04}" for number in range(len(samples))]})
    return Collection(samples, splits, digests, Counter())


def test_a_quick_training_is_short_where_the_settings_do_not_say_otherwise() -> None:
    given = FinetuneSettings.from_command_line(["--samples", "s", "--registry", "r", "--quick", "--epochs", "5"])
    assert (
        with_quick_settings(given).epochs == 5 and with_quick_settings(given).max_per_source == QUICK["max_per_source"]
    )
    assert with_quick_settings(settings()).epoch_images is None


def test_a_rate_that_the_calibration_cannot_show_is_refused_with_the_number_it_takes() -> None:
    check_splits(collection(100), settings(false_positive_rate=0.01))
    with pytest.raises(SettingsError, match=r"0\.01 needs at least 100 real images.*got 99 .*299 to show it.*0\.01"):
        check_splits(collection(99), settings(false_positive_rate=0.01))


@pytest.mark.parametrize("split", [TRAIN, VALIDATION, CALIBRATION])
def test_a_split_of_one_class_is_refused_by_name(split: str) -> None:
    with pytest.raises(SettingsError, match=f"the {split} split needs both classes"):
        check_splits(collection(without=split), settings())


def test_a_version_that_was_never_tested_is_no_error(tiny: Path) -> None:
    check_splits(collection(without=TEST), settings())


def test_a_batch_that_workers_cannot_share_is_refused() -> None:
    with pytest.raises(SettingsError, match="--batch-size 16 must be a multiple of 3, for --workers 3"):
        check_batch_size(settings(workers=3))
    with pytest.raises(SettingsError, match="--batch-size 16 must be a multiple of 32"):
        check_batch_size(settings(workers=16, consistency=0.1))


def test_thresholds_that_come_from_folds_take_no_calibration_split() -> None:
    check_splits(collection(without=CALIBRATION), settings(calibrate_from="ladder.json"))
