"""Laws of a training run, before anything is trained."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mole.config import Description, DetectorConfig, describe
from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.tune.data.collection import VALIDATION, Collection
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.cached_views import token_folder
from pipeline.tune.training.task import Task
from pipeline.tune.training.training_run import MAX_EPOCH_IMAGES, detector_of, head_weights, schedule_of, task_of
from tests.pipeline.tune.training.test_finetune import collection, settings
from tests.tiny import tiny_checkpoint


def task(base: Description, found: Collection | None = None, **more: Any) -> Task:
    return task_of(settings(**more), ("base", base), found or collection(), "/models/runs")


def test_an_epoch_is_one_round_over_the_images_and_bounded() -> None:
    schedule = schedule_of(settings(head_images=64), 1000, warm_up=True)
    assert (schedule.steps, schedule.warmup_steps) == (63, 4)
    assert schedule_of(settings(), 10 * MAX_EPOCH_IMAGES, warm_up=True).steps == MAX_EPOCH_IMAGES // 16
    assert schedule_of(settings(), 1000, warm_up=False).warmup_steps == 0


def test_stages_follow_each_other_without_a_gap() -> None:
    stages = [{"name": "one", "epochs": 2, "learns": ["alpha"]}, {"name": "all", "epochs": 3}]
    schedule = schedule_of(settings(stages=stages), 160, warm_up=False)
    assert [schedule.bounds(number) for number in (0, 1)] == [(0, 20), (20, 50)]
    assert (schedule.epochs, schedule.last_step) == (5, 50)


def test_the_same_samples_settings_and_base_are_the_same_run_wherever_and_by_whomever(tiny: Path) -> None:
    base = describe(tiny)

    def run(found: Collection | None = None, **more: Any) -> str:
        return task(base, found, **more).run

    assert (
        run() == run(workers=2) == run(device="cpu") == run(token_cache="kept") == run(collection(place="elsewhere/"))
    )
    assert len({run(), run(seed=1), run(epochs=2), run(token_cache="none"), run(collection(99))}) == 5


def test_a_detector_is_the_bases_where_nothing_else_is_said(tiny: Path) -> None:
    base = describe(tiny)
    assert detector_of(settings(), base) == base.config.detector
    assert detector_of(settings(reads=(2, 3), blocks=(2,)), base).reads == (2, 3)


def test_there_are_warm_up_steps_only_where_no_tokens_are_cached(tiny: Path) -> None:
    base = describe(tiny)
    assert task(base).schedule.warmup_steps == 0 < task(base, token_cache="none").schedule.warmup_steps
    assert task_of(settings(), ("base", base), collection(), "s3://bucket/runs").schedule.warmup_steps > 0
    assert token_folder(settings(), "/models/runs/a") == Path("/models/runs/a/tokens")


def test_who_decides_when_to_stop_is_a_generator_or_the_generators_of_a_collection(tiny: Path) -> None:
    samples = [Sample(f"{n}", n % 2, f"source {n}", str(n), collection="new" if n < 4 else "old") for n in range(8)]
    found = Collection(samples, [VALIDATION] * 8, collection().survey.slice(0, 8), Counter())
    assert task(describe(tiny), found, hold_out=("new",)).stopping_generators == (
        "source 0",
        "source 1",
        "source 2",
        "source 3",
    )
    assert task(describe(tiny), found, hold_out=("source 5",)).stopping_generators == ("source 5",)


def test_a_detector_without_experts_is_trained_by_fitting_its_head(tiny: Path) -> None:
    plain = task(describe(tiny), shared_rank=0, expert_ranks=(), epochs=5)
    assert plain.schedule.epochs == 0 and [stage.name for stage in plain.schedule.stages] == ["head"]


def test_a_frozen_detector_keeps_the_kinds_of_its_last_stage(tiny: Path) -> None:
    stages = [{"name": "head", "epochs": 0, "kinds": ["generated"]}]
    [stage] = task(describe(tiny), shared_rank=0, expert_ranks=(), stages=stages).schedule.stages
    assert (stage.epochs, stage.kinds) == (0, ("generated",))
    made = Sample("pair", 1, "photos", artefact="reconstruction")
    samples = [Sample("photo", 0, "photos"), Sample("generated", 1, "made"), made]
    assert head_weights(stage, samples, [""] * 3) == (0.5, 0.5, 0.0)


def test_a_kernel_head_has_the_bases_centres_as_far_as_there_are_views_to_draw_them_from(tmp_path: Path) -> None:
    config = DetectorConfig(blocks=(), reads=(2, 3), head="kernel", components=4, centres=500)
    base = describe(tiny_checkpoint(tmp_path / "kernel", detector=config))
    images = len(collection().of(TRAIN))
    assert task(base, augmentations=1).detector.centres == images < 500
    assert task(base, augmentations=1, view="resize+crop").detector.centres == 2 * images < 500
    assert task(base, augmentations=4).detector.centres == 500
    assert task(base, centres=7).detector.centres == 7
    uncached = task(base, token_cache="none", head_images=32)
    assert (
        uncached.schedule.warmup_steps > 0
        and uncached.detector.centres == uncached.schedule.warmup_steps * uncached.batch_size
    )


def test_more_centres_than_views_that_the_head_is_fitted_to_are_refused_before_anything_runs(tmp_path: Path) -> None:
    config = DetectorConfig(blocks=(), reads=(2, 3), head="kernel", components=4, centres=500)
    base = describe(tiny_checkpoint(tmp_path / "kernel", detector=config))
    views = 2 * len(collection().of(TRAIN))
    with pytest.raises(SettingsError, match=rf"--centres must be at most {views}, .*got {views + 1}"):
        task(base, augmentations=2, centres=views + 1)
    reals = 2 * sum(sample.label == 0 for sample in collection().of(TRAIN))
    with pytest.raises(SettingsError, match=f"at most {reals}, "):  # no generated image is of the last stage's kind
        task(base, augmentations=2, centres=views, stages=[{"name": "head", "epochs": 0, "kinds": ["upsampling"]}])


@pytest.mark.parametrize("missing", ["delta", "shared"])
def test_a_stage_that_trains_an_expert_that_is_not_there_is_refused_by_name(tiny: Path, missing: str) -> None:
    stages = [{"name": "odd", "epochs": 1, "learns": [missing]}, {"name": "all", "epochs": 1}]
    with pytest.raises(
        SettingsError, match=f"'odd' trains .'{missing}'.; this detector has alpha, beta, gamma, router"
    ):
        task(describe(tiny), stages=stages, shared_rank=0)


def test_a_view_that_is_asked_for_keeps_the_size_and_the_colours_of_the_base(tmp_path: Path) -> None:
    half = Preprocess(mode="resize", size=384, short_side=384, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    base = describe(tiny_checkpoint(tmp_path / "tiny", preprocess=half))
    assert task(base, view="crop-4").spec == half.model_copy(update={"mode": "crop", "crops": 4})
