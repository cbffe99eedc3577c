"""Laws of the evaluation's flow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.manifest import MANIFEST, TrainingImages, with_samples
from pipeline.tune.data.samples import Sample, digest_of
from pipeline.tune.data.split import TRAIN
from pipeline.tune.evaluation.evaluate import (
    EvaluateOptions,
    check_both_classes,
    evaluate,
    evaluate_with_scores,
    expand_grid,
    seen_mask,
)
from pipeline.tune.evaluation.robustness import GRID
from pipeline.tune.evaluation.sample_scoring import Runner
from tests.judged import DELIVERIES, judge_here, labelled
from tests.tiny import tiny_checkpoint


def test_ray_gives_what_the_steps_give_sample_by_sample_and_what_is_left_out_is_said(
    local_ray: None, tiny: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    samples = labelled(tmp_path, each=3)
    how = EvaluateOptions(runner=Runner(device="cpu", batch_size=4))
    found = evaluate_with_scores(samples, str(tiny), DELIVERIES, told.append, how)
    here = judge_here(samples, tiny)
    for column in ("place", "delivery", "status"):
        assert found.scored[column].to_pylist() == here.scored[column].to_pylist()
    one, other = (judged.scored["logit"].to_numpy(zero_copy_only=False) for judged in (found, here))
    assert np.allclose(one, other, atol=0.3, equal_nan=True)
    assert found.evaluation.excluded == here.evaluation.excluded == {"missing": 1, "truncated": 1}
    one, other = (judged.evaluation.metrics("progan", "aligned").auroc for judged in (found, here))
    assert one == pytest.approx(other, abs=0.15)
    assert any("1 of 17 images are truncated" in line for line in told)


def test_as_shipped_comes_first_and_a_grid_is_written_out_once() -> None:
    assert expand_grid(("aligned", "aligned")) == ("shipped", "aligned")
    assert expand_grid(("grid", "jpeg-50")) == ("shipped", *GRID)


def lists(model: Path, samples: list[Sample], split: str) -> None:
    """Say in a model's folder which images it was made of."""
    digests = [digest_of(Path(sample.uri).read_bytes(), None) for sample in samples]
    (model / MANIFEST).write_bytes(with_samples(model, samples, digests, split))


def test_training_images_are_left_out_and_with_seen_reported_separately(local_ray: None, tmp_path: Path) -> None:
    model = tiny_checkpoint(tmp_path / "model")
    samples = labelled(tmp_path, each=4)[:20]
    moved = tmp_path / "copy.jpg"
    moved.write_bytes(Path(samples[1].uri).read_bytes())
    lists(model, [samples[place] for place in (0, 1, 8, 12)], TRAIN)
    given = [*samples[:1], replace(samples[1], uri=str(moved)), *samples[2:]]  # one of them lies elsewhere now
    told: list[str] = []
    how = EvaluateOptions(runner=Runner(device="cpu", batch_size=4))
    unseen = evaluate_with_scores(given, str(model), ("shipped",), told.append, how).evaluation
    assert (unseen.which, unseen.samples, unseen.left_out, unseen.taught, unseen.apart) == ("unseen", 16, 4, 0, None)
    assert any(line.startswith("left out 4 images that this version was trained") for line in told)
    both = evaluate_with_scores(given, str(model), ("shipped",), told.append, replace(how, seen=True)).evaluation
    counts = [[(row.generator, row.fakes, row.reals) for row in found.rows] for found in (both, unseen)]
    assert counts[0] == counts[1] == [("painter", 3, 10), ("progan", 3, 4)] and both.left_out == 0
    assert both.apart is not None and (both.apart.which, both.apart.samples, both.apart.taught) == ("seen", 4, 4)


def test_a_copy_elsewhere_is_known_by_its_content_in_any_perturbation() -> None:
    samples = [Sample("a", 0, "s"), Sample("b", 0, "s"), Sample("c", 1, "s")]
    scored = pa.table({"digest": ["x", "x", "y", "y", None, None]})
    known = TrainingImages(places=frozenset([("a", None, None)]), digests=frozenset(["y"]))
    assert seen_mask(samples, scored, known, 2).tolist() == [True, True, False]


def test_nothing_left_that_a_version_never_saw_is_refused_and_says_how_to_see_the_rest(tmp_path: Path) -> None:
    model = tiny_checkpoint(tmp_path / "model")
    samples = labelled(tmp_path, each=1)[:5]
    lists(model, samples, TRAIN)
    with pytest.raises(SettingsError, match="5 training images were left out.*--include-seen"):
        evaluate_with_scores(samples, str(model), ("shipped",), list[str]().append)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused(tmp_path: Path, label: int) -> None:
    only = [sample for sample in labelled(tmp_path, each=1) if sample.label == label]
    with pytest.raises(SettingsError, match="both classes"):
        check_both_classes(only)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none' is not there"):
        evaluate(labelled(tmp_path, each=1), str(tmp_path / "none"), ("shipped",), list[str]().append)
