"""Laws of a model's known error rates."""

import json
from pathlib import Path
from typing import Any

from mole.config import CheckpointConfig, describe
from pipeline.registry import locate
from pipeline.review.analysis.rates import EVALUATION, RATES, UNNAMED, Kind, collection_of, measurements, strongest
from tests.tiny import tiny_checkpoint

EMBEDDED = describe(locate("embedded"))


def paper(name: str, told: object) -> dict[str, bytes]:
    return {name: json.dumps(told).encode()}


def evaluation(config: CheckpointConfig, **given: Any) -> dict[str, bytes]:
    shares = {"share": 0.5, "low": 0.1, "high": 0.9}
    row = {"generator": "all generators", "delivery": "shipped"}
    overall = row | {"alarms": {"hits": 2, "images": 40, **shares}, "found": {"hits": 30, "images": 50, **shares}}
    aligned = overall | {"delivery": "aligned", "found": {"hits": 1, "images": 50, **shares}}
    told = {
        "calibration": config.calibration.model_dump(mode="json"),
        "which": "unseen",
        "rows": [{"generator": "gan"}],
        "reals": [{"source": "phones"}],
        "overall": [overall, aligned],
    }
    return paper(EVALUATION, told | given)


def test_the_shipped_detector_knows_what_its_folds_measured_on_collections_that_they_held_out() -> None:
    beside = {RATES: (EMBEDDED.folder / RATES).read_bytes()}
    known = measurements(EMBEDDED.config, EMBEDDED.digest, beside)
    assert [one.kind for one in known] == [Kind.SIBLING, Kind.THRESHOLD]
    folds = known[0]
    assert (folds.alarms.hits, folds.alarms.images) == (4, 1634)
    assert folds.found is not None and (folds.found.hits, folds.found.images) == (126, 672)
    assert strongest(known) == [folds]
    assert "bsds500" in collection_of(EMBEDDED.config)


def test_rates_beside_a_checkpoint_hold_for_that_model_alone() -> None:
    told = {"digest": "other", "measured": [{"collection": "c", "reals": {"called_generated": 1, "images": 9}}]}
    known = measurements(EMBEDDED.config, EMBEDDED.digest, paper(RATES, told))
    assert [one.kind for one in known] == [Kind.THRESHOLD]
    known = measurements(EMBEDDED.config, EMBEDDED.digest, paper(RATES, told | {"digest": EMBEDDED.digest}))
    assert [(one.kind, one.found is None) for one in known] == [(Kind.OTHER, True), (Kind.THRESHOLD, True)]
    assert strongest(known) == []  # both lack a rate


def test_rates_of_folds_of_whole_collections_stand_between_those_of_sources_and_those_of_others() -> None:
    row = {
        "collection": "c",
        "reals": {"called_generated": 1, "images": 9},
        "fakes": {"called_generated": 5, "images": 9},
    }
    told = {"digest": EMBEDDED.digest, "measured": [row | {"kind": "sibling"}, row]}
    known = measurements(EMBEDDED.config, EMBEDDED.digest, paper(RATES, told))
    assert [one.kind for one in known] == [Kind.OTHER, Kind.SIBLING, Kind.THRESHOLD]
    assert "trained in the same way" in known[1].words and strongest(known) == [known[0]]


def test_an_evaluation_counts_where_it_was_made_at_this_threshold_on_images_that_taught_nothing(tmp_path: Path) -> None:
    tiny = describe(tiny_checkpoint(tmp_path / "tiny")).config
    (known,) = measurements(tiny, "", evaluation(tiny))
    assert known.kind is Kind.HELD_OUT and known.collection == "gan, phones"
    assert known.found is not None and (known.alarms.hits, known.found.hits) == (2, 30)
    assert measurements(tiny, "", evaluation(tiny, which="seen")) == []
    assert measurements(tiny, "", evaluation(tiny, calibration={"generated_above": 9.0})) == []


def test_a_threshold_tells_its_own_rate_and_a_model_that_tells_nothing_has_none(tmp_path: Path) -> None:
    tiny = describe(tiny_checkpoint(tmp_path / "tiny")).config
    assert measurements(tiny, "", {}) == [] and collection_of(tiny) == UNNAMED
    told = {"false_positive_rate": 0.02, "false_positive_interval": (0.01, 0.04), "reals": 300, "collection": "mine"}
    own = tiny.model_copy(update={"calibration": tiny.calibration.model_copy(update=told)})
    (known,) = measurements(own, "", {})
    assert (known.kind, known.collection, known.found) == (Kind.THRESHOLD, "mine", None)
    assert (known.alarms.hits, known.alarms.images) == (6, 300)
    assert strongest([known]) == []
