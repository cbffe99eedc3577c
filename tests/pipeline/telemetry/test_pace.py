"""A rate is that of the last half minute and not of the start; a time left is known where a rate and a total are."""

from itertools import pairwise

import pytest

from pipeline.telemetry.pace import MAX_POINTS, WINDOW_SECONDS, Pace, Series


def test_waiting_for_the_first_arrival_lowers_no_rate() -> None:
    pace = Pace()
    pace.reach(20, 100.0)
    assert pace.rate(100.0) is None and pace.left(60, 100.0) is None and pace.mean is None
    pace.reach(40, 102.0)
    assert (pace.rate(102.0), pace.left(60, 102.0)) == (10, 2)


def test_lumps_make_no_sawtooth_and_a_standstill_shows() -> None:
    pace = Pace()
    for number in range(1, 4):
        pace.reach(16 * number, 2.0 * number)
    assert pace.rate(6.0) == pace.rate(7.9) == 8
    slow = pace.rate(60.0)
    assert slow is not None and slow < 1


def test_what_was_fast_long_ago_is_forgotten() -> None:
    pace = Pace()
    for second in range(10):
        pace.reach(1000 * (second + 1), float(second))
    for second in range(10, 11 + int(WINDOW_SECONDS) + 2):
        pace.reach(10_000 + second, float(second))
    assert pace.rate(12.0 + WINDOW_SECONDS) == pytest.approx(1)
    assert pace.mean is not None and pace.mean > 100


def test_what_is_taken_back_begins_a_new_rate() -> None:
    pace = Pace()
    pace.reach(50, 1.0)
    pace.reach(80, 2.0)
    pace.reach(64, 3.0)
    assert (pace.done, pace.rate(3.0), pace.mean) == (64, None, None)


def test_without_a_total_or_at_the_end_nothing_is_left() -> None:
    pace = Pace()
    pace.reach(1, 1.0)
    pace.reach(2, 2.0)
    assert pace.left(None, 2.0) is None and pace.left(2, 2.0) is None and pace.left(3, 2.0) == 1


@pytest.mark.parametrize("beats", [3, MAX_POINTS, 50 * MAX_POINTS + 7])
def test_a_series_of_any_length_keeps_few_points_evenly_apart_and_ends_with_the_truth(beats: int) -> None:
    series = Series()
    for beat in range(beats):
        series.add(beat / 2, 3 * beat)
    points = series.points(beats / 2, 3 * beats - 9)
    assert len(points) <= MAX_POINTS and points[-1] == [beats / 2, 3 * beats - 9]
    assert all(done <= 3 * beats - 9 for _, done in points), "no point lies above what is written"
    gaps = [round(after[0] - before[0], 1) for before, after in pairwise(points[:-1])]
    assert not gaps or max(gaps) <= 2 * min(gaps) + 0.5


def test_a_series_keeps_when_the_first_images_began_and_never_falls() -> None:
    series = Series()
    for beat in range(120):
        series.add(beat / 2, 0)
    series.add(60.0, 16)
    series.add(60.5, 40)
    series.add(61.0, 32)
    assert series.points(62.0, 48) == [[59.5, 0], [60.0, 16], [60.5, 32], [61.0, 32], [62.0, 48]]
