"""Laws of which images a generator is compared with."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.logits import OVERALL, Logits, pairs_of

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


def test_a_generator_with_reals_of_its_own_is_evaluated_by_those_alone(table: Logits) -> None:
    reals, fakes = table.against("progan", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([3.0], [2.0])


def test_a_generator_that_borrows_reals_is_evaluated_by_those(table: Logits) -> None:
    reals, fakes = table.against("dalle", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([5.0], [4.0])


def test_a_generator_without_reals_is_evaluated_by_all(table: Logits) -> None:
    reals, fakes = table.against("painter", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([0.0, 3.0, 5.0], [1.0])


def test_overall_is_every_image_that_could_be_read(table: Logits) -> None:
    reals, fakes = table.against(OVERALL, "jpeg-30")
    assert (reals.tolist(), fakes.tolist()) == ([3.0, 5.0], [1.0, 2.0, 4.0])


def test_sources_are_told_apart_by_class(table: Logits) -> None:
    assert table.generators == ["dalle", "painter", "progan"]
    assert table.collections == ["laion", "photos", "progan"]
    assert table.reals("photos", "jpeg-30").tolist() == []


def test_scores_are_read_by_sample_and_perturbation() -> None:
    scored = pa.table({"logit": pa.array([0.0, 10.0, 1.0, None], pa.float32())})
    spread = Logits.of(SAMPLES[:2], scored, ("shipped", "jpeg-30"))
    assert spread.logits["shipped"].tolist() == [0.0, 1.0]
    assert np.isnan(spread.logits["jpeg-30"][1]) and spread.logits["jpeg-30"][0] == 10.0


PAIRED = [
    Sample("a", 0, "photos", "1"),
    Sample("b", 0, "photos"),
    Sample("c", 1, "autoencoder", "1"),
    Sample("d", 1, "painter", "9", part="oils"),
    Sample("e", 1, "painter", "8", part="ink"),
]


def spread(samples: list[Sample]) -> Logits:
    """One logit a sample, its place."""
    return Logits.of(samples, pa.table({"logit": pa.array(range(len(samples)), pa.float32())}), ("shipped",))


def test_reconstructions_are_compared_with_their_own_photographs_and_left_out_of_all_generators() -> None:
    table = spread(PAIRED)
    assert set(table.pairs) == {"autoencoder"}
    reals, fakes = table.against("autoencoder", "shipped")
    assert (reals.tolist(), fakes.tolist()) == ([0.0], [2.0])
    assert table.against(OVERALL, "shipped")[1].tolist() == [3.0, 4.0]
    assert table.against("painter", "shipped")[0].tolist() == [0.0, 1.0]


def test_where_there_is_nothing_but_reconstructions_they_are_all() -> None:
    assert spread(PAIRED[:3]).against(OVERALL, "shipped")[1].tolist() == [2.0]


def test_fakes_without_a_photograph_among_the_samples_are_no_reconstructions() -> None:
    assert pairs_of(PAIRED[1:]) == {}


def test_a_source_is_parted_as_far_as_its_samples_say() -> None:
    table = spread(PAIRED)
    assert table.parts("painter") == {"ink": 1, "oils": 1} and table.parts("autoencoder") == {}
    assert table.part("painter", ["ink"], "shipped").tolist() == [4.0]
