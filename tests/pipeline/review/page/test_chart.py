"""Laws of a chart: well-formed, in proportion, and legible."""

from itertools import pairwise
from xml.etree import ElementTree

from pipeline.review.evidence.findings import Bin, Scale
from pipeline.review.page.chart import APART, Bar, Mark, columns, histogram

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def test_columns_are_as_high_as_their_numbers() -> None:
    picture = drawn(columns([Bar({"images": 5}, "five"), Bar({"images": 10}, "ten")], [], title="t", axis="a"))
    heights = [float(rect.attrib["height"]) for rect in picture.iter(f"{SVG}rect")]
    assert heights[1] == 2 * heights[0]
    assert picture.attrib["role"] == "img" and picture[0].text == "t"


def test_a_histogram_stacks_verdicts_and_marks_where_they_change() -> None:
    bins = [Bin(float(at), at + 1.0, 5 - at, at, 2 * at) for at in range(6)]
    picture = drawn(histogram(bins, Scale(1.0, -3.0), [(2.0, "unsure from here"), (99.0, "outside")]))
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert "unsure from here" in words and "outside" not in words and "50 %" in words
    assert {rect.attrib["class"] for rect in picture.iter(f"{SVG}rect")} == {"real", "unsure", "generated"}


def test_marks_do_not_touch() -> None:
    marks = [Mark(at / 100, f"{at}") for at in range(100)]
    picture = drawn(columns([Bar({"images": 1}, "")] * 100, marks, title="t", axis="a"))
    places = [float(text.attrib["x"]) for text in picture.iter(f"{SVG}text") if (text.text or "").isdigit()][2:]
    assert all(b - a >= APART - 0.2 for a, b in pairwise(places))


def test_counts_have_whole_numbers_at_their_side() -> None:
    picture = drawn(columns([Bar({"images": 1}, "one")], [], title="t", axis="a"))
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["0", "1", "a"]


def test_nothing_to_draw_is_an_empty_chart() -> None:
    assert [*drawn(columns([Bar({"images": 0}, "none")], [], title="t", axis="a")).iter(f"{SVG}rect")] == []
