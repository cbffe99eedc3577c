"""Laws of a training's plan, before anything is trained; the whole flow is walked in tests/jobs/test_walkthrough.py."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mole.config import describe
from mole.errors import SettingsError
from mole.preprocess import Preprocess
from pipeline.registry import Registry
from pipeline.tune.data.collection import CALIBRATION, TEST, VALIDATION, Collection
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.finetune import MOST_EPOCH, QUICK, course_of, demand_enough, hurried, task_of
from pipeline.tune.training.settings import FinetuneSettings
from tests.tiny import tiny_checkpoint


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
    assert hurried(given).epochs == 5 and hurried(given).most == QUICK["most"]
    assert hurried(settings()).epoch_images is None


def test_a_rate_that_the_calibration_cannot_show_is_refused_with_the_number_it_takes() -> None:
    demand_enough(collection(100), settings(false_positive_rate=0.01))
    with pytest.raises(
        SettingsError, match=r"0\.01 takes at least 100 real images.*got 99 .*299 without an error.*0\.01"
    ):
        demand_enough(collection(99), settings(false_positive_rate=0.01))


@pytest.mark.parametrize("split", [TRAIN, VALIDATION, CALIBRATION])
def test_a_split_of_one_class_is_refused_by_name(split: str) -> None:
    with pytest.raises(SettingsError, match=f"the {split} split needs both classes"):
        demand_enough(collection(without=split), settings())


def test_a_version_that_was_never_tested_is_no_error(tiny: Path) -> None:
    demand_enough(collection(without=TEST), settings())


def test_an_epoch_is_one_round_over_the_images_and_bounded() -> None:
    course = course_of(settings(head_images=64), 1000, fits_head=True)
    assert (course.steps, course.looking) == (63, 4)
    assert course_of(settings(), 10 * MOST_EPOCH, fits_head=True).steps == MOST_EPOCH // 16
    assert course_of(settings(init_from="x"), 1000, fits_head=True).looking == 0
    assert course_of(settings(), 1000, fits_head=False).looking == 0


def test_the_same_samples_settings_and_base_are_the_same_run_wherever_and_by_whomever(tiny: Path) -> None:
    def run(found: Collection | None = None, **more: Any) -> str:
        return task_of(settings(**more), Registry("models"), describe(tiny), found or collection()).run

    assert run() == run(workers=2) == run(device="cpu") == run(collection(place="elsewhere/"))
    assert len({run(), run(seed=1), run(epochs=2), run(collection(99))}) == 4


def test_a_batch_that_workers_cannot_share_is_refused(tiny: Path) -> None:
    with pytest.raises(SettingsError, match="--batch-size 16 must be a multiple of --workers 3"):
        task_of(settings(workers=3), Registry("models"), describe(tiny), collection())


def test_a_view_that_is_asked_for_keeps_the_size_and_the_colours_of_the_base(tmp_path: Path) -> None:
    half = Preprocess(mode="resize", size=384, short_side=384, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    base = describe(tiny_checkpoint(tmp_path / "tiny", preprocess=half))
    task = task_of(settings(view="crop-4"), Registry("models"), base, collection())
    assert task.spec == half.model_copy(update={"mode": "crop", "crops": 4})
