"""Laws of the placeholder: words on a plain ground, whatever they hold."""

from xml.etree import ElementTree

from pipeline.review.browsing.placeholder import MAX_LINES, placeholder


def test_words_are_wrapped_and_nothing_in_them_is_markup() -> None:
    drawn = ElementTree.fromstring(placeholder("</text><script>alert(1)</script> & \x00 \u202e " + "word " * 100, 320))
    lines = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert len(lines) == MAX_LINES and all(len(line) <= 30 for line in lines)
    assert lines[-1].endswith("…")
    assert not list(drawn.iter("{http://www.w3.org/2000/svg}script"))
    assert "\u202e" not in "".join(lines) and r"\x00 \u202e" in "".join(lines)
