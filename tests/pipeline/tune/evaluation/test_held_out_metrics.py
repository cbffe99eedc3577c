"""Laws of the metrics of a method."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.evaluation.crossvalidation import measure_method
from pipeline.tune.evaluation.held_out_logits import MIN_IMAGES, HeldOutLogits
from pipeline.tune.evaluation.held_out_metrics import HeldOutMetrics
from tests.heldout import heldout


def test_figures_are_the_same_after_they_were_written() -> None:
    unseen = measure_method(HeldOutLogits.of(heldout(), "mole"))
    assert HeldOutMetrics.model_validate_json(unseen.model_dump_json()) == unseen


def test_what_was_not_evaluated_is_refused_with_what_is_known() -> None:
    unseen = measure_method(HeldOutLogits.of(heldout(), "mole"))
    assert unseen.mean("shipped", "sculpture") is None
    with pytest.raises(SettingsError, match="content 'sculpture' was not evaluated under 'shipped'.*'art'"):
        unseen.verdicts_of("shipped", "sculpture")


def test_a_row_counts_from_the_fewest_images_of_both_classes_on() -> None:
    area = measure_method(HeldOutLogits.of(heldout(), "mole")).areas[0]
    assert area.model_copy(update={"fakes": MIN_IMAGES, "reals": MIN_IMAGES}).counts
    assert not area.model_copy(update={"fakes": MIN_IMAGES - 1}).counts
    assert not area.model_copy(update={"reals": MIN_IMAGES - 1}).counts
