"""Laws of the evaluation as a whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mole.config import describe
from mole.errors import SettingsError
from pipeline.tune.evaluation.evaluate import ScoredEvaluation
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.logits import OVERALL
from pipeline.tune.evaluation.thresholds import UNNAMED
from tests.judged import DELIVERIES, judge_here, labelled
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> ScoredEvaluation:
    """A tiny detector's judgement."""
    folder = tmp_path_factory.mktemp("judged")
    return judge_here(labelled(folder), tiny_checkpoint(folder / "model"))


def test_every_generator_is_evaluated_under_every_perturbation_and_all_together(judged: ScoredEvaluation) -> None:
    found = judged.evaluation
    assert found.generators == ("painter", "progan")
    assert len(found.rows) == 2 * len(DELIVERIES) and len(found.overall) == len(DELIVERIES)
    assert found.metrics("progan", "aligned").reals == 6
    assert found.metrics("painter", "aligned").reals == 18
    assert found.metrics(OVERALL, "shipped").fakes == 12


def test_what_could_not_be_read_is_counted_and_no_sample_is_lost(judged: ScoredEvaluation) -> None:
    found = judged.evaluation
    assert found.excluded == {"missing": 1, "truncated": 1}
    counted = found.metrics(OVERALL, "shipped")
    assert counted.reals + counted.fakes + sum(found.excluded.values()) == found.samples


def test_mean_and_minimum_run_over_the_generators_and_not_over_the_images(judged: ScoredEvaluation) -> None:
    found = judged.evaluation
    areas = [found.metrics(name, "shipped").auroc for name in found.generators]
    assert found.mean("auroc", "shipped") == pytest.approx(np.mean(areas))
    assert found.minimum("auroc", "shipped") == min(areas)


def test_the_evaluation_names_its_model(judged: ScoredEvaluation) -> None:
    model = describe(Path(judged.evaluation.model))
    assert (judged.evaluation.digest, judged.evaluation.view) == (model.digest, model.preprocess.fingerprint)


def test_an_evaluation_comes_back_from_json_as_it_was(judged: ScoredEvaluation) -> None:
    assert Evaluation.model_validate_json(judged.evaluation.model_dump_json()) == judged.evaluation


def test_the_weights_of_each_sources_experts_sum_to_one(judged: ScoredEvaluation) -> None:
    routing = judged.evaluation.routing
    assert set(routing) == {"photos", "holiday", "painter", "progan"}
    assert all(sum(weights) == pytest.approx(1, abs=1e-3) for weights in routing.values())


@pytest.mark.parametrize(("generator", "delivery"), [("nobody", "shipped"), ("painter", "sepia")])
def test_metrics_that_do_not_exist_are_refused(judged: ScoredEvaluation, generator: str, delivery: str) -> None:
    with pytest.raises(SettingsError, match=delivery):
        judged.evaluation.metrics(generator, delivery)


def test_a_mean_over_a_perturbation_that_was_not_evaluated_is_refused(judged: ScoredEvaluation) -> None:
    with pytest.raises(SettingsError, match="sepia"):
        judged.evaluation.mean("auroc", "sepia")


def test_an_unreadable_generator_is_listed_and_not_evaluated(judged: ScoredEvaluation, tmp_path: Path) -> None:
    samples = [*judged.samples[:18], replace(judged.samples[0], uri=str(tmp_path / "none.jpg"), label=1, source="lost")]
    found = judge_here(samples, Path(judged.evaluation.model), ("shipped",)).evaluation
    assert found.unjudged == ("lost",) and found.generators == ("painter",)


def test_a_reconstruction_counts_in_no_mean_over_generators(judged: ScoredEvaluation) -> None:
    found = judged.evaluation
    marked = tuple(
        row.model_copy(
            update={"reconstruction": row.generator == "painter", "auroc": 0.1 if row.generator == "painter" else 0.9}
        )
        for row in found.rows
    )
    told = found.model_copy(update={"rows": marked})
    assert (told.mean("auroc", "shipped"), told.minimum("auroc", "shipped")) == (0.9, 0.9)


def test_an_evaluation_has_a_date_and_the_collection_of_the_thresholds(judged: ScoredEvaluation) -> None:
    assert judged.evaluation.made is not None and judged.evaluation.made.tzinfo is not None
    assert judged.evaluation.collection == UNNAMED  # the tiny detector's are nobody's


def test_older_evaluations_without_seen_images_can_be_read(judged: ScoredEvaluation) -> None:
    old = judged.evaluation.model_dump(mode="json", exclude={"made", "which", "left_out", "teachers", "parts", "apart"})
    assert Evaluation.model_validate(old).which == "unknown"
