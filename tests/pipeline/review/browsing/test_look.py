"""Laws of a look: pages of images follow one another in both directions."""

import pytest

from pipeline.review.browsing.look import Look
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.question import Question


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of four images."""
    monkeypatch.setattr("pipeline.review.browsing.look.PAGE", 4)


@pytest.mark.usefixtures("four")
def test_pages_follow_one_another_and_lead_back(look: Look) -> None:
    question = Question(sort="oldest")
    first, before, more = look.page(question, after=None, before=None)
    assert ([card["id"] for card in first], before, more) == (first and [card["id"] for card in first], False, True)
    second, before, more = look.page(question, after=first[-1]["id"], before=None)
    third, _, last = look.page(question, after=second[-1]["id"], before=None)
    assert (len(first), len(second), len(third)) == (4, 4, 1) and before and more and not last
    back, before, more = look.page(question, after=None, before=third[0]["id"])
    assert back == second and before and more
    assert look.page(question, after=None, before=second[0]["id"]) == (first, False, True)


def test_a_map_needs_the_checkpoint_of_the_very_model(look: Look) -> None:
    row = look.records.row(1)
    assert row is not None
    found = look.heat_map(row)
    assert isinstance(found, Absent) and "new" in found.words
