"""Sizes and times are written so that nobody has to count digits."""

import pytest

from pipeline.telemetry.humanize import human_duration, human_size, human_units


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (999_600, "1 MB"),
        (112_400_000, "112 MB"),
        (1.26e14, "126 TB"),
        (5e21, "5,000 EB"),
    ],
)
def test_bytes_have_three_digits_and_a_unit(count: float, words: str) -> None:
    assert human_size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "0.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (186.3, "3 min 6 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (400_000, "4 days 15 h"),
        (1e9, "11,574 days 1 h"),
    ],
)
def test_seconds_have_their_two_largest_units(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_what_is_no_number_of_bytes_or_seconds_stays() -> None:
    told = "1,073,741,824 bytes / 8 MiB + 2 x 5 images x 0.0034 s / 3,600 + start 186 s, 4 scorers"
    assert human_units(told) == "1.07 GB / 8 MiB + 2 x 5 images x 0.0034 s / 3,600 + start 3 min 6 s, 4 scorers"
