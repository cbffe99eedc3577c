"""A rate is that of the last half minute and not of the start; a time left is known where a rate and a total are."""

from itertools import pairwise

import pytest

from pipeline.telemetry.throughput import MAX_POINTS, WINDOW_SECONDS, Series, Throughput


def test_waiting_for_the_first_arrival_lowers_no_rate() -> None:
    throughput = Throughput()
    throughput.update(20, 100.0)
    assert throughput.rate(100.0) is None and throughput.left(60, 100.0) is None and throughput.mean is None
    throughput.update(40, 102.0)
    assert (throughput.rate(102.0), throughput.left(60, 102.0)) == (10, 2)


def test_lumps_make_no_sawtooth_and_a_standstill_shows() -> None:
    throughput = Throughput()
    for number in range(1, 4):
        throughput.update(16 * number, 2.0 * number)
    assert throughput.rate(6.0) == throughput.rate(7.9) == 8
    slow = throughput.rate(60.0)
    assert slow is not None and slow < 1


def test_what_was_fast_long_ago_is_forgotten() -> None:
    throughput = Throughput()
    for second in range(10):
        throughput.update(1000 * (second + 1), float(second))
    for second in range(10, 11 + int(WINDOW_SECONDS) + 2):
        throughput.update(10_000 + second, float(second))
    assert throughput.rate(12.0 + WINDOW_SECONDS) == pytest.approx(1)
    assert throughput.mean is not None and throughput.mean > 100


def test_what_is_taken_back_begins_a_new_rate() -> None:
    throughput = Throughput()
    throughput.update(50, 1.0)
    throughput.update(80, 2.0)
    throughput.update(64, 3.0)
    assert (throughput.done, throughput.rate(3.0), throughput.mean) == (64, None, None)


def test_without_a_total_or_at_the_end_nothing_is_left() -> None:
    throughput = Throughput()
    throughput.update(1, 1.0)
    throughput.update(2, 2.0)
    assert throughput.left(None, 2.0) is None and throughput.left(2, 2.0) is None and throughput.left(3, 2.0) == 1


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
