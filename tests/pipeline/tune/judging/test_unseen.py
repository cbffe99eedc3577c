"""Laws of a method's figures."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.judging.figures import judge
from pipeline.tune.judging.held import FEWEST, Held
from pipeline.tune.judging.unseen import Unseen
from tests.heldout import heldout


def test_figures_are_the_same_after_they_were_written() -> None:
    unseen = judge(Held.of(heldout(), "mole"))
    assert Unseen.model_validate_json(unseen.model_dump_json()) == unseen


def test_what_was_not_judged_is_refused_with_what_is_known() -> None:
    unseen = judge(Held.of(heldout(), "mole"))
    assert unseen.mean("shipped", "sculpture") is None
    with pytest.raises(SettingsError, match="content 'sculpture' in delivery 'shipped' was not judged.*'art'"):
        unseen.called("shipped", "sculpture")


def test_a_row_counts_from_the_fewest_images_of_both_classes_on() -> None:
    area = judge(Held.of(heldout(), "mole")).areas[0]
    assert area.model_copy(update={"fakes": FEWEST, "reals": FEWEST}).counts
    assert not area.model_copy(update={"fakes": FEWEST - 1}).counts
    assert not area.model_copy(update={"reals": FEWEST - 1}).counts
