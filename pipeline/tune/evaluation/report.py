"""Report: an evaluation as one self-contained HTML file.

Legend: R rows, C columns of a map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from mole.measuring.rates import Precision, Rate
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation import plots
from pipeline.tune.evaluation.conclusion import GLOSSARY, conclusion
from pipeline.tune.evaluation.evaluation_result import SEEN_LABELS, Evaluation
from pipeline.tune.evaluation.generator_metrics import GeneratorMetrics
from pipeline.tune.evaluation.logits import OVERALL, Logits
from pipeline.tune.evaluation.perturbation import ALIGNED, ORIGINAL, shown_name
from pipeline.tune.evaluation.thumbnails import mistakes

TEMPLATE = "report.html.j2"
MISTAKES_SHOWN = 12
"""Number of mistakes shown of each kind."""


@dataclass(frozen=True)
class ReportTables:
    """The rows of an evaluation in the tables of the report.

    Attributes:
        evaluation: the metrics.
        lines: of each generator and of all together, by perturbation.
        totals: of all generators together.
    """

    evaluation: Evaluation
    lines: list[GeneratorMetrics]
    totals: list[GeneratorMetrics]

    @property
    def parts(self) -> int:
        """Number of parts of sources."""
        return len(self.evaluation.parts)

    @classmethod
    def of(cls, evaluation: Evaluation, perturbations: Sequence[str]) -> "ReportTables":
        """Select the metrics under some perturbations."""
        lines = [
            evaluation.metrics(name, delivery)
            for name in (*evaluation.generators, OVERALL)
            for delivery in perturbations
        ]
        return cls(evaluation, lines, [row for row in lines if row.generator == OVERALL])


def render(evaluation: Evaluation, samples: Sequence[Sample], table: Logits, notes: Sequence[str] = ()) -> str:
    """Render the page.

    Args:
        evaluation: the metrics.
        samples: the images.
        table: their logits.
        notes: remarks to show first.
    """
    main = [name for name in (ORIGINAL, ALIGNED) if name in evaluation.deliveries]
    curves = {name: table.against(name, ORIGINAL) for name in (*evaluation.generators, OVERALL)}
    bound = evaluation.calibration.generated_above
    reliability = {shown_name(name): evaluation.metrics(OVERALL, name).reliability for name in main}
    pictures = {
        "roc": plots.roc(curves),
        "precision_recall": plots.precision_recall(curves),
        "reliability": plots.calibration(reliability),
        "histogram": plots.histogram(*table.against(OVERALL, ORIGINAL), evaluation.calibration),
        "areas": _areas(evaluation),
        "flips": _flips(evaluation),
        "routing": _routing(evaluation),
    }
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            evaluation=evaluation,
            main=main,
            overall=OVERALL,
            words=SEEN_LABELS,
            probability=lambda logit: float(evaluation.calibration.probability(np.array([logit]))[0]),
            shown=[ReportTables.of(found, main) for found in (evaluation, evaluation.apart) if found is not None],
            conclusion=conclusion(evaluation),
            glossary=GLOSSARY,
            pictures=pictures,
            false_positives=mistakes(samples, table, ORIGINAL, bound, generated=False, limit=MISTAKES_SHOWN),
            false_negatives=mistakes(
                samples, table, ORIGINAL, evaluation.calibration.real_below, generated=True, limit=MISTAKES_SHOWN
            ),
            notes=notes,
        )
    )


def environment() -> Environment:
    """Build the template environment; everything is escaped except the plots."""
    made = Environment(
        loader=PackageLoader("pipeline.tune.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters |= {"rate": format_rate, "precision": format_precision, "shown": shown_name}
    made.filters["file"] = lambda uri: PurePath(uri).name
    return made


def format_rate(rate: Rate | None) -> str:
    """Format a share with its interval."""
    return "" if rate is None else f"{rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def format_precision(precision: Precision) -> str:
    """Format a precision with its bounds."""
    value = "none called" if precision.value is None else f"{precision.value:.1%}"
    return f"{value} ({precision.low:.1%} to {precision.high:.1%})"


def _areas(evaluation: Evaluation) -> str:
    """Draw a heat map of the AUROC of each generator under each perturbation, (R, C)."""
    names, columns = [*evaluation.generators, OVERALL], evaluation.deliveries
    titles = [shown_name(name) for name in columns]
    found = {(row.generator, row.delivery): row.auroc for row in (*evaluation.rows, *evaluation.overall)}
    values = np.array([[found.get((name, column), np.nan) for column in columns] for name in names])
    return plots.matrix_plot(values, names, titles, low=0.5, high=1.0, map_name="RdYlGn")


def _flips(evaluation: Evaluation) -> str:
    """Draw a heat map of the share of verdicts that each perturbation changes, (R, C); empty if there is none."""
    columns = [name for name in evaluation.deliveries if name != ORIGINAL]
    found = {(row.generated, row.source, row.delivery): row.changed.share for row in evaluation.flips}
    rows = sorted({(row.generated, row.source) for row in evaluation.flips}, key=lambda row: (not row[0], row[1]))
    if not (rows and columns):
        return ""
    values = np.array([[found.get((*row, column), np.nan) for column in columns] for row in rows])
    names = [f"{source}" if generated else f"{source} (real)" for generated, source in rows]
    return plots.matrix_plot(values, names, columns, low=0.0, high=0.5, map_name="RdYlGn_r")


def _routing(evaluation: Evaluation) -> str:
    """Draw a heat map of the mean router weight of each expert, (R, C), by source; empty without experts."""
    if not evaluation.routing:
        return ""
    values: NDArray[np.float64] = np.array(list(evaluation.routing.values()))
    columns = [f"expert {number}" for number in range(1, values.shape[1] + 1)]
    return plots.matrix_plot(values, list(evaluation.routing), columns, low=0.0, high=1.0, map_name="Blues")
