"""Laws of a chart: well-formed, in proportion, and legible."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from pipeline.review.analysis.findings import Bin, Scale
from pipeline.review.page.chart import APART, LETTER, Bar, Mark, columns, histogram

SVG = "{http://www.w3.org/2000/svg}"


def both(text: str) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Read the drawing for wide pages, and that for narrow ones."""
    text = text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    wide, narrow = ElementTree.fromstring(f"<both>{text}</both>")
    return wide, narrow


def drawn(text: str) -> ElementTree.Element:
    return both(text)[0]


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
    assert "1 image" not in {one.text for one in picture.iter(f"{SVG}title")}
    assert any((one.text or "").endswith(": 5 images") for one in picture.iter(f"{SVG}title"))
    assert {rect.attrib["class"] for rect in picture.iter(f"{SVG}rect")} == {"real", "unsure", "generated"}


@pytest.mark.parametrize("label", ["{}", "{} min 30 s"])
def test_marks_do_not_touch_nor_leave_the_picture_however_long_and_however_narrow(label: str) -> None:
    marks = [Mark(at / 100, label.format(f"#{at}")) for at in range(101)]
    for picture in both(columns([Bar({"images": 1}, "")] * 100, marks, title="t", axis="a")):
        labels = [text for text in picture.iter(f"{SVG}text") if (text.text or "").startswith("#")]
        places = [(float(text.attrib["x"]), LETTER * len(text.text or "") / 2) for text in labels]
        assert len(places) > 3 and all(
            b - a >= APART + left + right - 0.2 for (a, left), (b, right) in pairwise(places)
        )
        assert places[-1][0] + places[-1][1] <= float(picture.attrib["viewBox"].split()[2])


def test_both_drawings_show_the_same_bars_and_the_narrow_one_has_larger_letters() -> None:
    wide, narrow = both(columns([Bar({"images": 5}, "five")] * 3, [], title="t", axis="a"))
    assert wide.attrib["class"] == "chart wide" and narrow.attrib["class"] == "chart narrow"
    assert len([*wide.iter(f"{SVG}rect")]) == len([*narrow.iter(f"{SVG}rect")]) == 3
    assert float(narrow.attrib["viewBox"].split()[2]) < 400  # pixels of a telephone: letters keep their size


def test_counts_have_whole_numbers_at_their_side() -> None:
    picture = drawn(columns([Bar({"images": 1}, "one")], [], title="t", axis="a"))
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["0", "1", "a"]


def test_nothing_to_draw_is_an_empty_chart() -> None:
    assert [*drawn(columns([Bar({"images": 0}, "none")], [], title="t", axis="a")).iter(f"{SVG}rect")] == []
