"""Calibrate: set new thresholds for a version from one's own real images, without changing its weights.

Legend: R real images.
"""

import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mole.config import ADAPTERS, CONFIG, CheckpointConfig, Description
from mole.errors import SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.calibration_fit import confident_threshold, min_reals, threshold_for
from mole.measuring.rates import Rate, share_above, upper_bound
from pipeline import registry
from pipeline.command.settings import JobSettings
from pipeline.records import Status
from pipeline.registry import EMBEDDED, PROMOTED, Registry
from pipeline.runtime import cluster
from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.collection import CALIBRATION, Log
from pipeline.tune.data.manifest import MANIFEST, ORIGIN, training_images, with_samples
from pipeline.tune.data.real_images import read_reals
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.evaluate import seen_mask
from pipeline.tune.evaluation.parent_checkpoint import Origin, origin_at
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.sample_scoring import Runner, score
from pipeline.tune.evaluation.thresholds import calibration_at, measured_on


class CalibrateSettings(JobSettings):
    """Set the thresholds of a version from your own real images, and add it to a registry as a new version.

    The new threshold is the lowest at which your images show, at 95 % confidence, that at most the given share of such
    images is called generated. Weights and probabilities do not change. Promote the new version like any other.

    exit codes: 0 the version is in the registry, 2 invalid settings or too few images, 3 a store failed, 4 the model
    cannot be used, 5 the completeness check failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_CALIBRATE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = {"false_positives": "false_positive_rate", "unsure": "unsure_rate"}

    registry: Annotated[str, Field(min_length=1)] = Field(
        description="folder or URL of the registry, which stores the versions"
    )
    reals: Annotated[list[str], Field(min_length=1)] = Field(
        description="your own real images: a folder, a listing or table (.csv .tsv .parquet .jsonl .txt), an "
        "uncompressed .tar, or an image; repeatable",
    )
    collection: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="name of this collection of images, stored with the thresholds"
    )
    model: str | None = Field(
        None,
        description="version to calibrate: 'promoted' or a digest of --registry, a checkpoint folder, or 'embedded' "
        "(default: the promoted version, or 'embedded' if there is none)",
    )
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01, description="maximum share of such images that may be called generated, at 95 % confidence"
    )
    unsure_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="maximum share of such images that may score above the threshold for real"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device to score on")
    json_summary: bool = Field(False, description="print a JSON summary to stdout instead of the table")
    ray_address: str | None = Field(
        None, description="address of a running Ray cluster (default: RAY_ADDRESS, or a local Ray)"
    )
    ray_logs: bool = Field(False, description="show the output of Ray and its workers")


@dataclass(frozen=True)
class CalibrationResult:
    """A version with new thresholds.

    Attributes:
        digest: of the new version.
        version: its folder's URL.
        parent: digest of the version with the same weights.
        before: calibration of the parent.
        after: calibration of the new version.
        called_before: share of these images called generated at the old thresholds.
        called_after: at the new thresholds.
        left_out: images that were not used, by reason.
    """

    digest: str
    version: str
    parent: str
    before: Calibration
    after: Calibration
    called_before: Rate
    called_after: Rate
    left_out: dict[str, int]


@dataclass(frozen=True)
class ScoredReals:
    """Real images with their logits.

    Attributes:
        samples: images that could be read, without duplicates and without images that the version was trained on.
        digests: of their contents.
        logit_R: float32 (R,).
        left_out: all others, by reason.
    """

    samples: list[Sample]
    digests: list[str]
    logit_R: NDArray[np.float32]
    left_out: Counter[str] = field(default_factory=Counter)


def calibrate(settings: CalibrateSettings, log: Log) -> CalibrationResult:
    """Set thresholds from real images, and add a version that has them to the registry.

    Raises:
        SettingsError: an input is not recognised, or there are too few images to show the rate.
        StorageError: a store failed.
        ModelError: the version cannot be used.
    """
    place = Registry(settings.registry)
    origin = version_to_calibrate(settings, place)
    with ProgressDisplay.shown().during("listing the images"):
        samples, skipped = read_reals(settings.reals, settings.collection)
    check_image_count(len(samples), settings)
    log(f"{len(samples):,} images of {settings.collection!r}, taken to be real; calibrating {origin.digest}")
    ProgressDisplay.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.unwrapped_errors():
        found = measure(samples, origin, Runner(settings.device))
    found.left_out.update(skipped)
    for reason, count in sorted(found.left_out.items()):
        log(f"{count:,} left out ({reason})")
    check_image_count(len(found.samples), settings)
    before = origin.described.calibration.model_copy(update={"collection": measured_on(origin.described)})
    after = thresholds(found.logit_R, before, settings)
    with scratch_folder("mole-calibrate-") as folder:
        made = write_version(folder / "version", origin.described, after, provenance(origin, found, settings))
        note = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "reals": settings.reals}
        papers = {
            MANIFEST: with_samples(origin.described.folder, found.samples, found.digests, CALIBRATION),
            ORIGIN: json.dumps(note, indent=2).encode(),
        }
        digest = place.add(made, papers)
    called = [share_above(found.logit_R, read.generated_above) for read in (before, after)]
    return CalibrationResult(
        digest, place.version(digest), origin.digest, before, after, called[0], called[1], dict(found.left_out)
    )


def version_to_calibrate(settings: CalibrateSettings, place: Registry) -> Origin:
    """Find the version to calibrate.

    Raises:
        ModelError: there is none.
    """
    model = settings.model or (PROMOTED if place.promoted() else EMBEDDED)
    if model == EMBEDDED or not storage.exists(place.url):  # a registry that does not exist yet has no versions
        return origin_at(model)
    return origin_at(registry.resolve(model, place.url))


def check_image_count(images: int, settings: CalibrateSettings) -> None:
    """Check that there are enough images to show the rate if none of them is a false positive.

    Raises:
        SettingsError: there are too few.
    """
    needed = min_reals(settings.false_positive_rate)
    if images < needed:
        shown = math.ceil(1000 * upper_bound(0, max(1, images))) / 1000
        raise SettingsError(
            f"--false-positive-rate {settings.false_positive_rate:g} needs at least {needed:,} real images to be "
            f"shown at 95 % confidence, got {images:,}; provide more with --reals, or set a rate of {shown:g} or more"
        )


def measure(samples: Sequence[Sample], origin: Origin, runner: Runner) -> ScoredReals:
    """Score real images, leaving out faults, duplicates and training images of the version; Ray must be connected.

    Raises:
        ModelError: the version cannot be used.
    """
    scored = score(samples, origin.model, (ORIGINAL,), runner=runner)
    taught_N = seen_mask(samples, scored, training_images(origin.described), 1).tolist()
    rows = scored.select(["status", "digest", "logit"]).to_pylist()
    left_out: Counter[str] = Counter()
    kept: dict[str, tuple[Sample, float]] = {}
    for sample, row, known in zip(samples, rows, taught_N, strict=True):
        if row["status"] != Status.OK:
            left_out[row["status"]] += 1
        elif known:
            left_out["taught this version"] += 1
        elif row["digest"] in kept:
            left_out["identical bytes again"] += 1
        else:
            kept[row["digest"]] = sample, row["logit"]
    logit_R = np.array([logit for _, logit in kept.values()], np.float32)
    return ScoredReals([sample for sample, _ in kept.values()], list(kept), logit_R, left_out)


def thresholds(logit_R: NDArray[np.float32], before: Calibration, settings: CalibrateSettings) -> Calibration:
    """Set both thresholds; temperature and bias, which need both classes, do not change. float32 (R,)."""
    above = confident_threshold(logit_R, settings.false_positive_rate)
    below, _ = threshold_for(logit_R, max(settings.unsure_rate, settings.false_positive_rate))
    fitted = before.temperature, before.bias
    return calibration_at(logit_R, (min(below, above), above), fitted, collection=settings.collection)


def provenance(origin: Origin, found: ScoredReals, settings: CalibrateSettings) -> dict[str, Any]:
    """Describe how the version was made; measurements at the old thresholds are dropped."""
    old = {name: value for name, value in origin.described.config.provenance.items() if name != "measured"}
    content = hashlib.sha256("\n".join(sorted(found.digests)).encode()).hexdigest()[:32]
    calibrated = {
        "collection": settings.collection,
        "images": len(found.samples),
        "content": content,
        "false_positives": settings.false_positive_rate,
        "unsure": settings.unsure_rate,
    }
    return {**old, "parent": origin.digest, "parent_adapters": True, "calibrated": calibrated}


def write_version(folder: Path, parent: Description, calibration: Calibration, provenance: dict[str, Any]) -> Path:
    """Write a copy of a checkpoint with another calibration and provenance."""
    folder.mkdir()
    backbone = parent.config.backbone
    for name in (ADAPTERS, *([backbone.file] if backbone.file is not None else [])):
        shutil.copy(parent.folder / name, folder / name)
    update = {"calibration": calibration, "provenance": provenance}
    config: CheckpointConfig = parent.config.model_copy(update=update)
    (folder / CONFIG).write_text(config.model_dump_json(indent=2) + "\n")
    return folder
