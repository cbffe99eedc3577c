"""Promotion: evaluate two versions on images neither was trained on, apply the gate, and move the promoted pointer."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from mole.config import ADAPTERS, CONFIG, Description, describe
from mole.errors import ModelError, RefusedError, SettingsError
from pipeline import registry
from pipeline.command.settings import JobSettings
from pipeline.promotion_record import Promotion
from pipeline.registry import EMBEDDED, Registry
from pipeline.runtime import cluster
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.collection import Log
from pipeline.tune.data.layout import gather
from pipeline.tune.data.manifest import TrainingImages, training_images
from pipeline.tune.evaluation.evaluate import EvaluateOptions, ScoredEvaluation
from pipeline.tune.evaluation.evaluate import evaluate_with_scores as score
from pipeline.tune.evaluation.evaluation_result import summarize
from pipeline.tune.evaluation.gate import Bounds, Decision, compare
from pipeline.tune.evaluation.parent_checkpoint import Origin, origin_at, origin_of
from pipeline.tune.evaluation.thresholds import join_names
from pipeline.tune.evaluation.unseen_samples import training_images_of, unseen_samples

PERTURBATIONS = ("shipped", "aligned")


class PromoteSettings(JobSettings):
    """Promote a version of a registry if it is not worse than the promoted version on any generator.

    If nothing is promoted yet, the candidate is compared with the base it was trained from. Both are evaluated on the
    test splits of their trainings and on --samples; images that either was trained on are left out. Scans that use the
    registry as --model use the promoted version from then on. --rollback undoes promotions one at a time, back to the
    base.

    exit codes: 0 promoted or rolled back, 2 invalid settings or a missing input, 3 a store failed, 4 the model cannot
    be used, 5 the completeness check failed, 6 the gate refuses, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_PROMOTE_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = {
        "first": "allow_missing_base",
        "auroc_drop": "max_auroc_drop",
        "found_drop": "max_detection_drop",
        "false_positives": "max_false_positive_rate",
    }

    registry: Annotated[str, Field(min_length=1)] = Field(
        description="folder or URL of the registry, which stores the versions"
    )
    candidate: str | None = Field(
        None, description="digest of the version to promote, or its first 4 or more characters (default: none)"
    )
    rollback: bool = Field(False, description="restore the previously promoted version")
    base: str | None = Field(
        None,
        description="version that a first promotion is compared with, and that the last rollback restores: a digest, a "
        "folder or 'embedded' (default: the parent named by the version)",
    )
    allow_missing_base: bool = Field(
        False, description="promote a first version even if its base cannot be found; the log records this"
    )
    samples: list[str] = Field(
        [], description="further labelled images to compare on; repeatable (default: only the test splits)"
    )
    max_auroc_drop: float = Field(0.02, ge=0, le=1, description="maximum drop of a generator's AUROC")
    max_detection_drop: float = Field(
        0.1, ge=0, le=1, description="maximum drop of the share of a generator called generated"
    )
    max_false_positive_rate: float = Field(
        0.01, gt=0, lt=1, description="maximum false-positive rate at 95 % confidence"
    )
    json_summary: bool = Field(False, description="print a JSON summary to stdout instead of the table")
    ray_address: str | None = Field(
        None, description="address of a running Ray cluster (default: RAY_ADDRESS, or a local Ray)"
    )
    ray_logs: bool = Field(False, description="show the output of Ray and its workers")

    @model_validator(mode="after")
    def _one_of_both(self) -> "PromoteSettings":
        if (self.candidate is None) == (not self.rollback):
            got = "both" if self.rollback else "neither"
            raise ValueError(f"give either --candidate DIGEST or --rollback, got {got}")
        return self


@dataclass(frozen=True)
class PromotionResult:
    """The outcome of a promotion.

    Attributes:
        decision: of the gate.
        promotion: the new log entry; None if the gate refuses.
        images: number of images that both were evaluated on.
        notes: remarks on the comparisons.
    """

    decision: Decision
    promotion: Promotion | None
    images: int
    notes: tuple[str, ...] = ()


def promote(settings: PromoteSettings, log: Log) -> PromotionResult:
    """Compare a candidate with the promoted version, or else its base, and promote it if the gate passes it.

    Raises:
        SettingsError: there is no such version, no image to compare on, or the candidate is promoted already.
        ModelError: a version cannot be read.
        StorageError: another promotion happened meanwhile, or a store failed.
        RefusedError: nothing is promoted and the base cannot be found.
    """
    place = Registry(settings.registry)
    promoted = place.promoted()
    digest = place.require(str(settings.candidate), "--candidate")
    if digest == promoted:
        raise SettingsError(f"{digest} is promoted already")
    candidate = version_of(place, digest)
    other, against = comparison_target(settings, place, candidate, promoted)
    both = [candidate.described] if other is None else [candidate.described, other.described]
    samples = unseen_samples(both, gather(settings.samples, both=False).samples if settings.samples else [])
    if len({sample.label for sample in samples}) < 2:
        raise SettingsError(
            f"{candidate.digest} cannot be evaluated on {len(samples)} images of one class; add --samples of both"
        )
    ProgressDisplay.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.unwrapped_errors():
        new = score(
            samples, candidate.model, PERTURBATIONS, log, EvaluateOptions(training_images=training_images_of(both))
        )
        old = None if other is None else evaluate_target(other, new, candidate, log)
    bounds = Bounds(
        auroc_drop=settings.max_auroc_drop,
        found_drop=settings.max_detection_drop,
        false_positives=settings.max_false_positive_rate,
    )
    decision = compare(new.evaluation, old.evaluation if old else None, bounds, against=against)
    entry = None
    if decision.passed:
        base = None if promoted or other is None else place.add(other.described.folder, {})
        entry = place.promote(candidate.digest, str(decision), replacing=promoted, base=base)
    return PromotionResult(decision, entry, len(new.samples), tuple(notes(candidate, other, new)))


