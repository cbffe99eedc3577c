"""The flow of a promotion: images that neither version learned from, both versions on them, the gate, the pointer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from mole.config import ADAPTERS, CONFIG, Description, describe
from mole.errors import ModelError, RefusedError, SettingsError
from pipeline import registry
from pipeline.command.settings import JobSettings
from pipeline.promotion import Promotion
from pipeline.registry import EMBEDDED, Registry
from pipeline.runtime import cluster
from pipeline.telemetry.terminal import Ticker
from pipeline.tune.data.collection import TEST, Log
from pipeline.tune.data.layout import gather
from pipeline.tune.data.manifest import MANIFEST, TrainingImages, place_of, training_images
from pipeline.tune.data.samples import Sample, from_table
from pipeline.tune.judging.evaluate import EvaluateOptions, ScoredEvaluation
from pipeline.tune.judging.evaluate import evaluate_with_scores as score
from pipeline.tune.judging.evaluation import summarize
from pipeline.tune.judging.gate import Bounds, Decision, compare
from pipeline.tune.judging.origin import Origin, origin_at, origin_of
from pipeline.tune.judging.thresholds import join_names

DELIVERIES = ("shipped", "aligned")


class PromoteSettings(JobSettings):
    """Promote a version of a registry, if it is no worse than the promoted one on any generator either was tested on.

    Where nothing is promoted yet, it is held against the base that it came from. Both are scored anew on the images
    that their trainings set aside for tests and, where given, on --samples; what taught either of them is left out.
    Whoever scans with the registry as --model scans with the promoted version from then on. --rollback takes promotions
    back, one at a time, the last of them to the base.

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
    base: str | None = Field(
        None,
        description="what a first promotion is held against, and the last rollback leads to: a digest, a folder or "
        "'embedded' (default: what the version says that it began from)",
    )
    first: bool = Field(
        False, description="promote a first version although its base is not to be found; the log says so"
    )
    samples: list[str] = Field(
        [], description="further labelled images to judge both on; may be repeated (default: only their own)"
    )
    auroc_drop: float = Field(0.02, ge=0, le=1, description="most that a generator's AUROC may fall")
    found_drop: float = Field(0.1, ge=0, le=1, description="most that the share of it called generated may fall")
    false_positives: float = Field(
        0.01, gt=0, lt=1, description="share of reals called generated that must not be passed, shown at 95 %"
    )
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")
    ray_address: str | None = Field(None, description="a running cluster (default: RAY_ADDRESS, or a Ray of its own)")
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")

    @model_validator(mode="after")
    def _one_of_both(self) -> "PromoteSettings":
        if (self.candidate is None) == (not self.rollback):
            raise ValueError("name either --candidate DIGEST or --rollback")
        return self


@dataclass(frozen=True)
class PromotionResult:
    """How a promotion ended.

    Attributes:
        decision: of the gate.
        promotion: the new entry of the log; None where the gate refuses.
        images: that both were judged on.
        notes: what a reader of the comparisons must know.
    """

    decision: Decision
    promotion: Promotion | None
    images: int
    notes: tuple[str, ...] = ()


def promote(settings: PromoteSettings, log: Log) -> PromotionResult:
    """Judge a candidate against what is promoted, or else its base, and move the pointer if the gate lets it pass.

    Raises:
        SettingsError: there is no such version, nothing to judge on, or the candidate is promoted already.
        ModelError: a version cannot be read.
        StorageError: someone else promoted meanwhile, or a store fails.
        RefusedError: nothing is promoted and the base is not to be found.
    """
    place = Registry(settings.registry)
    promoted = place.promoted()
    digest = place.demand(str(settings.candidate), "--candidate")
    if digest == promoted:
        raise SettingsError(f"{digest} is promoted already")
    candidate = version_of(place, digest)
    other, against = comparison_target(settings, place, candidate, promoted)
    both = [candidate.described] if other is None else [candidate.described, other.described]
    samples = unseen_samples(both, gather(settings.samples, both=False).samples if settings.samples else [])
    if len({sample.label for sample in samples}) < 2:
        raise SettingsError(
            f"{len(samples)} images of one class cannot judge {candidate.digest}; give --samples of both"
        )
    Ticker.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        new = score(
            samples, candidate.model, DELIVERIES, log, EvaluateOptions(training_images=training_images_of(both))
        )
        old = None if other is None else evaluate_target(other, new, candidate, log)
    bounds = Bounds(
        auroc_drop=settings.auroc_drop, found_drop=settings.found_drop, false_positives=settings.false_positives
    )
    decision = compare(new.evaluation, old.evaluation if old else None, bounds, against=against)
    entry = None
    if decision.passed:
        base = None if promoted or other is None else place.add(other.described.folder, {})
        entry = place.promote(candidate.digest, str(decision), replacing=promoted, base=base)
    return PromotionResult(decision, entry, len(new.samples), tuple(notes(candidate, other, new)))


def roll_back(settings: PromoteSettings) -> Promotion:
    """Promote again what stood before, the base where no version did.

    Raises:
        SettingsError: the base is promoted, or nothing is.
        ModelError: the base that the settings name cannot be used.
        StorageError: a store fails.
    """
    place = Registry(settings.registry)
    before = place.before()
    if before is not None:
        return place.roll_back(before)
    now = version_of(place, str(place.promoted()))
    base = base_at(settings.base, place) if settings.base else origin_of(now.described, place)
    told = ", to the base that it came from"
    if base is None:
        base, told = origin_at(EMBEDDED), ", to the shipped detector, since its base is not to be found"
    return place.roll_back(place.add(base.described.folder, {}), told=told)


