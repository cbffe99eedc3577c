"""The ladder: methods on the same splits, each with what it costs, and what is known of the one that is shipped."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt

from mole.errors import SettingsError
from mole.measuring.metrics import Rate
from pipeline.tune.judging.crossvalidation import measure_method
from pipeline.tune.judging.held_out import HELD_OUT, HeldOutLogits
from pipeline.tune.judging.held_out_metrics import HeldOutMetrics
from pipeline.tune.judging.perturbation import SHIPPED
from pipeline.tune.judging.threshold_rule import AIM

KIND = "sibling"
"""How `rates.json` says that an image was scored by a detector that was made alike, without the image's collection."""


class Cost(BaseModel):
    """What a method costs, measured elsewhere.

    Attributes:
        parameters: that learn.
        blocks: of the tower that are run.
        passes: of them, an image.
        milliseconds: an image; None where nobody measured.
        training_seconds: of one fold; None where nobody measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: NonNegativeInt
    blocks: NonNegativeInt
    passes: PositiveInt = 1
    milliseconds: NonNegativeFloat | None = None
    training_seconds: NonNegativeFloat | None = None


class MethodComparison(BaseModel):
    """Methods in the order in which they were tried, judged on the same images.

    Attributes:
        methods: what each does on collections that it never saw.
        costs: of each.
        measured: when and on which machine the costs were; empty where nobody says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: dict[str, HeldOutMetrics]
    costs: dict[str, Cost]
    measured: str = ""

    def better_than_first(self, method: str, delivery: str) -> tuple[int, int]:
        """Count the generators on which a method is better than the first one.

        Returns:
            On how many, and of how many.
        """
        first, own = (
            {area.generator: area.auroc for area in unseen.areas if (area.delivery, area.content) == (delivery, "")}
            for unseen in (next(iter(self.methods.values())), self.methods[method])
        )
        return sum(own[name] > first[name] for name in first), len(first)


def compare_methods(
    held: pa.Table, costs: Mapping[str, Cost], *, aim: float = AIM, measured: str = ""
) -> MethodComparison:
    """Measure methods on the same splits.

    Args:
        held: a table of `HELD`, all methods together.
        costs: of each method, in the order in which they are told.
        aim: share of the reals of a collection never seen that may be called generated.
        measured: when and on which machine the costs were.

    Raises:
        SettingsError: the table has other columns, a method lacks its cost or its logits, two were judged on other
            images, or the folds are refused, as `Held` says.
    """
    if held.schema != HELD_OUT:
        raise SettingsError(f"held-out logits must have the columns {HELD_OUT.names}, got {held.schema.names}")
    known = set(pc.unique(held["method"]).to_pylist())
    if known != set(costs) or not costs:
        raise SettingsError(f"each method needs its cost and its logits; costs {sorted(costs)}, logits {sorted(known)}")
    logits = {method: HeldOutLogits.of(held, method) for method in costs}
    first = next(iter(logits))
    for method, own in logits.items():
        if not own.has_same_images(logits[first]):
            raise SettingsError(f"{method!r} and {first!r} must be judged on the same images in the same folds")
    return MethodComparison(
        methods={method: measure_method(own, aim) for method, own in logits.items()},
        costs=dict(costs),
        measured=measured,
    )


def rates(unseen: HeldOutMetrics, digest: str, when: str) -> dict[str, Any]:
    """Write what `rates.json` beside a checkpoint says: all images, then each content that has both classes.

    Args:
        unseen: of the method that was shipped.
        digest: of the checkpoint.
        when: the day, as 2026-11-26.
    """
    reals = sum(one.delivery == SHIPPED for one in unseen.collections)
    fakes = sum((one.delivery, one.content) == (SHIPPED, "") for one in unseen.areas)
    told = f"{reals} collections of real images and {fakes} generators, held out whole in {len(unseen.folds)} folds"
    return {
        "digest": digest,
        "measured": [
            {
                "collection": f"{told}; of these, {one.content} alone" if one.content else told,
                "kind": KIND,
                "when": when,
                "reals": _counts(one.alarms),
                "fakes": _counts(one.found),
            }
            for one in unseen.verdicts
            if one.delivery == SHIPPED
        ],
    }


def _counts(rate: Rate) -> dict[str, int]:
    return {"called_generated": rate.hits, "images": rate.images}
