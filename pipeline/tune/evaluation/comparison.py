"""Comparison: methods evaluated on the same folds, each with its cost, and the error rates of the shipped one."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt

from mole.errors import SettingsError
from mole.measuring.rates import Rate
from pipeline.tune.evaluation.crossvalidation import measure_method
from pipeline.tune.evaluation.held_out_logits import HELD_OUT, HeldOutLogits
from pipeline.tune.evaluation.held_out_metrics import HeldOutMetrics
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.threshold_rule import TARGET_RATE

KIND = "sibling"
"""Value in `rates.json` for scores from a detector of the same recipe, trained without the image's collection."""


class Cost(BaseModel):
    """The cost of a method.

    Attributes:
        parameters: number of trained parameters.
        blocks: number of tower blocks that are run.
        passes: forward passes per image.
        milliseconds: per image; None if not measured.
        training_seconds: per fold; None if not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: NonNegativeInt
    blocks: NonNegativeInt
    passes: PositiveInt = 1
    milliseconds: NonNegativeFloat | None = None
    training_seconds: NonNegativeFloat | None = None


class MethodComparison(BaseModel):
    """Methods in the order of the recipe, evaluated on the same images.

    Attributes:
        methods: metrics of each on held-out collections.
        costs: of each method.
        measured: when and where the costs were measured; empty if unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: dict[str, HeldOutMetrics]
    costs: dict[str, Cost]
    measured: str = ""

    def better_than_first(self, method: str, delivery: str) -> tuple[int, int]:
        """Count the generators on which a method is better than the first one.

        Returns:
            That count, and the number of generators.
        """
        first, own = (
            {area.generator: area.auroc for area in metrics.areas if (area.delivery, area.content) == (delivery, "")}
            for metrics in (next(iter(self.methods.values())), self.methods[method])
        )
        return sum(own[name] > first[name] for name in first), len(first)


def compare_methods(
    held: pa.Table, costs: Mapping[str, Cost], *, aim: float = TARGET_RATE, measured: str = ""
) -> MethodComparison:
    """Compute the metrics of methods evaluated on the same folds.

    Args:
        held: a table of `HELD_OUT` with all methods.
        costs: of each method, in the order of the report.
        aim: target false-positive rate on an unseen collection.
        measured: when and where the costs were measured.

    Raises:
        SettingsError: the table has other columns, a method lacks its cost or its logits, two methods were evaluated on
            different images, or the folds are refused by `HeldOutLogits.check`.
    """
    if held.schema != HELD_OUT:
        raise SettingsError(f"held-out logits must have the columns {HELD_OUT.names}, got {held.schema.names}")
    known = set(pc.unique(held["method"]).to_pylist())
    if known != set(costs) or not costs:
        raise SettingsError(
            f"each method needs a cost and logits; there are costs of {sorted(costs)}, logits of {sorted(known)}"
        )
    logits = {method: HeldOutLogits.of(held, method) for method in costs}
    first = next(iter(logits))
    for method, own in logits.items():
        if not own.has_same_images(logits[first]):
            raise SettingsError(f"{method!r} and {first!r} must be evaluated on the same images in the same folds")
    return MethodComparison(
        methods={method: measure_method(own, aim) for method, own in logits.items()},
        costs=dict(costs),
        measured=measured,
    )


def rates(metrics: HeldOutMetrics, digest: str, when: str) -> dict[str, Any]:
    """Build the content of `rates.json`: error rates on all images, then on each content that has both classes.

    Args:
        metrics: of the shipped method.
        digest: of the checkpoint.
        when: the day, as 2026-11-26.
    """
    reals = sum(one.delivery == ORIGINAL for one in metrics.collections)
    fakes = sum((one.delivery, one.content) == (ORIGINAL, "") for one in metrics.areas)
    description = (
        f"{reals} collections of real images and {fakes} generators, held out whole in {len(metrics.folds)} folds"
    )
    return {
        "digest": digest,
        "measured": [
            {
                "collection": f"{description}; of these, what looks like {one.content}" if one.content else description,
                "kind": KIND,
                "when": when,
                "reals": _counts(one.alarms),
                "fakes": _counts(one.found),
            }
            for one in metrics.verdicts
            if one.delivery == ORIGINAL
        ],
    }


def _counts(rate: Rate) -> dict[str, int]:
    return {"called_generated": rate.hits, "images": rate.images}
