"""Laws of which images a generator is judged by."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tune.data.samples import Sample
from pipeline.tune.judging.logits import OVERALL, Logits

SAMPLES = [
    Sample("a", 0, "photos"),
    Sample("b", 1, "painter"),
    Sample("c", 1, "progan"),
    Sample("d", 0, "progan"),
    Sample("e", 1, "dalle"),
    Sample("f", 0, "laion"),
]


@pytest.fixture
def table() -> Logits:
    """One logit a sample, its place; the first photograph could not be read after a JPEG."""
    number_N = np.arange(6.0)
    return Logits(
        np.array([sample.source for sample in SAMPLES]),
        np.array([sample.label for sample in SAMPLES]),
        {"shipped": number_N, "jpeg-30": np.where(number_N == 0, np.nan, number_N)},
        {"progan": "progan", "dalle": "laion"},
    )


def test_a_generator_with_reals_of_its_own_is_judged_by_those_alone(table: Logits) -> None:
    reals, fakes = table.against("progan", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([3.0], [2.0])


def test_a_generator_that_borrows_reals_is_judged_by_those(table: Logits) -> None:
    reals, fakes = table.against("dalle", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([5.0], [4.0])


def test_a_generator_without_reals_is_judged_by_all(table: Logits) -> None:
    reals, fakes = table.against("painter", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([0.0, 3.0, 5.0], [1.0])


def test_overall_is_every_image_that_could_be_read(table: Logits) -> None:
    reals, fakes = table.against(OVERALL, "jpeg-30")
    assert (reals.tolist(), fakes.tolist()) == ([3.0, 5.0], [1.0, 2.0, 4.0])


def test_sources_are_told_apart_by_class(table: Logits) -> None:
    assert table.generators == ["dalle", "painter", "progan"]
    assert table.collections == ["laion", "photos", "progan"]
    assert table.reals("photos", "jpeg-30").tolist() == []


def test_a_table_of_scores_is_spread_by_place_and_delivery() -> None:
    scored = pa.table({"logit": pa.array([0.0, 10.0, 1.0, None], pa.float32())})
    spread = Logits.of(SAMPLES[:2], scored, ("shipped", "jpeg-30"))
    assert spread.logits["shipped"].tolist() == [0.0, 1.0]
    assert np.isnan(spread.logits["jpeg-30"][1]) and spread.logits["jpeg-30"][0] == 10.0
