"""Laws of the metrics on held-out collections."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from mole.measuring.calibration_fit import threshold_for
from mole.measuring.metrics import auroc
from pipeline.tune.evaluation.crossvalidation import (
    detection_rates,
    generator_aurocs,
    held_out_verdicts,
    mean_aurocs,
    measure_method,
    pair_aurocs,
    perturbation_costs,
)
from pipeline.tune.evaluation.held_out_logits import HELD_OUT, HeldOutLogits
from pipeline.tune.evaluation.held_out_metrics import HeldOutMetrics
from pipeline.tune.evaluation.threshold_rule import TARGET_RATE, calibrate, mean_rate
from tests.heldout import PARTS, Part, heldout


@pytest.fixture(scope="module")
def held() -> HeldOutLogits:
    return HeldOutLogits.of(heldout(), "mole")


@pytest.fixture(scope="module")
def judged(held: HeldOutLogits) -> HeldOutMetrics:
    return measure_method(held)


def logits(held: HeldOutLogits, source: str, delivery: str = "shipped") -> NDArray[np.float64]:
    own = (held.facts["source"] == source) & (held.facts["artefact"] == "")
    return np.asarray(held.logits[delivery][own])


def test_a_generator_is_compared_with_the_reals_of_its_own_fold_and_no_other(
    held: HeldOutLogits, judged: HeldOutMetrics
) -> None:
    for delivery in ("shipped", "aligned", "native"):
        [gan] = [one for one in judged.areas if (one.generator, one.delivery, one.content) == ("gan", delivery, "")]
        assert gan.auroc == auroc(logits(held, "phones", delivery), logits(held, "gan", delivery))
        assert (gan.fakes, gan.reals) == (60, 60) and gan.interval[0] <= gan.auroc <= gan.interval[1]


def test_every_generated_image_is_in_one_row_of_a_perturbation(judged: HeldOutMetrics) -> None:
    own = [one for one in judged.areas if (one.delivery, one.content) == ("shipped", "")]
    assert sum(one.fakes for one in own) == sum(part.images for part in PARTS if part.label and not part.artefact)


def test_the_mean_weighs_generators_alike_and_the_worst_are_named(judged: HeldOutMetrics) -> None:
    mean = judged.mean("aligned")
    own = [one.auroc for one in judged.areas if (one.delivery, one.content) == ("aligned", "")]
    assert mean is not None and mean.generators == 5
    assert mean.auroc == pytest.approx(np.mean(own)) and mean.lowest == min(own)
    assert mean.worst[0] == "poor" and judged.mean("jpeg-31") is None


def test_small_generators_are_reported_but_enter_no_mean() -> None:
    few = HeldOutLogits.of(heldout(*PARTS, Part(0, 1, "three", -9, images=3)), "mole")
    areas = list(generator_aurocs(few, "shipped", held_out_verdicts(few, {}, "shipped")))
    assert min(areas, key=lambda one: one.auroc).generator == "three"
    [mean] = mean_aurocs(areas)
    assert mean.generators == 5 and mean.worst[0] == "poor"


def test_content_is_compared_with_reals_of_the_same_content_alone(held: HeldOutLogits, judged: HeldOutMetrics) -> None:
    [style] = [one for one in judged.areas if (one.content, one.delivery) == ("art", "aligned")]
    assert (style.generator, style.reals) == ("style", 60)  # the fold's photographs are left out
    assert style.auroc == auroc(logits(held, "paintings", "aligned"), logits(held, "style", "aligned"))
    assert judged.verdicts_of("aligned", "art").alarms.images == 60
    assert {one.generator for one in judged.areas if one.content == "photo"} >= {"gan", "flow", "poor"}


def test_a_content_of_one_class_is_no_figure() -> None:
    parts = [replace(part, content="screenshot") if part.source == "web" else part for part in PARTS]
    unseen = measure_method(HeldOutLogits.of(heldout(*parts), "mole"))
    assert {one.content for one in unseen.means} == {"", "art", "photo"} == {one.content for one in unseen.verdicts}


def test_pairs_are_photographs_against_what_was_made_of_these_very_photographs(held: HeldOutLogits) -> None:
    pairs = {one.delivery: one for one in pair_aurocs(held)}
    made = held.facts["artefact"] == "reconstruction"
    for delivery, pair in pairs.items():
        assert (pair.source, pair.artefact, pair.pairs) == ("phones", "reconstruction", 60)
        assert pair.auroc == auroc(logits(held, "phones", delivery), held.logits[delivery][made])
    assert set(pairs) == set(held.logits)


def test_a_pair_whose_photograph_was_not_read_is_no_pair() -> None:
    table = heldout().to_pylist()
    for row in table:
        if row["image"] == "phones/phones/0/0" and row["delivery"] == "aligned":
            row["logit"] = None
    pairs = {
        one.delivery: one.pairs for one in pair_aurocs(HeldOutLogits.of(pa.Table.from_pylist(table, HELD_OUT), "mole"))
    }
    assert pairs["aligned"] == 59 and pairs["shipped"] == 60


def test_near_copies_in_another_collection_are_no_photographs_of_a_pair() -> None:
    table = heldout().to_pylist()
    for row in table:
        row["group"] = row["group"].replace("web/", "phones/")
    assert list(pair_aurocs(HeldOutLogits.of(pa.Table.from_pylist(table, HELD_OUT), "mole"))) == list(
        pair_aurocs(HeldOutLogits.of(heldout(), "mole"))
    )


def test_what_is_found_stands_at_thresholds_that_other_folds_set(held: HeldOutLogits) -> None:
    [one_percent, five_percent] = detection_rates(held, "shipped")
    assert (one_percent.allowed, five_percent.allowed) == (0.01, 0.05)
    found = alarms = 0
    for fold in held.folds:
        reals, others = (held.of_class(0, "shipped") & ((held.facts["fold"] == fold) == own) for own in (True, False))
        bound = threshold_for(held.logits["shipped"][others], 0.05)[0]
        alarms += int((held.logits["shipped"][reals] >= bound).sum())
        found += int((held.logits["shipped"][held.of_class(1, "shipped", fold=fold)] >= bound).sum())
    assert (five_percent.found.hits, five_percent.alarms.hits) == (found, alarms)


def test_the_figure_on_the_same_reals_keeps_its_rate_by_construction(held: HeldOutLogits) -> None:
    for found in detection_rates(held, "aligned"):
        reals = held.logits["aligned"][held.of_class(0, "aligned")]
        bound = threshold_for(reals, found.allowed)[0]
        assert (reals >= bound).mean() <= found.allowed
        assert found.same_set.hits == (held.logits["aligned"][held.of_class(1, "aligned")] >= bound).sum()


def test_a_rate_for_which_the_other_folds_have_too_few_reals_is_not_reported() -> None:
    small = [replace(part, images=min(part.images, 20)) for part in PARTS]
    assert [one.allowed for one in detection_rates(HeldOutLogits.of(heldout(*small), "mole"), "shipped")] == [0.05]


def test_verdicts_are_those_of_thresholds_that_know_nothing_of_the_fold(
    held: HeldOutLogits, judged: HeldOutMetrics
) -> None:
    hits = 0
    for fold in held.folds:
        bound = calibrate(held, [other for other in held.folds if other != fold]).generated_above
        hits += int((held.logits["aligned"][held.of_class(0, "aligned", fold=fold)] >= bound).sum())
    assert judged.verdicts_of("aligned").alarms.hits == hits


def test_a_collection_unlike_all_others_shows_although_it_shares_the_thresholds_of_the_shipped_model() -> None:
    odd = [replace(part, mean=4) if part.source == "paintings" else part for part in PARTS]
    held = HeldOutLogits.of(heldout(*odd), "mole")
    unseen = measure_method(held)
    rates = {one.collection: one.alarms for one in unseen.collections if one.delivery == "aligned"}
    assert rates["paintings"].share > 0.9 and unseen.verdicts_of("aligned").mean_alarms > 0.18
    reals = held.of_class(0, "aligned")
    shown = held.logits["aligned"][reals] >= unseen.calibration.generated_above
    assert mean_rate(shown, held.name_N[reals]) <= TARGET_RATE  # by construction, and no forecast
    assert unseen.estimate.mean > TARGET_RATE and unseen.estimate.share == 0


def test_the_shares_of_a_class_add_up_and_every_collection_is_counted(judged: HeldOutMetrics) -> None:
    for told in judged.verdicts:
        assert told.found.hits + told.unsure_fakes.hits + told.missed.hits == told.found.images
        assert told.alarms.low <= told.alarms.share <= told.alarms.high
    own = [one for one in judged.collections if one.delivery == "shipped"]
    whole = judged.verdicts_of("shipped")
    assert sum(one.alarms.hits for one in own) == whole.alarms.hits and len(own) == whole.above_aim.images
    assert whole.mean_alarms == pytest.approx(np.mean([one.alarms.share for one in own]))


def test_a_perturbation_costs_the_drop_of_the_mean_and_the_largest_drop_is_named(judged: HeldOutMetrics) -> None:
    told = {one.delivery: one for one in judged.deliveries}
    shipped, aligned, poor = (judged.mean(name) for name in ("shipped", "aligned", "jpeg-30"))
    assert shipped and aligned and poor and told["aligned"].cost == pytest.approx(shipped.auroc - aligned.auroc)
    assert set(told) == {"aligned", "native", "jpeg-30"}
    assert poor.lowest < aligned.lowest
    assert told["jpeg-30"].cost > told["aligned"].cost > told["native"].cost > 0
    assert told["jpeg-30"].worst[0] == "poor" and told["jpeg-30"].worst[1] > told["jpeg-30"].cost
    assert told["jpeg-30"].changed.images == judged.images and told["jpeg-30"].changed.hits > 0


def test_a_perturbation_of_some_images_is_compared_with_the_same_images_as_shipped() -> None:
    table = heldout(deliveries={"shipped": 0.0, "crop-0.8": 0.0}).to_pylist()
    half = [row for number, row in enumerate(table) if row["delivery"] == "shipped" or number % 4 == 1]
    held = HeldOutLogits.of(pa.Table.from_pylist(half, HELD_OUT), "mole")
    words = {name: held_out_verdicts(held, {0: calibrate(held, [1, 2])}, name) for name in held.logits}
    [told] = perturbation_costs(held, words)
    assert told.cost == 0 and told.changed.hits == 0 and told.images < len(held.facts["image"])


def test_the_held_out_collections_of_each_fold_are_listed(judged: HeldOutMetrics) -> None:
    assert judged.folds[0] == ("gan", "phones") and judged.folds[2][-2:] == ("tiny", "web")
