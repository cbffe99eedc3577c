"""Laws of the comparison of methods."""

import json

import pyarrow as pa
import pytest

from mole.config import describe
from mole.errors import SettingsError
from pipeline.registry import locate
from pipeline.review.analysis.rates import RATES, Kind, measurements
from pipeline.tune.evaluation.comparison import Cost, MethodComparison, compare_methods, rates
from pipeline.tune.evaluation.crossvalidation import measure_method
from pipeline.tune.evaluation.held_out_logits import HeldOutLogits
from tests.heldout import PARTS, heldout

LINEAR, MOLE = (
    Cost(parameters=513, blocks=8),
    Cost(parameters=231_169, blocks=12, milliseconds=40, training_seconds=3600),
)
COSTS = {"linear": LINEAR, "mole": MOLE}


def test_methods_stand_in_the_order_of_their_costs_each_with_its_own_figures() -> None:
    table = heldout(methods={"mole": 1.0, "linear": 0.0})
    ladder = compare_methods(table, COSTS, measured="2026-11-26")
    assert list(ladder.methods) == list(ladder.costs) == ["linear", "mole"]
    assert ladder.methods["mole"] == measure_method(HeldOutLogits.of(table, "mole")) != ladder.methods["linear"]
    assert MethodComparison.model_validate_json(ladder.model_dump_json()) == ladder


def test_the_order_of_rows_changes_nothing() -> None:
    table = heldout(methods={"linear": 0.0, "mole": 1.0}, deliveries={"shipped": 0.0, "jpeg-30": 1.5, "aligned": 0.5})
    assert compare_methods(table.take(list(range(len(table)))[::-1]), COSTS) == compare_methods(table, COSTS)


def test_a_method_is_ahead_on_the_generators_where_it_is_better_than_the_first() -> None:
    ladder = compare_methods(
        heldout(methods={"linear": 0.0, "mole": 1.0, "worse": -1.0}, deliveries={"shipped": 0.0, "aligned": 0.5}),
        COSTS | {"worse": MOLE},
    )
    assert ladder.better_than_first("linear", "aligned") == (0, 5)
    better, all_ = ladder.better_than_first("mole", "aligned")
    assert 0 < better <= all_ == 5 and ladder.better_than_first("worse", "aligned") == (0, 5)


def test_methods_evaluated_on_other_images_are_refused_by_name() -> None:
    other = heldout(*PARTS[:-1], methods={"mole": 1.0})
    with pytest.raises(SettingsError, match="'mole' and 'linear' must be evaluated on the same images"):
        compare_methods(pa.concat_tables([heldout(methods={"linear": 0.0}), other]), COSTS)


def test_a_method_without_its_cost_or_its_logits_is_refused() -> None:
    for costs in ({}, {"linear": LINEAR}, COSTS | {"lora": MOLE}):
        with pytest.raises(SettingsError, match=r"costs of .*, logits of \['linear', 'mole'\]"):
            compare_methods(heldout(methods={"linear": 0.0, "mole": 1.0}), costs)


def test_a_table_of_other_columns_is_refused() -> None:
    with pytest.raises(SettingsError, match="must have the columns"):
        compare_methods(heldout().drop_columns("content"), {"mole": MOLE})


def test_the_page_of_a_scan_reads_the_rates_that_were_written() -> None:
    unseen = compare_methods(heldout(), {"mole": MOLE}).methods["mole"]
    embedded = describe(locate("embedded"))
    told = rates(unseen, embedded.digest, "2026-11-26")
    known = measurements(embedded.config, embedded.digest, {RATES: json.dumps(told).encode()})
    [everything, *contents] = [one for one in known if one.kind is Kind.SIBLING]
    assert (
        everything.alarms == unseen.verdicts_of("shipped").alarms
        and everything.found == unseen.verdicts_of("shipped").found
    )
    assert everything.collection == "5 collections of real images and 5 generators, held out whole in 3 folds"
    assert [one.collection.rpartition(" these, ")[2] for one in contents] == [
        "what looks like art",
        "what looks like photo",
    ]
    assert not measurements(embedded.config, embedded.digest, {RATES: json.dumps(told | {"digest": "x"}).encode()})[1:]
