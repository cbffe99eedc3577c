"""Laws of the card."""

from dataclasses import replace

import pytest

from pipeline.tune.evaluation.comparison import Cost, MethodComparison, compare_methods
from pipeline.tune.evaluation.model_card import model_card
from tests.heldout import PARTS, heldout

COST = Cost(parameters=231_169, blocks=8, milliseconds=41.6, training_seconds=3600)
COSTS = {"linear": Cost(parameters=513, blocks=8), "mole": COST}


@pytest.fixture(scope="module")
def ladder() -> MethodComparison:
    odd = [replace(part, mean=1) if part.source == "web" else part for part in PARTS]
    return compare_methods(heldout(*odd, methods={"linear": 0.0, "mole": 1.0}), COSTS, measured="2026-11-26, two cores")


def test_the_first_line_names_the_worst(ladder: MethodComparison) -> None:
    first = model_card(ladder, "mole").splitlines()[0]
    assert first.index("poor 0.") < first.index("Real images") < first.index("web ") and "(60 images)" in first
    assert "Above 2 %: 1 of 5 collections." in first
    sound = model_card(compare_methods(heldout(*PARTS, methods={"mole": 1.0}), {"mole": COST}), "mole").splitlines()[0]
    assert "Above 2 %: 0 of 5 collections." in sound


def test_every_table_has_as_many_cells_in_each_line(ladder: MethodComparison) -> None:
    tables = [part.splitlines() for part in model_card(ladder, "mole").split("\n\n") if part.startswith("| ")]
    assert len(tables) == 8
    for lines in tables:
        assert len(lines) > 2 and len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_every_method_generator_collection_and_perturbation_is_reported(ladder: MethodComparison) -> None:
    told, unseen = model_card(ladder, "mole"), ladder.methods["mole"]
    names = [one.generator for one in unseen.areas] + [one.collection for one in unseen.collections]
    assert all(f"| {name} |" in told for name in [*names, "linear", "**mole** (this card)", "jpeg-30"])
    assert "| 231,169 | 8 | 42 | 3,600 |" in told and "| 513 | 8 | – | – |" in told
    [own] = [one.auroc for one in unseen.pairs if one.delivery == "native"]
    assert f"| reconstruction {own:.3f} |" in told
    assert "Time: 2026-11-26, two cores." in told and "| 1 | gan, phones |" in told


def test_thresholds_are_reported_with_their_rule_and_its_limits(ladder: MethodComparison) -> None:
    told, unseen = model_card(ladder, "mole"), ladder.methods["mole"]
    assert f"`generated_above` {unseen.calibration.generated_above:.3f}" in told
    assert "no bound below 1 in 6 can be given" in told and "no share reaches the target" in told


def test_missing_metrics_are_reported_as_such() -> None:
    bare = [replace(part, content="", images=min(part.images, 8)) for part in PARTS if not part.artefact]
    told = model_card(compare_methods(heldout(*bare, deliveries={"shipped": 0.0}), {"mole": COST}), "mole")
    assert told.count("There were no such images.") == 3
    assert "held-out collections (original)" in told and "nan" not in told
