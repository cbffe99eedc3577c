"""What a crawled file is called is shown on one line and obeyed by no terminal; a probability never reads as certain."""

import pytest

from pipeline.telemetry.printable import counted, format_probability, printable


def test_a_name_is_one_line_that_no_terminal_obeys() -> None:
    assert printable("a\x1b[31m\n\u202eb") == r"a\x1b[31m\n\u202eb"
    assert printable("Übersicht 東京.jpg") == "Übersicht 東京.jpg"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.5, "0.500"),
        (0.98765, "0.988"),
        (0.9996, "0.9996"),
        (0.00004, "0.00004"),
        (1.0, "over 0.999999"),
        (1e-9, "under 0.000001"),
    ],
)
def test_a_probability_has_the_digits_that_keep_it_from_0_and_1(probability: float, shown: str) -> None:
    assert format_probability(probability) == shown


def test_a_number_stands_with_its_noun() -> None:
    told = [counted(1, "image"), counted(0, "image"), counted(2000, "has", "have")]
    assert told == ["1 image", "0 images", "2,000 have"]
