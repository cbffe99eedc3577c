"""Scoring is the same in either precision where it matters: no verdict moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mole.checkpoint import Checkpoint, load_checkpoint
from mole.config import DetectorConfig
from mole.errors import ModelError
from mole.inference.precision import Precision
from mole.inference.scoring import EDGE, SharedBackboneScorer, SingleModelScorer, select_views
from mole.model.detector import learned
from mole.tower.vit import normalise
from tests.tiny import tiny_checkpoint


@pytest.fixture
def loaded(tmp_path: Path) -> Checkpoint:
    """A tiny detector."""
    return load_checkpoint(tiny_checkpoint(tmp_path / "tiny"))


def views(count: int = 40) -> torch.Tensor:
    """Draw views, uint8 (B, 3, 224, 224)."""
    return torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_float32_scores_are_the_detectors_own(loaded: Checkpoint) -> None:
    scores = SingleModelScorer(loaded, "cpu", precision="float32").score(views(4))
    with torch.inference_mode():
        output = loaded.detector(normalise(views(4), loaded.preprocess))
    np.testing.assert_array_equal(scores.logit, output.logit_B.numpy())
    np.testing.assert_array_equal(scores.gates, output.gates_BE.numpy())


def test_bfloat16_gives_float32s_verdicts(loaded: Checkpoint) -> None:
    exact = SingleModelScorer(loaded, "cpu", precision="float32").score(views())
    middle = float(np.median(exact.logit))
    calibration = loaded.calibration.model_copy(update={"real_below": middle - 1e-3, "generated_above": middle + 1e-3})
    moved = Checkpoint(
        loaded.description.__class__(
            loaded.description.folder,
            loaded.description.config.model_copy(update={"calibration": calibration}),
            loaded.description.digest,
        ),
        loaded.detector,
    )
    half = SingleModelScorer(moved, "cpu", precision="bfloat16").score(views())
    assert calibration.verdict(half.logit).tolist() == calibration.verdict(exact.logit).tolist()


def test_a_logit_that_is_no_number_is_the_models_fault(loaded: Checkpoint) -> None:
    with torch.no_grad():
        learned(loaded.detector)["head.0.bias"].fill_(float("nan"))
    with pytest.raises(ModelError, match="3 of 3 logits are not finite"):
        SingleModelScorer(loaded, "cpu", precision="float32").score(views(3))


def test_the_logit_of_several_crops_is_the_mean_of_theirs(loaded: Checkpoint) -> None:
    scorer = SingleModelScorer(loaded, "cpu", precision="float32")
    one, three = scorer.score(views(6)), scorer.score(views(6), crops=3)
    np.testing.assert_allclose(three.logit, one.logit.reshape(2, 3).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(three.gates, one.gates.reshape(2, 3, -1).mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("crops", [1, 3])
def test_neither_batches_nor_pieces_move_a_logit(loaded: Checkpoint, precision: Precision, crops: int) -> None:
    whole, few = (SharedBackboneScorer([loaded], "cpu", precision=precision, batch_size=size) for size in (None, 5))
    [expected] = whole.score([views(36)], crops=crops)
    [got] = few.score(torch.split(views(36), [1, 20, 0, 15]), crops=crops)
    np.testing.assert_allclose(got.logit, expected.logit, atol=1e-4 if precision == "float32" else 0.1)
    np.testing.assert_allclose(got.gates, expected.gates, atol=1e-5 if precision == "float32" else 0.01)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_logit_depends_on_how_many_images_came_with_it(loaded: Checkpoint, precision: Precision) -> None:
    scorer = SharedBackboneScorer([loaded], "cpu", precision=precision, batch_size=8)
    [together] = scorer.score([views(20)])
    for count in (1, 3, 7):
        apart = [scorer.score([part])[0].logit for part in torch.split(views(20), count)]
        np.testing.assert_allclose(np.concatenate(apart), together.logit, atol=1e-5)


PAPERS = DetectorConfig(adapted_blocks=2, shared_rank=4, expert_ranks=(2, 3, 4))
SHALLOW = DetectorConfig(blocks=(), reads=(1, 2))
MIDDLE = DetectorConfig(blocks=(1,), reads=(2, 3), pooling=("class", "mean"), head="kernel", components=8, centres=30)
SHAPES = {"papers": PAPERS, "shallow": SHALLOW, "middle": MIDDLE}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("names", [["shallow", "papers", "middle"], ["middle", "shallow"], ["papers", "shallow"]])
def test_detectors_that_run_unlike_many_blocks_of_one_tower_score_together_as_alone(
    names: list[str], precision: Precision, tmp_path: Path
) -> None:
    def one(name: str) -> Checkpoint:
        return load_checkpoint(tiny_checkpoint(tmp_path / name, detector=SHAPES[name]))

    together = SharedBackboneScorer([one(name) for name in names], "cpu", precision=precision)
    frozen = [{id(p) for p in one.parameters() if not p.requires_grad} for one in together.fast]
    assert len(set().union(*frozen)) == max(map(len, frozen)), "what several run is there once"
    alone = [SingleModelScorer(one(name), "cpu", precision=precision).score(views(8)).logit for name in names]
    for got, expected in zip(together.score([views(8)]), alone, strict=True):
        np.testing.assert_allclose(got.logit, expected, atol=1e-5 if precision == "float32" else 0.05)


def test_bfloat16_gives_float32s_verdicts_of_a_detector_that_reads_the_middle(tmp_path: Path) -> None:
    loaded = load_checkpoint(tiny_checkpoint(tmp_path / "tiny", detector=MIDDLE))
    exact, half = (SingleModelScorer(loaded, "cpu", precision=precision) for precision in ("float32", "bfloat16"))
    known = loaded.calibration.verdict(exact.score(views()).logit)
    assert loaded.calibration.verdict(half.score(views()).logit).tolist() == known.tolist()


def test_the_views_of_some_images_are_found_in_any_pieces() -> None:
    pixels_V3SS = views(24)
    expected = pixels_V3SS.reshape(8, 3, 3, 224, 224)[[0, 2, 7]].reshape(-1, 3, 224, 224)
    assert torch.equal(select_views(torch.split(pixels_V3SS, [5, 0, 10, 9]), np.array([0, 2, 7]), 3), expected)


def moved(loaded: Checkpoint, threshold: float) -> Checkpoint:
    """Put both thresholds at one logit."""
    calibration = loaded.calibration.model_copy(update={"real_below": threshold, "generated_above": threshold})
    config = loaded.description.config.model_copy(update={"calibration": calibration})
    return Checkpoint(replace(loaded.description, config=config), loaded.detector)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_logit_at_a_threshold_is_the_same_to_the_bit_in_any_batch_order_and_number_of_threads(
    loaded: Checkpoint, precision: Precision
) -> None:
    plain = SingleModelScorer(loaded, "cpu", precision="float32").score(views(12)).logit
    threads = torch.get_num_threads()
    try:
        for image in (0, 5, 11):
            checkpoint = moved(loaded, float(plain[image]))
            found = set()
            for size, count, order in ((1, 1, 1), (5, 2, -1), (12, 1, -1), (8, 2, 1)):
                torch.set_num_threads(count)
                scorer = SharedBackboneScorer([checkpoint], "cpu", precision=precision, batch_size=size)
                [scores] = scorer.score([views(12) if order > 0 else views(12).flip(0)])
                found.add(scores.logit[::order][image].tobytes())
                assert torch.get_num_threads() == count
            assert len(found) == 1
            assert abs(np.frombuffer(found.pop(), np.float32)[0] - plain[image]) <= EDGE / 10
    finally:
        torch.set_num_threads(threads)