def roll_back(settings: PromoteSettings) -> Promotion:
    """Restore the previously promoted version, or the base if there was none.

    Raises:
        SettingsError: the base is promoted, or nothing is.
        ModelError: the base named by the settings cannot be used.
        StorageError: a store failed.
    """
    place = Registry(settings.registry)
    before = place.before()
    if before is not None:
        return place.roll_back(before)
    now = version_of(place, str(place.promoted()))
    base = base_at(settings.base, place) if settings.base else origin_of(now.described, place)
    reason = ", to the base that it came from"
    if base is None:
        base, reason = origin_at(EMBEDDED), ", to the shipped detector, since its base cannot be found"
    return place.roll_back(place.add(base.described.folder, {}), note=reason)


def comparison_target(
    settings: PromoteSettings, place: Registry, candidate: Origin, promoted: str | None
) -> tuple[Origin | None, str]:
    """Find the version to compare a candidate with, and describe it; None if there is none.

    Raises:
        SettingsError: a base is named although a version is promoted, or it is the candidate itself.
        ModelError: the version cannot be used.
        RefusedError: nothing is promoted, the base cannot be found, and the settings do not allow for that.
    """
    if promoted is not None:
        if settings.base is not None:
            raise SettingsError(
                f"--base {settings.base!r} is for a first promotion, but {promoted} is promoted already"
            )
        return version_of(place, promoted), f"{promoted}, which is promoted"
    base = base_at(settings.base, place) if settings.base else origin_of(candidate.described, place)
    if base is None:
        if settings.allow_missing_base:
            return None, ""
        parent = candidate.described.config.provenance.get("parent")
        raise RefusedError(
            f"nothing is promoted in {place.url}, and the base {parent} of {candidate.digest} cannot be found; name it "
            f"with --base, compare with the shipped detector with --base {EMBEDDED}, or promote without a comparison "
            "with --allow-missing-base"
        )
    if base.digest == candidate.digest:
        raise SettingsError(f"--base {settings.base!r} is the candidate {candidate.digest} itself; name another")
    shipped = ", the shipped detector" if base.model == EMBEDDED else ""
    return base, f"its base {base.digest}{shipped}"


def evaluate_target(other: Origin, new: ScoredEvaluation, candidate: Origin, log: Log) -> ScoredEvaluation:
    """Evaluate another version on the images of the candidate's evaluation.

    Raises:
        ModelError: it cannot be used.
    """
    perturbations = new.evaluation.deliveries
    own = other.described
    if same_weights(candidate.described, own):  # the same logits at other thresholds
        view = own.preprocess.fingerprint
        evaluation = summarize(new.samples, new.scored, perturbations, model=own, named=other.model, view=view)
        return replace(new, evaluation=evaluation)
    return score(new.samples, other.model, perturbations, log, EvaluateOptions(training_images=TrainingImages()))


def same_weights(one: Description, other: Description) -> bool:
    """Return whether two versions give the same logits, and differ in their calibration at most."""
    alike = [
        (own.config.backbone.identity, own.config.detector, own.preprocess, (own.folder / ADAPTERS).read_bytes())
        for own in (one, other)
    ]
    return alike[0] == alike[1] and alike[0][0] is not None


def notes(candidate: Origin, other: Origin | None, new: ScoredEvaluation) -> list[str]:
    """List remarks on the comparisons."""
    lines = ["AUROC and detection rates are estimates on the same images; false positives are an upper bound"]
    if other is None:
        return [
            *lines,
            "nothing is promoted and the base cannot be found: compared with nothing, as --allow-missing-base allows",
        ]
    if same_weights(candidate.described, other.described):
        lines.append("both versions have the same weights and differ only in their thresholds")
    known = training_images(other.described)
    if not known.listed:
        flattered = [sample for sample in new.samples if {sample.source, sample.part} & known.sources]
        among = join_names(sample.source for sample in flattered)
        lines.append(
            f"{other.digest} does not list its training images; "
            + (
                f"judging by name, it was trained on the sources of {len(flattered):,} of these images ({among}), "
                "which favours it"
                if flattered
                else "judging by name, it was trained on none of the sources of these images"
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
        ModelError: there is no such version, or its content does not match its digest.
    """
    place.read(digest, CONFIG)
    found = describe(registry.locate(place.version(digest), digest))
    if found.digest != digest:
        raise ModelError(f"version {digest} of {place.url} contains {found.digest}; it was modified after it was added")
    return Origin(place.version(digest), found)
