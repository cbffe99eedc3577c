"""Laws of the conclusion: what is not known is not told, and what does not carry over is warned of."""

from collections.abc import Sequence
from typing import Any

import pytest

from mole.config import describe
from pipeline.registry import locate
from pipeline.review.analysis.checkpoint import Checkpoint
from pipeline.review.analysis.findings import Counts
from pipeline.review.analysis.rates import Kind, Measurement, rate
from pipeline.review.page.conclusion import (
    HOW_TO_MEASURE,
    declared,
    generated_share,
    limitations,
    readings,
    verdict_shares,
)

CONFIG = describe(locate("embedded")).config


def counts(generated: int, others: int, **given: Any) -> Counts:
    facts: dict[str, Any] = {"declared": {"generated": 0, "camera": 0}, "contradicted": 0, "since": None, "until": None}
    return Counts(**{"images": generated + others, "generated": generated, "real": others, "unsure": 0} | facts | given)


def model(*measured: Measurement) -> Checkpoint:
    return Checkpoint("d", "name", CONFIG, measured)


def told(found: Counts, measured: Sequence[Measurement]) -> str:
    return generated_share(found, readings(found, model(*measured), 0.1))


SOUND = Measurement("c", Kind.OTHER, rate(10, 1000), rate(800, 1000))


def test_an_estimate_names_its_interval_and_its_condition() -> None:
    words = told(counts(300, 700), [SOUND]).replace("\N{NO-BREAK SPACE}", " ")
    assert "About 37 % of them" in words and "95 % interval" in words and "a collection that it never saw" in words


def test_of_a_wide_interval_the_ends_are_told_and_not_its_middle() -> None:
    few = Measurement("c", Kind.OTHER, rate(2, 40), rate(20, 40))
    words = told(counts(30, 70), [few]).replace("\N{NO-BREAK SPACE}", " ")
    assert words.startswith("Between 25 % and 98.1 % of them") and "really generated" in words and "bout" not in words


def test_several_collections_give_a_span() -> None:
    other = Measurement("d", Kind.OTHER, rate(100, 1000), rate(600, 1000))
    words = told(counts(300, 700), [SOUND, other]).replace("\N{NO-BREAK SPACE}", " ")
    assert "About 37 % to 40 % of them" in words


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ([], "it is not known how often this model is wrong"),
        ([Measurement("c", Kind.THRESHOLD, rate(10, 1000), None)], "at least"),
        ([Measurement("c", Kind.OTHER, rate(400, 1000), None)], "it may be that none is"),
        ([Measurement("c", Kind.OTHER, rate(50, 100), rate(50, 100))], "tell nothing about their number"),
        ([Measurement("c", Kind.OTHER, rate(600, 1000), rate(900, 1000))], "fewer are called generated than"),
        ([Measurement("c", Kind.SIBLING, rate(1, 1000), rate(100, 1000))], "more are called generated than"),
        (
            [Measurement("c", Kind.SIBLING, rate(1, 1000), rate(100, 1000))],
            "images are of another kind, or the model was trained on some",
        ),
    ],
)
def test_what_cannot_be_estimated_says_why(measured: list[Measurement], words: str) -> None:
    found = told(counts(300, 700), measured)
    assert words in found and "cannot be estimated" in found
    assert HOW_TO_MEASURE in found or "tell nothing" in found


def test_a_collection_whose_errors_would_explain_everything_is_warned_of() -> None:
    found = counts(30, 970)
    worse = Measurement("d", Kind.OTHER, rate(200, 1000), None)
    lines = limitations(found, readings(found, model(SOUND, worse), 0.1))
    assert any("it may be that none of them is generated" in line for line in lines)
    folds = Measurement("e", Kind.HELD_OUT, rate(1, 1000), rate(800, 1000))
    assert any("flatters" in line for line in limitations(found, readings(found, model(folds), 0.1)))


def test_nothing_is_concluded_of_no_scores() -> None:
    none = counts(0, 0)
    assert verdict_shares(none).startswith("No image could be scored")
    assert readings(none, model(SOUND), 0.1) == [] and generated_share(none, []) == "" and limitations(none, []) == []


def test_the_called_and_the_declared_are_counted_in_words() -> None:
    some = counts(1, 3, declared={"generated": 1, "camera": 2}, contradicted=1)
    assert "calls 1 generated" in verdict_shares(some) and "unsure about none" in verdict_shares(some)
    assert declared(some).startswith("1 file says that it was generated, 2 name a camera. 1 of these contradicts its")
    cameras = declared(counts(1, 3, declared={"generated": 0, "camera": 1}, contradicted=0))
    assert cameras.startswith("No file says that it was generated, 1 names a camera. Anyone")
    assert "most tools remove such marks" in declared(counts(1, 3))


def test_what_is_called_the_same_of_all_is_one_sentence() -> None:
    assert verdict_shares(counts(0, 5)) == "The model calls all 5 images with a score real."
    assert verdict_shares(counts(1, 0)) == "The model calls the one image with a score generated."
    assert "calls none generated, 4 real, and is unsure about 2" in verdict_shares(counts(0, 4, unsure=2))


def test_a_few_images_and_an_interval_of_nearly_everything_say_nothing() -> None:
    assert told(counts(0, 5), [SOUND]) == "Five images are too few to say how many are really generated."
    assert told(counts(1, 0), [SOUND]).startswith("One image is too few")
    vague = Measurement("c", Kind.OTHER, rate(0, 200), rate(6, 20))
    words = told(counts(2, 20), [vague]).replace("\N{NO-BREAK SPACE}", " ")
    assert "cannot be said: anything between" in words and "100 %" in words
