"""The evaluation: what a detector does on labelled images, generator by generator and delivery by delivery, as a JSON.

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
from pipeline.tune.judging.generator_metrics import (
    GeneratorMetrics,
    PartMetrics,
    RealsMetrics,
    measure_collections,
    measure_generator,
    measure_parts,
)
from pipeline.tune.judging.logits import OVERALL, Logits
from pipeline.tune.judging.perturbation import ALIGNED, SHIPPED
from pipeline.tune.judging.robustness import Flips, flips
from pipeline.tune.judging.thresholds import UNNAMED, measured_on

Kind = Literal["auroc", "average_precision"]
Which = Literal["unseen", "seen", "unknown"]
SEEN_LABELS: dict[Which, str] = {
    "unseen": "never seen",
    "seen": "seen in training",
    "unknown": "not known whether seen",
}
"""How a reader is told which images these are."""


class Evaluation(BaseModel):
    """What a detector does on a set of labelled images.

    Attributes:
        model: the checkpoint as it was named.
        digest: of the checkpoint.
        view: fingerprint of the view.
        calibration: what made verdicts of its logits.
        samples: images given.
        excluded: of them, by status, those that could not be read.
        deliveries: in their order.
        rows: each generator in each delivery.
        overall: all generators together, in each delivery.
        reals: each collection of real images in each delivery.
        flips: verdicts that a delivery changed.
        routing: mean weight of each separate expert, by source, as shipped.
        taught: images among those judged here that taught the version or set its thresholds, which flatters it.
        unjudged: sources left out of `rows`, since one class of theirs could not be read or is not there.
        made: when, UTC; None in figures older than this field.
        which: `unseen` where none of the images taught the version, `seen` where all did, `unknown` where the version
            keeps no list of what taught it.
        left_out: images that taught the version and are therefore not among `samples`.
        teachers: where that is unknown, the sources among these that taught the version by their names.
        collection: what the thresholds were measured on.
        parts: each generator or class of the sources that hold several.
        apart: the figures of the images that taught the version, where they were asked for.
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
        """Every generator that was judged, in order of name."""
        return tuple(dict.fromkeys(row.generator for row in self.rows))

    def metrics(self, generator: str, delivery: str) -> GeneratorMetrics:
        """Find one generator's figures in one delivery.

        Args:
            generator: its source, or `OVERALL`.
            delivery: its name.

        Raises:
            SettingsError: it was not judged.
        """
        for row in (*self.rows, *self.overall):
            if (row.generator, row.delivery) == (generator, delivery):
                return row
        raise SettingsError(
            f"{generator!r} in delivery {delivery!r} was not judged; known are {self.generators} in {self.deliveries}"
        )

    def mean(self, kind: Kind, delivery: str) -> float:
        """Average a figure over the generators, each weighing the same; reconstructions are no generator."""
        return float(np.mean(self._all(kind, delivery)))

    def minimum(self, kind: Kind, delivery: str) -> float:
        """Give a figure of the generator that is worst at it."""
        return min(self._all(kind, delivery))

    def _all(self, kind: Kind, delivery: str) -> list[float]:
        """List a figure of every generator, or of the reconstructions where there is nothing else.

        Raises:
            SettingsError: the delivery was not judged.
        """
        rows = [row for row in self.rows if row.delivery == delivery]
        if not rows:
            raise SettingsError(f"delivery {delivery!r} was not judged; known are {self.deliveries}")
        chosen = [row for row in rows if not row.reconstruction] or rows
        return [float(getattr(row, kind)) for row in chosen]


def summarize(
    samples: Sequence[Sample], scored: pa.Table, deliveries: Sequence[str], *, model: Description, named: str, view: str
) -> Evaluation:
    """Sum up the scores of labelled images.

    Args:
        samples: that were scored.
        scored: a table of `SCORED`, by place and delivery.
        deliveries: in their order.
        model: the checkpoint.
        named: as it was asked for.
        view: fingerprint of the view.

    Raises:
        SettingsError: one of the classes is empty, or no image of it could be read.
    """
    table, calibration = Logits.of(samples, scored, deliveries), model.calibration
    judged = {
        (name, delivery): table.against(name, delivery)
        for name in (*table.generators, OVERALL)
        for delivery in deliveries
    }
    rows = [
        measure_generator(name, delivery, *both, calibration=calibration).model_copy(
            update={"reconstruction": name in table.pairs}
        )
        for (name, delivery), both in judged.items()
        if name == OVERALL or all(map(len, both))
    ]
    first = scored.filter(pc.equal(scored["delivery"], deliveries[0]))
    statuses = Counter(first["status"].to_pylist())
    return Evaluation(
        model=named,
        digest=model.digest,
        view=view,
        calibration=calibration,
        samples=len(samples),
        excluded={name: count for name, count in sorted(statuses.items()) if name != Status.OK},
        deliveries=tuple(deliveries),
        rows=tuple(row for row in rows if row.generator != OVERALL),
        overall=tuple(row for row in rows if row.generator == OVERALL),
        reals=tuple(measure_collections(table, deliveries, calibration)),
        flips=tuple(flips(table.logits, calibration, table.source_N.tolist(), table.label_N)),
        routing=routing(table, first),
        made=datetime.now(UTC).replace(microsecond=0),
        collection=measured_on(model),
        parts=tuple(measure_parts(table, [name for name in deliveries if name in {SHIPPED, ALIGNED}], calibration)),
        unjudged=tuple(sorted({name for (name, _), both in judged.items() if not all(map(len, both))})),
    )


def routing(table: Logits, first: pa.Table) -> dict[str, tuple[float, ...]]:
    """Average each expert's weight over the images of each source.

    Args:
        table: the samples.
        first: their rows of `SCORED` in one delivery.
    """
    read_N = first["gates"].is_valid().to_numpy()
    gates_NE = np.array(first["gates"].drop_null().to_pylist(), np.float64)
    source_N = table.source_N[read_N]
    if not gates_NE.size:
        return {}
    return {str(name): tuple(gates_NE[source_N == name].mean(axis=0).tolist()) for name in np.unique(source_N)}
