"""Laws of the sampling plan of a staged training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole.config import Description, describe
from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample
from pipeline.tune.training.plan import sampling_plan
from pipeline.tune.training.task import Stage
from pipeline.tune.training.training_run import head_weights
from tests.pipeline.tune.training.test_training_run import task

SAMPLES = [
    *(Sample(f"r{n}", 0, "photos") for n in range(10)),
    *(Sample(f"g{n}", 1, "made") for n in range(5)),
    *(Sample(f"c{n}", 1, "photos", artefact="reconstruction") for n in range(5)),
]


def planned(base: Description, *, variants: int | None = 3, **more: Any) -> Any:
    own = task(base, epoch_images=64, **more)
    return sampling_plan(own, SAMPLES, contents=[""] * len(SAMPLES), variants=variants, views=2)


def test_a_stage_sees_its_kinds_of_generated_images_and_every_real_one(tiny: Path) -> None:
    stages = [{"name": "pairs", "epochs": 1, "kinds": ["reconstruction"]}, {"name": "all", "epochs": 1}]
    plan = planned(describe(tiny), stages=stages)
    first, second = np.split(plan.sample_K, 2)
    assert set(first) == {*range(10), *range(15, 20)} and set(second) == set(range(20))
    weight = head_weights(Stage("pairs", 1, kinds=("reconstruction",)), SAMPLES, [""] * 20)
    assert sum(weight[:10]) == pytest.approx(0.5) and sum(weight[10:15]) == 0
    with pytest.raises(SettingsError, match=r"'none'.*there are \['generated', 'reconstruction'\]"):
        planned(describe(tiny), stages=[{"name": "none", "epochs": 1, "kinds": ["upsampling"]}, stages[1]])


def test_with_consistency_two_variants_of_an_image_are_adjacent(tiny: Path) -> None:
    for variants in (3, None):
        plan = planned(describe(tiny), consistency=0.1, variants=variants)
        assert (plan.sample_K[0::2] == plan.sample_K[1::2]).all() and (plan.view_K[0::2] == plan.view_K[1::2]).all()
        assert (plan.variant_K[0::2] != plan.variant_K[1::2]).all()
        assert set(plan.view_K) == {0, 1}
    assert set(planned(describe(tiny)).variant_K) == {0, 1, 2}


def test_views_that_are_not_cached_differ_in_every_epoch(tiny: Path) -> None:
    plan = planned(describe(tiny), variants=None, epochs=3, token_cache="none")
    assert plan.variant_K.tolist() == np.repeat([0, 1, 2], 64).tolist()
