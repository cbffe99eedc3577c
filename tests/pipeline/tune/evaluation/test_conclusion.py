"""Laws of the conclusion."""

import pytest

from pipeline.tune.evaluation.conclusion import GLOSSARY, conclusion
from pipeline.tune.evaluation.evaluation_result import SEEN_LABELS, Evaluation
from tests.judged import judge_here, labelled
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("concluded")
    return judge_here(labelled(folder), tiny_checkpoint(folder / "model")).evaluation


def test_it_says_which_images_the_mean_the_worst_and_what_the_thresholds_are_from(found: Evaluation) -> None:
    told = conclusion(found.model_copy(update={"which": "unseen", "collection": "my archive"}))
    worst = min((row for row in found.rows if row.delivery == "shipped"), key=lambda row: row.auroc)
    assert told.startswith(
        "On images that the version was not trained or calibrated on: 18 real and 12 generated images of 2 generators"
    )
    assert f"{found.mean('auroc', 'shipped'):.3f} on average, lowest {worst.auroc:.3f} ({worst.generator}" in told
    assert "thresholds were set on my archive" in told and "of 18 real images are called generated" in told


def test_metrics_of_training_images_are_not_called_a_forecast_and_unknown_ones_unknown(found: Evaluation) -> None:
    assert conclusion(found.model_copy(update={"which": "seen"})).startswith("Not a forecast")
    told = conclusion(found.model_copy(update={"which": "unknown", "teachers": ("coco",)}))
    assert told.startswith("It is not known which of these images the version was trained on (judging by name, coco)")


def test_an_auroc_close_to_guessing_is_called_that(found: Evaluation) -> None:
    rows = tuple(row.model_copy(update={"auroc": 0.504}) for row in found.rows)
    assert "close to guessing" in conclusion(found.model_copy(update={"rows": rows}))


def test_every_word_that_tells_images_apart_is_explained() -> None:
    assert {SEEN_LABELS["unseen"], SEEN_LABELS["seen"], "AUROC", "threshold", "false positives"} <= GLOSSARY.keys()
