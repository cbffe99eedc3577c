"""The flow of a promotion: images that neither version learned from, both versions on them, the gate, the pointer."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from mole.config import describe
from mole.errors import ModelError, SettingsError
from pipeline import cluster, registry
from pipeline.commandline import JobSettings
from pipeline.registry import Promotion, Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.layout import gather
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.data.samples import Sample, from_table
from pipeline.tune.judging.evaluate import evaluate
from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.gate import Bounds, Decision, judge

Say = Callable[[str], None]
DELIVERIES = ("shipped", "aligned")


class PromoteSettings(JobSettings):
    """Promote a version of a registry, if it is no worse than the promoted one on any generator either was tested on.

    Both are scored anew on the images that their trainings set aside for tests and, where given, on --samples. Whoever
    scans with the registry as --model scans with the promoted version from then on.

    exit codes: 0 promoted or rolled back, 2 a setting or a place that is not there, 3 a store failed, 4 the model
    cannot be used, 5 a row was lost, 6 the gate refuses, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_PROMOTE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    registry: Annotated[str, Field(min_length=1)] = Field(description="the folder URL where versions lie")
    candidate: str | None = Field(
        None, description="the digest to promote, or its first characters, 4 or more (default: none)"
    )
    rollback: bool = Field(False, description="promote again what was promoted before")
    samples: list[str] = Field(
        [], description="further labelled images to judge both on; may be repeated (default: only their own)"
    )
    auroc_drop: float = Field(0.02, ge=0, le=1, description="most that a generator's AUROC may fall")
    found_drop: float = Field(0.1, ge=0, le=1, description="most that the share of it called generated may fall")
    false_positives: float = Field(0.01, gt=0, lt=1, description="of reals, that a candidate may have at 95 %")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")
    ray_address: str | None = Field(None, description="a running cluster (default: RAY_ADDRESS, or a Ray of its own)")
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")

    @model_validator(mode="after")
    def _one_of_both(self) -> "PromoteSettings":
        if (self.candidate is None) == (not self.rollback):
            raise ValueError("name either --candidate DIGEST or --rollback")
        return self


@dataclass(frozen=True)
class Verdict:
    """How a promotion ended.

    Attributes:
        decision: of the gate.
        promotion: the new entry of the log; None where the gate refuses.
        images: that both were judged on.
    """

    decision: Decision
    promotion: Promotion | None
    images: int


def promote(settings: PromoteSettings, say: Say) -> Verdict:
    """Judge a candidate against what is promoted, and move the pointer if the gate lets it pass.

    Raises:
        SettingsError: there is no such version, nothing to judge on, or the candidate is promoted already.
        ModelError: a version cannot be read.
        StorageError: someone else promoted meanwhile, or a store fails.
    """
    place = Registry(settings.registry)
    candidate = place.demand(str(settings.candidate), "--candidate")
    promoted = place.promoted()
    if candidate == promoted:
        raise SettingsError(f"{candidate} is promoted already")
    samples = untouched(place, [candidate, promoted] if promoted else [candidate])
    samples += gather(settings.samples, both=False).samples if settings.samples else []
    if len({sample.label for sample in samples}) < 2:
        raise SettingsError(f"{len(samples)} images of one class cannot judge {candidate}; give --samples of both")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        new = measured(place, candidate, samples, say)
        old = measured(place, promoted, samples, say) if promoted else None
    bounds = Bounds(
        auroc_drop=settings.auroc_drop, found_drop=settings.found_drop, false_positives=settings.false_positives
    )
    decision = judge(new, old, bounds)
    entry = place.promote(candidate, str(decision), replacing=promoted) if decision.passed else None
    return Verdict(decision, entry, len(samples))


def untouched(place: Registry, digests: Sequence[str]) -> list[Sample]:
    """List the test images of some versions; what any of them trained or was calibrated on is left out.

    A photograph that one version was tested on may have taught another, which would flatter that one.
    """
    tables = [pq.read_table(io.BytesIO(place.read(digest, MANIFEST))) for digest in digests]
    used = {row["digest"] for table in tables for row in table.to_pylist() if row["split"] != TEST}
    found: dict[str, Sample] = {}
    for table in tables:
        rows = zip(from_table(table), table["digest"].to_pylist(), table["split"].to_pylist(), strict=True)
        found |= {digest: sample for sample, digest, split in rows if split == TEST and digest not in used}
    return list(found.values())


def measured(place: Registry, digest: str, samples: Sequence[Sample], say: Say) -> Evaluation:
    """Score one version.

    Raises:
        ModelError: the version is not what its name says.
    """
    folder = registry.locate(place.version(digest), digest)
    if describe(folder).digest != digest:
        raise ModelError(f"version {digest} of {place.url} holds {describe(folder).digest}; it was changed by hand")
    return evaluate(samples, place.version(digest), DELIVERIES, say)
