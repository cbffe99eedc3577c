"""Audit flow: the settings of audit, and the way from its inputs to the result."""

from typing import ClassVar

from pydantic import Field

from pipeline.runtime import cluster
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.audit import MAX_LEAK, Audit, audit
from pipeline.tune.data.collection import Log, list_samples
from pipeline.tune.data.samples import capped
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.survey import survey


class AuditSettings(SampleSettings):
    """Audit labelled images: do properties of the files, such as format, quality or size, leak the label?

    Prints the file properties of each class and source, how well a classifier that sees no pixels separates the classes
    and by which properties, and which images are near duplicates.

    exit codes: 0 fair, 1 properties of the files leak the label, 2 invalid settings or a missing input, 3 a store
    failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_AUDIT_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = {**SampleSettings.renamed, "most_leak": "max_leak"}

    max_leak: float = Field(MAX_LEAK, gt=0, le=1, description="maximum AUC of a classifier on file properties alone")
    json_summary: bool = Field(False, description="print the audit as JSON to stdout instead of tables")


def audit_samples(settings: AuditSettings, log: Log) -> Audit:
    """List, survey and audit the samples.

    Args:
        settings: of the run.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: an input is not recognised, or a class is empty.
        StorageError: an input cannot be read.
    """
    layout = list_samples(settings, log)
    places = dict(zip(layout.samples, layout.place_of, strict=True))
    samples = capped(layout.samples, settings.max_per_source, seed=settings.seed)
    ProgressDisplay.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.unwrapped_errors():
        rows = survey(samples)
    with ProgressDisplay.shown().during("comparing the classes"):
        return audit(samples, rows, splits=[places[sample] for sample in samples], seed=settings.seed)
