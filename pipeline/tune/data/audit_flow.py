"""Fairness: the flow of an audit, from the places that a user names to what was found, and its settings."""

from typing import ClassVar

from pydantic import Field

from pipeline.runtime import cluster
from pipeline.telemetry.terminal import Ticker
from pipeline.tune.data.audit import BOUND, Audit, audit
from pipeline.tune.data.collection import Log, list_samples
from pipeline.tune.data.samples import capped
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.survey import survey


class AuditSettings(SampleSettings):
    """Audit labelled images: do their files alone, format, quality, size, metadata, give the classes away?

    Prints what the files of each class and source look like, how well a classifier that never sees a pixel tells the
    classes apart and by which column, and which images stand there twice.

    exit codes: 0 fair, 1 the files give the classes away, 2 a setting or a place that is not there, 3 a store
    failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_AUDIT_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    most_leak: float = Field(BOUND, gt=0, le=1, description="AUC of the files' metadata above which they are not fair")
    json_summary: bool = Field(False, description="print the audit as one JSON object on stdout and nothing else there")


def audit_samples(settings: AuditSettings, log: Log) -> Audit:
    """Recognise, survey and audit.

    Args:
        settings: of the run.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: a place is not understood, or a class is empty.
        StorageError: a place cannot be read.
    """
    layout = list_samples(settings, log)
    places = dict(zip(layout.samples, layout.place_of, strict=True))
    samples = layout.samples if settings.most is None else capped(layout.samples, settings.most, seed=settings.seed)
    Ticker.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        rows = survey(samples)
    with Ticker.shown().during("comparing the classes"):
        return audit(samples, rows, splits=[places[sample] for sample in samples], seed=settings.seed)
