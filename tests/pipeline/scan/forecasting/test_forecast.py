"""Forecast: it grows with the source, is exact where the sample is the whole source, and samples units uniformly."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scan.forecasting.estimate import MAX_LARGE_UNITS, count_units
from pipeline.scan.forecasting.forecast import Machine, Prices, SampleMeasurement, SourceCounts, forecast
from pipeline.scan.reading.unit import Kind, Unit

SAMPLED = SampleMeasurement(100, 15_000_000, 60, 10_000_000, 2.5, 12.0, 60.0)
MACHINE = Machine(16, 2, "cuda", 30.0, 50_000)
PRICES = Prices(0.04, 2.0, 0.0004, 0.01, 0.02)
COUNTED = st.builds(SourceCounts, st.integers(1, 9), st.integers(1, 10**9), st.integers(0, 9), st.integers(0, 10**15))


@given(COUNTED)
def test_twice_the_source_takes_twice_as_much_and_starts_once(counted: SourceCounts) -> None:
    twice = SourceCounts(*(2 * number for number in vars(counted).values()))
    for one, two in zip(
        forecast(counted, SAMPLED, MACHINE, PRICES), forecast(twice, SAMPLED, MACHINE, PRICES), strict=True
    ):
        fixed = MACHINE.start if one.what == "time here" else 0.0
        assert two.amount - fixed == pytest.approx(2 * (one.amount - fixed), rel=1e-9)
        assert (one.cost is None) == (two.cost is None)


def test_a_sample_that_is_the_whole_is_told_as_it_is() -> None:
    counted = SourceCounts(units=3, images=40, shards=1, shard_bytes=10_000_000)
    lines = {
        line.what: line
        for line in forecast(counted, SAMPLED, replace(MACHINE, device="cpu", cores=2, scorers=1), PRICES)
    }
    assert lines["images"].amount == 100
    assert lines["prepare"].amount * 3600 == pytest.approx(2.5)
    assert lines["score"].amount * 3600 == pytest.approx(24.0) and lines["score"].unit == "core-hours"
    assert lines["time here"].amount == pytest.approx(30 + 2.5 / 2 + 12.0)
    assert lines["table"].amount * 1e9 == pytest.approx(6000)
    assert lines["cost"].amount == pytest.approx(sum(line.cost or 0 for name, line in lines.items() if name != "cost"))


def test_on_gpus_preparing_and_scoring_overlap() -> None:
    lines = {line.what: line for line in forecast(SourceCounts(1, 1000, 0, 0), SAMPLED, MACHINE, PRICES)}
    assert lines["time here"].amount == pytest.approx(30 + max(1000 * 0.025 / 16, 1000 * 0.12 / 2))
    assert lines["score"].unit == "GPU-hours"


def test_every_unit_is_drawn_as_often_as_another_and_all_are_counted() -> None:
    units = [Unit(f"u{n}", "u", Kind.SHARD, size=n) for n in range(40)] + [Unit("f", "f", Kind.FILE, images=1, size=7)]
    drawn: Counter[str] = Counter()
    for seed in range(2000):
        counted, some = count_units(iter(units), 20, seed)
        drawn.update(unit.name for unit in some)
        assert len(some) <= MAX_LARGE_UNITS + 1
    assert counted == SourceCounts(units=41, images=1, shards=40, shard_bytes=sum(range(40)))
    single = drawn.pop("f")
    assert len(drawn) == 40 and abs(single - 2000 * 20 / 41) < 130
    assert all(abs(times - 2000 * MAX_LARGE_UNITS / 40) < 130 for times in drawn.values())