def comparison_target(
    settings: PromoteSettings, place: Registry, candidate: Origin, promoted: str | None
) -> tuple[Origin | None, str]:
    """Find what a candidate is held against, and say what that is; None for nothing.

    Raises:
        SettingsError: a base is named although something is promoted, or it is the candidate itself.
        ModelError: it cannot be used.
        RefusedError: nothing is promoted, the base is not to be found, and the settings do not allow for that.
    """
    if promoted is not None:
        if settings.base is not None:
            raise SettingsError(f"--base {settings.base!r} is for a first promotion; {promoted} is what is promoted")
        return version_of(place, promoted), f"{promoted}, which is promoted"
    base = base_at(settings.base, place) if settings.base else origin_of(candidate.described, place)
    if base is None:
        if settings.first:
            return None, ""
        parent = candidate.described.config.provenance.get("parent")
        raise RefusedError(
            f"nothing is promoted in {place.url}, and the base {parent} that {candidate.digest} came from is not to be "
            f"found; name it with --base, hold it against the shipped detector with --base {EMBEDDED}, or promote it "
            "without any comparison with --first"
        )
    if base.digest == candidate.digest:
        raise SettingsError(f"--base {settings.base!r} is the candidate {candidate.digest} itself; name another")
    shipped = ", the shipped detector" if base.model == EMBEDDED else ""
    return base, f"its base {base.digest}{shipped}"


def unseen_samples(versions: Sequence[Description], given: Sequence[Sample] = ()) -> list[Sample]:
    """List the test images of some versions and further ones; what any of them learned from is left out.

    A photograph that one version was tested on may have taught another, which would flatter that one.
    """
    known = training_images_of(versions)
    found: dict[object, Sample] = {}
    for version in versions:
        file = version.folder / MANIFEST
        if file.is_file():
            table = pq.read_table(file)
            rows = zip(from_table(table), table["digest"].to_pylist(), table["split"].to_pylist(), strict=True)
            found |= {
                digest: sample
                for sample, digest, split in rows
                if split == TEST and digest not in known.digests and not known.contains(sample)
            }
    places = {place_of(sample) for sample in found.values()}
    return [*found.values(), *(one for one in given if place_of(one) not in places and not known.contains(one))]


def training_images_of(versions: Sequence[Description]) -> TrainingImages:
    """Join the lists of what taught some versions, as far as they keep one."""
    known = TrainingImages()
    for version in versions:
        known = known | training_images(version)
    return replace(known, listed=True, sources=frozenset())


def evaluate_target(other: Origin, new: ScoredEvaluation, candidate: Origin, log: Log) -> ScoredEvaluation:
    """Score another version on the images that the candidate was judged on.

    Raises:
        ModelError: it cannot be used.
    """
    deliveries = new.evaluation.deliveries
    own = other.described
    if same_weights(candidate.described, own):  # the same logits, read in another way
        view = own.preprocess.fingerprint
        evaluation = summarize(new.samples, new.scored, deliveries, model=own, named=other.model, view=view)
        return replace(new, evaluation=evaluation)
    return score(new.samples, other.model, deliveries, log, EvaluateOptions(training_images=TrainingImages()))


def same_weights(one: Description, other: Description) -> bool:
    """Tell whether two versions give the same logits and differ in how they are read at most."""
    alike = [
        (own.config.backbone.identity, own.config.detector, own.preprocess, (own.folder / ADAPTERS).read_bytes())
        for own in (one, other)
    ]
    return alike[0] == alike[1] and alike[0][0] is not None


def notes(candidate: Origin, other: Origin | None, new: ScoredEvaluation) -> list[str]:
    """Say what a reader of the comparisons must know."""
    lines = ["AUROC and shares found are estimates, compared on the same images; false positives are an upper bound"]
    if other is None:
        return [*lines, "nothing is promoted and the base is not to be found: compared with nothing, as --first allows"]
    if same_weights(candidate.described, other.described):
        lines.append("both have the same weights: they differ in their thresholds alone")
    known = training_images(other.described)
    if not known.listed:
        flattered = [sample for sample in new.samples if {sample.source, sample.part} & known.sources]
        among = join_names(sample.source for sample in flattered)
        lines.append(
            f"{other.digest} keeps no list of the images that taught it; "
            + (
                f"by their names the sources of {len(flattered):,} of these images did ({among}), which flatters it"
                if flattered
                else "no source of these images did by its name"
            )
        )
    return lines


def base_at(base: str, place: Registry) -> Origin:
    """Read the checkpoint that `--base` names.

    Raises:
        ModelError: there is none.
    """
    return origin_at(registry.resolve(base, place.url))


def version_of(place: Registry, digest: str) -> Origin:
    """Find a version.

    Raises:
        ModelError: there is no such version, or it is not what its name says.
    """
    place.read(digest, CONFIG)
    found = describe(registry.locate(place.version(digest), digest))
    if found.digest != digest:
        raise ModelError(f"version {digest} of {place.url} holds {found.digest}; it was changed by hand")
    return Origin(place.version(digest), found)
