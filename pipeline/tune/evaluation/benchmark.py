"""Benchmark: the settings and the flow of evaluate, from samples to an evaluation or protocol and its report."""

from pathlib import PurePosixPath
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator

from mole.errors import SettingsError
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.runtime.machine import require_gpu
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.collection import Log, list_samples
from pipeline.tune.data.samples import Sample, capped
from pipeline.tune.data.settings import Names, SampleSettings
from pipeline.tune.evaluation import universal_fake_detect
from pipeline.tune.evaluation.evaluate import (
    DEFAULT_PERTURBATIONS,
    GRID_NAME,
    EvaluateOptions,
    ScoredEvaluation,
    evaluate_with_scores,
)
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.logits import Logits
from pipeline.tune.evaluation.perturbation import ORIGINAL, perturbation, stored_name
from pipeline.tune.evaluation.report import render
from pipeline.tune.evaluation.sample_scoring import Runner


class EvaluateSettings(SampleSettings):
    """Measure a detector on labelled images it was not trained on: each generator, under several perturbations.

    Images that a version was trained or calibrated on are left out, as far as the version lists them. --report writes a
    self-contained HTML file, and the metrics as JSON beside it. --protocol compares with the table of a paper.

    exit codes: 0 measured, 2 invalid settings or a missing input, 3 a store failed, 4 the model cannot be used,
    5 the completeness check failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_EVALUATE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = {
        **SampleSettings.renamed,
        "deliveries": "perturbations",
        "seen": "include_seen",
    }

    model: str = Field(
        "embedded",
        description="detector to evaluate: a checkpoint folder or URL, a registry (its promoted version) or 'embedded'",
    )
    perturbations: Names = Field(
        DEFAULT_PERTURBATIONS,
        description="perturbations to apply to every image before scoring, comma-separated: original, aligned "
        "(one size and JPEG quality), native (central crop, one JPEG quality), jpeg-50, webp-80, blur-1, resize-0.5, "
        "crop-0.8 or noise-5, each with any number, or grid for many of them (default: original,aligned)",
    )
    include_seen: bool = Field(
        False,
        description="also measure the images that the version was trained or calibrated on, separately (default: leave "
        "them out)",
    )
    report: str | None = Field(
        None,
        description="path or URL of the HTML report; the metrics are written beside it as JSON (default: no report)",
    )
    protocol: Literal["universal-fake-detect"] | None = Field(
        None, description="follow the protocol of a paper: its view and its choice of images (default: none)"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device to score on")
    num_actors: PositiveInt | None = Field(
        None, description="number of scoring actors (default: one per GPU, or one per machine)"
    )
    batch_size: PositiveInt | None = Field(
        None, description="images per forward pass (default: 256 on a GPU, 16 on a CPU)"
    )
    json_summary: bool = Field(False, description="print the metrics as JSON to stdout instead of tables")

    @field_validator("perturbations")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                perturbation(ORIGINAL if name == GRID_NAME else name)
            except SettingsError as reason:
                raise ValueError(f"must name perturbations: {reason}") from reason
        return tuple(map(stored_name, value))

    @field_validator("report")
    @classmethod
    def _page(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith((".html", ".htm")):
            raise ValueError("must end with .html")
        return value


def measure(settings: EvaluateSettings, log: Log) -> Evaluation | universal_fake_detect.Protocol:
    """Run the evaluation or protocol that the settings ask for, and write the report, if any.

    Args:
        settings: images, model and perturbations.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: an input is not recognised, a class is empty, or a set is missing.
        StorageError: an input cannot be read, or the report cannot be written.
        ModelError: the checkpoint cannot be used.
    """
    require_gpu(settings.device, settings.ray_address)
    registry.locate(settings.model)  # fails before samples are listed and Ray is started
    samples = list_evaluated_samples(settings, log)
    runner = Runner(settings.device, settings.num_actors, settings.batch_size)
    ProgressDisplay.shown().enter("starting Ray")
    with (
        cluster.connected(settings.ray_address, logs=settings.ray_logs, device=settings.device),
        cluster.unwrapped_errors(),
    ):
        if settings.protocol == universal_fake_detect.NAME:
            return universal_fake_detect.run_protocol(samples, settings.model, log, runner=runner)
        how = EvaluateOptions(runner=runner, seen=settings.include_seen)
        judged = evaluate_with_scores(samples, settings.model, settings.perturbations, log, how)
    if settings.report:
        with ProgressDisplay.shown().during("writing the report"):
            write(judged, settings.report)
        log(f"report: {settings.report}, metrics: {json_beside(settings.report)}")
    return judged.evaluation


def list_evaluated_samples(settings: SampleSettings, log: Log) -> list[Sample]:
    """List the samples that the settings name, and log their layout.

    Raises:
        SettingsError: an input is not recognised, or a class is empty.
        StorageError: an input cannot be read.
    """
    layout = list_samples(settings, log)
    return capped(layout.samples, settings.max_per_source, seed=settings.seed)


def write(judged: ScoredEvaluation, place: str) -> None:
    """Write the report, and the metrics beside it.

    Raises:
        StorageError: the store refuses.
    """
    table = Logits.of(judged.samples, judged.scored, judged.evaluation.deliveries)
    storage.write(place, render(judged.evaluation, judged.samples, table).encode())
    storage.write(json_beside(place), judged.evaluation.model_dump_json(indent=2).encode())


def json_beside(report: str) -> str:
    """Return the path of the JSON file beside a report."""
    return report.removesuffix(PurePosixPath(report).suffix) + ".json"
