"""Evaluation: the metrics of a detector on labelled images, per generator and perturbation, serialised as JSON.

Legend: E separate experts, N images.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AwareDatetime, BaseModel, ConfigDict

from mole.config import Description
from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from pipeline.records import Status
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.generator_metrics import (
    GeneratorMetrics,
    PartMetrics,
    RealsMetrics,
    measure_collections,
    measure_generator,
    measure_parts,
)
from pipeline.tune.evaluation.logits import OVERALL, Logits
from pipeline.tune.evaluation.perturbation import ALIGNED, ORIGINAL
from pipeline.tune.evaluation.robustness import Flips, flips
from pipeline.tune.evaluation.thresholds import UNNAMED, measured_on

Kind = Literal["auroc", "average_precision"]
Which = Literal["unseen", "seen", "unknown"]
SEEN_LABELS: dict[Which, str] = {
    "unseen": "never seen",
    "seen": "seen in training",
    "unknown": "not known whether seen",
}
"""How reports describe the images of an evaluation."""


class Evaluation(BaseModel):
    """The metrics of a detector on a set of labelled images.

    Attributes:
        model: the checkpoint as it was named.
        digest: of the checkpoint.
        view: fingerprint of the preprocessing.
        calibration: temperature, bias and thresholds.
        samples: number of images.
        excluded: number of them that could not be read, by status.
        deliveries: names of the perturbations, in order.
        rows: each generator under each perturbation.
        overall: all generators together, under each perturbation.
        reals: each collection of real images under each perturbation.
        flips: verdicts changed by a perturbation.
        routing: mean router weight of each separate expert, by source, without perturbation.
        taught: number of these images that the version was trained or calibrated on.
        unjudged: sources left out of `rows`, since one of their classes is missing or could not be read.
        made: time of the evaluation, UTC; None in files older than this field.
        which: `unseen` if the version was trained on none of the images, `seen` if on all, `unknown` if it does not
            list its training images.
        left_out: images left out of `samples` because the version was trained on them.
        teachers: if that is unknown, the sources that the version was trained on, judging by their names.
        collection: the real images that the thresholds were set on.
        parts: each generator or class of the sources that have several.
        apart: the metrics of the training images, if requested.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    view: str
    calibration: Calibration
    samples: int
    excluded: dict[str, int]
    deliveries: tuple[str, ...]
    rows: tuple[GeneratorMetrics, ...]
    overall: tuple[GeneratorMetrics, ...]
    reals: tuple[RealsMetrics, ...]
    flips: tuple[Flips, ...]
    routing: dict[str, tuple[float, ...]]
    taught: int = 0
    unjudged: tuple[str, ...] = ()
    made: AwareDatetime | None = None
    which: Which = "unknown"
    left_out: int = 0
    teachers: tuple[str, ...] = ()
    collection: str = UNNAMED
    parts: tuple[PartMetrics, ...] = ()
    apart: "Evaluation | None" = None

    @property
    def generators(self) -> tuple[str, ...]:
        """Every generator with metrics, in order of name."""
        return tuple(dict.fromkeys(row.generator for row in self.rows))

    def metrics(self, generator: str, delivery: str) -> GeneratorMetrics:
        """Return the metrics of a generator under a perturbation.

        Args:
            generator: its source, or `OVERALL`.
            delivery: name of the perturbation.

        Raises:
            SettingsError: there are no such metrics.
        """
        for row in (*self.rows, *self.overall):
            if (row.generator, row.delivery) == (generator, delivery):
                return row
        raise SettingsError(
            f"{generator!r} was not evaluated under {delivery!r}; known are {self.generators} under {self.deliveries}"
        )

    def mean(self, kind: Kind, delivery: str) -> float:
        """Average a metric over the generators, with equal weights; reconstructions are not counted as a generator."""
        return float(np.mean(self._all(kind, delivery)))

    def minimum(self, kind: Kind, delivery: str) -> float:
        """Return the lowest value of a metric over the generators."""
        return min(self._all(kind, delivery))

    def _all(self, kind: Kind, delivery: str) -> list[float]:
        """List a metric of every generator, or of reconstructions if there is nothing else.

        Raises:
            SettingsError: the perturbation was not evaluated.
        """
        rows = [row for row in self.rows if row.delivery == delivery]
        if not rows:
            raise SettingsError(f"perturbation {delivery!r} was not evaluated; known are {self.deliveries}")
        chosen = [row for row in rows if not row.reconstruction] or rows
        return [float(getattr(row, kind)) for row in chosen]


def summarize(
    samples: Sequence[Sample],
    scored: pa.Table,
    perturbations: Sequence[str],
    *,
    model: Description,
    named: str,
    view: str,
) -> Evaluation:
    """Compute the metrics of scored images.

    Args:
        samples: that were scored.
        scored: a table of `SCORED`, by sample and then perturbation.
        perturbations: names of the perturbations, in order.
        model: the checkpoint.
        named: the checkpoint as it was requested.
        view: fingerprint of the preprocessing.

    Raises:
        SettingsError: one of the classes is empty, or no image of it could be read.
    """
    table, calibration = Logits.of(samples, scored, perturbations), model.calibration
    rows, without_a_class = measure_generators(table, perturbations, calibration)
    first = scored.filter(pc.equal(scored["delivery"], perturbations[0]))
    statuses = Counter(first["status"].to_pylist())
    return Evaluation(
        model=named,
        digest=model.digest,
        view=view,
        calibration=calibration,
        samples=len(samples),
        excluded={name: count for name, count in sorted(statuses.items()) if name != Status.OK},
        deliveries=tuple(perturbations),
        rows=tuple(row for row in rows if row.generator != OVERALL),
        overall=tuple(row for row in rows if row.generator == OVERALL),
        reals=tuple(measure_collections(table, perturbations, calibration)),
        flips=tuple(flips(table.logits, calibration, table.source_N.tolist(), table.label_N)),
        routing=routing(table, first),
        made=datetime.now(UTC).replace(microsecond=0),
        collection=measured_on(model),
        parts=tuple(measure_parts(table, [name for name in perturbations if name in {ORIGINAL, ALIGNED}], calibration)),
        unjudged=without_a_class,
    )


def measure_generators(
    table: Logits, perturbations: Sequence[str], calibration: Calibration
) -> tuple[list[GeneratorMetrics], tuple[str, ...]]:
    """Measure each generator, and all together, with each perturbation.

    Returns:
        The metrics, and the names of those that lack a readable image of one class.
    """
    measured = {
        (name, delivery): table.against(name, delivery)
        for name in (*table.generators, OVERALL)
        for delivery in perturbations
    }
    rows = [
        measure_generator(name, delivery, *both, calibration=calibration).model_copy(
            update={"reconstruction": name in table.pairs}
        )
        for (name, delivery), both in measured.items()
        if name == OVERALL or all(map(len, both))
    ]
    return rows, tuple(sorted({name for (name, _), both in measured.items() if not all(map(len, both))}))


def routing(table: Logits, first: pa.Table) -> dict[str, tuple[float, ...]]:
    """Average the router weight of each expert over the images of each source.

    Args:
        table: the samples.
        first: their rows of `SCORED` under one perturbation.
    """
    read_N = first["gates"].is_valid().to_numpy()
    gates_NE = np.array(first["gates"].drop_null().to_pylist(), np.float64)
    source_N = table.source_N[read_N]
    if not gates_NE.size:
        return {}
    return {str(name): tuple(gates_NE[source_N == name].mean(axis=0).tolist()) for name in np.unique(source_N)}
