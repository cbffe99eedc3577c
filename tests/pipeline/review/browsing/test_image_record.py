"""Laws of a record: a score in words, and what belongs to an image."""

import pytest

from pipeline.review.browsing.image_record import WIDTH, chance, declared, link, name, state
from pipeline.review.browsing.session import Session
from tests.pipeline.review.browsing.conftest import numbered


def test_a_score_is_told_with_what_it_was_held_against(session: Session) -> None:
    row = session.records.row(numbered(session, "2"))
    assert row is not None
    assert session.records.verdict(row) == (
        "Called unsure: the probability that it is generated is 0.600 (logit 0.50). As far as the verdicts of the table "
        "show, images are called generated from logit 2.00 up, real below logit \N{MINUS SIGN}1.00."
    )
    scale = session.records.scale(row)
    assert scale and scale.real_below and scale.generated_above
    assert 0 < scale.real_below < scale.score < scale.generated_above < WIDTH


def test_an_image_without_a_score_says_why(session: Session) -> None:
    row = session.records.row(numbered(session, "5"))
    assert row is not None
    assert session.records.verdict(row) == "No verdict: image file is truncated."
    assert session.records.scale(row) is None


def test_copies_and_other_models_are_those_of_the_image(session: Session) -> None:
    row = session.records.row(numbered(session, "3"))
    assert row is not None
    assert [name(copy) for copy in session.records.copies(row)] == ["4"]
    assert [(other["model"], other["verdict"]) for other in session.records.others(row)] == [("old", "generated")]
    assert session.records.row(0) is None


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.5, "0.500"), (0.0001, "under 0.001"), (0.99999, "over 0.999"), (1.0, "1.000"), (None, "none")],
)
def test_a_probability_is_never_rounded_to_certainty(probability: float | None, words: str) -> None:
    assert chance(probability) == words


def test_only_web_addresses_of_whole_images_are_links() -> None:
    assert link({"uri": "https://a.example/b.jpg", "length": None}) == "https://a.example/b.jpg"
    for uri, length in (("https://a.example/b.tar", 9), ("javascript:alert(1)", None), ("/a.jpg", None), (None, None)):
        assert link({"uri": uri, "length": length}) is None


def test_small_things_are_written_for_people() -> None:
    assert name({"key": "a/b.jpg", "uri": "x", "index": 0}) == "b.jpg"
    assert name({"key": None, "uri": None, "index": 3}) == "image 3"
    assert name({"key": "a/rtl\u202egnp.exe\u200b\x1b\t.jpg", "uri": "x"}) == r"rtl\u202egnp.exe\u200b\x1b\t.jpg"
    assert declared({"provenance": {"camera": "Le\u202eica", "software": None}}) == [("Camera", r"Le\u202eica")]
    assert declared({"provenance": None}) == []


def test_a_mark_and_what_is_noted_are_told_in_words() -> None:
    assert state(None) == "is not marked"
    assert state({"label": "real", "generator": None, "note": None}) == "is marked real"
    noted = {"label": "note", "generator": "flux", "note": "odd\nhands \u202e" + "x" * 99}
    told = state(noted)
    assert told.startswith(r"is not marked, with the generator “flux” and the note “odd hands \u202ex")
    assert told.endswith("…”")
