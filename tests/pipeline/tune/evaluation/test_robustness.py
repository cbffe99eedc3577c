"""Laws of the flip rate."""

import numpy as np

from mole.measuring.calibration import Calibration
from pipeline.tune.evaluation.robustness import flips

READ = Calibration(real_below=-1.0, generated_above=1.0)
SOURCES = ["painter", "painter", "painter", "photos"]
LABELS = np.array([1, 1, 1, 0])


def test_a_flip_is_another_verdict_and_a_reversal_one_without_a_stop_at_unsure() -> None:
    logits = {"shipped": np.array([2.0, 2.0, 2.0, -2.0]), "jpeg-30": np.array([3.0, 0.0, -2.0, -1.5])}
    painter, photos = sorted(flips(logits, READ, SOURCES, LABELS), key=lambda row: not row.generated)
    assert (painter.source, painter.changed.hits, painter.changed.images, painter.reversed.hits) == ("painter", 2, 3, 1)
    assert (photos.source, photos.changed.hits, photos.reversed.hits) == ("photos", 0, 0)


def test_an_image_that_could_not_be_read_flips_nothing_and_counts_nowhere() -> None:
    logits = {"shipped": np.array([2.0, np.nan, 2.0, np.nan]), "jpeg-30": np.array([-3.0, 0.0, np.nan, np.nan])}
    (painter,) = flips(logits, READ, SOURCES, LABELS)
    assert (painter.changed.hits, painter.changed.images) == (1, 1)


def test_without_the_shipped_verdicts_there_is_nothing_to_flip_from() -> None:
    assert flips({"jpeg-30": np.zeros(4)}, READ, SOURCES, LABELS) == []


def test_a_source_of_both_classes_is_counted_class_by_class() -> None:
    logits = {"shipped": np.array([2.0, -2.0]), "blur-1": np.array([2.0, 2.0])}
    found = {row.generated: row.changed.share for row in flips(logits, READ, ["progan", "progan"], np.array([1, 0]))}
    assert found == {True: 0.0, False: 1.0}
